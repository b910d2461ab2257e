// What partitions and plain producers do: sequences, isolation, retention, the queue. Each test names
// where the behaviour is written down.

import SimulatedKafka
import Testing

@Suite struct BrokerTests {
  @Test func recordsComeBackAsTheyWere() throws {
    let world = World()
    let producer = world.producer(nil)
    let header = LogHeader("h", [1, 2])
    #expect(
      producer.send(
        to: "out", key: bytes("k"), value: bytes("v"), headers: [header], timestamp: 77, opaque: 5)
        == .accepted)
    _ = producer.send(to: "out", key: [] as [UInt8], value: nil as [UInt8]?)
    _ = producer.send(to: "out", key: nil as [UInt8]?, value: [] as [UInt8])
    #expect(try producer.flush(timeoutMilliseconds: 1000) == 0)
    let reports = producer.takeReports()
    #expect(reports.map(\.offset) == [0, 1, 2])
    #expect(reports[0].opaque == 5 && reports[0].isDelivered)
    let records = try world.reader().poll(maxMessages: 10, timeoutMilliseconds: 100).records
    #expect(records.count == 3)
    #expect(records[0].keyBytes == bytes("k") && records[0].valueBytes == bytes("v"))
    #expect(records[0].timestamp == 77 && records[0].headers == [header])
    #expect(records[1].keyBytes == [] && records[1].valueBytes == nil)
    #expect(records[2].keyBytes == nil && records[2].valueBytes == [])
    #expect(records[2].timestamp >= 1_700_000_000_000)
  }

  /// KIP-98: a batch that arrives twice is stored once.
  @Test(arguments: [RequestFault.lostReply, .duplicate, .delayed(milliseconds: 500), .lostRequest])
  func aBatchIsStoredOnceWhateverHappens(_ fault: RequestFault) throws {
    let world = World()
    let producer = world.producer(nil)
    for round in 0..<5 {
      if round == 2 { world.cluster.faults.order(fault, on: .produce) }
      producer.send("\(round)")
      #expect(try producer.flush(timeoutMilliseconds: 20_000) == 0)
    }
    #expect(world.cluster.faults.outstanding == 0)
    world.wait(milliseconds: 1000)
    #expect(try world.reader().readAll() == ["0", "1", "2", "3", "4"])
    #expect(producer.takeReports().map(\.code) == [nil, nil, nil, nil, nil])
  }

  /// A queue has a bound; a report frees its place.
  @Test func aFullQueueSaysSo() throws {
    let world = World()
    let producer = world.producer(nil) { $0.queueLimit = 3 }
    #expect(
      (0..<4).map { producer.send("\($0)") } == [.accepted, .accepted, .accepted, .queueFull])
    _ = try producer.poll(timeoutMilliseconds: 100)
    #expect(producer.send("4") == .accepted)
  }

  /// Too large for the client: refused at once. Too large for the topic: by the report.
  @Test func messagesTooLarge() throws {
    let world = World()
    world.cluster.createTopic("small", partitions: 1, maxMessageBytes: 10)
    let producer = world.producer(nil) { $0.maxMessageBytes = 100 }
    #expect(producer.send(String(repeating: "x", count: 101)) == .tooLarge)
    producer.send(String(repeating: "x", count: 11), to: "small")
    #expect(try producer.poll(timeoutMilliseconds: 100).map(\.code) == [.messageTooLarge])
    // The gap in the sequences is healed by another producer id.
    producer.send("y", to: "small")
    #expect(try producer.poll(timeoutMilliseconds: 100).map(\.code) == [nil])
  }

  /// A message that cannot be delivered in its time is given up, and what follows is delivered.
  @Test func messagesTimeOut() throws {
    let world = World()
    let producer = world.producer(nil) { $0.messageTimeoutMilliseconds = 1000 }
    world.cluster.makeUnavailable(topic: "out", milliseconds: 3000)
    producer.send("a")
    #expect(try producer.poll(timeoutMilliseconds: 5000).map(\.code) == [.messageTimedOut])
    world.wait(milliseconds: 3000)
    producer.send("b")
    #expect(try producer.poll(timeoutMilliseconds: 5000).map(\.code) == [nil])
    #expect(try world.reader().readAll() == ["b"])
  }

  @Test(arguments: ["down", "leader", "stall", "all"])
  func troubleThatPassesLosesNothing(_ kind: String) throws {
    let world = World(partitions: 3)
    let producer = world.producer(nil)
    for partition in 0..<3 { producer.send("a\(partition)", Int32(partition)) }
    switch kind {
    case "down": world.cluster.takeDown(broker: 1, milliseconds: 4000)
    case "leader": world.cluster.moveLeader(world.place(1), milliseconds: 4000)
    case "stall": world.cluster.stall(milliseconds: 4000)
    default: world.cluster.takeDown(milliseconds: 4000)
    }
    var left = 3
    let took = try world.time { left = try producer.flush(timeoutMilliseconds: 20_000) }
    #expect(left == 0)
    #expect(took >= 3900 && took < 6000)
    for partition in 0..<3 {
      #expect(try world.reader(partition: Int32(partition)).readAll() == ["a\(partition)"])
    }
  }

  /// `auto.offset.reset=error`: an offset outside the log is told, and nothing is skipped.
  @Test func offsetsOutsideTheLog() throws {
    let world = World()
    for i in 0..<10 { world.cluster.write(world.place(), value: bytes("\(i)")) }
    world.cluster.removeRecords(world.place(), before: 4)
    for offset: Int64 in [3, 11] {
      let reader = try world.reader(from: .at(offset))
      let batch = try reader.poll(maxMessages: 10, timeoutMilliseconds: 100)
      #expect(batch.records.isEmpty)
      #expect(batch.events == [.offsetOutOfRange(world.place(), offset: offset)])
      #expect(try reader.poll(maxMessages: 10, timeoutMilliseconds: 100).isEmpty, "told once")
      try reader.restart([(world.place(), .beginning)])
      #expect(try reader.readAll() == ["4", "5", "6", "7", "8", "9"])
    }
    let reader = try world.reader(from: .at(10))
    #expect(try reader.readAll() == [])
    #expect(world.cluster.bounds(world.place()) == LogBounds(low: 4, high: 10))
  }

  /// Retention passes a reader that stands still.
  @Test func retentionPassesAReader() throws {
    let world = World()
    let reader = try world.reader()
    for i in 0..<5 { world.cluster.write(world.place(), value: bytes("\(i)")) }
    #expect(try reader.poll(maxMessages: 2, timeoutMilliseconds: 10).records.count == 2)
    world.cluster.removeRecords(world.place(), before: 4)
    let batch = try reader.poll(maxMessages: 2, timeoutMilliseconds: 10)
    #expect(batch.events == [.offsetOutOfRange(world.place(), offset: 2)])
  }

  /// librdkafka 2.0 knows no topic ids: a topic made anew shows only where the offset is beyond its
  /// end, and else gives other records silently.
  @Test func aTopicMadeAnew() throws {
    let world = World()
    for i in 0..<5 { world.cluster.write(world.place(), value: bytes("old \(i)")) }
    let reader = try world.reader()
    let other = try world.reader()
    #expect(try reader.readAll().count == 5)
    #expect(try other.poll(maxMessages: 1, timeoutMilliseconds: 10).records.count == 1)
    let id = world.cluster.topicID("out")
    world.cluster.createTopic("out", partitions: 1)
    #expect(world.cluster.topicID("out") != id)
    for i in 0..<3 { world.cluster.write(world.place(), value: bytes("new \(i)")) }
    #expect(
      try reader.poll(maxMessages: 9, timeoutMilliseconds: 10).events
        == [.offsetOutOfRange(world.place(), offset: 5)])
    #expect(try other.readAll() == ["new 1", "new 2"])
    world.cluster.deleteTopic("out")
    #expect(
      try other.poll(maxMessages: 9, timeoutMilliseconds: 10).events
        == [.partitionFailed(world.place(), KafkaFailure(.unknownTopicOrPartition))])
  }

  @Test func endOfPartitionIsToldOncePerEnd() throws {
    let world = World()
    world.cluster.write(world.place(), value: bytes("a"))
    let reader = try world.reader { $0.tellsEndOfPartition = true }
    func events() throws -> [SimulatedEvent] {
      try reader.poll(maxMessages: 9, timeoutMilliseconds: 50).events
    }
    #expect(try events() == [.endOfPartition(world.place(), offset: 1)])
    #expect(try events() == [])
    world.cluster.write(world.place(), value: bytes("b"))
    #expect(try events() == [.endOfPartition(world.place(), offset: 2)])
  }

  @Test func pausedPartitionsStandStill() throws {
    let world = World(partitions: 2)
    for i in 0..<4 { world.cluster.write(world.place(Int32(i % 2)), value: bytes("\(i)")) }
    let reader = world.consumer()
    try reader.assign([(world.place(0), .beginning), (world.place(1), .beginning)])
    reader.pause([world.place(1)])
    #expect(try reader.readAll() == ["0", "2"])
    reader.resume([world.place(1)])
    #expect(try reader.readAll() == ["1", "3"])
    #expect(reader.assignment.map(\.position) == [2, 2])
  }

  /// Compaction keeps the last record of a key and all offsets; the beginning stays 0.
  @Test func compactionLeavesGaps() throws {
    let world = World()
    for (i, key) in ["a", "b", "a", "c", "b"].enumerated() {
      world.cluster.write(world.place(), key: bytes(key), value: bytes("\(i)"))
    }
    world.cluster.compact(world.place())
    let batch = try world.reader().poll(maxMessages: 9, timeoutMilliseconds: 10)
    #expect(batch.records.map(\.offset) == [2, 3, 4])
    #expect(world.cluster.bounds(world.place())?.low == 0)
    #expect(try world.reader(from: .at(1)).readAll() == ["2", "3", "4"])
  }

  /// Java's default partitioner; expected values are those of librdkafka's own unit test
  /// (`unittest_murmur2`).
  @Test func keysChooseTheirPartitionAsInJava() throws {
    let world = World()
    world.cluster.createTopic("wide", partitions: 1000)
    let known: [(String, UInt32)] = [
      ("kafka", 0xd067_cf64), ("giberish123456789", 0x8f55_2b0c), ("1234", 0x9fc9_7b14),
      ("234", 0xe7c0_09ca), ("34", 0x8739_30da), ("4", 0x5a4b_5ca1),
    ]
    let producer = world.producer(nil)
    for (key, _) in known {
      _ = producer.send(to: "wide", key: bytes(key), value: bytes(key))
    }
    #expect(try producer.flush(timeoutMilliseconds: 1000) == 0)
    for (key, hash) in known {
      let expected = Int32((hash & 0x7fff_ffff) % 1000)
      #expect(
        world.cluster.rawLog(LogPlace("wide", expected), from: 0).contains {
          $0.payload?.key.map { Array($0) } == bytes(key)
        }, "key \(key)")
    }
  }

  /// The same seed gives the same world, to the last draw.
  @Test func theSameSeedGivesTheSameWorld() throws {
    func run(_ seed: UInt64) throws -> [String] {
      let world = World(seed: seed, partitions: 3)
      world.cluster.faults.plan = FaultPlan(perMillion: 50_000)
      let producer = world.producer(nil)
      for i in 0..<50 {
        producer.send("\(i)", Int32(i % 3))
        _ = try producer.poll(timeoutMilliseconds: 20)
      }
      _ = try producer.flush(timeoutMilliseconds: 60_000)
      return ["\(world.cluster.clock.now)", "\(world.process.steps)"]
        + world.cluster.faults.happened.sorted { $0.key < $1.key }.map { "\($0)" }
    }
    #expect(try run(7) == run(7))
    #expect(try run(7) != run(8))
  }
}
