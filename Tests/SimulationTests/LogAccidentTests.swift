// The log's own accidents: retention, topics made anew, partitions added; found by a start and while running, and
// met as configured. What is said afterwards is what a replay of what was read says.
import Daemon
import SimulatedKafka
import Testing

@Suite struct LogAccidentTests {
  private func world(
    _ seed: UInt64, _ exactlyOnce: Bool, _ change: (inout SimulatedWorld.Settings) -> Void = { _ in }
  ) -> SimulatedWorld {
    var settings = SimulatedWorld.Settings()
    settings.exactlyOnce = exactlyOnce
    settings.partitions = 1 + Int(seed % 3)
    change(&settings)
    return SimulatedWorld(seed: seed, settings)
  }

  /// The life ends, says why and what can be done, and has changed nothing.
  private func expectStop(_ world: SimulatedWorld, _ words: String...) throws {
    let offsets = world.committed
    let models = world.models().count
    try world.live(.quiet(drains: false))
    #expect(world.failure?.status == 78, "seed \(world.seed): \(String(describing: world.failure))")
    for word in words {
      #expect(world.failure?.description.contains(word) == true, "\(String(describing: world.failure))")
    }
    #expect(world.committed == offsets && world.models().count == models)
  }

  @Test(
    "fault 18: retention has passed our offset: stop, or go on with the gap counted and stamped on the models",
    arguments: [true, false])
  func gap(exactlyOnce: Bool) throws {
    var tally = Tally()
    for seed in KillTests.seeds(12) {
      let world = world(seed, exactlyOnce)
      world.expect(80, within: 4_000)
      try world.live(.quiet(drains: true))
      world.expect(40, within: 10)
      world.cluster.clock.advance(milliseconds: 100)
      world.retain(3)
      let lost = world.lostCount
      #expect(lost > 0)
      try expectStop(world, "retention", "events.on_gap: continue", "rebuild")
      world.options.onGap = .continue
      world.expect(60, within: 4_000)
      try world.live(seed % 2 == 0 ? .kill(milliseconds: 3_000) : .quiet(drains: true))
      try world.live(.quiet(drains: false))
      #expect(world.gapOnRecord == lost, "seed \(seed)")
      tally.add(world, "a gap")
    }
    #expect(exactlyOnce == false || tally.repeats == 0)
  }

  /// The same while running: the consumer tells, and the loop goes on.
  @Test(
    "fault 18: retention passes us while we run: the gap is counted, nothing else is lost",
    arguments: [true, false])
  func gapWhileRunning(exactlyOnce: Bool) throws {
    var tally = Tally()
    for seed in KillTests.seeds(12) {
      let world = world(seed, exactlyOnce) { $0.onGap = seed % 4 == 0 ? .stop : .continue }
      world.expect(80, within: 4_000)
      world.expectLoss(of: 30, leaving: 2, in: 15_000)
      world.expect(40, within: 3_000, after: 16_000)
      try world.live(.quiet(drains: true))
      if seed % 4 == 0 {
        #expect(world.failure?.status == 78)
        world.options.onGap = .continue
        try world.live(.quiet(drains: true))
      }
      #expect(world.failure == nil || seed % 4 == 0, "seed \(seed)")
      #expect(world.gapOnRecord == world.lostCount && world.lostCount > 0)
      tally.add(world, "a gap while running")
    }
  }

