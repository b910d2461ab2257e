// What transactions promise, and where they do not keep it. Sources: KIP-98 (transactions), KIP-360
// (a newer epoch for oneself), KIP-447 (offsets are fenced by the group's generation), KIP-588
// (timeouts bump the epoch), KIP-890 (a late EndTxn).

import SimulatedKafka
import Testing

@Suite struct TransactionTests {
  @Test func committedTogetherOrNotAtAll() throws {
    let world = World(partitions: 2)
    let producer = try world.transactional()
    try producer.beginTransaction()
    producer.send("a", 0)
    producer.send("b", 1)
    #expect(try producer.flush(timeoutMilliseconds: 1000) == 0)
    let open = try world.reader().readAll()
    #expect(open == [], "nothing is visible before the commit")
    #expect(try world.reader(change: .readUncommitted).readAll() == ["a"])
    try producer.commitTransaction()
    #expect(try world.reader(partition: 0).readAll() == ["a"])
    #expect(try world.reader(partition: 1).readAll() == ["b"])
    try producer.beginTransaction()
    producer.send("c", 0)
    #expect(try producer.flush(timeoutMilliseconds: 1000) == 0)
    try producer.abortTransaction()
    try producer.beginTransaction()
    producer.send("d", 0)
    try producer.commitTransaction()
    #expect(try world.reader().readAll() == ["a", "d"])
    #expect(try world.reader(change: .readUncommitted).readAll() == ["a", "c", "d"])
    // a, marker, c, marker, d, marker
    #expect(world.cluster.bounds(world.place())?.high == 6)
  }

  /// KIP-98: a reader of committed records waits at the last stable offset.
  @Test func anOpenTransactionHoldsReadersBack() throws {
    let world = World()
    let slow = try world.transactional("slow")
    try slow.beginTransaction()
    slow.send("slow")
    #expect(try slow.flush(timeoutMilliseconds: 1000) == 0)
    let quick = try world.transactional("quick")
    try quick.beginTransaction()
    quick.send("quick")
    try quick.commitTransaction()
    world.wait(milliseconds: 100)
    let reader = try world.reader()
    #expect(try reader.readAll() == [])
    #expect(world.cluster.lastStableOffset(world.place()) == 0)
    #expect(try reader.watermarks(world.place()) == LogBounds(low: 0, high: 0))
    try slow.abortTransaction()
    #expect(try reader.readAll() == ["quick"])
  }

  /// KIP-98: a newer producer of the name ends the older one's transaction and shuts it out.
  @Test func aNewerProducerFencesTheOlder() throws {
    let world = World()
    let old = try world.transactional()
    try old.beginTransaction()
    old.send("old")
    #expect(try old.flush(timeoutMilliseconds: 1000) == 0)
    let new = try world.transactional()
    try new.beginTransaction()
    new.send("new")
    try new.commitTransaction()
    // To a partition that saw the fencing marker: by the partition. To another: by the coordinator.
    old.send("zombie")
    #expect(remedy { try old.commitTransaction() } == .fatal)
    #expect(old.fatal == KafkaFailure(.fenced, .fatal))
    #expect(code { try old.beginTransaction() } == .fenced)
    #expect(try world.reader().readAll() == ["new"])
    try new.beginTransaction()
    try new.commitTransaction()
  }

  @Test func aFencedProducerCannotCommit() throws {
    let world = World()
    let old = try world.transactional()
    try old.beginTransaction()
    old.send("old")
    #expect(try old.flush(timeoutMilliseconds: 1000) == 0)
    _ = try world.transactional()
    #expect(code { try old.commitTransaction() } == .fenced)
    #expect(try world.reader().readAll() == [])
  }

