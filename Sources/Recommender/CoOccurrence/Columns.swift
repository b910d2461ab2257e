// The transpose of a mirror: for every item the places of the rows that hold it, by counting sort.
//
// A place is a position in the arena of the matrix whose rows are walked: in a symmetric relation the
// item's own entry, so that a walk finds the other entries around it; between two matrices the header
// of the target's row. Rows without a pair to offer (one entry; no target) have no place, and in logs of
// short rows that is half of them.
import Sparse

struct Columns: ~Copyable {
  /// Per item one more than the items: where its places begin.
  var starts: Vec<UInt32>
  var places: Vec<UInt32>
  /// Per item: entries met on a walk through all its rows, itself left out where it is one of them.
  var costs: Vec<UInt64>
  var work: UInt64 = 0

  /// - Parameter items: at least the item limits of both matrices.
  init(source: RowMirror, target: RowMirror, items: Int) {
    starts = Vec(repeating: 0, count: items + 1)
    costs = Vec(repeating: 0, count: items)
    if source === target {
      let total = Columns.count(source, into: starts.base, costs.base)
      places = Vec(capacity: total)
      places.count = total
      sum(items)
      Columns.placeItems(source, starts.base, places.base)
    } else {
      let total = Columns.count(source, target, into: starts.base, costs.base)
      places = Vec(capacity: total)
      places.count = total
      sum(items)
      Columns.placeRows(source, target, starts.base, places.base)
    }
    // Every start has become the next one's: shift back.
    var i = items
    while i > 0 {
      starts[i] = starts[i - 1]
      i -= 1
    }
    starts[0] = 0
    for item in 0..<items { work += costs[item] }
  }

  var bytes: Int { starts.bytes + places.bytes + costs.bytes }

  private mutating func sum(_ items: Int) {
    var sum: UInt32 = 0
    for i in 0...items {
      let count = starts[i]
      starts[i] = sum
      sum += count
    }
  }

  private static func count(
    _ mirror: RowMirror, into counts: UnsafeMutablePointer<UInt32>,
    _ costs: UnsafeMutablePointer<UInt64>
  ) -> Int {
    var total = 0
    for row in 0..<mirror.rowLimit {
      let length = Int(mirror.counts.base[row])
      if length < 2 { continue }
      let from = mirror.arena.base + Int(mirror.offsets.base[row])
      for k in 0..<length {
        counts[Int(from[k])] &+= 1
        costs[Int(from[k])] &+= UInt64(length &- 1)
      }
      total += length
    }
    return total
  }

  private static func placeItems(
    _ mirror: RowMirror, _ cursor: UnsafeMutablePointer<UInt32>, _ out: UnsafeMutablePointer<UInt32>
  ) {
    for row in 0..<mirror.rowLimit {
      let length = Int(mirror.counts.base[row])
      if length < 2 { continue }
      let start = Int(mirror.offsets.base[row])
      for at in start..<(start &+ length) {
        let item = Int(mirror.arena.base[at])
        out[Int(cursor[item])] = UInt32(truncatingIfNeeded: at)
        cursor[item] &+= 1
      }
    }
  }

  private static func count(
    _ source: RowMirror, _ target: RowMirror, into counts: UnsafeMutablePointer<UInt32>,
    _ costs: UnsafeMutablePointer<UInt64>
  ) -> Int {
    var total = 0
    for row in 0..<min(source.rowLimit, target.rowLimit) {
      let length = UInt64(target.counts.base[row])
      let width = Int(source.counts.base[row])
      if length == 0 || width == 0 { continue }
      let from = source.arena.base + Int(source.offsets.base[row])
      for k in 0..<width {
        counts[Int(from[k])] &+= 1
        costs[Int(from[k])] &+= length
      }
      total += width
    }
    return total
  }

  private static func placeRows(
    _ source: RowMirror, _ target: RowMirror, _ cursor: UnsafeMutablePointer<UInt32>,
    _ out: UnsafeMutablePointer<UInt32>
  ) {
    for row in 0..<min(source.rowLimit, target.rowLimit) where target.counts.base[row] > 0 {
      let header = target.offsets.base[row] &- 1
      let from = source.arena.base + Int(source.offsets.base[row])
      for k in 0..<Int(source.counts.base[row]) {
        let item = Int(from[k])
        out[Int(cursor[item])] = header
        cursor[item] &+= 1
      }
    }
  }
}
