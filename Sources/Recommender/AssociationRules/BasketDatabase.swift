// The baskets as the miner reads them. Items below the minimum are dropped, the others renumbered by
// rank (count rising, then dense id); baskets left with fewer than two items are dropped too.
//
// One of two layouts, by an estimate of the work to count all pairs:
// - bits: a bit vector over baskets per item (`columns`) and, when column sums pay, one over items
//   per basket (`rows`) with the item's basket list;
// - lists: each basket's items by rank, and for each item the places just after it in its baskets
//   (occurrence deliver; Uno, Kiyomi, Arimura, "LCM ver. 2", FIMI 2004).
import Sparse

struct BasketDatabase: ~Copyable {
  enum Layout { case bits, lists }

  let baskets: Int
  let minimumCount: Int
  /// By rank.
  var itemIDs = Vec<UInt32>()
  var itemCounts = Vec<UInt32>()
  var itemCount: Int { itemIDs.count }
  /// Baskets kept.
  var kept = 0
  /// Σ over kept baskets of the number of pairs in them.
  var pairs = 0
  var layout = Layout.bits

  /// bits: words per column (a multiple of 4), columns by rank.
  var columnWords = 0
  var columns = PageArray<UInt64>()
  /// bits: words per row (a multiple of 4), 0 when there are no rows.
  var rowWords = 0
  var rows = PageArray<UInt64>()
  /// Occurrences of rank r stand at `occurrenceStarts[r]..<occurrenceStarts[r] + kept occurrences`.
  var occurrenceStarts = Vec<Int>()
  var occurrenceCounts = Vec<UInt32>()
  /// bits with rows: basket numbers; each item's Σ of its baskets' sizes; the baskets themselves.
  var occurrences = PageArray<UInt32>()
  var basketItems = Vec<Int>()
  var offsets = Vec<UInt32>()
  var ranks = PageArray<UInt32>()
  /// lists: baskets by rank, end to end; per occurrence the first place after the item and the basket's end.
  var sorted = PageArray<UInt32>()
  var suffixes = PageArray<Suffix>()

  struct Suffix: BitwiseCopyable {
    var start: UInt32
    var end: UInt32
  }

  /// Bytes that the rows of the bits layout may take.
  static let rowBytesLimit = 256 << 20
  static let columnBytesLimit = 1 << 30

  init(_ source: Baskets, minimumCount: Int, layout wanted: Layout? = nil) {
    baskets = source.count
    self.minimumCount = max(1, minimumCount)
    precondition(baskets < Int(UInt32.max) && source.items.count < Int(UInt32.max))
    let rankOf = rankItems(source)
    filter(source, rankOf, wanted)
  }

  /// Counts, ranks and names the frequent items. Returns dense id → rank, UInt32.max = infrequent.
  private mutating func rankItems(_ source: Baskets) -> Vec<UInt32> {
    guard let items = source.items.baseAddress, source.items.count > 0 else { return Vec() }
    var highest: UInt32 = 0
    for i in 0..<source.items.count { highest = max(highest, items[i]) }
    let idLimit = Int(highest) + 1
    let counts = Vec<UInt32>(repeating: 0, count: idLimit)
    let count = counts.base
    for i in 0..<source.items.count { count[Int(items[i])] &+= 1 }
    var frequent: [UInt64] = []
    for id in 0..<idLimit where Int(count[id]) >= minimumCount {
      frequent.append(UInt64(count[id]) << 32 | UInt64(id))
    }
    frequent.sort()
    let rankOf = Vec<UInt32>(repeating: .max, count: idLimit)
    for (rank, entry) in frequent.enumerated() {
      let id = UInt32(truncatingIfNeeded: entry)
      itemIDs.append(id)
      itemCounts.append(UInt32(entry >> 32))
      rankOf[Int(id)] = UInt32(rank)
    }
    return rankOf
  }

  /// Keeps frequent items of baskets with at least two of them, then lays them out.
  private mutating func filter(
    _ source: Baskets, _ rankOf: borrowing Vec<UInt32>, _ wanted: Layout?
  ) {
    let limit = itemCount
    var keptOffsets = Vec<UInt32>(capacity: baskets + 1)
    keptOffsets.append(0)
    // One place to spare: the filter writes before it knows whether the item stays.
    let ranks = PageArray<UInt32>(count: source.items.count + 1)
    if limit > 0, let items = source.items.baseAddress {
      var filled = 0
      let into = ranks.base
      let rank = rankOf.base
      for b in 0..<baskets {
        let first = filled
        for i in source.offsets[b]..<source.offsets[b + 1] {
          let r = rank[Int(items[i])]
          into[filled] = r
          // A rank is below 2^31: no branch, as a third of the items may go.
          filled &+= Int(1 &- (r &>> 31))
        }
        let length = filled - first
        if length < 2 {
          filled = first
        } else {
          keptOffsets.append(UInt32(filled))
          pairs += length * (length - 1) / 2
        }
      }
    }
    kept = keptOffsets.count - 1
    let entries = Int(keptOffsets[kept])

    columnWords = (kept + 255) / 256 * 4
    let rowWidth = (limit + 255) / 256 * 4
    // Cycles, fitted on Online Retail, T10I4D100K, mushroom and simulated logs.
    var sums = Double((columnWords * limit + rowWidth * kept) * 8) * 0.8
    var rowsPay = false
    let rowsFit = rowWidth * kept * 8 <= BasketDatabase.rowBytesLimit
    for r in 0..<limit {
      let both = Double(limit - r) * Double(columnWords) * 0.6
      let sum = BasketDatabase.columnSumCost(
        count: Int(itemCounts[r]), rowWords: rowWidth, from: r)
      if rowsFit && sum < both {
        sums += sum
        rowsPay = true
      } else {
        sums += both
      }
    }
    let listCost = 2.5 * Double(pairs) + 12 * Double(entries)
    let bitsFit = columnWords * limit * 8 <= BasketDatabase.columnBytesLimit
    layout = wanted ?? (bitsFit && sums < listCost ? .bits : .lists)

    var starts = 0
    occurrenceStarts = Vec(capacity: limit + 1)
    for r in 0..<limit {
      occurrenceStarts.append(starts)
      starts += Int(itemCounts[r])
    }
    occurrenceStarts.append(starts)
    if layout == .bits {
      layOutColumns(keptOffsets, ranks)
      if rowsPay { layOutRows(keptOffsets, ranks, rowWidth) }
    }
    if layout == .lists || rowsPay { layOutOccurrences(keptOffsets, ranks) }
    if layout == .lists {
      layOutSorted(keptOffsets, entries)
    } else if rowsPay {
      offsets = keptOffsets
      self.ranks = ranks
    }
  }