  /// KIP-588: a transaction that takes too long is aborted by the coordinator.
  @Test func transactionsTimeOut() throws {
    let world = World()
    let producer = try world.transactional { $0.transactionTimeoutMilliseconds = 5000 }
    try producer.beginTransaction()
    producer.send("late")
    #expect(try producer.flush(timeoutMilliseconds: 1000) == 0)
    world.wait(milliseconds: 16_000)
    #expect(world.cluster.lastStableOffset(world.place()) == 2)
    #expect(remedy { try producer.commitTransaction() } == .fatal)
    #expect(try world.reader().readAll() == [])
    let next = try world.transactional()
    try next.beginTransaction()
    next.send("next")
    try next.commitTransaction()
    #expect(try world.reader().readAll() == ["next"])
  }

  /// Any request of a commit may be lost, answered into the void, or repeated: once, completely.
  @Test(
    arguments: [
      KafkaRequest.addPartitions, .produce, .addOffsets, .transactionOffsets, .endTransaction,
    ],
    [RequestFault.lostRequest, .lostReply, .duplicate])
  func aCommitSurvivesEveryFault(_ request: KafkaRequest, _ fault: RequestFault) throws {
    let world = World(partitions: 2)
    world.cluster.write(world.place(of: "in"), value: bytes("x"))
    let consumer = world.consumer(["in"], group: "g")
    let producer = try world.transactional()
    for round in 0..<3 {
      if round == 1 { world.cluster.faults.order(fault, on: request) }
      try producer.beginTransaction()
      producer.send("a\(round)", 0)
      producer.send("b\(round)", 1)
      try producer.sendOffsets([world.place(of: "in"): StoredOffset(Int64(round))], of: consumer)
      try producer.commitTransaction()
    }
    #expect(world.cluster.faults.outstanding == 0)
    world.wait(milliseconds: 100)
    #expect(try world.reader(partition: 0).readAll() == ["a0", "a1", "a2"])
    #expect(try world.reader(partition: 1).readAll() == ["b0", "b1", "b2"])
    #expect(world.cluster.committed("g", world.place(of: "in")) == StoredOffset(2))
  }

