// The probability that a customer buys within the horizon: logistic regression, a calibrated linear SVM or a decision tree over the
// features chosen for it, with an interval, and the features that moved one customer's probability.
import Sparse

/// One way to train a purchase model.
public struct PurchaseCandidate: Hashable, Sendable {
  public enum Method: Hashable, Sendable {
    case logistic(cost: Double)
    /// Calibrated by Platt's method.
    case svm(cost: Double)
    case tree(depth: Int, minLeaf: Int)
  }
  public var method: Method
  /// Only the features that enter an L1 path first, at most so many.
  public var featureLimit: Int?

  public var name: String {
    let features = featureLimit.map { ", \($0) features by L1" } ?? ""
    return switch method {
    case .logistic(let cost): "logistic regression, C \(cost)\(features)"
    case .svm(let cost): "linear SVM, C \(cost), Platt\(features)"
    case .tree(let depth, let minLeaf): "decision tree, depth \(depth), leaf \(minLeaf)\(features)"
    }
  }

  /// What is tried, in the order in which equal ones win.
  public static let all: [PurchaseCandidate] =
    [1, 0.1, 0.01, 0.001].map { PurchaseCandidate(method: .logistic(cost: $0)) }
    + [0.1, 0.01].map { PurchaseCandidate(method: .logistic(cost: $0), featureLimit: 12) }
    + [0.01, 0.001].map { PurchaseCandidate(method: .svm(cost: $0)) }
    + [(4, 50), (5, 20), (6, 100)].map { PurchaseCandidate(method: .tree(depth: $0.0, minLeaf: $0.1)) }
}

/// A feature that moved a prediction: by how much on the scale of the log odds (linear models) or of the probability (tree).
public struct Driver: Sendable, Equatable {
  public var feature: Feature
  public var value: Double
  public var contribution: Double
}

public struct PurchaseModel: Sendable {
  public let candidate: PurchaseCandidate
  /// Columns of the feature table it looks at.
  public let columns: [Int]
  public let preprocessor: Preprocessor
  /// Linear methods.
  public let linear: LinearClassifier?
  public let tree: DecisionTree?
  public let platt: PlattScaling?

  /// - Parameter columns: features to start from.
  public static func fit(
    _ candidate: PurchaseCandidate, _ examples: FeatureTable, columns: [Int], parallel: ParallelFor = serially
  ) -> PurchaseModel {
    let whole = Preprocessor(
      examples.features.selecting(columns), logs: columns.map { Feature.allCases[$0].isLogarithmic }, parallel: parallel)
    var chosen = Array(columns.indices)
    var table = whole.apply(examples.features.selecting(columns), parallel: parallel)
    if let limit = candidate.featureLimit, limit < columns.count {
      let path = LassoPath.logistic(table, labels: examples.bought, tolerance: 1e-5, parallel: parallel)
      chosen = path.last { $0.active.count <= limit && !$0.active.isEmpty }?.active ?? chosen
      table = table.selecting(chosen)
    }
    let preprocessor = whole.selecting(chosen)
    let kept = chosen.map { columns[$0] }
    switch candidate.method {
    case .logistic(let cost):
      let linear = LinearClassifier.fit(
        table, labels: examples.bought, LinearSettings(.logistic, cost: cost), wantsCovariance: true,
        parallel: parallel)
      return PurchaseModel(
        candidate: candidate, columns: kept, preprocessor: preprocessor, linear: linear, tree: nil, platt: nil)
    case .svm(let cost):
      let linear = LinearClassifier.fit(
        table, labels: examples.bought, LinearSettings(.squaredHinge, cost: cost), parallel: parallel)
      return PurchaseModel(
        candidate: candidate, columns: kept, preprocessor: preprocessor, linear: linear, tree: nil,
        platt: PlattScaling(examples.bought, crossScores(table, examples.bought, cost, parallel)))
    case .tree(let depth, let minLeaf):
      // The tree sees values as they are, so that its rules can be read; only missing ones are filled.
      let plain = Preprocessor(examples.features.selecting(kept), logs: kept.map { _ in false })
      let tree = DecisionTree.fit(
        plain.filled(examples.features.selecting(kept)), labels: examples.bought,
        TreeSettings(.gini, maxDepth: depth, minLeaf: minLeaf), parallel: parallel)
      return PurchaseModel(
        candidate: candidate, columns: kept, preprocessor: plain, linear: nil, tree: tree, platt: nil)
    }
  }

  /// Scores of each fifth of the rows by a model of the other four: what calibrates must not have been fitted.
  private static func crossScores(
    _ table: Table, _ labels: [UInt8], _ cost: Double, _ parallel: ParallelFor
  ) -> [Double] {
    var scores = [Double](repeating: 0, count: table.rows)
    for fold in 0..<5 {
      let (own, others) = ((0..<table.rows).filter { $0 % 5 == fold }, (0..<table.rows).filter { $0 % 5 != fold })
      if own.isEmpty || others.isEmpty { continue }
      let fit = LinearClassifier.fit(
        table.picking(others), labels: others.map { labels[$0] }, LinearSettings(.squaredHinge, cost: cost),
        parallel: parallel)
      for (row, score) in zip(own, fit.scores(table.picking(own), parallel: parallel)) { scores[row] = score }
    }
    return scores
  }

  private func prepared(_ features: Table, _ parallel: ParallelFor) -> Table {
    let chosen = features.selecting(columns)
    return tree == nil ? preprocessor.apply(chosen, parallel: parallel) : preprocessor.filled(chosen)
  }

