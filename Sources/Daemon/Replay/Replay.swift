// The engine over a log, without Kafka: same input, same bytes. Ticks come from event time (DESIGN §5, §7).
//
// Three things run side by side: the next chunk is decoded, this one is applied, and rows that changed
// are absorbed by the model's thread. Where no lists are written, models are made while the log goes on,
// since nothing reads them but their own topics; the bytes are the same.
import Dispatch
import Engine
import Events
import Foundation
import Recommender
import Sparse

public struct ReplayOptions: Sendable {
  public var files: [String] = []
  public var catalogues: [String] = []
  public var directory = ""
  public var ticks = ReplayTicks.every(86_400_000)
  public var isFinal = false
  public var writesRecommendations = true
  public var threads = 2
  public var engine = EngineConfiguration()
  public var limits = EventLimits()
  public var eventsTopic = "shop.events"
  public init() {}
}

public struct ReplaySummary: Sendable {
  public var events = 0
  public var applied = 0
  public var byDisposition: [(name: String, count: Int)] = []
  public var rejected: [(reason: String, count: Int)] = []
  public var unknownTypes = 0
  public var models = 0
  public var lastModel: String?
  public var sizes = ModelSizes()
  public var messages: [(topic: String, count: Int)] = []
  public var seconds = 0.0
  public var digest = ""
  public var countsDigest = ""
  public var streamTime: Int64?
}

public final class Replay {
  private let options: ReplayOptions
  private var engine: Engine
  private let worker: ModelWorker
  private let sink: ReplaySink
  private var outputs = Outputs()
  private var summary = ReplaySummary()
  private var rejects = [Int](repeating: 0, count: RejectReason.allCases.count)
  private let progress: (Int, Int) -> Void
  private let metrics: LineFile
  private let started = DispatchTime.now().uptimeNanoseconds
  private var tickSeconds: [Double] = []
  private var pendingTick = false
  private let recorded: [RecordedModel]

