// Configuration: the key table against the defaults, layers, round trips, exact decimals, and the
// text of every complaint (Golden/bad-configurations.txt; AFFINITY_REWRITE_GOLDEN=1 writes it anew).
import Daemon
import Engine
import Foundation
import Recommender
import Testing

@Suite struct ConfigurationTests {
  static func load(
    _ yaml: String, environment: [String: String] = [:], flags: [(key: String, value: String)] = []
  ) throws -> Configuration {
    try Configuration.load(
      yaml: yaml, name: "affinity.yaml", environment: environment, flags: flags)
  }

  @Test func nothingWrittenIsTheDefaults() throws {
    #expect(try Self.load("") == Configuration())
    #expect(try Self.load("# nothing\n") == Configuration())
    #expect(try Self.load("rules: {}\nmodel:\n") == Configuration())
    #expect(Configuration().engine == EngineConfiguration())
  }

  /// The key table's defaults are those of the structs.
  @Test func tableSaysTheDefaults() throws {
    var yaml = ""
    var keys = 0
    for line in Configuration.markdownTable.split(separator: "\n").dropFirst(3) {
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      let key = cells[0].trimmingCharacters(in: ["`"])
      let value = cells[1].trimmingCharacters(in: ["`"])
      if key.hasPrefix("model.relations.NAME.") {
        yaml += "\(key.replacingOccurrences(of: "NAME", with: "also_bought")): \(value)\n"
      } else {
        yaml += "\(key): \(value.hasPrefix("[") ? value : "\"\(value)\"")\n"
      }
      keys += 1
    }
    #expect(keys > 50)
    var expected = Configuration()
    var relation = RelationConfiguration(name: "also_bought")
    relation.weight = 1
    expected.engine.relations = [relation]
    #expect(try Self.load(yaml) == expected)
  }

  @Test func effectiveTextReadsBack() throws {
    #expect(try Self.load(Configuration().effectiveText) == Configuration())
    let changed = try Self.load(
      """
      kafka: {bootstrap.servers: "a:1,b:2", fetch.wait.max.ms: 50}
      delivery: at_least_once
      model:
        relations:
          mine: {context: session, source: view, target: cart, measure: jaccard, history: all, window: all, shrinkage: 2.5}
      rules: {min_support: 200, window: all, max_basket: all, max_length: all, max_q: 1, prune_redundant: false}
      recommend: {on: [view], weights: {rules: 0.25}}
      admin: {listen: "[::1]:0"}
      metrics: {file: "/tmp/a b.jsonl"}
      """)
    #expect(changed != Configuration())
    #expect(try Self.load(changed.effectiveText) == changed)
    #expect(try Self.load("model: {relations: {}}").engine.relations.isEmpty)
    let none = try Self.load("model: {relations: {}}\nadmin: {listen: off}")
    #expect(try Self.load(none.effectiveText) == none)
  }

  /// The example of DESIGN §7, as it stands there.
  @Test func designExample() throws {
    let c = try Self.load(
      """
      kafka:   {bootstrap.servers: "localhost:9092", group.id: affinity}
      topics:  {events: shop.events, catalogue: shop.catalogue, recommendations: affinity.recommendations}   # and the others of §4
      delivery: exactly_once            # or at_least_once (the embedded broker knows only that)
      state:   {directory: /var/lib/affinity, snapshot_interval: 5m}
      events:  {max_items: 10000, future_tolerance: 5m}
      model:
        interval: 60s                   # the live timer
        neighbours: 50
        relations:
          also_bought: {context: user, source: purchase, target: purchase, measure: cosine, history: 200, window: 365d, min_both: 2, shrinkage: 0}
      rules:   {interval: 10m, min_support: 0.001, min_confidence: 0.1, max_length: 4, max_consequent: 1, window: 365d, max_basket: 200, max_q: 0.05, prune_redundant: true}
      recommend: {top: 20, on: [view, cart, purchase, like], linger: 250ms, refresh: 30m, exclude_purchased: true}
      privacy: {min_users: 1}
      metrics: {interval: 10s, file: "-"}
      admin:   {listen: "127.0.0.1:9464"}
      """)
    var expected = Configuration()
    expected.engine.relations = [RelationConfiguration(name: "also_bought")]
    #expect(c == expected)
  }

