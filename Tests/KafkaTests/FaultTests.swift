import Dispatch
import Kafka
import Synchronization
import Testing

@Suite struct FaultTests {
  @Test("fault 22: a full queue is a value, and nothing is lost")
  func aFullQueueIsAValueAndNothingIsLost() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 1)
    let producer = try Producer(
      config: settings(cluster, ["queue.buffering.max.messages": "100", "linger.ms": "50"]))
    let topic = try producer.topic("t")
    var full = 0
    var delivered: [UInt64] = []
    for i in 0..<1000 {
      while true {
        let result = producer.sendText(topic, key: nil, value: "\(i)", opaque: UInt64(i))
        if result == .accepted { break }
        #expect(result == .queueFull)
        full += 1
        producer.poll(timeoutMilliseconds: 100) { reports in
          for report in reports where report.isDelivered { delivered.append(report.opaque) }
        }
      }
    }
    let left = producer.flush(deadlineMilliseconds: 10_000) { reports in
      for report in reports where report.isDelivered { delivered.append(report.opaque) }
    }
    #expect(left == 0)
    #expect(full > 0)
    #expect(delivered.sorted() == (0..<1000).map { UInt64($0) })
  }

  @Test("fault 10: an oversize message is refused at once")
  func anOversizeMessageIsRefusedAtOnce() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 1)
    let producer = try Producer(config: settings(cluster))
    let topic = try producer.topic("t")
    let large = [UInt8](repeating: 65, count: 2_000_000)
    #expect(large.withUnsafeBytes { producer.send(to: topic, key: nil, value: $0) } == .tooLarge)
    // The other way in, with headers (which must be freed).
    #expect(
      large.withUnsafeBytes {
        producer.send(to: topic, key: nil, value: $0, headers: [Header("a", "b")])
      } == .tooLarge)
    #expect(producer.outstanding == 0)
    #expect(producer.sendText(topic, key: nil, value: "small") == .accepted)
    #expect(producer.flush(deadlineMilliseconds: 5000) { _ in } == 0)
  }

  @Test func purgeReportsWhatItGivesUp() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 1)
    let producer = try Producer(config: settings(cluster))
    let topic = try producer.topic("t")
    _ = try producer.requireTopics([topic], timeoutMilliseconds: 5000)
    try cluster.takeDown()
    for i in 0..<10 {
      #expect(producer.sendText(topic, key: nil, value: "\(i)", opaque: 7) == .accepted)
    }
    #expect(producer.flush(deadlineMilliseconds: 200) { _ in } == 10)
    producer.purge()
    var given = 0
    _ = within(5) {
      producer.poll(timeoutMilliseconds: 100) { reports in
        for report in reports where !report.isDelivered && report.opaque == 7 {
          #expect(report.failure?.name.contains("PURGE") == true)
          given += 1
        }
      }
      return given == 10
    }
    #expect(given == 10 && producer.outstanding == 0)
  }

  /// Brokers go and come back under a running producer and consumer.
  @Test("fault 3: nothing is lost while brokers are down")
  func nothingIsLostWhileBrokersAreDown() throws {
    let cluster = try MockCluster(brokers: 2)
    try cluster.createTopic("t", partitions: 2)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 2, count: 50)
    let consumer = try Consumer(config: settings(cluster), topics: ["t"])
    try consumer.assign(fromBeginning(2))
    var records = try consumer.read(100)
    try cluster.takeDown()
    let topic = try producer.topic("t")
    for i in 50..<100 {
      for p in 0..<2 {
        #expect(
          producer.sendText(topic, key: nil, value: "\(p):\(i)", partition: Int32(p)) == .accepted)
      }
    }
    var events: [ConsumerEvent] = []
    _ = try within(1.5) {
      events += try consumer.poll(maxMessages: 100, timeoutMilliseconds: 100) { _ in }.events
      return false
    }
    // The outage is told, as something that passes.
    #expect(!events.isEmpty)
    for event in events {
      guard case .failed(let failure) = event else {
        Issue.record("\(event)")
        continue
      }
      #expect(failure.remedy == .retry, "\(failure)")
    }
    #expect(producer.outstanding == 100)
    try cluster.bringUp()
    #expect(producer.flush(deadlineMilliseconds: 15_000) { _ in } == 0)
    records += try consumer.read(100)
    for p in 0..<2 {
      let place = TopicPartition(topic: 0, partition: p)
      let texts = records.filter { $0.place == place }.map(\.text)
      // The embedded broker may store a repeated request twice.
      #expect(Set(texts) == Set((0..<100).map { "\(p):\($0)" }))
      #expect(records.filter { $0.place == place }.map(\.offset) == Array(0..<Int64(texts.count)))
    }
  }

  /// A partition that was paused when it was given back is read when it comes again.
  @Test func aPauseEndsWithTheAssignment() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 2)
    try Producer(config: settings(cluster)).fill("t", partitions: 2, count: 50)
    let consumer = try Consumer(config: settings(cluster), topics: ["t"])
    try consumer.assign(fromBeginning(2))
    #expect(try consumer.read(100).count == 100)
    try consumer.pause(consumer.assignment.map(\.place))
    try consumer.unassign()
    try consumer.assign(fromBeginning(2))
    #expect(try consumer.read(100).count == 100)
  }

  @Test("fault 4: leaders move under a running producer and consumer")
  func leadersMoveUnderARunningProducerAndConsumer() throws {
    let cluster = try MockCluster(brokers: 3)
    try cluster.createTopic("t", partitions: 1, replication: 3)
    let producer = try Producer(
      config: settings(cluster, ["topic.metadata.refresh.fast.interval.ms": "50"]))
    let consumer = try Consumer(
      config: settings(cluster, ["topic.metadata.refresh.fast.interval.ms": "50"]), topics: ["t"])
    try consumer.assign(fromBeginning(1))
    let topic = try producer.topic("t")
    var seen: [Record] = []
    for round in 0..<12 {
      try cluster.setLeader("t", partition: 0, broker: round % 3 + 1)
      for i in 0..<20 {
        #expect(producer.sendText(topic, key: nil, value: "\(round * 20 + i)") == .accepted)
      }
      producer.poll(timeoutMilliseconds: 30) { reports in
        for report in reports { #expect(report.isDelivered) }
      }
      _ = try consumer.poll(maxMessages: 100, timeoutMilliseconds: 30) { seen.append(Record($0)) }
    }
    let left = producer.flush(deadlineMilliseconds: 15_000) { reports in
      for report in reports { #expect(report.isDelivered) }
    }
    #expect(left == 0)
    seen += try consumer.read(240 - seen.count)
    #expect(Set(seen.map(\.text)) == Set((0..<240).map { "\($0)" }))
    #expect(seen.map(\.offset) == Array(0..<Int64(seen.count)))
  }

  @Test("fault 17: an offset beyond the end is an event, and the owner may start anew")
  func anOffsetBeyondTheEndIsAnEventAndTheOwnerMayStartAnew() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 2)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 2, count: 10)
    let consumer = try Consumer(config: settings(cluster), topics: ["t"])
    let lost = TopicPartition(topic: 0, partition: 1)
    try consumer.assign([
      PartitionStart(TopicPartition(topic: 0, partition: 0), .beginning),
      PartitionStart(lost, .at(10_000)),
    ])
    var events: [ConsumerEvent] = []
    var records: [Record] = []
    #expect(
      try within(10) {
        events += try consumer.poll(maxMessages: 100, timeoutMilliseconds: 100) {
          records.append(Record($0))
        }.events
        return !events.isEmpty && records.count == 10
      })
    #expect(events.count == 1)
    guard case .offsetOutOfRange(lost, let offset, let message)? = events.first else {
      Issue.record("\(events)")
      return
    }
    #expect(offset == nil || offset == 10_000)
    #expect(!message.isEmpty)
    #expect(records.allSatisfy { $0.place.partition == 0 })
    try consumer.restart([PartitionStart(lost, .beginning)])
    let rest = try consumer.read(10)
    #expect(rest.map(\.text) == (0..<10).map { "1:\($0)" })
    #expect(consumer.ignoredRecords == 0)
  }

  /// What retention removed is told, not skipped: the mock keeps 5 MiB.
  @Test("fault 18: records removed by retention are an event")
  func recordsRemovedByRetentionAreAnEvent() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 1)
    let producer = try Producer(config: settings(cluster, ["compression.codec": "none"]))
    let topic = try producer.topic("t")
    let value = [UInt8](repeating: 88, count: 100_000)
    for _ in 0..<80 {
      #expect(value.withUnsafeBytes { producer.send(to: topic, key: nil, value: $0) } == .accepted)
    }
    #expect(producer.flush(deadlineMilliseconds: 10_000) { _ in } == 0)
    let consumer = try Consumer(config: settings(cluster), topics: ["t"])
    let place = TopicPartition(topic: 0, partition: 0)
    try consumer.assign([PartitionStart(place, .at(0))])
    var told = false
    var records = 0
    _ = try within(10) {
      let (events, count) = try consumer.poll(maxMessages: 10, timeoutMilliseconds: 100) { _ in }
      records += count
      for event in events { if case .offsetOutOfRange(place, _, _) = event { told = true } }
      return told
    }
    #expect(told && records == 0)
    let marks = try consumer.watermarks(place)
    #expect(marks.low > 0 && marks.high == 80)
    try consumer.restart([PartitionStart(place, .beginning)])
    #expect(try consumer.read(1).first?.offset == marks.low)
  }

  @Test func pausedPartitionsStandStillAndGoOnWithoutLossOrRepeat() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 3)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 3, count: 400)
    let consumer = try Consumer(config: settings(cluster), topics: ["t"])
    try consumer.assign(fromBeginning(3))
    let all = (0..<3).map { TopicPartition(topic: 0, partition: $0) }
    var seen: [TopicPartition: [Int64]] = [:]
    var round = 0
    func step(_ milliseconds: Int) throws -> Int {
      try consumer.poll(maxMessages: 37, timeoutMilliseconds: milliseconds) {
        seen[$0.place, default: []].append($0.offset)
      }.count
    }
    let done = try within(20) {
      _ = try step(50)
      round += 1
      if round <= 12 {
        let held = [all[round % 3], all[(round + 1) % 3]]
        try consumer.pause(held)
        let before = held.map { seen[$0]?.count ?? 0 }
        for _ in 0..<3 { _ = try step(5) }
        #expect(held.map { seen[$0]?.count ?? 0 } == before, "a paused partition moved")
        try consumer.resume(held)
      }
      return seen.values.map(\.count).reduce(0, +) >= 1200
    }
    #expect(done)
    for place in all { #expect(seen[place] == Array(0..<400)) }
    #expect(round > 12)
  }

  /// librdkafka 2.0.2 starts partitions some time after `assign` has returned, and a resume that overtakes
  /// such a start leaves the partition dumb for good: all that it fetches counts as out of date.
  @Test func restartedPartitionsGoOnWhenResumedAtOnce() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 8)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 8, count: 20)
    let consumer = try Consumer(config: settings(cluster), topics: ["t"])
    try consumer.assign(fromBeginning(8))
    let all = (0..<8).map { TopicPartition(topic: 0, partition: $0) }
    for round in 0..<40 {
      var seen = [Int](repeating: 0, count: 8)
      let done = try within(10) {
        _ = try consumer.poll(maxMessages: 50, timeoutMilliseconds: 50) {
          seen[Int($0.place.partition)] += 1
        }
        return seen.allSatisfy { $0 == 20 }
      }
      try #require(done, "round \(round): \(seen)")
      try consumer.pause(all)
      try consumer.restart(fromBeginning(8))
      try consumer.resume(all)
    }
  }

  @Test func theEndOfAPartitionIsAnEventWhenAskedFor() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 2)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 1, count: 5)
    let consumer = try Consumer(
      config: settings(cluster, ["enable.partition.eof": "true"]), topics: ["t"])
    try consumer.assign(fromBeginning(2))
    var ends: [TopicPartition: Int64] = [:]
    _ = try within(10) {
      for event in try consumer.poll(maxMessages: 10, timeoutMilliseconds: 100, body: { _ in })
        .events
      {
        if case .endOfPartition(let place, let offset) = event { ends[place] = offset }
      }
      return ends.count == 2
    }
    #expect(ends[TopicPartition(topic: 0, partition: 0)] == 5)
    #expect(ends[TopicPartition(topic: 0, partition: 1)] == 0)
    #expect(consumer.assignment.map(\.offset) == [5, 0])
  }

  /// The answers of a broker that refuses: typed, and not repeated for ever.
  @Test func refusedCommitsAndLookUpsAreTyped() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 1)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 1, count: 1)
    let consumer = try Consumer(config: settings(cluster, ["group.id": "refused"]), topics: ["t"])
    let place = TopicPartition(topic: 0, partition: 0)
    try consumer.assign(fromBeginning(1))
    #expect(try consumer.read(1).count == 1)
    try consumer.commit([PartitionOffset(place, offset: 1)])
    #expect(try consumer.committed([place]).first?.offset == 1)

    cluster.push(.offsetCommit, [.groupAuthorizationFailed])
    do throws(KafkaError) {
      try consumer.commit([PartitionOffset(place, offset: 1)])
      Issue.record("committed")
    } catch { #expect(error.isDenied, "\(error)") }

    cluster.push(.offsetCommit, [.illegalGeneration])
    do throws(KafkaError) {
      try consumer.commit([PartitionOffset(place, offset: 1)])
      Issue.record("committed")
    } catch {
      guard case .failure(let failure) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(failure.remedy == .fenced)
    }

    // Passing errors are waited out.
    cluster.push(.offsetFetch, [.coordinatorLoading, .coordinatorLoading])
    #expect(try consumer.committed([place], timeoutMilliseconds: 8000).first?.offset == 1)
  }

  @Test(.timeLimit(.minutes(1))) func closingKeepsItsDeadlineWithoutABroker() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 1)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 1, count: 10)
    let consumer = try Consumer(config: settings(cluster, ["group.id": "dead"]), topics: ["t"])
    try consumer.assign(fromBeginning(1))
    #expect(try consumer.read(10).count == 10)
    try cluster.takeDown()
    let topic = try producer.topic("t")
    #expect(producer.sendText(topic, key: nil, value: "never") == .accepted)
    // A commit that nobody answers comes back at its deadline.
    let start = now()
    do throws(KafkaError) {
      try consumer.commit(
        [PartitionOffset(topic: 0, partition: 0, offset: 10)], timeoutMilliseconds: 300)
      Issue.record("committed")
    } catch { #expect(error.isRetriable, "\(error)") }
    // The commit still waits for its broker, and librdkafka for the commit.
    #expect(consumer.close(deadlineMilliseconds: 300) == .abandoned)
    _ = producer.close(deadlineMilliseconds: 2000)
    let took = now() - start
    print("closing without a broker took \(took) s")
    #expect(took < 20)
    // A second close changes nothing.
    #expect(consumer.close(deadlineMilliseconds: 0) == .closed)
  }

  @Test func aWaitingPollCanBeWoken() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 1)
    let consumer = try Consumer(config: settings(cluster), topics: ["t"])
    try consumer.assign(fromBeginning(1))
    _ = try consumer.poll(maxMessages: 1, timeoutMilliseconds: 500) { _ in }
    let waker = consumer.waker
    waker.wake()  // before: the next poll does not wait
    let start = now()
    _ = try consumer.poll(maxMessages: 1, timeoutMilliseconds: 30_000) { _ in }
    // A thread of its own: tests that wait may hold every thread that tasks run on.
    DispatchQueue(label: "waker").asyncAfter(deadline: .now() + .milliseconds(100)) { waker.wake() }
    _ = try consumer.poll(maxMessages: 1, timeoutMilliseconds: 30_000) { _ in }
    // Either poll would have waited 30 s.
    #expect(now() - start < 25)
    #expect(consumer.close(deadlineMilliseconds: 5000) == .closed)
    waker.wake()
  }

  @Test func logAndStatisticsReachTheObserver() throws {
    let lines = Mutex<[LogLine]>([])
    let statistics = Mutex<String>("")
    let observer = ClientObserver(
      log: { line in lines.withLock { $0.append(line) } },
      statistics: { json in statistics.withLock { $0 = String(decoding: json, as: UTF8.self) } })
    let config = [
      "bootstrap.servers": "127.0.0.1:1", "statistics.interval.ms": "100", "group.id": "g",
    ]
    let consumer = try Consumer(config: config, topics: ["t"], observer: observer)
    _ = try within(5) {
      _ = try consumer.poll(maxMessages: 10, timeoutMilliseconds: 50) { _ in }
      return lines.withLock { !$0.isEmpty } && statistics.withLock { !$0.isEmpty }
    }
    #expect(lines.withLock { $0.contains { $0.facility == "FAIL" && $0.level <= 4 } })
    #expect(statistics.withLock { $0.hasPrefix("{") && $0.contains("\"type\": \"consumer\"") })
    lines.withLock { $0 = [] }
    statistics.withLock { $0 = "" }
    let producer = try Producer(config: config, observer: observer)
    var events: [KafkaError.Failure] = []
    _ = within(5) {
      producer.poll(timeoutMilliseconds: 50) { _ in }
      events += producer.takeEvents()
      return lines.withLock { !$0.isEmpty } && statistics.withLock { !$0.isEmpty }
        && !events.isEmpty
    }
    #expect(lines.withLock { !$0.isEmpty })
    #expect(statistics.withLock { $0.contains("\"type\": \"producer\"") })
    #expect(events.allSatisfy { $0.remedy == .retry } && !events.isEmpty)
  }
}
