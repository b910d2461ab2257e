// Health, what systemd is told, and the configuration read anew: by a clock of the test's own, a socket that
// plays systemd, and files.
import Daemon
import Foundation
import Glibc
import Logging
import Synchronization
import Testing

@Suite struct SupervisionTests {
  static let second: Int64 = 1_000_000_000

  static func failing(_ health: Health, at seconds: Int64) -> [String] {
    health.status(at: seconds * second).ready.filter { !$0.isGood }.map(\.name)
  }

  /// A report in each second from `from` to `to`, the loop turning.
  static func run(
    _ health: Health, _ from: Int64, _ to: Int64, _ change: (inout LoopReport, Int64) -> Void = { _, _ in }
  ) {
    for at in from...to {
      var report = AdminTests.good()
      report.lags = [(0, 0)]
      change(&report, at)
      health.turned(at: at * second)
      health.report(report, at: at * second)
    }
  }

  /// From the start to the first list: each state in its turn.
  @Test func startUp() {
    let health = Health(at: 0)
    func at(_ seconds: Int64, _ change: (inout LoopReport) -> Void) -> HealthStatus {
      Self.run(health, seconds, seconds) { report, _ in change(&report) }
      return health.status(at: seconds * Self.second)
    }
    let connecting = at(1) {
      $0.phase = .connecting
      $0.hasModel = false
    }
    #expect(connecting.isLive && !connecting.isStarted && !connecting.isReady)
    let restoring = at(2) {
      $0.phase = .restoring
      $0.hasModel = false
      $0.restored = (400, 1000)
    }
    #expect(restoring.started.first?.detail == "restoring: 400 of 1000 records")
    #expect(restoring.phase == "restoring" && !restoring.isStarted)
    // The model of what was committed is in force: started, though not at the end yet.
    let catching = at(3) {
      $0.phase = .catchingUp
      $0.lags = [(0, 99_000), (1, 1_001)]
    }
    #expect(catching.isStarted && !catching.isReady)
    #expect(Self.failing(health, at: 3) == ["lag"])
    #expect(at(4) { $0.phase = .catchingUp }.isReady)
    #expect(at(5) { _ in }.isReady)
    // A rebalance takes everything away: not ready, and started all the same.
    let away = at(6) { $0.phase = .connecting }
    #expect(away.isStarted && !away.isReady)
    #expect(Self.failing(health, at: 6) == ["assigned"])
    health.stopping()
    #expect(health.status(at: 7 * Self.second).phase == "stopping")
    #expect(Self.failing(health, at: 6) == ["stopping", "assigned"])
  }

  /// A first start reads everything before its first model; an empty topic has none to wait for.
  @Test func firstStart() {
    let health = Health(at: 0)
    Self.run(health, 1, 1) { report, _ in
      report.phase = .catchingUp
      report.hasModel = false
    }
    #expect(!health.status(at: Self.second).isStarted)
    Self.run(health, 2, 2) { report, _ in report.hasModel = false }
    #expect(health.status(at: 2 * Self.second).isStarted)
    #expect(Self.failing(health, at: 2) == ["model"])
    Self.run(health, 3, 3) { report, _ in
      report.hasModel = false
      report.awaitsFirstEvent = true
    }
    #expect(Self.failing(health, at: 3) == [])
  }

  /// Above the limit it is lagging until it has come below half of it: no flicker at the edge.
  @Test func lagHasHysteresis() {
    var limits = HealthLimits()
    limits.maxLag = 100
    let health = Health(limits, at: 0)
    let expected: [(Int, Bool)] = [(100, true), (101, false), (100, false), (51, false), (50, true), (100, true), (101, false)]
    for (i, (lag, isReady)) in expected.enumerated() {
      Self.run(health, Int64(i), Int64(i)) { report, _ in report.lags = [(0, lag / 2), (1, lag - lag / 2)] }
      #expect(health.status(at: Int64(i) * Self.second).isReady == isReady, "\(lag)")
    }
  }

