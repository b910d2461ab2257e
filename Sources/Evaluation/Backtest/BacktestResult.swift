// What a backtest found: values for reports, nothing of how they are shown.
import Recommender

/// A mean with its interval.
public struct Estimate: Sendable {
  public var mean: Double
  public var interval: Interval?
  public init(mean: Double, interval: Interval? = nil) {
    self.mean = mean
    self.interval = interval
  }
}

/// A point of a plot: how a system did among some of the questions.
public struct Segment: Sendable {
  public var label: String
  public var questions: Int
  /// By system: nDCG and hit rate at the main k. Over items: recall alone.
  public var ndcg: [Double]
  public var hitRate: [Double]
}

public struct SystemResult: Sendable {
  public var system: JudgedSystem
  /// By k of the rules, by metric.
  public var accuracy: [[Estimate]]
  /// recall@k for k = 1 up to the longest list.
  public var recallCurve: [Double]
  public var coverage: Double?
  public var gini: Double?
  public var novelty: Estimate?
  public var diversity: Estimate?
  public var popularityBias: Estimate?
  public var calibration: Estimate?
}

public struct SourceShare: Sendable {
  public var source: String
  /// Of the scores of all items that were listed, and of those that were hits.
  public var ofListed: Double
  public var ofHits: Double
}

/// The lists against a baseline, at the main k.
public struct BaselineComparison: Sendable {
  public var system: JudgedSystem
  public var ndcg: PairedComparison
  public var hitRate: PairedComparison
}

public struct BacktestResult: Sendable {
  public var rules: BacktestRules
  public var main: Behaviour
  public var questions: Int
  public var askers: Int
  /// Relevant items, over all questions.
  public var relevant: Int
  /// Wanted items that must not be recommended (bought before, in the basket), and so were no answers.
  public var leftOut: Int
  /// Questions before the first model.
  public var withoutModel: Int
  public var models: Int
  public var systems: [SystemResult]
  public var comparisons: [BaselineComparison]
  public var overTime: [Segment]
  public var byHistory: [Segment]
  /// Recall of wanted items, by how many had them: from the most popular tenth of the wanted to the least.
  public var byPopularity: [Segment]
  /// Askers without any history; wanted items that were new to the log.
  public var coldQuestions: Int
  public var coldItems: Int
  public var sources: [SourceShare]
  public var misses: [(reason: MissReason, count: Int)]

  /// Per question, for comparisons between runs over the same log: its event, its asker, and per metric the lists' value
  /// at the main k.
  public var eventOf: [UInt32]
  public var askerOf: [UInt32]
  public var askerCount: Int
  public var samples: [Sample]
}

extension BacktestResult {
  /// The questions that both runs asked: this one less that one, by metric; nil where there are none.
  public func compared(
    with other: BacktestResult, bootstrap: Bootstrap = Bootstrap(), parallel: @escaping Parallel
  ) -> [PairedComparison?] {
    var (mine, theirs): ([Int], [Int]) = ([], [])
    var at = 0
    for (q, event) in eventOf.enumerated() {
      while at < other.eventOf.count && other.eventOf[at] < event { at += 1 }
      if at < other.eventOf.count && other.eventOf[at] == event {
        mine.append(q)
        theirs.append(at)
      }
    }
    return AccuracyMetric.allCases.indices.map { m in
      PairedComparison(
        Sample(mine.map { samples[m].values[$0] }), Sample(theirs.map { other.samples[m].values[$0] }),
        clusters: mine.map { askerOf[$0] }, clusterCount: askerCount, bootstrap: bootstrap, parallel: parallel)
    }
  }
}
