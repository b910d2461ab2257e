// The lists that formulas make (Recommender/Formulas) of a listener's rows and the model in force.
//
//   discover   N = scale · max(Σ B_ij, 0) · t_j + w · mean1(q)_j, over what the user has bought
//   buy_again  r_u · sum1(W · √rp)_j + w (1 - r_u) · sum1(N)_j
//   basket     sum1(max(Σ w_i B_ij, 0)) + r_u · sum1(W · √rp)_j, over what is in the basket
//   next       the nearest sessions
//
// All of them are sums, of contributions = value × weight: so a list is chosen by its sums in dense scratch, and for
// the chosen items alone the contributions are gathered, as `Candidates` does. The three largest are listed, the
// others are `rest`. Items of which neither a history nor recent demand says anything are left out.
//
// What the sums depend on stands in an order of item keys or of time, so equal rows give equal bytes.
import CKernels
import Recommender
import Sparse

/// A list made by a formula.
enum FormulaKind: Int {
  case forYou, buyAgain, basket, next

  var name: StaticString {
    switch self {
    case .forYou: "for_you"
    case .buyAgain: "buy_again"
    case .basket: "basket"
    case .next: "next"
    }
  }
}

struct FormulaLists: ~Copyable, Excluding {
  enum Source: UInt8 { case regression, trend, own, sessions }

  /// One contribution to one item.
  struct Part: BitwiseCopyable {
    var contribution = 0.0
    var value = 0.0
    var weight = 0.0
    var source = Source.regression
    /// Place in `given`; sessions that agreed.
    var place: UInt32 = 0
  }
  /// An item of a list. Its parts stand at three times its place among the made ones.
  struct Made: BitwiseCopyable {
    var item: UInt32
    var score = 0.0
    var rest = 0.0
    var listed = 0
    var firstPart: Int
  }
  /// An item that a regression is asked with.
  struct Given: BitwiseCopyable {
    var item: UInt32
    /// w_i; 1 where positions say nothing.
    var position: Double
    var scale = 0.0
  }
  struct List {
    var kind: FormulaKind
    var made: Range<Int>
    var hasTrend: Bool
  }

  private let settings: ListsConfiguration
  private let places: MatrixPlaces
  private let top: Int
  private let minUsers: Int
  private let kinds: [FormulaKind]

  private(set) var lists: [List] = []
  private(set) var made = Vec<Made>()
  private(set) var parts = Vec<Part>()
  private(set) var given = Vec<Given>()
  private(set) var own = OwnVisits()
  private(set) var search = SessionSearch()

  // By item: sums of a regression; whether it is among the candidates; 1 = not in this list, 2 = in none; 1 + place
  // among the made ones.
  private var sums = Vec<Double>()
  private var seen = Vec<UInt8>()
  private var blocked = Vec<UInt8>()
  private var marks = Vec<UInt32>()
  private var blockedItems = Vec<UInt32>()
  private var unavailable = Vec<UInt32>()
  private var touched = Vec<UInt32>()
  private var candidates = Vec<UInt32>()
  private var scores = Vec<Double>()
  private var scratch = Vec<Double>()
  private var chosen = Vec<UInt32>()
  private var clicks: [UInt32] = []

  init(_ configuration: EngineConfiguration, places: MatrixPlaces) {
    settings = configuration.lists
    self.places = places
    top = configuration.recommend.top
    minUsers = configuration.minUsers
    var kinds: [FormulaKind] = []
    if configuration.hasFormulas {
      if settings.forYou == .discover { kinds.append(.forYou) }
      if settings.buyAgain { kinds.append(.buyAgain) }
      if settings.basket { kinds.append(.basket) }
      if settings.next { kinds.append(.next) }
    }
    self.kinds = kinds
  }

  var isOn: Bool { !kinds.isEmpty }
  var count: Int { made.count }

