// From the engine's messages to the producer: never more in flight than the producer's queue holds,
// every delivery accounted for, and the offsets that may be committed.
//
// A message gets a slot in the in-flight table; the slot's number is its opaque. At a cut the messages
// then in flight are counted; when all of them are acknowledged, the cut's offsets may be committed.
import Engine
import Events
import Histogram
import Kafka
import Sparse

final class Publisher {
  enum Failure: Error, CustomStringConvertible {
    /// The broker refused a message for good: restarting publishes it again.
    case undelivered(topic: String, KafkaError.Failure)
    case fatal(KafkaError)

    var description: String {
      switch self {
      case .undelivered(let topic, let failure):
        "a message for \(topic) was not delivered: \(failure.message)"
      case .fatal(let error): "the producer cannot go on: \(error)"
      }
    }
  }

  let producer: Producer
  private let names: TopicNames
  private let handles: [ProducerTopic]

  private struct InFlight: BitwiseCopyable {
    var sequence: UInt64 = 0
    var receivedAt: Int64 = 0
    var topic: UInt8 = 0
  }
  private var slots: Vec<InFlight>
  private var free: Vec<UInt32>
  private var sequence: UInt64 = 0
  private var failure: Failure?

  /// The cut being waited for.
  private var cutSequence: UInt64?
  private var cutOutstanding = 0

  /// Event seen to recommendation acknowledged, microseconds; reset with each metrics line.
  var latency = Histogram<UInt64>(
    highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)
  private(set) var published = [Int](repeating: 0, count: OutputTopic.allCases.count)
  private(set) var acknowledged = 0
  private(set) var tooLarge = 0
  private(set) var lettersShortened = 0
  private(set) var bytes = 0

  init(_ options: DaemonOptions, observer: ClientObserver) throws(KafkaError) {
    producer = try Producer(config: options.kafka, observer: observer)
    names = options.topics
    var made: [ProducerTopic] = []
    for topic in OutputTopic.allCases { made.append(try producer.topic(options.topics.name(topic))) }
    handles = made
    slots = Vec()
    free = Vec()
  }

  func requireTopics(timeoutMilliseconds: Int) throws(KafkaError) {
    _ = try producer.requireTopics(handles, timeoutMilliseconds: timeoutMilliseconds)
  }

  var outstanding: Int { producer.outstanding }

  /// Sends messages from `index` on until the queue is full.
  /// - Returns: the index of the first message not taken.
  func publish(_ outputs: borrowing Outputs, from index: Int, limit: Int = .max) -> Int {
    var i = index
    let end = limit == .max ? outputs.count : min(outputs.count, index + limit)
    while i < end {
      let record = outputs.records[i]
      let topic = Int(record.topic.rawValue)
      let slot = take(record.topic, receivedAt: record.receivedAt)
      let value: UnsafeRawBufferPointer? = record.isDeletion ? nil : outputs.value(record)
      let result = producer.send(
        to: handles[topic], key: outputs.key(record), value: value, opaque: UInt64(slot))
      switch result {
      case .accepted:
        published[topic] += 1
        bytes += value?.count ?? 0
      case .queueFull:
        giveBack(slot)
        return i
      case .tooLarge:
        // Counted, never silent: lower model.neighbours or raise message.max.bytes.
        tooLarge += 1
        giveBack(slot)
      case .failed(let error):
        giveBack(slot)
        if failure == nil {
          failure = .undelivered(topic: names.name(record.topic), error)
        }
        return i
      }
      i += 1
    }
    return i
  }

  /// A dead letter: the message as it came, with ours added to its headers. Where that is more than
  /// `message.max.bytes`, a stub of it: what it was, and how it began.
  /// - Returns: false where the queue is full.
  func publish(_ letter: DeadLetter, connector: String) -> Bool {
    switch send(letter, connector) {
    case .accepted: return true
    case .queueFull: return false
    case .tooLarge:
      switch send(letter.stub(), connector) {
      case .accepted:
        lettersShortened += 1
        return true
      case .queueFull: return false
      case .tooLarge: tooLarge += 1
      case .failed(let error): failure = failure ?? .undelivered(topic: names.deadLetters, error)
      }
    case .failed(let error): failure = failure ?? .undelivered(topic: names.deadLetters, error)
    }
    return true
  }

  private func send(_ letter: DeadLetter, _ connector: String) -> SendResult {
    let slot = take(.deadLetters, receivedAt: 0)
    let headers = letter.allHeaders(connector: connector).map { Header($0.key, $0.value) }
    let result = withBytes(letter.key) { key in
      withBytes(letter.value) { value in
        producer.send(
          to: handles[Int(OutputTopic.deadLetters.rawValue)], key: key, value: value,
          headers: headers, timestamp: letter.timestamp >= 0 ? letter.timestamp : nil,
          opaque: UInt64(slot))
      }
    }
    if result == .accepted {
      published[Int(OutputTopic.deadLetters.rawValue)] += 1
    } else {
      giveBack(slot)
    }
    return result
  }

  private func withBytes<Result>(
    _ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Result
  ) -> Result {
    guard let bytes else { return body(nil) }
    return bytes.withUnsafeBytes { body($0) }
  }

  /// Takes delivery reports, waiting for the first at most `timeoutMilliseconds`.
  func poll(timeoutMilliseconds: Int) throws(Failure) {
    let now = Process.monotonic
    producer.poll(timeoutMilliseconds: timeoutMilliseconds) { reports in
      let now = timeoutMilliseconds > 0 ? Process.monotonic : now
      for report in reports { settle(report, now: now) }
    }
    if let failure { throw failure }
    if let error = producer.fatalError { throw .fatal(error) }
  }

  private func settle(_ report: DeliveryReport, now: Int64) {
    let entry = slots[Int(report.opaque)]
    giveBack(UInt32(report.opaque))
    if let cut = cutSequence, entry.sequence <= cut { cutOutstanding -= 1 }
    if let problem = report.failure {
      if failure == nil {
        failure = .undelivered(topic: names.name(OutputTopic(rawValue: entry.topic)!), problem)
      }
      return
    }
    acknowledged += 1
    if entry.receivedAt > 0 {
      latency.record(UInt64(min(600_000_000, max(0, (now - entry.receivedAt) / 1000))))
    }
  }

  // MARK: cuts

  /// Notes what is in flight now.
  func beginCut() {
    cutSequence = sequence
    cutOutstanding = slots.count - free.count
  }

  /// Whether everything that was in flight at the cut is acknowledged.
  var isCutDone: Bool { cutSequence != nil && cutOutstanding <= 0 }

  func endCut() { cutSequence = nil }

  private func take(_ topic: OutputTopic, receivedAt: Int64) -> UInt32 {
    sequence += 1
    let entry = InFlight(sequence: sequence, receivedAt: receivedAt, topic: topic.rawValue)
    if let slot = free.popLast() {
      slots[Int(slot)] = entry
      return slot
    }
    slots.append(entry)
    return UInt32(slots.count - 1)
  }

  private func giveBack(_ slot: UInt32) { free.append(slot) }
}
