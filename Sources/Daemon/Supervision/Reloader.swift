// The configuration read anew on SIGHUP. A bad one changes nothing: it is logged, the metric says so, and the
// old one stays. Of a good one what can change while running does; what cannot is named.
import Logging
import Synchronization

public final class Reloader: Sendable {
  /// Keys that take effect at once. Everything else is part of what the state, the topics or the clients
  /// were made with.
  public static let liveKeys: Set<String> = [
    "model.interval", "recommend.linger", "metrics.interval", "log.level", "shutdown.timeout",
    "health.max_lag", "health.max_silence", "health.watchdog",
  ]

  private struct State {
    var current: Configuration
    var succeeded = true
  }
  private let state: Mutex<State>
  private let load: @Sendable () throws(ConfigurationProblems) -> Configuration
  private let apply: @Sendable (Configuration) -> Void
  private let log: Logger

  /// - Parameters:
  ///   - load: reads file, environment and flags as at the start.
  ///   - apply: takes what is in force now to where the loop is not: log level, health, deadline.
  public init(
    _ configuration: Configuration, log: Logger,
    load: @escaping @Sendable () throws(ConfigurationProblems) -> Configuration,
    apply: @escaping @Sendable (Configuration) -> Void = { _ in }
  ) {
    state = Mutex(State(current: configuration))
    self.load = load
    self.apply = apply
    self.log = log
  }

  /// Whether the last reload was good (true before the first).
  public var lastSucceeded: Bool { state.withLock { $0.succeeded } }

  /// - Returns: the configuration now in force; nil where nothing has changed.
  public func reload() -> Configuration? {
    let fresh: Configuration
    do { fresh = try load() } catch {
      state.withLock { $0.succeeded = false }
      let count = error.problems.count
      let faults = error.problems.map(\.description).joined(separator: "; ")
      log.error(
        "the configuration has \(count) \(count == 1 ? "fault" : "faults"), the old one stays in force: \(faults)")
      return nil
    }
    let (current, changed) = state.withLock { state in
      state.succeeded = true
      let changed = state.current.differences(from: fresh)
      for key in ConfigurationKey.all where Self.liveKeys.contains(key.path) {
        // What was shown reads back; both are good configurations.
        try? key.value.store(key.value.show(fresh), in: &state.current)
      }
      return (state.current, changed)
    }
    apply(current)
    let live = changed.filter(Self.liveKeys.contains)
    let waiting = changed.filter { !Self.liveKeys.contains($0) }
    if !waiting.isEmpty {
      log.warning("configuration: \(waiting.joined(separator: ", ")) changed, which needs a restart")
    }
    if live.isEmpty {
      if waiting.isEmpty { log.info("configuration: nothing changed") }
      return nil
    }
    let values = ConfigurationKey.all.filter { live.contains($0.path) }.map {
      "\($0.path) \($0.value.show(current))"
    }
    log.info("configuration: now \(values.joined(separator: ", "))")
    return current
  }
}

extension Configuration {
  /// Keys in which two configurations differ, in the table's order; those of librdkafka after them. Values are
  /// not told: among them are secrets.
  func differences(from other: Configuration) -> [String] {
    var keys = ConfigurationKey.all.filter { $0.value.show(self) != $0.value.show(other) }.map(\.path)
    if engine.relations != other.engine.relations { keys.append("model.relations") }
    for name in Set(kafka.keys).union(other.kafka.keys).sorted() where kafka[name] != other.kafka[name] {
      keys.append("kafka.\(name)")
    }
    return keys
  }
}
