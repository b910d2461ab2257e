// Requests that arrive after what they belong to has ended, and processes that have.

import SimulatedKafka
import Testing

@Suite struct LateRequestTests {
  /// A dead producer's batch arrives after its heir has taken over: the fencing marker has raised the
  /// partition's epoch (KIP-98).
  @Test func aDeadProducersBatchIsRefused() throws {
    let world = World()
    let doomed = world.cluster.makeProcess("doomed")
    var options = SimulatedProducerOptions()
    options.transactionalID = "t"
    let producer = SimulatedProducer(doomed, options)
    try producer.initTransactions()
    try producer.beginTransaction()
    producer.send("first")
    _ = try producer.flush(timeoutMilliseconds: 100)
    world.cluster.faults.order(.delayed(milliseconds: 2000), on: .produce)
    producer.send("late")
    world.wait(milliseconds: 1)
    doomed.kill()
    _ = try world.transactional()
    world.wait(milliseconds: 5000)
    #expect(world.cluster.rawLog(world.place(), from: 0).map(\.kind) == [.data, .abort])
    #expect(world.cluster.lastStableOffset(world.place()) == 2)
  }

  /// A partition joins the transaction, its batch is late, the transaction is aborted by its own
  /// producer, and the batch arrives: without KIP-890 it hangs there and readers stand still.
  @Test(arguments: [false, true])
  func aLateBatchHangsWhereNobodyVerifies(_ verifies: Bool) throws {
    var options = ClusterOptions()
    options.verifiesTransactions = verifies
    let world = World(options)
    let producer = try world.transactional()
    try producer.beginTransaction()
    world.cluster.faults.order(.delayed(milliseconds: 2000), on: .produce)
    producer.send("late")
    world.wait(milliseconds: 1)
    // In flight when the transaction is given up.
    try producer.abortTransaction()
    #expect(producer.takeReports().map(\.code) == [.purgedInFlight])
    world.wait(milliseconds: 60_000)
    // The marker, and perhaps the batch behind it.
    #expect(world.cluster.bounds(world.place())?.high == (verifies ? 1 : 2))
    #expect(world.cluster.lastStableOffset(world.place()) == 1)
    #expect(try world.reader().readAll() == [])
    // The producer's next commit decides what it finds.
    try producer.beginTransaction()
    producer.send("next")
    try producer.commitTransaction()
    #expect(try world.reader().readAll() == (verifies ? ["next"] : ["late", "next"]))
  }

  @Test func theDeadDoNothing() throws {
    let world = World()
    let process = world.process
    let producer = world.producer(nil)
    var reached: [String] = []
    process.onStep = { number, what, moment in reached.append("\(number) \(what) \(moment)") }
    try process.step("write a file") { reached.append("written") }
    #expect(reached == ["1 write a file before", "written", "1 write a file after"])
    process.crashPlan = .before(2)
    #expect(throws: SimulatedError.crashed(SimulatedCrash(step: 2))) {
      try process.step("write another") { reached.append("not written") }
    }
    #expect(process.isDead && !reached.contains("not written"))
    #expect(producer.send("x") == .failed(KafkaFailure(.wrongState, .fatal)))
    #expect(throws: SimulatedError.self) { try producer.flush(timeoutMilliseconds: 100) }
    #expect(throws: SimulatedError.self) { try process.step("no more") {} }
    #expect(world.cluster.bounds(world.place())?.high == 0)
  }

  /// What was queued at a death is gone; what was on its way arrives.
  @Test(arguments: [CrashPlan.before(2), .after(2)])
  func aDeathInTheBackground(_ plan: CrashPlan) throws {
    let world = World()
    let producer = world.producer(nil)
    // Step 1 is the producer's identity, 2 the batch.
    world.process.crashPlan = plan
    producer.send("x")
    world.wait(milliseconds: 10)
    #expect(world.process.isDead)
    #expect(world.cluster.bounds(world.place())?.high == (plan == .after(2) ? 1 : 0))
  }

  /// SIGSTOP: nothing is sent meanwhile, and everything afterwards.
  @Test func aFrozenProcessRests() throws {
    let world = World()
    let producer = world.producer(nil) { $0.lingerMilliseconds = 5 }
    producer.send("x")
    world.process.freeze(milliseconds: 10_000)
    world.wait(milliseconds: 9000)
    #expect(world.cluster.bounds(world.place())?.high == 0)
    world.wait(milliseconds: 2000)
    #expect(world.cluster.bounds(world.place())?.high == 1)
  }

  /// A stalled network delivers later what its senders have given up.
  @Test func aStallDeliversLate() throws {
    let world = World()
    let consumer = world.consumer(["in"], group: "g")
    let place = world.place(of: "in")
    world.cluster.stall(milliseconds: 30_000)
    #expect(throws: SimulatedError.timedOut(operation: "commit", milliseconds: 3000)) {
      try consumer.commit([place: StoredOffset(4)], timeoutMilliseconds: 3000)
    }
    #expect(world.cluster.committed("g", place) == nil)
    world.wait(milliseconds: 28_000)
    #expect(world.cluster.committed("g", place) == StoredOffset(4))
  }
}