  mutating func prepare(_ model: Model, isNew: Bool, itemLimit: Int) {
    let hasGrown = sums.count < itemLimit
    sums.extend(to: itemLimit, with: 0)
    seen.extend(to: itemLimit, with: 0)
    blocked.extend(to: itemLimit, with: 0)
    marks.extend(to: itemLimit, with: 0)
    own.reserve(itemLimit)
    if !isNew && !hasGrown { return }
    for i in 0..<unavailable.count { blocked[Int(unavailable[i])] = 0 }
    unavailable.removeAll()
    // The order leaves no trace.
    for item in model.unavailable where Int(item) < itemLimit {
      blocked[Int(item)] = 2
      unavailable.append(item)
    }
  }

  mutating func exclude(_ item: UInt32) {
    if blocked[Int(item)] != 0 { return }
    blocked[Int(item)] = 1
    blockedItems.append(item)
  }

  /// Makes every list.
  /// - Parameter basket: newest first.
  mutating func make(
    _ scene: Scene, basket: borrowing Vec<UInt32>, isOrdered: Bool, reader: SceneReader, model: Model,
    interactions: borrowing Interactions
  ) {
    lists.removeAll(keepingCapacity: true)
    made.removeAll()
    parts.removeAll()
    given.removeAll()
    guard let models = model.lists, let trend = model.trend else {
      for kind in kinds { lists.append(List(kind: kind, made: 0..<0, hasTrend: false)) }
      return
    }
    if let history = models.own, let matrix = places.orderPurchases {
      own.gather(
        scene, orders: matrix, history, halfLife: settings.constants.ownHalfLife, interactions)
    }
    for kind in kinds {
      let start = made.count
      let plan = plan(kind, scene, basket, isOrdered, models, trend, interactions)
      if kind == .next {
        reader.exclude(scene, basket: Vec(), purchased: false, interactions, from: &self)
      } else {
        reader.exclude(
          scene, basket: basket, purchased: kind == .forYou, interactions, from: &self)
      }
      collect(plan, trend)
      choose(plan, trend, interactions.items)
      lists.append(List(kind: kind, made: start..<made.count, hasTrend: plan.hasTrend))
      clear()
    }
  }

  /// The made items of a list, by rank from 0.
  func entry(_ list: List, _ rank: Int) -> Made { made[list.made.lowerBound + rank] }

  // MARK: what a formula adds up

  /// Weights of a list's sources.
  private struct Plan: ~Copyable {
    var kind: FormulaKind
    var weights: ItemWeights?
    /// Its items in `given`.
    var given = 0..<0
    /// Of a sum of the regression.
    var scale = 0.0
    var hasTrend = false
    /// Of recent popularity and of the user's own items.
    var trendWeight = 0.0
    var ownWeight = 0.0
  }

  private mutating func plan(
    _ kind: FormulaKind, _ scene: Scene, _ basket: borrowing Vec<UInt32>, _ isOrdered: Bool,
    _ models: ListModels, _ trend: TrendModel, _ interactions: borrowing Interactions
  ) -> Plan {
    var plan = Plan(kind: kind)
    let constants = settings.constants
    let start = given.count
    switch kind {
    case .forYou, .buyAgain:
      takeHistory(scene, interactions)
      plan.weights = models.discover
      plan.hasTrend = true
      plan.trendWeight = constants.popularityWeight
      plan.given = start..<given.count
      let total = regress(plan)
      if total > 0 { plan.scale = Double(trend.trend.itemCount) / total }
      if kind == .buyAgain {
        plan.ownWeight = own.count > 0 ? own.repeatShare : 0
        let all = sumOfNew(plan, trend)
        let share = constants.newWeight * (1 - own.repeatShare)
        let unit = all > 0 ? share / all : 0
        plan.scale *= unit
        plan.trendWeight *= unit
      }
    case .basket:
      if basket.count == 0 { break }
      for back in 0..<basket.count {
        let position =
          isOrdered
          ? BasketFormula.weight(stepsBack: back, constants) : 1
        given.append(Given(item: basket[back], position: position))
      }
      plan.weights = models.basket
      plan.given = start..<given.count
      let total = regress(plan)
      if total > 0 { plan.scale = 1 / total }
      plan.ownWeight = own.count > 0 ? own.repeatShare : 0
    case .next:
      takeClicks(scene, interactions)
      if let sessions = models.sessions { search.find(clicks, sessions) }
    }
    for k in plan.given { given.base[k].scale = plan.scale }
    return plan
  }

