// AᵀB row by row (Gustavson 1978): for a source item, the rows that hold it in A are walked in B and
// their items counted in dense scratch. A row that meets few items keeps a list of them, one that meets
// many is scanned whole. Kernels take a range of items and write only those items' slots.
import CKernels
import Sparse

/// What the kernels read.
struct ProductInput {
  var items: Int
  var starts: UnsafePointer<UInt32>
  var places: UnsafePointer<UInt32>
  var placeCount: Int
  var costs: UnsafePointer<UInt64>
  /// Of the matrix whose rows are walked.
  var arena: UnsafePointer<UInt32>
  var ranks: UnsafePointer<UInt32>
  var isSymmetric: Bool
  var k: Int
  /// Words of the counts' digest, or nil to leave it out.
  var sourceWords: UnsafePointer<Fingerprint>?
  var targetWords: UnsafePointer<Fingerprint>?
}

struct ProductOutput {
  /// Per item: where its list goes, and its length.
  var slots: UnsafePointer<UInt32>
  var lengths: UnsafeMutablePointer<UInt32>
  var ids: UnsafeMutablePointer<UInt32>
  var both: UnsafeMutablePointer<UInt32>
  var values: UnsafeMutablePointer<Double>
}

/// Sums of one part.
struct ProductSums: BitwiseCopyable {
  /// Cells of AᵀB off the diagonal in a symmetric relation (each pair twice), all cells in another.
  var cells = 0
  var digest = Fingerprint.zero
}

enum RowProduct {
  /// A whole scan costs about a quarter of a nanosecond a cell, an entry of the list two.
  static func isScanned(cost: UInt64, items: Int) -> Bool { cost &* 4 >= UInt64(items) }

  static func run<S: Scorer>(
    _ input: ProductInput, _ output: ProductOutput, scorer: S, range: Range<Int>
  ) -> ProductSums {
    var scorer = scorer
    var sums = ProductSums()
    let scratch = Vec<UInt32>(repeating: 0, count: input.items)
    let bytes = Vec<UInt8>(repeating: 0, count: input.items)
    let touched = Vec<UInt32>(capacity: input.items + 1)
    let counts = Vec<UInt32>(capacity: input.items)
    var selection = Selection(k: input.k, longest: input.items)
    for item in range {
      output.lengths[item] = 0
      let cost = input.costs[item]
      if cost == 0 { continue }
      let from = Int(input.starts[item])
      let rows = Int(input.starts[item + 1]) - from
      let places = input.places + from
      // Prefetching runs on into the next item's places: most items are in few rows.
      let beyond = input.placeCount - from
      let slot = Int(output.slots[item])
      let list = Selection.List(
        ids: output.ids + slot, both: output.both + slot, values: output.values + slot)
      scorer.begin(item: item)
      let length: Int
      if isScanned(cost: cost, items: input.items) {
        if input.isSymmetric {
          affinity_pairs_count(input.arena, places, rows, beyond, scratch.base)
        } else {
          affinity_rows_count(input.arena, places, rows, beyond, scratch.base)
        }
        sum(input, item, nil, scratch.base, input.items, &sums)
        scorer.score(nil, scratch.base, input.items, selection.scores.base)
        length = selection.take(input.items, scorer, input.ranks, except: item, into: list) {
          (UInt32(truncatingIfNeeded: $0), scratch.base[$0])
        }
        scratch.base.update(repeating: 0, count: input.items)
      } else {
        // An item in at most 255 rows meets another at most as often.
        let counters =
          rows > 255
          ? Counters(base: scratch.base, wide: 1) : Counters(base: bytes.base, wide: 0)
        let met =
          input.isSymmetric
          ? affinity_pairs_touch(
            input.arena, places, rows, beyond, counters.base, counters.wide, touched.base)
          : affinity_rows_touch(
            input.arena, places, rows, beyond, counters.base, counters.wide, touched.base)
        scorer.takeScores(touched.base, met, counters, counts.base, selection.scores.base)
        sum(input, item, touched.base, counts.base, met, &sums)
        length = selection.take(met, scorer, input.ranks, except: item, into: list) {
          (touched.base[$0], counts.base[$0])
        }
      }
      output.lengths[item] = UInt32(length)
    }
    return sums
  }

  /// Counts the cells, and sums their digest where it is wanted: a symmetric relation's pair at the
  /// smaller id only.
  @inline(__always)
  private static func sum(
    _ input: ProductInput, _ item: Int, _ ids: UnsafePointer<UInt32>?,
    _ counts: UnsafePointer<UInt32>, _ met: Int, _ sums: inout ProductSums
  ) {
    if ids != nil {
      sums.cells &+= met
    } else {
      sums.cells &+= affinity_counts_met(counts, met)
    }
    guard let source = input.sourceWords, let targets = input.targetWords else { return }
    let word = source[item]
    if let ids {
      for k in 0..<met {
        let target = Int(ids[k])
        if input.isSymmetric && target < item { continue }
        sums.digest &+= CountsDigest.element(word, targets[target], count: counts[k])
      }
    } else {
      for target in (input.isSymmetric ? item : 0)..<met where counts[target] != 0 {
        sums.digest &+= CountsDigest.element(word, targets[target], count: counts[target])
      }
    }
  }

  /// Item ranges of about equal work: `parts` + 1 ascending bounds.
  static func split(_ costs: UnsafeBufferPointer<UInt64>, total: UInt64, parts: Int) -> [Int] {
    var bounds = [0]
    var sum: UInt64 = 0
    // An item costs something even where nothing is met.
    let all = total + UInt64(costs.count)
    for item in costs.indices {
      if bounds.count < parts && sum * UInt64(parts) >= all * UInt64(bounds.count) {
        bounds.append(item)
      }
      sum += costs[item] + 1
    }
    while bounds.count < parts + 1 { bounds.append(costs.count) }
    return bounds
  }
}
