// The search for a better configuration. The log's end is the outer split: nothing of it is read until the search has
// chosen, and then it judges the choice and the start once. Inside, folds end where the outer split begins: stretches of
// time, each asked with a model made before it.
//
// Runs go side by side, one thread each, and each result is appended to the journal as it comes: a search that was
// stopped goes on from there.
import Dispatch
import Engine
import Evaluation
import Events
import Recommender
import Sparse

public struct TuneOptions: Sendable {
  public var backtest = BacktestOptions()
  /// Configurations tried, the given one among them.
  public var candidates = 50
  public var folds = 3
  public var metric = AccuracyMetric.ndcg
  public var seed: UInt64 = 1
  /// The outer split, ms.
  public var outer: Int64 = 0
  /// Runs side by side.
  public var threads = 2
  /// Where results are kept while it runs; nil: nowhere.
  public var journal: String?
  public init() {}
}

public struct TuneProgress: Sendable {
  public var done: Int
  public var total: Int
  /// Of those tried on as many folds as any: its mean, and that of the given configuration there.
  public var best: Double?
  public var start: Double?
}

public struct TuneReport: Sendable {
  public struct Trial: Sendable {
    public var candidate: Candidate
    /// By fold, as far as it was tried.
    public var scores: [Double]
  }
  public var metric: AccuracyMetric
  public var k: Int
  public var seed: UInt64
  /// Fold by fold: from when its questions are, and to when.
  public var folds: [Range<Int64>]
  public var outer: Int64
  /// By how far they came, then by their mean.
  public var trials: [Trial]
  /// What is recommended; unchanged where nothing was better beyond doubt.
  public var chosen: Candidate
  /// Of the best candidate over the given configuration, on the inner folds.
  public var inner: PairedComparison?
  /// Of what was chosen over the given configuration, on the outer split; nil where they are the same.
  public var outerGain: PairedComparison?
  public var outerReport: BacktestReport
  public var runs: Int
  public var resumed: Int
  public var seconds = 0.0
}

public final class TuneRun: @unchecked Sendable {
  private let log: BacktestLog
  private let options: TuneOptions
  private let candidates: [Candidate]
  private let folds: [Range<Int64>]
  private let configurations: [EngineConfiguration]
  private let lock = Lock()
  private var halving: SuccessiveHalving
  private var failure: (any Error)?
  private var done = 0
  private var resumed = 0

  /// - Parameter load: the configuration with these keys changed.
  public init(
    _ log: BacktestLog, _ options: TuneOptions, load: ([(key: String, value: String)]) throws -> EngineConfiguration
  ) throws {
    self.log = log
    self.options = options
    var behaviours = Set<Behaviour>()
    for e in 0..<log.log.events.count { behaviours.insert(log.log.events[e].behaviour) }
    let space = SearchSpace(options.backtest.engine, behaviours: behaviours)
    candidates = space.candidates(options.candidates, seed: options.seed)
    configurations = try candidates.map { try load($0.changes) }
    folds = TuneRun.folds(options, log)
    if folds.isEmpty {
      throw BacktestError(description: "\(log.files.joined(separator: ", ")): nothing to learn from before the split")
    }
    halving = SuccessiveHalving(candidates: candidates.count, folds: folds.count)
  }

  /// Stretches before the outer split, the latest first: as long as what lies behind it, but all of them together no more
  /// than half of what lies before.
  private static func folds(_ options: TuneOptions, _ log: BacktestLog) -> [Range<Int64>] {
    let before = options.outer - log.times.lowerBound
    let length = min(log.times.upperBound - options.outer + 1, before / 2 / Int64(max(1, options.folds)))
    if length < 1 { return [] }
    return (0..<options.folds).map { fold in
      let end = options.outer - Int64(fold) * length
      return end - length..<end
    }
  }

  public func run(configuration: String, progress: (TuneProgress) -> Void) throws -> TuneReport {
    let journal = try options.journal.map { try TuneJournal($0, header: header) }
    for result in journal?.results ?? [] where result.candidate < candidates.count && result.fold < folds.count {
      halving.record(result.candidate, fold: result.fold, score: result.score)
      resumed += 1
    }
    done = resumed
    for fold in folds.indices {
      let waiting = halving.survivors(at: fold).filter { halving.score($0, fold: fold) == nil }
      try inParallel(waiting.count) { i in
        let score = try self.score(waiting[i], fold: fold)
        self.lock.with {
          self.halving.record(waiting[i], fold: fold, score: score)
          self.done += 1
          do { try journal?.append(TuneJournal.Result(candidate: waiting[i], fold: fold, score: score)) } catch {
            self.failure = self.failure ?? error
          }
        }
      } tick: {
        progress(self.state(fold))
      }
    }
    return try judge(configuration, progress)
  }

  // MARK: the search

  /// Everything a result depends on, besides the code.
  private var header: String {
    let space = candidates.map(\.text).joined(separator: "|")
    let question = String(describing: options.backtest.rules) + String(describing: options.backtest.seen)
    let data = log.files.joined(separator: "|") + "\(log.records) \(log.times)"
    let base = options.backtest.engine.fingerprint
    return Fingerprint(of: "\(options.seed) \(options.metric) \(folds) \(space) \(question) \(data) \(base)").hex
  }

  private func score(_ candidate: Int, fold: Int) throws -> Double {
    let result = try run(candidate, folds[fold])
    return result.samples[metricPlace].mean ?? 0
  }

  private var metricPlace: Int { AccuracyMetric.allCases.firstIndex(of: options.metric) ?? 0 }

