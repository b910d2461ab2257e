// Net changes of rows as changes of pairs, each under one of its two items: the one in more rows, so that
// the pairs of a popular item stand together and are counted again in one go (ListRenewal.swift).
import Sparse

struct PairDeltas: ~Copyable {
  /// Per item and one more: where its moves begin.
  var starts: Vec<UInt32>
  /// The other item, twice, and one more for a row less.
  var moves: Vec<UInt32>
  /// Per item: rows of the other items of its moves, summed.
  var probes: Vec<UInt64>

  /// - Parameter counts: rows per item, now. Complexity: O(items + pairs of the changes).
  init(_ diffs: borrowing RowDiffs, counts: UnsafePointer<UInt32>, items: Int) {
    let starts = Vec<UInt32>(repeating: 0, count: items + 1)
    let probes = Vec<UInt64>(repeating: 0, count: items)
    PairDeltas.each(diffs) { a, b, _ in
      let (owner, other) = PairDeltas.order(a, b, counts)
      starts[Int(owner)] &+= 1
      probes[Int(owner)] &+= UInt64(counts[Int(other)])
    }
    var sum: UInt32 = 0
    for item in 0...items {
      sum += starts[item]
      starts[item] = sum
    }
    var moves = Vec<UInt32>(capacity: Int(sum))
    moves.count = Int(sum)
    let base = moves.base
    // From the back, so that `starts` ends at the beginnings.
    PairDeltas.each(diffs) { a, b, isLoss in
      let (owner, other) = PairDeltas.order(a, b, counts)
      starts[Int(owner)] &-= 1
      base[Int(starts[Int(owner)])] = other << 1 | isLoss
    }
    self.starts = starts
    self.moves = moves
    self.probes = probes
  }

  @inline(__always)
  private static func order(
    _ a: UInt32, _ b: UInt32, _ counts: UnsafePointer<UInt32>
  ) -> (UInt32, UInt32) {
    let (x, y) = (counts[Int(a)], counts[Int(b)])
    return x > y || (x == y && a > b) ? (a, b) : (b, a)
  }

  /// Every pair that a row gained (0) or lost (1).
  @inline(__always)
  private static func each(
    _ diffs: borrowing RowDiffs, _ body: (_ a: UInt32, _ b: UInt32, _ isLoss: UInt32) -> Void
  ) {
    for r in 0..<diffs.rows.count {
      let row = diffs.rows[r]
      let items = diffs.items.base + Int(row.start)
      let kept = Int(row.kept)
      let gained = kept &+ Int(row.gained)
      let lost = gained &+ Int(row.lost)
      for m in kept..<gained {
        for k in 0..<kept { body(items[m], items[k], 0) }
        for k in (m &+ 1)..<max(gained, m &+ 1) { body(items[m], items[k], 0) }
      }
      for m in gained..<lost {
        for k in 0..<kept { body(items[m], items[k], 1) }
        for k in (m &+ 1)..<max(lost, m &+ 1) { body(items[m], items[k], 1) }
      }
    }
  }
}
