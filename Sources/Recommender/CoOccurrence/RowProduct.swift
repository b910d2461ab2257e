// AᵀB row by row (Gustavson 1978): for a source item, the rows that hold it in A are walked in B and
// their items counted in dense scratch. A row that meets few items keeps a list of them, one that meets
// many is scanned whole. Kernels take a range of items and write only those items' slots.
import Sparse

/// What the kernels read: columns of A, rows of B.
struct ProductInput {
  var items: Int
  var columnStarts: UnsafePointer<UInt32>
  var columnRows: UnsafePointer<UInt32>
  var columnLimit: Int
  var arena: UnsafePointer<UInt32>
  var offsets: UnsafePointer<UInt32>
  var counts: UnsafePointer<UInt32>
  var rowLimit: Int
  var ranks: UnsafePointer<UInt32>
  var isSymmetric: Bool
  var minBoth: UInt32
  var k: Int
  /// Words of the counts' digest, or nil to leave it out.
  var sourceWords: UnsafePointer<Fingerprint>?
  var targetWords: UnsafePointer<Fingerprint>?

  /// Entries met on the way through a row of the product.
  @inline(__always) func cost(_ item: Int) -> Int {
    guard item < columnLimit else { return 0 }
    var sum = 0
    for at in Int(columnStarts[item])..<Int(columnStarts[item + 1]) {
      let row = Int(columnRows[at])
      if row < rowLimit { sum &+= Int(counts[row]) }
    }
    return sum
  }
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
  var pairs = 0
  var digest = Fingerprint.zero
}

enum RowProduct {
  static func run<S: Scorer>(
    _ input: ProductInput, _ output: ProductOutput, scorer: S, range: Range<Int>,
    costs: UnsafePointer<UInt64>
  ) -> ProductSums {
    var scorer = scorer
    var sums = ProductSums()
    let scratch = UnsafeMutablePointer<UInt32>.allocate(capacity: input.items)
    scratch.initialize(repeating: 0, count: input.items)
    let touched = UnsafeMutablePointer<UInt32>.allocate(capacity: input.items + 1)
    defer {
      scratch.deallocate()
      touched.deallocate()
    }
    var selection = Selection(k: input.k)
    for item in range {
      output.lengths[item] = 0
      if costs[item] == 0 { continue }
      scorer.begin(item: item)
      selection.begin()
      // Four visits or more per cell: the list would hold most of the row anyway.
      if costs[item] >= UInt64(input.items) {
        countAll(input, item, scratch)
        selectAll(input, item, scratch, scorer, &selection, &sums)
      } else {
        let met = countTouched(input, item, scratch, touched)
        selectTouched(input, item, scratch, touched, met, scorer, &selection, &sums)
      }
      let slot = Int(output.slots[item])
      let length = selection.finish(
        scorer, ids: output.ids + slot, both: output.both + slot, values: output.values + slot)
      output.lengths[item] = UInt32(length)
    }
    return sums
  }

  @inline(__always)
  private static func countAll(
    _ input: ProductInput, _ item: Int, _ scratch: UnsafeMutablePointer<UInt32>
  ) {
    for at in Int(input.columnStarts[item])..<Int(input.columnStarts[item + 1]) {
      let row = Int(input.columnRows[at])
      if row >= input.rowLimit { continue }
      let from = input.arena + Int(input.offsets[row])
      for k in 0..<Int(input.counts[row]) { scratch[Int(from[k])] &+= 1 }
    }
  }

  @inline(__always)
  private static func countTouched(
    _ input: ProductInput, _ item: Int, _ scratch: UnsafeMutablePointer<UInt32>,
    _ touched: UnsafeMutablePointer<UInt32>
  ) -> Int {
    var met = 0
    for at in Int(input.columnStarts[item])..<Int(input.columnStarts[item + 1]) {
      let row = Int(input.columnRows[at])
      if row >= input.rowLimit { continue }
      let from = input.arena + Int(input.offsets[row])
      for k in 0..<Int(input.counts[row]) {
        let target = from[k]
        let old = scratch[Int(target)]
        touched[met] = target
        met &+= old == 0 ? 1 : 0
        scratch[Int(target)] = old &+ 1
      }
    }
    return met
  }

  @inline(__always)
  private static func selectAll<S: Scorer>(
    _ input: ProductInput, _ item: Int, _ scratch: UnsafeMutablePointer<UInt32>,
    _ scorer: borrowing S, _ selection: inout Selection, _ sums: inout ProductSums
  ) {
    for target in 0..<input.items {
      let both = scratch[target]
      if both == 0 { continue }
      scratch[target] = 0
      consider(input, item, target, both, scorer, &selection, &sums)
    }
  }

  @inline(__always)
  private static func selectTouched<S: Scorer>(
    _ input: ProductInput, _ item: Int, _ scratch: UnsafeMutablePointer<UInt32>,
    _ touched: UnsafeMutablePointer<UInt32>, _ met: Int, _ scorer: borrowing S,
    _ selection: inout Selection, _ sums: inout ProductSums
  ) {
    for k in 0..<met {
      let target = Int(touched[k])
      let both = scratch[target]
      scratch[target] = 0
      consider(input, item, target, both, scorer, &selection, &sums)
    }
  }

  @inline(__always)
  private static func consider<S: Scorer>(
    _ input: ProductInput, _ item: Int, _ target: Int, _ both: UInt32,
    _ scorer: borrowing S, _ selection: inout Selection, _ sums: inout ProductSums
  ) {
    // A symmetric relation meets each pair from both ends: it is counted at the smaller id, and the
    // diagonal, which is the item's own count, is not a pair.
    if !input.isSymmetric || target > item {
      sums.pairs &+= 1
      if let source = input.sourceWords, let words = input.targetWords {
        sums.digest &+= CountsDigest.element(source[item], words[target], count: both)
      }
    }
    if target == item || both < input.minBoth { return }
    let quick = scorer.quick(both, target)
    if quick < selection.threshold { return }
    selection.offer(both, target, scorer, input.ranks)
  }
}