  /// Offsets of a transaction are stored by its commit, and unstable before (KIP-447).
  @Test func offsetsComeWithTheCommit() throws {
    let world = World()
    let consumer = world.consumer(["in"], group: "g")
    let producer = try world.transactional()
    let place = world.place(of: "in")
    try producer.beginTransaction()
    try producer.sendOffsets([place: StoredOffset(7, metadata: "x=1")], of: consumer)
    #expect(
      code { _ = try consumer.committed([place], timeoutMilliseconds: 500) }
        == .unstableOffsetCommit)
    try producer.abortTransaction()
    #expect(try consumer.committed([place]) == [nil])
    try producer.beginTransaction()
    try producer.sendOffsets([place: StoredOffset(8, metadata: "x=2")], of: consumer)
    try producer.commitTransaction()
    #expect(try consumer.committed([place]) == [StoredOffset(8, metadata: "x=2")])
  }

  /// A dead predecessor's transaction holds the offsets until its name is taken over.
  @Test func initComesBeforeTheFirstLookAtOffsets() throws {
    let world = World()
    let consumer = world.consumer(["in"], group: "g")
    let place = world.place(of: "in")
    let dead = try world.transactional()
    try dead.beginTransaction()
    try dead.sendOffsets([place: StoredOffset(1)], of: consumer)
    #expect(
      code { _ = try consumer.committed([place], timeoutMilliseconds: 1000) }
        == .unstableOffsetCommit)
    _ = try world.transactional()
    #expect(try consumer.committed([place], timeoutMilliseconds: 1000) == [nil])
  }

  /// A message that is refused spoils its transaction; after the abort the producer goes on with a
  /// newer epoch (KIP-360).
  @Test func aRefusedMessageMustBeAborted() throws {
    let world = World()
    world.cluster.createTopic("small", partitions: 1, maxMessageBytes: 10)
    let producer = try world.transactional()
    try producer.beginTransaction()
    producer.send("a")
    producer.send(String(repeating: "x", count: 20), to: "small")
    #expect(remedy { try producer.commitTransaction() } == .abort)
    try producer.abortTransaction()
    try producer.beginTransaction()
    producer.send("b")
    producer.send("y", to: "small")
    try producer.commitTransaction()
    #expect(try world.reader().readAll() == ["b"])
    #expect(try world.reader("small").readAll() == ["y"])
  }

  @Test func whatIsQueuedIsGivenUpByAnAbort() throws {
    let world = World()
    let producer = try world.transactional { $0.lingerMilliseconds = 1000 }
    try producer.beginTransaction()
    producer.send("a")
    try producer.abortTransaction()
    #expect(producer.takeReports().map(\.code) == [.purgedFromQueue])
    #expect(world.cluster.bounds(world.place())?.high == 0)
    #expect(producer.send("b") == .failed(KafkaFailure(.wrongState)), "outside a transaction")
  }

  /// The output's leader is away: the commit waits, runs out of its time, and goes on when called
  /// again.
  @Test func aCommitGoesOnWhereItWas() throws {
    let world = World()
    let producer = try world.transactional { $0.transactionTimeoutMilliseconds = 60_000 }
    try producer.beginTransaction()
    world.cluster.makeUnavailable(topic: "out", milliseconds: 5000)
    producer.send("a")
    #expect(remedy { try producer.commitTransaction(timeoutMilliseconds: 1000) } == .retry)
    #expect(code { try producer.abortTransaction() } == .wrongState)
    try producer.commitTransaction()
    world.wait(milliseconds: 50)
    #expect(try world.reader().readAll() == ["a"])
  }

  @Test func coordinatorsMove() throws {
    let world = World()
    let producer = try world.transactional()
    try producer.beginTransaction()
    producer.send("a")
    #expect(try producer.flush(timeoutMilliseconds: 1000) == 0)
    world.cluster.moveCoordinators(milliseconds: 3000)
    let took = try world.time { try producer.commitTransaction() }
    #expect(took >= 2990 && took < 3500)
    #expect(try world.reader().readAll() == ["a"])
  }

  /// Markers are written one by one: for a moment a reader of one partition sees what a reader of
  /// another does not.
  @Test func markersOfPartitionsComeApart() throws {
    let world = World(partitions: 2)
    let producer = try world.transactional()
    try producer.beginTransaction()
    producer.send("a", 0)
    producer.send("b", 1)
    #expect(try producer.flush(timeoutMilliseconds: 1000) == 0)
    world.cluster.moveLeader(world.place(1), milliseconds: 500)
    try producer.commitTransaction()
    world.wait(milliseconds: 100)
    #expect(try world.reader(partition: 0).readAll() == ["a"])
    #expect(try world.reader(partition: 1).readAll(milliseconds: 50) == [])
    world.wait(milliseconds: 500)
    #expect(try world.reader(partition: 1).readAll() == ["b"])
  }

  /// KAFKA §1: 17 ms where 100 ms pass between them; back to back 37 ms at a backoff of 10 ms and
  /// 114 ms at 100.
  @Test(arguments: [(10, 100, 17), (10, 0, 37), (100, 0, 114)])
  func transactionsTakeTheirTime(_ backoff: Int, _ pause: Int, _ expected: Int) throws {
    let world = World()
    let consumer = world.consumer(["in"], group: "g")
    let producer = try world.transactional { $0.retryBackoffMilliseconds = backoff }
    var total = 0
    for round in 0..<11 {
      let took = try world.time {
        try producer.beginTransaction()
        for i in 0..<10 { producer.send("\(i)") }
        try producer.sendOffsets([world.place(of: "in"): StoredOffset(1)], of: consumer)
        try producer.commitTransaction()
      }
      if round > 0 { total += took }
      world.wait(milliseconds: pause)
    }
    #expect(abs(total / 10 - expected) <= 5, "\(total / 10) ms")
  }
}

extension World {
  fileprivate func reader(partition: Int32 = 0, change isolation: Isolation) throws
    -> SimulatedConsumer
  {
    try reader("out", partition: partition) { $0.isolation = isolation }
  }
}