  /// Fault 5: the network stalls. Live all the while, not ready after 30 s of silence where one is due.
  @Test func silence() {
    // Records are there and none comes.
    let fetch = Health(at: 0)
    Self.run(fetch, 1, 60) { report, at in report.lags = [(0, at >= 10 ? 5 : 0)] }
    #expect(Self.failing(fetch, at: 39) == [])
    #expect(Self.failing(fetch, at: 40) == ["fetch"])
    #expect(fetch.status(at: 60 * Self.second).isLive)
    // One record is enough.
    Self.run(fetch, 61, 61) { report, _ in
      report.lags = [(0, 4)]
      report.records = 101
    }
    #expect(Self.failing(fetch, at: 61) == [])

    // Fetching stands by our own decision: that is no silence of the brokers.
    let paused = Health(at: 0)
    Self.run(paused, 1, 60) { report, _ in
      report.lags = [(0, 5)]
      report.isPaused = true
    }
    #expect(Self.failing(paused, at: 60) == [])

    // Messages are on their way and none is acknowledged.
    let publish = Health(at: 0)
    Self.run(publish, 1, 45) { report, at in
      report.outstanding = at >= 10 ? 3 : 0
      report.acknowledged = 7
    }
    #expect(Self.failing(publish, at: 39) == [])
    #expect(Self.failing(publish, at: 40) == ["publish"])
    Self.run(publish, 46, 46) { report, _ in
      report.outstanding = 2
      report.acknowledged = 8
    }
    #expect(Self.failing(publish, at: 46) == [])
  }

