// Stop, kill and start again: what was committed is read silently, what repeats has the same bytes, nothing
// is missing in the end, models count on, and logs rotate without a line lost.
import Events
import Foundation
import Testing

@Suite(.ownThread) struct RestartTests {
  static let settings = [
    "rules.min_support": "3", "recommend.refresh": "30d", "recommend.linger": "0s", "recommend.top": "8",
  ]

  @Test("faults 1, 2, 26: stops, kills and rotated logs: only the same bytes are repeated, no line is lost")
  func stopsKillsAndRotations() async throws {
    let folder = try Folder("restart")
    let log = folder.file("log.jsonl")
    try await Program.succeed(
      [
        "simulate", "--events", "24000", "--seed", "21", "--users", "1500", "--items", "300", "--start",
        "2024-03-01", "--span", "5d", "--out", log,
      ], in: folder)
    let all = try lines(of: log)
    var parts: [String] = []
    for i in 0..<3 {
      parts.append(folder.file("part-\(i).jsonl"))
      try write(all[(i * 8000)..<((i + 1) * 8000)], to: parts[i])
    }
    let flags = Self.settings.keys.sorted().flatMap { ["--set", "\($0)=\(Self.settings[$0] ?? "")"] }
    let replay = folder.file("replay")
    try await Program.succeed(
      ["replay", log, "--out", replay, "--ticks", "end", "--final"] + flags, in: folder)

    let broker = try await Broker(partitions: 6, in: folder)
    let reader = TopicReader(broker, topics: TopicReader.outputs + ["shop.events"])
    let daemon = try LiveDaemon(broker, in: folder, settings: Self.settings)

    // A third of the log, with the log files moved away again and again.
    let first = try Program(["produce", parts[0], "-b", broker.bootstrap, "--rate", "2500"], in: folder)
    var moved: [String] = []
    while first.isRunning || moved.count < 8 {
      try await pause(0.3)
      try daemon.requireRunning()
      let number = moved.count
      for path in [daemon.metricsPath, daemon.logPath]
      where FileManager.default.fileExists(atPath: path) {
        try FileManager.default.moveItem(atPath: path, toPath: "\(path).\(number)")
        if path == daemon.metricsPath { moved.append("\(path).\(number)") }
      }
      daemon.program.signal(SIGHUP)
    }
    #expect(try await first.end().status == 0)
    try await daemon.settle(reader, events: 8000)
    try await daemon.stop()
    let rotated = moved.filter { FileManager.default.fileExists(atPath: $0) }
    try await checkWhole(rotated + [daemon.metricsPath], in: folder)
    let logs = try (moved.indices.map { "\(daemon.logPath).\($0)" } + [daemon.logPath])
      .filter { FileManager.default.fileExists(atPath: $0) }
      .map { try String(contentsOfFile: $0, encoding: .utf8) }.joined()
    let isWhole = logs.split(separator: "\n").allSatisfy {
      $0.contains(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warning|error|notice|critical) affinityd: ./)
    }
    #expect(isWhole && logs.hasSuffix("\n"))
    #expect(logs.contains("stopped: 8000 records read"))
    #expect(logs.matches(of: /log files opened anew/).count > 3)

    // Everything is committed.
    let committed = try broker.committed()
    #expect(committed.reduce(0) { $0 + ($1 ?? 0) } == 8000)
    let stopped = reader.total
    let idsBefore = ids(reader)
    let digest = try #require(reader.last("affinity.models")?.json?["digest"]?.string)
    let number = try #require(lastNumber(reader))

    // Once more, from the snapshot that the stop has left: nothing has come meanwhile, so nothing is said.
    try daemon.restart()
    try await eventually(60, "it is back: \(daemon.log.suffix(800))") {
      try daemon.requireRunning()
      return daemon.log.contains("info affinityd: restored ") && daemon.log.contains("caught up: 0 records")
    }
    try await daemon.settle(reader, events: 8000)
    // A model that was under way at the stop is had again, and says what it has to say.
    let wasUnderWay = lastNumber(reader) == number + 1
    #expect(wasUnderWay || lastNumber(reader) == number)
    #expect(daemon.log.contains(#/restored .*snapshot-\d+ in \d+ ms: m-\d+, rows digest /#))
    #expect(daemon.log.contains("rows digest \(digest)"))
    #expect(daemon.log.contains("8000 records committed before"))
    let repeated = ids(reader).filter { $0.value > 1 }
    #expect(repeated.isEmpty, "\(repeated.count) ids came again")
    let caused = Set(ids(reader).keys.filter { $0.hasPrefix("shop.events-") })
    #expect(caused.isSubset(of: Set(idsBefore.keys)), "lists for what was committed")
    #expect(wasUnderWay || reader.total == stopped)

