// Frequent itemsets by depth-first search over bit vectors (Zaki's Eclat, 2000), one projected
// database per first item. For the first item i:
//   1. the items of higher rank that share enough baskets with it, with their counts: by column
//      sums over bit rows, by intersecting bit columns, or by occurrence deliver;
//   2. their bit vectors over i's baskets only, packed densely;
//   3. depth first over those: children of a node are intersections with its later siblings.
// Siblings are visited from the last to the first. When an item occurs in all of its parent's
// baskets (a perfect extension), its subtree equals what its later siblings have just produced, one
// item deeper, and is copied instead of searched.
//
// Work on different first items shares nothing, so the result does not depend on who does it.
import CKernels
import Sparse

/// 2^23 itemsets: about 2 GiB on the way to rules. A shop with few baskets and a count of 1 would
/// otherwise list every subset of its largest one.
public let defaultItemsetLimit = 1 << 23

/// All itemsets with a count of at least `minimumCount`, with at most `maxLength` items (0: no bound).
///
/// `limit` bounds the result: if there are more itemsets, the bound on the length is lowered until
/// they fit (a function of the baskets alone); `maxLength` of the result says what was applied.
/// `parallel(parts, body)` calls `body(part)` once for each part, at once if it likes.
/// The order of the result is that of `Itemsets`; it does not depend on `parallel`.
public func mineFrequentItemsets(
  _ baskets: Baskets, minimumCount: Int, maxLength: Int = 0, limit: Int = defaultItemsetLimit,
  parallel: ((_ parts: Int, _ body: (Int) -> Void) -> Void)? = nil
) -> Itemsets {
  mineFrequentItemsets(
    BasketDatabase(baskets, minimumCount: minimumCount), maxLength: maxLength, limit: limit,
    parallel: parallel)
}

/// The same with the layout given, for the tests: every layout finds the same.
package func mineFrequentItemsets(
  _ baskets: Baskets, minimumCount: Int, maxLength: Int = 0, withLists: Bool?
) -> Itemsets {
  mineFrequentItemsets(
    BasketDatabase(
      baskets, minimumCount: minimumCount, layout: withLists.map { $0 ? .lists : .bits }),
    maxLength: maxLength, limit: .max, parallel: nil)
}

private func mineFrequentItemsets(
  _ database: consuming BasketDatabase, maxLength: Int, limit: Int,
  parallel: ((_ parts: Int, _ body: (Int) -> Void) -> Void)?
) -> Itemsets {
  let asked = maxLength <= 0 ? 0 : min(maxLength, deepestItemset)
  var depths = Vec<UInt8>()
  var ranks = Vec<UInt32>()
  var counts = Vec<UInt32>()
  var applied = asked
  if !mine(
    database, maxLength: asked == 0 ? deepestItemset : asked, limit: limit, parallel: parallel,
    &depths, &ranks, &counts)
  {
    // The longest bound that fits: from below, as each step costs about what it finds. Single items
    // are kept in any case.
    applied = 0
    while true {
      var moreDepths = Vec<UInt8>()
      var moreRanks = Vec<UInt32>()
      var moreCounts = Vec<UInt32>()
      let fits = mine(
        database, maxLength: applied + 1, limit: applied == 0 ? .max : limit, parallel: parallel,
        &moreDepths, &moreRanks, &moreCounts)
      if !fits { break }
      applied += 1
      swap(&depths, &moreDepths)
      swap(&ranks, &moreRanks)
      swap(&counts, &moreCounts)
    }
  }
  return Itemsets(
    baskets: database.baskets, minimumCount: database.minimumCount, maxLength: applied,
    itemIDs: copy(database.itemIDs), itemCounts: copy(database.itemCounts), depths: depths,
    ranks: ranks, counts: counts)
}

/// Depths are bytes; no itemset gets near, as all its subsets are found too.
private let deepestItemset = 250

func copy<Element>(_ source: borrowing Vec<Element>) -> Vec<Element> {
  var fresh = Vec<Element>(capacity: source.count)
  fresh.append(contentsOf: source.buffer)
  return fresh
}

