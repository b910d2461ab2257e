// All that is said of the customers as of one time: segments, RFM cells, purchase probabilities with intervals and drivers, expected
// values; the models they are from, how those were chosen and how good they are. A pure function of the ledger, the time and the
// settings.
import Sparse

public struct InsightSettings: Hashable, Sendable {
  /// Milliseconds: what "buys" and "spends" look ahead.
  public var horizon: Int64 = 90 * CustomerLedger.day
  public var segments: ClosedRange<Int> = 3...8
  public var segmentsBy = ClusterCount.Choice.silhouette
  public var seed: UInt64 = 1
  public init() {}
}

public struct CustomerInsight: Sendable {
  /// Row of `Insights.table`.
  public var row: Int
  public var cell: RFMCell
  /// Index of `Segmentation.profiles`.
  public var segment: Int?
  /// Nil where no model is published.
  public var purchase: (probability: Double, low: Double, high: Double, drivers: [Driver])?
  /// Hundredths.
  public var expectedValue: Double?
}

public struct Insights: Sendable {
  public let asOf: Int64
  public let settings: InsightSettings
  /// Features as of `asOf`, customers by key.
  public let table: FeatureTable
  public let segmentation: Segmentation?
  public let cells: [RFMCell]
  public private(set) var choice: ModelChoice?
  public private(set) var purchase: PurchaseModel?
  public private(set) var spend: SpendModel?
  public private(set) var evaluation: ModelEvaluation?
  /// Why there is no purchase model, no spend model.
  public private(set) var purchaseFault: String?
  public private(set) var spendFault: String?
  /// "by time" or "by customers", of choice and of evaluation.
  public private(set) var choiceBy = ""
  public private(set) var evaluationBy = ""
  /// Examples the models in force were trained on, and how many of them bought.
  public private(set) var trainingRows = 0
  public private(set) var trainingPositives = 0
  public private(set) var trainedAsOf: Int64 = 0
  /// Population stability of the probabilities: the customers as of the training's time against now.
  public private(set) var drift: Double?
  /// What explains buying in rules a person can read, trained as the models are, pruned.
  public private(set) var tree: DecisionTree?

  public init(
    _ ledger: borrowing CustomerLedger, asOf: Int64, _ settings: InsightSettings = InsightSettings(), categories: [Int32] = [],
    parallel: ParallelFor = serially
  ) {
    self.asOf = asOf
    self.settings = settings
    table = ledger.snapshot(asOf: asOf, categories: categories, parallel: parallel)
    cells = table.customers.isEmpty ? [] : RFM.cells(table)
    segmentation = Segmentation(
      table, range: settings.segments, by: settings.segmentsBy, seed: settings.seed, parallel: parallel)
    func examples(_ horizonsAgo: Int64) -> FeatureTable {
      let (length, overflow) = settings.horizon.multipliedReportingOverflow(by: horizonsAgo)
      let (time, under) = asOf.subtractingReportingOverflow(overflow ? 0 : length)
      return ledger.snapshot(
        asOf: under ? .min / 2 : time, horizon: settings.horizon, categories: categories, parallel: parallel)
    }
    train(latest: examples(1), before: examples(2), first: examples(3), parallel)
  }

  private mutating func train(
    latest: FeatureTable, before: FeatureTable, first: FeatureTable, _ parallel: ParallelFor
  ) {
    trainedAsOf = latest.asOf
    trainingRows = latest.customers.count
    trainingPositives = latest.bought.reduce(0) { $0 + Int($1) }
    guard Training.isTrainable(latest) else {
      let reason =
        "\(trainingPositives) of \(trainingRows) customers bought in the last complete horizon: at least 30 who did and 30 who did not are needed"
      (purchaseFault, spendFault) = (reason, reason)
      return
    }
    let byTime = Training.isTrainable(before) && before.customers.count >= 200
    choiceBy = byTime && Training.isTrainable(first) && first.customers.count >= 200 ? "by time" : "by customers"
    let splits =
      choiceBy == "by time"
      ? [TrainingSplit(training: first, validation: before)] : TrainingSplit.folds(byTime ? before : latest)
    guard let choice = Training.choose(splits, parallel: parallel) else {
      (purchaseFault, spendFault) = ("no feature tells anything", "no feature tells anything")
      return
    }
    self.choice = choice
    evaluationBy = byTime ? "by time" : "by customers"
    // By customers: the fold that choice looked at least is as good as any; it is said on the card.
    let judged = byTime ? TrainingSplit(training: before, validation: latest) : TrainingSplit.folds(latest)[0]
    let rate = Insights.rate(judged.training)
    let model = PurchaseModel.fit(choice.purchase, judged.training, columns: choice.columns, parallel: parallel)
    let amounts = SpendModel.fit(judged.training, columns: choice.columns, ridge: choice.ridge, parallel: parallel)
    evaluation = ModelEvaluation(model, amounts, trainingRate: rate, on: judged.validation.thinned(to: Training.judgedRows),
      parallel: parallel)
    purchaseFault = evaluation.map(\.purchaseFault) ?? "only one kind of customer in the evaluation"
    spendFault = evaluation.map(\.spendFault) ?? "only one kind of customer in the evaluation"
    if purchaseFault == nil {
      let fit = PurchaseModel.fit(choice.purchase, latest, columns: choice.columns, parallel: parallel)
      purchase = fit
      drift = Evaluation.stability(
        reference: fit.probabilities(latest.thinned(to: Training.judgedRows).features, parallel: parallel),
        current: fit.probabilities(table.thinned(to: Training.judgedRows).features, parallel: parallel))
    }
    if spendFault == nil {
      spend = SpendModel.fit(latest, columns: choice.columns, ridge: choice.ridge, parallel: parallel)
    }
    let some = latest.thinned(to: Training.judgedRows)
    let filled = Preprocessor(some.features, logs: Feature.allCases.map { _ in false }).filled(some.features)
    let grown = DecisionTree.fit(
      filled, labels: some.bought, TreeSettings(.gini, maxDepth: 4, minLeaf: max(20, some.customers.count / 50)),
      parallel: parallel)
    tree = grown.pruned(alpha: 0.001)
  }

  private static func rate(_ examples: FeatureTable) -> Double {
    Double(examples.bought.reduce(0) { $0 + Int($1) }) / Double(max(1, examples.customers.count))
  }

  /// The share of the training customers who bought.
  public var trainingRate: Double { Double(trainingPositives) / Double(max(1, trainingRows)) }

  public func insight(row: Int) -> CustomerInsight {
    let features = (0..<Feature.count).map { table.features[row, $0] }
    return CustomerInsight(
      row: row, cell: cells[row], segment: segmentation.map { Int($0.assigned[row]) },
      purchase: purchase?.explain(features), expectedValue: spend.map { spend in
        let row = spend.columns.indices.map { spend.preprocessor.value(features[spend.columns[$0]], $0) }
        var sum = spend.regression.intercept
        for j in row.indices { sum += spend.regression.weights[j] * row[j] }
        return spend.value(sum)
      })
  }

  /// Mean probability per segment.
  public func meanProbability(ofSegment segment: Int) -> Double? {
    guard let purchase, let segmentation else { return nil }
    let rows = segmentation.assigned.indices.filter { Int(segmentation.assigned[$0]) == segment }
    if rows.isEmpty { return nil }
    let probabilities = purchase.probabilities(table.features.picking(rows))
    return probabilities.reduce(0, +) / Double(rows.count)
  }
}