  /// What the user has bought, the latest first.
  private mutating func takeHistory(_ scene: Scene, _ interactions: borrowing Interactions) {
    guard let row = scene.userRow, let matrix = places.userPurchases else { return }
    let (items, stamps) = interactions.slots(matrix: matrix, row: row)
    var k = items.count - 1
    var taken = 0
    while k >= 0 && taken < settings.constants.history {
      if Stamp.isActive(stamps[k]) {
        given.append(Given(item: items[k], position: 1))
        taken += 1
      }
      k -= 1
    }
  }

  /// What the session has looked at, the latest last.
  private mutating func takeClicks(_ scene: Scene, _ interactions: borrowing Interactions) {
    clicks.removeAll(keepingCapacity: true)
    guard let row = scene.sessionRow, let matrix = places.sessionViews else {
      return
    }
    let (items, stamps) = interactions.slots(matrix: matrix, row: row)
    for k in 0..<items.count where Stamp.isActive(stamps[k]) { clicks.append(items[k]) }
  }

  /// Adds up the regression for all items.
  /// - Returns: the sum of those above zero.
  private mutating func regress(_ plan: borrowing Plan) -> Double {
    guard let weights = plan.weights else { return 0 }
    for g in plan.given {
      let (targets, values) = weights.row(given[g].item)
      let position = given[g].position
      for k in 0..<targets.count {
        let item = Int(targets[k])
        if seen[item] == 0 {
          seen[item] = 1
          touched.append(targets[k])
        }
        sums.base[item] += position * values[k]
      }
    }
    var total = 0.0
    for i in 0..<touched.count { total += max(0, sums[Int(touched[i])]) }
    return total
  }

  /// Σ N over all items.
  private func sumOfNew(_ plan: borrowing Plan, _ trend: TrendModel) -> Double {
    var sum = trend.order.isEmpty ? 0 : plan.trendWeight * Double(trend.trend.itemCount)
    for i in 0..<touched.count {
      let item = touched[i]
      let value = sums[Int(item)]
      if value > 0 { sum += value * plan.scale * trend.factor(item) }
    }
    return sum
  }

  // MARK: candidates

  /// A user's own items that nobody ever buys again are none that are new.
  private func isSpent(_ item: UInt32, _ plan: borrowing Plan) -> Bool {
    plan.kind == .buyAgain && own.hasNoRepeats(item)
  }

  private mutating func offer(_ item: UInt32, _ plan: borrowing Plan, _ trend: TrendModel) {
    if blocked[Int(item)] != 0 || isSpent(item, plan) { return }
    var score = 0.0
    let sum = sums[Int(item)]
    if sum > 0 { score += sum * (plan.hasTrend ? plan.scale * trend.factor(item) : plan.scale) }
    if plan.hasTrend { score += plan.trendWeight * trend.share(item) }
    if plan.ownWeight > 0 { score += plan.ownWeight * own.share(item) }
    if score > 0 {
      candidates.append(item)
      scores.append(score)
    }
  }

