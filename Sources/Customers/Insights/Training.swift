// Choice and evaluation of the models. Examples are features as of a time with what the customers did in the horizon after it, so a
// training at T uses only examples whose horizon has ended: as of T − H and earlier. Never a look ahead.
//
//   choice       trained as of T − 3H, judged as of T − 2H     (by customers, five folds, where the log is too short)
//   evaluation   trained as of T − 2H, judged as of T − H      (the figures on the card)
//   in force     trained as of T − H, applied as of T
import Sparse

/// Examples to train on and examples to judge by.
public struct TrainingSplit: Sendable {
  public var training: FeatureTable
  public var validation: FeatureTable
  public init(training: FeatureTable, validation: FeatureTable) {
    self.training = training
    self.validation = validation
  }

  /// `count` folds of one table's customers, every `count`-th row in one.
  public static func folds(_ examples: FeatureTable, count: Int = 5) -> [TrainingSplit] {
    let rows = examples.customers.indices
    return (0..<count).map { fold in
      TrainingSplit(
        training: examples.picking(rows.filter { $0 % count != fold }),
        validation: examples.picking(rows.filter { $0 % count == fold }))
    }
  }

  /// Evenly chosen rows, where there are many more.
  func thinned(to limit: Int) -> TrainingSplit {
    TrainingSplit(training: training.thinned(to: limit), validation: validation.thinned(to: limit))
  }
}

extension FeatureTable {
  /// At most `limit` rows, evenly chosen.
  func thinned(to limit: Int) -> FeatureTable {
    let n = customers.count
    return n <= limit ? self : picking((0..<limit).map { $0 * n / limit })
  }
}

public struct FeatureMerit: Sendable {
  public var feature: Feature
  /// Bits about buying, over tenths.
  public var informationGain: Double
  /// The step of the L1 path at which it enters, from 0; nil: never.
  public var lassoStep: Int?
  public var isUsed: Bool
}

public struct ModelChoice: Sendable {
  public var purchase: PurchaseCandidate
  public var ridge: Double
  public var columns: [Int]
  public var merits: [FeatureMerit]
  /// Log loss per candidate, R² per ridge, over the splits.
  public var losses: [(PurchaseCandidate, Double)]
  public var ridgeScores: [(Double, Double)]
}

public enum Training {
  /// Correlation above which the feature that tells less is left out.
  public static let correlationLimit = 0.98
  /// Rows that choice looks at per table; that evaluation, drift and the tree for people look at.
  static let choiceRows = 20_000
  static let judgedRows = 100_000

  /// Features worth a look, without constant ones and near copies.
  public static func columns(_ examples: FeatureTable, parallel: ParallelFor = serially) -> (columns: [Int], merits: [FeatureMerit]) {
    let all = Preprocessor(examples.features, logs: Feature.allCases.map(\.isLogarithmic)).apply(examples.features)
    let gains = (0..<Feature.count).map {
      FeatureSelection.informationGain(examples.features.column($0), labels: examples.bought)
    }
    let columns = FeatureSelection.pruned(all, merit: gains, limit: correlationLimit, parallel: parallel)
    let path = LassoPath.logistic(all.selecting(columns), labels: examples.bought, tolerance: 1e-5, parallel: parallel)
    let merits = Feature.allCases.map { feature in
      let place = columns.firstIndex(of: feature.rawValue)
      return FeatureMerit(
        feature: feature, informationGain: gains[feature.rawValue],
        lassoStep: place.flatMap { p in path.firstIndex { $0.weights[p] != 0 } }, isUsed: place != nil)
    }
    return (columns, merits)
  }

  /// The candidate of the least log loss and the ridge of the largest R² over the splits.
  public static func choose(
    _ splits: [TrainingSplit], candidates: [PurchaseCandidate] = PurchaseCandidate.all, parallel: ParallelFor = serially
  ) -> ModelChoice? {
    let splits = splits.map { $0.thinned(to: choiceRows) }.filter { isTrainable($0.training) && $0.validation.customers.count > 0 }
    guard let first = splits.first, let firstCandidate = candidates.first else { return nil }
    let (columns, merits) = columns(first.training, parallel: parallel)
    if columns.isEmpty { return nil }
    var losses: [(PurchaseCandidate, Double)] = []
    for candidate in candidates {
      var (sum, rows) = (0.0, 0.0)
      for split in splits {
        let model = PurchaseModel.fit(candidate, split.training, columns: columns, parallel: parallel)
        let n = Double(split.validation.customers.count)
        sum += n * Evaluation.logLoss(split.validation.bought, model.probabilities(split.validation.features))
        rows += n
      }
      losses.append((candidate, sum / rows))
    }
    var scores: [(Double, Double)] = []
    for ridge in SpendModel.ridges {
      var (targets, predictions): ([Double], [Double]) = ([], [])
      for split in splits {
        guard let model = SpendModel.fit(split.training, columns: columns, ridge: ridge, parallel: parallel) else { continue }
        targets += SpendModel.target(split.validation.spent)
        predictions += model.logarithms(split.validation.features)
      }
      scores.append((ridge, Evaluation.r2(targets, predictions)))
    }
    let best = losses.dropFirst().reduce((firstCandidate, losses[0].1)) { $1.1 < $0.1 ? $1 : $0 }
    let ridge = scores.dropFirst().reduce(scores[0]) { $1.1 > $0.1 ? $1 : $0 }
    return ModelChoice(
      purchase: best.0, ridge: ridge.0, columns: columns, merits: merits, losses: losses, ridgeScores: scores)
  }

