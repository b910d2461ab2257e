// A ranked list held against what was relevant: all that the metrics of accuracy look at.

public struct JudgedList: Sendable {
  /// By rank, the best first: whether the item there was relevant.
  public var hits: [Bool]
  /// Relevant items in all, in the list or not; at least 1.
  public var relevant: Int

  public init(hits: [Bool], relevant: Int) {
    self.hits = hits
    self.relevant = relevant
  }

  /// Hits among the first k.
  func hits(at k: Int) -> Int {
    var count = 0
    for rank in 0..<min(k, hits.count) where hits[rank] { count += 1 }
    return count
  }

  /// Rank of the first hit from 1, nil where there is none among the first k.
  func firstHit(at k: Int) -> Int? {
    for rank in 0..<min(k, hits.count) where hits[rank] { return rank + 1 }
    return nil
  }
}

/// The metrics of accuracy, in the order of reports.
public enum AccuracyMetric: String, CaseIterable, Sendable {
  case recall, precision
  case hitRate = "hit_rate"
  case ndcg, mrr, map

  public func value(_ list: JudgedList, at k: Int) -> Double {
    switch self {
    case .recall: Recall.value(list, at: k)
    case .precision: Precision.value(list, at: k)
    case .hitRate: HitRate.value(list, at: k)
    case .ndcg: NDCG.value(list, at: k)
    case .mrr: ReciprocalRank.value(list, at: k)
    case .map: AveragePrecision.value(list, at: k)
    }
  }
}
