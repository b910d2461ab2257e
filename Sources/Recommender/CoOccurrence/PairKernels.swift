// Swift twins of the C kernels in CKernels/pairs.c: what they compute, said plainly. The tests hold the
// two against each other; the engine runs the C ones, which prefetch and use wide vectors.
import CKernels

package enum PairKernels {
  /// The items of the rows around (or after) each place, counted and listed once.
  package static func touch(
    arena: [UInt32], places: [UInt32], arePlacesHeaders: Bool, items: Int
  ) -> (touched: [UInt32], counts: [UInt32]) {
    var counts = [UInt32](repeating: 0, count: items)
    var touched: [UInt32] = []
    func meet(_ item: UInt32) {
      if counts[Int(item)] == 0 { touched.append(item) }
      counts[Int(item)] += 1
    }
    for place in places {
      var at = Int(place)
      if !arePlacesHeaders {
        at -= 1
        while arena[at] < MirrorRows.top {
          meet(arena[at])
          at -= 1
        }
        at = Int(place)
      }
      at += 1
      while arena[at] < MirrorRows.top {
        meet(arena[at])
        at += 1
      }
    }
    return (touched, counts)
  }

  package static func linearScores(
    counts: [UInt32], weights: [Float], minimum: UInt32
  ) -> [Float] {
    zip(counts, weights).map { $0 >= minimum ? Float($0) * $1 : -1 }
  }

  /// Places of the scores from `floor` up.
  package static func sieve(_ scores: [Float], floor: Float) -> [UInt32] {
    scores.indices.filter { scores[$0] >= floor }.map { UInt32($0) }
  }

  /// The k-th largest score, or 0: no floor may be above it.
  package static func kthLargest(_ scores: [Float], k: Int) -> Float {
    let sorted = scores.filter { $0 >= 0 }.sorted(by: >)
    return sorted.count < k || scores.count <= k ? 0 : sorted[k - 1]
  }
}
