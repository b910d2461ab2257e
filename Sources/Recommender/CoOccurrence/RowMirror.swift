// The worker's copy of one matrix: the active items of every row, kept current from sealed changes.
//
// Layout: one arena of 32-bit words holds a segment per non-empty row, in no order:
//     header = top bit | row id        then `counts[row]` item ids, ascending
// and what rows left behind are gaps: one word with the two top bits set and the gap's length (itself
// included) in the others. One more such word stands at the arena's end. So a kernel that is given the
// position of an item finds the row around it by the top bits alone, with one cache miss.
// 4 bytes an entry and 12 a row (header, offset, count); the arena is compacted by sliding segments
// down in one pass, without a second copy.
// Bounds: 2^30 rows, 2^31 items, 2^32 - 1 words of arena.
import CKernels
import Sparse

struct MirrorRows: ~Copyable {
  /// Segments and gaps.
  var arena = Vec<UInt32>(capacity: 16)
  /// Per row: where its items begin in the arena, and how many they are.
  var offsets = Vec<UInt32>()
  var counts = Vec<UInt32>()
  /// Per item: rows that hold it.
  var columnCounts = Vec<UInt32>()
  private var sorted = Vec<UInt32>()
  /// Words of the arena in gaps.
  var garbage = 0
  var entries = 0
  var activeRows = 0
  /// Ordered pairs in all rows: the entries a walk of the product through itself meets.
  var work: UInt64 = 0

  static let top: UInt32 = 0x8000_0000
  static let gap: UInt32 = 0xc000_0000

  var rowLimit: Int { offsets.count }
  var itemLimit: Int { columnCounts.count }
  var view: RowView {
    RowView(
      arena: UnsafePointer(arena.base), offsets: UnsafePointer(offsets.base),
      counts: UnsafePointer(counts.base), limit: offsets.count)
  }
  var bytes: Int { arena.bytes + offsets.bytes + counts.bytes + columnCounts.bytes }

  @inline(__always) func row(_ id: Int) -> UnsafeBufferPointer<UInt32> {
    UnsafeBufferPointer(start: arena.base + Int(offsets[id]), count: Int(counts[id]))
  }

  /// Rows take the items given. Complexity: O(old + new entries of the changed rows), plus compaction,
  /// which is amortised over the words that became garbage.
  /// - Parameter diffs: takes what each row kept, gained and lost, where it is wanted.
  mutating func apply(_ changes: RowChanges, diffs: inout RowDiffs, wantsDiffs: Bool) {
    precondition(changes.offsets.count == changes.rows.count + 1)
    changes.items.withUnsafeBufferPointer { items in
      reserve(changes, items)
      for k in 0..<changes.rows.count {
        let slice = UnsafeBufferPointer(
          rebasing: items[changes.offsets[k]..<changes.offsets[k + 1]])
        MirrorRows.sort(slice, into: &sorted)
        let row = Int(changes.rows[k])
        if wantsDiffs { diffs.append(old: self.row(row), new: sorted.buffer) }
        replace(row: row, with: sorted.buffer)
      }
    }
    if garbage > 1024 && garbage > arena.count / 4 { compact() }
    if arena.count == arena.capacity { arena.grow(to: arena.count + 1) }
    arena.base[arena.count] = MirrorRows.gap | 1
  }

  private mutating func reserve(_ changes: RowChanges, _ items: UnsafeBufferPointer<UInt32>) {
    var highest: UInt32 = 0
    for row in changes.rows { highest = max(highest, row) }
    precondition(highest < 1 << 30)
    if !changes.rows.isEmpty {
      offsets.extend(to: Int(highest) + 1, with: 0)
      counts.extend(to: Int(highest) + 1, with: 0)
    }
    var item: UInt32 = 0
    for i in items { item = max(item, i) }
    precondition(item < MirrorRows.top)
    if !items.isEmpty { columnCounts.extend(to: Int(item) + 1, with: 0) }
    // One growth for a bulk load; later changes grow by the usual steps.
    if arena.count == 0 && arena.capacity < items.count + changes.rows.count + 1 {
      arena.grow(to: items.count + changes.rows.count + 1)
      affinity_advise(arena.base, arena.bytes)
    }
  }

  private mutating func replace(row: Int, with items: UnsafeBufferPointer<UInt32>) {
    let old = Int(counts.base[row])
    let new = items.count
    let columns = columnCounts.base
    var at = Int(offsets.base[row])
    for k in 0..<old { columns[Int(arena.base[at &+ k])] &-= 1 }
    for k in 0..<new {
      columns[Int(items[k])] &+= 1
    }
    entries += new - old
    work &+= UInt64(new) * UInt64(max(new - 1, 0)) &- UInt64(old) * UInt64(max(old - 1, 0))
    if new == 0 {
      if old > 0 {
        leave(at - 1, old + 1)
        activeRows -= 1
      }
      counts[row] = 0
      return
    }
    if old == 0 { activeRows += 1 }
    if new < old {
      leave(at + new, old - new)
    } else if new > old {
      if old == 0 || !widen(at + old, by: new - old) {
        if old > 0 { leave(at - 1, old + 1) }
        at = arena.count + 1
        precondition(at + new < Int(UInt32.max), "more than 2^32 entries in one matrix")
        arena.append(MirrorRows.top | UInt32(row))
        if arena.count + new > arena.capacity { arena.grow(to: arena.count + new) }
        arena.count += new
      }
    }
    (arena.base + at).update(from: items.baseAddress!, count: new)
    offsets[row] = UInt32(at)
    counts[row] = UInt32(new)
  }