/// Mines every first item. False when there are more than `limit` itemsets; the columns then mean
/// nothing.
private func mine(
  _ database: borrowing BasketDatabase, maxLength: Int, limit: Int,
  parallel: ((_ parts: Int, _ body: (Int) -> Void) -> Void)?,
  _ depths: inout Vec<UInt8>, _ ranks: inout Vec<UInt32>, _ counts: inout Vec<UInt32>
) -> Bool {
  let items = database.itemCount
  // First items are dealt out in turn: neighbours in rank cost about the same.
  let parts = parallel == nil ? 1 : max(1, min(16, items))
  let searches = UnsafeMutablePointer<ItemsetSearch>.allocate(capacity: parts)
  for part in 0..<parts {
    (searches + part).initialize(
      to: ItemsetSearch(
        items: items, minimum: database.minimumCount, maxLength: maxLength, limit: limit))
  }
  defer {
    searches.deinitialize(count: parts)
    searches.deallocate()
  }
  func run(_ part: Int, _ database: borrowing BasketDatabase) {
    var step = part
    while step < items && !searches[part].isOver {
      searches[part].mine(first: items - 1 - step, of: database)
      if searches[part].depths.count > limit { searches[part].isOver = true }
      step += parts
    }
  }
  guard let parallel else {
    run(0, database)
    let fits = !searches[0].isOver
    swap(&depths, &searches[0].depths)
    swap(&ranks, &searches[0].ranks)
    swap(&counts, &searches[0].counts)
    return fits
  }
  withUnsafePointer(to: database) { shared in
    parallel(parts) { part in run(part, shared.pointee) }
  }
  var total = 0
  var fits = true
  for part in 0..<parts {
    total += searches[part].depths.count
    fits = fits && !searches[part].isOver
  }
  if !fits || total > limit { return false }
  depths = Vec(capacity: total)
  ranks = Vec(capacity: total)
  counts = Vec(capacity: total)
  for step in 0..<items {
    let part = step % parts
    let block = step / parts
    let start = searches[part].blockStarts[block]
    let end =
      block + 1 < searches[part].blockStarts.count
      ? searches[part].blockStarts[block + 1] : searches[part].depths.count
    depths.append(
      contentsOf: UnsafeBufferPointer(rebasing: searches[part].depths.buffer[start..<end]))
    ranks.append(
      contentsOf: UnsafeBufferPointer(rebasing: searches[part].ranks.buffer[start..<end]))
    counts.append(
      contentsOf: UnsafeBufferPointer(rebasing: searches[part].counts.buffer[start..<end]))
  }
  return true
}

/// The scratch of one worker and what it found.
struct ItemsetSearch: ~Copyable {
  let minimum: UInt32
  let maxLength: Int
  let limit: Int
  /// More than `limit` itemsets were found; the search has stopped.
  var isOver = false

  /// Found itemsets in preorder; where each first item's block starts.
  var depths = Vec<UInt8>()
  var ranks = Vec<UInt32>()
  var counts = Vec<UInt32>()
  var blockStarts = Vec<Int>()

  /// Stacks of the search: candidates of all open nodes, and their bit vectors.
  var candidateOffsets = Vec<UInt32>()
  var candidateItems = Vec<UInt32>()
  var candidateCounts = Vec<UInt32>()
  var arena = Vec<UInt64>()
  /// Scratch of one step: set positions of a row; frequent columns with their sums.
  var positions = Vec<UInt32>()
  var columns = Vec<UInt32>()
  var columnSums = Vec<UInt32>()

  /// The first item's partners.
  var partners: Vec<UInt32>
  var partnerCounts: Vec<UInt32>
  /// lists: counters by rank, all zero between first items.
  var tally: Vec<UInt32>
  /// Projection: a word of bits per slot, and the slot of each rank. Partners have slots from
  /// `spareSlots` on; the others share the spare ones, several so that their writes do not wait for
  /// each other.
  var block: Vec<UInt64>
  var slots: Vec<UInt32>
  static let spareSlots = 32