  public init(
    _ options: ReplayOptions, progress: @escaping (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    var configuration = options.engine
    configuration.recommendEnabled = configuration.recommendEnabled && options.writesRecommendations
    var first = 0
    if case .recorded(let path) = options.ticks {
      recorded = try RecordedTicks.read(path, topic: options.eventsTopic)
      guard let start = recorded.first else {
        throw RecordedTicksError(description: "\(path): no models")
      }
      first = start.number - 1
      configuration.recommend.linger = 0
    } else {
      recorded = []
    }
    self.options = options
    self.progress = progress
    engine = Engine(configuration, topics: [options.eventsTopic])
    worker = ModelWorker(configuration, after: first, threads: options.threads)
    sink = try ReplaySink(
      directory: options.directory, isFinal: options.isFinal,
      skipsRecommendations: !options.writesRecommendations)
    metrics = try LineFile(path: options.directory + "/metrics.jsonl")
  }

  public func run() throws -> ReplaySummary {
    for path in options.catalogues { try readCatalogue(path) }
    let topic = options.eventsTopic
    var cursors: [LogCursor] = []
    for (i, path) in options.files.enumerated() {
      cursors.append(
        try LogCursor(
          path: path, partition: Int32(i), limits: options.limits,
          topicOf: { name in name == topic ? 0 : UInt16.max }))
    }
    let total = cursors.reduce(0) { $0 + $1.totalBytes }
    if !recorded.isEmpty {
      try runRecorded(PartitionedLog(cursors))
    } else if cursors.count == 1 {
      try runOne(cursors[0], total)
    } else {
      try runMerged(cursors)
    }
    try finish()
    return summary
  }

  // MARK: the log

  private func readCatalogue(_ path: String) throws {
    try CatalogueFile.forEach(path) { key, value in
      try key.withUnsafeBytes { key in
        if let fault = engine.takeCatalogue(key: key, value: value, limits: options.limits) {
          throw CatalogueFileError(description: "\(path): \(fault.message)")
        }
      }
    }
  }

  /// Events whose keys are resolved together.
  private static let ahead = 32

  private func runOne(_ cursor: LogCursor, _ total: Int) throws {
    while !cursor.isAtEnd {
      progress(cursor.bytesDone, total)
      let count = cursor.chunkCount
      for i in 0..<count {
        if i % Replay.ahead == 0 {
          engine.prepare(cursor.batch, i..<min(i + Replay.ahead, count))
        }
        try take(cursor, i, prepared: i % Replay.ahead)
      }
      try between()
      cursor.skipChunk()
    }
    progress(total, total)
  }

  private func runMerged(_ cursors: [LogCursor]) throws {
    try cursors.forEachMerged { done, total in
      try between()
      progress(done, total)
    } _: { cursor, index in
      try take(cursor, index)
      return true
    }
  }

  /// One record.
  @inline(__always)
  private func take(_ cursor: LogCursor, _ i: Int, prepared: Int? = nil) throws {
    summary.events &+= 1
    let position = cursor.position(i)
    guard let event = cursor.batch.event(at: i) else {
      try takeOther(cursor, i, position)
      return
    }
    if position.topic != 0 {
      try reject(cursor, i, position, otherTopic)
      return
    }
    if event.isFuture(
      recordTimestamp: position.timestamp, tolerance: options.engine.futureTolerance)
    {
      try reject(
        cursor, i, position,
        Rejection.future(
          event, recordTimestamp: position.timestamp, tolerance: options.engine.futureTolerance))
      return
    }
    let clock = try arrive(at: event.time)
    let disposition = engine.apply(
      event, at: position, clock: clock, prepared: prepared, into: &outputs)
    if disposition == .applied { summary.applied &+= 1 }
  }

  /// Event time moves: the tick it crosses, then the lists whose linger has passed.
  /// - Returns: the clock.
  @inline(__always)
  private func arrive(at time: Int64) throws -> Int64 {
    if let tick = options.ticks.crossed(by: time, after: engine.streamTime) {
      try self.tick(tick)
    }
    let clock = max(time, engine.streamTime ?? .min)
    if let due = engine.nextDeadline, due <= clock {
      engine.release(dueBy: clock, into: &outputs)
      if outputs.byteCount > 1 << 20 { try sink.drain(&outputs) }
    }
    return clock
  }

  private func takeOther(_ cursor: LogCursor, _ i: Int, _ position: LogPosition) throws {
    if let time = knownTime(cursor.batch, i, position) { _ = try arrive(at: time) }
    takeOther(
      cursor.batch, i, position, key: cursor.key(i), value: { cursor.value(i) })
  }

  private func takeOther(
    _ batch: EventBatch, _ i: Int, _ position: LogPosition, key: [UInt8]?,
    value: () -> [UInt8]?
  ) {
    switch batch[i] {
    case .event: break
    case .unknownType:
      summary.unknownTypes += 1
      engine.skip(position, time: knownTime(batch, i, position))
    case .erasure where position.topic != 0:
      reject(key: key, value: value(), position, otherTopic)
    case .erasure:
      (key ?? []).withUnsafeBytes { user in
        if let fault = batch.fault(inErasureKey: user) {
          reject(key: key, value: value(), position, fault)
        } else {
          engine.erase(user: user, at: position, into: &outputs)
        }
      }
    case .rejected(let rejection): reject(key: key, value: value(), position, rejection)
    }
  }

  /// The time of a record of an unknown type, unless it lies in the future or the record is another topic's.
  private func knownTime(_ batch: EventBatch, _ i: Int, _ position: LogPosition) -> Int64? {
    guard position.topic == 0, let time = batch.time(at: i) else { return nil }
    let isFuture = LogPosition.isFuture(
      time, recordTimestamp: position.timestamp, tolerance: options.engine.futureTolerance)
    return isFuture ? nil : time
  }

  // MARK: recorded ticks

  /// Up to each model's seal, then to its activation; then the rest.
  private func runRecorded(_ log: PartitionedLog) throws {
    let batch = EventBatch(limits: options.limits)
    var done = 0
    func apply(below vector: [Int32: Int64]?) throws {
      try log.take(below: vector) { position, key, value in
        done += 1
        if done % 4096 == 0 {
          progress(done, log.count)
          try between()
        }
        takeRecorded(batch, position, key, value)
      }
    }
    for model in recorded {
      try apply(below: model.offsets)
      engine.flush(into: &outputs)
      try sink.drain(&outputs)
      worker.build(engine.seal(tick: model.tick))
      try apply(below: model.activation)
      worker.wait()
      while let finished = worker.take() { try activate(finished, at: engine.positions) }
    }
    try apply(below: nil)
    progress(1, 1)
  }

  private func takeRecorded(
    _ batch: EventBatch, _ position: LogPosition, _ key: [UInt8]?, _ value: [UInt8]?
  ) {
    summary.events &+= 1
    batch.reset()
    if let value {
      value.withUnsafeBytes {
        batch.append(
          value: $0.baseAddress == nil
            ? UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: 1), count: 0) : $0)
      }
    } else {
      batch.append(value: UnsafeRawBufferPointer(start: nil, count: 0))
    }
    guard let event = batch.event(at: 0) else {
      takeOther(batch, 0, position, key: key, value: { value })
      return
    }
    if position.topic != 0 {
      reject(key: key, value: value, position, otherTopic)
      return
    }
    let tolerance = options.engine.futureTolerance
    if event.isFuture(recordTimestamp: position.timestamp, tolerance: tolerance) {
      reject(
        key: key, value: value, position,
        Rejection.future(event, recordTimestamp: position.timestamp, tolerance: tolerance))
      return
    }
    if engine.apply(event, at: position, clock: 0, into: &outputs) == .applied {
      summary.applied &+= 1
    }
  }

  private var otherTopic: Rejection {
    Rejection(
      reason: .malformedJSON, message: "a record of another topic than \(options.eventsTopic)")
  }

  private func reject(
    _ cursor: LogCursor, _ i: Int, _ position: LogPosition, _ rejection: Rejection
  ) throws {
    reject(key: cursor.key(i), value: cursor.value(i), position, rejection)
  }

  private func reject(
    key: [UInt8]?, value: [UInt8]?, _ position: LogPosition, _ rejection: Rejection
  ) {
    rejects[Int(rejection.reason.rawValue)] += 1
    engine.skip(position)
    let letter = DeadLetter(
      topic: options.eventsTopic, partition: position.partition, offset: position.offset,
      timestamp: position.timestamp, key: key, value: value, rejection: rejection)
    let start = outputs.writer.count
    letter.append(to: &outputs.writer)
    outputs.finish(.deadLetters, start: start, keyEnd: start)
  }

  /// Between chunks: changes go to the model's thread, messages to the files.
  private func between() throws {
    if engine.changedRows > 32_768 { worker.absorb(engine.takeChanges()) }
    if outputs.byteCount > 1 << 18 { try sink.drain(&outputs) }
  }

  // MARK: ticks

  private func tick(_ time: Int64) throws {
    engine.flush(into: &outputs)
    try sink.drain(&outputs)
    if options.writesRecommendations && options.engine.recommendEnabled {
      try activate(worker.buildNow(engine.seal(tick: time)))
    } else {
      try settle()
      worker.build(engine.seal(tick: time))
      pendingTick = true
    }
  }

  /// Takes the model that is being made, if any.
  private func settle() throws {
    if !pendingTick { return }
    worker.wait()
    while let finished = worker.take() { try activate(finished) }
    pendingTick = false
  }

  private func activate(_ finished: ModelWorker.Finished, at positions: [[Int64]]? = nil) throws {
    engine.activate(
      finished.built, at: positions ?? finished.built.seal.positions, into: &outputs)
    try sink.drain(&outputs)
    try sink.write(all: finished.built.outputs)
    while engine.renew(limit: 1024, into: &outputs) > 0 { try sink.drain(&outputs) }
    summary.models += 1
    summary.lastModel = finished.built.model.id
    summary.sizes = finished.built.sizes
    summary.countsDigest = finished.built.model.countsDigest.hex
    tickSeconds.append(finished.seconds)
    try writeMetrics(finished)
  }

  private func finish() throws {
    if options.ticks == .end, let last = engine.streamTime {
      try tick(last)
    }
    try settle()
    engine.flush(into: &outputs)
    try sink.drain(&outputs)
    try sink.finish()
    summary.byDisposition = Disposition.allCases.map {
      ($0.name, engine.eventsByDisposition[Int($0.rawValue)])
    }
    summary.rejected = RejectReason.allCases.compactMap {
      rejects[Int($0.rawValue)] > 0 ? ($0.code, rejects[Int($0.rawValue)]) : nil
    }
    summary.messages = OutputTopic.allCases.map { ($0.name, sink.counts[Int($0.rawValue)]) }
    summary.digest = engine.digest.hex
    summary.streamTime = engine.streamTime
    summary.seconds = elapsed()
    try writeMetrics(nil)
    try metrics.flush()
  }

  private func writeMetrics(_ finished: ModelWorker.Finished?) throws {
    var line = MetricsLine(kind: "replay", time: Process.wallClock)
    let seconds = elapsed()
    line.put("elapsed_seconds", seconds)
    line.put("events_total", summary.events)
    line.put("events_per_second", seconds > 0 ? Double(summary.events) / seconds : 0)
    line.put(engine)
    line.put(rejects: rejects, unknownTypes: summary.unknownTypes)
    if let finished {
      line.put("tick_seconds", finished.seconds)
      line.put(finished.built.sizes)
      line.put("bytes.counts", finished.bytes.counts)
    }
    for topic in OutputTopic.allCases {
      line.put("messages.\(topic.name)", sink.counts[Int(topic.rawValue)])
    }
    line.put("bytes.resident", Process.residentBytes)
    let bytes = line.finish()
    try metrics.append(line: bytes.bytes)
  }

  private func elapsed() -> Double {
    Double(DispatchTime.now().uptimeNanoseconds - started) / 1e9
  }
}
