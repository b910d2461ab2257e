// The real shop: the published definition met in every figure, and our own features and choice, made without the test customers.
import Customers
import Foundation
import Sparse
import Testing

@Suite struct OnlineRetailTests {
  /// Shared PERF-PEERS §4: scikit-learn 1.9.1.
  @Test func everyPublishedFigureIsMet() throws {
    guard let path = sharedFile("online-retail/online_retail.csv.gz") else { return }
    let rows = try RetailRows(path)
    let (ids, all, labels, targets) = rows.examples(midnight("2011-09-10"))
    let test = ids.indices.filter { ids[$0] % 5 == 0 }
    let train = ids.indices.filter { ids[$0] % 5 != 0 }
    #expect(ids.count == 3370 && test.count == 681 && train.count == 2689)
    let scale = Preprocessor(all.picking(train), logs: [Bool](repeating: false, count: 11))
    let (trainTable, testTable) = (scale.apply(all.picking(train)), scale.apply(all.picking(test)))
    let (trainLabels, testLabels) = (train.map { labels[$0] }, test.map { labels[$0] })
    let (trainTargets, testTargets) = (train.map { targets[$0] }, test.map { targets[$0] })

    let logistic = LinearClassifier.fit(trainTable, labels: trainLabels, LinearSettings(.logistic, cost: 1))
    expectClose(
      logistic.weights, [-0.3697, 0.6222, -0.3206, 0.1724, -0.5434, 1.045, 0.1753, -0.1432, 0.1347, -0.0718, 0.2085],
      within: 6e-5)
    #expect(abs(logistic.intercept - 0.4757) < 6e-5)
    let scores = logistic.scores(testTable)
    #expect(abs((Evaluation.auc(testLabels, scores) ?? 0) - 0.7045) < 6e-5)
    #expect(abs(Evaluation.logLoss(testLabels, scores.map { sigmoid($0) }) - 0.6244) < 6e-5)

    let svm = LinearClassifier.fit(trainTable, labels: trainLabels, LinearSettings(.squaredHinge, cost: 1))
    expectClose(
      svm.weights, [-0.1505, -0.1528, 0.4151, 0.055, -0.2389, 0.4536, -0.2669, -0.0503, 0.0827, -0.0714, 0.0718],
      within: 6e-5)
    #expect(abs(svm.intercept - 0.1604) < 6e-5)
    #expect(abs((Evaluation.auc(testLabels, svm.scores(testTable)) ?? 0) - 0.7045) < 6e-5)

    let tree = DecisionTree.fit(trainTable, labels: trainLabels, TreeSettings(.gini, maxDepth: 5, minLeaf: 20))
    #expect(tree.leafCount == 28)
    // Equal splits at a few small nodes: the peer itself gives .7069 or .7071 by the order in which it tries features.
    let treeAUC = Evaluation.auc(testLabels, tree.predict(testTable)) ?? 0
    #expect(treeAUC > 0.70685 && treeAUC < 0.7072, "\(treeAUC)")

    let fit = try #require(NormalEquations(trainTable, target: trainTargets).solve())
    expectClose(
      fit.weights, [-0.4292, 0.2015, 0.6349, 0.2025, -0.755, 1.3781, -0.155, -0.2091, 0.3558, -0.247, 0.2376],
      within: 6e-5)
    #expect(abs(fit.intercept - 3.6738) < 6e-5)
    let predictions = fit.predict(testTable)
    #expect(abs(Evaluation.r2(testTargets, predictions) - 0.1945) < 6e-5)
    #expect(abs(Evaluation.meanAbsoluteError(testTargets, predictions) - 2.5734) < 6e-5)

    let (customers, whole, _, _) = rows.examples(midnight("2011-12-10"))
    #expect(customers.count == 4338)
    let rfm = whole.selecting([0, 1, 2])
    for i in 0..<4338 { rfm[i, 0] = log1p(rfm[i, 0]) }
    let table = Preprocessor(rfm, logs: [false, false, false]).apply(rfm)
    let clusters = KMeans.fit(table, KMeansSettings(clusters: 8, seed: 1))
    #expect(clusters.inertia < 2339.517 * 1.001, "\(clusters.inertia)")
  }

  /// Our own features and choice. Features, model and hyper-parameters come from the customers whose number is not a multiple of 5;
  /// the others are looked at once, for these figures.
  @Test func ownFeaturesAndChoiceAreAtLeastAsGood() throws {
    guard let path = sharedFile("online-retail/online_retail.csv.gz") else { return }
    let ledger = try retailLedger(path)
    var others: [(auc: Double, r2: Double)] = []
    let dates = ["2011-09-10", "2011-03-15", "2011-04-15", "2011-05-15", "2011-06-15", "2011-07-15", "2011-08-15"]
    for (n, date) in dates.enumerated() {
      let all = ledger.snapshot(asOf: midnight(date), horizon: 90 * day, parallel: twoAtOnce)
      let numbers = all.customers.map { Int(ledger.key($0)) ?? 0 }
      let train = all.picking(numbers.indices.filter { numbers[$0] % 5 != 0 })
      let test = all.picking(numbers.indices.filter { numbers[$0] % 5 == 0 })
      let choice = try #require(Training.choose(TrainingSplit.folds(train), parallel: twoAtOnce))
      let purchase = PurchaseModel.fit(choice.purchase, train, columns: choice.columns, parallel: twoAtOnce)
      let spend = try #require(SpendModel.fit(train, columns: choice.columns, ridge: choice.ridge))
      let rate = Double(train.bought.reduce(0) { $0 + Int($1) }) / Double(train.bought.count)
      let result = try #require(ModelEvaluation(purchase, spend, trainingRate: rate, on: test))
      let probabilities = purchase.probabilities(test.features)
      let targets = SpendModel.target(test.spent)
      let logarithms = spend.logarithms(test.features)
      let auc = interval(test.customers.count) { rows in
        Evaluation.auc(rows.map { test.bought[$0] }, rows.map { probabilities[$0] }) ?? 0.5
      }
      let r2 = interval(test.customers.count) { rows in
        Evaluation.r2(rows.map { targets[$0] }, rows.map { logarithms[$0] })
      }
      print(
        "\(date): \(choice.purchase.name), ridge \(choice.ridge), \(choice.columns.count) features; test \(test.customers.count): AUC \(result.auc) [\(auc.low), \(auc.high)], R² \(result.r2) [\(r2.low), \(r2.high)], Brier \(result.brier) / \(result.baseBrier)")
      #expect(result.brier < result.baseBrier)
      #expect(result.purchaseFault == nil && result.spendFault == nil)
      if n > 0 {
        others.append((result.auc, result.r2))
        continue
      }
      #expect(result.auc >= 0.7069)
      #expect(result.r2 >= 0.1945)
      #expect(result.calibration.count == 10)
      for bin in result.calibration { #expect(abs(bin.observed - bin.predicted) <= 3 * bin.error, "\(bin)") }
    }
    let (auc, r2) = (others.map(\.auc).reduce(0, +) / 6, others.map(\.r2).reduce(0, +) / 6)
    print("mean of the six others: AUC \(auc), R² \(r2)")
    #expect(auc >= 0.7069 && r2 >= 0.1945)
  }

  /// 95 % by resampling customers, seeded.
  private func interval(_ rows: Int, _ statistic: ([Int]) -> Double) -> (low: Double, high: Double) {
    var random = SplitMix(seed: 17)
    let values = (0..<200).map { _ in statistic((0..<rows).map { _ in random.below(rows) }) }.sorted()
    return (values[5], values[194])
  }
}