  /// Enough of both kinds to learn from.
  public static func isTrainable(_ examples: FeatureTable) -> Bool {
    let positives = examples.bought.reduce(0) { $0 + Int($1) }
    return positives >= 30 && examples.bought.count - positives >= 30
  }
}

/// How good a purchase model and a spend model are on examples they were not trained on, beside naive ones.
public struct ModelEvaluation: Sendable {
  public var customers: Int
  public var positives: Int
  public var auc: Double
  /// Hanley and McNeil's standard error.
  public var aucError: Double
  public var logLoss: Double
  public var brier: Double
  public var lift: Double
  public var calibration: [Evaluation.CalibrationBin]
  /// Everyone at the training's rate.
  public var baseLogLoss: Double
  public var baseBrier: Double
  /// Spend in the 90 days before as the score, and as the prediction.
  public var lastPeriodAUC: Double
  public var lastPeriodR2: Double
  public var r2: Double
  /// Of the amounts, hundredths.
  public var meanAbsoluteError: Double
  public var lastPeriodError: Double

  public init?(
    _ purchase: PurchaseModel, _ spend: SpendModel?, trainingRate: Double, on examples: FeatureTable,
    parallel: ParallelFor = serially
  ) {
    let probabilities = purchase.probabilities(examples.features, parallel: parallel)
    let recent = (0..<examples.customers.count).map { examples.features[$0, Feature.spend90.rawValue] }
    guard let auc = Evaluation.auc(examples.bought, probabilities),
      let recentAUC = Evaluation.auc(examples.bought, recent)
    else { return nil }
    customers = examples.customers.count
    positives = examples.bought.reduce(0) { $0 + Int($1) }
    self.auc = auc
    aucError = Evaluation.aucError(auc, positives: positives, negatives: customers - positives)
    logLoss = Evaluation.logLoss(examples.bought, probabilities)
    brier = Evaluation.brier(examples.bought, probabilities)
    lift = Evaluation.lift(examples.bought, probabilities) ?? 0
    calibration = Evaluation.calibration(examples.bought, probabilities)
    let base = [Double](repeating: trainingRate, count: customers)
    baseLogLoss = Evaluation.logLoss(examples.bought, base)
    baseBrier = Evaluation.brier(examples.bought, base)
    lastPeriodAUC = recentAUC
    let targets = SpendModel.target(examples.spent)
    lastPeriodR2 = Evaluation.r2(targets, SpendModel.target(recent))
    let logarithms = spend?.logarithms(examples.features, parallel: parallel) ?? targets.map { _ in 0 }
    r2 = spend == nil ? 0 : Evaluation.r2(targets, logarithms)
    meanAbsoluteError = Evaluation.meanAbsoluteError(examples.spent, logarithms.map { spend?.value($0) ?? 0 })
    lastPeriodError = Evaluation.meanAbsoluteError(examples.spent, recent)
  }

  /// Why the purchase model is not published, or nil.
  public var purchaseFault: String? {
    if logLoss >= baseLogLoss {
      return "its log loss \(short(logLoss)) is no better than the base rate's \(short(baseLogLoss))"
    }
    if brier >= baseBrier { return "its Brier score \(short(brier)) is no better than the base rate's \(short(baseBrier))" }
    if auc <= lastPeriodAUC {
      return "its AUC \(short(auc)) is no better than that of the last 90 days' spend, \(short(lastPeriodAUC))"
    }
    return nil
  }

  /// Why the spend model is not published, or nil.
  public var spendFault: String? {
    if r2 <= max(0, lastPeriodR2) {
      return "its R² \(short(r2)) is no better than the \(lastPeriodR2 > 0 ? "last 90 days' spend" : "mean")'s, \(short(max(0, lastPeriodR2)))"
    }
    return nil
  }
}

/// Four decimals, for people.
func short(_ x: Double) -> String {
  let scaled = Int64(rounded(min(max(abs(x), 0), 1e12) * 10_000))
  let digits = String(scaled % 10_000)
  return (x < 0 && scaled > 0 ? "-" : "") + "\(scaled / 10_000)." + String(repeating: "0", count: 4 - digits.utf8.count) + digits
}
