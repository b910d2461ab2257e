// An embedded broker: librdkafka's mock cluster, for the demo, for `broker` and for tests.

import CRdKafka
import Glibc

/// Brokers inside this process, on loopback ports that any process of this machine can reach.
///
/// What it is not (librdkafka 2.0.2):
/// - A partition keeps 5 MiB or 100,000 batches in memory and then drops the oldest: a consumer
///   behind that loses records (it is told: `offsetOutOfRange`).
/// - It does not isolate transactions: aborted records are seen, offsets sent with a transaction
///   are not stored, an old producer is not fenced.
/// - It checks no sequence numbers: an idempotent producer that must repeat a request whose answer
///   was lost stores it twice.
/// - No creation of topics over the protocol, but any topic that a client asks for is made, with 4
///   partitions, even where the client sets `allow.auto.create.topics=false` (the client warns with
///   AUTOCREATE): create what needs another count first.
/// - No offsets by time, no compaction, no TLS or SASL.
/// - The ports are chosen by the system: librdkafka binds port 0 and offers no way to name one.
/// - The first join of a group takes 3 s; a join after a member has left waits until one second
///   before that member's session would have timed out (`session.timeout.ms=6000` makes it 5 s). A
///   commit inside a rebalance is refused. An idle fetch waits all of `fetch.wait.max.ms`.
public final class MockCluster {
  public let brokerCount: Int
  /// For `bootstrap.servers`, as `127.0.0.1:41234,127.0.0.1:…`.
  public let bootstrapServers: String

  private let client: OpaquePointer
  private let cluster: OpaquePointer
  private let state: ClientState

  /// Requests of the protocol that errors can be pushed for.
  public enum Request: Int16, Sendable {
    case produce = 0
    case fetch = 1
    case listOffsets = 2
    case metadata = 3
    case offsetCommit = 8
    case offsetFetch = 9
    case findCoordinator = 10
    case joinGroup = 11
    case heartbeat = 12
    case leaveGroup = 13
    case syncGroup = 14
    case initProducerID = 22
    case addPartitionsToTransaction = 24
    case addOffsetsToTransaction = 25
    case endTransaction = 26
    case transactionOffsetCommit = 28
  }

  /// Errors a broker answers with.
  public enum Answer: Int32, Sendable {
    /// The connection is cut instead of an answer.
    case disconnect = -195
    case unknownTopicOrPartition = 3
    case leaderNotAvailable = 5
    case notLeader = 6
    case requestTimedOut = 7
    case messageTooLarge = 10
    case coordinatorLoading = 14
    case coordinatorNotAvailable = 15
    case notCoordinator = 16
    case notEnoughReplicas = 19
    case illegalGeneration = 22
    case unknownMember = 25
    case rebalanceInProgress = 27
    case topicAuthorizationFailed = 29
    case groupAuthorizationFailed = 30
    case invalidProducerEpoch = 47
    case unstableOffsetCommit = 88
  }

  public init(
    brokers: Int = 1, observer: ClientObserver = ClientObserver()
  ) throws(KafkaError) {
    precondition(brokers >= 1)
    let conf: OpaquePointer = rd_kafka_conf_new()
    state = ClientState(observer: observer)
    rd_kafka_conf_set_opaque(conf, Unmanaged.passUnretained(state).toOpaque())
    rd_kafka_conf_set_log_cb(conf) { client, level, facility, text in
      ClientState.from(rd_kafka_opaque(client))?.log(level, facility, text)
    }
    client = try Settings.client(conf, role: .producer)
    guard let cluster = rd_kafka_mock_cluster_new(client, Int32(clamping: brokers)) else {
      rd_kafka_destroy(client)
      throw .settings("the embedded broker could not be started")
    }
    self.cluster = cluster
    brokerCount = brokers
    bootstrapServers = String(cString: rd_kafka_mock_cluster_bootstraps(cluster))
  }

  deinit {
    rd_kafka_mock_cluster_destroy(cluster)
    rd_kafka_destroy(client)
  }

  /// - Parameter replication: brokers per partition, at most `brokerCount`.
  public func createTopic(
    _ name: String, partitions: Int, replication: Int = 1
  ) throws(KafkaError) {
    try check(
      rd_kafka_mock_topic_create(
        cluster, name, Int32(clamping: partitions), Int32(clamping: min(replication, brokerCount))))
  }

  /// The topic answers with this error in metadata; nil ends that.
  public func setTopicError(_ topic: String, _ answer: Answer?) {
    rd_kafka_mock_topic_set_error(cluster, topic, rd_kafka_resp_err_t(answer?.rawValue ?? 0))
  }

  /// The next requests of this kind, at any broker, are answered so, one each.
  public func push(_ request: Request, _ answers: [Answer]) {
    let errors = answers.map { rd_kafka_resp_err_t($0.rawValue) }
    rd_kafka_mock_push_request_errors_array(cluster, request.rawValue, errors.count, errors)
  }

  public func clearErrors(_ request: Request) {
    rd_kafka_mock_clear_request_errors(cluster, request.rawValue)
  }

  /// Cuts all connections of a broker (nil: of all) and takes no new ones. Leaders stay.
  public func takeDown(broker: Int? = nil) throws(KafkaError) {
    try check(rd_kafka_mock_broker_set_down(cluster, id(broker)))
  }

  public func bringUp(broker: Int? = nil) throws(KafkaError) {
    try check(rd_kafka_mock_broker_set_up(cluster, id(broker)))
  }

  /// Brokers are numbered from 1; nil leaves the partition without a leader.
  public func setLeader(_ topic: String, partition: Int, broker: Int?) throws(KafkaError) {
    try check(
      rd_kafka_mock_partition_set_leader(cluster, topic, Int32(clamping: partition), id(broker)))
  }

  public func setGroupCoordinator(_ groupID: String, broker: Int) throws(KafkaError) {
    try check(rd_kafka_mock_coordinator_set(cluster, "group", groupID, id(broker)))
  }

  public func setTransactionCoordinator(_ transactionalID: String, broker: Int) throws(KafkaError) {
    try check(rd_kafka_mock_coordinator_set(cluster, "transaction", transactionalID, id(broker)))
  }

  /// Delays every answer of a broker (nil: of all).
  public func setRoundTrip(milliseconds: Int, broker: Int? = nil) throws(KafkaError) {
    try check(rd_kafka_mock_broker_set_rtt(cluster, id(broker), Int32(clamping: milliseconds)))
  }

  private func id(_ broker: Int?) -> Int32 { broker.map { Int32(clamping: $0) } ?? -1 }

  private func check(_ error: rd_kafka_resp_err_t) throws(KafkaError) {
    if error.isError { throw .failure(error) }
  }
}
