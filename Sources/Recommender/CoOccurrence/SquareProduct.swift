// Neighbours from a stored square: every row is read whole and its best are selected.
import CKernels
import Sparse

enum SquareProduct {
  /// Labels of `range`; scorer, ranks and words are by label. Lists are written in items.
  static func run<S: Scorer>(
    _ square: SquareCounts, _ output: ProductOutput, scorer: S, range: Range<Int>,
    ranks: UnsafePointer<UInt32>, words: UnsafePointer<Fingerprint>?, k: Int
  ) -> ProductSums {
    var scorer = scorer
    var sums = ProductSums()
    let labels = square.labels
    let counts = Vec<UInt32>(repeating: 0, count: labels)
    var selection = Selection(k: k, longest: labels)
    let idOf = square.idOf.base
    for label in range {
      let item = Int(idOf[label])
      output.lengths[item] = 0
      scorer.begin(item: label)
      let met = scorer.scoreSquare(
        square, label, temporary: counts.base, selection.scores.base)
      if met == 0 { continue }
      sums.cells &+= met
      if let words { digest(square, label, counts.base, words, &sums.digest) }
      let slot = Int(output.slots[item])
      let list = Selection.List(
        ids: output.ids + slot, both: output.both + slot, values: output.values + slot)
      let length = selection.take(labels, scorer, ranks, except: label, into: list) {
        (UInt32(truncatingIfNeeded: $0), square.count(label, $0))
      }.length
      for i in 0..<length { list.ids[i] = idOf[Int(list.ids[i])] }
      output.lengths[item] = UInt32(length)
    }
    return sums
  }

  private static func digest(
    _ square: SquareCounts, _ label: Int, _ counts: UnsafeMutablePointer<UInt32>,
    _ words: UnsafePointer<Fingerprint>, _ digest: inout Fingerprint
  ) {
    _ = square.read(label, into: counts)
    let word = words[label]
    for other in (label + 1)..<max(square.labels, label + 1) where counts[other] != 0 {
      digest &+= CountsDigest.element(word, words[other], count: counts[other])
    }
  }
}

extension Scorer {
  /// Scores of a row of a square; returns how many counts are not zero.
  func scoreSquare(
    _ square: SquareCounts, _ label: Int, temporary: UnsafeMutablePointer<UInt32>,
    _ scores: UnsafeMutablePointer<Float>
  ) -> Int {
    let met = square.read(label, into: temporary)
    if met > 0 { score(nil, temporary, square.labels, scores) }
    return met
  }
}

extension LinearScorer {
  func scoreSquare(
    _ square: SquareCounts, _ label: Int, temporary: UnsafeMutablePointer<UInt32>,
    _ scores: UnsafeMutablePointer<Float>
  ) -> Int {
    affinity_scores_linear_square(
      square.row(label), square.labels, facts.weights, facts.minBoth, scores,
      square.isWide ? 1 : 0)
  }
}
