// The lists of a tick from those of the tick before (KeptLists.swift), for wide catalogues where few
// pairs changed: exact, without a count for every pair.
//
//   1. Every pair that some row gained or lost is counted again, from its items' rows: the rows of the
//      item in more rows are marked in a bit set and the other's looked up in it, or, where that
//      looks up less, the item's whole row of the product is made. So are all pairs of an item whose
//      rows became fewer by more than the drift. Each count is offered to the lists of both items.
//   2. A list takes the offers, scores its pairs by the rows as they are now, and drops what has sunk to
//      its floor. While at least K are above what any pair outside can have risen to, the K best are
//      among those known.
//   3. The other lists are made anew from the rows (RowProduct.swift).
import CKernels
import Sparse

/// What the kernels read.
struct RenewalInput {
  var items: Int
  var k: Int
  var arena: UnsafePointer<UInt32>
  var arenaCount: Int
  /// Per item: rows that hold it.
  var counts: UnsafePointer<UInt32>
  /// Per item: whether it is in more or fewer rows than at the last tick.
  var hasMoved: UnsafePointer<UInt8>
  var ranks: UnsafePointer<UInt32>
  /// Per item: the headers of its rows; rows of one item are left out.
  var columnStarts: UnsafePointer<UInt32>
  var columns: UnsafePointer<UInt32>
  var columnCount: Int
  /// Items met in a row, the item itself left out, on average.
  var met: UInt64
  var moveStarts: UnsafePointer<UInt32>
  var moves: UnsafePointer<UInt32>
  var probes: UnsafePointer<UInt64>
  /// Items all of whose pairs are offered.
  var isOffered: UnsafePointer<UInt8>
  /// By how much scores outside the lists may have risen.
  var drift: Float
  /// Whether every value changed.
  var isRescored: Bool
  /// Words of the counts' digest before and now, or nil to leave it out.
  var oldWords: UnsafePointer<Fingerprint>?
  var newWords: UnsafePointer<Fingerprint>?
}

/// A pair's count, for the list of one of its items.
struct Offer: BitwiseCopyable {
  var list: UInt32
  var item: UInt32
  var both: UInt32
}

/// What one part found.
final class RenewedPart {
  var offers = Vec<Offer>()
  var digest = Fingerprint.zero
  /// Pairs that came, less those that went.
  var pairs = 0
  /// Items whose lists are to be made anew.
  var stale = Vec<UInt32>()
}

enum ListRenewal {
  /// A row of the product is made by visiting its rows one by one, which costs many look-ups each.
  static func isWhole(_ input: RenewalInput, _ item: Int) -> Bool {
    input.isOffered[item] != 0
      || UInt64(input.counts[item]) * (input.met + 8) < input.probes[item]
  }

  /// Step 1.
  static func countAll<S: SeparableScorer>(
    _ input: RenewalInput, floors: UnsafePointer<Float>, scorer: S, earlier: ScoringFacts,
    _ parts: [RenewedPart], _ parallel: Parallel
  ) {
    let earlier = S(earlier)
    parallel(parts.count) { part in
      count(
        input, floors: floors, scorer: scorer, earlier: earlier, from: part, by: parts.count,
        into: parts[part])
    }
  }

  /// Step 1, for every `step`-th item from `first` on.
  /// - Parameter earlier: scores as of the last tick.
  static func count<S: SeparableScorer>(
    _ input: RenewalInput, floors: UnsafePointer<Float>, scorer: S, earlier: S, from first: Int,
    by step: Int, into part: RenewedPart
  ) {
    let delta = Vec<Int32>(repeating: 0, count: input.items)
    let marks = Vec<UInt64>(repeating: 0, count: input.arenaCount / 128 + 1)
    let words = Vec<UInt32>(repeating: 0, count: input.items)
    let bytes = Vec<UInt8>(repeating: 0, count: input.items)
    let met = Vec<UInt32>(capacity: input.items + 1)
    let changed = Vec<UInt32>(capacity: input.items + 1)
    for item in stride(from: first, to: input.items, by: step) {
      let moves = Int(input.moveStarts[item])..<Int(input.moveStarts[item + 1])
      let isOffered = input.isOffered[item] != 0
      if moves.isEmpty && !isOffered { continue }
      var others = 0
      for m in moves {
        let move = input.moves[m]
        let other = Int(move >> 1)
        let old = delta[other]
        delta[other] = old &+ (move & 1 == 0 ? 1 : -1)
        changed.base[others] = move >> 1
        others &+= old == 0 ? 1 : 0
        // An item whose delta came back to zero is listed twice: keep the list within bounds.
        if others == input.items { others = compact(changed.base, others, delta.base) }
      }
      let from = Int(input.columnStarts[item])
      let rows = Int(input.columnStarts[item + 1]) - from
      let column = input.columns + from
      if isWhole(input, item) {
        let counters =
          rows > 255
          ? Counters(base: words.base, wide: 1) : Counters(base: bytes.base, wide: 0)
        let reached = affinity_rows_touch(
          input.arena, column, rows, input.columnCount - from, counters.base, counters.wide,
          met.base)
        for c in 0..<others {
          let other = Int(changed.base[c])
          if delta[other] == 0 { continue }
          record(
            input, scorer, earlier, floors, item, other, counters[other], Int(delta[other]), part)
          delta[other] = 0
        }
        for c in 0..<reached {
          let other = Int(met.base[c])
          let both = counters[other]
          counters.clear(other)
          if isOffered && other != item && scorer.quick(both, item) > floors[other] {
            part.offers.append(Offer(list: UInt32(other), item: UInt32(item), both: both))
          }
        }
      } else {
        affinity_marks_set(marks.base, column, rows)
        for c in 0..<others {
          let other = Int(changed.base[c])
          if delta[other] == 0 { continue }
          let at = Int(input.columnStarts[other])
          let both = affinity_marks_count(
            marks.base, input.columns + at, Int(input.columnStarts[other + 1]) - at)
          record(
            input, scorer, earlier, floors, item, other, both, Int(delta[other]), part)
          delta[other] = 0
        }
        affinity_marks_clear(marks.base, column, rows)
      }
    }
  }

