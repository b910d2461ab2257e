// A log through the broker and the daemon gives what `replay` gives: same neighbours, rules, popularity
// and lists. Everything that is published holds against the schemas, and every list adds up.
import Events
import Foundation
import Testing

@Suite(.ownThread) struct LiveEqualsReplayTests {
  /// A real log where there is one: UCI Online Retail, imported, with a year of orders and refunds; the
  /// outside consumer is kcat. The daemon finds the log there, so exactly one model is made.
  @Test func onlineRetail() async throws {
    let folder = try Folder("retail")
    let log = folder.file("log.jsonl")
    let shared =
      ProcessInfo.processInfo.environment["AFFINITY_SHARED"] ?? Program.root + "/../shared"
    let file = shared + "/data/online-retail/online_retail.csv.gz"
    if FileManager.default.fileExists(atPath: file) {
      let report = try await Program.succeed(
        ["import", "online-retail", file, "--out", log, "--json"], in: folder)
      let json = try JSON(report.output)
      #expect(json["rejected"]?["refund_without_purchase"]?.number ?? 0 > 0)
      #expect(json["anonymous"]?.number ?? 0 > 0)
    } else {
      print("note: \(file) is not there; a simulated log stands in for it")
      try await Program.succeed(
        [
          "simulate", "--events", "40000", "--users", "1500", "--items", "300", "--span", "400d", "--out", log,
        ], in: folder)
    }
    let support = FileManager.default.fileExists(atPath: file) ? "0.01" : "3"
    let settings = ["rules.min_support": support, "recommend.refresh": "400d", "rules.interval": "0s"]
    let flags = settings.keys.sorted().flatMap { ["--set", "\($0)=\(settings[$0] ?? "")"] }
    try await Program.succeed(
      ["replay", log, "--out", folder.file("replay"), "--ticks", "end", "--final"] + flags,
      in: folder)

    let broker = try await Broker(partitions: 24, in: folder)
    let outside = try ["recommendations", "neighbours", "rules"].map { name in
      (
        name,
        try Program(
          [
            "-b", broker.bootstrap, "-C", "-t", "affinity.\(name)", "-o", "beginning", "-u", "-q",
            "-f", "%S\\t%k\\t%s\\n",
          ], in: folder, name: "kcat-\(name)", program: "/usr/bin/kcat")
      )
    }
    let models = TopicReader(broker, topics: ["affinity.models"])
    let count = try lines(of: log).count
    try await Program.succeed(["produce", log, "-b", broker.bootstrap], in: folder)
    let daemon = try LiveDaemon(broker, in: folder, settings: settings)
    try await daemon.settle(models, events: count)
    #expect(models.count("affinity.models") == 1)
    #expect(daemon.metric("outcome.applied") == count)
    let sent = outside.map { daemon.metric("messages.\($0.0)") }
    try await daemon.stop()

    var tables: [[[UInt8]: [UInt8]]] = []
    for (i, (name, kcat)) in outside.enumerated() {
      try await eventually(30, "kcat has \(sent[i]) \(name)", every: 200) {
        try lines(of: kcat.outputPath).count >= sent[i]
      }
      kcat.signal(SIGKILL)
      _ = try await kcat.end()
      let records = try lines(of: kcat.outputPath)
      #expect(records.count == sent[i])
      var table: [[UInt8]: [UInt8]] = [:]
      for line in records {
        let parts = line.split(separator: 9, maxSplits: 2, omittingEmptySubsequences: false)
        try #require(parts.count == 3)
        table[Array(parts[1])] = parts[0].elementsEqual("-1".utf8) ? nil : Array(parts[2])
      }
      tables.append(table)
      try write(table.values.map { $0 }, to: folder.file("\(name).jsonl"))
    }

    // One model each, so even the model's id is the same: byte for byte.
    let replayed = try ["recommendations", "neighbours", "rules"].map { name in
      try lines(of: folder.file("replay/\(name).jsonl"))
    }
    for (i, name) in ["recommendations", "neighbours", "rules"].enumerated() {
      #expect(replayed[i].count > 100)
      let isEqual = Set(tables[i].values) == Set(replayed[i])
      #expect(isEqual, "\(name): \(tables[i].count) live, \(replayed[i].count) by replay")
    }
    // Everybody who ever bought got a list.
    var buyers = Set<String>()
    for line in try lines(of: log) {
      // Up to the items: the lines are ours, and items are long.
      let head = String(decoding: line.prefix(200), as: UTF8.self)
      if head.contains("\"type\":\"purchase\""), let user = head.firstRange(of: "\"user\":\"") {
        buyers.insert(String(head[user.upperBound...].prefix { $0 != "\"" }))
      }
    }
    let asked = Set(tables[0].keys.map { String(decoding: $0, as: UTF8.self) }.filter { !$0.hasPrefix("~") })
    let without = buyers.subtracting(asked).count
    #expect(without == 0, "\(without) of \(buyers.count) buyers have no list")

    let explained = try await Program.succeed(
      ["explain", folder.file("recommendations.jsonl"), "--json"], in: folder)
    let sums = try JSON(explained.output)
    #expect(sums["messages"]?.number == Double(tables[0].count))
    #expect(sums["faults"]?.number == 0)
    try await expectSchema("recommendation", folder.file("recommendations.jsonl"), every: 100, in: folder)
    try await expectSchema("neighbours", folder.file("neighbours.jsonl"), every: 50, in: folder)
    try await expectSchema("rules", folder.file("rules.jsonl"), every: 5, in: folder)
    try await expectSchema("metrics", daemon.metricsPath, in: folder)
  }