  private mutating func collect(_ plan: borrowing Plan, _ trend: TrendModel) {
    candidates.removeAll()
    scores.removeAll()
    if plan.kind == .next {
      for k in 0..<search.items.count
      where blocked[Int(search.items[k])] == 0 && search.scores[k] > 0 && Int(search.agreed[k]) >= minUsers {
        candidates.append(search.items[k])
        scores.append(search.scores[k])
      }
      return
    }
    for i in 0..<touched.count { offer(touched[i], plan, trend) }
    if plan.ownWeight > 0 {
      for i in 0..<own.count where seen[Int(own.item(i))] == 0 {
        seen[Int(own.item(i))] = 1
        touched.append(own.item(i))
        offer(own.item(i), plan, trend)
      }
    }
    if plan.hasTrend && plan.trendWeight > 0 {
      // Of items that nothing else speaks for, the most recent ones are enough.
      let wanted = candidates.count + top
      var k = 0
      while k < trend.order.count && candidates.count < wanted {
        if seen[Int(trend.order[k])] == 0 { offer(trend.order[k], plan, trend) }
        k += 1
      }
    }
  }

  private mutating func clear() {
    for i in 0..<touched.count {
      seen[Int(touched[i])] = 0
      sums[Int(touched[i])] = 0
    }
    touched.removeAll()
    for i in 0..<blockedItems.count { blocked[Int(blockedItems[i])] = 0 }
    blockedItems.removeAll()
  }

  // MARK: the chosen

  private mutating func choose(
    _ plan: borrowing Plan, _ trend: TrendModel, _ items: borrowing Interner
  ) {
    let start = made.count
    scratch.reserve(candidates.count + 1)
    chosen.reserve(candidates.count + 1)
    let found = affinity_largest(scores.base, candidates.count, top, scratch.base, chosen.base)
    for i in 0..<found {
      let item = candidates[Int(chosen.base[i])]
      marks[Int(item)] = UInt32(made.count + 1)
      made.append(Made(item: item, firstPart: parts.count))
      for _ in 0..<3 { parts.append(Part()) }
    }
    if let weights = plan.weights { gather(plan, weights, trend) }
    for m in start..<made.count {
      let item = made[m].item
      if plan.hasTrend {
        let share = trend.share(item)
        if share > 0 && plan.trendWeight > 0 {
          add(Part(value: share, weight: plan.trendWeight, source: .trend), to: m)
        }
      }
      if plan.ownWeight > 0 {
        let share = own.share(item)
        if share > 0 { add(Part(value: share, weight: plan.ownWeight, source: .own), to: m) }
      }
    }
    if plan.kind == .next {
      for k in 0..<search.items.count {
        let m = Int(marks[Int(search.items[k])]) - 1
        if m < start { continue }
        add(Part(value: search.scores[k], weight: 1, source: .sessions, place: search.agreed[k]), to: m)
      }
    }
    finish(start, items)
  }

  /// The regression's contributions to the chosen.
  private mutating func gather(_ plan: borrowing Plan, _ weights: ItemWeights, _ trend: TrendModel) {
    for g in plan.given {
      let (targets, values) = weights.row(given[g].item)
      let unit = plan.scale * given[g].position
      for k in 0..<targets.count {
        let item = targets[k]
        let mark = marks[Int(item)]
        if mark == 0 || !(sums[Int(item)] > 0) { continue }
        let weight = unit * (plan.hasTrend ? trend.factor(item) : 1)
        if weight == 0 { continue }
        add(Part(value: values[k], weight: weight, source: .regression, place: UInt32(g)), to: Int(mark) - 1)
      }
    }
  }

  /// Keeps the three largest in order, the earlier first where equal; what falls out is `rest`.
  private mutating func add(_ part: Part, to m: Int) {
    var part = part
    part.contribution = part.value * part.weight
    let entry = made.base + m
    let own = parts.base + entry.pointee.firstPart
    for i in 0..<entry.pointee.listed where part.contribution > own[i].contribution {
      swap(&part, &own[i])
    }
    if entry.pointee.listed < 3 {
      own[entry.pointee.listed] = part
      entry.pointee.listed += 1
    } else {
      entry.pointee.rest += part.contribution
    }
  }

