// Properties of librdkafka: our defaults, the ones nobody may change, and how a bad one is told.
//
// One map of properties serves the consumer and the producer: a property that concerns only the
// other of the two is left out here (librdkafka's own table says which), so that nothing needs to
// be written twice. Everything is checked without a broker.

import CRdKafka
import Glibc

public enum ClientRole: Sendable, Equatable {
  case consumer
  case producer
}

public enum Settings {
  /// What the consumer sets where nothing else is said. Sources and reasons:
  /// `auto.offset.reset=error` because a reset loses records silently; 64 MiB of prefetch for all
  /// partitions; two seconds at most between attempts to reconnect.
  public static let consumerDefaults: [String: String] = [
    "client.id": "affinity",
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "partition.assignment.strategy": "range",
    "session.timeout.ms": "45000",
    "max.poll.interval.ms": "300000",
    "check.crcs": "true",
    "fetch.wait.max.ms": "100",
    // A queue at its bound stops fetching for a second (2.0.2): hold what is read in half of one.
    "queued.min.messages": "500000",
    "queued.max.messages.kbytes": "262144",
    "fetch.message.max.bytes": "1048576",
    "socket.keepalive.enable": "true",
    "socket.nagle.disable": "true",
    "reconnect.backoff.max.ms": "2000",
    "topic.metadata.refresh.interval.ms": "60000",
    "allow.auto.create.topics": "false",
    "log.queue": "true",
  ]

  /// What the producer sets where nothing else is said. `murmur2_random` is the partitioner of
  /// Java's clients; the queue is 64 MiB where the library would take a gigabyte.
  public static let producerDefaults: [String: String] = [
    "client.id": "affinity",
    "enable.idempotence": "true",
    "acks": "all",
    "linger.ms": "20",
    "compression.codec": "lz4",
    "queue.buffering.max.kbytes": "65536",
    "queue.buffering.max.messages": "500000",
    "partitioner": "murmur2_random",
    "message.timeout.ms": "300000",
    "socket.keepalive.enable": "true",
    "socket.nagle.disable": "true",
    "reconnect.backoff.max.ms": "2000",
    "topic.metadata.refresh.interval.ms": "60000",
    "log.queue": "true",
  ]

  /// The properties, by name, that `properties` gets wrong for a client of this role: unknown,
  /// refused, or with a bad value. Reaches no broker. Complexity: a few hundred comparisons each.
  public static func check(_ properties: [String: String], role: ClientRole) -> [KafkaError] {
    let (conf, errors) = make(properties, role: role)
    rd_kafka_conf_destroy(conf)
    return errors
  }

  /// Names whose values must not be shown.
  public static func isSecret(_ name: String) -> Bool {
    name.contains("password") || name.contains("secret") || name.hasSuffix(".pem")
      || name == "sasl.oauthbearer.config"
  }

  /// `name` is a property of librdkafka for this role (topic properties included).
  public static func concerns(_ name: String, role: ClientRole) -> Bool {
    switch catalogue[name]?.scope {
    case .consumer: role == .consumer
    case .producer: role == .producer
    case .both, nil: true
    }
  }

  /// librdkafka's version and the features it was built with, for the first line of a log.
  public static var library: String {
    let features = withConf { conf in string(of: "builtin.features", in: conf) }
    return "librdkafka \(String(cString: rd_kafka_version_str())) (\(features ?? ""))"
  }

  // MARK: Inside the module

  struct Locked {
    var accepted: [String]
    var reason: String
  }

  static let consumerLocked: [String: Locked] = {
    let commits = Locked(accepted: ["false"], reason: "offsets are committed after their effects")
    return [
      "enable.auto.commit": commits, "auto.commit.enable": commits,
      "enable.auto.offset.store": commits,
      "auto.offset.reset": Locked(
        accepted: ["error"], reason: "any other policy skips or repeats records silently"),
      "isolation.level": Locked(
        accepted: ["read_committed"], reason: "records of aborted transactions never happened"),
      "partition.assignment.strategy": Locked(
        accepted: ["range"],
        reason: "the others lose or repeat records in librdkafka 2.0 (cooperative) or part "
          + "partitions that belong together"),
      "offset.store.method": Locked(
        accepted: ["broker"], reason: "offsets are kept by the group"),
      "log.queue": Locked(accepted: ["true"], reason: "log lines are read by the poll loop"),
    ]
  }()

  static let producerLocked: [String: Locked] = {
    let acks = Locked(accepted: ["all", "-1"], reason: "an acknowledged message must be stored")
    return [
      "enable.idempotence": Locked(
        accepted: ["true"], reason: "retries would otherwise write messages twice"),
      "acks": acks, "request.required.acks": acks,
      "delivery.report.only.error": Locked(
        accepted: ["false"], reason: "every message is waited for"),
      "dr_cb": Locked(accepted: [], reason: "reports come as events"),
      "transactional.id": Locked(accepted: [], reason: "the program names its own transactions"),
      "log.queue": Locked(accepted: ["true"], reason: "log lines are read by the poll loop"),
    ]
  }()

