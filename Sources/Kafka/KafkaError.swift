// What can go wrong with Kafka, sorted by what the owner can do about it.
//
// Mistakes in the settings are told before any network is touched; everything else carries the
// code of librdkafka and one `Remedy`.

import CRdKafka

public enum KafkaError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A property librdkafka does not know; `suggestion` is a known one spelt nearly so.
  case unknownProperty(name: String, suggestion: String?)
  /// A property whose value is part of what the program promises.
  case deniedProperty(name: String, required: String, reason: String)
  /// A known property with a value librdkafka refuses. Values of secrets are not repeated.
  case invalidProperty(name: String, message: String)
  /// Properties that do not go together, or something missing among them.
  case settings(String)
  /// Several mistakes in the settings, in order of their names.
  case several([KafkaError])
  /// Topics that the brokers do not have.
  case unknownTopics([String])
  /// A call that did not end within its time.
  case timedOut(operation: String, milliseconds: Int)
  /// An answer of a broker, or of the client itself.
  case failure(Failure)

  /// What the owner can do about a failure.
  public enum Remedy: String, Sendable {
    /// The same call may succeed later; librdkafka usually repeats it by itself.
    case retry
    /// The broker refuses us: credentials or access rights.
    case denied
    /// Somebody else has our place: another member, or a newer producer of the same name.
    case fenced
    /// The transaction must be aborted, then it can be tried again.
    case abort
    /// The client is of no more use: make a new one.
    case fatal
    /// None of these: the call as made will not succeed.
    case none
  }

  public struct Failure: Equatable, Sendable {
    /// librdkafka's code: negative inside the client, positive from a broker.
    public var code: Int32
    /// Its name, as in `RD_KAFKA_RESP_ERR_…` without the prefix.
    public var name: String
    public var message: String
    public var remedy: Remedy

    public init(code: Int32, name: String, message: String, remedy: Remedy) {
      self.code = code
      self.name = name
      self.message = message
      self.remedy = remedy
    }

    /// The topic or the partition is not there, as far as the brokers or the client know.
    public var isUnknownTopic: Bool {
      [
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART.rawValue, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC.rawValue,
        RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION.rawValue,
      ].contains(code)
    }

    init(_ error: rd_kafka_resp_err_t, message: String? = nil, remedy: Remedy? = nil) {
      code = error.rawValue
      name = String(cString: rd_kafka_err2name(error))
      self.message = message ?? String(cString: rd_kafka_err2str(error))
      self.remedy = remedy ?? KafkaError.remedy(of: error)
    }
  }

  public var isRetriable: Bool {
    if case .failure(let f) = self { f.remedy == .retry } else { isTimeout }
  }
  public var isFatal: Bool { if case .failure(let f) = self { f.remedy == .fatal } else { false } }
  public var isDenied: Bool {
    if case .failure(let f) = self { f.remedy == .denied } else { false }
  }
  public var isTimeout: Bool { if case .timedOut = self { true } else { false } }
  /// Whether this is a mistake in the settings (the supervisor should not start us again with them).
  public var isSettings: Bool {
    switch self {
    case .unknownProperty, .deniedProperty, .invalidProperty, .settings, .several: true
    case .unknownTopics, .timedOut, .failure: false
    }
  }

  public var description: String {
    switch self {
    case .unknownProperty(let name, let suggestion):
      "\(name): librdkafka knows no such property"
        + (suggestion.map { "; did you mean \($0)?" } ?? "")
    case .deniedProperty(let name, let required, let reason):
      "\(name): must stay \(required): \(reason)"
    case .invalidProperty(let name, let message): "\(name): \(message)"
    case .settings(let message): message
    case .several(let errors): errors.map(\.description).joined(separator: "\n")
    case .unknownTopics(let names): "no such topic: " + names.joined(separator: ", ")
    case .timedOut(let operation, let milliseconds):
      "\(operation): no answer within \(milliseconds) ms"
    case .failure(let failure): "\(failure.message) (\(failure.name))"
    }
  }

  static func failure(_ error: rd_kafka_resp_err_t, message: String? = nil) -> KafkaError {
    .failure(Failure(error, message: message))
  }

  /// Takes over an error object of librdkafka and destroys it.
  static func consuming(_ error: OpaquePointer) -> KafkaError {
    defer { rd_kafka_error_destroy(error) }
    let code = rd_kafka_error_code(error)
    let remedy: Remedy? =
      rd_kafka_error_is_fatal(error) != 0
      ? .fatal
      : rd_kafka_error_txn_requires_abort(error) != 0
        ? .abort : rd_kafka_error_is_retriable(error) != 0 ? .retry : nil
    return .failure(
      Failure(code, message: String(cString: rd_kafka_error_string(error)), remedy: remedy))
  }

  static func remedy(of error: rd_kafka_resp_err_t) -> Remedy {
    switch error {
    case RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
      RD_KAFKA_RESP_ERR__RESOLVE, RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
      RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, RD_KAFKA_RESP_ERR__QUEUE_FULL,
      RD_KAFKA_RESP_ERR__WAIT_COORD, RD_KAFKA_RESP_ERR__WAIT_CACHE,
      RD_KAFKA_RESP_ERR__IN_PROGRESS, RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS,
      RD_KAFKA_RESP_ERR__SSL, RD_KAFKA_RESP_ERR__RETRY, RD_KAFKA_RESP_ERR__BAD_MSG,
      RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
      RD_KAFKA_RESP_ERR_INVALID_MSG,
      RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
      RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
      RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
      RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
      RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_CONTROLLER,
      RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
      RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
      RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
      RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED, RD_KAFKA_RESP_ERR_PREFERRED_LEADER_NOT_AVAILABLE:
      .retry
    case RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
      RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      .denied
    case RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
      RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
      RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
      RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
      .fenced
    case RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE: .fatal
    default: .none
    }
  }
}

extension rd_kafka_resp_err_t {
  var isError: Bool { rawValue != RD_KAFKA_RESP_ERR_NO_ERROR.rawValue }
}
