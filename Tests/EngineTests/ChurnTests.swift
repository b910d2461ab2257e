// Users, sessions, orders and items that go away wholly and come back: ids given back and reused, both
// stages in step, and everything back to nothing when all has expired.
import Engine
import Events
import Recommender
import Sparse
import TestSupport
import Testing

@Suite struct ChurnTests {
  static let hour: Int64 = 3_600_000

  static func configuration() -> EngineConfiguration {
    var c = EngineConfiguration()
    for i in c.relations.indices {
      c.relations[i].history = 4
      c.relations[i].window = 20 * hour
      c.relations[i].minBoth = 1
    }
    c.rules.window = 20 * hour
    c.rules.interval = 0
    c.rules.maxBasket = 6
    c.rules.maxQ = 1
    c.rules.minConfidence = 0
    c.rules.pruneRedundant = false
    c.rules.minSupport = .init(numerator: 2, denominator: 1)
    c.popularity.window = 20 * hour
    c.popularity.history = 6
    c.recommend.cartWindow = 20 * hour
    c.recommend.linger = 0
    c.recommend.refresh = 10 * hour
    return c
  }

  @Test(arguments: [1, 2, 3, 4])
  func manyTicksOfItemsThatComeAndGo(seed: UInt64) {
    print("seed \(seed)")
    var log = RandomLog(seed: seed * 31, items: 5, users: 5, grain: ChurnTests.hour)
    log.churn = true
    var configuration = ChurnTests.configuration()
    // Rules that stay for many ticks hold their items' ids.
    if seed % 2 == 0 { configuration.rules.interval = 60 * ChurnTests.hour }
    let steps = log.steps(1200, ticks: 150, configuration: configuration)
    let faults = TwinTests.run(steps, configuration)
    #expect(faults.isEmpty, "\(faults.prefix(3))")

    // The same again, watching the dictionaries.
    let driver = Driver(configuration)
    var names = Set<String>()
    var most = 0
    for (i, step) in steps.enumerated() {
      switch step {
      case .event(let e):
        driver.apply(e, offset: Int64(i))
        names.formUnion(e.items.map(\.id))
      case .tick(let t): driver.tick(t)
      }
      driver.engine.interactions.checkInvariants()
      most = max(most, driver.engine.interactions.items.idLimit)
    }
    #expect(driver.builder.bytes.items > 0)
    #expect(most < 40 && names.count >= 40, "ids are reused: \(most) for \(names.count) keys")
  }

  /// A new item between two seals, and an id given back at the second: both stages must agree on what
  /// is free when.
  @Test func anItemIsNewWhileAnotherIsGivenBack() {
    let c = ChurnTests.configuration()
    let driver = Driver(c)
    let hour = ChurnTests.hour
    var offset: Int64 = 0
    func buy(_ items: [String], _ time: Int64) {
      driver.apply(DigestTests.purchase(items, time * hour, order: "o\(time)"), offset: offset)
      offset += 1
    }
    buy(["old-1", "old-2"], 1000)
    driver.tick(1001 * hour)
    for step in 0..<30 {
      buy(["new-\(step)", "new-\(step + 1)"], 1030 + Int64(step))
      driver.tick((1030 + Int64(step)) * hour)
      driver.engine.interactions.checkInvariants()
    }
    #expect(driver.engine.interactions.items.find("old-1") == nil)
    #expect(driver.engine.interactions.items.find("new-30") != nil)
    #expect(driver.engine.interactions.items.find("new-1") == nil)
  }

