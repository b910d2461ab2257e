// The admin port: what its pages say, and that it can be read by anybody and hurt by nobody.
import Daemon
import Foundation
import Glibc
import Testing

@Suite struct AdminTests {
  static let second: Int64 = 1_000_000_000

  /// Running, with a model and nothing behind.
  static func good() -> LoopReport {
    var report = LoopReport()
    report.phase = .running
    report.hasModel = true
    report.records = 100
    report.lags = [(0, 0), (1, 7)]
    return report
  }

  static func pages(_ health: Health, _ board: StatusBoard = StatusBoard()) -> AdminPages {
    AdminPages(health: health, board: board, eventsTopic: "shop.events", group: "affinity")
  }

  // MARK: pages

  @Test func probes() throws {
    let health = Health(at: 0)
    let pages = Self.pages(health)
    func get(_ path: String, at now: Int64, verbose: Bool = false) -> AdminAnswer {
      pages.answer(AdminRequest(path: path, isVerbose: verbose), at: now)
    }
    #expect(get("/livez", at: Self.second).text == "loop: ok\nlive\n")
    #expect(get("/startupz", at: 0).status == 503)
    #expect(get("/startupz", at: 0).text == "started: failed: connecting: no partitions yet\nnot started\n")
    #expect(get("/readyz", at: 0).status == 503)

    health.turned(at: 2 * Self.second)
    health.report(Self.good(), at: 2 * Self.second)
    #expect(get("/startupz", at: 2 * Self.second).text == "started: ok\nstarted\n")
    let ready = get("/readyz", at: 2 * Self.second)
    #expect(ready.status == 200)
    #expect(ready.text.hasSuffix("lag: ok\nready\n"))
    #expect(get("/readyz", at: 2 * Self.second, verbose: true).text.contains("lag: ok: 7 records\n"))

    // The loop hangs: neither live nor ready, and both say why.
    let late = get("/livez", at: 33 * Self.second)
    #expect(late.status == 503)
    #expect(late.text == "loop: failed: has not turned for 31.0s; health.watchdog is 30.0s\nnot live\n")
    #expect(get("/readyz", at: 33 * Self.second).status == 503)
  }

  @Test func probesAsJSON() throws {
    let pages = Self.pages(Health(at: 0))
    let answer = pages.answer(
      AdminRequest(path: "/livez", accept: "text/html, application/json;q=0.9"), at: 0)
    #expect(answer.contentType == "application/json")
    #expect(
      answer.text
        == #"{"status":"live","checks":[{"name":"loop","ok":true,"detail":"turned 0ms ago"}]}"# + "\n")
  }

  @Test func statusIsJSON() throws {
    let (health, board) = (Health(at: 0), StatusBoard())
    func status() throws -> [String: Any] {
      let answer = Self.pages(health, board).answer(AdminRequest(path: "/status"), at: 0)
      let object = try JSONSerialization.jsonObject(with: Data(answer.body))
      return try #require(object as? [String: Any])
    }
    #expect(try status()["metrics"] is NSNull)
    health.report(Self.good(), at: 0)
    for i in 0..<300 {
      board.publish(
        line: Array(#"{"schema":1,"events_per_second":1.5}"#.utf8),
        samples: [MetricsSample(key: "events_per_second", value: Double(i))], time: Int64(i))
      board.note(
        .init(id: "m-\(i)", time: 0, seconds: 0.25, items: 1, pairs: 2, baskets: 3, rules: 4))
    }
    let all = try status()
    #expect((all["metrics"] as? [String: Any])?["events_per_second"] as? Double == 1.5)
    #expect(all["ready"] as? Bool == true)
    #expect(all["lags"] as? [[Int]] == [[0, 0], [1, 7]])
    let history = try #require(all["history"] as? [[Any]])
    #expect(history.count == StatusBoard.historyLimit)
    #expect(history.last?[1] as? Double == 299)
    #expect(history.last?[4] is NSNull)
    let models = try #require(all["models"] as? [[String: Any]])
    #expect(models.count == StatusBoard.modelLimit)
    #expect(models[0]["id"] as? String == "m-299" && models[0]["seconds"] as? Double == 0.25)
  }

  @Test func metricsAreStrict() throws {
    let (health, board) = (Health(at: 0), StatusBoard())
    health.report(Self.good(), at: 0)
    board.publish(
      line: [],
      samples: [
        ("events_total", 1e9), ("events.view", 12), ("rejected.time_invalid", 3), ("rejected", 3),
        ("latency_p99_ms", 325.119), ("bytes.rows.user_view", 4096), ("bytes.rows", 4096), ("bytes.users", 5),
        ("bytes.resident", 123456), ("messages.dead-letters", 2), ("slots_too_old", 9),
        ("tick_seconds", 0.022), ("outcome.quote\"back\\slash\nline", 1),
        ("uptime_seconds", 2),
        // What a later version adds; a family's name is not given twice.
        ("snapshot.age-seconds", 1.5), ("rows", 1),
      ].map { MetricsSample(key: $0.0, value: $0.1) }, time: 0)
    let answer = Self.pages(health, board).answer(AdminRequest(path: "/metrics"), at: 0)
    #expect(answer.contentType == "text/plain; version=0.0.4; charset=utf-8")
    let metrics = try PlainMetrics(answer.text)
    for (name, value) in [
      ("affinity_ready", 1), ("affinity_health_check{check=\"lag\"}", 1),
      ("affinity_consumer_lag_records{topic=\"shop.events\",partition=\"1\"}", 7),
      ("affinity_records_total", 1e9), ("affinity_events_total{type=\"view\"}", 12),
      ("affinity_rejected_records_total{reason=\"time_invalid\"}", 3),
      ("affinity_recommendation_latency_seconds{percentile=\"99\"}", 0.325119),
      ("affinity_row_bytes{matrix=\"user_view\"}", 4096), ("affinity_part_bytes{part=\"users\"}", 5),
      ("affinity_messages_published_total{topic=\"dead-letters\"}", 2),
      ("affinity_slots_total{edit=\"too_old\"}", 9), ("affinity_model_build_seconds", 0.022),
      ("affinity_event_outcomes_total{outcome=\"quote\\\"back\\\\slash\\nline\"}", 1),
      ("affinity_snapshot_age_seconds", 1.5), ("affinity_uptime_seconds", 2),
    ] { #expect(metrics.samples[name] == value, "\(name): \(metrics.samples[name] ?? -1)") }
    #expect(metrics.samples.count == 28, "\(metrics.samples.keys.sorted())")

    // Prometheus' own reader, where it is installed.
    let promtool = "/usr/bin/promtool"
    guard FileManager.default.isExecutableFile(atPath: promtool) else {
      print("note: \(promtool) is not there; the metrics were read by the test alone")
      return
    }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: promtool)
    process.arguments = ["check", "metrics"]
    let (input, output) = (Pipe(), Pipe())
    process.standardInput = input
    process.standardOutput = output
    process.standardError = output
    try process.run()
    input.fileHandleForWriting.write(Data(answer.body))
    try input.fileHandleForWriting.close()
    let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0 && said.isEmpty, "\(said)")
  }