  /// Estimated cycles of summing the rows of `count` baskets over the columns from `from` on.
  static func columnSumCost(count: Int, rowWords: Int, from: Int) -> Double {
    let chunks = rowWords / 4 - from / 256
    return Double(count) * (2 + 3 * Double(chunks)) + Double(chunks) * 150
  }

  private mutating func layOutColumns(
    _ offsets: borrowing Vec<UInt32>, _ ranks: borrowing PageArray<UInt32>
  ) {
    columns = PageArray(count: itemCount * columnWords)
    // 64 baskets at a time: a word per item collects bits in cache, then goes to its column.
    let block = Vec<UInt64>(repeating: 0, count: itemCount)
    let word = block.base
    let into = columns.base
    let rank = ranks.base
    for first in stride(from: 0, to: kept, by: 64) {
      let last = min(first + 64, kept)
      for b in first..<last {
        let bit = UInt64(1) &<< UInt64(b &- first)
        for i in Int(offsets[b])..<Int(offsets[b + 1]) { word[Int(rank[i])] |= bit }
      }
      let at = first / 64
      for r in 0..<itemCount {
        into[r &* columnWords &+ at] = word[r]
        word[r] = 0
      }
    }
  }

  private mutating func layOutRows(
    _ offsets: borrowing Vec<UInt32>, _ ranks: borrowing PageArray<UInt32>, _ width: Int
  ) {
    rowWords = width
    rows = PageArray(count: kept * width)
    let rank = ranks.base
    for b in 0..<kept {
      let row = rows.base + b * width
      for i in Int(offsets[b])..<Int(offsets[b + 1]) {
        row[Int(rank[i] &>> 6)] |= UInt64(1) &<< UInt64(rank[i] & 63)
      }
    }
  }

  private mutating func layOutOccurrences(
    _ offsets: borrowing Vec<UInt32>, _ ranks: borrowing PageArray<UInt32>
  ) {
    occurrences = PageArray(count: occurrenceStarts[itemCount])
    let cursors = Vec<UInt32>(capacity: itemCount)
    for r in 0..<itemCount { cursors.base[r] = UInt32(occurrenceStarts[r]) }
    let cursor = cursors.base
    let into = occurrences.base
    let rank = ranks.base
    basketItems = Vec(repeating: 0, count: itemCount)
    let sums = basketItems.base
    for b in 0..<kept {
      let start = Int(offsets[b])
      let end = Int(offsets[b + 1])
      for i in start..<end {
        let r = Int(rank[i])
        into[Int(cursor[r])] = UInt32(truncatingIfNeeded: b)
        cursor[r] &+= 1
        sums[r] &+= end &- start
      }
    }
    occurrenceCounts = Vec(capacity: itemCount)
    for r in 0..<itemCount { occurrenceCounts.append(cursor[r] - UInt32(occurrenceStarts[r])) }
  }

  /// Transposes the occurrence lists back: each basket then has its items by rank.
  private mutating func layOutSorted(_ offsets: borrowing Vec<UInt32>, _ entries: Int) {
    sorted = PageArray(count: entries)
    suffixes = PageArray(count: occurrenceStarts[itemCount])
    let cursors = Vec<UInt32>(capacity: kept)
    for b in 0..<kept { cursors.base[b] = offsets[b] }
    let cursor = cursors.base
    let into = sorted.base
    let suffix = suffixes.base
    for r in 0..<itemCount {
      let start = occurrenceStarts[r]
      for o in start..<start + Int(occurrenceCounts[r]) {
        let b = Int(occurrences[o])
        let place = cursor[b]
        into[Int(place)] = UInt32(truncatingIfNeeded: r)
        cursor[b] = place &+ 1
        suffix[o] = Suffix(start: place &+ 1, end: offsets[b + 1])
      }
    }
    occurrences = PageArray()
  }
}

extension BasketDatabase: @unchecked Sendable {}