  @Test func everythingExpiresToNothing() {
    let seed: UInt64 = 9
    print("seed \(seed)")
    var log = RandomLog(seed: seed, users: 6, grain: ChurnTests.hour)
    let c = ChurnTests.configuration()
    let driver = Driver(c)
    var latest: Int64 = 0
    var offset: Int64 = 0
    var held: (users: Int, items: Int, sessions: Int, orders: Int, audience: Int)?
    for round in 0..<12 {
      let steps = log.steps(150, ticks: 6, configuration: c)
      for step in steps {
        switch step {
        case .event(let e):
          driver.apply(e, offset: offset)
          offset += 1
          latest = max(latest, e.time)
        case .tick(let t): driver.tick(max(t, latest))
        }
      }
      #expect(driver.engine.interactions.users.liveCount > 0)
      // A month without an event: an anonymous page view keeps stream time going.
      latest += 30 * 24 * ChurnTests.hour
      log.jump(31 * 24 * ChurnTests.hour)
      var late = Event(type: .impression, time: latest, items: [Event.Item(id: "sku-1")])
      late.session = "s"
      driver.apply(late, offset: offset)
      offset += 1
      driver.tick(latest)
      driver.tick(latest + 1)
      driver.tick(latest + 2)
      driver.engine.interactions.checkInvariants()
      #expect(driver.engine.digest == .zero)
      #expect(driver.engine.interactions.users.liveCount == 0)
      #expect(driver.engine.interactions.sessionCount == 0)
      #expect(driver.engine.interactions.orderCount == 0)
      #expect(driver.engine.interactions.items.liveCount == 0)
      #expect(driver.engine.listenerCount == 0)
      for topic in [OutputTopic.neighbours, .rules, .popular] {
        #expect(driver.folded(topic).isEmpty, "\(topic) has keys left")
      }
      let bytes = driver.engine.interactions.dictionaryBytes
      if round == 5 {
        held = (bytes.users, bytes.items, bytes.sessions, bytes.orders, driver.engine.audienceBytes)
      } else if let held {
        #expect(bytes.users <= held.users * 2 && bytes.items <= held.items * 2)
        #expect(bytes.sessions <= held.sessions * 2 && bytes.orders <= held.orders * 2)
        #expect(driver.engine.audienceBytes <= held.audience * 2)
      }
    }
  }

  /// Acts that are refused leave nothing behind, and cost no more the more of them there are.
  @Test func refusedActsLeaveNothing() {
    let c = ChurnTests.configuration()
    let driver = Driver(c)
    let hour = ChurnTests.hour
    driver.apply(DigestTests.purchase(["a"], 1000 * hour, order: "o"), offset: 0)
    driver.tick(1000 * hour)
    for n in 0..<20_000 {
      var e = DigestTests.purchase(["x-\(n)"], 900 * hour, order: "o-\(n)", user: "u-\(n)")
      e.session = "s-\(n)"
      #expect(driver.apply(e, offset: Int64(n)) == .tooOld)
    }
    driver.engine.interactions.checkInvariants()
    driver.tick(1001 * hour)
    driver.tick(1002 * hour)
    driver.tick(1003 * hour)
    #expect(driver.engine.interactions.users.liveCount == 1)
    #expect(driver.engine.interactions.orderCount == 1)
    #expect(driver.engine.interactions.items.liveCount == 1)
    #expect(driver.engine.listenerCount <= 1)
  }

  /// A refused act's row gets a slot later, and loses it at a tick: its id is given back once.
  @Test func aRowRefusedThenFilledThenEmptied() {
    let c = ChurnTests.configuration()
    let driver = Driver(c)
    let hour = ChurnTests.hour
    driver.apply(DigestTests.purchase(["a"], 1000 * hour, order: "o"), offset: 0)
    driver.tick(1000 * hour)
    driver.apply(DigestTests.purchase(["a"], 900 * hour, order: "p", user: "v"), offset: 1)
    driver.apply(DigestTests.purchase(["a"], 990 * hour, order: "p", user: "v"), offset: 2)
    driver.apply(DigestTests.purchase(["a"], 900 * hour, order: "q", user: "w"), offset: 3)
    driver.tick(1015 * hour)
    driver.engine.interactions.checkInvariants()
    #expect(driver.engine.interactions.users.find("v") == nil)
    #expect(driver.engine.interactions.users.find("w") == nil)
    #expect(driver.engine.interactions.users.liveCount == 1)
    driver.apply(DigestTests.purchase(["a"], 1016 * hour, order: "r", user: "v"), offset: 4)
    driver.apply(DigestTests.purchase(["a"], 1016 * hour, order: "s", user: "w"), offset: 5)
    #expect(driver.engine.interactions.users.liveCount == 3)
    driver.engine.interactions.checkInvariants()
  }
}
