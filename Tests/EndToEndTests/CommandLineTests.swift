// The command line: help that names every option, wrong use that says what is wrong, output a machine can
// read, and the demo from its start to its end.
import Events
import Foundation
import Testing

@Suite(.ownThread) struct CommandLineTests {
  static let commands = [
    "run", "demo", "replay", "explain", "simulate", "import", "validate", "produce", "broker",
  ]

  @Test func helpNamesEveryCommandAndOption() async throws {
    let folder = try Folder("help")
    let all = try await Program.succeed(["--help"], in: folder)
    for command in Self.commands {
      #expect(all.output.contains("\n  \(command) "), "\(command)")
      let help = try await Program.succeed([command, "--help"], in: folder)
      #expect(help.output.contains("USAGE: affinityd \(command)"))
      #expect(help.complaint.isEmpty)
      // Every option has words that say what it is for, beside it or on the line below.
      let list = help.output.splitOnce("OPTIONS:").1.split(separator: "\n").map(String.init)
      let starts = list.indices.filter { list[$0].hasPrefix("  -") }
      #expect(starts.count > (command == "run" ? 2 : 3), "\(command): \(list)")
      for at in starts {
        let words = list[at].dropFirst(26)
        let below = at + 1 < list.count ? list[at + 1].dropFirst(26) : ""
        #expect(
          words.contains(" ") || list[at].count <= 26 && words.isEmpty && !below.isEmpty
            || list[at].count > 26 && !below.isEmpty && list[at + 1].hasPrefix("      "),
          "\(command): \(list[at])")
      }
    }
    // What is said for some of them where a person looks for it.
    for (command, options) in [
      ("replay", ["--ticks", "--final", "--out", "--threads", "--config", "--set"]),
      ("produce", ["--bootstrap", "--rate", "--catalogue", "--event-timestamps", "--property"]),
      ("broker", ["--partitions", "--bootstrap-file"]), ("run", ["--config", "--set"]),
      ("import", ["--map", "--rejects", "--catalogue", "--without-refunds"]),
      ("simulate", ["--events", "--seed", "--late-by", "--duplicates"]),
      ("explain", ["--user", "--id", "--json"]), ("demo", ["--duration", "--logs"]),
      ("validate", ["--keys", "--effective", "--json"]),
    ] {
      let help = try await Program.succeed([command, "--help"], in: folder)
      for option in options { #expect(help.output.contains("  \(option)") || help.output.contains(", \(option)"), "\(command) \(option)") }
    }
    #expect(try await Program.run(["help", "run"], in: folder).status == 0)
  }

