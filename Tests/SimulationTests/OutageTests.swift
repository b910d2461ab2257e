// Faults that last for a while, and those that need a second actor: what is said in the end is what a replay says.
import Daemon
import Engine
import SimulatedKafka
import Testing

@Suite struct OutageTests {
  private func worlds(
    _ count: Int, _ exactlyOnce: Bool, _ what: String,
    _ change: (inout SimulatedWorld.Settings) -> Void = { _ in },
    _ body: (SimulatedWorld) throws -> Void
  ) throws -> Tally {
    var tally = Tally()
    for seed in KillTests.seeds(count) {
      var settings = SimulatedWorld.Settings()
      settings.exactlyOnce = exactlyOnce
      settings.partitions = 1 + Int(seed % 3)
      change(&settings)
      let world = SimulatedWorld(seed: seed, settings)
      try body(world)
      tally.add(world, what)
    }
    #expect(exactlyOnce == false || tally.repeats == 0)
    return tally
  }

  /// Where a life ends by itself it is to be started again (75).
  private func liveUntilQuiet(_ world: SimulatedWorld) throws {
    for _ in 0..<20 where world.endings["quiet"] == nil {
      try world.live(.quiet(drains: false))
      #expect(world.endings["quiet"] == 1 || world.failure?.status == 75, "seed \(world.seed)")
    }
    #expect(world.endings["quiet"] == 1, "seed \(world.seed)")
  }

  private func outage(
    _ exactlyOnce: Bool, _ what: String, _ trouble: @escaping (SimulatedWorld) -> Void
  ) throws {
    _ = try worlds(8, exactlyOnce, what) { world in
      world.expect(60, within: 4_000)
      world.cluster.clock.schedule(in: 1_500_000) { trouble(world) }
      world.expect(40, within: 4_000, after: 60_000)
      try liveUntilQuiet(world)
    }
  }

  @Test("fault 3: all brokers down for 40 s: nothing lost, it goes on", arguments: [true, false])
  func brokersDown(exactlyOnce: Bool) throws {
    try outage(exactlyOnce, "brokers down") { $0.cluster.takeDown(milliseconds: 40_000) }
  }

  @Test("fault 4: the coordinators move for 20 s: nothing lost, it goes on", arguments: [true, false])
  func coordinatorsMove(exactlyOnce: Bool) throws {
    try outage(exactlyOnce, "coordinators away") {
      $0.cluster.moveCoordinators(milliseconds: 20_000)
    }
  }

  @Test("fault 5: the network stalls for 40 s and then delivers: nothing lost or torn", arguments: [true, false])
  func stall(exactlyOnce: Bool) throws {
    try outage(exactlyOnce, "stalled") { $0.cluster.stall(milliseconds: 40_000) }
  }

  @Test("fault 20: an output topic is away for 40 s: held, nothing dropped", arguments: [true, false])
  func outputAway(exactlyOnce: Bool) throws {
    try outage(exactlyOnce, "output away") {
      $0.cluster.makeUnavailable(
        topic: $0.options.topics.recommendations, milliseconds: 40_000)
    }
  }

  @Test("fault 22: a queue of three messages is full all the time: nothing is dropped", arguments: [true, false])
  func fullQueue(exactlyOnce: Bool) throws {
    let tally = try worlds(8, exactlyOnce, "a full queue", { $0.producer.queueLimit = 3 }) { world in
      world.expect(80, within: 3_000)
      try world.live(.quiet(drains: true))
      #expect(world.failure == nil)
    }
    #expect(tally.messages > 500)
  }

  @Test("fault 10: messages larger than message.max.bytes are left out, and every one is counted")
  func messagesTooLarge() throws {
    var counted = 0
    for seed in KillTests.seeds(8) {
      var settings = SimulatedWorld.Settings()
      settings.producer.maxMessageBytes = 1_200
      settings.malformed = false
      let world = SimulatedWorld(seed: seed, settings)
      world.expect(80, within: 3_000)
      try world.live(.quiet(drains: false))
      let (_, replay, _, _) = world.verdict()
      let wanted = replay.said.joined().filter { $0.key.count + ($0.value?.count ?? 0) > 1_200 }.count
      #expect(world.messagesTooLarge == wanted, "seed \(seed)")
      #expect(world.endings["quiet"] == 1)
      counted += wanted
    }
    #expect(counted > 0)
  }

  @Test("fault 7: a zombie whose name another one has taken publishes nothing more, and ends with 75")
  func zombie() throws {
    _ = try worlds(20, true, "a zombie") { world in
      world.expect(120, within: 8_000)
      var readable: [Int] = []
      world.interlude = (
        1_000 + world.draw(5_000),
        {
          var options = SimulatedProducerOptions()
          options.transactionalID = "affinity"
          let other = SimulatedProducer(world.cluster.makeProcess("another"), options)
          try other.initTransactions()
          readable = world.readable()
        }
      )
      try world.live(.quiet(drains: false))
      #expect(world.failure?.status == 75, "seed \(world.seed)")
      #expect(!readable.isEmpty && world.readable() == readable, "seed \(world.seed)")
      try world.live(.quiet(drains: false))
    }
  }
}