  /// A simulated shop of every behaviour, anonymous traffic and refunds; the daemon reads along while the
  /// log is written and makes a model twice a second. In the end everything is as one tick at the end has it.
  @Test func whileItRuns() async throws {
    let folder = try Folder("live")
    let log = folder.file("log.jsonl")
    try await Program.succeed(
      [
        "simulate", "--events", "30000", "--seed", "11", "--users", "3000", "--items", "500", "--span",
        "5d", "--late", "0.05", "--duplicates", "0.02", "--out", log,
      ], in: folder)
    let settings = RestartTests.settings
    let flags = settings.keys.sorted().flatMap { ["--set", "\($0)=\(settings[$0] ?? "")"] }
    let replay = folder.file("replay")
    try await Program.succeed(
      ["replay", log, "--out", replay, "--ticks", "end", "--final"] + flags, in: folder)

    let broker = try await Broker(partitions: 8, in: folder)
    let reader = TopicReader(broker, topics: TopicReader.outputs + ["shop.events"])
    let daemon = try LiveDaemon(broker, in: folder, settings: settings)
    let count = try lines(of: log).count
    let producing = try Program(
      ["produce", log, "-b", broker.bootstrap, "--rate", "5000"], in: folder)
    #expect(try await producing.end().status == 0)
    try await daemon.settle(reader, events: count)
    let acknowledged = daemon.metric("messages_acknowledged")
    try await eventually(20, "the reader has \(acknowledged)") {
      reader.total - reader.count("shop.events") == acknowledged
    }
    try await daemon.stop()
    try await reader.stop()
    #expect(reader.count("affinity.models") > 2)
    #expect(reader.count("affinity.dead-letters") == 0)

    func bare(_ table: [[UInt8]: [UInt8]]) -> [[UInt8]: String] {
      table.mapValues { String(decoding: withoutModel($0), as: UTF8.self) }
    }
    expectEqual(
      "neighbours", bare(reader.table("affinity.neighbours")).mapValues(withoutContexts),
      bare(try finalTable(replay + "/neighbours.jsonl") { $0["item"]?.string })
        .mapValues(withoutContexts))
    let rules = try lines(of: replay + "/rules.jsonl").map { String(decoding: withoutModel($0), as: UTF8.self) }
    let liveRules = reader.table("affinity.rules").values.map { String(decoding: withoutModel($0), as: UTF8.self) }
    #expect(rules.count > 10)
    let sameRules = Set(liveRules) == Set(rules)
    #expect(sameRules, "\(liveRules.count) live, \(rules.count) by replay")
    func user(_ json: JSON) -> String? {
      json["user"]?.string ?? json["session"]?.string.map { "~" + $0 }
    }
    expectEqual(
      "lists",
      reader.table("affinity.recommendations").mapValues(scores),
      try finalTable(replay + "/recommendations.jsonl", key: user).mapValues(scores))

    let last = String(decoding: try #require(reader.last("affinity.models")?.value), as: UTF8.self)
    let model = String(decoding: try lines(of: replay + "/models.jsonl")[0], as: UTF8.self)
    for member in ["digest", "counts_digest", "tick", "sizes", "horizons"] {
      let (live, replayed) = (self.member(member, of: last), self.member(member, of: model))
      #expect(live == replayed && !live.isEmpty)
    }

    // With no linger every act after the first model has its list, once, and its id names the act.
    let first = try #require(reader.read("affinity.models").first?.json)
    let expected = causes(reader.read("shop.events"), from: first["activation"])
    let seen = reader.read("affinity.recommendations").compactMap(\.id)
    let caused = seen.filter { $0.hasPrefix("shop.events-") }
    let distinct = Set(seen).count
    #expect(distinct == seen.count, "an id was published twice")
    #expect(expected.count > 1000)
    let isEach = Set(caused) == expected
    #expect(isEach, "\(caused.count) of \(expected.count) lists")

    for topic in ["recommendations", "neighbours", "rules", "popular", "models"] {
      try reader.dump("affinity.\(topic)", to: folder.file("\(topic).jsonl"))
    }

    // With the models where they were, replay writes the very bytes: each message of the daemon is one of its.
    // (It makes some more lists: live an act may come before the renewal that it makes needless.)
    try reader.dumpLikeKcat("shop.events", to: folder.file("dump.jsonl"))
    let again = folder.file("again")
    try await Program.succeed(
      [
        "replay", folder.file("dump.jsonl"), "--out", again, "--ticks",
        "recorded:\(folder.file("models.jsonl"))",
        // The record names a fingerprint of the settings, the daemon's own among them.
        "--set", "rules.interval=0s",
      ] + flags, in: folder)
    for topic in ["recommendations", "neighbours", "rules", "popular", "models"] {
      let live = Set(try lines(of: folder.file("\(topic).jsonl")).filter { !$0.isNull })
      let replayed = Set(try lines(of: again + "/\(topic).jsonl").filter { !$0.isNull })
      let missing = live.subtracting(replayed)
      let more = replayed.count - live.count + missing.count
      #expect(
        missing.isEmpty,
        "\(topic): \(missing.count) of \(live.count) differ: \(missing.first.map { String(decoding: $0.prefix(300), as: UTF8.self) } ?? "")")
      #expect(topic == "recommendations" || more == 0, "\(topic): \(more) more by replay")
    }
    let explained = try await Program.succeed(
      ["explain", folder.file("recommendations.jsonl"), "--json"], in: folder)
    let sums = try JSON(explained.output)
    #expect(sums["messages"]?.number == Double(seen.count))
    #expect(sums["faults"]?.number == 0)
    try await expectSchema(
      "recommendation", folder.file("recommendations.jsonl"), every: max(1, seen.count / 60), in: folder)
    try await expectSchema("neighbours", folder.file("neighbours.jsonl"), every: 100, in: folder)
    try await expectSchema("rules", folder.file("rules.jsonl"), every: 50, in: folder)
    try await expectSchema("popular", folder.file("popular.jsonl"), in: folder)
    try await expectSchema("model", folder.file("models.jsonl"), in: folder)
    try await expectSchema("metrics", daemon.metricsPath, in: folder)
    try await expectSchema("event", log, every: 100, in: folder)
  }

