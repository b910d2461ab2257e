// What the admin port answers: a function of the request and of what the loop has shown. Nothing here can
// change anything, and nothing names a user or an item.
//
//   /livez /readyz /startupz   200 or 503; a line a check, with what it saw where it fails or where
//                              `?verbose` asks; JSON where that is accepted
//   /metrics                   Prometheus text
//   /status                    JSON: health, last metrics line, models, the last lines in outline
//   /                          the console
import Events
import Sparse

public struct AdminRequest: Sendable {
  public var method: String
  /// Without the query.
  public var path: String
  public var isVerbose: Bool
  /// The `Accept` header.
  public var accept: String
  public init(method: String = "GET", path: String, isVerbose: Bool = false, accept: String = "") {
    self.method = method
    self.path = path
    self.isVerbose = isVerbose
    self.accept = accept
  }
}

public struct AdminAnswer: Sendable {
  public var status: UInt32 = 200
  public var contentType: String
  public var body: [UInt8]
  public var text: String { String(decoding: body, as: UTF8.self) }
}

public struct AdminPages: Sendable {
  let health: Health
  let board: StatusBoard
  let eventsTopic: String
  let group: String

  public init(health: Health, board: StatusBoard, eventsTopic: String, group: String) {
    self.health = health
    self.board = board
    self.eventsTopic = eventsTopic
    self.group = group
  }

  /// - Parameter time: monotonic ns; nil is now.
  public func answer(_ request: AdminRequest, at time: Int64? = nil) -> AdminAnswer {
    let now = time ?? Process.monotonic
    guard request.method == "GET" || request.method == "HEAD" else {
      return plain(405, "only GET and HEAD: nothing can be changed here\n")
    }
    switch request.path {
    case "/": return AdminAnswer(contentType: "text/html; charset=utf-8", body: ConsolePage.html)
    case "/livez":
      let status = health.status(at: now)
      return page(request, status.live, good: "live", bad: "not live")
    case "/startupz":
      let status = health.status(at: now)
      return page(request, status.started, good: "started", bad: "not started")
    case "/readyz":
      let status = health.status(at: now)
      return page(request, status.ready, good: "ready", bad: "not ready")
    case "/metrics":
      return AdminAnswer(
        contentType: PrometheusText.contentType,
        body: PrometheusText.render(
          board.current.samples, health: health.status(at: now), eventsTopic: eventsTopic))
    case "/status": return AdminAnswer(contentType: "application/json", body: status(at: now))
    default:
      return plain(404, "not here. There are / /status /metrics /livez /readyz /startupz\n")
    }
  }

  private func plain(_ status: UInt32, _ text: String) -> AdminAnswer {
    AdminAnswer(status: status, contentType: "text/plain; charset=utf-8", body: Array(text.utf8))
  }

  private func page(
    _ request: AdminRequest, _ checks: [HealthCheck], good: String, bad: String
  ) -> AdminAnswer {
    let isGood = checks.allSatisfy(\.isGood)
    if request.accept.contains("application/json") {
      var writer = ByteWriter()
      writer.append("{\"status\":")
      writer.append(quoted: isGood ? good : bad)
      writer.append(",\"checks\":")
      append(checks, to: &writer)
      writer.append("}\n")
      return AdminAnswer(
        status: isGood ? 200 : 503, contentType: "application/json", body: [UInt8](writer.bytes))
    }
    var text = ""
    for check in checks {
      text += "\(check.name): \(check.isGood ? "ok" : "failed")"
      if !check.isGood || request.isVerbose { text += ": \(check.detail)" }
      text += "\n"
    }
    return plain(isGood ? 200 : 503, text + (isGood ? good : bad) + "\n")
  }

  private func append(_ checks: [HealthCheck], to writer: inout ByteWriter) {
    writer.append("[")
    for (i, check) in checks.enumerated() {
      writer.append(i == 0 ? "{\"name\":" : ",{\"name\":")
      writer.append(quoted: check.name)
      writer.append(check.isGood ? ",\"ok\":true,\"detail\":" : ",\"ok\":false,\"detail\":")
      writer.append(quoted: check.detail)
      writer.append("}")
    }
    writer.append("]")
  }

  private func status(at now: Int64) -> [UInt8] {
    let health = health.status(at: now)
    let state = board.current
    var writer = ByteWriter(capacity: 32 << 10)
    func name(_ text: StaticString, _ writer: inout ByteWriter) {
      writer.append(",\"")
      writer.append(text)
      writer.append("\":")
    }
    writer.append("{\"schema\":1")
    name("time", &writer)
    writer.append(quoted: EventTime.string(Process.wallClock))
    name("group", &writer)
    writer.append(quoted: group)
    name("topic", &writer)
    writer.append(quoted: eventsTopic)
    name("phase", &writer)
    writer.append(quoted: health.phase)
    writer.append(health.isLive ? ",\"live\":true" : ",\"live\":false")
    writer.append(health.isStarted ? ",\"started\":true" : ",\"started\":false")
    writer.append(health.isReady ? ",\"ready\":true" : ",\"ready\":false")
    name("checks", &writer)
    append(health.ready, to: &writer)
    name("lags", &writer)
    writer.append("[")
    for (i, lag) in health.lags.enumerated() {
      if i > 0 { writer.append(",") }
      writer.append("[")
      writer.append(Int(lag.partition))
      writer.append(",")
      writer.append(lag.records)
      writer.append("]")
    }
    writer.append("]")
    name("metrics", &writer)
    if state.line.isEmpty {
      writer.append("null")
    } else {
      state.line.withUnsafeBytes { writer.append(bytes: $0) }
    }
    name("models", &writer)
    writer.append("[")
    for (i, model) in state.models.enumerated() {
      writer.append(i == 0 ? "{\"id\":" : ",{\"id\":")
      writer.append(quoted: model.id)
      name("time", &writer)
      writer.append(quoted: EventTime.string(model.time))
      name("seconds", &writer)
      writer.append(model.seconds.isFinite ? model.seconds : 0)
      for (key, value) in [
        ("items", model.items), ("pairs", model.pairs), ("baskets", model.baskets), ("rules", model.rules),
      ] {
        writer.append(",")
        writer.append(quoted: key)
        writer.append(":")
        writer.append(value)
      }
      writer.append("}")
    }
    writer.append("]")
    // [time, events/s, lists/s, lag, p50 ms, p99 ms, resident bytes], oldest first.
    name("history", &writer)
    writer.append("[")
    for (i, point) in state.history.enumerated() {
      writer.append(i == 0 ? "[" : ",[")
      writer.append(Int(point.time))
      for value in [
        point.eventsPerSecond, point.listsPerSecond, point.lag, point.latency50, point.latency99,
        point.residentBytes,
      ] {
        writer.append(",")
        if let value, value.isFinite { writer.append(value) } else { writer.append("null") }
      }
      writer.append("]")
    }
    writer.append("]}\n")
    return [UInt8](writer.bytes)
  }
}
