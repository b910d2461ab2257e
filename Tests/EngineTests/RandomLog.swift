// Random configurations and logs for the twin: small worlds in which everything that can go wrong goes
// wrong often: late, repeated, refunded before and after, at equal times, anonymous, without ids.
import Engine
import Events
import Foundation
import Recommender
import Sparse

enum Step {
  case event(Event)
  case tick(Int64)

  var isTick: Bool { if case .tick = self { true } else { false } }
  var isErasure: Bool { if case .event(let e) = self { e.type == .erase } else { false } }
}

struct RandomLog {
  var random: SplitMix
  let start: Int64
  let grain: Int64
  let users: [String]
  var items: [String]
  let orders: [String]
  let sessions: [String]
  /// Items of which only a moving part is in use, so that ids come and go.
  var churn = false
  private var now: Int64
  private var past: [Event] = []
  private var held: [(at: Int, event: Event)] = []

  /// Logs of one test: `usual`, times AFFINITY_TWIN where that is set, for a longer search.
  static func count(_ usual: Int) -> Int {
    usual * max(1, ProcessInfo.processInfo.environment["AFFINITY_TWIN"].flatMap { Int($0) } ?? 1)
  }

  static let itemNames = [
    "sku-1", "sku-10", "sku-2", "a", "ab", "b", "\u{e9}", "Z", "item-with-a-long-prefix-2",
    "item-with-a-long-prefix-10", "item-with-a-long-prefix-1", "~", "0", "sku-1 ",
  ]

  init(seed: UInt64, items count: Int? = nil, users userCount: Int? = nil, grain: Int64? = nil) {
    var random = SplitMix(seed: seed)
    start = 1_772_000_000_000 + Int64(random.below(40)) * 86_400_000 + 3_600_000
    let grains: [Int64] = [1, 3_600_000, 21_600_000]
    let drawn = (grains[random.below(3)], 1 + random.below(6), 3 + random.below(11))
    self.grain = grain ?? drawn.0
    users = (0..<(userCount ?? drawn.1)).map { "u-\($0)" }
    items = Array(RandomLog.itemNames.prefix(count ?? drawn.2))
    orders = (0..<5).map { "o-\($0)" }
    sessions = (0..<4).map { "s-\($0)" }
    self.random = random
    now = start
  }

  mutating func chance(_ p: Double) -> Bool { random.unit() < p }
  mutating func pick<T>(_ list: [T]) -> T { list[random.below(list.count)] }

  /// A configuration whose bounds bind all the time.
  mutating func configuration() -> EngineConfiguration {
    var c = EngineConfiguration()
    let day: Int64 = 86_400_000
    // In units of the log's grain, so that windows pass whatever the grain is.
    func window(_ random: inout SplitMix) -> Int64? {
      let r = random.below(6)
      return r == 0 ? nil : r == 1 ? 365 * day : Int64(1 + random.below(60)) * grain
    }
    func vary(_ r: inout RelationConfiguration, _ random: inout SplitMix) {
      r.history = 2 + random.below(7)
      r.window = window(&random)
      r.minBoth = 1 + random.below(3)
      r.shrinkage = random.below(3) == 0 ? 2.5 : 0
      r.measure = Measure.allCases[random.below(Measure.allCases.count)]
    }
    if chance(0.8) {
      for i in c.relations.indices where chance(0.8) { vary(&c.relations[i], &random) }
    }
    let extras: [(String, ContextKind, Behaviour, Behaviour)] = [
      ("viewed_too", .user, .view, .view), ("carted_with", .session, .view, .cart),
      ("liked_then_bought", .user, .like, .purchase), ("basket_again", .order, .purchase, .purchase),
      ("bought_too", .user, .purchase, .purchase), ("clicked", .session, .impression, .click),
      ("bought_then_viewed", .user, .purchase, .view), ("cart_cart", .user, .cart, .cart),
    ]
    for (name, context, source, target) in extras where chance(0.3) {
      var r = RelationConfiguration(name: name)
      r.context = context
      r.source = source
      r.target = target
      vary(&r, &random)
      r.weight = chance(0.2) ? 0 : 0.5
      c.relations.append(r)
    }
    c.neighbours = [1, 2, 3, 50][random.below(4)]
    c.minUsers = chance(0.15) ? 2 : 1
    c.rules.maxBasket = 2 + random.below(6)
    c.rules.window = window(&random)
    c.rules.interval = chance(0.5) ? 0 : Int64(random.below(60)) * grain
    c.rules.maxLength = 2 + random.below(3)
    c.rules.maxConsequent = 1 + random.below(2)
    c.rules.minConfidence = [0, 0.1, 0.5][random.below(3)]
    c.rules.maxQ = [1, 1, 0.3, 0.9][random.below(4)]
    c.rules.pruneRedundant = chance(0.5)
    c.rules.minSupport =
      chance(0.5)
      ? .init(numerator: UInt64(1 + random.below(3)), denominator: 1)
      : .init(numerator: UInt64(1 + random.below(300)), denominator: 1000)
    c.rulesEnabled = chance(0.9)
    c.popularity.history = 3 + random.below(5)
    c.popularity.window = window(&random)
    c.popularity.halfLife = max(1, grain * Int64(1 + random.below(30)))
    c.popularity.trendHalfLife = max(1, grain * Int64(1 + random.below(10)))
    c.popularity.top = [2, 100][random.below(2)]
    c.popularity.trendMinimum = 1 + random.below(4)
    c.recommend.top = [1, 3, 20][random.below(3)]
    c.recommend.linger = [0, grain, 5 * grain][random.below(3)]
    c.recommend.refresh = Int64(random.below(40)) * grain
    c.recommend.cartWindow = Int64(1 + random.below(40)) * grain
    c.recommend.recent = [2, 50][random.below(2)]
    c.recommend.excludePurchased = chance(0.7)
    c.recommendEnabled = chance(0.9)
    return c
  }