  private func run(
    _ candidate: Int, _ range: Range<Int64>, threads: Int = 1, isBrief: Bool = true
  ) throws -> BacktestResult {
    var backtest = options.backtest
    backtest.rules.isBrief = isBrief
    backtest.engine = configurations[candidate]
    backtest.split = .at(range.lowerBound, isOnline: false)
    backtest.rules.end = range.upperBound
    backtest.threads = threads
    return try BacktestRun(log, backtest).run()
  }

  private func state(_ fold: Int) -> TuneProgress {
    lock.with {
      let alive = halving.survivors(at: fold)
      let best = alive.compactMap { halving.mean($0, folds: fold + 1) }.max()
      return TuneProgress(done: done, total: halving.total, best: best, start: halving.mean(0, folds: fold + 1))
    }
  }

  /// Runs the bodies on the threads; `tick` is called here, now and then, until they are done.
  private func inParallel(
    _ count: Int, _ body: @escaping @Sendable (Int) throws -> Void, tick: () -> Void
  ) throws {
    let next = Counter()
    let finished = DispatchSemaphore(value: 0)
    let workers = max(1, min(options.threads, count))
    for _ in 0..<workers {
      DispatchQueue.global().async {
        while true {
          let i = next.take()
          if i >= count || self.lock.with({ self.failure != nil }) { break }
          do { try body(i) } catch { self.lock.with { self.failure = self.failure ?? error } }
        }
        finished.signal()
      }
    }
    var left = workers
    while left > 0 {
      if finished.wait(timeout: .now() + .milliseconds(200)) == .success { left -= 1 }
      tick()
    }
    if let failure = lock.with({ failure }) { throw failure }
  }

  // MARK: the choice

  private func judge(_ configuration: String, _ progress: (TuneProgress) -> Void) throws -> TuneReport {
    let best = halving.best
    let parallel = Threads.parallel(options.threads)
    // Is it better beyond doubt, over all inner folds, customer by customer?
    var inner: PairedComparison?
    if best != 0 {
      let results = PairedResults(folds.count)
      try inParallel(folds.count * 2) { i in
        let result = try self.run(i & 1 == 0 ? best : 0, self.folds[i / 2])
        self.lock.with { results.put(result, at: i) }
      } tick: {
        progress(state(folds.count - 1))
      }
      inner = results.compared(metricPlace, log.log, parallel)
    }
    let chosen = (inner?.interval.low ?? 0) > 0 ? best : 0

    // The outer split, once.
    let outer = options.outer..<Int64.max
    var backtest = options.backtest
    backtest.split = .at(options.outer, isOnline: false)
    let start = try run(0, outer, threads: options.threads, isBrief: false)
    let tuned = chosen == 0 ? start : try run(chosen, outer, threads: options.threads, isBrief: false)
    var report = BacktestReport(
      log, backtest, configuration: chosen == 0 ? configuration : "\(configuration), tuned", result: tuned)
    var outerGain: PairedComparison?
    if chosen != 0 {
      let differences = tuned.compared(with: start, parallel: parallel)
      report.against = (configuration, start, differences)
      outerGain = differences[metricPlace]
    }
    let trials = candidates.indices.map { c in
      TuneReport.Trial(candidate: candidates[c], scores: folds.indices.compactMap { halving.score(c, fold: $0) })
    }
    return TuneReport(
      metric: options.metric, k: options.backtest.rules.mainK, seed: options.seed, folds: folds, outer: options.outer,
      trials: trials.enumerated().sorted { a, b in
        let (x, y) = (a.element.scores, b.element.scores)
        if x.count != y.count { return x.count > y.count }
        let (s, t) = (x.reduce(0, +), y.reduce(0, +))
        return s != t ? s > t : a.offset < b.offset
      }.map(\.element), chosen: candidates[chosen], inner: inner, outerGain: outerGain, outerReport: report,
      runs: done - resumed, resumed: resumed)
  }
}

/// Two configurations over several folds: the results at even places are the first's.
private final class PairedResults: @unchecked Sendable {
  private var results: [BacktestResult?]
  init(_ folds: Int) { results = [BacktestResult?](repeating: nil, count: folds * 2) }

  func put(_ result: BacktestResult, at i: Int) { results[i] = result }

  /// Over the questions of all folds that both were asked.
  func compared(_ metric: Int, _ log: InteractionLog, _ parallel: @escaping Parallel) -> PairedComparison? {
    var (first, second, askers): ([Double], [Double], [UInt32]) = ([], [], [])
    var numbers: [UInt32: UInt32] = [:]
    for i in stride(from: 0, to: results.count, by: 2) {
      guard let a = results[i], let b = results[i + 1] else { continue }
      var theirs: [UInt32: Int] = [:]
      for (q, event) in b.eventOf.enumerated() { theirs[event] = q }
      for (q, event) in a.eventOf.enumerated() {
        guard let other = theirs[event] else { continue }
        first.append(a.samples[metric].values[q])
        second.append(b.samples[metric].values[other])
        // One customer is one customer in all folds.
        let whole = log.events[Int(event)]
        let asker = whole.user != InteractionLog.none ? whole.user : whole.session ^ 0x8000_0000
        let number = numbers[asker] ?? UInt32(numbers.count)
        numbers[asker] = number
        askers.append(number)
      }
    }
    return PairedComparison(
      Sample(first), Sample(second), clusters: askers, clusterCount: numbers.count, bootstrap: Bootstrap(),
      parallel: parallel)
  }
}
