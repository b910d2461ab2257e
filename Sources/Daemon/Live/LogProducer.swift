// From a file of JSON lines to a topic, keyed by user (anonymous: session, else order).
import Events
import Glibc
import Kafka
import Sparse

public final class LogProducer {
  public struct Options: Sendable {
    public var kafka: [String: String]
    public var topic = "shop.events"
    public var isCatalogue = false
    /// Records per second; 0: no limit.
    public var rate = 0.0
    public var usesEventTime = false
    public init(kafka: [String: String]) { self.kafka = kafka }
  }
  public struct Summary: Sendable {
    public var records = 0
    public var bytes = 0
    public var unkeyed = 0
    public var seconds = 0.0
  }

  private let options: Options
  private let producer: Producer
  private let topic: ProducerTopic
  private var summary = Summary()
  private var failure: KafkaError.Failure?
  private let started = Process.monotonic

  public init(_ options: Options) throws(KafkaError) {
    self.options = options
    producer = try Producer(config: options.kafka)
    topic = try producer.topic(options.topic)
    _ = try producer.requireTopics([topic], timeoutMilliseconds: 30_000)
  }

  public func send(_ path: String, progress: (Int, Int) -> Void = { _, _ in }) throws {
    if options.isCatalogue {
      try CatalogueFile.forEach(path) { key, value in
        try key.withUnsafeBytes { try put($0, value, nil) }
      }
      return
    }
    let file = try MappedFile(path: path)
    let batch = EventBatch()
    var offset = 0
    while offset < file.bytes.count && !Signals.isStopRequested {
      progress(offset, file.bytes.count)
      batch.reset()
      let rest = UnsafeRawBufferPointer(rebasing: file.bytes[offset...])
      let used = batch.decodeLines(rest, budget: 1 << 18, isLast: true)
      for i in 0..<batch.count {
        let line = UnsafeRawBufferPointer(rebasing: rest[batch.sourceRange(at: i)])
        guard let event = batch.event(at: i) else {
          summary.unkeyed += 1
          try put(nil, line, nil)
          continue
        }
        let key =
          event.user.count > 0 ? event.user : event.session.count > 0 ? event.session : event.order
        try put(key, line, options.usesEventTime ? event.time : nil)
      }
      offset += used
    }
    progress(file.bytes.count, file.bytes.count)
  }

  /// Waits for every record's acknowledgement.
  public func finish() throws -> Summary {
    let left = producer.flush(deadlineMilliseconds: 60_000) { note($0) }
    if let failure { throw KafkaError.failure(failure) }
    if left > 0 { throw KafkaError.timedOut(operation: "flush of \(left) records", milliseconds: 60_000) }
    summary.seconds = Double(Process.monotonic - started) / 1e9
    return summary
  }

  private func put(
    _ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?, _ timestamp: Int64?
  ) throws {
    if options.rate > 0 { pace() }
    while true {
      switch producer.send(to: topic, key: key, value: value, timestamp: timestamp) {
      case .accepted:
        summary.records += 1
        summary.bytes += value?.count ?? 0
        if summary.records & 1023 == 0 { producer.poll(timeoutMilliseconds: 0) { note($0) } }
        if let failure { throw KafkaError.failure(failure) }
        return
      case .queueFull: producer.poll(timeoutMilliseconds: 20) { note($0) }
      case .tooLarge:
        throw KafkaError.settings("a record of \(value?.count ?? 0) bytes is larger than message.max.bytes")
      case .failed(let failure): throw KafkaError.failure(failure)
      }
    }
  }

  /// Waits until the next record is due.
  private func pace() {
    let due = started + Int64(Double(summary.records) / options.rate * 1e9)
    while true {
      let wait = due - Process.monotonic
      if wait <= 0 || Signals.isStopRequested { return }
      producer.poll(timeoutMilliseconds: Int(min(wait / 1_000_000, 50))) { note($0) }
      if wait < 1_000_000 { usleep(UInt32(wait / 1000)) }
    }
  }

  private func note(_ reports: UnsafeBufferPointer<DeliveryReport>) {
    for report in reports { if let problem = report.failure { failure = failure ?? problem } }
  }
}
