// The number of the last model ever announced, so that ids go on after a restart: read from the end of the
// models topic, one record per partition.
import Kafka
import Foundation

enum LastModel {
  static func sequence(_ options: DaemonOptions, observer: ClientObserver) throws(KafkaError) -> Int {
    var config = options.kafka
    config["group.id"] = nil
    config["enable.partition.eof"] = "true"
    let reader = try Consumer(config: config, topics: [options.topics.models], observer: observer)
    defer { _ = reader.close(deadlineMilliseconds: 2000) }
    let topic = try reader.requireTopics(timeoutMilliseconds: Int(options.topicTimeout))[0]
    var starts: [PartitionStart] = []
    for partition in 0..<topic.partitionCount {
      let place = TopicPartition(topic: 0, partition: partition)
      let marks = try reader.watermarks(place)
      // A few records back: the last offsets may be control records of a transaction.
      if marks.high > marks.low {
        starts.append(PartitionStart(place, .at(max(marks.low, marks.high - 10))))
      }
    }
    if starts.isEmpty { return 0 }
    try reader.assign(starts)
    var last = 0
    var ended = Set<TopicPartition>()
    let deadline = Process.monotonic + options.topicTimeout * 1_000_000
    while ended.count < starts.count && Process.monotonic < deadline {
      let polled = try reader.poll(maxMessages: 1000, timeoutMilliseconds: 200)
      for event in polled.events {
        if case .endOfPartition(let place, _) = event { ended.insert(place) }
        if case .offsetOutOfRange(let place, _, _) = event { ended.insert(place) }
      }
      for message in polled.messages {
        if let key = message.key, let number = number(String(decoding: key, as: UTF8.self)) {
          last = max(last, number)
        }
      }
    }
    return last
  }

  /// 123 of `m-000123`.
  static func number(_ id: String) -> Int? {
    guard id.hasPrefix("m-") else { return nil }
    return Int(id.dropFirst(2))
  }
}