  init(items: Int, minimum: Int, maxLength: Int, limit: Int) {
    self.minimum = UInt32(clamping: minimum)
    self.maxLength = maxLength
    self.limit = limit
    // Room for every column of a padded row.
    partners = Vec(repeating: 0, count: items + 256)
    partnerCounts = Vec(repeating: 0, count: items + 256)
    tally = Vec(repeating: 0, count: items)
    block = Vec(repeating: 0, count: items + ItemsetSearch.spareSlots)
    slots = Vec(repeating: 0, count: items)
    for rank in 0..<items { slots[rank] = UInt32(rank % ItemsetSearch.spareSlots) }
  }

  mutating func mine(first: Int, of database: borrowing BasketDatabase) {
    blockStarts.append(depths.count)
    let count = database.itemCounts[first]
    emit(1, UInt32(first), count)
    if maxLength < 2 { return }
    let found = findPartners(of: first, in: database)
    if found == 0 { return }
    if maxLength == 2 || found == 1 {
      for k in stride(from: found - 1, through: 0, by: -1) {
        emit(2, partners[k], partnerCounts[k])
      }
      return
    }
    let words = project(first: first, partners: found, of: database)
    search(
      candidates: 0, count: found, parentCount: count, depth: 2, words: words,
      free: found * words)
    reserveCandidates(0)
  }

  @inline(__always)
  private mutating func emit(_ depth: Int, _ rank: UInt32, _ count: UInt32) {
    depths.append(UInt8(truncatingIfNeeded: depth))
    ranks.append(rank)
    counts.append(count)
  }

  // MARK: Pairs

  /// Fills `partners` (ranks above `first`, rising) and their counts; returns how many there are.
  private mutating func findPartners(of first: Int, in database: borrowing BasketDatabase) -> Int {
    let items = database.itemCount
    if database.layout == .lists { return countByLists(first, database) }
    let words = database.columnWords
    let both = Double(items - first) * Double(words) * 0.6
    if database.rowWords > 0
      && BasketDatabase.columnSumCost(
        count: Int(database.itemCounts[first]), rowWords: database.rowWords, from: first) < both
    {
      return affinity_bits_column_sums(
        database.rows.base, database.rowWords,
        database.occurrences.base + database.occurrenceStarts[first],
        Int(database.occurrenceCounts[first]), UInt32(first + 1), minimum, partners.base,
        partnerCounts.base)
    }
    var found = 0
    let row = database.columns.base + first * words
    for other in first + 1..<max(items, first + 1) {
      let count = affinity_bits_count_both(row, database.columns.base + other * words, words)
      partners[found] = UInt32(other)
      partnerCounts[found] = count
      found += count >= minimum ? 1 : 0
    }
    return found
  }

  /// Occurrence deliver: one walk over what follows the item in its baskets.
  private mutating func countByLists(_ first: Int, _ database: borrowing BasketDatabase) -> Int {
    let start = database.occurrenceStarts[first]
    let places = UnsafeRawPointer(database.suffixes.base + start)
      .assumingMemoryBound(to: UInt32.self)
    affinity_deliver(
      database.sorted.base, places, Int(database.occurrenceCounts[first]), tally.base)
    return affinity_take_counters(
      tally.base, first + 1, database.itemCount, minimum, partners.base, partnerCounts.base)
  }

  // MARK: Projection

  /// Puts the partners' bit vectors over the first item's baskets at the start of the arena and
  /// makes them the first candidates. Returns the words of a vector.
  private mutating func project(
    first: Int, partners found: Int, of database: borrowing BasketDatabase
  ) -> Int {
    var bits = 0
    if database.layout == .lists || database.rowWords > 0 {
      bits = Int(database.occurrenceCounts[first])
    } else {
      bits = Int(database.itemCounts[first])
    }
    let words = (bits + 255) / 256 * 4
    reserveArena(found * words)
    reserveCandidates(found)
    for k in 0..<found {
      candidateOffsets.base[k] = UInt32(k * words)
      candidateItems.base[k] = partners[k]
      candidateCounts.base[k] = partnerCounts[k]
    }
    switch database.layout {
    case .bits:
      projectBits(first: first, partners: found, bits: bits, words: words, of: database)
    case .lists:
      projectLists(first: first, partners: found, words: words, of: database)
    }
    return words
  }

