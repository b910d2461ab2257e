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
  /// Where places are numbers of rows.
  var rows: RowView?
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
  /// Pairs from which a first floor is taken.
  private static let sample = 512

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
    let touched = Vec<UInt32>(capacity: input.items + 1)
    let counts = Vec<UInt32>(capacity: input.items)
    var selection = Selection(
      k: input.k, margin: output.spares == nil ? 0 : KeptLists.spare / 2, longest: input.items)
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
        if let view = input.rows {
          affinity_columns_count(
            view.arena, view.offsets, view.counts, places, rows, beyond, scratch.base)
        } else if input.isSymmetric {
          affinity_pairs_count(input.arena, places, rows, beyond, scratch.base)
        } else {
          affinity_rows_count(input.arena, places, rows, beyond, scratch.base)
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
        let met =
          input.rows != nil
          ? affinity_columns_touch(
            input.rows!.arena, input.rows!.offsets, input.rows!.counts, places, rows, beyond,
            counters.base, counters.wide, touched.base)
          : input.isSymmetric
          ? affinity_pairs_touch(
            input.arena, places, rows, beyond, counters.base, counters.wide, touched.base)
          : affinity_rows_touch(
            input.arena, places, rows, beyond, counters.base, counters.wide, touched.base)
        sum(input, item, touched.base, counters, met, &sums)
        // The first pairs bound what the others must reach to be looked at again.
        let first = min(met, sample)
        var kept = scorer.takeScores(
          touched.base, 0..<first, behind: 0, floor: -1, counters, counts.base,
          selection.scores.base)
        let floor = first < met ? selection.floor(kept) : 0
        if first < met {
          kept = scorer.takeScores(
            touched.base, first..<met, behind: kept, floor: floor, counters, counts.base,
            selection.scores.base)
        }
        taken = selection.take(
          kept, above: floor, scorer, input.ranks, except: item, into: list
        ) { (touched.base[$0], counts.base[$0]) }
      }
      output.close(item, taken)
    }
    return sums
  }

  /// Counts the cells, and sums their digest where it is wanted: a symmetric relation's pair at the
  /// smaller id only.
  @inline(__always)
  private static func sum(
    _ input: ProductInput, _ item: Int, _ ids: UnsafePointer<UInt32>, _ counters: Counters,
    _ met: Int, _ sums: inout ProductSums
  ) {
    sums.cells &+= met
    guard let source = input.sourceWords, let targets = input.targetWords else { return }
    let word = source[item]
    for k in 0..<met {
      let target = Int(ids[k])
      if input.isSymmetric && target < item { continue }
      sums.digest &+= CountsDigest.element(word, targets[target], count: counters[target])
    }
  }

  /// The same for a whole row.
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