  /// One file, without anything from elsewhere and without markup made from data.
  @Test func consoleIsSelfContained() {
    let page = Self.pages(Health(at: 0)).answer(AdminRequest(path: "/"), at: 0)
    #expect(page.contentType == "text/html; charset=utf-8")
    #expect(page.text.hasPrefix("<!doctype html>"))
    for part in ["width=device-width", "prefers-color-scheme: dark", "fetch(\"/status\""] {
      #expect(page.text.contains(part), "\(part)")
    }
    for part in ["https://", "src=", "@import", "url(", "innerHTML", "eval("] {
      #expect(!page.text.contains(part), "\(part)")
    }
  }

  // MARK: the server

  @Test func servesOverSockets() throws {
    let health = Health()
    health.report(Self.good(), at: health.now)
    let path = NSTemporaryDirectory() + "affinity-\(UUID().uuidString.prefix(8)).sock"
    var places: [Configuration.Listen] = [.address(host: "127.0.0.1", port: 0), .unix(path: path)]
    if FileManager.default.fileExists(atPath: "/proc/net/if_inet6"),
      (try? String(contentsOfFile: "/proc/net/if_inet6", encoding: .utf8))?.isEmpty == false
    {
      places.append(.address(host: "::1", port: 0))
    } else {
      print("note: no IPv6 here; it is not tried")
    }
    for place in places {
      let server = try AdminServer(place, pages: Self.pages(health))
      let live = try PlainAnswer.get("/livez?verbose", from: server.address)
      #expect(live.status == 200)
      #expect(live.body.hasPrefix("loop: ok: turned "))
      #expect(live.headers["x-content-type-options"] == "nosniff")
      #expect(live.headers["cache-control"] == "no-store")
      #expect(live.headers["content-security-policy"]?.hasPrefix("default-src 'none';") == true)
      #expect(live.headers["content-type"] == "text/plain; charset=utf-8")
      let json = try PlainAnswer.get("/readyz", from: server.address, headers: ["Accept: application/json"])
      #expect(json.headers["content-type"] == "application/json")
      #expect(json.body.hasPrefix(#"{"status":"ready","#))
      let page = try PlainAnswer.get("/", from: server.address)
      let head = try PlainAnswer.get("/", from: server.address, method: "HEAD")
      #expect(page.status == 200 && head.status == 200 && head.body.isEmpty)
      #expect(head.headers["content-length"] == "\(page.body.utf8.count)")
      #expect(try PlainAnswer.get("/nowhere", from: server.address).status == 404)
      for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = try PlainAnswer.get(
          "/status", from: server.address, method: method, headers: ["Content-Length: 0"])
        #expect(refused.status == 405, "\(method)")
        #expect(refused.headers["allow"] == "GET, HEAD")
      }
      server.stop()
      #expect(throws: (any Error).self) { try PlainConnection(server.address) }
    }
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  /// A socket that a killed run left behind is taken; one that is in use is not, and the failure says where.
  @Test func addressesInUse() throws {
    let pages = Self.pages(Health())
    let path = NSTemporaryDirectory() + "affinity-\(UUID().uuidString.prefix(8)).sock"
    for place in [Configuration.Listen.address(host: "127.0.0.1", port: 0), .unix(path: path)] {
      let first = try AdminServer(place, pages: pages)
      var same = place
      if case .address(let host, _) = place {
        same = .address(host: host, port: try #require(Int(first.address.split(separator: ":")[1])))
      }
      let failure = #expect(throws: AdminFailure.self) { try AdminServer(same, pages: pages) }
      #expect(failure?.description == "admin.listen \(first.address): Address already in use")
      #expect(try PlainAnswer.get("/livez", from: first.address).status == 200)
    }
    let left = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var target = sockaddr_un()
    target.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: path.utf8) }
    let status = withUnsafePointer(to: &target) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(left, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    #expect(status == 0)
    close(left)
    let server = try AdminServer(.unix(path: path), pages: pages)
    #expect(try PlainAnswer.get("/livez", from: server.address).status == 200)
    #expect(throws: AdminFailure.self) {
      try AdminServer(.address(host: "no.such.host.invalid", port: 0), pages: pages)
    }
  }

  /// Clients that send half a request, read nothing, or send nonsense: others are answered meanwhile, and
  /// there is a bound to how many hang on.
  @Test func badClients() throws {
    let server = try AdminServer(.address(host: "127.0.0.1", port: 0), pages: Self.pages(Health()))
    var held: [PlainConnection] = []
    for i in 0..<20 {
      let connection = try PlainConnection(server.address)
      connection.send(i % 2 == 0 ? "GET /livez HTTP/1.1\r\nHost:" : "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      held.append(connection)
    }
    #expect(try PlainAnswer.get("/livez", from: server.address).status == 200)

    for nonsense in ["\r\n\r\n\0\0\0", "BREW / HTCPCP/1.0\r\n\r\n", "GET\r\n\r\n", "\u{16}\u{3}\u{1}"] {
      let connection = try PlainConnection(server.address, timeoutSeconds: 1)
      connection.send(nonsense)
      shutdown(connection.descriptor, Int32(SHUT_WR))
      _ = connection.readAll()
    }
    let long = try PlainConnection(server.address)
    long.send("GET / HTTP/1.1\r\nHost: x\r\nX: \(String(repeating: "a", count: 1 << 16))\r\n\r\n")
    let refused = long.readAll()
    if !refused.isEmpty { #expect(try PlainAnswer(refused).status >= 400) }
    #expect(try PlainAnswer.get("/livez", from: server.address).status == 200)

    // More than one address may hold: the next are turned away, and let in once there is room.
    while held.count < 40 { held.append(try PlainConnection(server.address, timeoutSeconds: 2)) }
    let turnedAway = try PlainConnection(server.address, timeoutSeconds: 2)
    turnedAway.send("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    #expect(turnedAway.readAll().isEmpty)
    held = []
    var answered = false
    for _ in 0..<100 where !answered {
      answered = (try? PlainAnswer.get("/livez", from: server.address).status) == 200
      if !answered { usleep(50_000) }
    }
    #expect(answered)
  }

  /// The pages are read while the loop writes.
  @Test func readersAndTheLoop() throws {
    let (health, board) = (Health(), StatusBoard())
    let server = try AdminServer(.address(host: "127.0.0.1", port: 0), pages: Self.pages(health, board))
    let address = server.address
    let done = DispatchSemaphore(value: 0)
    final class Count: @unchecked Sendable { var bad = 0 }
    let count = Count()
    Thread.detachNewThread {
      for path in ["/status", "/metrics", "/readyz", "/"].cycled(50) {
        guard let answer = try? PlainAnswer.get(path, from: address) else {
          count.bad += 1
          continue
        }
        if path == "/status",
          (try? JSONSerialization.jsonObject(with: Data(answer.body.utf8))) == nil
        {
          count.bad += 1
        }
        if path == "/metrics", (try? PlainMetrics(answer.body)) == nil { count.bad += 1 }
      }
      done.signal()
    }
    var turns = 0
    while done.wait(timeout: .now()) == .timedOut {
      turns += 1
      health.turned(at: health.now)
      health.report(Self.good(), at: health.now)
      board.publish(
        line: Array(#"{"schema":\#(turns)}"#.utf8),
        samples: [MetricsSample(key: "events_total", value: Double(turns))], time: Int64(turns))
    }
    #expect(count.bad == 0)
    #expect(turns > 50)
  }
}

extension Health { fileprivate var now: Int64 { Int64(DispatchTime.now().uptimeNanoseconds) } }

extension Array {
  fileprivate func cycled(_ times: Int) -> [Element] { (0..<times).flatMap { _ in self } }
}