  private mutating func projectBits(
    first: Int, partners found: Int, bits: Int, words: Int, of database: borrowing BasketDatabase
  ) {
    let width = database.columnWords
    let mask = database.columns.base + first * width
    // Cycles a partner: to pack its column by the first item's, or to pick its bits one by one.
    let packing = Double(width) * 2.5
    let picking = database.rowWords == 0 ? .infinity : Double(bits) * 2
    if database.rowWords > 0 {
      // Or to walk the first item's baskets.
      let walking =
        Double(database.basketItems[first]) * 2 + Double(bits) * 10 + Double(found * words) * 2
      if walking < Double(found) * min(packing, picking) {
        projectBaskets(first: first, partners: found, words: words, of: database)
        return
      }
    }
    for k in 0..<found {
      let row = database.columns.base + Int(partners[k]) * width
      let into = arena.base + k * words
      if packing <= picking {
        affinity_bits_compress(row, mask, width, into, words)
      } else {
        affinity_bits_gather(
          row, database.occurrences.base + database.occurrenceStarts[first], bits, into, words)
      }
    }
  }

  private mutating func projectBaskets(
    first: Int, partners found: Int, words: Int, of database: borrowing BasketDatabase
  ) {
    project(partners: found, words: words, count: Int(database.occurrenceCounts[first])) {
      [
        ranks = database.ranks.base, offsets = database.offsets.base,
        baskets = database.occurrences.base + database.occurrenceStarts[first]
      ] k in
      let basket = Int(baskets[k])
      return (ranks, Int(offsets[basket]), Int(offsets[basket &+ 1]))
    }
  }

  private mutating func projectLists(
    first: Int, partners found: Int, words: Int, of database: borrowing BasketDatabase
  ) {
    project(partners: found, words: words, count: Int(database.occurrenceCounts[first])) {
      [
        sorted = database.sorted.base,
        suffixes = database.suffixes.base + database.occurrenceStarts[first]
      ] k in
      (sorted, Int(suffixes[k].start), Int(suffixes[k].end))
    }
  }

  /// The partners' vectors over `count` baskets; `itemsOf(k)` is where the k-th one's items stand.
  @inline(__always)
  private mutating func project(
    partners found: Int, words: Int, count: Int,
    _ itemsOf: (Int) -> (UnsafeMutablePointer<UInt32>, Int, Int)
  ) {
    let slot = slots.base
    let word = block.base
    let mine = block.base + ItemsetSearch.spareSlots
    let into = arena.base
    for k in 0..<found { slot[Int(partners[k])] = UInt32(k + ItemsetSearch.spareSlots) }
    var at = 0
    var o = 0
    while o < count {
      let stop = min(o + 64, count)
      var bit: UInt64 = 1
      while o < stop {
        let (items, start, last) = itemsOf(o)
        var i = start
        while i < last {
          word[Int(slot[Int(items[i])])] |= bit
          i &+= 1
        }
        bit = bit &<< 1
        o &+= 1
      }
      for k in 0..<found {
        into[k &* words &+ at] = mine[k]
        mine[k] = 0
      }
      at &+= 1
    }
    while at < words {
      for k in 0..<found { into[k &* words &+ at] = 0 }
      at &+= 1
    }
    for k in 0..<found { slot[Int(partners[k])] = partners[k] % UInt32(ItemsetSearch.spareSlots) }
  }

  // MARK: Search

