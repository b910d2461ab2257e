// Logistic regression and the linear SVM with squared hinge loss, by Newton's method: a few features and many rows, so the whole
// Hessian XᵀWX costs little more than a gradient, and a handful of steps reach machine precision where first-order methods
// take hundreds. (Squared hinge: finite Newton, Keerthi & DeCoste 2005; it solves what LIBLINEAR's primal solver 2 does.)
//
// minimise ½‖w‖² + C Σ loss(±(w·x + b)), with b regularised or not. Large tables start at the solution of a sixteenth of their rows.
import CKernels
import Sparse

public enum LinearLoss: Sendable {
  /// ln(1 + e⁻ᵐ)
  case logistic
  /// max(0, 1 − m)²
  case squaredHinge
}

public struct LinearSettings: Sendable {
  public var loss = LinearLoss.logistic
  /// C: weight of the losses against ½‖w‖²; λ of MATHS §5 is 1/C.
  public var cost = 1.0
  public var regularisesIntercept = false
  /// A step below it (largest coordinate) is the last.
  public var tolerance = 1e-7
  public var maxIterations = 100
  public init(_ loss: LinearLoss = .logistic, cost: Double = 1) {
    self.loss = loss
    self.cost = cost
    regularisesIntercept = loss == .squaredHinge
  }
}

public struct LinearClassifier: Sendable, Equatable {
  public var weights: [Double]
  public var intercept: Double
  public var iterations = 0
  /// Of the intercept (last) and the weights, (XᵀWX + I/C)⁻¹ row by row; logistic only, where asked.
  public var covariance: [Double] = []

  /// - Parameter labels: 0 or 1 per row. Complexity: O(rows · columns²) per step, about six steps.
  public static func fit(
    _ table: Table, labels: UnsafePointer<UInt8>, _ settings: LinearSettings = LinearSettings(),
    wantsCovariance: Bool = false, parallel: ParallelFor = serially
  ) -> LinearClassifier {
    var start = [Double](repeating: 0, count: table.columns + 1)
    if table.rows >= 1 << 16 {
      let chosen = Array(stride(from: 0, to: table.rows, by: 16))
      let fewer = chosen.map { labels[$0] }
      var rough = settings
      rough.cost = settings.cost * 16
      rough.tolerance = 1e-3
      let first = fit(table.picking(chosen), labels: fewer, rough, parallel: parallel)
      start = first.weights + [first.intercept]
    }
    var problem = NewtonProblem(table, labels, settings)
    var (solution, steps) = problem.minimise(from: start, parallel)
    let intercept = solution.removeLast()
    var result = LinearClassifier(weights: solution, intercept: intercept, iterations: steps)
    if wantsCovariance { result.covariance = problem.covariance(at: solution + [intercept], parallel) }
    return result
  }

  /// w·x + b of every row.
  public func scores(_ table: Table, parallel: ParallelFor = serially) -> [Double] {
    linearScores(table, weights, intercept, parallel)
  }

  /// Of a row, features one after the other.
  public func score(_ row: [Double]) -> Double {
    var sum = intercept
    for j in weights.indices { sum += weights[j] * row[j] }
    return sum
  }
}

func linearScores(_ table: Table, _ weights: [Double], _ intercept: Double, _ parallel: ParallelFor) -> [Double] {
  precondition(weights.count == table.columns)
  let stretches = Stretches(rows: table.rows)
  return [Double](unsafeUninitializedCapacity: table.rows) { buffer, count in
    count = table.rows
    guard let base = buffer.baseAddress else { return }
    let out = Shared(base)
    parallel(stretches.count) { part in
      let range = stretches.range(part)
      let columns = ColumnPointers(table, ones: false)
      for row in stride(from: range.lowerBound, to: range.upperBound, by: gramBlock) {
        columns.move(to: row)
        affinity_linear(
          columns.at.base, table.columns, min(gramBlock, range.upperBound - row), weights, intercept,
          out.base + row)
      }
    }
  }
}

/// Value, gradient and Hessian of a loss over a table, and Newton's iteration on them. The last coordinate is the intercept.
struct NewtonProblem: ~Copyable {
  let table: Table
  let labels: UnsafePointer<UInt8>
  let settings: LinearSettings
  let d: Int
  private let stretches: Stretches
  /// Per stretch: d × d sums of the Hessian, d of the gradient, the loss.
  private let sums: Vec<Double>
  private let sumLength: Int
  private(set) var hessian: [Double]
  private(set) var gradient: [Double]
  private(set) var loss = 0.0

  init(_ table: Table, _ labels: UnsafePointer<UInt8>, _ settings: LinearSettings) {
    self.table = table
    self.labels = labels
    self.settings = settings
    d = table.columns + 1
    stretches = Stretches(rows: table.rows)
    sumLength = d * d + d + 1
    sums = .filled(0, count: max(1, stretches.count) * sumLength)
    hessian = [Double](repeating: 0, count: d * d)
    gradient = [Double](repeating: 0, count: d)
  }

