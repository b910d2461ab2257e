// The broker stands still, and is slow, and is not there.
import Events
import Foundation
import Kafka
import Testing

@Suite(.ownThread) struct OutageTests {
  /// The broker frozen for ten seconds under load, with a producer's queue of a hundred messages: the
  /// daemon waits, holds no more than its bounds, and goes on; each act has its list exactly once.
  @Test("faults 2, 5, 21, 22: a frozen broker and a tiny queue: held back, nothing lost, and a stop ends in time")
  func frozenBrokerAndTinyQueue() async throws {
    let folder = try Folder("outage")
    let log = folder.file("log.jsonl")
    try await Program.succeed(
      [
        "simulate", "--events", "20000", "--seed", "31", "--users", "1500", "--items", "300", "--start",
        "2024-03-01", "--span", "5d", "--out", log,
      ], in: folder)
    let settings = RestartTests.settings
    let flags = settings.keys.sorted().flatMap { ["--set", "\($0)=\(settings[$0] ?? "")"] }
    let replay = folder.file("replay")
    try await Program.succeed(
      ["replay", log, "--out", replay, "--ticks", "end", "--final"] + flags, in: folder)

    let broker = try await Broker(partitions: 6, in: folder)
    let reader = TopicReader(broker, topics: TopicReader.outputs + ["shop.events"])
    let daemon = try LiveDaemon(
      broker, in: folder, kafka: ["queue.buffering.max.messages": "100"],
      settings: settings.merging(["shutdown.timeout": "5s"]) { $1 })
    let producing = try Program(
      ["produce", log, "-b", broker.bootstrap, "--rate", "1500"], in: folder)
    try await eventually(60, "it runs: \(daemon.log.suffix(500))") {
      try daemon.requireRunning()
      return reader.count("affinity.recommendations") > 500
    }
    let before = daemon.metric("bytes.resident")
    broker.program.signal(SIGSTOP)
    var most = 0
    for _ in 0..<50 {
      try await pause(0.2)
      try daemon.requireRunning()
      most = max(most, daemon.metric("bytes.resident"))
    }
    broker.program.signal(SIGCONT)
    print("outage: resident \(before >> 20) MiB before, at most \(most >> 20) MiB while the broker stood still")
    #expect(most - before < 64 << 20)
    #expect(daemon.metric("messages_in_flight") <= 100)
    #expect(try await producing.end(within: 90).status == 0)
    try await daemon.settle(reader, events: 20_000, within: 90)
    let acknowledged = daemon.metric("messages_acknowledged")
    try await eventually(30, "the reader has \(acknowledged): \(reader.total)") {
      reader.total - reader.count("shop.events") >= acknowledged
    }

    let first = try #require(
      reader.read("affinity.models").first { $0.keyText == "m-000001" }?.json)
    let expected = causes(reader.read("shop.events"), from: first["activation"])
    let seen = reader.read("affinity.recommendations").compactMap(\.id)
    let caused = seen.filter { $0.hasPrefix("shop.events-") }
    #expect(expected.count > 5000)
    let isEach = Set(caused) == expected
    #expect(isEach, "\(Set(caused).count) of \(expected.count) lists")
    #expect(caused.count == expected.count, "lists came twice")
    func user(_ json: JSON) -> String? {
      json["user"]?.string ?? json["session"]?.string.map { "~" + $0 }
    }
    expectEqual(
      "lists", reader.table("affinity.recommendations").mapValues(scores),
      try finalTable(replay + "/recommendations.jsonl", key: user).mapValues(scores))