  /// Emits the subtree under a node of `parentCount` baskets whose children are the `count`
  /// candidates from `first` on; `depth` is the children's. `free`: first unused word of the arena.
  private mutating func search(
    candidates first: Int, count: Int, parentCount: UInt32, depth: Int, words: Int, free: Int
  ) {
    let blockStart = depths.count
    let top = first + count
    let stride = (count + 255) / 256 * 4
    let hasRows = depth < maxLength && rowsPay(candidates: first, count: count, words: words)
    let rows = free
    let free = hasRows ? free + words * 64 * stride : free
    if hasRows {
      reserveArena(free)
      affinity_bits_transpose(
        arena.base, candidateOffsets.base + first, count, words, arena.base + rows, stride)
    }
    for k in Swift.stride(from: top - 1, through: first, by: -1) {
      let before = depths.count
      let support = candidateCounts[k]
      emit(depth, candidateItems[k], support)
      let siblings = top - k - 1
      if siblings == 0 || depth >= maxLength { continue }
      if support == parentCount {
        copyBlock(blockStart, before)
        if isOver { return }
        continue
      }
      reserveCandidates(top + siblings)
      reserveArena(free + siblings * (words + 4))
      var childWords = words
      let children: Int
      let cost = SearchCost(support: Int(support), siblings: siblings, words: words)
      if hasRows && cost.columns(stride: stride, from: k - first + 1) < cost.intersections {
        children = extendByColumns(
          k, first: first, top: top, depth: depth, rows: rows, stride: stride, parentCount,
          &childWords, free)
      } else if cost.gathers < cost.intersections {
        children = extendByGathering(k, top: top, &childWords, free)
      } else {
        children = affinity_bits_extend(
          arena.base, words, candidateOffsets[k], support, parentCount, minimum, siblings,
          candidateOffsets.base + k + 1, candidateItems.base + k + 1, candidateCounts.base + k + 1,
          UInt32(free), candidateOffsets.base + top, candidateItems.base + top,
          candidateCounts.base + top)
      }
      if children == 0 { continue }
      if children == 1 {
        emit(depth + 1, candidateItems.base[top], candidateCounts.base[top])
        continue
      }
      search(
        candidates: top, count: children, parentCount: support, depth: depth + 1,
        words: childWords, free: free + children * max(words, childWords))
      if isOver { return }
    }
    if depths.count > limit { isOver = true }
  }

  /// Whether a transposed copy of the candidates' vectors earns its making.
  private func rowsPay(candidates first: Int, count: Int, words: Int) -> Bool {
    if count < 12 { return false }
    let stride = (count + 255) / 256 * 4
    if words * 64 * stride > 1 << 24 { return false }
    var saved = 0.0
    for k in 0..<count - 1 {
      let cost = SearchCost(
        support: Int(candidateCounts[first + k]), siblings: count - k - 1, words: words)
      saved +=
        max(0, min(cost.intersections, cost.gathers) - cost.columns(stride: stride, from: k + 1))
    }
    return saved > Double(count * words) * 3 + Double(words * 64 * stride) * 0.5
  }

  /// Children by summing the rows of the node's baskets: only the frequent ones get a vector.
  private mutating func extendByColumns(
    _ k: Int, first: Int, top: Int, depth: Int, rows: Int, stride: Int, _ parentCount: UInt32,
    _ words: inout Int, _ free: Int
  ) -> Int {
    let support = Int(candidateCounts[k])
    reserveStep(positions: words * 64 + 4, columns: stride * 64)
    let row = arena.base + Int(candidateOffsets[k])
    let set = affinity_bits_positions(row, words, positions.base)
    let found = affinity_bits_column_sums(
      arena.base + rows, stride, positions.base, set, UInt32(k - first + 1), minimum, columns.base,
      columnSums.base)
    for c in 0..<found {
      candidateItems.base[top + c] = candidateItems.base[first + Int(columns.base[c])]
      candidateCounts.base[top + c] = columnSums.base[c]
    }
    if found < 2 || depth + 1 >= maxLength { return found }
    if support * 2 < words * 3 {
      let width = (support + 255) / 256 * 4
      for c in 0..<found {
        let to = free + c * width
        affinity_bits_gather(
          arena.base + Int(candidateOffsets.base[first + Int(columns.base[c])]), positions.base,
          set,
          arena.base + to, width)
        candidateOffsets.base[top + c] = UInt32(to)
      }
      words = width
    } else {
      for c in 0..<found {
        let sibling = first + Int(columns.base[c])
        _ = affinity_bits_extend(
          arena.base, words, candidateOffsets.base[k], UInt32(support), parentCount, 1, 1,
          candidateOffsets.base + sibling, candidateItems.base + sibling,
          candidateCounts.base + sibling, UInt32(free + c * words), candidateOffsets.base + top + c,
          candidateItems.base + top + c, candidateCounts.base + top + c)
      }
    }
    return found
  }

