// Everything the program is told, validated. Made by `Configuration.load` from what was written
// (file, environment, flags); the defaults here are those of the key table.
import Engine
import Events
import Recommender

public struct Configuration: Equatable, Sendable {
  public enum Delivery: String, CaseIterable, Sendable {
    /// Outputs and offsets commit in one transaction.
    case exactlyOnce = "exactly_once"
    /// A crash may repeat messages, with the same ids and bytes.
    case atLeastOnce = "at_least_once"
  }

  /// What is done where records were removed from the log before they were read.
  public enum OnGap: String, CaseIterable, Sendable {
    /// The daemon ends with status 78.
    case stop
    /// It goes on with what there is; the gap is counted, and stamped on every model.
    case `continue`
    /// The state is thrown away and made anew from what the log has.
    case rebuild
  }

  /// What is done where the events topic is another one than before, or has lost its end.
  public enum OnRecreated: String, CaseIterable, Sendable {
    case stop
    /// State, models and committed offsets are void: everything in the log is read and said as at a first start.
    case rebuild
  }

  /// What is done where the events topic has more partitions than before.
  public enum OnGrown: String, CaseIterable, Sendable {
    case stop
    /// The new ones are read from their beginning. (Nothing would be gained by a rebuilding: rows are a function
    /// of the set of events, wherever they lie.)
    case `continue`
  }

  public enum LogLevel: String, CaseIterable, Sendable {
    case trace, debug, info, notice, warning, error, critical
  }

  /// Where the admin port listens.
  public enum Listen: Equatable, Sendable {
    /// An address or name (empty: every interface) and a port (0: any free one).
    case address(host: String, port: Int)
    /// A socket in the file system.
    case unix(path: String)

    /// `host:port`, an IPv6 address in brackets; `unix:/path`.
    public var description: String {
      switch self {
      case .address(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
      case .unix(let path): "unix:\(path)"
      }
    }
  }

  public var engine = EngineConfiguration()
  /// Properties of librdkafka as written, secrets included: print with `Settings.isSecret` in mind.
  public var kafka = ["bootstrap.servers": "localhost:9092", "group.id": "affinity"]
  public var topics = TopicNames()
  public var delivery = Delivery.exactlyOnce
  /// "off": no snapshots.
  public var stateDirectory = "/var/lib/affinity"
  /// "none": there is none.
  public var snapshotKeyFile = "none"
  /// Milliseconds between snapshots.
  public var snapshotInterval: Int64 = 300_000
  public var onGap = OnGap.stop
  public var onRecreated = OnRecreated.stop
  public var onGrown = OnGrown.stop
  /// Bytes of one message; more is a dead letter.
  public var maxMessageBytes = 16 << 20
  /// Milliseconds of wall clock between ticks.
  public var modelInterval: Int64 = 60_000
  /// Milliseconds between lines of the metrics log.
  public var metricsInterval: Int64 = 10_000
  /// "-" is standard output.
  public var metricsFile = "-"
  /// nil: no admin port.
  public var adminListen: Listen? = .address(host: "127.0.0.1", port: 9464)
  /// When the daemon counts as live and ready.
  public var health = HealthLimits()
  /// "-" is standard error.
  public var logFile = "-"
  public var logLevel = LogLevel.info
  /// Milliseconds from the first signal to the end, whatever hangs.
  public var shutdownTimeout: Int64 = 25_000

  public init() {}

  /// The bounds that decoding needs.
  public var eventLimits: EventLimits {
    EventLimits(
      maxItems: engine.maxItems, maxIDBytes: engine.maxIDBytes, maxMessageBytes: maxMessageBytes)
  }
}

/// All that is wrong with a configuration, in the order of the file, then the environment, then flags.
public struct ConfigurationProblems: Error, Equatable, CustomStringConvertible {
  public struct Problem: Equatable, Sendable {
    /// `affinity.yaml:12`, `AFFINITY_MODEL__INTERVAL`, `--model.interval`.
    public var origin: String
    /// Key, value and bound; never a secret.
    public var message: String
    public var description: String { origin.isEmpty ? message : "\(origin): \(message)" }
  }
  public var problems: [Problem]
  public var description: String { problems.map(\.description).joined(separator: "\n") }
}

extension DaemonOptions {
  /// What the live loop needs of a configuration; the rest keeps its defaults.
  public init(_ configuration: Configuration) {
    self.init()
    kafka = configuration.kafka
    topics = configuration.topics
    engine = configuration.engine
    limits = configuration.eventLimits
    modelInterval = configuration.modelInterval
    metricsInterval = configuration.metricsInterval
    metricsFile = configuration.metricsFile
    shutdownTimeout = configuration.shutdownTimeout
    delivery = configuration.delivery
    stateDirectory = configuration.stateDirectory == "off" ? nil : configuration.stateDirectory
    snapshotInterval = configuration.snapshotInterval
    onGap = configuration.onGap
    onRecreated = configuration.onRecreated
    onGrown = configuration.onGrown
    snapshotKeyFile = configuration.snapshotKeyFile == "none" ? nil : configuration.snapshotKeyFile
  }
}