  /// Records between the snapshot and the committed offsets are gone: the models on record cannot be made again, so a new
  /// one is, and nothing is said twice.
  @Test("fault 18: retention has passed the snapshot, not the committed offsets", arguments: [true, false])
  func gapBehindSnapshot(exactlyOnce: Bool) throws {
    for seed in KillTests.seeds(12) {
      let world = world(seed, exactlyOnce) {
        $0.onGap = .continue
        $0.snapshotInterval = 3_600_000
      }
      world.expect(60, within: 3_000)
      try world.live(.quiet(drains: true))
      world.expect(60, within: 3_000)
      try world.live(.kill(milliseconds: 6_000))
      world.cluster.clock.advance(milliseconds: 10_000)
      let before = world.models().count
      world.retain(5)
      world.expect(60, within: 3_000)
      try world.live(.quiet(drains: false))
      #expect(world.endings["quiet"] == 2 && world.models().count > before, "seed \(seed)")
      #expect(world.gapOnRecord > 0)
      if exactlyOnce { #expect(world.repeatedIDs == 0, "seed \(seed)") }
    }
  }

  @Test(
    "fault 18: rebuild: the state is what the log has, and what was said is not said again",
    arguments: [true, false], [false, true])
  func rebuildBehindGap(exactlyOnce: Bool, whileRunning: Bool) throws {
    var tally = Tally()
    for seed in KillTests.seeds(12) {
      let world = world(seed, exactlyOnce) { $0.onGap = .rebuild }
      world.expect(80, within: 4_000)
      if whileRunning {
        world.expectLoss(of: 30, leaving: 2, in: 15_000)
        try world.live(.quiet(drains: true))
        #expect(world.failure?.rebuild == .state, "seed \(seed)")
      } else {
        try world.live(.quiet(drains: true))
        world.expect(40, within: 10)
        world.cluster.clock.advance(milliseconds: 100)
        world.retain(3)
      }
      world.beginAnew()
      world.expect(60, within: 4_000)
      if seed % 3 == 0 { try world.live(.kill(milliseconds: 3_000)) }
      try world.live(.quiet(drains: false))
      #expect(world.gapOnRecord == 0)
      tally.add(world, "rebuilt behind a gap")
    }
    #expect(exactlyOnce == false || tally.repeats == 0)
  }

  @Test(
    "fault 17: the topic is made anew, shorter or longer than before: stop, or rebuild with everything said once",
    arguments: [true, false], [false, true])
  func recreated(exactlyOnce: Bool, longer: Bool) throws {
    var tally = Tally()
    for seed in KillTests.seeds(12) {
      let world = world(seed, exactlyOnce) { $0.partitions = 1 + Int(seed % 2) }
      world.expect(60, within: 4_000)
      try world.live(.quiet(drains: true))
      world.recreate()
      // Offsets beyond the end, or the fingerprint of the last record tells.
      world.expect(longer ? 200 : 4, within: 10)
      world.cluster.clock.advance(milliseconds: 100)
      try expectStop(
        world, "is not the log it was", longer ? "is another one" : "ends at offset",
        "events.on_recreated: rebuild")
      world.options.onRecreated = .rebuild
      world.beginAnew()
      world.expect(60, within: 4_000)
      switch seed % 3 {
      case 0: try world.live(.kill(milliseconds: 500 + world.draw(3_000)))
      case 1: try world.live(.crash(.after(20 + world.draw(200))))
      default: break
      }
      try world.live(.quiet(drains: false))
      tally.add(world, "made anew")
    }
    #expect(exactlyOnce == false || tally.repeats == 0)
  }

  @Test("fault 17: the topic is made anew while we run", arguments: [true, false])
  func recreatedWhileRunning(exactlyOnce: Bool) throws {
    var tally = Tally()
    for seed in KillTests.seeds(8) {
      let world = world(seed, exactlyOnce) { $0.onRecreated = .rebuild }
      world.expect(60, within: 4_000)
      world.cluster.clock.schedule(in: 15_000_000) {
        world.beginAnew()
        world.recreate()
      }
      world.expect(6, within: 10, after: 16_000)
      try world.live(.quiet(drains: true))
      #expect(
        world.failure?.rebuild == .everything || world.failure?.status == 75, "seed \(seed): \(String(describing: world.failure))")
      world.expect(40, within: 4_000)
      try world.live(.quiet(drains: false))
      tally.add(world, "made anew while running")
    }
  }

  @Test("fault 19: partitions were added: found by a start and within a minute while running", arguments: [true, false])
  func grown(whileRunning: Bool) throws {
    for seed in KillTests.seeds(8) {
      let world = world(seed, true)
      world.expect(60, within: 4_000)
      if whileRunning {
        world.cluster.clock.schedule(in: 3_000_000) { world.grow(to: world.written.count + 2) }
        let start = world.cluster.clock.now
        // Until then there is nothing else to do.
        world.expect(1, within: 1, after: 80_000)
        try world.live(.kill(milliseconds: 70_000))
        #expect(world.failure?.status == 78, "seed \(seed)")
        #expect(world.cluster.clock.now - start < 65_000_000)
      } else {
        try world.live(.quiet(drains: true))
        world.grow(to: world.written.count + 2)
        try expectStop(world, "partitions", "events.on_grown: continue")
      }
      world.options.onGrown = .continue
      world.expect(80, within: 4_000)
      try world.live(.quiet(drains: true))
      let (_, replay, _, _) = world.verdict()
      #expect(world.models().last?.digest == replay.digest.hex, "seed \(seed)")
    }
  }
}