  /// With nothing to read and nothing to send, the client's count of answers tells whether anybody is there.
  @Test func statisticsTellOfBrokers() {
    let health = Health(at: 0)
    func statistics(_ responses: String, at seconds: Int64) {
      let text =
        #"{ "name": "rdkafka#consumer-1", "brokers":{ "a:1/0": { "name":"a:1/0", "tx":9, "rx":77, "rxidle":5 } }, "topics":{}, "tx":10, "tx_bytes":1, "rx":\#(responses), "rx_bytes":4 }"#
      Array(text.utf8).withUnsafeBytes { health.took(statistics: $0, at: seconds * Self.second) }
    }
    Self.run(health, 0, 0)
    statistics("100", at: 5)
    statistics("150", at: 10)
    statistics(" 150", at: 15)  // none since 10
    Self.run(health, 16, 44)
    #expect(Self.failing(health, at: 40) == [])
    statistics("150", at: 40)
    #expect(Self.failing(health, at: 41) == ["brokers"])
    #expect(
      health.status(at: 45 * Self.second).ready.first { $0.name == "brokers" }?.detail
        == "no answer for 35.0s; health.max_silence is 30.0s")
    statistics("151", at: 45)
    #expect(Self.failing(health, at: 45) == [])
    // What is no statistics changes nothing.
    for text in ["", "{}", "\"rx\":", "\"rx\":x"] {
      Array(text.utf8).withUnsafeBytes { health.took(statistics: $0, at: 46 * Self.second) }
    }
    #expect(Self.failing(health, at: 46) == [])
  }

  // MARK: the log

  final class Lines: LogHandler, @unchecked Sendable {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info
    let lines = Mutex<[String]>([])
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { lines.withLock { $0.append("\(event.level) \(event.message)") } }
    var all: [String] { lines.withLock { $0 } }
  }

  /// A change of state is one line, also where the loop hangs; what stays as it is is none.
  @Test func changesAreLogged() throws {
    var limits = HealthLimits()
    limits.watchdog = 1000
    let health = Health(limits)
    let lines = Lines()
    let watch = HealthWatch(health, log: Logger(label: "test") { _ in lines })
    defer { watch.end() }
    func now() -> Int64 { Int64(DispatchTime.now().uptimeNanoseconds) }
    /// Keeps the loop turning until the log has so many lines.
    func until(_ count: Int, turning: Bool, _ report: LoopReport? = nil) throws {
      for _ in 0..<400 where lines.all.count < count {
        if turning {
          health.turned(at: now())
          if let report { health.report(report, at: now()) }
        }
        usleep(50_000)
      }
      try #require(lines.all.count == count, "\(lines.all)")
    }
    var behind = AdminTests.good()
    behind.lags = [(0, 200_000)]
    try until(2, turning: true, AdminTests.good())
    try until(3, turning: true, behind)
    try until(4, turning: true, AdminTests.good())
    try until(6, turning: false)
    try until(8, turning: true, AdminTests.good())
    let hung = lines.all[4].replacing(/for [0-9.]+m?s/, with: "for S")
    #expect(
      lines.all[..<4] == [
        "info started", "info ready", "warning not ready: lag: 200000 records; health.max_lag is 100000",
        "info ready",
      ])
    #expect(hung == "warning not live: loop: has not turned for S; health.watchdog is 1.0s")
    #expect(lines.all[5].hasPrefix("warning not ready: loop: has not turned for"))
    #expect(lines.all[6...] == ["info live again", "info ready"])
  }

  // MARK: systemd

  /// A socket that plays systemd.
  final class Manager {
    let descriptor: Int32
    init(_ path: [UInt8]) throws {
      descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
      var target = sockaddr_un()
      target.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: path) }
      let status = withUnsafePointer(to: &target) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { [descriptor] in
          bind(descriptor, $0, socklen_t(MemoryLayout<sa_family_t>.size + path.count))
        }
      }
      try #require(status == 0, "bind: \(String(cString: strerror(errno)))")
    }
    deinit { close(descriptor) }

    /// What has come since it was last asked.
    var messages: [String] {
      var all: [String] = []
      var buffer = [UInt8](repeating: 0, count: 4096)
      while true {
        let n = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if n < 0 { return all }
        all.append(String(decoding: buffer[..<n], as: UTF8.self))
      }
    }
  }

  @Test func systemdIsTold() throws {
    let id = UUID().uuidString.prefix(8)
    let path = NSTemporaryDirectory() + "affinity-notify-\(id)"
    defer { unlink(path) }
    for (written, address) in [
      (path, Array(path.utf8)), ("@affinity-\(id)", [0] + Array("affinity-\(id)".utf8)),
    ] {
      let manager = try Manager(address)
      let health = Health(
        manager: ServiceManager(["NOTIFY_SOCKET": written, "WATCHDOG_USEC": "4000000"]), at: 0)
      // Starting: the time-out is put off as long as the loop turns.
      for at in 1...11 { health.turned(at: Int64(at) * Self.second) }
      #expect(manager.messages == ["EXTEND_TIMEOUT_USEC=60000000", "EXTEND_TIMEOUT_USEC=60000000"])
      health.reloading(at: 1)
      health.reloaded()
      #expect(manager.messages == [])
      var report = AdminTests.good()
      report.phase = .restoring
      report.restored = (1, 2)
      health.report(report, at: 12 * Self.second)
      #expect(manager.messages == ["STATUS=restoring: 1 of 2 records"])
      // Ready, then a sign of life each half of the watchdog's time.
      health.report(AdminTests.good(), at: 13 * Self.second)
      #expect(manager.messages == ["READY=1\nSTATUS=running, 7 records behind"])
      for tenth in 130...190 { health.turned(at: Int64(tenth) * Self.second / 10) }
      #expect(manager.messages == [String](repeating: "WATCHDOG=1", count: 4))
      // The status when it has changed, not oftener than each two seconds.
      report = AdminTests.good()
      for tenth in 190...230 {
        report.lags = [(0, tenth)]
        health.report(report, at: Int64(tenth) * Self.second / 10)
      }
      #expect(
        manager.messages == [190, 210, 230].map { "STATUS=running, \($0) records behind" })
      health.reloading(at: 24_000_001_000)
      health.reloaded()
      health.stopping()
      #expect(
        manager.messages
          == ["RELOADING=1\nMONOTONIC_USEC=24000001", "READY=1", "STOPPING=1\nSTATUS=stopping"])
    }
  }

  @Test func systemdIsNotThere() throws {
    #expect(ServiceManager([:]) == nil)
    for path in ["", "relative", "vsock:1:2", "/" + String(repeating: "x", count: 200)] {
      #expect(ServiceManager(["NOTIFY_SOCKET": path]) == nil, "\(path)")
    }
    // Nobody listens, or nobody reads: nothing waits.
    let gone = Health(manager: ServiceManager(["NOTIFY_SOCKET": "/nowhere/notify"]), at: 0)
    gone.turned(at: Self.second)
    let name = "affinity-\(UUID().uuidString.prefix(8))"
    let manager = try Manager([0] + Array(name.utf8))
    let full = Health(
      manager: ServiceManager(["NOTIFY_SOCKET": "@\(name)", "WATCHDOG_USEC": "2"]), at: 0)
    full.report(AdminTests.good(), at: 0)
    for at in 1...10_000 { full.turned(at: Int64(at) * 1_000_000) }
    #expect(manager.messages.count < 10_000)
    // Someone else's watchdog, or none: no signs of life.
    for environment in [
      ["WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"], [:], ["WATCHDOG_USEC": "soon"],
    ] {
      let health = Health(
        manager: ServiceManager(environment.merging(["NOTIFY_SOCKET": "@\(name)"]) { $1 }), at: 0)
      health.report(AdminTests.good(), at: 0)
      for at in 1...20 { health.turned(at: Int64(at) * Self.second) }
      #expect(manager.messages == ["READY=1\nSTATUS=running, 7 records behind"])
    }
  }

  // MARK: reload

  /// Fault 24: a bad configuration on SIGHUP. The old one stays, the log tells all that is wrong.
  @Test("fault 24: a bad configuration on SIGHUP: the old one stays, the log tells all that is wrong")
  func reload() throws {
    let path = NSTemporaryDirectory() + "affinity-reload-\(UUID().uuidString).yaml"
    defer { unlink(path) }
    func write(_ text: String) throws { try text.write(toFile: path, atomically: true, encoding: .utf8) }
    let lines = Lines()
    let applied = Mutex<[Configuration]>([])
    try write("model: {interval: 10s}\n")
    let first = try Configuration.load(file: path, environment: [:])
    let reloader = Reloader(
      first, log: Logger(label: "test") { _ in lines },
      load: { () throws(ConfigurationProblems) in try Configuration.load(file: path, environment: [:]) },
      apply: { fresh in applied.withLock { $0.append(fresh) } })
    #expect(reloader.lastSucceeded)
    #expect(reloader.reload() == nil)
    #expect(lines.all.last == "info configuration: nothing changed")

    try write("model: {interval: 10}\nrules: {min_confidence: 7}\nkafka: {sasl.password: hunter2, lingr.ms: 1}\n")
    #expect(reloader.reload() == nil)
    #expect(!reloader.lastSucceeded)
    let said = try #require(lines.all.last)
    #expect(said.hasPrefix("error the configuration has 3 faults, the old one stays in force: "))
    for part in ["model.interval 10", "rules.min_confidence 7", "lingr.ms"] { #expect(said.contains(part)) }
    unlink(path)
    #expect(reloader.reload() == nil)
    #expect(!reloader.lastSucceeded)

    // Good again: what can change does, what cannot is named and stays.
    try write(
      """
      model: {interval: 20s, neighbours: 7, relations: {mine: {measure: llr}}}
      recommend: {linger: 1s}
      metrics: {interval: 1s}
      log: {level: debug}
      health: {max_lag: 5}
      kafka: {sasl.password: hunter2, linger.ms: "7"}
      """)
    let fresh = try #require(reloader.reload())
    #expect(reloader.lastSucceeded)
    var expected = first
    expected.modelInterval = 20_000
    expected.engine.recommend.linger = 1000
    expected.metricsInterval = 1000
    expected.logLevel = .debug
    expected.health.maxLag = 5
    #expect(fresh == expected)
    #expect(applied.withLock { $0.last } == expected)
    #expect(
      lines.all.suffix(2) == [
        "warning configuration: model.neighbours, model.relations, kafka.linger.ms, kafka.sasl.password changed, which needs a restart",
        "info configuration: now model.interval 20s, recommend.linger 1s, metrics.interval 1s, health.max_lag 5, log.level debug",
      ])
    #expect(!lines.all.contains { $0.contains("hunter2") })
    // What needs a restart is said each time.
    #expect(reloader.reload() == nil)
    #expect(lines.all.last?.hasPrefix("warning configuration: model.neighbours") == true)
  }

  @Test func logLevelChanges() throws {
    let path = NSTemporaryDirectory() + "affinity-level-\(UUID().uuidString).log"
    defer { unlink(path) }
    let threshold = LogThreshold(.warning)
    let file = try ReopenableFile(path: path)
    let logger = Logger(label: "test") { LogFile(label: $0, file: file, threshold: threshold) }
    logger.info("one")
    threshold.set(.debug)
    logger.debug("two")
    threshold.set(.error)
    logger.warning("three")
    let text = try String(contentsOfFile: path, encoding: .utf8)
    #expect(!text.contains("one") && text.hasSuffix("debug test: two\n"))
  }

  // MARK: log files

  /// Fault 26: renamed and opened anew a hundred times while two threads write. No line is torn, none lost.
  @Test func rotation() throws {
    let folder = NSTemporaryDirectory() + "affinity-rotation-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/log"
    let file = try ReopenableFile(path: path)
    let done = DispatchSemaphore(value: 0)
    final class Counters: Sendable {
      let written = Atomic<Int>(0)
      let isEnded = Atomic<Bool>(false)
    }
    let counters = Counters()
    let write: @Sendable (Int) -> Void = { thread in
      var i = 0
      while !counters.isEnded.load(ordering: .relaxed) {
        Array("\(thread) \(i) \(String(repeating: "x", count: i % 5000)) end".utf8).withUnsafeBytes { file.write(line: $0) }
        counters.written.wrappingAdd(1, ordering: .relaxed)
        i += 1
      }
      done.signal()
    }
    for thread in 0..<2 { Thread.detachNewThread { write(thread) } }
    for i in 0..<100 {
      rename(path, "\(path).\(i)")
      file.reopen()
      usleep(1000)
    }
    counters.isEnded.store(true, ordering: .relaxed)
    for _ in 0..<2 { done.wait() }
    var next = [0, 0]
    for name in (0..<100).map({ "\(path).\($0)" }) + [path] {
      for line in try String(contentsOfFile: name, encoding: .utf8).split(separator: "\n") {
        let parts = line.split(separator: " ")
        let thread = try #require(Int(parts[0]))
        try #require(parts.last == "end" && Int(parts[1]) == next[thread], "\(name): \(line.prefix(40))")
        next[thread] += 1
      }
    }
    #expect(next[0] + next[1] == counters.written.load(ordering: .relaxed))
    #expect(file.dropped == 0)
  }

  /// Whoever reads the other end of a pipe has fallen asleep: writing does not wait, and what comes out in the
  /// end are whole lines.
  @Test func sleepingReader() throws {
    let path = NSTemporaryDirectory() + "affinity-pipe-\(UUID().uuidString.prefix(8))"
    #expect(mkfifo(path, 0o600) == 0)
    defer { unlink(path) }
    let reader = open(path, O_RDONLY | O_NONBLOCK)
    defer { close(reader) }
    let file = try ReopenableFile(path: path)
    let lines = (0..<200).map { "\($0) \(String(repeating: "y", count: 3000 + $0 * 7)) end" }
    for line in lines { Array(line.utf8).withUnsafeBytes { file.write(line: $0) } }
    #expect(file.dropped > 100)
    var bytes: [UInt8] = []
    func drain() {
      var chunk = [UInt8](repeating: 0, count: 1 << 16)
      while true {
        let n = read(reader, &chunk, chunk.count)
        if n <= 0 { return }
        bytes.append(contentsOf: chunk[..<n])
      }
    }
    drain()
    // Awake again: what was begun is finished, and what comes now is there.
    Array("last end".utf8).withUnsafeBytes { file.write(line: $0) }
    drain()
    let seen = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    #expect(seen.last == "last end")
    #expect(seen.count == lines.count - file.dropped + 1)
    #expect(seen.dropLast().elementsEqual(lines.prefix(seen.count - 1)))
  }
}
