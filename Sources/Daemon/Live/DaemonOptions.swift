// What the daemon is told, validated. `Configuration` makes one of these.
import Engine
import Events

/// Names of the topics of DESIGN §3 and §4.
public struct TopicNames: Sendable, Hashable {
  public var events = "shop.events"
  public var catalogue = "shop.catalogue"
  public var recommendations = "affinity.recommendations"
  public var neighbours = "affinity.neighbours"
  public var rules = "affinity.rules"
  public var popular = "affinity.popular"
  public var insights = "affinity.insights"
  public var models = "affinity.models"
  public var receipts = "affinity.receipts"
  public var deadLetters = "affinity.dead-letters"
  public init() {}

  func name(_ topic: OutputTopic) -> String {
    switch topic {
    case .recommendations: recommendations
    case .neighbours: neighbours
    case .rules: rules
    case .popular: popular
    case .models: models
    case .deadLetters: deadLetters
    case .receipts: receipts
    }
  }

  /// Every topic the daemon reads or writes.
  public var all: [String] {
    [
      events, catalogue, recommendations, neighbours, rules, popular, insights, models, receipts,
      deadLetters,
    ]
  }
}

/// What of a run before is thrown away.
public enum Rebuild: Sendable {
  case none
  /// Snapshots: the log is read from its start, silently up to the committed offsets.
  case state
  /// Committed offsets and models on record as well: they belong to another log.
  case everything
}

public struct DaemonOptions: Sendable {
  /// Properties of librdkafka, for consumer and producer.
  public var kafka: [String: String] = [
    "bootstrap.servers": "localhost:9092", "group.id": "affinity",
  ]
  public var topics = TopicNames()
  public var engine = EngineConfiguration()
  public var limits = EventLimits()
  public var delivery = Configuration.Delivery.atLeastOnce
  /// nil: no snapshots.
  public var stateDirectory: String?
  /// Milliseconds between snapshots.
  public var snapshotInterval: Int64 = 300_000
  /// Encrypts snapshots; nil: by the environment's key, if there is one.
  public var snapshotKeyFile: String?
  /// What snapshots say that wrote them.
  public static let software = "affinityd"
  /// Milliseconds between two models.
  public var modelInterval: Int64 = 60_000
  /// Milliseconds between two lines of the metrics log, and where they go ("-": standard output).
  public var metricsInterval: Int64 = 10_000
  public var metricsFile = "-"
  /// Milliseconds between two commits of offsets.
  public var commitInterval: Int64 = 5_000
  /// What the log's own accidents lead to.
  package var onGap = Configuration.OnGap.stop
  package var onRecreated = Configuration.OnRecreated.stop
  package var onGrown = Configuration.OnGrown.stop
  /// The run before ended so that this one makes the state anew.
  package var rebuild = Rebuild.none
  /// Milliseconds from SIGTERM to the end, whatever hangs.
  public var shutdownTimeout: Int64 = 25_000
  /// Milliseconds to wait at the start for topics to exist.
  public var topicTimeout: Int64 = 30_000
  public init() {}
}
