// Changes of health in the readable log, one line each. On a thread of its own, so that a loop that hangs
// is said as well.
import Glibc
import Kafka
import Logging
import Synchronization

public final class HealthWatch: Sendable {
  private let isEnded = Atomic<Bool>(false)

  public init(_ health: Health, log: Logger) {
    startDetached { [self] in
      var last = State()
      while !isEnded.load(ordering: .relaxed) {
        let now = State(health.status())
        for line in now.changes(from: last) {
          line.isGood ? log.info("\(line.text)") : log.warning("\(line.text)")
        }
        last = now
        usleep(250_000)
      }
    }
  }

  public func end() { isEnded.store(true, ordering: .relaxed) }

  struct State: Equatable {
    var isLive = true
    var isStarted = false
    var isReady = false
    /// Names of the checks that fail, and what they say.
    var failing: [String] = []
    var reasons: [String] = []

    init() {}
    init(_ status: HealthStatus) {
      isLive = status.isLive
      isStarted = status.isStarted
      isReady = status.isReady
      let bad = status.ready.filter { !$0.isGood }
      failing = bad.map(\.name)
      reasons = bad.map { "\($0.name): \($0.detail)" }
    }

    /// What is worth a line. Starting up and stopping are not: the loop's own lines tell that.
    func changes(from last: State) -> [(text: String, isGood: Bool)] {
      var lines: [(String, Bool)] = []
      if isLive != last.isLive {
        lines.append(isLive ? ("live again", true) : ("not live: \(reasons.first ?? "")", false))
      }
      if isStarted && !last.isStarted { lines.append(("started", true)) }
      if failing.contains("stopping") { return lines }
      if isReady != last.isReady || (isStarted && !isReady && failing != last.failing) {
        lines.append(isReady ? ("ready", true) : ("not ready: \(reasons.joined(separator: "; "))", false))
      }
      return lines
    }
  }
}
