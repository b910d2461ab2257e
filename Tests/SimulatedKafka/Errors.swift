// Error codes and how a client sorts them. Numbers are librdkafka's: negative ones arise in the
// client, positive ones come from a broker.

public enum KafkaCode: Int32, Error, Sendable {
  case transport = -195
  case messageTimedOut = -192
  case timedOut = -185
  case wrongState = -172
  case purgedFromQueue = -152
  case purgedInFlight = -151
  case fenced = -144
  case offsetOutOfRange = 1
  case unknownTopicOrPartition = 3
  case leaderNotAvailable = 5
  case notLeader = 6
  case messageTooLarge = 10
  case coordinatorLoading = 14
  case notCoordinator = 16
  case illegalGeneration = 22
  case unknownMember = 25
  case rebalanceInProgress = 27
  case outOfOrderSequence = 45
  case invalidProducerEpoch = 47
  case invalidTransactionState = 48
  case invalidProducerIDMapping = 49
  case concurrentTransactions = 51
  case fencedInstance = 82
  case unstableOffsetCommit = 88
  case producerFenced = 90

  /// As in `RD_KAFKA_RESP_ERR_…`.
  public var name: String {
    switch self {
    case .transport: "_TRANSPORT"
    case .messageTimedOut: "_MSG_TIMED_OUT"
    case .timedOut: "_TIMED_OUT"
    case .wrongState: "_STATE"
    case .purgedFromQueue: "_PURGE_QUEUE"
    case .purgedInFlight: "_PURGE_INFLIGHT"
    case .fenced: "_FENCED"
    case .offsetOutOfRange: "OFFSET_OUT_OF_RANGE"
    case .unknownTopicOrPartition: "UNKNOWN_TOPIC_OR_PART"
    case .leaderNotAvailable: "LEADER_NOT_AVAILABLE"
    case .notLeader: "NOT_LEADER_FOR_PARTITION"
    case .messageTooLarge: "MSG_SIZE_TOO_LARGE"
    case .coordinatorLoading: "COORDINATOR_LOAD_IN_PROGRESS"
    case .notCoordinator: "NOT_COORDINATOR"
    case .illegalGeneration: "ILLEGAL_GENERATION"
    case .unknownMember: "UNKNOWN_MEMBER_ID"
    case .rebalanceInProgress: "REBALANCE_IN_PROGRESS"
    case .outOfOrderSequence: "OUT_OF_ORDER_SEQUENCE_NUMBER"
    case .invalidProducerEpoch: "INVALID_PRODUCER_EPOCH"
    case .invalidTransactionState: "INVALID_TXN_STATE"
    case .invalidProducerIDMapping: "INVALID_PRODUCER_ID_MAPPING"
    case .concurrentTransactions: "CONCURRENT_TRANSACTIONS"
    case .fencedInstance: "FENCED_INSTANCE_ID"
    case .unstableOffsetCommit: "UNSTABLE_OFFSET_COMMIT"
    case .producerFenced: "PRODUCER_FENCED"
    }
  }

  /// What a client can do about it where the call itself does not say more.
  public var remedy: KafkaRemedy {
    switch self {
    case .transport, .messageTimedOut, .timedOut,
      .unknownTopicOrPartition, .leaderNotAvailable, .notLeader, .coordinatorLoading,
      .notCoordinator, .rebalanceInProgress, .concurrentTransactions, .unstableOffsetCommit:
      .retry
    case .fenced, .producerFenced, .invalidProducerEpoch, .fencedInstance, .illegalGeneration,
      .unknownMember:
      .fenced
    default: .none
    }
  }
}

public enum KafkaRemedy: String, Sendable {
  /// The same call may succeed later.
  case retry
  /// Somebody else has our place.
  case fenced
  /// The transaction must be aborted.
  case abort
  /// The client is of no more use.
  case fatal
  case none
}

public struct KafkaFailure: Equatable, Sendable {
  public var code: KafkaCode
  public var remedy: KafkaRemedy
  public init(_ code: KafkaCode, _ remedy: KafkaRemedy? = nil) {
    self.code = code
    self.remedy = remedy ?? code.remedy
  }
}

/// The process ends here: `step` is the number of its call that was on the way.
public struct SimulatedCrash: Error, Equatable, Sendable {
  public var step: Int
  public init(step: Int) { self.step = step }
}

public enum SimulatedError: Error, Equatable, Sendable {
  /// The process is dead. Whatever catches this can do no harm: all its later calls end so too.
  case crashed(SimulatedCrash)
  case unknownTopics([String])
  case timedOut(operation: String, milliseconds: Int)
  case failure(KafkaFailure)

  public var isCrash: Bool { if case .crashed = self { true } else { false } }
  public var remedy: KafkaRemedy {
    switch self {
    case .crashed: .fatal
    case .unknownTopics, .timedOut: .retry
    case .failure(let failure): failure.remedy
    }
  }
  public var code: KafkaCode? { if case .failure(let failure) = self { failure.code } else { nil } }
}
