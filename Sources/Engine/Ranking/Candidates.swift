// From runs to the best items with their contributions.
//
// A run is a stretch of (item, value) arrays of the model under one weight. Every item's contributions
// (value × weight) are added in dense scratch, in the order of the runs; an item that must not be recommended
// stands at minus infinity, which no addition changes. The top is found by threshold, and only for its items are
// the runs walked once more to gather the contributions: the three largest are listed, in order, the others
// are `rest`, and the score is exactly the sum of these in that order. The order of the list is by that score,
// then by item key: the threshold keeps a margin far above what another order of adding can change.
import CKernels
import Recommender
import Sparse

/// Items with their values, side by side, under one weight.
typealias Run = affinity_run
typealias Finalist = affinity_finalist

struct Candidates: ~Copyable, Excluding {
  /// Per item: 0 = untouched, minus infinity = left out.
  private var scores: Vec<Double>
  /// Per item: 0, but for the finalists that are explained just now.
  private var marks: Vec<UInt8>
  private var excluded: Vec<UInt32>
  /// Left out of every list until the model changes.
  private var unavailable: Vec<UInt32>
  private(set) var runs: Vec<Run>
  /// Items of all runs.
  private var total = 0
  /// Scratch of the kernels.
  private var items: Vec<UInt32>
  private var sums: Vec<Double>
  private var scratch: Vec<Double>
  private var places: Vec<UInt32>
  private var cells: Vec<Double>
  private var cellPlaces: Vec<UInt32>
  private var finalists: Vec<Finalist>
  /// Finalists in the order of the list.
  private var order: Vec<UInt32>

  init() {
    scores = Vec()
    marks = Vec()
    excluded = Vec()
    unavailable = Vec()
    runs = Vec()
    items = Vec()
    sums = Vec()
    scratch = Vec()
    places = Vec()
    cells = Vec()
    cellPlaces = Vec()
    finalists = Vec()
    order = Vec()
  }

  /// Items below it have a place.
  var itemLimit: Int { scores.count }

  mutating func begin(itemLimit: Int) {
    scores.extend(to: itemLimit, with: 0)
    marks.extend(to: itemLimit, with: 0)
    runs.removeAll()
    total = 0
  }

  /// Leaves these out from now on, instead of those before. Not between `begin` and `choose`.
  mutating func setUnavailable(_ items: Set<UInt32>) {
    for i in 0..<unavailable.count { scores[Int(unavailable[i])] = 0 }
    unavailable.removeAll()
    // The order leaves no trace.
    for item in items where Int(item) < scores.count {
      scores[Int(item)] = -.infinity
      unavailable.append(item)
    }
  }

  /// Leaves the item out of this list.
  mutating func exclude(_ item: UInt32) {
    if scores[Int(item)] != 0 { return }
    scores[Int(item)] = -.infinity
    excluded.append(item)
  }

  func copyExcluded(to items: inout Vec<UInt32>) { items.append(contentsOf: excluded.buffer) }

  @inline(__always)
  mutating func propose(_ run: Run) {
    runs.append(run)
    total &+= Int(run.count)
  }

  /// Finds the `top` best, the best first.
  mutating func choose(top: Int, items keys: borrowing Interner) {
    items.reserve(total + 1)
    sums.reserve(total + 1)
    let touched = affinity_runs_add(runs.base, runs.count, scores.base, items.base)
    let count = affinity_scores_take(scores.base, items.base, touched, items.base, sums.base)
    scratch.reserve(count)
    places.reserve(count + 1)
    let found = affinity_largest(sums.base, count, top, scratch.base, places.base)
    finalists.removeAll()
    for i in 0..<found { finalists.append(Finalist(items.base[Int(places.base[i])])) }
    let room = affinity_explain_cells(runs.count)
    cells.reserve(room)
    cellPlaces.reserve(room)
    var start = 0
    while start < finalists.count {
      let some = min(finalists.count - start, Int(AFFINITY_COLUMNS))
      affinity_runs_explain(
        runs.base, runs.count, marks.base, finalists.base + start, some, cells.base,
        cellPlaces.base)
      start += some
    }
    for i in 0..<excluded.count { scores[Int(excluded[i])] = 0 }
    excluded.removeAll()
    sort(top, keys)
  }

  /// The finalists by score, then key. They are few, or all the catalogue where all tie.
  private mutating func sort(_ top: Int, _ keys: borrowing Interner) {
    let finalists = self.finalists.base
    let count = self.finalists.count
    func precedes(_ a: UInt32, _ b: UInt32, _ keys: borrowing Interner) -> Bool {
      let (x, y) = (finalists[Int(a)].score, finalists[Int(b)].score)
      return x != y ? x > y : keys.precedes(finalists[Int(a)].item, finalists[Int(b)].item)
    }
    order.reserve(count)
    order.count = count
    let order = self.order.base
    if count > 256 {
      for i in 0..<count { order[i] = UInt32(i) }
      var all = UnsafeMutableBufferPointer(start: order, count: count)
      all.sort { precedes($0, $1, keys) }
    } else {
      for i in 0..<count {
        var j = i
        while j > 0 && precedes(UInt32(i), order[j &- 1], keys) {
          order[j] = order[j &- 1]
          j &-= 1
        }
        order[j] = UInt32(i)
      }
    }
    self.order.count = min(top, count)
  }

  // MARK: what was found

  /// Items in the list.
  var count: Int { order.count }

  /// The item of a rank from 0; until the next `choose`.
  @inline(__always)
  func chosen(_ rank: Int) -> UnsafePointer<Finalist> {
    UnsafePointer(finalists.base + Int(order[rank]))
  }

  /// Its `i`-th listed contribution.
  @inline(__always)
  func reason(_ entry: UnsafePointer<Finalist>, _ i: Int) -> Reason {
    let at = UnsafeRawPointer(entry)
    let place = at.load(
      fromByteOffset: MemoryLayout<Finalist>.offset(of: \.places)! &+ 8 &* i, as: UInt64.self)
    return Reason(
      item: entry.pointee.item, number: UInt32(truncatingIfNeeded: place &>> 32),
      place: UInt32(truncatingIfNeeded: place),
      contribution: at.load(
        fromByteOffset: MemoryLayout<Finalist>.offset(of: \.contributions)! &+ 8 &* i,
        as: Double.self),
      run: UnsafePointer(runs.base + Int(place &>> 32)))
  }
}

extension Finalist {
  @inline(__always) init(_ item: UInt32) {
    self.init()
    self.item = item
  }
}
