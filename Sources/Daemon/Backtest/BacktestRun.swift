// One configuration over one log: the engine as replay drives it, with questions in between.
//
// Without a split it is prequential: models at the ticks, and every event first a question, then a lesson. With a split
// nothing is asked before it and one model is made there; the rows live on, and with `online` the models too.
import Engine
import Evaluation
import Events
import Recommender
import Sparse

public enum BacktestSplit: Sendable, Equatable {
  case prequential
  /// Training ends at this time, ms. `isOnline`: models go on being made at the ticks.
  case at(Int64, isOnline: Bool)
}

/// What becomes of items that the asker has bought.
public enum SeenItems: String, CaseIterable, Sendable {
  /// As `recommend.exclude_purchased` says.
  case configured
  case excluded, included
}

public struct BacktestOptions: Sendable {
  public var engine = EngineConfiguration()
  public var catalogues: [String] = []
  public var split = BacktestSplit.prequential
  public var rules = BacktestRules()
  /// Milliseconds of event time between models.
  public var ticks: Int64 = 7 * 86_400_000
  public var seen = SeenItems.configured
  /// Threads that build models and resample.
  public var threads = 2
  public init() {}
}

public final class BacktestRun {
  private let options: BacktestOptions
  private let log: BacktestLog
  private var engine: Engine
  private let judge: BacktestJudge
  private let worker: ModelWorker
  private var outputs = Outputs()

  public init(_ log: BacktestLog, _ options: BacktestOptions) throws {
    var options = options
    if case .at(let time, _) = options.split { options.rules.start = time }
    var configuration = options.engine
    // Lists are asked for, none is caused.
    configuration.recommendEnabled = true
    configuration.recommend.on = []
    configuration.recommend.top = options.rules.ks[options.rules.ks.count - 1]
    // Rules that no list is made of need not be mined.
    if configuration.recommend.rulesWeight == 0 { configuration.rulesEnabled = false }
    switch options.seen {
    case .configured: break
    case .excluded: configuration.recommend.excludePurchased = true
    case .included: configuration.recommend.excludePurchased = false
    }
    self.log = log
    self.options = options
    engine = Engine(configuration, topics: [log.topic])
    worker = ModelWorker(configuration, threads: options.threads)
    judge = BacktestJudge(log.log, options.rules, main: log.main, configuration: configuration)
    for path in options.catalogues {
      try CatalogueFile.forEach(path) { key, value in
        try key.withUnsafeBytes { key in
          if let fault = engine.takeCatalogue(key: key, value: value, limits: log.limits) {
            throw CatalogueFileError(description: "\(path): \(fault.message)")
          }
        }
      }
    }
  }

  public func run(progress: (Int, Int) -> Void = { _, _ in }) throws -> BacktestResult {
    var number = 0
    let end = options.rules.end ?? .max
    try MergedLog(log.files, limits: log.limits, topic: log.topic).forEach(progress: progress) { record in
      if number & 4095 == 0, engine.changedRows > 32_768 { worker.absorb(engine.takeChanges()) }
      guard let event = record.event(tolerance: log.futureTolerance) else {
        passOver(record)
        return true
      }
      if event.time >= end { return !(InteractionLog.takes(event) && isLast(&number)) }
      arrive(at: event.time)
      let isTaken = InteractionLog.takes(event)
      if isTaken, let answers = judge.question(before: number) { judge.ask(number, event, answers, &engine) }
      if engine.apply(event, at: record.position, clock: event.time, into: &outputs) == .erasure { judge.forgetIDs() }
      outputs.removeAll()
      if isTaken {
        judge.learn(number)
        number += 1
      }
      return true
    }
    return judge.result(parallel: Threads.parallel(options.threads))
  }

  /// An event behind the end: it is counted, and no more.
  private func isLast(_ number: inout Int) -> Bool {
    number += 1
    return number == log.log.events.count
  }

  private func passOver(_ record: MergedRecord) {
    let position = record.position
    switch record.batch[record.index] {
    case .erasure where position.topic == 0:
      (record.cursor.key(record.index) ?? []).withUnsafeBytes { user in
        if record.batch.fault(inErasureKey: user) == nil { engine.erase(user: user, at: position, into: &outputs) }
      }
      judge.forgetIDs()
      outputs.removeAll()
    case .unknownType(_, let time?)
    where position.topic == 0
      && !LogPosition.isFuture(time, recordTimestamp: position.timestamp, tolerance: log.futureTolerance):
      arrive(at: time)
      engine.skip(position, time: time)
    default: engine.skip(position)
    }
  }

  /// Event time moves: a model where it crosses a tick, or the split.
  private func arrive(at time: Int64) {
    if case .at(let split, let isOnline) = options.split {
      if engine.model == nil {
        if time >= split, engine.streamTime != nil { tick(split) }
        return
      }
      if !isOnline { return }
    }
    if let tick = ReplayTicks.every(options.ticks).crossed(by: time, after: engine.streamTime) { self.tick(tick) }
  }

  private func tick(_ time: Int64) {
    engine.flush(into: &outputs)
    let finished = worker.buildNow(engine.seal(tick: time))
    engine.activate(finished.built, at: finished.built.seal.positions, into: &outputs)
    outputs.removeAll()
    judge.refresh(at: time)
  }
}
