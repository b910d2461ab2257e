// The log as the brokers have it, for a start to hold its state against.
import Kafka
import Snapshots

struct KafkaLogLooker: LogLooker {
  let options: DaemonOptions
  /// Of the group, which it has not joined yet.
  let consumer: Consumer
  let observer: ClientObserver

  func look(_ next: [[Int64]]) throws(KafkaError) -> [[PartitionLook]] {
    let milliseconds = Int(options.topicTimeout)
    let topics = try consumer.requireTopics(timeoutMilliseconds: milliseconds)
    let places = topics.enumerated().flatMap { t, topic in
      (0..<Int(topic.partitionCount)).map { TopicPartition(topic: t, partition: $0) }
    }
    let committed = try consumer.committed(places, timeoutMilliseconds: milliseconds)
    let isNew = committed.allSatisfy { $0.offset == nil } && next.joined().allSatisfy { $0 < 0 }
    if isNew && options.rebuild == .none {
      // Nothing to hold it against.
      return topics.map { [PartitionLook](repeating: .init(low: 0, high: 0), count: Int($0.partitionCount)) }
    }
    var config = options.kafka
    config["group.id"] = nil
    config["enable.partition.eof"] = "true"
    let reader = try Consumer(config: config, topics: consumer.topics, observer: observer)
    defer { _ = reader.close(deadlineMilliseconds: 2000) }
    _ = try reader.requireTopics(timeoutMilliseconds: milliseconds)
    var looks = topics.map { _ in [PartitionLook]() }
    var starts: [PartitionStart] = []
    for (place, committed) in zip(places, committed) {
      let (t, p) = (Int(place.topic), Int(place.partition))
      let marks = try reader.watermarks(place, timeoutMilliseconds: milliseconds)
      looks[t].append(
        PartitionLook(low: marks.low, high: marks.high, committed: committed.offset))
      if p < next[t].count, next[t][p] > marks.low, next[t][p] <= marks.high {
        starts.append(PartitionStart(place, .at(next[t][p] - 1)))
      }
    }
    for (place, last) in try LogLook.first(starts, of: reader, milliseconds) {
      looks[Int(place.topic)][Int(place.partition)].last = last
    }
    return looks
  }

  func reset(_ offsets: [PartitionOffset]) throws(KafkaError) {
    // A predecessor that died is a member until its session ends.
    let deadline = Process.monotonic + 60_000_000_000
    while true {
      do throws(KafkaError) { return try consumer.commit(offsets) } catch {
        if Signals.isStopRequested || Process.monotonic > deadline { throw error }
      }
    }
  }
}

enum LogLook {
  /// The records at these very offsets, where they are there.
  static func first(
    _ starts: [PartitionStart], of reader: Consumer, _ milliseconds: Int
  ) throws(KafkaError) -> [TopicPartition: SnapshotMetadata.LastRecord] {
    if starts.isEmpty { return [:] }
    try reader.assign(starts)
    var wanted: [TopicPartition: Int64] = [:]
    for one in starts { if case .at(let offset) = one.start { wanted[one.place] = offset } }
    var found: [TopicPartition: SnapshotMetadata.LastRecord] = [:]
    let deadline = Process.monotonic + Int64(milliseconds) * 1_000_000
    while !wanted.isEmpty {
      let polled = try reader.poll(maxMessages: 1000, timeoutMilliseconds: 200)
      var done: [TopicPartition] = []
      for message in polled.messages {
        guard let offset = wanted.removeValue(forKey: message.place) else { continue }
        done.append(message.place)
        guard message.offset == offset else { continue }
        found[message.place] = SnapshotMetadata.LastRecord(
          timestamp: message.timestamp ?? -1, key: message.key, value: message.value)
      }
      for event in polled.events {
        switch event {
        case .endOfPartition(let place, _), .offsetOutOfRange(let place, _, _):
          wanted[place] = nil
        default: break
        }
      }
      // So that one partition's records do not keep the others from coming.
      if !done.isEmpty { try reader.pause(done) }
      if !wanted.isEmpty && Process.monotonic > deadline {
        throw .timedOut(operation: "reading the last records again", milliseconds: milliseconds)
      }
    }
    return found
  }
}
