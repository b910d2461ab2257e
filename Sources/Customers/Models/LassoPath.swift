// Logistic regression with an L1 penalty along a path of weights (Friedman, Hastie, Tibshirani 2010, "Regularization Paths for
// Generalized Linear Models via Coordinate Descent"): which features matter, from the first that enters to the last. Outer
// Newton steps share the Gram kernel; the inner coordinate descent works on the small quadratic model alone.
//
// minimise Σ loss / rows + λ ‖w‖₁, intercept free. Features are standardised.
import Sparse

public struct LassoStep: Sendable {
  public var lambda: Double
  public var weights: [Double]
  public var intercept: Double
  /// Features with a weight.
  public var active: [Int] { weights.indices.filter { weights[$0] != 0 } }
}

public enum LassoPath {
  /// From the λ at which the first feature enters down to `ratio` of it, in `steps` equal factors, each from the one before.
  public static func logistic(
    _ table: Table, labels: UnsafePointer<UInt8>, steps: Int = 30, ratio: Double = 1e-3,
    tolerance: Double = 1e-7, parallel: ParallelFor = serially
  ) -> [LassoStep] {
    guard table.rows > 0, steps > 1 else { return [] }
    var settings = LinearSettings(.logistic)
    settings.cost = 1 / Double(table.rows)
    var problem = NewtonProblem(table, labels, settings)
    let d = table.columns + 1
    var w = [Double](repeating: 0, count: d)
    // The intercept alone: the rate's log odds.
    var positive = 0
    for i in 0..<table.rows { positive += Int(labels[i]) }
    let rate = min(max(Double(positive) / Double(table.rows), 1e-9), 1 - 1e-9)
    w[d - 1] = logarithm(rate / (1 - rate))
    problem.evaluate(w, parallel)
    let first = problem.gradient.dropLast().reduce(0) { max($0, abs($1)) }
    var path: [LassoStep] = []
    for step in 0..<steps {
      let lambda = first * exponential(logarithm(ratio) * Double(step) / Double(steps - 1))
      for _ in 0..<50 {
        problem.evaluate(w, parallel)
        let before = w
        descend(problem.hessian, problem.gradient, lambda, &w, tolerance)
        let largest = zip(w, before).reduce(0) { max($0, abs($1.0 - $1.1)) }
        if largest < tolerance { break }
      }
      path.append(LassoStep(lambda: lambda, weights: Array(w.dropLast()), intercept: w[d - 1]))
    }
    return path
  }

  /// Coordinate descent on the quadratic model at w: gᵀδ + ½ δᵀHδ + λ‖w + δ‖₁.
  private static func descend(
    _ hessian: [Double], _ gradient: [Double], _ lambda: Double, _ w: inout [Double], _ tolerance: Double
  ) {
    let d = w.count
    let start = w
    func h(_ i: Int, _ j: Int) -> Double { i >= j ? hessian[i * d + j] : hessian[j * d + i] }
    // Gradient of the model at w.
    var g = gradient
    for _ in 0..<1000 {
      var largest = 0.0
      for i in 0..<d {
        let curve = h(i, i)
        if curve <= 1e-12 { continue }
        let target = w[i] - g[i] / curve
        let bound = i < d - 1 ? lambda / curve : 0
        let next = target > bound ? target - bound : target < -bound ? target + bound : 0
        let change = next - w[i]
        if change == 0 { continue }
        w[i] = next
        for j in 0..<d { g[j] += h(j, i) * change }
        largest = max(largest, abs(change))
      }
      if largest < tolerance / 10 { break }
    }
    if !w.allSatisfy(\.isFinite) { w = start }
  }
}
