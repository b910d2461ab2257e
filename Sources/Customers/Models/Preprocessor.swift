// What is done to features before a linear model or K-means sees them, with the parameters to do it again: missing values filled,
// ln(1 + x) where a feature says so, then mean 0 and population deviation 1. And which features a model takes.
import Sparse

public struct Preprocessor: Sendable, Equatable {
  /// Per column: take ln(1 + max(x, 0)) first.
  public var logs: [Bool]
  /// After the logarithm: what stands for a missing value (NaN), the median of the others; 0 where none is missing.
  public var fills: [Double]
  public var means: [Double]
  /// Population deviations; 1 for a constant column.
  public var deviations: [Double]

  public init(_ table: Table, logs: [Bool], parallel: ParallelFor = serially) {
    precondition(logs.count == table.columns)
    self.logs = logs
    let all = Vec<(fill: Double, mean: Double, deviation: Double)>.filled((0, 0, 1), count: table.columns)
    let shared = Shared(all.base)
    parallel(table.columns) { c in
      shared.base[c] = Preprocessor.parameters(table.column(c), table.rows, isLogarithmic: logs[c])
    }
    fills = all.buffer.map(\.fill)
    means = all.buffer.map(\.mean)
    deviations = all.buffer.map(\.deviation)
  }

  private static func parameters(
    _ from: UnsafePointer<Double>, _ rows: Int, isLogarithmic: Bool
  ) -> (fill: Double, mean: Double, deviation: Double) {
    var known = Vec<Double>(capacity: rows)
    for row in 0..<rows where !from[row].isNaN {
      known.append(isLogarithmic ? logarithm1p(max(from[row], 0)) : from[row])
    }
    // The median is wanted only where something is missing.
    var fill = 0.0
    if known.count < rows && known.count > 0 {
      var buffer = known.mutableBuffer
      buffer.sort()
      fill = known[(known.count - 1) / 2]
    }
    let n = Double(max(1, rows))
    let missing = Double(rows - known.count)
    let mean = (known.buffer.reduce(0, +) + missing * fill) / n
    let squares = known.buffer.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } + missing * (fill - mean) * (fill - mean)
    let deviation = root(squares / n)
    return (fill, mean, deviation > 1e-12 * max(1, abs(mean)) ? deviation : 1)
  }

  /// One value of column `c`.
  public func value(_ x: Double, _ c: Int) -> Double {
    let y = x.isNaN ? fills[c] : logs[c] ? logarithm1p(max(x, 0)) : x
    return (y - means[c]) / deviations[c]
  }

  public func apply(_ table: Table, parallel: ParallelFor = serially) -> Table {
    let result = Table(rows: table.rows, columns: table.columns)
    parallel(table.columns) { c in
      let (from, to) = (table.column(c), result.column(c))
      for row in 0..<table.rows { to[row] = value(from[row], c) }
    }
    return result
  }

  /// The value itself, where there is one.
  public func filled(_ x: Double, _ c: Int) -> Double { x.isNaN ? fills[c] : x }

  /// Values as they are, missing ones filled.
  public func filled(_ table: Table) -> Table {
    let result = Table(rows: table.rows, columns: table.columns)
    for c in 0..<table.columns {
      let (from, to) = (table.column(c), result.column(c))
      for row in 0..<table.rows { to[row] = filled(from[row], c) }
    }
    return result
  }

  public func selecting(_ chosen: [Int]) -> Preprocessor {
    var result = self
    result.logs = chosen.map { logs[$0] }
    result.fills = chosen.map { fills[$0] }
    result.means = chosen.map { means[$0] }
    result.deviations = chosen.map { deviations[$0] }
    return result
  }
}

public enum FeatureSelection {
  /// H(S) − Σ |S_v|/|S| · H(S_v) in bits, over tenths of the column's values (equal values stay together): the mutual information of
  /// feature and label.
  public static func informationGain(_ column: UnsafePointer<Double>, labels: [UInt8], bins: Int = 10) -> Double {
    let values = (0..<labels.count).map { column[$0].isNaN ? -Double.infinity : column[$0] }
    let order = Evaluation.ascending(values)
    var groups: [[Int]] = []
    var i = 0
    for bin in 0..<bins {
      var end = max(i, order.count * (bin + 1) / bins)
      while end > 0 && end < order.count && values[order[end]] == values[order[end - 1]] { end += 1 }
      if end > i {
        let positive = order[i..<end].reduce(0) { $0 + Int(labels[$1]) }
        groups.append([end - i - positive, positive])
      }
      i = max(i, end)
    }
    return informationGain(groups: groups)
  }

  /// The same of groups given as counts per class.
  public static func informationGain(groups: [[Int]]) -> Double {
    func entropy(_ counts: [Int]) -> Double {
      let total = Double(counts.reduce(0, +))
      return counts.reduce(0.0) { sum, count in
        count > 0 ? sum - Double(count) / total * logarithm2(Double(count) / total) : sum
      }
    }
    guard let first = groups.first else { return 0 }
    let classes = first.indices.map { c in groups.reduce(0) { $0 + $1[c] } }
    let total = Double(classes.reduce(0, +))
    return entropy(classes)
      - groups.reduce(0) { $0 + Double($1.reduce(0, +)) / total * entropy($1) }
  }

  /// Pearson correlations, columns × columns; 0 with a constant column.
  public static func correlations(_ table: Table, parallel: ParallelFor = serially) -> [Double] {
    let (c, d) = (table.columns, table.columns + 1)
    let sums = gram(table, ones: true, parallel: parallel)
    let n = Double(max(1, table.rows))
    func covariance(_ i: Int, _ j: Int) -> Double {
      sums[i * d + j] - sums[i * d + c] * sums[j * d + c] / n
    }
    var result = [Double](repeating: 0, count: c * c)
    for i in 0..<c {
      for j in 0..<c {
        let scale = root(max(0, covariance(i, i)) * max(0, covariance(j, j)))
        result[i * c + j] = scale > 1e-12 ? covariance(i, j) / scale : 0
      }
    }
    return result
  }

  /// Columns in order of `merit`, without those that correlate by more than `limit` with a better one and without constant ones.
  public static func pruned(_ table: Table, merit: [Double], limit: Double, parallel: ParallelFor = serially) -> [Int] {
    let c = table.columns
    let correlation = correlations(table, parallel: parallel)
    let order = (0..<c).sorted { merit[$0] != merit[$1] ? merit[$0] > merit[$1] : $0 < $1 }
    var kept: [Int] = []
    for i in order where correlation[i * c + i] > 0 {
      if kept.allSatisfy({ abs(correlation[i * c + $0]) <= limit }) { kept.append(i) }
    }
    return kept.sorted()
  }
}