  @Test(arguments: [
    (["run", "--nonsense"], "--nonsense"), (["run", "more"], "more"),
    (["replay", "--out", "x"], "<files>"), (["replay", "a.jsonl"], "--out"),
    (["replay", "a.jsonl", "--out", "x", "--ticks", "often"], "ticks"),
    (["replay", "a.jsonl", "--out", "x", "--model.neighbours", "none"], "model.neighbours"),
    (["replay", "a.jsonl", "--out", "x", "--model.neigbours", "7"], "model.neighbours"),
    (["produce"], "<file>"), (["produce", "x", "-X", "linger"], "NAME=VALUE"),
    (["produce", "/dev/null", "-X", "lingr.ms=5"], "linger.ms"),
    (["broker", "--partitions", "0"], "--partitions"), (["demo", "--duration", "8"], "duration"),
    (["demo", "--items", "1"], "--items"), (["explain"], "<file>"), (["simulate", "--shape", "round"], "shape"),
    (["import", "xml", "x"], "xml"), ([], "SUBCOMMAND"),
  ])
  func wrongUseSaysWhatIsWrong(_ use: ([String], String)) async throws {
    let folder = try Folder("wrong")
    let outcome = try await Program.run(use.0, in: folder)
    if use.0.isEmpty {
      // No command at all is a question for help.
      #expect(outcome.status == 0 && outcome.output.contains(use.1))
      return
    }
    // `run` is a supervisor's, who reads sysexits.
    #expect(
      outcome.status == (use.0.first == "run" ? 64 : 2), "\(use.0): \(outcome.status) \(outcome.complaint)")
    #expect(outcome.complaint.contains(use.1), "\(use.0): \(outcome.complaint)")
    #expect(outcome.output.isEmpty)
  }

  @Test func whatCannotBeReadIsAFailure() async throws {
    let folder = try Folder("missing")
    for arguments in [
      ["replay", "/nowhere/log.jsonl", "--out", folder.file("x")],
      ["replay", "/dev/null", "--out", "/dev/null/x"], ["explain", "/nowhere/recommendations.jsonl"],
      ["produce", "/nowhere/log.jsonl", "-b", "127.0.0.1:1", "-X", "socket.timeout.ms=100"],
      ["broker", "--bootstrap-file", "/nowhere/file"],
    ] {
      if arguments[0] == "produce" { continue }  // asks the broker first, for 30 s
      let outcome = try await Program.run(arguments, in: folder)
      #expect(outcome.status == 1, "\(arguments): \(outcome.status) \(outcome.complaint)")
      #expect(outcome.complaint.hasPrefix("affinityd: "), "\(arguments): \(outcome.complaint)")
    }
  }

  @Test func jsonIsJSON() async throws {
    let folder = try Folder("json")
    let log = folder.file("log.jsonl")
    try await Program.succeed(["simulate", "--events", "3000", "--out", log], in: folder)
    let table = folder.file("table.csv")
    try "u,i,t\nann,a,1\nbob,b,2\nann,b,x\n".write(toFile: table, atomically: true, encoding: .utf8)
    func json(_ arguments: [String], status: Int32 = 0) async throws -> JSON {
      let outcome = try await Program.run(arguments + ["--json"], in: folder)
      #expect(outcome.status == status, "\(arguments): \(outcome.complaint)")
      return try JSON(outcome.output)
    }
    let replay = try await json(["replay", log, "--out", folder.file("out")])
    #expect(replay["records"]?.number == 3000)
    #expect(replay["digest"]?.string?.count == 32)
    let validate = try await json(["validate", log])
    #expect(validate["events"]?.number == 3000)
    let explain = try await json(["explain", folder.file("out")])
    #expect(explain["faults"]?.number == 0)
    let imported = try await json([
      "import", "csv", table, "--map", "user=u,item=i,time=t,type:=view", "--time-format", "s", "--out",
      folder.file("imported.jsonl"),
    ])
    #expect(imported["events"]?.number == 2)
    #expect(imported["rejected"]?["bad_time"]?.number == 1)
    for name in ["neighbours", "rules", "popular", "recommendations", "models", "metrics"] {
      for line in try lines(of: folder.file("out/\(name).jsonl")) {
        #expect(throws: Never.self) { try JSON(String(decoding: line, as: UTF8.self)) }
      }
    }
  }

  /// The same bytes again, with another number of threads.
  @Test func replayGivesTheSameBytes() async throws {
    let folder = try Folder("bytes")
    let log = folder.file("log.jsonl")
    try await Program.succeed(
      ["simulate", "--events", "15000", "--users", "1500", "--seed", "4", "--out", log], in: folder)
    for threads in ["1", "2", "5"] {
      try await Program.succeed(
        ["replay", log, "--out", folder.file(threads), "--threads", threads], in: folder)
    }
    for name in ["recommendations", "neighbours", "rules", "popular", "models", "dead-letters"] {
      let one = try Data(contentsOf: URL(fileURLWithPath: folder.file("1/\(name).jsonl")))
      #expect(name == "dead-letters" || one.count > 1000, "\(name)")
      for threads in ["2", "5"] {
        let other = try Data(contentsOf: URL(fileURLWithPath: folder.file("\(threads)/\(name).jsonl")))
        let isEqual = one == other
        #expect(isEqual, "\(name) with \(threads) threads")
      }
    }
  }

  @Test func theDemoShowsRecommendations() async throws {
    let folder = try Folder("demo")
    let demo = try Program(["demo", "--duration", "12s", "--logs", folder.file("logs")], in: folder)
    let outcome = try await demo.end(within: 90)
    #expect(outcome.status == 0, "\(outcome.complaint)")
    #expect(outcome.complaint.isEmpty)
    let text = outcome.output
    #expect(text.contains("Broker   127.0.0.1:"))
    // Three items by name, each with its reason in words.
    let shown = text.matches(of: /(?m)^For (u-\d+|a stranger)/).count
    #expect(shown >= 2, "\(text.prefix(3000))")
    let reasons = text.matches(
      of: /(?m)^  [123]\. \S.{10,} \d\.\d\d\d  (\d+ of \d+ |goes with |popular: in )/)
    #expect(reasons.count >= 3 * shown - 3, "\(text.prefix(3000))")
    #expect(text.contains(/\n\d+ recommendation messages in \d+ s, \d+ shown\./))
    #expect(!text.contains("sku-"), "names, not ids")
    try await expectSchema("metrics", folder.file("logs/metrics.jsonl"), in: folder)
  }
}

extension String {
  /// Before and after the first place of `separator`.
  func splitOnce(_ separator: String) -> (Substring, Substring) {
    guard let range = firstRange(of: separator) else { return (self[...], "") }
    return (self[..<range.lowerBound], self[range.upperBound...])
  }
}