  /// Changes come in no promised order; many are in order already.
  private static func sort(_ items: UnsafeBufferPointer<UInt32>, into sorted: inout Vec<UInt32>) {
    sorted.removeAll()
    if items.count > sorted.capacity { sorted.grow(to: items.count) }
    sorted.count = items.count
    let out = sorted.base
    var last: UInt32 = 0
    var inOrder = true
    for k in items.indices {
      let item = items[k]
      if item < last { inOrder = false }
      last = item
      out[k] = item
    }
    if inOrder { return }
    if items.count <= 256 {
      affinity_ids_sort(items.baseAddress!, items.count, out)
    } else {
      var row = UnsafeMutableBufferPointer(start: out, count: items.count)
      row.sort()
    }
  }

  /// Marks `length` words from `at` as a gap; the arena's tail is given back at once.
  private mutating func leave(_ at: Int, _ length: Int) {
    if at + length == arena.count {
      arena.count = at
      return
    }
    arena[at] = MirrorRows.gap | UInt32(length)
    garbage += length
  }

  /// Whether the segment that ends at `end` could take `by` more words where it stands.
  private mutating func widen(_ end: Int, by more: Int) -> Bool {
    if end == arena.count {
      if end + more > arena.capacity { return false }
      arena.count += more
      return true
    }
    let word = arena[end]
    guard word & MirrorRows.gap == MirrorRows.gap else { return false }
    let length = Int(word & ~MirrorRows.gap)
    guard length >= more else { return false }
    garbage -= length
    if length > more {
      arena[end + more] = MirrorRows.gap | UInt32(length - more)
      garbage += length - more
    }
    return true
  }

  private mutating func compact() {
    let words = arena.base
    var from = 0
    var to = 0
    let end = arena.count
    while from < end {
      let word = words[from]
      if word & MirrorRows.gap == MirrorRows.gap {
        from += Int(word & ~MirrorRows.gap)
        continue
      }
      let row = Int(word & ~MirrorRows.gap)
      let length = Int(counts[row]) + 1
      if from != to {
        (words + to).update(from: words + from, count: length)
        offsets[row] = UInt32(to + 1)
      }
      from += length
      to += length
    }
    arena.count = to
    garbage = 0
    // Give memory back after a large shrink (an erasure, a window that moved on).
    if arena.capacity > 1 << 16 && to < arena.capacity / 2 {
      var fresh = Vec<UInt32>(capacity: to + to / 4 + 1)
      fresh.append(contentsOf: arena.buffer)
      arena = fresh
    }
  }

  /// Whether segments and gaps tile the arena and every sum agrees; for tests.
  func checkInvariants() -> Bool {
    var at = 0
    var live = 0
    var dead = 0
    var rows = 0
    var columns = [UInt32](repeating: 0, count: columnCounts.count)
    while at < arena.count {
      let word = arena[at]
      if word & MirrorRows.gap == MirrorRows.gap {
        dead += Int(word & ~MirrorRows.gap)
        at += Int(word & ~MirrorRows.gap)
        continue
      }
      let id = Int(word & ~MirrorRows.gap)
      let row = self.row(id)
      if Int(offsets[id]) != at + 1 || row.isEmpty { return false }
      for k in row.indices {
        columns[Int(row[k])] += 1
        if k > 0 && row[k - 1] >= row[k] { return false }
      }
      live += row.count
      rows += 1
      at += row.count + 1
    }
    return at == arena.count && arena.base[at] & MirrorRows.top != 0 && live == entries && dead == garbage && rows == activeRows
      && columns.elementsEqual(columnCounts.buffer)
  }
}

/// A mirror's rows for kernels; valid until the next change.
struct RowView {
  var arena: UnsafePointer<UInt32>
  var offsets: UnsafePointer<UInt32>
  var counts: UnsafePointer<UInt32>
  /// One more than the highest row id.
  var limit: Int

  @inline(__always) func row(_ id: Int) -> UnsafeBufferPointer<UInt32> {
    UnsafeBufferPointer(start: arena + Int(offsets[id]), count: Int(counts[id]))
  }
}

/// The rows by reference: two relations over one matrix share them. Work is done in the struct, where
/// a field costs no check for overlapping access.
final class RowMirror {
  private var rows = MirrorRows()

  var view: RowView { rows.view }
  var rowLimit: Int { rows.rowLimit }
  var itemLimit: Int { rows.itemLimit }
  var entries: Int { rows.entries }
  var activeRows: Int { rows.activeRows }
  var work: UInt64 { rows.work }
  var arenaCount: Int { rows.arena.count }
  var bytes: Int { rows.bytes }
  /// Per item: rows that hold it.
  var columnCounts: UnsafeBufferPointer<UInt32> { rows.columnCounts.buffer }

  func apply(_ changes: RowChanges, diffs: inout RowDiffs, wantsDiffs: Bool) {
    rows.apply(changes, diffs: &diffs, wantsDiffs: wantsDiffs)
  }

  func checkInvariants() -> Bool { rows.checkInvariants() }
}