    // Now the broker freezes for good. A stop is given up at shutdown.timeout, and says so.
    broker.program.signal(SIGSTOP)
    daemon.program.signal(SIGTERM)
    let outcome = try await daemon.program.end(within: 30)
    // 0 where nothing was on its way.
    #expect([0, 75].contains(outcome.status), "\(outcome.status) \(outcome.complaint)")
    #expect(outcome.status == 0 || outcome.complaint.contains("shutdown timeout"))
  }

  /// A second SIGTERM ends a drain that hangs.
  @Test("fault 2: the second signal ends it at once")
  func secondSignalEndsAtOnce() async throws {
    let folder = try Folder("twice")
    let log = folder.file("log.jsonl")
    try await Program.succeed(
      ["simulate", "--events", "3000", "--seed", "2", "--start", "2024-03-01", "--span", "5d", "--out", log],
      in: folder)
    let broker = try await Broker(partitions: 2, in: folder)
    let daemon = try LiveDaemon(
      broker, in: folder, kafka: ["queue.buffering.max.messages": "10"],
      settings: ["recommend.linger": "0s", "recommend.refresh": "30d", "shutdown.timeout": "10m"])
    let producing = try Program(["produce", log, "-b", broker.bootstrap, "--rate", "600"], in: folder)
    try await eventually(60, "it publishes") {
      try daemon.requireRunning()
      return daemon.metric("messages.recommendations") > 100
    }
    broker.program.signal(SIGSTOP)
    try await pause(0.5)
    daemon.program.signal(SIGTERM)
    try await pause(1.5)
    #expect(daemon.program.isRunning, "the drain did not wait for what was on its way")
    daemon.program.signal(SIGTERM)
    let outcome = try await daemon.program.end(within: 5)
    #expect(outcome.status == 130)
    _ = producing
  }

  /// Nobody listens: 75 and the address that was tried, and a stop meanwhile is heard.
  @Test func noBrokerIsTryAgain() async throws {
    let folder = try Folder("away")
    let arguments = [
      "run", "--kafka.bootstrap.servers", "127.0.0.1:1", "--metrics.file", folder.file("metrics.jsonl"),
      "--set", "state.directory=off",
    ]
    let waiting = try Program(arguments, in: folder)
    let stopped = try Program(arguments, in: folder)
    try await pause(2)
    #expect(stopped.isRunning, "\(stopped.complaint)")
    stopped.signal(SIGTERM)
    #expect(try await stopped.end(within: 10).status == 0)
    let outcome = try await waiting.end(within: 60)
    #expect(outcome.status == 75)
    #expect(outcome.complaint.contains("127.0.0.1:1"))
    #expect(outcome.complaint.contains("after 30 s"))
  }

  /// Everything that is wrong with a configuration at once, 78; a file that cannot be opened, 73.
  @Test("fault 23: all that is wrong with a configuration is told at once, with 78")
  func whatASupervisorMustTellApart() async throws {
    let folder = try Folder("start")
    let path = folder.file("affinity.yaml")
    try """
      kafka: {bootstrap.servers: "127.0.0.1:1", lingr.ms: 5, acks: "0", sasl.password: "hunter2"}
      model: {interval: 60}
      rules: {min_confidence: 1.4}
      colour: red
      """.write(toFile: path, atomically: true, encoding: .utf8)
    let wrong = try await Program.run(
      ["run", "--config", path, "--model.neighbours", "0"], in: folder,
      environment: ["AFFINITY_RECOMMEND__TOP": "many"])
    #expect(wrong.status == 78)
    for part in [
      "faults in the configuration", "affinity.yaml:1", "linger.ms", "acks", "affinity.yaml:2: model.interval 60",
      "affinity.yaml:3: rules.min_confidence 1.4", "affinity.yaml:4", "colour", "AFFINITY_RECOMMEND__TOP",
      "--model.neighbours",
    ] { #expect(wrong.complaint.contains(part), "\(part): \(wrong.complaint)") }
    #expect(!wrong.complaint.contains("hunter2"))
    let missing = try await Program.run(["run", "--config", "/nowhere/affinity.yaml"], in: folder)
    #expect(missing.status == 78)
    #expect(missing.complaint.contains("/nowhere/affinity.yaml"))

    for key in ["metrics.file", "log.file"] {
      let outcome = try await Program.run(["run", "--\(key)", "/nowhere/file"], in: folder)
      #expect(outcome.status == 73, "\(key): \(outcome.complaint)")
      #expect(outcome.complaint.contains("/nowhere/file"))
    }
  }

  /// Whoever read standard output has gone: lines are dropped and counted, the daemon lives.
  @Test("fault 26: a closed pipe for the metrics ends nothing")
  func closedPipe() async throws {
    let folder = try Folder("pipe")
    let broker = try await Broker(partitions: 1, in: folder)
    let (log, pid, status) = (folder.file("daemon.log"), folder.file("pid"), folder.file("status"))
    let command =
      "( \"$0\" run --kafka.bootstrap.servers \(broker.bootstrap) --metrics.interval 100ms --log.file \(log) & echo $! > \(pid); wait $!; echo $? > \(status) ) | head -n 2"
    let shell = try Program(["-c", command, Program.path], in: folder, name: "pipe", program: "/bin/sh")
    try await eventually(30, "two lines of metrics") { shell.output.utf8.count { $0 == 10 } == 2 }
    try await pause(1.5)
    #expect(!FileManager.default.fileExists(atPath: status), "the daemon ended with its reader")
    let text = try String(contentsOfFile: pid, encoding: .utf8)
    kill(try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines))), SIGTERM)
    try await eventually(40, "it ends") { FileManager.default.fileExists(atPath: status) }
    #expect(try String(contentsOfFile: status, encoding: .utf8) == "0\n")
    #expect(try String(contentsOfFile: log, encoding: .utf8).contains("stopped: 0 records read"))
  }
}
