// What a supervisor sees of the real process: probes, metrics, systemd's messages, SIGHUP, and an end that
// comes whatever hangs.
import Events
import Foundation
import Glibc
import Testing

/// `affinityd run` under a supervisor: an admin port, and a socket that plays systemd.
final class SupervisedDaemon: @unchecked Sendable {
  let folder: Folder
  let configuration: String
  let logPath: String
  let program: Program
  private let notify: Int32
  private(set) var told: [String] = []

  init(_ broker: Broker, in folder: Folder, settings: [String] = []) throws {
    self.folder = folder
    configuration = folder.file("affinity.yaml")
    logPath = folder.file("daemon.log")
    notify = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    let path = folder.file("notify")
    var target = sockaddr_un()
    target.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
    let status = withUnsafePointer(to: &target) { [notify] in
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(notify, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(status == 0, "\(path): \(String(cString: strerror(errno)))")
    try """
      kafka: {bootstrap.servers: "\(broker.bootstrap)", session.timeout.ms: 6000, linger.ms: 5, statistics.interval.ms: 500}
      delivery: at_least_once
      state: {directory: "\(folder.file("state"))"}
      model: {interval: 500ms}
      metrics: {interval: 200ms, file: "\(folder.file("metrics.jsonl"))"}
      log: {file: "\(logPath)"}
      admin: {listen: "127.0.0.1:0"}
      health: {max_silence: 2s}

      """.write(toFile: configuration, atomically: true, encoding: .utf8)
    program = try Program(
      ["run", "--config", configuration] + settings.flatMap { ["--set", $0] }, in: folder,
      environment: ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"])
  }
  deinit { close(notify) }

  var log: String { (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? "" }

  /// Everything told so far.
  func listen() -> [String] {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let n = recv(notify, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      if n < 0 { return told }
      told += String(decoding: buffer[..<n], as: UTF8.self).split(separator: "\n").map(String.init)
    }
  }

  /// The port, once the log names it.
  private func port() throws -> UInt16? {
    guard let match = log.firstMatch(of: /admin port on 127\.0\.0\.1:([0-9]+)/) else { return nil }
    return UInt16(match.1)
  }

  /// Status and body; 0 where nobody answers.
  func get(_ path: String) throws -> (status: Int, body: String) {
    guard let port = try port() else { return (0, "") }
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    target.sin_port = port.bigEndian
    let status = withUnsafePointer(to: &target) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if status != 0 { return (0, "") }
    let request = Array("GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8)
    _ = send(descriptor, request, request.count, Int32(MSG_NOSIGNAL))
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let n = recv(descriptor, &chunk, chunk.count, 0)
      if n <= 0 { break }
      bytes.append(contentsOf: chunk[..<n])
    }
    let text = String(decoding: bytes, as: UTF8.self)
    guard let end = text.range(of: "\r\n\r\n"), let code = Int(text.dropFirst(9).prefix(3)) else {
      return (0, text)
    }
    return (code, String(text[end.upperBound...]))
  }

  /// A sample of /metrics by its name and labels.
  func metric(_ name: String) throws -> Double? {
    try get("/metrics").body.split(separator: "\n").first { $0.hasPrefix(name + " ") }
      .flatMap { Double($0.dropFirst(name.count + 1)) }
  }

  func requireReady(within seconds: Double = 60) async throws {
    try await eventually(seconds, "ready: \(self.log.suffix(1500)) \((try? self.get("/readyz").body) ?? "")") {
      try #require(program.isRunning, "\(program.complaint) \(log.suffix(2000))")
      return try get("/readyz").status == 200
    }
  }
}

@Suite(.ownThread) struct HealthTests {
  /// From the start to the end, with a stalled broker (fault 5) and two reloads (fault 24) between.
  @Test("faults 5, 24: what a supervisor sees, of a stalled broker and of bad reloads too")
  func whatASupervisorSees() async throws {
    let folder = try Folder("health")
    let log = folder.file("log.jsonl")
    try await Program.succeed(
      ["simulate", "--events", "3000", "--seed", "7", "--start", "2024-03-01", "--span", "5d", "--out", log],
      in: folder)
    let broker = try await Broker(partitions: 2, in: folder)
    let daemon = try SupervisedDaemon(broker, in: folder)
    // Joining the group takes the embedded broker three seconds: live, not started.
    try await eventually(30, "the admin port answers: \(daemon.log)") { try daemon.get("/livez").status == 200 }
    #expect(try daemon.get("/startupz").status == 503)
    #expect(try daemon.get("/readyz").body.contains("assigned: failed: no partitions\n"))
    // An empty topic has no model to wait for.
    try await daemon.requireReady()
    #expect(try daemon.get("/startupz").status == 200)
    #expect(try daemon.get("/readyz?verbose").body.contains("model: ok: waits for the first event\n"))
    try await eventually(10, "systemd is told: \(daemon.told)") {
      let told = daemon.listen()
      return told.contains("READY=1") && told.count { $0 == "WATCHDOG=1" } >= 3
    }
    #expect(daemon.told.first == "EXTEND_TIMEOUT_USEC=60000000")

    try await Program.succeed(["produce", log, "-b", broker.bootstrap], in: folder)
    try await eventually(60, "all is read and a model in force") {
      try daemon.metric("affinity_records_total") == 3000 && daemon.metric("affinity_models_total") ?? 0 >= 1
        && daemon.get("/readyz").status == 200
    }
    #expect(try daemon.metric("affinity_event_outcomes_total{outcome=\"applied\"}") == 3000)
    try await eventually(10, "no lag") {
      try daemon.metric("affinity_consumer_lag_records{topic=\"shop.events\",partition=\"1\"}") == 0
    }
    let status = try JSON(try daemon.get("/status").body)
    #expect(status["phase"]?.string == "running")
    #expect(status["metrics"]?["events_total"]?.number == 3000)
    #expect(status["models"]?.array?.isEmpty == false)
    #expect(try daemon.get("/").body.hasPrefix("<!doctype html>"))

    // The broker stands still: nothing to restart us for, and nothing to send us traffic for.
    broker.program.signal(SIGSTOP)
    try await eventually(30, "not ready: \((try? daemon.get("/readyz?verbose").body) ?? "")") {
      try daemon.get("/readyz").body.contains("brokers: failed: no answer for")
    }
    #expect(try daemon.get("/livez").status == 200)
    broker.program.signal(SIGCONT)
    try await daemon.requireReady()
    #expect(daemon.log.contains("warning affinityd: not ready: brokers: no answer for"))

    // A bad configuration changes nothing; a good one what it can.
    let good = try String(contentsOfFile: daemon.configuration, encoding: .utf8)
    try good.replacing("500ms", with: "500").write(
      toFile: daemon.configuration, atomically: true, encoding: .utf8)
    #expect(try daemon.metric("affinity_config_last_reload_successful") == 1)
    daemon.program.signal(SIGHUP)
    try await eventually(20, "the reload is refused: \(daemon.log.suffix(500))") {
      try daemon.metric("affinity_config_last_reload_successful") == 0
    }
    #expect(daemon.log.contains("the configuration has 1 fault, the old one stays in force: affinity.yaml:4: model.interval 500"))
    try good.replacing("500ms", with: "700ms").replacing("max_silence: 2s", with: "max_silence: 3s")
      .write(toFile: daemon.configuration, atomically: true, encoding: .utf8)
    daemon.program.signal(SIGHUP)
    try await eventually(20, "the reload is taken: \(daemon.log.suffix(500))") {
      try daemon.metric("affinity_config_last_reload_successful") == 1
    }
    #expect(daemon.log.contains("configuration: now model.interval 700ms, health.max_silence 3s"))
    #expect(daemon.listen().count { $0 == "RELOADING=1" } == 2)

    daemon.program.signal(SIGTERM)
    #expect(try await daemon.program.end(within: 40).status == 0)
    #expect(daemon.listen().contains("STOPPING=1"))
  }

  /// Fault 2 where a call does not return. A loop that hangs: not live, no sign of life for systemd, and a stop ends it all the same, with 75 at the
  /// shutdown timeout. The hang is a system call of its thread that strace holds back.
  @Test func hangingLoopIsSeenAndEnded() async throws {
    let strace = "/usr/bin/strace"
    guard FileManager.default.isExecutableFile(atPath: strace) else {
      print("note: \(strace) is not there; a hanging loop is not tried")
      return
    }
    let folder = try Folder("hang")
    let broker = try await Broker(partitions: 1, in: folder)
    let daemon = try SupervisedDaemon(
      broker, in: folder, settings: ["shutdown.timeout=2s", "health.watchdog=1s"])
    try await daemon.requireReady()
    let hang = try Program(
      [
        "-o", folder.file("strace.out"), "-p", "\(daemon.program.processID)", "-e", "trace=futex",
        "-e", "inject=futex:delay_enter=100000000",
      ], in: folder, name: "strace", program: strace)
    try await eventually(20, "not live: \(hang.complaint) \(daemon.log.suffix(500))") {
      try daemon.get("/livez").status == 503 || !hang.isRunning
    }
    if !hang.isRunning, hang.complaint.contains("Operation not permitted") {
      print("note: strace may not attach here; a hanging loop is not tried")
      return
    }
    #expect(try daemon.get("/livez").body.contains("loop: failed: has not turned for"))
    #expect(try daemon.get("/readyz").status == 503)
    try await eventually(5, "it is logged") { daemon.log.contains("warning affinityd: not live: loop: has not turned") }
    let before = daemon.listen().count
    try await pause(1.5)
    #expect(daemon.listen().count == before, "signs of life from a loop that hangs")

    daemon.program.signal(SIGTERM)
    try await eventually(20, "it is given up: \(daemon.log.suffix(500))") {
      daemon.log.contains("critical affinityd: not ended 2s after the signal, the shutdown timeout")
    }
    // It has ended; only strace still holds on to the thread it keeps.
    try await eventually(5, "its threads end") {
      let threads = try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(daemon.program.processID)/task")
      return (threads ?? []).count <= 1
    }
    hang.signal(SIGKILL)
    let outcome = try await daemon.program.end(within: 20)
    #expect(outcome.status == 75, "\(outcome.status) \(outcome.signal ?? 0)")
    #expect(outcome.complaint.contains("the shutdown timeout: left as it is"))
  }

  /// Wrong use is 64 in `run`, and 2 elsewhere.
  @Test func wrongUse() async throws {
    let folder = try Folder("use")
    for arguments in [["run", "--nonsense"], ["run", "--set", "x"], ["run", "file"]] {
      let outcome = try await Program.run(arguments, in: folder)
      #expect(outcome.status == 64, "\(arguments): \(outcome.status) \(outcome.complaint)")
    }
    #expect(try await Program.run(["run", "--help"], in: folder).status == 0)
    #expect(try await Program.run(["validate", "--nonsense"], in: folder).status == 2)
  }

  /// The admin port is taken: said, and no reason to publish nothing.
  @Test func takenPort() async throws {
    let folder = try Folder("port")
    let broker = try await Broker(partitions: 1, in: folder)
    let first = try SupervisedDaemon(broker, in: folder)
    try await eventually(30, "it listens") { try first.get("/livez").status == 200 }
    let address = try #require(first.log.firstMatch(of: /admin port on (127\.0\.0\.1:[0-9]+)/)).1
    let other = folder.file("other.log")
    let second = try Program(
      [
        "run", "--kafka.bootstrap.servers", broker.bootstrap, "--kafka.group.id", "other", "--log.file", other,
        "--set", "admin.listen=\(address)", "--set", "state.directory=off",
      ], in: folder, name: "second")
    try await eventually(30, "it goes on") {
      let text = (try? String(contentsOfFile: other, encoding: .utf8)) ?? ""
      return text.contains("error affinityd: admin.listen \(address): Address already in use; going on without")
        && text.contains("reading shop.events as group other")
    }
    second.signal(SIGTERM)
    #expect(try await second.end(within: 40).status == 0)
  }
}
