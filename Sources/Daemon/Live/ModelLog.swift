// The tail of the models topic: what a restart has to have again, and where the numbers go on.
import Events
import Kafka

enum ModelLog {
  /// Records read per partition: more than a day of models at one a minute.
  private static let tail: Int64 = 2_000

  static func read(_ options: DaemonOptions, observer: ClientObserver) throws(KafkaError)
    -> [RecordedModel]
  {
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
      if marks.high > marks.low {
        starts.append(PartitionStart(place, .at(max(marks.low, marks.high - tail))))
      }
    }
    if starts.isEmpty { return [] }
    try reader.assign(starts)
    var models: [RecordedModel] = []
    var ended = Set<TopicPartition>()
    let deadline = Process.monotonic + options.topicTimeout * 1_000_000
    while ended.count < starts.count {
      let polled = try reader.poll(maxMessages: 1000, timeoutMilliseconds: 200)
      for event in polled.events {
        if case .endOfPartition(let place, _) = event { ended.insert(place) }
        if case .offsetOutOfRange(let place, _, _) = event { ended.insert(place) }
      }
      for message in polled.messages {
        guard let value = message.value, let json = try? JSON(value),
          let model = RecordedModel(json, topic: options.topics.events)
        else { continue }
        models.append(model)
      }
      if ended.count < starts.count && Process.monotonic > deadline {
        throw .timedOut(operation: "reading the models topic", milliseconds: Int(options.topicTimeout))
      }
    }
    return models
  }
}
