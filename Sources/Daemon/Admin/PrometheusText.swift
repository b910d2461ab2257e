// The numbers of the metrics log in Prometheus' text format 0.0.4. A table says what each key becomes: base
// units, `_total` on counters, and a label where a key has a part that varies (`rejected.not_json`). Labels
// are bounded: reasons, types, topics, matrices, partitions; a user or an item is never one. A key that the
// table does not know becomes a gauge of its own name.
import Kafka
import Sparse

enum PrometheusText {
  static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  struct Family {
    enum Kind: String { case counter, gauge }
    /// Without `affinity_` in front.
    var name: String
    var kind: Kind
    var help: String
    /// Key or, ending with a dot, the keys that begin so; with the value of the label.
    var keys: [(key: String, label: String)]
    var label = ""
    /// How many of the key's units make one of the family's.
    var per = 1.0

    init(
      _ kind: Kind, _ name: String, _ help: String, _ keys: [(key: String, label: String)],
      label: String = "", per: Double = 1
    ) {
      self.kind = kind
      self.name = name
      self.help = help
      self.keys = keys
      self.label = label
      self.per = per
    }
    init(_ kind: Kind, _ name: String, _ help: String, key: String, label: String = "", per: Double = 1) {
      self.init(kind, name, help, [(key, "")], label: label, per: per)
    }
  }

  /// Keys that say nothing another family does not: rates and sums, which Prometheus makes itself.
  static let left: Set<String> = [
    "schema", "interval_seconds", "events_per_second", "messages_per_second", "lists_per_second",
    "latency_count", "rejected", "bytes.rows", "lag_records",
  ]

