// As the daemon drives it: changes handed over between ticks, a model made while events go on and put in
// force later, a restart that reads the log again in silence.
import Engine
import Events
import Recommender
import Sparse
import TestSupport
import Testing

@Suite struct LiveTests {
  /// Models made behind the events equal the twin of the moment of their seal.
  @Test(arguments: 0..<4)
  func modelsMadeBehindTheEvents(block: Int) {
    for n in 0..<RandomLog.count(25) {
      let seed = UInt64(210_000_000 + block * 1_000_000 + n)
      var log = RandomLog(seed: seed)
      log.churn = n % 2 == 0
      let configuration = log.configuration()
      let steps = log.steps(150, ticks: 12, configuration: configuration)
      let driver = Driver(configuration)
      var twin = Twin(configuration)
      var rules: [[String]: [TwinRule]]? = [:]
      var waiting: (built: BuiltModel, at: Int)?
      var faults: [String] = []
      for (i, step) in steps.enumerated() {
        if let (built, at) = waiting, at <= i {
          driver.put(built)
          waiting = nil
          if let rules { faults += TwinTests.compareRules(driver, rules) }
        }
        switch step {
        case .event(let e):
          driver.apply(e, offset: Int64(i))
          twin.take(e)
          if log.chance(0.3) { driver.builder.absorb(driver.engine.takeChanges()) }
        case .tick(let tick):
          // One model at a time.
          if let built = waiting?.built { driver.put(built) }
          let built = driver.make(tick)
          if twin.tick(tick) { rules = twin.rules() }
          faults += TwinTests.compareRows(driver, twin)
          faults += TwinTests.compareModel(driver, twin, built.model)
          waiting = (built, i + log.random.below(20))
        }
        driver.engine.interactions.checkInvariants()
        if !faults.isEmpty {
          faults.insert("step \(i)", at: 0)
          break
        }
      }
      #expect(faults.isEmpty, "seed \(seed): \(faults.prefix(3).joined(separator: "; "))")
      if !faults.isEmpty { return }
    }
  }

  /// A restart: the log again in silence with the recorded ticks, then the rest aloud. Every list that a
  /// cause has afterwards has the bytes it would have had.
  @Test func aRestartSaysTheSame() {
    var compared = 0
    for n in 0..<RandomLog.count(40) {
      let seed = UInt64(230_000_000 + n)
      var log = RandomLog(seed: seed)
      var configuration = log.configuration()
      configuration.recommendEnabled = true
      configuration.recommend.linger = 0
      let steps = log.steps(120, ticks: 5, configuration: configuration)
      let cut = log.random.below(steps.count)
      func run(silentUntil: Int) -> [Sent] {
        let driver = Driver(configuration)
        let lastSilentTick = steps.indices.last { $0 < silentUntil && steps[$0].isTick }
        for (i, step) in steps.enumerated() {
          if i == cut { driver.sent.removeAll() }
          driver.engine.isSilent = i < silentUntil
          switch step {
          case .event(let e): driver.apply(e, offset: Int64(i))
          case .tick(let t):
            // What this model renews, nobody asks for the lists before it.
            if i < silentUntil, i <= lastSilentTick ?? 0 { driver.engine.forgetSilentLists() }
            driver.tick(t)
          }
        }
        driver.flush()
        return driver.sent
      }
      let before = run(silentUntil: 0)
      let after = run(silentUntil: cut)
      // Renewals too: the hashes of what was sent before the cut are had again.
      #expect(after == before, "seed \(seed)")
      compared += before.count
    }
    #expect(compared > 500)
  }

  /// In silence nothing waits and nothing is said of causes.
  @Test func silenceIsSilent() {
    var log = RandomLog(seed: 3)
    var configuration = log.configuration()
    configuration.recommendEnabled = true
    let steps = log.steps(200, ticks: 4, configuration: configuration)
    let driver = Driver(configuration)
    driver.engine.isSilent = true
    for (i, step) in steps.enumerated() {
      switch step {
      case .event(let e):
        driver.apply(e, offset: Int64(i))
        #expect(driver.engine.pendingCount == 0)
      case .tick(let t): driver.tick(t)
      }
    }
    driver.flush()
    #expect(!driver.sent.contains { $0.value?.contains("\"offset\"") == true && $0.topic == .recommendations })
  }
}
