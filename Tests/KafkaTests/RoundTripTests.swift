import Kafka
import Testing

@Suite struct RoundTripTests {
  @Test func keysValuesHeadersAndTimesComeBackAsTheyWere() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 2)
    let producer = try Producer(config: settings(cluster))
    let topic = try producer.topic("t")
    let binary: [UInt8] = (0...255).map { UInt8($0) }
    let headers = [
      Header("content-type", "application/json"), Header("empty", []), Header("null", nil),
      Header("twice", "1"), Header("twice", "2"),
    ]
    // (key, value, headers, time): every kind of nothing beside something.
    let cases: [([UInt8]?, [UInt8]?, [Header], Int64?)] = [
      (Array("u-1".utf8), Array("v".utf8), [], nil), (binary, binary, [], 1_700_000_000_123),
      (Array("u-2".utf8), nil, [], nil), (Array("u-3".utf8), [], [], nil),
      ([], Array("w".utf8), [], nil), (nil, Array("x".utf8), [], nil), (nil, nil, [], nil),
      (Array("u-4".utf8), Array("h".utf8), headers, 1_700_000_000_456),
      (Array("u-5".utf8), nil, headers, nil), (Array("u-6".utf8), [], headers, nil),
      (Array("u-7".utf8), [UInt8](repeating: 7, count: 100_000), [], nil),
    ]
    for (i, one) in cases.enumerated() {
      let result = withBytes(one.0) { key in
        withBytes(one.1) { value in
          producer.send(
            to: topic, key: key, value: value, headers: one.2, timestamp: one.3, partition: 1,
            opaque: UInt64(i) &+ (1 << 63))
        }
      }
      #expect(result == .accepted)
    }
    #expect(producer.outstanding == cases.count)
    var reported: [UInt64: Int64] = [:]
    let left = producer.flush(deadlineMilliseconds: 10_000) { reports in
      for report in reports {
        #expect(report.isDelivered && report.failure == nil && report.partition == 1)
        reported[report.opaque] = report.offset
      }
    }
    #expect(left == 0 && producer.outstanding == 0 && producer.reported == cases.count)
    // One partition, one producer: offsets in the order of sending.
    for i in cases.indices { #expect(reported[UInt64(i) &+ (1 << 63)] == Int64(i)) }

    let consumer = try Consumer(config: settings(cluster), topics: ["t"])
    try consumer.assign(fromBeginning(2))
    var seen = 0
    _ = try within(10) {
      _ = try consumer.poll(maxMessages: 100, timeoutMilliseconds: 100) { view in
        guard seen < cases.count else { return }
        let expected = cases[seen]
        #expect(view.place == TopicPartition(topic: 0, partition: 1))
        #expect(view.offset == Int64(seen))
        #expect(view.key.map { Array($0) } == expected.0, "key of case \(seen)")
        #expect(view.value.map { Array($0) } == expected.1, "value of case \(seen)")
        #expect(view.copyHeaders() == expected.2, "headers of case \(seen)")
        if let time = expected.3 { #expect(view.timestamp == time) }
        #expect(view.timestamp ?? 0 > 1_600_000_000_000)
        if expected.2.isEmpty {
          #expect(view.header("content-type") == nil)
        } else {
          #expect(view.header("content-type")??.elementsEqual("application/json".utf8) == true)
          #expect(view.header("twice")??.elementsEqual("2".utf8) == true)
          #expect(view.header("empty")??.count == 0)
          if case .some(.some) = view.header("null") { Issue.record("null header has a value") }
          if view.header("null") == nil { Issue.record("null header is missing") }
        }
        seen += 1
      }
      return seen >= cases.count
    }
    #expect(seen == cases.count)
    #expect(consumer.position(TopicPartition(topic: 0, partition: 1)) == Int64(cases.count))
    #expect(consumer.ignoredRecords == 0)
    #expect(consumer.close(deadlineMilliseconds: 5000) == .closed)
    #expect(producer.close(deadlineMilliseconds: 5000) == .closed)
  }

  @Test func preparedHeadersServeManyMessages() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 1)
    let producer = try Producer(config: settings(cluster))
    let topic = try producer.topic("t")
    let headers = PreparedHeaders([Header("content-type", "application/json")])
    for i in 0..<50 {
      let value = Array("\(i)".utf8)
      let result = value.withUnsafeBytes {
        producer.send(to: topic, key: nil, value: $0, headers: headers)
      }
      #expect(result == .accepted)
    }
    #expect(producer.flush(deadlineMilliseconds: 10_000) { _ in } == 0)
    let consumer = try Consumer(config: settings(cluster), topics: ["t"])
    try consumer.assign(fromBeginning(1))
    var typed = 0
    _ = try within(10) {
      _ = try consumer.poll(maxMessages: 100, timeoutMilliseconds: 100) { view in
        if view.header("content-type")??.elementsEqual("application/json".utf8) == true {
          typed += 1
        }
      }
      return typed >= 50
    }
    #expect(typed == 50)
  }

  /// A batch's records stay readable while later batches come and go.
  @Test func aBatchOwnsItsRecords() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 1)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 1, count: 300)
    let consumer = try Consumer(config: settings(cluster), topics: ["t"])
    try consumer.assign(fromBeginning(1))
    var first = try consumer.poll(maxMessages: 100, timeoutMilliseconds: 5000)
    let deadline = now() + 10
    while first.count == 0 && now() < deadline {
      first = try consumer.poll(maxMessages: 100, timeoutMilliseconds: 1000)
    }
    #expect(first.count > 0 && first.bytes > 0)
    let rest = try consumer.read(300 - first.count)
    #expect(first.count + rest.count == 300)
    for i in 0..<first.count { #expect(Record(first[i]).text == "0:\(i)") }
    // Closing while a batch is out leaves the client behind instead of freeing what it points to.
    #expect(consumer.close(deadlineMilliseconds: 3000) == .abandoned)
    #expect(Record(first[0]).text == "0:0")
    first.release()
  }

  /// The calls in their order. What transactions promise cannot be shown on the mock, which does
  /// not isolate them.
  @Test func transactionsCommitAbortAndGoOn() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("in", partitions: 1)
    try cluster.createTopic("out", partitions: 1)
    let producer = try Producer(config: settings(cluster), transactionalID: "tx")
    let consumer = try Consumer(config: settings(cluster, ["group.id": "tx"]), topics: ["in"])
    let out = try producer.topic("out")
    do throws(KafkaError) {
      try producer.beginTransaction()
      Issue.record("begun before initTransactions")
    } catch { #expect(!error.isFatal) }
    try producer.initTransactions()
    for round in 0..<4 {
      try producer.beginTransaction()
      for i in 0..<10 {
        #expect(producer.sendText(out, key: nil, value: "\(round):\(i)") == .accepted)
      }
      var delivered = 0
      if round == 2 {
        try producer.abortTransaction { _ in }
      } else {
        try producer.sendOffsets(
          [PartitionOffset(topic: 0, partition: 0, offset: Int64(round))], of: consumer)
        try producer.commitTransaction { reports in
          delivered += reports.reduce(0) { $0 + ($1.isDelivered ? 1 : 0) }
        }
        #expect(delivered == 10)
      }
      #expect(producer.outstanding == 0)
    }
    let reader = try Consumer(config: settings(cluster), topics: ["out"])
    try reader.assign(fromBeginning(1))
    let texts = try reader.read(30).map(\.text)
    #expect(Set(texts).isSuperset(of: [0, 1, 3].flatMap { r in (0..<10).map { "\(r):\($0)" } }))
  }

  @Test func aTopicNamedTwiceIsAMistake() {
    do throws(KafkaError) {
      _ = try Consumer(config: [:], topics: ["a", "b", "a"])
      Issue.record("accepted")
    } catch { #expect(error == .settings("topic a: named twice")) }
  }

  @Test func twoTopicsKeepTheirIndex() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("b", partitions: 3)
    try cluster.createTopic("a", partitions: 2)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("b", partitions: 3, count: 4)
    try producer.fill("a", partitions: 2, count: 5)
    let consumer = try Consumer(config: settings(cluster), topics: ["b", "a"])
    let counts = try consumer.requireTopics(timeoutMilliseconds: 5000).map(\.partitionCount)
    #expect(counts == [3, 2])
    var starts = fromBeginning(3)
    starts.append(PartitionStart(TopicPartition(topic: 1, partition: 1), .at(2)))
    try consumer.assign(starts)
    let records = try consumer.read(3 * 4 + 3)
    #expect(records.filter { $0.place.topic == 0 }.count == 12)
    #expect(records.filter { $0.place.topic == 1 }.map(\.text) == ["1:2", "1:3", "1:4"])
    #expect(
      consumer.assignment.map(\.offset) == [4, 4, 4, 5] && consumer.assignment.count == 4)
    let marks = try consumer.watermarks(TopicPartition(topic: 1, partition: 0))
    #expect(marks == Watermarks(low: 0, high: 5))
    #expect(consumer.cachedWatermarks(TopicPartition(topic: 0, partition: 2))?.high == 4)
    #expect(consumer.lag(TopicPartition(topic: 0, partition: 2)) == 0)
  }
}
