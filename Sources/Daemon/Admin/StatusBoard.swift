// What the loop shows to the outside: the last line of the metrics log, what came before it in outline, and
// the latest models. The loop pins a new state up whenever it writes a line; readers take a copy, which is
// a few references. Neither waits for the other longer than that.
import Events
import Synchronization

/// A number of the metrics log by its key.
public struct MetricsSample: Sendable, Equatable {
  public var key: String
  public var value: Double
  public init(key: String, value: Double) {
    self.key = key
    self.value = value
  }
}

public final class StatusBoard: Sendable {
  public struct Point: Sendable {
    /// Milliseconds since 1970.
    public var time: Int64
    public var eventsPerSecond: Double
    public var listsPerSecond: Double
    public var lag: Double
    /// Milliseconds; nil where nothing was published in the interval.
    public var latency50: Double?
    public var latency99: Double?
    public var residentBytes: Double
  }

  public struct ModelNote: Sendable {
    public var id: String
    /// Milliseconds since 1970 at which it came into force.
    public var time: Int64
    public var seconds: Double
    public var items: Int
    public var pairs: Int
    public var baskets: Int
    public var rules: Int
    public init(
      id: String, time: Int64, seconds: Double, items: Int, pairs: Int, baskets: Int, rules: Int
    ) {
      self.id = id
      self.time = time
      self.seconds = seconds
      self.items = items
      self.pairs = pairs
      self.baskets = baskets
      self.rules = rules
    }
  }

  public struct State: Sendable {
    /// A JSON object; empty before the first line.
    public var line: [UInt8] = []
    public var samples: [MetricsSample] = []
    /// Oldest first, at most `historyLimit`.
    public var history: [Point] = []
    /// Newest first, at most `modelLimit`.
    public var models: [ModelNote] = []
  }

  public static let historyLimit = 180
  public static let modelLimit = 20
  private let state = Mutex(State())

  public init() {}

  public var current: State { state.withLock { $0 } }

  /// A line of the metrics log, and the numbers in it.
  public func publish(line: [UInt8], samples: [MetricsSample], time: Int64) {
    var point = Point(
      time: time, eventsPerSecond: 0, listsPerSecond: 0, lag: 0, latency50: nil, latency99: nil,
      residentBytes: 0)
    for sample in samples {
      switch sample.key {
      case "events_per_second": point.eventsPerSecond = sample.value
      case "lists_per_second": point.listsPerSecond = sample.value
      case "lag_records": point.lag = sample.value
      case "latency_p50_ms": point.latency50 = sample.value
      case "latency_p99_ms": point.latency99 = sample.value
      case "bytes.resident": point.residentBytes = sample.value
      default: break
      }
    }
    state.withLock { state in
      state.line = line
      state.samples = samples
      if state.history.count == StatusBoard.historyLimit { state.history.removeFirst() }
      state.history.append(point)
    }
  }

  public func note(_ model: ModelNote) {
    state.withLock { state in
      state.models.insert(model, at: 0)
      if state.models.count > StatusBoard.modelLimit { state.models.removeLast() }
    }
  }
}