  /// A member of a model's record as it is written: a text, or an object without objects in it.
  private func member(_ name: String, of text: String) -> Substring {
    guard let range = text.firstRange(of: "\"\(name)\":") else { return "" }
    let rest = text[range.upperBound...]
    let end = rest.dropFirst().firstIndex(of: rest.first == "{" ? "}" : "\"") ?? rest.endIndex
    return rest[..<end]
  }

  /// `explain` finds a number that was changed in one digit, and says where.
  @Test func explainFindsAFalseNumber() async throws {
    let folder = try Folder("explain")
    let log = folder.file("log.jsonl")
    try await Program.succeed(
      ["simulate", "--events", "5000", "--users", "300", "--items", "100", "--out", log], in: folder)
    let replay = folder.file("replay")
    try await Program.succeed(["replay", log, "--out", replay], in: folder)
    let all = try await Program.succeed(["explain", replay, "--json"], in: folder)
    let report = try JSON(all.output)
    let messages = try lines(of: replay + "/recommendations.jsonl")
    #expect(report["messages"]?.number == Double(messages.count))
    #expect(messages.count > 1000)
    #expect(report["reasons"]?.number ?? 0 > 10_000)

    for field in ["\"score\":", "\"contribution\":", "\"value\":", "\"rest\":"] {
      let at = try #require(
        messages.firstIndex { String(decoding: $0, as: UTF8.self).contains(field + "0.") })
      var text = String(decoding: messages[at], as: UTF8.self)
      let range = try #require(text.firstRange(of: field + "0."))
      let digit = text[range.upperBound]
      text.replaceSubrange(range.upperBound...range.upperBound, with: digit == "1" ? "2" : "1")
      let path = folder.file("false.jsonl")
      try write([Array(text.utf8)], to: path)
      let outcome = try await Program.run(["explain", path], in: folder)
      #expect(outcome.status == 1, "\(field) changed")
      #expect(outcome.complaint.contains("for_you["))
    }

    let user = try #require(try JSON(String(decoding: messages[0], as: UTF8.self))["user"]?.string)
    let shown = try await Program.succeed(["explain", replay, "--user", user], in: folder)
    #expect(shown.output.contains("for_you"))
    #expect(try await Program.run(["explain", replay, "--user", "nobody"], in: folder).status == 1)
  }
}

extension [UInt8] {
  /// A null as replay's files have it.
  fileprivate var isNull: Bool { count < 2000 && String(decoding: self, as: UTF8.self).contains("\"deleted\":true}") }
}

/// Ids of the lists that acts on the events topic cause, from these offsets on, where nothing lingers.
func causes(_ events: [Record], from activation: JSON?) -> Set<String> {
  var ids = Set<String>()
  for record in events {
    guard let event = record.json, let type = event["type"]?.string,
      ["view", "cart", "purchase", "like"].contains(type),
      event["user"]?.string != nil || event["session"]?.string != nil,
      Double(record.offset) >= activation?["shop.events"]?["\(record.partition)"]?.number ?? 0
    else { continue }
    ids.insert("shop.events-\(record.partition)-\(record.offset)")
  }
  return ids
}
