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
  /// Whether places are headers of rows, and not an item's own entries.
  var areHeaders: Bool
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
  var spares: Spares?

  /// Per item: room for `KeptLists.spare` pairs that follow its list, how many there are, and what
  /// bounds the others' quick scores.
  struct Spares {
    var ids: UnsafeMutablePointer<UInt32>
    var both: UnsafeMutablePointer<UInt32>
    var lengths: UnsafeMutablePointer<UInt8>
    var floors: UnsafeMutablePointer<Float>
  }

  @inline(__always) func list(_ item: Int) -> Selection.List {
    let slot = Int(slots[item])
    var list = Selection.List(ids: ids + slot, both: both + slot, values: values + slot)
    if let spares {
      list.spareIDs = spares.ids + item &* KeptLists.spare
      list.spareBoth = spares.both + item &* KeptLists.spare
      list.room = KeptLists.spare
    }
    return list
  }

  @inline(__always) func close(_ item: Int, _ taken: Selection.Taken) {
    lengths[item] = UInt32(taken.length)
    guard let spares else { return }
    spares.lengths[item] = UInt8(taken.spares)
    spares.floors[item] = taken.floor
  }
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

  /// Writes the lists of the items given.
  static func run<S: Scorer, Items: Sequence<Int>>(
    _ input: ProductInput, _ output: ProductOutput, scorer: S, items: Items
  ) -> ProductSums {
    var scorer = scorer
    var sums = ProductSums()
    let scratch = Vec<UInt32>(repeating: 0, count: input.items)
    let bytes = Vec<UInt8>(repeating: 0, count: input.items)
    let touched = Vec<UInt32>(capacity: input.items + 2)
    let counts = Vec<UInt32>(capacity: input.items)
    var selection = Selection(
      k: input.k, margin: output.spares == nil ? 0 : KeptLists.margin, longest: input.items)
    for item in items {
      output.close(item, Selection.Taken(length: 0, spares: 0, floor: 0))
      let cost = input.costs[item]
      if cost == 0 { continue }
      let from = Int(input.starts[item])
      let rows = Int(input.starts[item + 1]) - from
      let places = input.places + from
      // Prefetching runs on into the next item's places: most items are in few rows.
      let beyond = input.placeCount - from
      let list = output.list(item)
      scorer.begin(item: item)
      let taken: Selection.Taken
      if isScanned(cost: cost, items: input.items) {
        if input.areHeaders {
          affinity_rows_count(input.arena, places, rows, beyond, scratch.base)
        } else {
          affinity_pairs_count(input.arena, places, rows, beyond, scratch.base)
        }
        sum(input, item, scratch.base, &sums)
        scorer.score(nil, scratch.base, input.items, selection.scores.base)
        taken = selection.take(input.items, scorer, input.ranks, except: item, into: list) {
          (UInt32(truncatingIfNeeded: $0), scratch.base[$0])
        }
        scratch.base.update(repeating: 0, count: input.items)
      } else {
        // An item in at most 255 rows meets another at most as often.
        let counters =
          rows > 255
          ? Counters(base: scratch.base, wide: 1) : Counters(base: bytes.base, wide: 0)
        // Of a pair's two items the smaller one answers for it in the digest.
        var larger = 0
        let met: Int
        if input.areHeaders {
          met = affinity_rows_touch(
            input.arena, places, rows, beyond, counters.base, counters.wide, touched.base)
          larger = met
        } else {
          met = affinity_pairs_touch(
            input.arena, places, rows, beyond, counters.base, counters.wide, touched.base,
            touched.capacity, &larger)
        }
        scorer.takeScores(touched.base, met, counters, counts.base, selection.scores.base)
        sums.cells &+= met
        sum(input, item, touched.base, counts.base, larger, &sums)
        taken = selection.take(met, scorer, input.ranks, except: item, into: list) {
          (touched.base[$0], counts.base[$0])
        }
      }
      output.close(item, taken)
    }
    return sums
  }

  /// Sums the digest of some of an item's pairs, where it is wanted.
  @inline(__always)
  private static func sum(
    _ input: ProductInput, _ item: Int, _ ids: UnsafePointer<UInt32>,
    _ counts: UnsafePointer<UInt32>, _ met: Int, _ sums: inout ProductSums
  ) {
    guard let source = input.sourceWords, let targets = input.targetWords else { return }
    let word = source[item]
    for k in 0..<met {
      sums.digest &+= CountsDigest.element(word, targets[Int(ids[k])], count: counts[k])
    }
  }

  /// Counts the pairs of a whole row too.
  @inline(__always)
  private static func sum(
    _ input: ProductInput, _ item: Int, _ counts: UnsafePointer<UInt32>, _ sums: inout ProductSums
  ) {
    sums.cells &+= affinity_counts_met(counts, input.items)
    guard let source = input.sourceWords, let targets = input.targetWords else { return }
    let word = source[item]
    for target in (input.isSymmetric ? item : 0)..<input.items where counts[target] != 0 {
      sums.digest &+= CountsDigest.element(word, targets[target], count: counts[target])
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
