// Linear and ridge regression by the normal equations β = (XᵀX + λI)⁻¹Xᵀy (MATHS §5). Their sums are kept: a customer is added and
// taken out again without a look at the others; solving is a Cholesky factorisation of columns × columns.
// Features should be standardised, or nearly: the sums square the condition of X.
import Sparse

/// Sums over rows: of products of [features, 1, target] with each other.
public struct NormalEquations: Sendable, Equatable {
  public let columns: Int
  /// (columns + 2)², both triangles.
  public private(set) var sums: [Double]

  public init(columns: Int) {
    self.columns = columns
    sums = [Double](repeating: 0, count: (columns + 2) * (columns + 2))
  }

  public init(_ table: Table, target: UnsafePointer<Double>, parallel: ParallelFor = serially) {
    columns = table.columns
    sums = gram(table, ones: true, extra: target, parallel: parallel)
  }

  public var rows: Double { sums[columns * (columns + 2) + columns] }

  /// One row more (`sign` 1) or less (−1).
  public mutating func add(_ row: [Double], target: Double, sign: Double = 1) {
    precondition(row.count == columns)
    let all = row + [1, target]
    let d = columns + 2
    for i in 0..<d { for j in 0..<d { sums[i * d + j] += sign * all[i] * all[j] } }
  }

  /// Least squares with ridge λ, the intercept unregularised. Nil where the equations have no single solution.
  public func solve(ridge: Double = 0) -> LinearRegression? {
    let (d, n) = (columns + 2, rows)
    guard n > 0 else { return nil }
    func sum(_ i: Int, _ j: Int) -> Double { sums[i * d + j] }
    let y = columns + 1
    // Centred, so that the intercept drops out.
    let means = (0..<columns).map { sum($0, columns) / n }
    let targetMean = sum(y, columns) / n
    var a = [Double](repeating: 0, count: columns * columns)
    var b = [Double](repeating: 0, count: columns)
    for i in 0..<columns {
      for j in 0...i { a[i * columns + j] = sum(i, j) - n * means[i] * means[j] }
      a[i * columns + i] += ridge
      b[i] = sum(i, y) - n * means[i] * targetMean
    }
    var w = b
    if columns > 0 && !solveSymmetric(&a, &w, columns) { return nil }
    var explained = 0.0
    var intercept = targetMean
    for i in 0..<columns {
      explained += w[i] * b[i]
      intercept -= w[i] * means[i]
    }
    let total = sum(y, y) - n * targetMean * targetMean
    return LinearRegression(
      weights: w, intercept: intercept, residualVariance: max(0, total - explained) / n)
  }
}

public struct LinearRegression: Sendable, Equatable {
  public var weights: [Double]
  public var intercept: Double
  /// Mean squared residual of the rows it was made from (ridge 0).
  public var residualVariance: Double

  public func predict(_ table: Table, parallel: ParallelFor = serially) -> [Double] {
    linearScores(table, weights, intercept, parallel)
  }
}
