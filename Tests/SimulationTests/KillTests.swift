// The daemon's own loop in a simulated world, killed again and again: afterwards everything has been said as
// an undisturbed replay of the log with the recorded ticks says it; once, or at least once.
//
// A failing seed is printed; `AFFINITY_SEED=17` runs it alone, `AFFINITY_SEEDS=5000` (make simulate) more.
import Glibc
import SimulatedKafka
import Sparse
import Testing

func setting(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

/// What many worlds have seen, so that what should have happened must have.
struct Tally {
  var worlds = 0
  var lives = 0
  var models = 0
  var snapshots = 0
  var restored = 0
  var messages = 0
  var overtaken = 0
  var repeats = 0
  var lists = 0
  var snapshotFailures = 0
  var endings: [String: Int] = [:]

  /// The end of a world: its verdict, and what it adds.
  mutating func add(_ world: SimulatedWorld, _ what: String) {
    let (verdict, replay, models, faults) = world.verdict()
    let all = faults + verdict.faults
    if !all.isEmpty {
      Issue.record(
        "seed \(world.seed) (\(what)), \(world.lives) lives: \(all.joined(separator: "\n  "))")
      if setting("AFFINITY_SEED") != nil { for line in world.lines.all { print(line) } }
    }
    worlds += 1
    lives += world.lives
    self.models += models
    snapshots += world.snapshots
    restored += world.restored
    snapshotFailures += world.snapshotFailures
    messages += verdict.messages
    overtaken += verdict.overtaken
    repeats += verdict.repeats
    lists += replay.lists
    endings.merge(world.endings) { $0 + $1 }
  }
}

@Suite struct KillTests {
  static func seeds(_ count: Int) -> ClosedRange<UInt64> {
    if let one = setting("AFFINITY_SEED") { return one...one }
    return 1...max(1, setting("AFFINITY_SEEDS") ?? UInt64(count))
  }

  /// One life from beginning to end.
  @Test(arguments: [true, false]) func undisturbed(exactlyOnce: Bool) throws {
    var tally = Tally()
    for seed in Self.seeds(20) {
      var settings = SimulatedWorld.Settings()
      settings.exactlyOnce = exactlyOnce
      settings.partitions = 1 + Int(seed % 3)
      let world = SimulatedWorld(seed: seed, settings)
      world.expect(200, within: 8_000)
      try world.live(.quiet(drains: seed % 2 == 0))
      tally.add(world, "undisturbed")
    }
    print("undisturbed, \(exactlyOnce ? "exactly once" : "at least once"): \(tally)")
    #expect(tally.repeats == 0)
    #expect(tally.models > tally.worlds * 5 && tally.snapshots > tally.worlds * 2)
  }

  /// Killed at random requests, calls of the disk and times.
  @Test("fault 1: killed at any instant: nothing is lost, and exactly once nothing comes twice", arguments: [true, false])
  func killed(exactlyOnce: Bool) throws {
    var tally = Tally()
    for seed in Self.seeds(60) {
      var settings = SimulatedWorld.Settings()
      settings.exactlyOnce = exactlyOnce
      settings.partitions = 1 + Int(seed % 3)
      settings.shortWrites = seed % 4 == 0
      let world = SimulatedWorld(seed: seed, settings)
      for _ in 0..<10 {
        world.expect(10 + world.draw(30), within: 200 + world.draw(6_000))
        let far = [20, 100, 600][world.draw(3)]
        switch world.draw(6) {
        case 0, 1: try world.live(.crash(.before(1 + world.draw(far))))
        case 2, 3: try world.live(.crash(.after(1 + world.draw(far))))
        case 4: try world.live(.disk(call: 1 + world.draw(60)))
        default:
          try world.live(
            world.draw(3) == 0
              ? .drain(milliseconds: world.draw(8_000)) : .kill(milliseconds: world.draw(8_000)))
        }
      }
      try world.live(.quiet(drains: world.draw(2) == 0))
      tally.add(world, "killed")
    }
    print("killed, \(exactlyOnce ? "exactly once" : "at least once"): \(tally)")
    if setting("AFFINITY_SEED") == nil {
      #expect(tally.endings["crash"] ?? 0 > tally.worlds * 5)
      #expect(tally.models > tally.worlds * 4 && tally.restored > tally.worlds * 3)
      #expect(exactlyOnce == (tally.repeats == 0))
    }
  }

  /// Forty events and a few models, to be killed at every step.
  private func smallWorld(
    _ exactlyOnce: Bool, seed: UInt64, snapshotInterval: Int64, within milliseconds: Int
  ) -> SimulatedWorld {
    var settings = SimulatedWorld.Settings()
    settings.exactlyOnce = exactlyOnce
    settings.modelInterval = 300
    settings.snapshotInterval = snapshotInterval
    let world = SimulatedWorld(seed: setting("AFFINITY_SEED") ?? seed, settings)
    world.expect(40, within: milliseconds)
    return world
  }

  /// A small log, and a death before and after every single request of a life.
  @Test("fault 1: killed before and after every request", arguments: [true, false])
  func everyRequest(exactlyOnce: Bool) throws {
    var tally = Tally()
    func world() -> SimulatedWorld {
      smallWorld(exactlyOnce, seed: 4, snapshotInterval: 500, within: 1_200)
    }
    let whole = world()
    try whole.live(.quiet(drains: true))
    let steps = whole.steps.requests
    for step in 1...steps {
      for plan in [CrashPlan.before(step), .after(step)] {
        let world = world()
        try world.live(.crash(plan))
        try world.live(.quiet(drains: false))
        tally.add(world, "\(plan) of \(steps)")
      }
    }
    print("every request, \(exactlyOnce ? "exactly once" : "at least once"): \(steps) of them, \(tally)")
    #expect(steps > 50 && tally.endings["crash"] ?? 0 > steps)
  }

  /// The same for every call of the disk: a death in it, no space, an error. After an error the same life
  /// goes on and writes the next snapshot.
  @Test(
    "faults 1, 14, 15: every call of the disk killed or failed (no space, I/O error): it goes on serving, and a good snapshot remains",
    arguments: [true, false])
  func everyCallOfTheDisk(exactlyOnce: Bool) throws {
    var tally = Tally()
    func world() -> SimulatedWorld {
      smallWorld(exactlyOnce, seed: 5, snapshotInterval: 400, within: 1_500)
    }
    let whole = world()
    try whole.live(.quiet(drains: true))
    let steps = whole.steps.disk
    // The first calls are the start's, which does not go on without its folder. SnapshotTests meet every one
    // of a snapshot's; here a prime's multiples do, all of them in a long run.
    for step in stride(from: 5, through: steps, by: setting("AFFINITY_SEEDS") == nil ? 7 : 1) {
      let killed = world()
      try killed.live(.disk(call: step))
      try killed.live(.quiet(drains: false))
      tally.add(killed, "killed in call \(step) of \(steps)")
      for code in [ENOSPC, EIO] {
        let failed = world()
        try failed.live(.quiet(drains: true), failing: (step, code))
        try failed.live(.quiet(drains: false))
        tally.add(failed, "errno \(code) in call \(step) of \(steps)")
        #expect(failed.snapshots > 0)
      }
    }
    print("every call of the disk: \(steps) of them, \(tally)")
    #expect(steps > 200 && tally.endings["failure"] == nil)
    #expect(tally.snapshotFailures > tally.worlds / 2)
  }

  /// Requests and answers that get lost, come twice or late; brokers, leaders and coordinators that go away;
  /// rebalances; and deaths.
  @Test(
    "faults 3, 4, 6, 30: brokers, leaders and coordinators go, rebalances, requests lost, repeated and late: nothing lost or torn",
    arguments: [true, false])
  func trouble(exactlyOnce: Bool) throws {
    var tally = Tally()
    for seed in Self.seeds(40) {
      var settings = SimulatedWorld.Settings()
      settings.exactlyOnce = exactlyOnce
      settings.partitions = 1 + Int(seed % 3)
      settings.faults = [500, 3_000, 15_000][Int(seed / 3 % 3)]
      settings.cluster.verifiesTransactions = true
      let world = SimulatedWorld(seed: seed, settings)
      for _ in 0..<5 {
        world.expect(10 + world.draw(30), within: 200 + world.draw(6_000))
        switch world.draw(3) {
        case 0: try world.live(.crash(.after(1 + world.draw(400))))
        case 1: try world.live(.disk(call: 1 + world.draw(80)))
        default: try world.live(.kill(milliseconds: world.draw(10_000)))
        }
      }
      // Lives may end by themselves, for what is late may meet the next one as well; in the end one has rest.
      world.cluster.faults.plan = nil
      for _ in 0..<5 where world.endings["quiet"] == nil {
        try world.live(.quiet(drains: world.draw(2) == 0))
      }
      tally.add(world, "trouble")
    }
    print("trouble, \(exactlyOnce ? "exactly once" : "at least once"): \(tally)")
  }

  /// Exactly once: a record that is no event comes long before the first that is. Its dead letter does not
  /// hold a transaction open for longer than brokers allow.
  @Test func deadLetterBeforeAllEvents() throws {
    var tally = Tally()
    for seed in Self.seeds(6) {
      let world = SimulatedWorld(seed: seed)
      world.expectMalformed()
      world.expect(40, within: 3_000, after: 90_000)
      if seed % 2 == 0 { try world.live(.kill(milliseconds: 40_000)) }
      try world.live(.quiet(drains: false))
      #expect(world.endings["failure"] == nil, "seed \(seed)")
      tally.add(world, "a dead letter before all events")
    }
  }
}