  /// The losses' part alone, times C: `loss`, `gradient`, `hessian` (lower triangle).
  mutating func evaluate(_ w: [Double], _ parallel: ParallelFor) {
    sums.base.update(repeating: 0, count: sums.count)
    let (d, table, labels, settings, stretches, sumLength) = (d, table, labels, settings, stretches, sumLength)
    let shared = Shared(sums.base)
    parallel(stretches.count) { part in
      let columns = ColumnPointers(table, ones: true)
      let scratch = Vec<Double>.filled(0, count: gramBlock * (d + 3))
      let (scores, curves, slopes) = (
        scratch.base + gramBlock * d, scratch.base + gramBlock * (d + 1), scratch.base + gramBlock * (d + 2)
      )
      let own = shared.base + part * sumLength
      let range = stretches.range(part)
      for row in stride(from: range.lowerBound, to: range.upperBound, by: gramBlock) {
        let n = min(gramBlock, range.upperBound - row)
        columns.move(to: row)
        affinity_linear(columns.at.base, d, n, w, 0, scores)
        var loss = 0.0
        switch settings.loss {
        case .logistic:
          for r in 0..<n {
            let (z, y) = (scores[r], Double(labels[row + r]))
            let e = exponential(-abs(z))
            let p = z >= 0 ? 1 / (1 + e) : e / (1 + e)
            loss += max(z, 0) - y * z + logarithm1p(e)
            slopes[r] = p - y
            curves[r] = p * (1 - p)
          }
        case .squaredHinge:
          for r in 0..<n {
            let y = labels[row + r] != 0 ? 1.0 : -1.0
            let lack = 1 - y * scores[r]
            loss += lack > 0 ? lack * lack : 0
            slopes[r] = lack > 0 ? -2 * y * lack : 0
            curves[r] = lack > 0 ? 2 : 0
          }
        }
        own[d * d + d] += loss
        affinity_dots_add(columns.at.base, d, n, slopes, own + d * d)
        affinity_gram_add(columns.at.base, d, n, curves, scratch.base, own)
      }
    }
    loss = 0
    gradient = [Double](repeating: 0, count: d)
    hessian = [Double](repeating: 0, count: d * d)
    for part in 0..<stretches.count {
      let own = sums.base + part * sumLength
      for i in 0..<(d * d) { hessian[i] += settings.cost * own[i] }
      for i in 0..<d { gradient[i] += settings.cost * own[d * d + i] }
      loss += settings.cost * own[d * d + d]
    }
  }

  private func penalty(_ i: Int) -> Double { i < d - 1 || settings.regularisesIntercept ? 1 : 0 }

  private func objective(_ w: [Double]) -> Double {
    var sum = loss
    for i in 0..<d { sum += 0.5 * penalty(i) * w[i] * w[i] }
    return sum
  }

  mutating func minimise(from start: [Double], _ parallel: ParallelFor) -> (solution: [Double], steps: Int) {
    var w = start
    evaluate(w, parallel)
    var value = objective(w)
    var steps = 0
    while steps < settings.maxIterations {
      var step = (0..<d).map { gradient[$0] + penalty($0) * w[$0] }
      if !newtonStep(&step) { break }
      steps += 1
      let largest = step.reduce(0) { max($0, abs($1)) }
      if !largest.isFinite { break }
      // Where the last full step was this small, the error left is its square.
      if largest < settings.tolerance {
        for i in 0..<d { w[i] -= step[i] }
        break
      }
      var scale = 1.0
      var next = w
      while true {
        for i in 0..<d { next[i] = w[i] - scale * step[i] }
        evaluate(next, parallel)
        let reached = objective(next)
        if reached <= value + 1e-9 * abs(value) || scale < 1e-6 {
          value = reached
          break
        }
        scale /= 2
      }
      w = next
    }
    return (w, steps)
  }

  /// H⁻¹ g in place of g. A direction that the data do not have (a constant feature beside the intercept) gets a little weight.
  private func newtonStep(_ g: inout [Double]) -> Bool {
    var ridge = 0.0
    for _ in 0..<8 {
      var a = hessian
      for i in 0..<d { a[i * d + i] += penalty(i) + ridge }
      var b = g
      if solveSymmetric(&a, &b, d) {
        g = b
        return true
      }
      ridge = ridge == 0 ? 1e-8 : ridge * 100
    }
    return false
  }

  /// (XᵀWX + I/C)⁻¹ at w: the covariance of the coefficients by Laplace's approximation.
  mutating func covariance(at w: [Double], _ parallel: ParallelFor) -> [Double] {
    evaluate(w, parallel)
    var a = hessian
    for i in 0..<d { a[i * d + i] += penalty(i) }
    guard invertSymmetric(&a, d) else { return [] }
    for i in 0..<d {
      for j in 0...i {
        a[i * d + j] *= settings.cost
        a[j * d + i] = a[i * d + j]
      }
    }
    return a
  }
}
