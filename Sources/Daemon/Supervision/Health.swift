// What is well with the daemon and what is not: told by the loop, asked by the admin port, the log and
// systemd.
//
//  - live: the loop has turned within `health.watchdog`. Knows nothing of Kafka: a restart mends no broker.
//  - started: what was committed is restored, or on a first start the log was read to its end once. Stays.
//  - ready: started, not stopping, partitions assigned, a model in force (or no event yet to make one of),
//    the brokers answer, what there is to fetch is fetched and what was published is acknowledged within
//    `health.max_silence`, and the lag is below `health.max_lag` (once above it, below half of it).
//
// The loop stores one number a turn and a report a few times a second; everything is judged by who asks,
// with the time at which he asks, so that a loop that hangs is seen by others.
import Synchronization

public struct HealthLimits: Equatable, Sendable {
  /// Records behind the end of the events topic.
  public var maxLag = 100_000
  /// Milliseconds without an answer of the brokers, while one is due.
  public var maxSilence: Int64 = 30_000
  /// Milliseconds without a turn of the loop.
  public var watchdog: Int64 = 30_000
  public init() {}
}

/// What the loop knows of itself.
public struct LoopReport: Sendable {
  public enum Phase: String, Sendable {
    /// No partitions yet.
    case connecting
    /// Reading again what was committed, silently.
    case restoring
    /// Assigned and serving, the end of a partition not seen yet.
    case catchingUp = "catching up"
    case running
  }
  public var phase = Phase.connecting
  /// Records read of those that were committed, while restoring.
  public var restored: (done: Int, total: Int) = (0, 0)
  public var hasModel = false
  /// At the end of the log, and no event has come yet.
  public var awaitsFirstEvent = false
  /// Not fetching by our own decision: the producer's queue is full, or partitions are held.
  public var isPaused = false
  public var records = 0
  public var acknowledged = 0
  public var outstanding = 0
  /// Records behind, by partition of the events topic.
  public var lags: [(partition: Int32, records: Int)] = []
  public var lag: Int { lags.reduce(0) { $0 + $1.records } }
  public init() {}
}

/// One line of a health page.
public struct HealthCheck: Sendable, Equatable {
  public var name: String
  public var isGood: Bool
  public var detail: String
}

public struct HealthStatus: Sendable {
  public var live: [HealthCheck]
  public var started: [HealthCheck]
  public var ready: [HealthCheck]
  public var phase: String
  public var lags: [(partition: Int32, records: Int)]

  public var isLive: Bool { live.allSatisfy(\.isGood) }
  public var isStarted: Bool { started.allSatisfy(\.isGood) }
  public var isReady: Bool { ready.allSatisfy(\.isGood) }
}

public final class Health: Sendable {
  private struct Known {
    var limits: HealthLimits
    var report = LoopReport()
    var isStarted = false
    var isStopping = false
    /// The lag was above its limit and has not been below half of it since.
    var isLagging = false
    /// Monotonic ns at which there was last nothing to wait for.
    var fetchedAt: Int64
    var publishedAt: Int64
    /// Responses counted by the client, and since when there were none; 0: they come.
    var responses: Int64 = -1
    var statisticsAt: Int64 = 0
    var quietSince: Int64 = 0
  }
  private let turnedAt: Atomic<Int64>
  private let known: Mutex<Known>
  private let manager: ServiceManager?

  /// - Parameters:
  ///   - manager: systemd, where it started us.
  ///   - time: monotonic ns; nil is now, here and below.
  public init(
    _ limits: HealthLimits = HealthLimits(), manager: ServiceManager? = nil, at time: Int64? = nil
  ) {
    let now = time ?? Process.monotonic
    turnedAt = Atomic(now)
    known = Mutex(Known(limits: limits, fetchedAt: now, publishedAt: now))
    self.manager = manager
  }

  public func set(_ limits: HealthLimits) { known.withLock { $0.limits = limits } }

  // MARK: what the loop says

  /// The loop has turned.
  public func turned(at now: Int64) {
    turnedAt.store(now, ordering: .relaxed)
    manager?.turned(at: now)
  }

  public func report(_ report: LoopReport, at now: Int64) {
    let (isStarted, status) = known.withLock { known in
      if report.records != known.report.records || report.lag == 0 || report.isPaused {
        known.fetchedAt = now
      }
      if report.acknowledged != known.report.acknowledged || report.outstanding == 0 {
        known.publishedAt = now
      }
      let limit = known.limits.maxLag
      known.isLagging = report.lag > (known.isLagging ? limit / 2 : limit)
      switch report.phase {
      case .running: known.isStarted = true
      case .catchingUp: known.isStarted = known.isStarted || report.hasModel
      case .connecting, .restoring: break
      }
      known.report = report
      return (known.isStarted, known.isStopping ? "stopping" : Health.describe(report))
    }
    manager?.status(status, isStarted: isStarted, at: now)
  }