  /// Scores, order and length of the list that begins at `start`.
  private mutating func finish(_ start: Int, _ items: borrowing Interner) {
    for m in start..<made.count {
      let entry = made.base + m
      marks[Int(entry.pointee.item)] = 0
      var sum = 0.0
      for i in 0..<entry.pointee.listed { sum += parts[entry.pointee.firstPart + i].contribution }
      entry.pointee.score = sum + entry.pointee.rest
    }
    // They are few, or all the catalogue where all tie: a sort whose work grows gently.
    var all = UnsafeMutableBufferPointer(start: made.base + start, count: made.count - start)
    all.sort { precedes($0, $1, items) }
    var kept = start
    while kept < made.count && kept - start < top && made[kept].score > 0 { kept += 1 }
    made.count = kept
  }

  private func precedes(_ a: Made, _ b: Made, _ items: borrowing Interner) -> Bool {
    a.score != b.score ? a.score > b.score : items.precedes(a.item, b.item)
  }
}

/// The visits of the user whose lists are made.
struct OwnVisits: ~Copyable {
  private struct Entry: BitwiseCopyable {
    var item: UInt32
    var visits: UInt32
    /// W, and √rp, in units of `OwnHistory.unit`.
    var weight: UInt64
    var root: UInt64
  }
  private var entries = Vec<Entry>()
  /// By item: 1 + its place.
  private var places = Vec<UInt32>()
  /// Σ W · √rp.
  private var total: UInt64 = 0
  private(set) var counts = VisitCounts()
  /// r_u and ρ.
  private(set) var repeatShare = 0.0
  private(set) var average = 0.0

  var count: Int { entries.count }
  func item(_ i: Int) -> UInt32 { entries[i].item }
  mutating func reserve(_ itemLimit: Int) { places.extend(to: itemLimit, with: 0) }

  mutating func gather(
    _ scene: Scene, orders matrix: Int, _ history: OwnHistory, halfLife: Int64,
    _ interactions: borrowing Interactions
  ) {
    for i in 0..<entries.count { places[Int(entries[i].item)] = 0 }
    entries.removeAll()
    total = 0
    counts = VisitCounts()
    average = history.repeatShare
    if let user = scene.userRow {
      interactions.forEachOrder(ofUser: user) { row in
        let (items, stamps) = interactions.slots(matrix: matrix, row: row)
        for k in 0..<items.count where Stamp.isActive(stamps[k]) {
          take(
            items[k], OwnHistory.weight(time: Stamp.time(stamps[k]), reference: scene.time, halfLife: halfLife),
            history)
        }
      }
    }
    repeatShare = history.repeatShare(of: counts)
  }

  private mutating func take(_ item: UInt32, _ weight: UInt64, _ history: OwnHistory) {
    counts.visits += 1
    if places[Int(item)] == 0 {
      entries.append(Entry(item: item, visits: 0, weight: 0, root: history.root(of: item)))
      places[Int(item)] = UInt32(entries.count)
    } else {
      counts.repeats += 1
    }
    let entry = entries.base + Int(places[Int(item)]) - 1
    entry.pointee.visits += 1
    entry.pointee.weight &+= weight
    total &+= weight &* entry.pointee.root
  }

  private func entry(_ item: UInt32) -> Entry? {
    let place = places[Int(item)]
    return place == 0 ? nil : entries[Int(place) - 1]
  }

  /// The item's part of Σ W · √rp.
  func share(_ item: UInt32) -> Double {
    guard total > 0, let entry = entry(item) else { return 0 }
    return Double(entry.weight &* entry.root) / Double(total)
  }

  /// Whether it is the user's own, and of the kind that nobody buys again.
  func hasNoRepeats(_ item: UInt32) -> Bool { entry(item).map { $0.root == 0 } ?? false }

  /// Visits of an item, W and Σ W · √rp as plain numbers.
  func evidence(_ item: UInt32) -> (visits: UInt32, decayed: Double, total: Double) {
    let unit = OwnHistory.unit
    return (
      entry(item)?.visits ?? 0, Double(entry(item)?.weight ?? 0) / unit, Double(total) / (unit * unit)
    )
  }
}
