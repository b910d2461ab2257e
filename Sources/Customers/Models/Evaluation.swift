// How good predictions are: AUC, log loss, Brier score, calibration, lift, R², mean absolute error, and the population stability
// index between two distributions. Plain definitions; all sorts are total orders (value, then row), so results are reproducible.
import Sparse

public enum Evaluation {
  /// Rows by score ascending, equal ones by row.
  static func ascending(_ scores: [Double]) -> [Int] {
    // Values beside their rows: a sort that looks each up is bound by memory.
    var pairs = scores.indices.map { (score: scores[$0], row: $0) }
    pairs.sort { $0.score != $1.score ? $0.score < $1.score : $0.row < $1.row }
    return pairs.map(\.row)
  }

  /// Probability that a positive row scores above a negative one, equal scores counting half (Mann-Whitney). Nil where there is only
  /// one class.
  public static func auc(_ labels: [UInt8], _ scores: [Double]) -> Double? {
    let order = ascending(scores)
    let positives = labels.reduce(0) { $0 + Int($1) }
    let negatives = labels.count - positives
    guard positives > 0 && negatives > 0 else { return nil }
    var (rankSum, i) = (0.0, 0)
    while i < order.count {
      var j = i
      while j < order.count && scores[order[j]] == scores[order[i]] { j += 1 }
      // Mean rank (from 1) of the equal ones.
      let rank = Double(i + j + 1) / 2
      for k in i..<j where labels[order[k]] != 0 { rankSum += rank }
      i = j
    }
    let p = Double(positives)
    return (rankSum - p * (p + 1) / 2) / (p * Double(negatives))
  }

  /// Standard error of an AUC (Hanley & McNeil 1982).
  public static func aucError(_ auc: Double, positives: Int, negatives: Int) -> Double {
    let (p, n) = (Double(max(1, positives)), Double(max(1, negatives)))
    let (q1, q2) = (auc / (2 - auc), 2 * auc * auc / (1 + auc))
    return root(
      max(0, auc * (1 - auc) + (p - 1) * (q1 - auc * auc) + (n - 1) * (q2 - auc * auc)) / (p * n))
  }

  /// −mean of y ln p + (1 − y) ln(1 − p), p kept within [1e-15, 1 − 1e-15].
  public static func logLoss(_ labels: [UInt8], _ probabilities: [Double]) -> Double {
    var sum = 0.0
    for i in labels.indices {
      let p = min(max(probabilities[i], 1e-15), 1 - 1e-15)
      sum -= labels[i] != 0 ? logarithm(p) : logarithm1p(-p)
    }
    return sum / Double(max(1, labels.count))
  }

  /// Mean of (p − y)².
  public static func brier(_ labels: [UInt8], _ probabilities: [Double]) -> Double {
    var sum = 0.0
    for i in labels.indices {
      let gap = probabilities[i] - Double(labels[i])
      sum += gap * gap
    }
    return sum / Double(max(1, labels.count))
  }

  /// Rate among the tenth of the rows with the highest scores over the rate of all. Nil without positives.
  public static func lift(_ labels: [UInt8], _ scores: [Double], share: Double = 0.1) -> Double? {
    let positives = labels.reduce(0) { $0 + Int($1) }
    guard positives > 0 else { return nil }
    let top = max(1, Int(rounded(Double(labels.count) * share)))
    let best = ascending(scores).suffix(top)
    let hits = best.reduce(0) { $0 + Int(labels[$1]) }
    return Double(hits) / Double(top) / (Double(positives) / Double(labels.count))
  }

  public struct CalibrationBin: Sendable, Equatable {
    public var rows: Int
    /// Mean predicted probability, and share of positives.
    public var predicted: Double
    public var observed: Double
    /// Standard error of `observed`, from its own rate (with half a row of each kind added, so that it is never 0).
    public var error: Double
  }

  /// Tenths of the rows by predicted probability.
  public static func calibration(_ labels: [UInt8], _ probabilities: [Double], bins: Int = 10) -> [CalibrationBin] {
    let order = ascending(probabilities)
    var result: [CalibrationBin] = []
    for bin in 0..<bins {
      let rows = order[order.count * bin / bins..<order.count * (bin + 1) / bins]
      if rows.isEmpty { continue }
      let n = Double(rows.count)
      let positives = Double(rows.reduce(0) { $0 + Int(labels[$1]) })
      let rate = (positives + 0.5) / (n + 1)
      result.append(
        CalibrationBin(
          rows: rows.count, predicted: rows.reduce(0) { $0 + probabilities[$1] } / n,
          observed: positives / n, error: root(rate * (1 - rate) / n)))
    }
    return result
  }

  /// 1 − Σ (y − p)² / Σ (y − mean)²; 0 where all targets are equal.
  public static func r2(_ targets: [Double], _ predictions: [Double]) -> Double {
    let mean = targets.reduce(0, +) / Double(max(1, targets.count))
    var (residual, total) = (0.0, 0.0)
    for i in targets.indices {
      residual += (targets[i] - predictions[i]) * (targets[i] - predictions[i])
      total += (targets[i] - mean) * (targets[i] - mean)
    }
    return total > 0 ? 1 - residual / total : 0
  }

  public static func meanAbsoluteError(_ targets: [Double], _ predictions: [Double]) -> Double {
    var sum = 0.0
    for i in targets.indices { sum += abs(targets[i] - predictions[i]) }
    return sum / Double(max(1, targets.count))
  }

  /// Σ (q − p) ln(q / p) over tenths of `reference`, shares of at least 1e-4: under 0.1 little has moved, over 0.25 much.
  public static func stability(reference: [Double], current: [Double]) -> Double {
    guard !reference.isEmpty && !current.isEmpty else { return 0 }
    let sorted = reference.sorted()
    // Equal quantiles are one edge: what is often 0 has few bins.
    var edges: [Double] = []
    for bin in 1..<10 {
      let edge = sorted[sorted.count * bin / 10]
      if edges.last ?? -.infinity < edge { edges.append(edge) }
    }
    func shares(_ values: [Double]) -> [Double] {
      var counts = [Double](repeating: 0, count: edges.count + 1)
      for value in values { counts[edges.reduce(0) { $0 + (value >= $1 ? 1 : 0) }] += 1 }
      return counts.map { max($0 / Double(values.count), 1e-4) }
    }
    let (p, q) = (shares(reference), shares(current))
    return zip(p, q).reduce(0) { $0 + ($1.1 - $1.0) * logarithm($1.1 / $1.0) }
  }
}