  /// A configuration object with defaults and `properties` in it. The caller owns it and must
  /// destroy it (or give it to `rd_kafka_new`), even when there are errors.
  static func make(
    _ properties: [String: String], role: ClientRole, over extra: [String: String] = [:]
  ) -> (OpaquePointer, [KafkaError]) {
    let conf: OpaquePointer = rd_kafka_conf_new()
    var errors: [KafkaError] = []
    let defaults = (role == .consumer ? consumerDefaults : producerDefaults)
      .merging(extra) { $1 }
    for name in defaults.keys.sorted() {
      if let error = set(name, defaults[name] ?? "", in: conf) { errors.append(error) }
    }
    let locked = role == .consumer ? consumerLocked : producerLocked
    for name in properties.keys.sorted() {
      let value = properties[name] ?? ""
      if catalogue[name] == nil {
        errors.append(.unknownProperty(name: name, suggestion: nearest(to: name)))
      } else if !concerns(name, role: role) {
        continue
      } else if let lock = locked[name], !lock.accepted.contains(value) {
        errors.append(
          .deniedProperty(name: name, required: lock.accepted.first ?? "unset", reason: lock.reason)
        )
      } else if let error = set(name, value, in: conf) {
        errors.append(error)
      }
    }
    return (conf, errors)
  }

  /// Makes the client. On success librdkafka owns `conf`.
  static func client(_ conf: OpaquePointer, role: ClientRole) throws(KafkaError) -> OpaquePointer {
    var text = [CChar](repeating: 0, count: 512)
    let kind = role == .consumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER
    guard let handle = rd_kafka_new(kind, conf, &text, text.count) else {
      rd_kafka_conf_destroy(conf)
      throw .settings(message(text))
    }
    return handle
  }

  static func raise(_ errors: [KafkaError], destroying conf: OpaquePointer) throws(KafkaError) {
    guard let first = errors.first else { return }
    rd_kafka_conf_destroy(conf)
    throw errors.count == 1 ? first : .several(errors)
  }

  static func string(of name: String, in conf: OpaquePointer) -> String? {
    var size = 0
    guard rd_kafka_conf_get(conf, name, nil, &size) == RD_KAFKA_CONF_OK else { return nil }
    var text = [CChar](repeating: 0, count: size + 1)
    guard rd_kafka_conf_get(conf, name, &text, &size) == RD_KAFKA_CONF_OK else { return nil }
    return message(text)
  }

  private static func set(_ name: String, _ value: String, in conf: OpaquePointer) -> KafkaError? {
    var text = [CChar](repeating: 0, count: 512)
    switch rd_kafka_conf_set(conf, name, value, &text, text.count) {
    case RD_KAFKA_CONF_OK: return nil
    case RD_KAFKA_CONF_UNKNOWN:
      return .unknownProperty(name: name, suggestion: nearest(to: name))
    default:
      if isSecret(name) {
        return .invalidProperty(name: name, message: "the value is not accepted")
      }
      let allowed = catalogue[name]?.range ?? ""
      return .invalidProperty(
        name: name,
        message: "\"\(value)\": " + (allowed.isEmpty ? message(text) : "allowed are \(allowed)"))
    }
  }

  private static func withConf<R>(_ body: (OpaquePointer) -> R) -> R {
    let conf: OpaquePointer = rd_kafka_conf_new()
    defer { rd_kafka_conf_destroy(conf) }
    return body(conf)
  }

  static func message(_ text: [CChar]) -> String {
    String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  // MARK: librdkafka's table of properties

  struct Property {
    enum Scope { case consumer, producer, both }
    var scope: Scope
    /// What values it takes, as `1 .. 100` or `true, false`; empty where that is not said.
    var range: String
  }

  /// Every property this build knows, read from the table it prints about itself.
  static let catalogue: [String: Property] = {
    var buffer: UnsafeMutablePointer<CChar>?
    var size = 0
    guard let stream = open_memstream(&buffer, &size) else { return [:] }
    rd_kafka_conf_properties_show(stream)
    fclose(stream)
    defer { free(buffer) }
    guard let buffer else { return [:] }
    let bytes = UnsafeRawBufferPointer(start: buffer, count: size)
    var found: [String: Property] = [:]
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      let cells = line.split(separator: "|", maxSplits: 3, omittingEmptySubsequences: false)
      guard cells.count == 4 else { continue }
      let name = trimmed(cells[0])
      let scope: Property.Scope
      switch trimmed(cells[1]) {
      case "*": scope = .both
      case "C": scope = .consumer
      case "P": scope = .producer
      default: continue  // heading
      }
      // In both tables (compression.codec): one meaning is enough, the wider one wins.
      let wider = found[name].map { $0.scope == scope ? scope : .both } ?? scope
      found[name] = Property(scope: wider, range: trimmed(cells[2]))
    }
    return found
  }()

  private static func trimmed(_ cell: Substring) -> String {
    String(cell.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
  }

  /// The known name with the least edit distance, when that is small for its length; of equal
  /// ones the first by name.
  static func nearest(to name: String) -> String? {
    var best: (distance: Int, name: String)?
    for candidate in catalogue.keys.sorted() {
      let distance = editDistance(Array(name.utf8), Array(candidate.utf8))
      if distance < best?.distance ?? Int.max { best = (distance, candidate) }
    }
    guard let best, best.distance <= max(2, name.utf8.count / 4) else { return nil }
    return best.name
  }

  private static func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var row = Array(0...b.count)
    for i in 0..<a.count {
      var diagonal = row[0]
      row[0] = i + 1
      for j in 0..<b.count {
        let substituted = diagonal + (a[i] == b[j] ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = min(substituted, row[j] + 1, row[j + 1] + 1)
      }
    }
    return row[b.count]
  }
}
