// The K best of a row, exactly: value descending (as doubles), then key rank ascending.
//
// All pairs of the row get a quick score in single precision. A floor that more than K of them reach is
// found from the maxima of groups (CKernels/pairs.c), lowered by a slack for rounding, so that whatever
// may be among the K best, ties at the K-th place included, passes. Few pass; they alone get exact values,
// a selection by (value, rank) and a sort.
import CKernels
import Sparse

struct Selection: ~Copyable {
  struct Candidate: BitwiseCopyable {
    /// Bit pattern of the exact value: not negative, so it orders as an integer.
    var value: UInt64
    var rank: UInt32
    var id: UInt32
    var both: UInt32
  }

  /// Relative rounding of quick scores is below 1e-6.
  static let slack: Float = 1 - 1e-5
  /// Below the relation of two bounds that were each widened by the slack.
  static let wideSlack: Float = 1 - 1e-4

  let k: Int
  /// Quick scores of the row go here, and then it is `take`n.
  let scores: Vec<Float>
  private let places: Vec<UInt32>
  private let maxima: Vec<Float>
  // What passed: value, rank, target, count.
  private let values: Vec<Double>
  private let ranks: Vec<Int32>
  private let targets: Vec<UInt32>
  private let counts: Vec<UInt32>
  private let rounded: Vec<Float>
  private let order: Vec<UInt32>
  private let placed: Vec<Double>
  /// Pairs that are to pass beyond K, at least.
  private let margin: Int
  private var members = Vec<Candidate>()

  /// Up to so many candidates, comparing each with each in vectors beats sorting.
  private static let few = 192

  /// - Parameter longest: pairs of the longest row.
  init(k: Int, margin: Int = 0, longest: Int) {
    self.k = k
    self.margin = margin
    scores = Vec(capacity: longest)
    places = Vec(capacity: longest + 1)
    maxima = Vec(capacity: affinity_scores_groups(longest, k + margin + 1))
    values = Vec(capacity: longest + 1)
    ranks = Vec(capacity: longest + 1)
    targets = Vec(capacity: longest + 1)
    counts = Vec(capacity: longest + 1)
    rounded = Vec(capacity: Selection.few)
    order = Vec(capacity: Selection.few)
    placed = Vec(capacity: Selection.few)
  }

  /// Where a row's list goes, and up to `room` pairs that follow it.
  struct List {
    var ids: UnsafeMutablePointer<UInt32>
    var both: UnsafeMutablePointer<UInt32>
    var values: UnsafeMutablePointer<Double>
    var spareIDs: UnsafeMutablePointer<UInt32>?
    var spareBoth: UnsafeMutablePointer<UInt32>?
    var room = 0
  }

  /// What a row's list came to. No pair that was left out has a quick score above `floor`.
  struct Taken {
    var length: Int
    var spares: Int
    var floor: Float
  }

  /// Writes the K best of the `met` pairs that have been scored, in order, and those that follow.
  /// - Parameter pair: a place's target and count.
  @inline(__always)
  mutating func take<S: Scorer>(
    _ met: Int, _ scorer: borrowing S, _ rankOf: UnsafePointer<UInt32>, except item: Int,
    into list: List, _ pair: (_ place: Int) -> (target: UInt32, both: UInt32)
  ) -> Taken {
    // The item itself, which no list holds, may be one that reaches the floor.
    let floor =
      affinity_scores_floor(scores.base, met, k + margin + 1, maxima.base) * Selection.slack
    let passed = affinity_scores_sieve(scores.base, met, floor, places.base)
    var count = 0
    for p in 0..<passed {
      let (target, both) = pair(Int(places.base[p]))
      targets.base[count] = target
      counts.base[count] = both
      count &+= Int(target) == item ? 0 : 1
    }
    scorer.exact(counts.base, targets.base, count, values.base)
    // Exact values may refuse what quick scores let pass: close the gaps.
    let all = count
    count = 0
    for p in 0..<all {
      let target = targets.base[p]
      values.base[count] = values.base[p]
      targets.base[count] = target
      counts.base[count] = counts.base[p]
      ranks.base[count] = Int32(truncatingIfNeeded: rankOf[Int(target)])
      count &+= values.base[p] < 0 ? 0 : 1
    }
    if count > Selection.few || !placeFew(count, list) { sortMany(count, list) }
    var taken = Taken(
      length: min(count, k), spares: max(0, min(count - k, list.room)), floor: floor)
    if count > k + list.room {
      // What was left out follows the last that was kept.
      let last = taken.spares - 1
      let (ids, both) = last < 0 ? (list.ids, list.both) : (list.spareIDs!, list.spareBoth!)
      let at = last < 0 ? k - 1 : last
      taken.floor = max(floor, Selection.above(scorer, ids[at], both[at]))
    }
    return taken
  }