  /// Children by picking the siblings' bits at the node's baskets, for nodes of few baskets.
  private mutating func extendByGathering(
    _ k: Int, top: Int, _ words: inout Int, _ free: Int
  ) -> Int {
    let support = Int(candidateCounts[k])
    reserveStep(positions: words * 64 + 4, columns: 0)
    let set = affinity_bits_positions(
      arena.base + Int(candidateOffsets[k]), words, positions.base)
    let width = (support + 255) / 256 * 4
    var found = 0
    for sibling in k + 1..<top {
      let to = free + found * width
      let into = arena.base + to
      affinity_bits_gather(
        arena.base + Int(candidateOffsets.base[sibling]), positions.base, set, into, width)
      let count = affinity_bits_count_both(into, into, width)
      candidateOffsets.base[top + found] = UInt32(to)
      candidateItems.base[top + found] = candidateItems.base[sibling]
      candidateCounts.base[top + found] = count
      found += count >= minimum ? 1 : 0
    }
    words = width
    return found
  }

  /// Appends the found itemsets `from..<to` again, one item deeper.
  private mutating func copyBlock(_ from: Int, _ to: Int) {
    var more = to - from
    if depths.count + more > limit {
      more = 0
      for i in from..<to where Int(depths.base[i]) < maxLength { more += 1 }
      if depths.count + more > limit {
        isOver = true
        return
      }
    }
    if depths.count + more > depths.capacity { depths.grow(to: depths.count + more) }
    if ranks.count + more > ranks.capacity { ranks.grow(to: ranks.count + more) }
    if counts.count + more > counts.capacity { counts.grow(to: counts.count + more) }
    let start = depths.count
    var at = start
    for i in from..<to where Int(depths.base[i]) < maxLength {
      depths.base[at] = depths.base[i] &+ 1
      ranks.base[at] = ranks.base[i]
      counts.base[at] = counts.base[i]
      at &+= 1
    }
    depths.count = at
    ranks.count = at
    counts.count = at
  }

  /// The stacks are raw scratch: `count` stays 0, places are written through `base`.
  private mutating func reserveCandidates(_ needed: Int) {
    if needed > candidateOffsets.capacity {
      candidateOffsets.count = candidateOffsets.capacity
      candidateItems.count = candidateItems.capacity
      candidateCounts.count = candidateCounts.capacity
      candidateOffsets.grow(to: needed)
      candidateItems.grow(to: needed)
      candidateCounts.grow(to: needed)
    }
  }

  private mutating func reserveStep(positions bits: Int, columns number: Int) {
    if bits > positions.capacity { positions = Vec(capacity: bits) }
    if number > columns.capacity {
      columns = Vec(capacity: number)
      columnSums = Vec(capacity: number)
    }
  }

  private mutating func reserveArena(_ needed: Int) {
    if needed > arena.capacity {
      arena.count = arena.capacity
      arena.grow(to: needed)
    }
  }
}

extension ItemsetSearch: @unchecked Sendable {}

/// Estimated cycles of finding one node's children in three ways.
private struct SearchCost {
  let support: Int
  let siblings: Int
  let words: Int

  /// Intersect with every sibling.
  @inline(__always) var intersections: Double { Double(siblings) * (Double(words) * 0.7 + 8) }
  /// Pick every sibling's bits at the node's baskets.
  @inline(__always) var gathers: Double {
    Double(words + support) * 1.5 + Double(siblings) * (Double(support) * 2 + 20)
  }
  /// Sum rows over the node's baskets.
  @inline(__always) func columns(stride: Int, from: Int) -> Double {
    let chunks = Double(stride / 4 - from / 256)
    return Double(words + support) * 1.5 + Double(support) * (2 + 3 * chunks) + chunks * 150
  }
}
