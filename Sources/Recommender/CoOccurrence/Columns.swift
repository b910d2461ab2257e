// The transpose of a mirror: for every item the places of the rows that hold it, by counting sort.
//
// A place is a position in the arena of the matrix whose rows are walked: in a symmetric relation the
// item's own entry, so that a walk finds the other entries around it; between two matrices the header
// of the target's row, and so where columns are to be compared. Rows without a pair to offer (one entry; no target) have no place, and in logs of
// short rows that is half of them. Parts sort ranges of rows, each into its own share of every column, so
// the order within a column is that of the rows whatever the parts.
import CKernels
import Sparse

struct Columns: ~Copyable {
  /// Per item and one more: where its places begin.
  var starts: Vec<UInt32>
  var places: Vec<UInt32>
  /// Per item: entries met on a walk through all its rows, itself left out where it is one of them.
  var costs: Vec<UInt64>
  var work: UInt64 = 0

  /// - Parameter items: at least the item limits of both matrices.
  /// - Parameter ofHeaders: whether places are headers in a symmetric relation too.
  init(
    source: RowMirror, target: RowMirror, items: Int, ofHeaders: Bool = false, _ parallel: Parallel
  ) {
    let sorter = ColumnSorter(
      source: source.view, target: target.view, isSymmetric: source === target, ofHeaders: ofHeaders)
    let entries = source.entries
    // A part's counters are as long as the catalogue: worth it where there are many entries to sort.
    let parts = entries > 8 * items && entries > 1 << 18 ? 4 : 1
    let counts = Vec<UInt32>(repeating: 0, count: parts * items)
    let partCosts = Vec<UInt64>(repeating: 0, count: parts * items)
    let rows = sorter.limit
    let (countBase, costBase) = (counts.base, partCosts.base)
    parallel(parts) { part in
      sorter.count(
        rows * part / parts..<rows * (part + 1) / parts, countBase + part * items,
        costBase + part * items)
    }
    starts = Vec(repeating: 0, count: items + 1)
    costs = Vec(repeating: 0, count: items)
    var sum: UInt32 = 0
    for item in 0..<items {
      starts[item] = sum
      for part in 0..<parts {
        let count = countBase[part * items + item]
        countBase[part * items + item] = sum
        sum += count
        costs[item] += costBase[part * items + item]
      }
      work += costs[item]
    }
    starts[items] = sum
    places = Vec(capacity: Int(sum))
    places.count = Int(sum)
    affinity_advise(places.base, places.bytes)
    let placeBase = places.base
    parallel(parts) { part in
      sorter.place(
        rows * part / parts..<rows * (part + 1) / parts, countBase + part * items, placeBase)
    }
    _ = consume counts
    _ = consume partCosts
  }
}

private struct ColumnSorter {
  let source: RowView
  let target: RowView
  let isSymmetric: Bool
  let ofHeaders: Bool

  var limit: Int { isSymmetric ? source.limit : min(source.limit, target.limit) }

  /// Entries that an item of the row meets; 0 leaves the row out.
  @inline(__always) func met(_ row: Int) -> Int {
    let length = Int(target.counts[row])
    return isSymmetric ? max(length &- 1, 0) : length
  }

  func count(
    _ rows: Range<Int>, _ counts: UnsafeMutablePointer<UInt32>,
    _ costs: UnsafeMutablePointer<UInt64>
  ) {
    for row in rows {
      let met = met(row)
      if met == 0 { continue }
      for item in source.row(row) {
        counts[Int(item)] &+= 1
        costs[Int(item)] &+= UInt64(met)
      }
    }
  }

  func place(
    _ rows: Range<Int>, _ cursor: UnsafeMutablePointer<UInt32>, _ out: UnsafeMutablePointer<UInt32>
  ) {
    let step: UInt32 = isSymmetric && !ofHeaders ? 1 : 0
    for row in rows where met(row) > 0 {
      let start = source.offsets[row]
      var place = step != 0 ? start : target.offsets[row] &- 1
      for k in 0..<source.counts[row] {
        let item = Int(source.arena[Int(start &+ k)])
        out[Int(cursor[item])] = place
        place &+= step
        cursor[item] &+= 1
      }
    }
  }
}