  /// Some of the lists that formulas make, with bounds that bind.
  mutating func formulas(_ c: inout EngineConfiguration) {
    c.recommendEnabled = true
    c.lists.forYou = chance(0.5) ? .discover : .blend
    c.lists.buyAgain = chance(0.6)
    c.lists.basket = chance(0.6)
    c.lists.next = chance(0.6)
    if !c.lists.isOn { c.lists.buyAgain = true }
    c.lists.maxItems = chance(0.3) ? 4 : 20_000
    c.lists.maxSessions = chance(0.3) ? 5 : 200_000
    let dense = chance(0.5) ? 0 : 5000
    let neighbours = chance(0.3) ? 2 : 200
    for path in [\FormulaConstants.discover, \FormulaConstants.basket] {
      c.lists.constants[keyPath: path].denseItems = dense
      c.lists.constants[keyPath: path].neighbours = neighbours
    }
    c.lists.constants.gramHalfLife = grain * Int64(20 + random.below(200))
    c.lists.constants.ownHalfLife = grain * Int64(20 + random.below(200))
    c.lists.constants.sessions.recent = chance(0.3) ? 3 : 500
    c.lists.constants.sessions.neighbours = chance(0.3) ? 2 : 200
    if chance(0.5) { c.rules.interval = 0 }
  }

  /// Events and ticks, in the order in which they reach the engine.
  mutating func steps(_ count: Int, ticks: Int, configuration: EngineConfiguration) -> [Step] {
    var steps: [Step] = []
    var last: Int64 = 0
    for i in 0..<count {
      now += Int64(random.below(4)) * grain
      if churn { turnItems() }
      let event = next(i)
      steps.append(.event(event))
      if random.below(count) < ticks {
        // Live: stream time. Replay: a multiple at or before it.
        let interval = grain * Int64(1 + random.below(20))
        let stream = max(last, now)
        last = max(last, chance(0.5) ? stream : stream / interval * interval)
        steps.append(.tick(last))
      }
    }
    for (_, event) in held { steps.append(.event(event)) }
    held = []
    steps.append(.tick(max(last, now)))
    return steps
  }

  private mutating func turnItems() {
    guard chance(0.5) else { return }
    let turn = (now - start) / (grain * 10)
    items = (0..<5).map { "turn-\((Int(turn) + $0) % 40)" }
  }

  mutating func jump(_ by: Int64) { now += by }

  private mutating func next(_ index: Int) -> Event {
    if let due = held.firstIndex(where: { $0.at <= index }) { return held.remove(at: due).event }
    if !past.isEmpty && chance(0.08) { return pick(past) }
    let event = fresh()
    past.append(event)
    if event.type == .purchase && chance(0.5) {
      let refund = refund(of: event)
      past.append(refund)
      if chance(0.5) {
        held.append((index + 1 + random.below(20), refund))
      } else {
        // The refund arrives first.
        held.append((index + 1 + random.below(20), event))
        return refund
      }
    }
    return event
  }

  private mutating func refund(of purchase: Event) -> Event {
    var refund = purchase
    refund.type = .refund
    refund.time = purchase.time + Int64(random.below(4)) * grain
    if chance(0.7) { refund.ordered = purchase.time }
    if refund.items.count > 1 && chance(0.5) { refund.items = [pick(refund.items)] }
    return refund
  }

  private mutating func fresh() -> Event {
    var time = now
    if chance(0.3) { time -= Int64(random.below(25)) * grain }
    if chance(0.05) { time += Int64(random.below(5)) * grain }
    let r = random.below(100)
    let type: EventType =
      switch r {
      case 0..<28: .view
      case 28..<38: .cart
      case 38..<44: .uncart
      case 44..<74: .purchase
      case 74..<80: .refund
      case 80..<85: .like
      case 85..<90: .rating
      case 90..<94: .impression
      case 94..<98: .click
      default: .erase
      }
    var event = Event(type: type, time: time)
    event.user = chance(0.8) ? pick(users) : ""
    if event.user.isEmpty || chance(0.6) { event.session = pick(sessions) }
    if chance(type == .purchase || type == .refund ? 0.5 : 0.1) { event.order = pick(orders) }
    if event.user.isEmpty && !event.order.isEmpty && chance(0.5) { event.session = "" }
    if type == .erase {
      event.user = pick(users)
      return event
    }
    let count = type == .purchase ? 1 + random.below(5) : chance(0.8) ? 1 : 1 + random.below(3)
    event.items = (0..<count).map { _ in Event.Item(id: pick(items)) }
    if type == .rating && chance(0.9) { event.value = Double(random.below(6)) }
    if type == .refund && chance(0.5) { event.ordered = time - Int64(random.below(10)) * grain }
    if chance(0.03) { event.consent = false }
    if chance(0.03) { event.ordered = time - grain }
    return event
  }
}
