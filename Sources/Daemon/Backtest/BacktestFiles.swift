// The logs of a backtest: merged as `replay` merges them (by event time, then file, then line), read twice: once into
// columns, so that a question's answers are known, and once per run through the engine.
import Engine
import Evaluation
import Events
import Recommender
import Sparse

/// What a log holds, in columns; shared by all runs over it.
public final class BacktestLog: @unchecked Sendable {
  public let files: [String]
  public let log: InteractionLog
  public let main: Behaviour
  public let records: Int
  /// Records that were no event, or one that says nothing about items.
  public let passedOver: Int
  /// Of event times.
  public let times: ClosedRange<Int64>
  let limits: EventLimits
  let topic: String
  let futureTolerance: Int64

  /// - Parameter main: what is to be predicted; nil: what the log is mainly about.
  public init(
    _ files: [String], limits: EventLimits, topic: String, engine: EngineConfiguration, main: Behaviour? = nil,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws {
    self.files = files
    self.limits = limits
    self.topic = topic
    futureTolerance = engine.futureTolerance
    let log = InteractionLog(likeFrom: engine.likeFrom)
    var records = 0
    var (first, last) = (Int64.max, Int64.min)
    let merged = try MergedLog(files, limits: limits, topic: topic)
    try merged.forEach(progress: progress) { record in
      records += 1
      guard let event = record.event(tolerance: engine.futureTolerance), log.append(event) else { return true }
      first = min(first, event.time)
      last = max(last, event.time)
      return true
    }
    self.log = log
    self.records = records
    passedOver = records - log.events.count
    guard let behaviour = main ?? log.mainBehaviour, first <= last else {
      throw BacktestError(description: "\(files.joined(separator: ", ")): no event in it that could be predicted")
    }
    self.main = behaviour
    times = first...last
  }

  /// The time at which the given share of the events has passed.
  public func time(atShare share: Double) -> Int64 {
    let sorted = (0..<log.events.count).map { log.events[$0].time }.sorted()
    return sorted[min(sorted.count - 1, max(0, Int(share * Double(sorted.count))))]
  }
}

public struct BacktestError: InputError {
  public var description: String
}

/// A record of a merged log, where it is read.
struct MergedRecord {
  let cursor: LogCursor
  let index: Int
  var batch: EventBatch { cursor.batch }
  var position: LogPosition { cursor.position(index) }

  /// The event, unless it is none, another topic's, or from the future.
  func event(tolerance: Int64) -> EventView? {
    guard let event = cursor.batch.event(at: index) else { return nil }
    let position = position
    if position.topic != 0 || event.isFuture(recordTimestamp: position.timestamp, tolerance: tolerance) {
      return nil
    }
    return event
  }
}

/// Files by event time, then file, then line; a record without a time has that of the one before it.
struct MergedLog {
  private let cursors: [LogCursor]

  init(_ files: [String], limits: EventLimits, topic: String) throws {
    var cursors: [LogCursor] = []
    for (place, path) in files.enumerated() {
      cursors.append(
        try LogCursor(
          path: path, partition: Int32(place), limits: limits, topicOf: { $0 == topic ? 0 : UInt16.max }))
    }
    self.cursors = cursors
  }

  /// - Parameter body: false ends it.
  func forEach(progress: (Int, Int) -> Void, _ body: (MergedRecord) throws -> Bool) throws {
    try cursors.forEachMerged(progress: progress) { cursor, index in
      try body(MergedRecord(cursor: cursor, index: index))
    }
  }
}
