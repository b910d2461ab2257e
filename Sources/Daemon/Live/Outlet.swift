// Where the loop's messages go: a producer, plain or transactional. `KafkaOutlet` is the one over librdkafka; a
// simulated log can be another.
import Engine
import Kafka

/// Called by the loop's thread only. Nothing here waits, but for `open`, `abort`, `renew` and `close`.
package protocol Outlet: AnyObject {
  /// Whether messages become visible with a commit, together with consumed offsets.
  var isTransactional: Bool { get }
  /// Fences whoever had our name before and ends his transaction; comes before the group's offsets
  /// are asked for. Nothing to do where it is not transactional. After an error that is retriable it can be
  /// asked again.
  func open(timeoutMilliseconds: Int) throws(KafkaError)
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
  /// Goes on with a new producer, between two transactions; `open` comes next.
  func renew() throws(KafkaError)

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
  private var commit: TransactionEnd?

  /// - Parameters:
  ///   - transactional: the name under which transactions are made; nil: none are.
  ///   - consumer: whose membership the offsets in a transaction are bound to.
  init(
    _ options: DaemonOptions, transactional name: String?, consumer: Consumer,
    observer: ClientObserver
  ) throws(KafkaError) {
    self.name = name
    config = options.kafka
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

  func open(timeoutMilliseconds: Int) throws(KafkaError) {
    if isTransactional { try producer.initTransactions(timeoutMilliseconds: timeoutMilliseconds) }
  }

  func renew() throws(KafkaError) {
    _ = producer.close(deadlineMilliseconds: 5000)
    (producer, handles) = try KafkaOutlet.make(config, name, observer, names)
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
    commit = producer.beginCommit(offsets, of: consumer)
  }

  func takeCommitOutcome() -> Result<Void, KafkaError>? {
    guard let outcome = commit?.outcome else { return nil }
    commit = nil
    return outcome
  }

  func abort(onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void) throws(KafkaError) {
    try producer.abortTransaction(onReports: onReports)
  }

  func close(deadlineMilliseconds: Int) {
    _ = producer.close(deadlineMilliseconds: deadlineMilliseconds)
  }
}
