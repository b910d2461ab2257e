// Where the loop's messages go: a producer, plain or transactional. `KafkaOutlet` is the one over librdkafka; a
// simulated log can be another.
import Engine
import Kafka

/// Called by the loop's thread only. Nothing here waits, but for `open`, `abort` and `close`.
package protocol Outlet: AnyObject {
  /// Whether messages become visible with a commit, together with consumed offsets.
  var isTransactional: Bool { get }
  /// Fences whoever had our name before and ends his transaction; comes before the group's offsets
  /// are asked for. Nothing to do where it is not transactional.
  func open() throws(KafkaError)
  func send(
    _ topic: OutputTopic, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?,
    headers: [Header], timestamp: Int64?, opaque: UInt64
  ) -> SendResult
  /// Takes delivery reports, waiting for the first at most that long.
  func poll(waitMilliseconds: Int, onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void)
  var outstanding: Int { get }
  var fatalError: KafkaError? { get }
  func takeEvents() -> [KafkaError.Failure]

  // Transactions.
  func begin() throws(KafkaError)
  /// Adds the offsets and asks for the commit. `poll` goes on being called; nothing is sent meanwhile.
  func beginCommit(_ offsets: [PartitionOffset])
  /// What became of it; nil while it is on its way. Told once.
  func takeCommitOutcome() -> Result<Void, KafkaError>?
  /// Gives up the transaction; reports of what was in it may still come, as errors.
  func abort(onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void) throws(KafkaError)
  /// Whether a request of the last transaction may have been repeated behind our back: then the name
  /// is registered anew before the next one (KAFKA §3.5).
  var isSuspect: Bool { get }

  func close(deadlineMilliseconds: Int)
}

final class KafkaOutlet: Outlet {
  var isTransactional: Bool { name != nil }
  /// Under which transactions are made.
  private let name: String?
  private var producer: Producer
  private var handles: [ProducerTopic]
  private let config: [String: String]
  private let names: TopicNames
  private let observer: ClientObserver
  private let consumer: Consumer
  private var commit: (end: TransactionEnd, started: Int64)?
  /// A commit that takes longer than this may have been repeated inside the library.
  private let patience: Int64 = 10_000_000_000
  private(set) var isSuspect = false

  /// - Parameters:
  ///   - transactional: the name under which transactions are made; nil: none are.
  ///   - consumer: whose membership the offsets in a transaction are bound to.
  init(
    _ options: DaemonOptions, transactional name: String?, consumer: Consumer,
    observer: ClientObserver
  ) throws(KafkaError) {
    self.config = options.kafka
    self.name = name
    self.observer = observer
    self.consumer = consumer
    names = options.topics
    (producer, handles) = try KafkaOutlet.make(config, name, observer, names)
  }

  private static func make(
    _ config: [String: String], _ name: String?, _ observer: ClientObserver, _ names: TopicNames
  ) throws(KafkaError) -> (Producer, [ProducerTopic]) {
    let producer = try Producer(config: config, transactionalID: name, observer: observer)
    var handles: [ProducerTopic] = []
    for topic in OutputTopic.allCases { handles.append(try producer.topic(names.name(topic))) }
    return (producer, handles)
  }

  func requireTopics(timeoutMilliseconds: Int) throws(KafkaError) {
    _ = try producer.requireTopics(handles, timeoutMilliseconds: timeoutMilliseconds)
  }

  func open() throws(KafkaError) {
    guard isTransactional else { return }
    if isSuspect {
      _ = producer.close(deadlineMilliseconds: 5000)
      (producer, handles) = try KafkaOutlet.make(config, name, observer, names)
      isSuspect = false
    }
    try producer.initTransactions()
  }

  func send(
    _ topic: OutputTopic, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?,
    headers: [Header], timestamp: Int64?, opaque: UInt64
  ) -> SendResult {
    let handle = handles[Int(topic.rawValue)]
    if headers.isEmpty && timestamp == nil {
      return producer.send(to: handle, key: key, value: value, opaque: opaque)
    }
    return producer.send(
      to: handle, key: key, value: value, headers: headers, timestamp: timestamp, opaque: opaque)
  }

  func poll(waitMilliseconds: Int, onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void) {
    producer.poll(timeoutMilliseconds: waitMilliseconds, onReports: onReports)
  }

  var outstanding: Int { producer.outstanding }
  var fatalError: KafkaError? { producer.fatalError }
  func takeEvents() -> [KafkaError.Failure] { producer.takeEvents() }

  func begin() throws(KafkaError) { try producer.beginTransaction() }

  func beginCommit(_ offsets: [PartitionOffset]) {
    commit = (producer.beginCommit(offsets, of: consumer), Process.monotonic)
  }

  func takeCommitOutcome() -> Result<Void, KafkaError>? {
    guard let (end, started) = commit, let outcome = end.outcome else { return nil }
    commit = nil
    if Process.monotonic - started > patience { isSuspect = true }
    if case .failure = outcome { isSuspect = true }
    return outcome
  }

  func abort(onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void) throws(KafkaError) {
    isSuspect = true
    try producer.abortTransaction(onReports: onReports)
  }

  func close(deadlineMilliseconds: Int) {
    _ = producer.close(deadlineMilliseconds: deadlineMilliseconds)
  }
}