  public func probabilities(_ features: Table, parallel: ParallelFor = serially) -> [Double] {
    let table = prepared(features, parallel)
    if let tree { return tree.predict(table) }
    guard let linear else { return [] }
    let scores = linear.scores(table, parallel: parallel)
    if let platt { return scores.map { platt.probability($0) } }
    return scores.map { sigmoid($0) }
  }

  /// Of one customer: probability, an interval of 95 % for it (of the model's coefficients; of a leaf's rate; of the calibration), and
  /// the features that moved it most, the largest first.
  public func explain(_ features: [Double], drivers count: Int = 3) -> (probability: Double, low: Double, high: Double, drivers: [Driver]) {
    if let tree { return explain(tree, features, count) }
    guard let linear else { return (0.5, 0, 1, []) }
    let row = columns.indices.map { preprocessor.value(features[columns[$0]], $0) }
    let score = linear.score(row)
    var drivers = columns.indices.map {
      Driver(feature: Feature.allCases[columns[$0]], value: features[columns[$0]], contribution: linear.weights[$0] * row[$0])
    }
    if let platt {
      for i in drivers.indices { drivers[i].contribution *= -platt.slope }
      let (low, high) = platt.interval(score)
      return (platt.probability(score), low, high, PurchaseModel.largest(drivers, count))
    }
    let d = columns.count + 1
    var variance = 0.0
    if linear.covariance.count == d * d {
      let all = row + [1]
      for i in 0..<d { for j in 0..<d { variance += all[i] * linear.covariance[i * d + j] * all[j] } }
    }
    let spread = 1.96 * root(max(0, variance))
    return (sigmoid(score), sigmoid(score - spread), sigmoid(score + spread), PurchaseModel.largest(drivers, count))
  }

  private func explain(_ tree: DecisionTree, _ features: [Double], _ count: Int) -> (Double, Double, Double, [Driver]) {
    var node = 0
    var moved = [Double](repeating: 0, count: columns.count)
    while tree.feature[node] >= 0 {
      let f = Int(tree.feature[node])
      let value = preprocessor.filled(features[columns[f]], f)
      let next = Int(Double(Float(value)) <= tree.threshold[node] ? tree.left[node] : tree.right[node])
      moved[f] += tree.share(next, of: 1) - tree.share(node, of: 1)
      node = next
    }
    let drivers = columns.indices.filter { moved[$0] != 0 }.map {
      Driver(feature: Feature.allCases[columns[$0]], value: features[columns[$0]], contribution: moved[$0])
    }
    // Wilson's interval of the leaf's rate.
    let (p, n, z) = (tree.share(node, of: 1), Double(tree.rows(node)), 1.96)
    let middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    let half = z / (1 + z * z / n) * root(p * (1 - p) / n + z * z / (4 * n * n))
    return (p, max(0, middle - half), min(1, middle + half), PurchaseModel.largest(drivers, count))
  }

  private static func largest(_ drivers: [Driver], _ count: Int) -> [Driver] {
    Array(
      drivers.sorted {
        let (a, b) = (abs($0.contribution), abs($1.contribution))
        return a != b ? a > b : $0.feature.rawValue < $1.feature.rawValue
      }.prefix(count))
  }
}

/// The value of what a customer will buy within the horizon: ridge regression of ln(1 + amount / 100), brought back to amounts by a
/// non-decreasing curve through the mean amounts of the training customers in groups of equal prediction. (e^x times one factor, after
/// Duan 1983, is off by the fivefold at the top, for half of the customers spend nothing.) At least 0.
public struct SpendModel: Sendable {
  public let columns: [Int]
  public let preprocessor: Preprocessor
  public let ridge: Double
  public let regression: LinearRegression
  /// Hundredths over the prediction.
  public let curve: IsotonicScaling

  public static let ridges: [Double] = [1, 10, 100, 300, 1000]

  /// What it predicts: ln(1 + amount / 100).
  public static func target(_ spent: [Double]) -> [Double] { spent.map { logarithm1p($0 / 100) } }

  public static func fit(
    _ examples: FeatureTable, columns: [Int], ridge: Double, parallel: ParallelFor = serially
  ) -> SpendModel? {
    let chosen = examples.features.selecting(columns)
    let preprocessor = Preprocessor(chosen, logs: columns.map { Feature.allCases[$0].isLogarithmic }, parallel: parallel)
    let table = preprocessor.apply(chosen, parallel: parallel)
    let equations = NormalEquations(table, target: target(examples.spent), parallel: parallel)
    guard let regression = equations.solve(ridge: ridge) else { return nil }
    return SpendModel(
      columns: columns, preprocessor: preprocessor, ridge: ridge, regression: regression,
      curve: amounts(regression.predict(table, parallel: parallel), examples.spent))
  }

  /// Groups of at least 30 rows, at most 50 of them.
  private static func amounts(_ predictions: [Double], _ spent: [Double]) -> IsotonicScaling {
    let order = Evaluation.ascending(predictions)
    let groups = max(1, min(50, order.count / 30))
    var (means, values, weights): ([Double], [Double], [Double]) = ([], [], [])
    for g in 0..<groups {
      let rows = order[order.count * g / groups..<order.count * (g + 1) / groups]
      let n = Double(max(1, rows.count))
      means.append(rows.reduce(0) { $0 + spent[$1] } / n)
      values.append(rows.reduce(0) { $0 + predictions[$1] } / n)
      weights.append(n)
    }
    return IsotonicScaling(targets: means, values, weights: weights)
  }

  /// ln(1 + amount / 100) per row.
  public func logarithms(_ features: Table, parallel: ParallelFor = serially) -> [Double] {
    regression.predict(preprocessor.apply(features.selecting(columns), parallel: parallel), parallel: parallel)
  }

  /// Hundredths.
  public func value(_ logarithm: Double) -> Double { max(0, curve.value(logarithm)) }
}