  @Test func layersGoOverOneAnother() throws {
    let yaml = "model: {interval: 1s, neighbours: 10}\nrules: {min_support: 5}\n"
    let environment = [
      "AFFINITY_MODEL__INTERVAL": "2s", "AFFINITY_RECOMMEND__ON": "view, like",
      "AFFINITY_KAFKA__BOOTSTRAP_SERVERS": "broker:9092", "AFFINITY_DELIVERY": "at_least_once",
      // Not ours: no section, and no key.
      "AFFINITY_PORT": "tcp://10.0.0.1:9464", "AFFINITY_SHARED": "/x", "PATH": "/bin",
    ]
    let c = try Self.load(
      yaml, environment: environment,
      flags: [("model.interval", "3s"), ("kafka.linger.ms", "7"), ("model.interval", "4s")])
    #expect(c.modelInterval == 4000)
    #expect(c.engine.neighbours == 10)
    #expect(c.engine.rules.minSupport == .init(numerator: 5, denominator: 1))
    #expect(c.engine.recommend.on == [.view, .like])
    #expect(
      c.kafka == ["bootstrap.servers": "broker:9092", "group.id": "affinity", "linger.ms": "7"])
    #expect(c.delivery == .atLeastOnce)
  }

  @Test func relationsReplaceOrChange() throws {
    let replaced = try Self.load("model: {relations: {a: , b: {measure: llr}}}")
    var b = RelationConfiguration(name: "b")
    b.measure = .llr
    #expect(replaced.engine.relations == [RelationConfiguration(name: "a"), b])

    // From outside the file they change what there is.
    let changed = try Self.load(
      "", environment: ["AFFINITY_MODEL__RELATIONS__ALSO_VIEWED__MIN_BOTH": "7"],
      flags: [("model.relations.mine.weight", "0")])
    var expected = RelationConfiguration.defaults
    expected[2].minBoth = 7
    var mine = RelationConfiguration(name: "mine")
    mine.weight = 0
    #expect(changed.engine.relations == expected + [mine])
  }

  @Test func secretsStayUnseen() throws {
    let path = NSTemporaryDirectory() + "affinity-secret-\(UUID().uuidString)"
    try Data("hunter2\n".utf8).write(to: URL(fileURLWithPath: path))
    defer { unlink(path) }
    for c in [
      try Self.load("kafka: {sasl.password_file: \(path)}"),
      try Self.load("", environment: ["AFFINITY_KAFKA__SASL_PASSWORD": "hunter2"]),
      try Self.load("", environment: ["AFFINITY_KAFKA__SASL__PASSWORD": "hunter2"]),
      try Self.load("", environment: ["AFFINITY_KAFKA__SASL_PASSWORD_FILE": path]),
      try Self.load("", environment: ["AFFINITY_KAFKA__SASL__PASSWORD_FILE": path]),
      // The environment goes over the file's file.
      try Self.load(
        "kafka: {sasl.password_file: /dev/null/none}".replacingOccurrences(
          of: "/dev/null/none", with: path),
        environment: ["AFFINITY_KAFKA__SASL_PASSWORD": "hunter2"]),
    ] {
      #expect(c.kafka["sasl.password"] == "hunter2")
      #expect(!c.effectiveText.contains("hunter2"))
      #expect(c.effectiveText.contains("sasl.password: \"****\""))
    }
  }

  @Test(arguments: [
    ("0.001", 1, 1000), ("0.0010", 1, 1000), ("1e-3", 1, 1000), ("200", 200, 1), ("200.0", 200, 1),
    ("2e2", 200, 1), ("0.5", 5, 10), (".5", 5, 10), ("1", 1, 1), ("0", 0, 1), ("0.000", 0, 1),
    ("0.000000000000000001", 1, 1_000_000_000_000_000_000),
    ("0.123456789", 123_456_789, 1_000_000_000),
  ])
  func decimals(text: String, numerator: UInt64, denominator: UInt64) throws {
    let decimal = try #require(RulesConfiguration.Decimal(text))
    #expect(decimal == .init(numerator: numerator, denominator: denominator))
    #expect(RulesConfiguration.Decimal(decimal.text) == decimal)
  }

  @Test(arguments: [
    "", ".", "-1", "1.2.3", "1e", "1e99", "0x1", "1 ", "99999999999999999999", "e5",
  ])
  func noDecimals(text: String) { #expect(RulesConfiguration.Decimal(text) == nil) }

  /// 0.005 of 19,960 baskets is 99.8: 100, as PERF-PEERS has it; and 0.1 % of 100,000 is 100, not 101.
  @Test(arguments: [
    ("0.005", 19_960, 100), ("0.01", 19_960, 200), ("0.001", 100_000, 100), ("0.2", 8_124, 1_625),
    ("0.29", 100, 29), ("200", 5, 200), ("0.001", 0, 1),
  ])
  func supportCounts(text: String, baskets: Int, count: Int) throws {
    let c = try Self.load("rules: {min_support: \(text)}")
    #expect(c.engine.rules.minimumCount(baskets: baskets) == count)
  }

  @Test(arguments: [
    ("250ms", 250), ("5s", 5000), ("1.5h", 5_400_000), ("365d", 31_536_000_000),
    ("2w", 1_209_600_000),
    ("0.5s", 500), ("0s", 0), ("10 m", 600_000),
  ])
  func durations(text: String, milliseconds: Int64) {
    #expect(DurationText.parse(text) == milliseconds)
    #expect(DurationText.parse(DurationText.format(milliseconds)) == milliseconds)
  }

  @Test(arguments: [
    "", "5", "s", "-5s", "5S", "1.5ms", "1e3s", "5sec", "99999999999999999d", "1..5s",
  ])
  func noDurations(text: String) { #expect(DurationText.parse(text) == nil) }

  /// A file, environment and flags, and what is said about them.
  struct Case {
    var name: String
    var yaml: [String] = []
    var environment: [String: String] = [:]
    var flags: [(key: String, value: String)] = []
    var extras: [String] = []
    var expected: [String] = []

    var text: String {
      (["=== \(name)"] + yaml + extras + expected.map { "> \($0)" }).joined(separator: "\n")
    }

    var complaints: [String] {
      do {
        _ = try Configuration.load(
          yaml: yaml.joined(separator: "\n") + "\n", name: "/etc/affinity/affinity.yaml",
          environment: environment, flags: flags)
        return ["nothing wrong"]
      } catch { return error.problems.map(\.description) }
    }
  }

  /// Fault 23: what is wrong is told all at once, by place and key, with what is wanted, without a network.
  @Test("fault 23: what is wrong is told all at once, by place and key, with what is wanted, without a network")
  func everyComplaint() throws {
    let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Golden/bad-configurations.txt")
    var cases: [Case] = []
    for line in try String(contentsOf: url, encoding: .utf8).split(
      separator: "\n", omittingEmptySubsequences: true
    ).map(String.init) {
      if line.hasPrefix("=== ") {
        cases.append(Case(name: String(line.dropFirst(4))))
        continue
      }
      let last = try #require(cases.indices.last)
      if line.hasPrefix("> ") {
        cases[last].expected.append(String(line.dropFirst(2)))
      } else if line.hasPrefix("--- ") {
        let pair = line.dropFirst(4).split(separator: " ", maxSplits: 1)[1]
          .split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        if line.hasPrefix("--- env ") {
          cases[last].environment[pair[0]] = pair[1]
        } else {
          cases[last].flags.append((pair[0], pair[1]))
        }
        cases[last].extras.append(line)
      } else {
        cases[last].yaml.append(line)
      }
    }
    #expect(cases.count >= 50)
    if ProcessInfo.processInfo.environment["AFFINITY_REWRITE_GOLDEN"] == "1" {
      for i in cases.indices { cases[i].expected = cases[i].complaints }
      try (cases.map(\.text).joined(separator: "\n") + "\n").write(
        to: url, atomically: true, encoding: .utf8)
    }
    for c in cases {
      #expect(c.complaints == c.expected, "\(c.name)")
      for complaint in c.complaints { #expect(!complaint.contains("hunter2")) }
    }
  }
}