  /// Not below the quick score of any pair that the exact order puts behind this one.
  @inline(__always)
  static func above<S: Scorer>(_ scorer: borrowing S, _ id: UInt32, _ both: UInt32) -> Float {
    var (id, both, score) = (id, both, Float(0))
    scorer.score(&id, &both, 1, &score)
    return score / slack
  }

  /// False, and nothing of use is written, where single precision cannot tell values apart.
  private func placeFew(_ count: Int, _ list: List) -> Bool {
    affinity_candidates_place(values.base, ranks.base, count, rounded.base, order.base)
    for i in 0..<count {
      let place = Int(order.base[i])
      placed.base[place] = values.base[i]
      if place < k {
        list.ids[place] = targets.base[i]
        list.both[place] = counts.base[i]
        list.values[place] = values.base[i]
      } else if place < k &+ list.room {
        list.spareIDs![place &- k] = targets.base[i]
        list.spareBoth![place &- k] = counts.base[i]
      }
    }
    return affinity_values_descend(placed.base, count) != 0
  }

  private mutating func sortMany(_ count: Int, _ list: List) {
    members.removeAll()
    for i in 0..<count {
      members.append(
        Candidate(
          value: values.base[i].bitPattern, rank: UInt32(truncatingIfNeeded: ranks.base[i]),
          id: targets.base[i], both: counts.base[i]))
    }
    let wanted = k + list.room
    if count > wanted {
      Selection.partition(members.base, count, wanted)
      members.count = wanted
    }
    Selection.sort(members.base, members.count)
    for i in 0..<min(members.count, k) {
      list.ids[i] = members[i].id
      list.both[i] = members[i].both
      list.values[i] = Double(bitPattern: members[i].value)
    }
    for i in min(members.count, k)..<members.count {
      list.spareIDs![i &- k] = members[i].id
      list.spareBoth![i &- k] = members[i].both
    }
  }

  @inline(__always) static func precedes(_ a: Candidate, _ b: Candidate) -> Bool {
    a.value != b.value ? a.value > b.value : a.rank < b.rank
  }

  /// Hoare's selection: the `k` first of the order come to the front, 0 < k < count.
  static func partition(_ base: UnsafeMutablePointer<Candidate>, _ count: Int, _ k: Int) {
    var low = 0
    var high = count - 1
    while high - low > 8 {
      let pivot = median(base[low], base[(low + high) / 2], base[high])
      var i = low
      var j = high
      while i <= j {
        while precedes(base[i], pivot) { i &+= 1 }
        while precedes(pivot, base[j]) { j &-= 1 }
        if i <= j {
          let t = base[i]
          base[i] = base[j]
          base[j] = t
          i &+= 1
          j &-= 1
        }
      }
      if k - 1 <= j { high = j } else if k - 1 >= i { low = i } else { return }
    }
    insertionSort(base + low, high - low + 1)
  }

  static func sort(_ base: UnsafeMutablePointer<Candidate>, _ count: Int) {
    if count <= 24 {
      insertionSort(base, count)
      return
    }
    let pivot = median(base[0], base[count / 2], base[count - 1])
    var i = 0
    var j = count - 1
    while i <= j {
      while precedes(base[i], pivot) { i &+= 1 }
      while precedes(pivot, base[j]) { j &-= 1 }
      if i <= j {
        let t = base[i]
        base[i] = base[j]
        base[j] = t
        i &+= 1
        j &-= 1
      }
    }
    sort(base, j + 1)
    sort(base + i, count - i)
  }

  private static func insertionSort(_ base: UnsafeMutablePointer<Candidate>, _ count: Int) {
    var i = 1
    while i < count {
      let x = base[i]
      var j = i
      while j > 0 && precedes(x, base[j &- 1]) {
        base[j] = base[j &- 1]
        j &-= 1
      }
      base[j] = x
      i &+= 1
    }
  }

  @inline(__always)
  private static func median(_ a: Candidate, _ b: Candidate, _ c: Candidate) -> Candidate {
    if precedes(a, b) {
      if precedes(b, c) { return b }
      return precedes(a, c) ? c : a
    }
    if precedes(a, c) { return a }
    return precedes(b, c) ? c : b
  }
}
