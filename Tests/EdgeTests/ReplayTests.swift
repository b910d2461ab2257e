// Replay gives the same bytes for the same input: with any number of threads, from one file or several,
// from lines or from records as kcat prints them; and --final is what the full output comes to.
import Daemon
import Engine
import Foundation
import Recommender
import Simulator
import Sparse
import TestSupport
import Testing

@Suite(.serialized) struct ReplayTests {
  static let topics = ["recommendations", "neighbours", "rules", "popular", "models", "dead-letters", "receipts"]
  static let hour: Int64 = 3_600_000

  final class Folder {
    let path: String
    init() throws {
      path = FileManager.default.temporaryDirectory.path + "/replay-" + UUID().uuidString
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ lines: [String], endsWithNewline: Bool = true) throws -> String {
      let file = path + "/" + name
      try Data((lines.joined(separator: "\n") + (endsWithNewline ? "\n" : "")).utf8)
        .write(to: URL(fileURLWithPath: file))
      return file
    }
  }

  struct Result: Equatable {
    var lines: [String: [String]] = [:]
    var summary: String = ""
    subscript(topic: String) -> [String] { lines[topic] ?? [] }
  }

  static func replay(
    _ files: [String], in folder: Folder, change: (inout ReplayOptions) -> Void = { _ in }
  ) throws -> Result {
    var options = ReplayOptions()
    options.files = files
    options.directory = folder.path + "/out-" + UUID().uuidString
    options.ticks = .every(12 * hour)
    options.engine.recommend.linger = 60_000
    for i in options.engine.relations.indices { options.engine.relations[i].history = 8 }
    options.engine.rules.minSupport = .init(numerator: 3, denominator: 1)
    change(&options)
    let summary = try Replay(options).run()
    var result = Result()
    for topic in topics {
      let text = try String(
        contentsOfFile: options.directory + "/" + topic + ".jsonl", encoding: .utf8)
      #expect(text.isEmpty || text.hasSuffix("\n"))
      result.lines[topic] = text.split(separator: "\n").map(String.init)
    }
    result.summary = "\(summary.events) \(summary.applied) \(summary.digest) \(summary.countsDigest) \(summary.models)"
    return result
  }

  /// A simulated log of some days with everything that goes wrong in one.
  static func log(seed: UInt64, events: Int = 2500) -> [String] {
    var c = ShopConfiguration()
    c.seed = seed
    c.events = events
    c.users = 150
    c.items = 120
    c.span = 5 * 86_400_000
    c.start = ShopConfiguration.defaultEnd - c.span
    c.lateShare = 0.05
    c.duplicateShare = 0.02
    var shop = Shop(c)
    var writer = ByteWriter()
    var lines: [String] = []
    for _ in 0..<events {
      let line = shop.next(into: &writer)
      lines.append(
        String(decoding: UnsafeRawBufferPointer(rebasing: writer.bytes[line.bytes]), as: UTF8.self))
    }
    var random = SplitMix(seed: seed)
    let bad = [
      "{\"type\":\"view\"", "", "{\"type\":\"wave\",\"time\":1}", "[]", "{\"type\":\"view\",\"time\":\"x\"}",
      "{\"type\":\"erase\",\"time\":1000,\"user\":\"u\"}",
      "{\"type\":\"view\",\"time\":1000,\"user\":\"u\",\"items\":[{\"id\":\"very-old\"}]}",
    ]
    for text in bad { lines.insert(text, at: 1 + random.below(lines.count)) }
    return lines
  }

