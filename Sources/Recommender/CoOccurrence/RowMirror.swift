// The worker's copy of one matrix: the active items of every row, kept current from sealed changes.
//
// Layout: one arena of 32-bit words holds a segment per non-empty row, in no order:
//     header = row id        then `counts[row]` item ids, ascending
// and what rows left behind are gaps: one word with the top bit set and the gap's length (itself
// included) in the others. So 4 bytes an entry and 12 a row (header, offset, count), and the arena is
// compacted by sliding segments down in one pass, without a second copy.
// Bounds: 2^31 rows, 2^31 items, 2^32 - 1 words of arena.
import Sparse

final class RowMirror {
  /// Segments and gaps.
  var arena = Vec<UInt32>()
  /// Per row: where its items begin in the arena, and how many they are.
  var offsets = Vec<UInt32>()
  var counts = Vec<UInt32>()
  /// Per item: rows that hold it.
  var columnCounts = Vec<UInt32>()
  /// Words of the arena in gaps.
  var garbage = 0
  var entries = 0
  var activeRows = 0
  /// Moves with every change; what is derived from the rows remembers the version it was made of.
  var version: UInt64 = 0

  static let gap: UInt32 = 0x8000_0000

  var rowLimit: Int { offsets.count }
  var itemLimit: Int { columnCounts.count }
  var bytes: Int { arena.bytes + offsets.bytes + counts.bytes + columnCounts.bytes }

  @inline(__always) func row(_ id: Int) -> UnsafeBufferPointer<UInt32> {
    UnsafeBufferPointer(start: arena.base + Int(offsets[id]), count: Int(counts[id]))
  }

  /// Rows take the items given. Complexity: O(old + new entries of the changed rows), plus compaction,
  /// which is amortised over the words that became garbage.
  func apply(_ changes: RowChanges) {
    precondition(changes.offsets.count == changes.rows.count + 1)
    version &+= 1
    changes.items.withUnsafeBufferPointer { items in
      reserve(changes, items)
      for k in 0..<changes.rows.count {
        let slice = UnsafeBufferPointer(
          rebasing: items[changes.offsets[k]..<changes.offsets[k + 1]])
        replace(row: Int(changes.rows[k]), with: slice)
      }
    }
    if garbage > 1024 && garbage > arena.count / 4 { compact() }
  }

  private func reserve(_ changes: RowChanges, _ items: UnsafeBufferPointer<UInt32>) {
    var highest: UInt32 = 0
    for row in changes.rows { highest = max(highest, row) }
    precondition(highest < RowMirror.gap)
    if !changes.rows.isEmpty {
      offsets.extend(to: Int(highest) + 1, with: 0)
      counts.extend(to: Int(highest) + 1, with: 0)
    }
    var item: UInt32 = 0
    for i in items { item = max(item, i) }
    precondition(item < RowMirror.gap)
    if !items.isEmpty { columnCounts.extend(to: Int(item) + 1, with: 0) }
    // One growth for a bulk load; later changes grow by the usual steps.
    if arena.count == 0 && arena.capacity < items.count + changes.rows.count {
      arena.grow(to: items.count + changes.rows.count)
    }
  }

