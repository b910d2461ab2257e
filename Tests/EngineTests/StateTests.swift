// The state written out and taken back: whatever comes after is what would have come anyway.
import Engine
import Events
import Recommender
import Sparse
import TestSupport
import Testing

@Suite struct StateTests {
  /// A run with restarts says the same, message by message, as one that only made its waiting lists there.
  @Test(arguments: 0..<4)
  func aRestoredRunGoesOnAsIfNothingHadHappened(block: Int) throws {
    var restarts = 0
    for n in 0..<RandomLog.count(25) {
      let seed = UInt64(310_000_000 + block * 1_000_000 + n)
      var log = RandomLog(seed: seed)
      log.churn = n % 2 == 0
      var configuration = log.configuration()
      if n % 4 >= 2 { log.formulas(&configuration) }
      let steps = log.steps(160, ticks: 8, configuration: configuration)
      let places = (0..<6).map { _ in log.random.below(steps.count) }
      func run(isRestarted: Bool) throws -> (sent: [Sent], digest: Fingerprint) {
        let driver = Driver(configuration)
        for (i, step) in steps.enumerated() {
          if places.contains(i) {
            if isRestarted {
              try driver.restart()
              driver.engine.interactions.checkInvariants()
              restarts += 1
            } else {
              driver.flush()
              driver.builder.absorb(driver.engine.takeChanges())
            }
          }
          switch step {
          case .event(let e): driver.apply(e, offset: Int64(i))
          case .tick(let t): driver.tick(t)
          }
        }
        driver.flush()
        return (driver.sent, driver.engine.digest)
      }
      let plain = try run(isRestarted: false)
      let restarted = try run(isRestarted: true)
      #expect(plain.digest == restarted.digest, "seed \(seed)")
      #expect(plain.sent == restarted.sent, "seed \(seed)")
      if plain.sent != restarted.sent { return }
    }
    #expect(restarts > 20)
  }

  /// Sections that do not belong together, or to another configuration, are refused.
  @Test func foreignSectionsAreRefused() throws {
    var log = RandomLog(seed: 77)
    var configuration = log.configuration()
    configuration.relations = RelationConfiguration.defaults
    let driver = Driver(configuration)
    for (i, step) in log.steps(100, ticks: 2, configuration: configuration).enumerated() {
      switch step {
      case .event(let e): driver.apply(e, offset: Int64(i))
      case .tick(let t): driver.tick(t)
      }
    }
    driver.flush()
    driver.builder.absorb(driver.engine.takeChanges())
    var state = StateWriter()
    driver.engine.save(into: &state)
    var parts: [String: StateReader.Section] = [:]
    var owned: [[UInt8]] = []
    for section in state.sections {
      owned.append(section.parts.flatMap { Array($0) })
    }
    defer { withExtendedLifetime(owned) {} }
    for (section, bytes) in zip(state.sections, owned) {
      parts[section.name] = bytes.withUnsafeBytes {
        StateReader.Section(stride: section.stride, bytes: UnsafeRawBufferPointer($0))
      }
    }
    func isRefused(
      _ configuration: EngineConfiguration, topics: [String] = ["shop.events"],
      _ parts: [String: StateReader.Section]
    ) -> Bool {
      do throws(StateError) {
        _ = try Engine(configuration, topics: topics, restoring: StateReader(parts))
        return false
      } catch { return true }
    }
    #expect(!isRefused(configuration, parts))
    #expect(isRefused(configuration, topics: ["other"], parts))
    var other = configuration
    other.relations[0].history += 1
    #expect(isRefused(other, parts))
    for name in parts.keys.sorted() {
      var without = parts
      without[name] = nil
      // Only the model may be missing, and is known by its numbers.
      if name == "model.numbers" { continue }
      #expect(isRefused(configuration, without) || name.hasPrefix("model.rules."), "\(name)")
    }
  }
}