  static let families: [Family] = [
    Family(.gauge, "uptime_seconds", "Time since the start.", key: "uptime_seconds"),
    Family(.counter, "records_total", "Records read from the events topic.", key: "events_total"),
    Family(.counter, "catalogue_records_total", "Records read from the catalogue's topic.", key: "catalogue_records"),
    Family(.gauge, "caught_up", "1 once every partition was read to its end.", key: "caught_up"),
    Family(.counter, "events_total", "Applied events by type.", key: "events.", label: "type"),
    Family(.counter, "event_outcomes_total", "What became of events.", key: "outcome.", label: "outcome"),
    Family(.counter, "rejected_records_total", "Records that went to the dead letters, by reason.", key: "rejected.", label: "reason"),
    Family(.counter, "unknown_types_total", "Events of a type that is not known.", key: "unknown_types"),
    Family(
      .counter, "slots_total", "What acts did to slots of rows.",
      ["changed", "repeated", "displaced", "evicted", "too_old"].map { ("slots_\($0)", $0) },
      label: "edit"),
    Family(
      .gauge, "recommendation_latency_seconds",
      "From event seen to recommendation acknowledged, over the last interval of the metrics log.",
      [("latency_p50_ms", "50"), ("latency_p99_ms", "99"), ("latency_p999_ms", "99.9"), ("latency_max_ms", "100")],
      label: "percentile", per: 1000),
    Family(
      .gauge, "recommendation_handover_seconds",
      "From event seen to recommendation handed to the producer, over the last interval of the metrics log.",
      [("handover_p50_ms", "50"), ("handover_p99_ms", "99"), ("handover_p999_ms", "99.9"), ("handover_max_ms", "100")],
      label: "percentile", per: 1000),
    Family(.counter, "lists_made_total", "Lists made.", key: "lists_made"),
    Family(.counter, "causes_overtaken_total", "Lists left out since a later event of the same user came within the linger.", key: "causes_overtaken"),
    Family(.gauge, "lists_waiting", "Lists that wait out their linger.", key: "lists_waiting"),
    Family(.gauge, "renewals_waiting", "Lists that a new model has yet to renew.", key: "renewals_waiting"),
    Family(.counter, "messages_published_total", "Messages handed to the producer, by topic.", key: "messages.", label: "topic"),
    Family(.counter, "messages_acknowledged_total", "Messages acknowledged by the brokers.", key: "messages_acknowledged"),
    Family(.gauge, "messages_in_flight", "Messages not yet acknowledged.", key: "messages_in_flight"),
    Family(.gauge, "messages_waiting", "Messages of a model not yet sent.", key: "messages_waiting"),
    Family(.counter, "messages_too_large_total", "Messages refused by their size.", key: "messages_too_large"),
    Family(.counter, "dead_letters_shortened_total", "Dead letters sent without their value, by its size.", key: "dead_letters_shortened"),
    Family(.gauge, "listeners", "Users and strangers whose last list is known.", key: "listeners"),
    Family(.gauge, "users", "Users known.", key: "users"),
    Family(.gauge, "sessions", "Sessions known.", key: "sessions"),
    Family(.gauge, "orders", "Orders known.", key: "orders"),
    Family(.gauge, "items", "Items known.", key: "items"),
    Family(.gauge, "catalogue_items", "Items in the catalogue.", key: "catalogue"),
    Family(.gauge, "rows", "Rows with an active entry, by matrix.", key: "rows.", label: "matrix"),
    Family(.gauge, "entries", "Active entries, by matrix.", key: "entries.", label: "matrix"),
    Family(.gauge, "row_bytes", "Memory of rows, by matrix.", key: "bytes.rows.", label: "matrix"),
    Family(
      .gauge, "part_bytes", "Memory of dictionaries, counts and listeners.",
      ["users", "items", "sessions", "orders", "listeners", "counts"].map { ("bytes.\($0)", $0) },
      label: "part"),
    Family(.gauge, "resident_memory_bytes", "Resident memory of the process.", key: "bytes.resident"),
    Family(.counter, "models_total", "Models put in force since the start.", key: "models"),
    Family(.gauge, "model_build_seconds", "Time that the last model took.", key: "tick_seconds"),
    Family(.gauge, "model_build_longest_seconds", "Time that the slowest model took.", key: "tick_seconds_max"),
    Family(.gauge, "model_items", "Items of the model in force.", key: "model_items"),
    Family(.gauge, "model_pairs", "Pairs with a count in the model in force.", key: "model_pairs"),
    Family(.gauge, "model_neighbours", "Neighbours in the model in force.", key: "model_neighbours"),
    Family(.gauge, "model_baskets", "Baskets of the model in force.", key: "model_baskets"),
    Family(.gauge, "model_rules", "Rules of the model in force.", key: "model_rules"),
    Family(.gauge, "ingestion_pause_longest_seconds", "Longest stop of ingestion at a tick, over the last interval.", key: "pause_ms_max", per: 1000),
    Family(.gauge, "seal_longest_seconds", "Longest sealing at a tick, over the last interval.", key: "seal_ms_max", per: 1000),
    Family(.gauge, "builder_rows_waiting", "Changed rows not yet taken by the model's thread.", key: "builder_rows_waiting"),
    Family(.counter, "commits_total", "Commits of offsets.", key: "commits"),
    Family(.counter, "stalls_total", "Waits for room in the producer's queue.", key: "stalls"),
    Family(.counter, "offsets_out_of_range_total", "Offsets that the topic did not have any more.", key: "offsets_out_of_range"),
    Family(.counter, "gap_records_total", "Records of the events topic that were removed before they were read, since the state began.", key: "gap_records.", label: "partition"),
    Family(.counter, "metrics_lines_dropped_total", "Lines of the metrics log that could not be written.", key: "metrics_lines_dropped"),
    Family(.gauge, "config_last_reload_successful", "0 where the last SIGHUP found a bad configuration.", key: "config_last_reload_successful"),
  ]

  /// Key without its dotted end -> family and label.
  private static let byKey: [String: (family: Int, label: String)] = {
    var map: [String: (Int, String)] = [:]
    for (index, family) in families.enumerated() {
      for key in family.keys { map[key.key] = (index, key.label) }
    }
    return map
  }()