  private static func compact(
    _ list: UnsafeMutablePointer<UInt32>, _ count: Int, _ delta: UnsafeMutablePointer<Int32>
  ) -> Int {
    // Items in order, each once.
    var to = 0
    var all = UnsafeMutableBufferPointer(start: list, count: count)
    all.sort()
    for k in 0..<count where delta[Int(all[k])] != 0 && (to == 0 || list[to - 1] != all[k]) {
      list[to] = all[k]
      to += 1
    }
    return to
  }

  @inline(__always)
  private static func record<S: SeparableScorer>(
    _ input: RenewalInput, _ scorer: S, _ earlier: S, _ floors: UnsafePointer<Float>, _ a: Int,
    _ b: Int, _ both: UInt32, _ delta: Int, _ part: RenewedPart
  ) {
    let old = UInt32(truncatingIfNeeded: Int(both) &- delta)
    part.pairs += (both > 0 ? 1 : 0) - (old > 0 ? 1 : 0)
    if let before = input.oldWords, let now = input.newWords {
      if old > 0 { part.digest &-= CountsDigest.element(before[a], before[b], count: old) }
      if both > 0 { part.digest &+= CountsDigest.element(now[a], now[b], count: both) }
    }
    // A list that did not hold the pair, and still would not, needs no offer.
    if scorer.quick(both, b) > floors[a]
      || earlier.quick(old, b) >= floors[a] * Selection.wideSlack
    {
      part.offers.append(Offer(list: UInt32(a), item: UInt32(b), both: both))
    }
    if scorer.quick(both, a) > floors[b]
      || earlier.quick(old, a) >= floors[b] * Selection.wideSlack
    {
      part.offers.append(Offer(list: UInt32(b), item: UInt32(a), both: both))
    }
  }