    // Killed in the middle of the second third, twice; then the rest.
    let second = try Program(["produce", parts[1], "-b", broker.bootstrap, "--rate", "1000"], in: folder)
    try await eventually(30, "it goes on") { reader.count("shop.events") > 9000 && daemon.metric("commits") > 0 }
    for kills in 0..<2 {
      try await pause(kills == 0 ? 1.5 : 0.7)
      daemon.program.signal(SIGKILL)
      let outcome = try await daemon.program.end()
      #expect(outcome.signal == SIGKILL)
      try daemon.restart()
      try await eventually(60, "it is back: \(daemon.log.suffix(500))") {
        try daemon.requireRunning()
        return daemon.metric("caught_up") == 1 && daemon.metric("uptime_seconds") < 20
          && daemon.metric("models") > 0
      }
    }
    #expect(try await second.end().status == 0)
    try await Program.succeed(["produce", parts[2], "-b", broker.bootstrap], in: folder)
    try await daemon.settle(reader, events: 24_000)
    try await daemon.stop()
    try await reader.stop()

    // Models count on; one id, one text, models and lists; and in the end it is as if nothing had happened.
    var texts: [String: [UInt8]] = [:]
    let numbers = reader.read("affinity.models").compactMap { modelNumber($0) }
    #expect(Set(numbers) == Set(1...(numbers.max() ?? 1)), "\(numbers.sorted())")
    for record in reader.read("affinity.models") + reader.read("affinity.recommendations") {
      guard let value = record.value else { continue }
      let id = record.id.map { "\(record.keyText) \($0)" } ?? record.keyText
      let isSame = texts[id, default: value] == value
      #expect(isSame, "\(id) has two texts")
      texts[id] = value
    }
    // Every act since the first model has its list, whenever the daemon was killed.
    let begun = try #require(reader.read("affinity.models").first { $0.keyText == "m-000001" }?.json)
    let wanted = causes(reader.read("shop.events"), from: begun["activation"])
    let missing = wanted.subtracting(self.ids(reader).keys).count
    #expect(wanted.count > 8000)
    #expect(missing == 0, "\(missing) of \(wanted.count) acts have no list")
    let twice = self.ids(reader).count { $0.value > 1 }
    // How many depends on where the kills fall; `SimulationTests` sees to it that there are some.
    print("restart: \(twice) lists came again after two kills, \(numbers.count) models")
    func user(_ json: JSON) -> String? {
      json["user"]?.string ?? json["session"]?.string.map { "~" + $0 }
    }
    expectEqual(
      "lists", reader.table("affinity.recommendations").mapValues(scores),
      try finalTable(replay + "/recommendations.jsonl", key: user).mapValues(scores))
    func bare(_ table: [[UInt8]: [UInt8]]) -> [[UInt8]: String] {
      table.mapValues { withoutContexts(String(decoding: withoutModel($0), as: UTF8.self)) }
    }
    expectEqual(
      "neighbours", bare(reader.table("affinity.neighbours")),
      bare(try finalTable(replay + "/neighbours.jsonl") { $0["item"]?.string }))
    let model = try JSON(String(decoding: try lines(of: replay + "/models.jsonl")[0], as: UTF8.self))
    #expect(reader.last("affinity.models")?.json?["digest"]?.string == model["digest"]?.string)
  }

  /// Ids of recommendations and how often each came.
  private func ids(_ reader: TopicReader) -> [String: Int] {
    var found: [String: Int] = [:]
    for record in reader.read("affinity.recommendations") {
      if let id = record.id { found[id, default: 0] += 1 }
    }
    return found
  }

  private func modelNumber(_ record: Record) -> Int? { Int(record.keyText.dropFirst(2)) }
  private func lastNumber(_ reader: TopicReader) -> Int? {
    reader.read("affinity.models").compactMap { modelNumber($0) }.max()
  }

  /// The metrics log in its pieces: every line whole, none missing. Each line's interval begins where the
  /// line before it ended.
  private func checkWhole(_ paths: [String], in folder: Folder) async throws {
    var uptime = 0.0
    var count = 0
    for path in paths {
      for line in try lines(of: path) {
        let json = try JSON(String(decoding: line, as: UTF8.self))
        let now = try #require(json["uptime_seconds"]?.number)
        let interval = try #require(json["interval_seconds"]?.number)
        #expect(abs(now - interval - uptime) < 0.003, "a line is missing before \(now) s in \(path)")
        #expect(json["metrics_lines_dropped"]?.number == 0)
        uptime = now
        count += 1
      }
    }
    #expect(count > 10)
    try await expectSchema("metrics", paths[0], in: folder)
  }
}

/// A list of neighbours goes out where it changes; where its measure does not use the number of contexts,
/// that alone is no change, and the number is that of the model the list came with.
func withoutContexts(_ text: String) -> String {
  text.replacing(/("measure":"(?:cosine|conditional)","count":\d+),"contexts":\d+/) { $0.1 }
}