  @Test func sameBytesOnEveryRunAndWithAnyThreads() throws {
    let folder = try Folder()
    let file = try folder.write("log.jsonl", ReplayTests.log(seed: 5))
    let want = try ReplayTests.replay([file], in: folder) { $0.threads = 1 }
    for topic in ReplayTests.topics {
      #expect(want[topic].count > (topic == "receipts" ? 0 : 3), "\(topic)")
    }
    for threads in [1, 2, 4] {
      #expect(try ReplayTests.replay([file], in: folder) { $0.threads = threads } == want)
    }
    let fresh = try folder.write("open.jsonl", ReplayTests.log(seed: 5), endsWithNewline: false)
    #expect(try ReplayTests.replay([fresh], in: folder) == want, "the last newline means nothing")
    // Without lists, models are made beside the log.
    let bare = try ReplayTests.replay([file], in: folder) {
      $0.writesRecommendations = false
      $0.threads = 1
    }
    for threads in [2, 4] {
      #expect(
        try ReplayTests.replay([file], in: folder) {
          $0.writesRecommendations = false
          $0.threads = threads
        } == bare)
    }
    #expect(bare["recommendations"].isEmpty)
    #expect(bare["models"].count == want["models"].count)
    for topic in ["neighbours", "rules", "popular"] {
      #expect(bare[topic].sorted() == want[topic].sorted(), "\(topic)")
    }
  }

  static func time(_ line: String) -> Int64? {
    // What the simulator writes: RFC 3339 with milliseconds, Z.
    guard let json = PlainJSON(line), let text = json["time"]?.string,
      ["view", "cart", "uncart", "purchase", "refund", "like", "rating", "impression", "click"].contains(
        json["type"]?.string)
    else {
      // What is of no known type has its time all the same.
      guard PlainJSON(line)?["type"]?.string != nil else { return nil }
      return PlainJSON(line)?["time"]?.int.map { Int64($0) }
    }
    let format = ISO8601DateFormatter()
    format.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
    return format.date(from: text).map { Int64(($0.timeIntervalSince1970 * 1000).rounded()) }
  }

  @Test func severalFilesAreMergedAndKcatRecordsSayTheSame() throws {
    let folder = try Folder()
    // Lines dealt out at random: each file in its own order, times equal across files.
    var random = SplitMix(seed: 21)
    var parts = [[String]](repeating: [], count: 3)
    for line in ReplayTests.log(seed: 6, events: 1500) {
      let part = random.below(3)
      parts[part].append(line)
      if random.below(20) == 0 { parts[(part + 1) % 3].append(line) }
    }
    var files: [String] = []
    for (i, part) in parts.enumerated() { files.append(try folder.write("part-\(i).jsonl", part)) }
    let want = try ReplayTests.replay(files, in: folder)
    #expect(want["recommendations"].contains { $0.contains("\"partition\":2") })

    // A plain merge: by time, then file, then line; what has no time goes with the line before it.
    let times = parts.map { part in
      var last = Int64.min
      return part.map { line in
        last = ReplayTests.time(line) ?? last
        return last
      }
    }
    var dump: [String] = []
    var cursors = [0, 0, 0]
    while true {
      let open = parts.indices.filter { cursors[$0] < parts[$0].count }
      guard let next = open.min(by: { (times[$0][cursors[$0]], $0) < (times[$1][cursors[$1]], $1) })
      else { break }
      var writer = ByteWriter()
      writer.append("{\"topic\":\"shop.events\",\"partition\":")
      writer.append(next)
      writer.append(",\"offset\":")
      writer.append(cursors[next])
      writer.append(",\"broker\":1,\"key\":null,\"payload\":")
      writer.append(quoted: parts[next][cursors[next]])
      writer.append("}")
      dump.append(writer.string)
      cursors[next] += 1
    }
    let file = try folder.write("dump.jsonl", dump)
    let got = try ReplayTests.replay([file], in: folder)
    for topic in ReplayTests.topics { #expect(got[topic] == want[topic], "\(topic)") }
    #expect(got.summary == want.summary)
    for threads in [1, 4] {
      #expect(try ReplayTests.replay(files, in: folder) { $0.threads = threads } == want)
    }
  }

  @Test func finalIsWhatTheFullOutputComesTo() throws {
    let folder = try Folder()
    let file = try folder.write("log.jsonl", ReplayTests.log(seed: 8))
    // Windows that pass within the log, so that keys go away.
    func narrow(_ options: inout ReplayOptions) {
      for i in options.engine.relations.indices {
        options.engine.relations[i].window = 20 * ReplayTests.hour
      }
      options.engine.rules.window = 70 * ReplayTests.hour
      options.engine.rules.maxQ = 1
      options.engine.rules.minSupport = .init(numerator: 2, denominator: 1)
    }
    let full = try ReplayTests.replay([file], in: folder) { narrow(&$0) }
    let last = try ReplayTests.replay([file], in: folder) {
      narrow(&$0)
      $0.isFinal = true
    }
    for topic in ["models", "dead-letters", "receipts"] { #expect(full[topic] == last[topic]) }
    var deletions = 0
    for topic in ["recommendations", "neighbours", "rules", "popular"] {
      var state: [String: String] = [:]
      for line in full[topic] {
        guard let json = PlainJSON(line) else {
          Issue.record("\(line)")
          continue
        }
        if let key = json["key"]?.string, json["deleted"] == .bool(true) {
          let wasThere = state.removeValue(forKey: key) != nil
          // An erasure says null whether or not something was said before.
          #expect(wasThere || topic == "recommendations", "\(topic): \(key) was not there")
          deletions += 1
          continue
        }
        let key: String
        switch topic {
        case "recommendations": key = json["user"]?.string ?? "~" + (json["session"]?.string ?? "")
        case "neighbours": key = json["item"]?.string ?? ""
        case "rules":
          let ids = (json["antecedent"]?.array ?? []).compactMap(\.string)
          #expect(ids == ids.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
          key = "[" + ids.map { "\"\($0)\"" }.joined(separator: ",") + "]"
        default:
          key = (json["list"]?.string ?? "") + (json["category"]?.string.map { "/" + $0 } ?? "")
        }
        state[key] = line
      }
      let sorted = state.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      #expect(sorted.compactMap { state[$0] } == last[topic], "\(topic)")
      #expect(!last[topic].isEmpty, "\(topic) of \(full[topic].count)")
    }
    #expect(deletions > 0)
  }

  @Test func recordedTicksGiveTheSameModels() throws {
    let folder = try Folder()
    let lines = ReplayTests.log(seed: 9)
    let file = try folder.write("log.jsonl", lines)
    let want = try ReplayTests.replay([file], in: folder)
    let record = try folder.write("record.jsonl", want["models"])
    let got = try ReplayTests.replay([file], in: folder) { $0.ticks = .recorded(record) }
    for topic in ReplayTests.topics where topic != "recommendations" {
      #expect(got[topic] == want[topic], "\(topic)")
    }
    #expect(got.summary == want.summary)
    // Lingering differs; an id never has other bytes.
    func byID(_ lines: [String]) -> [String: String] {
      var found: [String: String] = [:]
      for line in lines { found[PlainJSON(line)?["id"]?.string ?? ""] = line }
      return found
    }
    let (a, b) = (byID(want["recommendations"]), byID(got["recommendations"]))
    let common = a.keys.filter { b[$0] != nil }
    #expect(common.count > 100)
    for id in common { #expect(a[id] == b[id]) }

    // Several partitions, read one after the other up to each model.
    var parts = [[String]](repeating: [], count: 3)
    for (i, line) in lines.enumerated() { parts[(i * 7 + i / 5) % 3].append(line) }
    let files = try parts.enumerated().map { try folder.write("p-\($0.offset).jsonl", $0.element) }
    let merged = try ReplayTests.replay(files, in: folder)
    let other = try folder.write("record-2.jsonl", merged["models"])
    let apart = try ReplayTests.replay(files, in: folder) { $0.ticks = .recorded(other) }
    #expect(apart["models"] == merged["models"])
    for topic in ["neighbours", "rules", "popular"] {
      #expect(apart[topic].sorted() == merged[topic].sorted(), "\(topic)")
    }
  }

  // MARK: erasure

  /// Someone whose id occurs nowhere else is erased in the middle of a log.
  @Test func noFileHoldsAnErasedUserAfterwards() throws {
    let folder = try Folder()
    for canary in ["canary-7f3a", "canary-" + String(repeating: "long-", count: 12)] {
      for isNull in [false, true] {
        var lines = ReplayTests.log(seed: 31)
        let half = lines.count / 2
        let theirs = lines[..<half].filter { $0.contains("\"user\":\"u-") }.prefix(900).map { line in
          line.replacing(/"user":"u-[^"]*"/, with: "\"user\":\"\(canary)\"")
            .replacing(/"id":"e-[^"]*",/, with: "")
        }
        for (n, line) in theirs.enumerated() { lines.insert(line, at: n * 2) }
        let cut = (lines.lastIndex { $0.contains(canary) } ?? 0) + 40
        func dump(_ values: ArraySlice<String>, from start: Int) -> [String] {
          values.enumerated().map { n, line in
            var w = ByteWriter()
            w.append("{\"topic\":\"shop.events\",\"partition\":0,\"offset\":")
            w.append(start + n)
            w.append(",\"key\":\"k\",\"payload\":")
            w.append(quoted: line)
            w.append("}")
            return w.string
          }
        }
        let time = ReplayTests.time(lines[cut - 1]) ?? 0
        let request =
          isNull
          ? "{\"topic\":\"shop.events\",\"partition\":0,\"offset\":\(cut),\"key\":\"\(canary)\",\"payload\":null}"
          : dump(
            ["{\"id\":\"request-1\",\"type\":\"erase\",\"time\":\(time),\"user\":\"\(canary)\"}"][...], from: cut)[0]
        let file = try folder.write(
          "log.jsonl", dump(lines[..<cut], from: 0) + [request] + dump(lines[cut...], from: cut + 1))
        // Without the erasure they are in the lists to the last; with it nowhere.
        let kept = try folder.write("kept.jsonl", dump(lines[...], from: 0))
        let before = try ReplayTests.replay([kept], in: folder) { $0.isFinal = true }
        #expect(before["recommendations"].contains { $0.contains(canary) })
        let after = try ReplayTests.replay([file], in: folder) { $0.isFinal = true }
        for topic in ReplayTests.topics {
          #expect(!after[topic].contains { $0.contains(canary) }, "\(topic)")
        }
        let receipts = after["receipts"].compactMap { PlainJSON($0) }
          .filter { $0["cause"]?["offset"]?.int == cut }
        #expect(receipts.count == 1)
        #expect(receipts.first?["request"]?.string == (isNull ? "shop.events-0-\(cut)" : "request-1"))
        #expect((receipts.first?["removed"]?["entries"]?.int ?? 0) > 5)
        // Everything said is in this file; what is said last is the null.
        let full = try ReplayTests.replay([file], in: folder)
        let said = full["recommendations"].filter { $0.contains(canary) }
        #expect(said.count > 1 && said.last == "{\"key\":\"\(canary)\",\"deleted\":true}")
        for topic in ReplayTests.topics where topic != "recommendations" {
          #expect(!full[topic].contains { $0.contains(canary) }, "\(topic)")
        }
        for out in try FileManager.default.contentsOfDirectory(atPath: folder.path)
        where out.hasPrefix("out-") {
          let metrics = try String(contentsOfFile: "\(folder.path)/\(out)/metrics.jsonl", encoding: .utf8)
          #expect(!metrics.contains(canary))
        }
      }
    }
  }

  /// Files equal those of the log without the user: tick for tick and list for list (see ErasureTests for
  /// what may differ in the first model).
  @Test func anErasureIsAnUnknownTypeToTicksAndMerging() throws {
    let folder = try Folder()
    let h = ReplayTests.hour
    // Only the user's own events and the erasure cross the ticks.
    func log(_ isSeen: Bool) -> [String] {
      func own(_ time: Int64, _ type: String) -> String {
        isSeen
          ? "{\"type\":\"\(type)\",\"time\":\(time),\"user\":\"x\",\"items\":[{\"id\":\"a\"}]}"
          : "{\"type\":\"odd\",\"time\":\(time)}"
      }
      return [
        ReplayTests.view(490_000 * h), own(490_002 * h, "view"), ReplayTests.view(490_001 * h),
        own(490_005 * h, "purchase"), own(490_009 * h, "erase"), ReplayTests.view(490_009 * h),
        ReplayTests.view(490_010 * h),
      ]
    }
    let seen = try ReplayTests.replay([try folder.write("a.jsonl", log(true))], in: folder) { $0.ticks = .every(h) }
    let never = try ReplayTests.replay([try folder.write("b.jsonl", log(false))], in: folder) { $0.ticks = .every(h) }
    #expect(seen["models"].count == 4 && never["models"].count == 4)
    #expect(seen["models"].last == never["models"].last)
    #expect(seen["receipts"].count == 1 && never["receipts"].isEmpty)
  }

  // MARK: ticks

  static func view(_ time: Int64, _ item: String = "a") -> String {
    "{\"type\":\"view\",\"time\":\(time),\"user\":\"u\",\"items\":[{\"id\":\"\(item)\"}]}"
  }

  /// τ of each model, in hours, and how many events it was made of.
  static func ticks(_ lines: [String], _ ticks: ReplayTicks, _ folder: Folder) throws -> [String] {
    let file = try folder.write("ticks.jsonl", lines)
    let result = try replay([file], in: folder) { $0.ticks = ticks }
    return result["models"].map { line in
      let json = PlainJSON(line)
      let format = ISO8601DateFormatter()
      format.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
      let tick = json?["tick"]?.string.flatMap { format.date(from: $0) }?.timeIntervalSince1970 ?? -1
      return "\(tick / 3600) \(json?["offsets"]?["shop.events"]?["0"]?.int ?? -1)"
    }
  }

  @Test func ticksAtTheirBoundaries() throws {
    let folder = try Folder()
    let h = ReplayTests.hour
    // The first event fires none, however late it is.
    #expect(try ReplayTests.ticks([ReplayTests.view(490_000 * h)], .every(h), folder) == [])
    // Just before a multiple: none. At it: one, before the event is applied.
    #expect(
      try ReplayTests.ticks(
        [ReplayTests.view(490_000 * h), ReplayTests.view(490_001 * h - 1)], .every(h), folder) == [])
    #expect(
      try ReplayTests.ticks(
        [ReplayTests.view(490_000 * h), ReplayTests.view(490_001 * h)], .every(h), folder)
        == ["490001.0 1"])
    // Several multiples at once are one tick, at the last of them.
    #expect(
      try ReplayTests.ticks(
        [ReplayTests.view(490_000 * h + 5), ReplayTests.view(490_007 * h + 5)], .every(h), folder)
        == ["490007.0 1"])
    // A late event fires nothing, nor does the next one in the same hour; a day is a multiple since 1970.
    #expect(
      try ReplayTests.ticks(
        [
          ReplayTests.view(490_000 * h), ReplayTests.view(490_002 * h), ReplayTests.view(490_001 * h),
          ReplayTests.view(490_002 * h + 3), ReplayTests.view(490_003 * h), "not an event",
          ReplayTests.view(490_003 * h),
        ], .every(h), folder) == ["490002.0 1", "490003.0 4"])
    // Hours 490,000 and up: 20,416 days and 16 hours.
    #expect(
      try ReplayTests.ticks(
        [ReplayTests.view(490_000 * h), ReplayTests.view(490_009 * h)], .every(24 * h), folder)
        == ["490008.0 1"])
    // End: one model, after the last event, at the highest time.
    #expect(
      try ReplayTests.ticks(
        [ReplayTests.view(490_000 * h), ReplayTests.view(490_009 * h), ReplayTests.view(490_005 * h)], .end, folder)
        == ["490009.0 3"])
    #expect(try ReplayTests.ticks(["not an event"], .end, folder) == [])
  }

  @Test func emptyAndForeignInput() throws {
    let folder = try Folder()
    let empty = try folder.write("empty.jsonl", [], endsWithNewline: false)
    let none = try ReplayTests.replay([empty], in: folder)
    for topic in ReplayTests.topics { #expect(none[topic].isEmpty) }
    // Records of another topic are dead letters; blank lines between records are not records.
    let record = { (topic: String, offset: Int) in
      "{\"topic\":\"\(topic)\",\"partition\":3,\"offset\":\(offset),\"ts\":1,\"key\":\"u\",\"payload\":\"{}\"}"
    }
    let blanks = String(repeating: "\n", count: 1 << 21)
    let dump = try folder.write("dump.jsonl", [record("shop.events", 0), blanks, record("shop.events", 1)])
    let got = try ReplayTests.replay([dump], in: folder)
    #expect(got["dead-letters"].count == 2)
    #expect(throws: (any Error).self) {
      _ = try ReplayTests.replay([folder.path + "/missing.jsonl"], in: folder)
    }
  }
}