  /// Step 2, for a range of items. Lists that cannot be told from what is known become `stale`.
  static func renew<S: SeparableScorer>(
    _ input: RenewalInput, _ old: NeighbourTable, _ offers: borrowing SortedOffers,
    _ output: ProductOutput, _ spares: ProductOutput.Spares, scorer: S, range: Range<Int>,
    into part: RenewedPart
  ) {
    var scorer = scorer
    let room = input.k + KeptLists.spare
    let places = Vec<UInt32>(repeating: 0, count: input.items)
    let ids = Vec<UInt32>(capacity: input.items + room)
    let both = Vec<UInt32>(capacity: input.items + room)
    let scores = Vec<Float>(capacity: input.items + room)
    let values = Vec<Double>(capacity: input.items + room)
    let (oldIDs, oldBoth, oldValues) = (old.ids, old.both, old.values)
    for item in range {
      let list = output.list(item)
      let known = old.range(UInt32(item))
      let spareCount = Int(spares.lengths[item])
      let offered = Int(offers.starts[item])..<Int(offers.starts[item + 1])
      if known.isEmpty && offered.isEmpty {
        output.close(
          item, Selection.Taken(length: 0, spares: 0, floor: spares.floors[item]))
        continue
      }
      var count = 0
      var moved = input.hasMoved[item]
      for at in known {
        let id = oldIDs[at]
        ids.base[count] = id
        both.base[count] = oldBoth[at]
        moved |= input.hasMoved[Int(id)]
        count &+= 1
      }
      for at in 0..<spareCount {
        let id = list.spareIDs![at]
        ids.base[count] = id
        both.base[count] = list.spareBoth![at]
        moved |= input.hasMoved[Int(id)]
        count &+= 1
      }
      let floor = spares.floors[item]
      let bound = floor * input.drift / Selection.slack
      if offered.isEmpty && moved == 0 && !input.isRescored
        && (floor == 0 || isClear(old, known.upperBound - 1, bound, scorer))
      {
        list.ids.update(from: oldIDs.baseAddress! + known.lowerBound, count: known.count)
        list.both.update(from: oldBoth.baseAddress! + known.lowerBound, count: known.count)
        list.values.update(from: oldValues.baseAddress! + known.lowerBound, count: known.count)
        output.lengths[item] = UInt32(known.count)
        continue
      }
      // An id is looked for among the others, or, where there are many to look for, by its place.
      let isIndexed = offered.count > 16
      if isIndexed {
        for at in 0..<count { places.base[Int(ids.base[at])] = UInt32(at &+ 1) }
      }
      for o in offered {
        let (id, c) = (offers.items[o], offers.both[o])
        let place =
          isIndexed
          ? Int(places.base[Int(id)]) &- 1
          : Int(affinity_ids_find(ids.base, count, id))
        if place >= 0 && place < count {
          both.base[place] = c
        } else if scorer.quick(c, Int(id)) > floor {
          if isIndexed { places.base[Int(id)] = UInt32(count &+ 1) }
          ids.base[count] = id
          both.base[count] = c
          count &+= 1
        }
      }
      if isIndexed {
        for at in 0..<count { places.base[Int(ids.base[at])] = 0 }
      }
      scorer.begin(item: item)
      scorer.score(ids.base, both.base, count, scores.base)
      // What has sunk to the floor is one of those outside again.
      var (left, above) = (0, 0)
      for at in 0..<count {
        let score = scores.base[at]
        ids.base[left] = ids.base[at]
        both.base[left] = both.base[at]
        left &+= score > floor ? 1 : 0
        above &+= score > bound ? 1 : 0
      }
      if floor > 0 && above < input.k {
        part.stale.append(UInt32(item))
        continue
      }
      scorer.exact(both.base, ids.base, left, values.base)
      count = sort(ids.base, both.base, values.base, left, input.ranks)
      let length = min(count, input.k)
      list.ids.update(from: ids.base, count: length)
      list.both.update(from: both.base, count: length)
      list.values.update(from: values.base, count: length)
      var taken = Selection.Taken(
        length: length, spares: max(0, min(count - input.k, KeptLists.spare)), floor: floor)
      list.spareIDs!.update(from: ids.base + length, count: taken.spares)
      list.spareBoth!.update(from: both.base + length, count: taken.spares)
      if count > room {
        taken.floor = max(
          floor, Selection.above(scorer, ids.base[room - 1], both.base[room - 1]))
      }
      output.close(item, taken)
    }
  }

  /// By value, then rank: the pairs are in that order but for few of them. Those that are no neighbours
  /// (a negative value) come last. Returns how many are.
  private static func sort(
    _ ids: UnsafeMutablePointer<UInt32>, _ both: UnsafeMutablePointer<UInt32>,
    _ values: UnsafeMutablePointer<Double>, _ count: Int, _ ranks: UnsafePointer<UInt32>
  ) -> Int {
    for k in 1..<max(count, 1) {
      let value = values[k]
      if value < values[k &- 1] { continue }
      let (id, c) = (ids[k], both[k])
      let rank = ranks[Int(id)]
      var at = k
      while at > 0
        && (values[at &- 1] < value
          || (values[at &- 1] == value && ranks[Int(ids[at &- 1])] > rank))
      {
        values[at] = values[at &- 1]
        ids[at] = ids[at &- 1]
        both[at] = both[at &- 1]
        at &-= 1
      }
      values[at] = value
      ids[at] = id
      both[at] = c
    }
    var left = count
    while left > 0 && values[left &- 1] < 0 { left &-= 1 }
    return left
  }

  /// Whether the pair at a list's end is above whatever may have risen outside.
  @inline(__always)
  private static func isClear<S: SeparableScorer>(
    _ old: NeighbourTable, _ last: Int, _ bound: Float, _ scorer: S
  ) -> Bool {
    scorer.quick(old.both[last], Int(old.ids[last])) * Selection.slack > bound
  }
}

/// Offers by the list they are for.
struct SortedOffers: ~Copyable {
  let starts: Vec<UInt32>
  let items: Vec<UInt32>
  let both: Vec<UInt32>

  /// Complexity: O(lists + offers).
  init(_ parts: [RenewedPart], lists: Int) {
    let starts = Vec<UInt32>(repeating: 0, count: lists + 1)
    var all = 0
    for part in parts {
      for o in 0..<part.offers.count { starts[Int(part.offers.base[o].list)] &+= 1 }
      all += part.offers.count
    }
    precondition(all < Int(UInt32.max))
    var sum: UInt32 = 0
    for list in 0...lists {
      sum += starts[list]
      starts[list] = sum
    }
    var items = Vec<UInt32>(capacity: all)
    var both = Vec<UInt32>(capacity: all)
    items.count = all
    both.count = all
    for part in parts {
      for o in 0..<part.offers.count {
        let offer = part.offers.base[o]
        let at = Int(starts[Int(offer.list)]) &- 1
        starts[Int(offer.list)] = UInt32(truncatingIfNeeded: at)
        items.base[at] = offer.item
        both.base[at] = offer.both
      }
      part.offers = Vec()
    }
    self.starts = starts
    self.items = items
    self.both = both
  }
}