  private func replace(row: Int, with items: UnsafeBufferPointer<UInt32>) {
    let old = Int(counts.base[row])
    let new = items.count
    let columns = columnCounts.base
    var at = Int(offsets.base[row])
    for k in 0..<old { columns[Int(arena.base[at &+ k])] &-= 1 }
    for k in 0..<new {
      columns[Int(items[k])] &+= 1
    }
    entries += new - old
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
        arena.append(UInt32(row))
        if arena.count + new > arena.capacity { arena.grow(to: arena.count + new) }
        arena.count += new
      }
    }
    RowMirror.copySorted(items, to: arena.base + at)
    offsets[row] = UInt32(at)
    counts[row] = UInt32(new)
  }

  /// Changes come in no promised order; most rows are short, and many are in order already.
  private static func copySorted(
    _ items: UnsafeBufferPointer<UInt32>, to out: UnsafeMutablePointer<UInt32>
  ) {
    var last: UInt32 = 0
    var inOrder = true
    for k in items.indices {
      let item = items[k]
      if item < last { inOrder = false }
      last = item
      out[k] = item
    }
    if inOrder { return }
    if items.count > 32 {
      var row = UnsafeMutableBufferPointer(start: out, count: items.count)
      row.sort()
      return
    }
    for k in 1..<items.count {
      let item = out[k]
      var at = k
      while at > 0 && out[at &- 1] > item {
        out[at] = out[at &- 1]
        at &-= 1
      }
      out[at] = item
    }
  }

  /// Marks `length` words from `at` as a gap; the arena's tail is given back at once.
  private func leave(_ at: Int, _ length: Int) {
    if at + length == arena.count {
      arena.count = at
      return
    }
    arena[at] = RowMirror.gap | UInt32(length)
    garbage += length
  }

  /// Whether the segment that ends at `end` could take `by` more words where it stands.
  private func widen(_ end: Int, by more: Int) -> Bool {
    if end == arena.count {
      if end + more > arena.capacity { return false }
      arena.count += more
      return true
    }
    let word = arena[end]
    guard word & RowMirror.gap != 0 else { return false }
    let length = Int(word & ~RowMirror.gap)
    guard length >= more else { return false }
    garbage -= length
    if length > more {
      arena[end + more] = RowMirror.gap | UInt32(length - more)
      garbage += length - more
    }
    return true
  }

  private func compact() {
    let words = arena.base
    var from = 0
    var to = 0
    let end = arena.count
    while from < end {
      let word = words[from]
      if word & RowMirror.gap != 0 {
        from += Int(word & ~RowMirror.gap)
        continue
      }
      let length = Int(counts[Int(word)]) + 1
      if from != to {
        (words + to).update(from: words + from, count: length)
        offsets[Int(word)] = UInt32(to + 1)
      }
      from += length
      to += length
    }
    arena.count = to
    garbage = 0
    // Give memory back after a large shrink (an erasure, a window that moved on).
    if arena.capacity > 1 << 16 && to < arena.capacity / 2 {
      var fresh = Vec<UInt32>(capacity: to + to / 4)
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
      if word & RowMirror.gap != 0 {
        dead += Int(word & ~RowMirror.gap)
        at += Int(word & ~RowMirror.gap)
        continue
      }
      let row = self.row(Int(word))
      if Int(offsets[Int(word)]) != at + 1 || row.isEmpty { return false }
      for k in row.indices {
        columns[Int(row[k])] += 1
        if k > 0 && row[k - 1] >= row[k] { return false }
      }
      live += row.count
      rows += 1
      at += row.count + 1
    }
    return at == arena.count && live == entries && dead == garbage && rows == activeRows
      && columns.elementsEqual(columnCounts.buffer)
  }
}

/// For every item the rows that hold it, ascending: a mirror transposed by counting sort.
struct Columns: ~Copyable {
  var starts: Vec<UInt32>
  var rows: Vec<UInt32>
  let version: UInt64

  init(of mirror: RowMirror) {
    version = mirror.version
    let items = mirror.itemLimit
    starts = Vec(repeating: 0, count: items + 1)
    rows = Vec(capacity: mirror.entries)
    rows.count = mirror.entries
    // `starts` serves as the write cursor, one place ahead, and ends as the starts themselves.
    var sum: UInt32 = 0
    for i in 0..<items {
      starts[i] = sum
      sum += mirror.columnCounts[i]
    }
    starts[items] = sum
    let cursor = starts.base
    let out = rows.base
    let arena = mirror.arena.base
    let offsets = mirror.offsets.base
    let counts = mirror.counts.base
    for row in 0..<mirror.rowLimit {
      let count = Int(counts[row])
      let from = arena + Int(offsets[row])
      for k in 0..<count {
        let item = Int(from[k])
        out[Int(cursor[item])] = UInt32(truncatingIfNeeded: row)
        cursor[item] &+= 1
      }
    }
    var i = items
    while i > 0 {
      cursor[i] = cursor[i - 1]
      i -= 1
    }
    cursor[0] = 0
  }

  var bytes: Int { starts.bytes + rows.bytes }
}
