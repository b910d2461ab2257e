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
      let met = square.read(label, into: counts.base)
      let item = Int(idOf[label])
      output.lengths[item] = 0
      if met == 0 { continue }
      sums.cells &+= met
      if let words { digest(label, labels, counts.base, words, &sums.digest) }
      let slot = Int(output.slots[item])
      let ids = output.ids + slot
      scorer.begin(item: label)
      let length = selection.select(
        nil, counts.base, labels, scorer, ranks, except: label,
        ids: ids, both: output.both + slot, values: output.values + slot)
      for i in 0..<length { ids[i] = idOf[Int(ids[i])] }
      output.lengths[item] = UInt32(length)
    }
    return sums
  }

  private static func digest(
    _ label: Int, _ labels: Int, _ counts: UnsafePointer<UInt32>,
    _ words: UnsafePointer<Fingerprint>, _ digest: inout Fingerprint
  ) {
    let word = words[label]
    for other in (label + 1)..<max(labels, label + 1) where counts[other] != 0 {
      digest &+= CountsDigest.element(word, words[other], count: counts[other])
    }
  }
}