  /// The waiting lists are being made, then we leave.
  public func stopping() {
    known.withLock { $0.isStopping = true }
    manager?.stopping()
  }

  public func reloading(at now: Int64) { manager?.reloading(at: now) }
  public func reloaded() { manager?.reloaded() }

  /// librdkafka's statistics of the consumer, which come whether or not a broker answers: as long as it is
  /// in a group there are answers to count, be it to heartbeats.
  public func took(statistics: UnsafeRawBufferPointer, at now: Int64) {
    guard let responses = Health.responses(in: statistics) else { return }
    known.withLock { known in
      if responses != known.responses {
        known.quietSince = 0
      } else if known.quietSince == 0 {
        known.quietSince = known.statisticsAt
      }
      known.responses = responses
      known.statisticsAt = now
    }
  }

  /// The last `"rx":` is that of the client as a whole; those before it are its brokers'.
  static func responses(in json: UnsafeRawBufferPointer) -> Int64? {
    let name: [UInt8] = Array("\"rx\":".utf8)
    var at = json.count - name.count
    while at >= 0 {
      if json[at] == name[0], json[at..<at + name.count].elementsEqual(name) {
        let digits = json[(at + name.count)...].drop { $0 == 0x20 }.prefix { $0 >= 48 && $0 <= 57 }
        return Int64(String(decoding: digits, as: UTF8.self))
      }
      at -= 1
    }
    return nil
  }

  // MARK: what others ask

  public func status(at time: Int64? = nil) -> HealthStatus {
    let now = time ?? Process.monotonic
    let turned = turnedAt.load(ordering: .relaxed)
    let known = known.withLock { $0 }
    let (limits, report) = (known.limits, known.report)
    func check(_ name: String, _ isGood: Bool, _ good: String, _ bad: @autoclosure () -> String)
      -> HealthCheck
    {
      HealthCheck(name: name, isGood: isGood, detail: isGood ? good : bad())
    }
    func since(_ then: Int64) -> Int64 { max(0, now - then) / 1_000_000 }
    func text(_ milliseconds: Int64) -> String { DurationText.rounded(milliseconds) }

    let loop = check(
      "loop", since(turned) <= limits.watchdog, "turned \(text(since(turned))) ago",
      "has not turned for \(text(since(turned))); health.watchdog is \(text(limits.watchdog))")
    let started = check("started", known.isStarted, "restored", Health.describe(report))
    let quiet = known.quietSince == 0 ? 0 : since(known.quietSince)
    let unfetched = since(known.fetchedAt)
    let unacknowledged = since(known.publishedAt)
    let ready = [
      loop, started,
      check("stopping", !known.isStopping, "no stop was asked for", "a stop was asked for"),
      check("assigned", report.phase != .connecting, "\(report.lags.count) partitions", "no partitions"),
      check(
        "model", report.hasModel || report.awaitsFirstEvent,
        report.hasModel ? "in force" : "waits for the first event", "the first is not in force yet"),
      check(
        "brokers", quiet <= limits.maxSilence, known.responses < 0 ? "not heard of yet" : "answer",
        "no answer for \(text(quiet)); health.max_silence is \(text(limits.maxSilence))"),
      check(
        "fetch", unfetched <= limits.maxSilence, "records come as they should",
        "\(report.lag) records behind and none came for \(text(unfetched)); health.max_silence is \(text(limits.maxSilence))"),
      check(
        "publish", unacknowledged <= limits.maxSilence, "\(report.outstanding) messages on their way",
        "\(report.outstanding) messages wait and none was acknowledged for \(text(unacknowledged)); health.max_silence is \(text(limits.maxSilence))"),
      check(
        "lag", !known.isLagging, "\(report.lag) records",
        "\(report.lag) records; health.max_lag is \(limits.maxLag)"),
    ]
    return HealthStatus(
      live: [loop], started: [started], ready: ready,
      phase: known.isStopping ? "stopping" : report.phase.rawValue, lags: report.lags)
  }

  private static func describe(_ report: LoopReport) -> String {
    switch report.phase {
    case .connecting: "connecting: no partitions yet"
    case .restoring: "restoring: \(report.restored.done) of \(report.restored.total) records"
    case .catchingUp: "catching up: \(report.records) records read, \(report.lag) behind"
    case .running: "running, \(report.lag) records behind"
    }
  }
}