  private static func place(of key: String) -> (family: Int, label: String)? {
    if let exact = byKey[key] { return exact }
    // `bytes.rows.` goes before a shorter `bytes.`.
    var end = key.endIndex
    while let dot = key[..<end].lastIndex(of: ".") {
      let rest = key.index(after: dot)
      if let found = byKey[String(key[..<rest])] { return (found.family, String(key[rest...])) }
      end = dot
    }
    return nil
  }

  /// - Parameters:
  ///   - samples: of the last metrics line.
  ///   - health: as of now.
  static func render(_ samples: [MetricsSample], health: HealthStatus, eventsTopic: String) -> [UInt8] {
    var text = Writer()
    text.family("build_info", .gauge, "What runs.")
    let library = Settings.library.split(separator: " ")
    text.sample("build_info", [("librdkafka", library.count > 1 ? String(library[1]) : "")], 1)
    for (name, isGood, help) in [
      ("live", health.isLive, "1 while the loop turns."),
      ("started", health.isStarted, "1 once what was committed is restored."),
      ("ready", health.isReady, "1 while it serves as it should."),
    ] {
      text.family(name, .gauge, help)
      text.sample(name, [], isGood ? 1 : 0)
    }
    text.family("health_check", .gauge, "1 where the check of /readyz is good.")
    for check in health.ready { text.sample("health_check", [("check", check.name)], check.isGood ? 1 : 0) }
    if !health.lags.isEmpty {
      text.family("consumer_lag_records", .gauge, "Records behind the end of the partition.")
      for lag in health.lags {
        text.sample(
          "consumer_lag_records", [("topic", eventsTopic), ("partition", "\(lag.partition)")],
          Double(lag.records))
      }
    }
    var rows = [[(label: String, value: Double)]](repeating: [], count: families.count)
    var others: [MetricsSample] = []
    for sample in samples where !left.contains(sample.key) {
      if let (family, label) = place(of: sample.key) {
        rows[family].append((label, sample.value))
      } else {
        others.append(sample)
      }
    }
    for (family, rows) in zip(families, rows) where !rows.isEmpty {
      text.family(family.name, family.kind, family.help)
      for row in rows {
        text.sample(
          family.name, family.label.isEmpty ? [] : [(family.label, row.label)], row.value / family.per)
      }
    }
    var taken = Set<String>()
    for sample in others {
      let name = Writer.name(sample.key)
      guard !families.contains(where: { $0.name == name }), taken.insert(name).inserted else { continue }
      text.family(name, .gauge, "\(sample.key) of the metrics log.")
      text.sample(name, [], sample.value)
    }
    return text.bytes
  }

  private struct Writer {
    private var text = ""
    var bytes: [UInt8] { Array(text.utf8) }

    mutating func family(_ name: String, _ kind: Family.Kind, _ help: String) {
      text += "# HELP affinity_\(name) \(escape(help, quotes: false))\n"
      text += "# TYPE affinity_\(name) \(kind.rawValue)\n"
    }

    mutating func sample(_ name: String, _ labels: [(name: String, value: String)], _ value: Double) {
      text += "affinity_\(name)"
      if !labels.isEmpty {
        text += "{" + labels.map { "\($0.name)=\"\(escape($0.value, quotes: true))\"" }.joined(separator: ",") + "}"
      }
      // Thousandths of the log's units; without the last binary digits of a division.
      let value = (value * 1e6).rounded() / 1e6
      let isWhole = value == value.rounded(.towardZero) && abs(value) < 1e15
      text += " \(isWhole ? "\(Int(value))" : "\(value)")\n"
    }

    private func escape(_ value: String, quotes: Bool) -> String {
      var result = ""
      for c in value {
        switch c {
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\"" where quotes: result += "\\\""
        default: result.append(c)
        }
      }
      return result
    }

    /// A key as a name: letters, digits and underscores.
    static func name(_ key: String) -> String {
      var name = ""
      for byte in key.utf8 {
        let isPlain = (byte >= 48 && byte <= 57) || (byte | 32 >= 97 && byte | 32 <= 122)
        name += isPlain ? String(UnicodeScalar(byte)) : "_"
      }
      return name
    }
  }
}
