// The models against scikit-learn's figures, liblinear itself, and plain twins.
import CKernels
import CLinear
import Customers
import Foundation
import Sparse
import TestSupport
import Testing

@Suite struct LinearModelTests {
  let data = Outcomes(rows: 2000, columns: 6, seed: 11)
  let figures: PlainJSON
  init() throws { figures = try Figures.read() }

  @Test func theTableIsThePeersTable() {
    #expect(figures["positives"]?.int == data.labels.reduce(0) { $0 + Int($1) })
    var sum = 0.0
    for i in 0..<2000 { for j in 0..<6 { sum += data.table[i, j] } }
    #expect(abs(sum - figures.number("checksum")) < 1e-9)
  }

  @Test(arguments: ["logistic", "svm"]) func weightsAreThePeers(_ name: String) throws {
    for figure in try #require(figures[name]?.array) {
      let loss: LinearLoss = name == "svm" ? .squaredHinge : .logistic
      let settings = LinearSettings(loss, cost: figure.number("cost"))
      for parallel in [serially, twoAtOnce] as [ParallelFor] {
        let fit = LinearClassifier.fit(data.table, labels: data.labels, settings, parallel: parallel)
        expectClose(fit.weights, figure["weights"]?.doubles ?? [], within: 1e-6, "\(name)")
        #expect(abs(fit.intercept - figure.number("intercept")) < 1e-6)
        #expect(fit.iterations < 20)
      }
    }
  }

  /// The library whose objective the SVM minimises, on the same rows.
  @Test func theSVMIsLiblinears() throws {
    let (rows, columns) = (data.table.rows, data.table.columns)
    var nodes: [feature_node] = []
    for i in 0..<rows {
      for j in 0..<columns { nodes.append(feature_node(index: Int32(j + 1), value: data.table[i, j])) }
      nodes.append(feature_node(index: Int32(columns + 1), value: 1))
      nodes.append(feature_node(index: -1, value: 0))
    }
    var labels = data.labels.map { Double($0) }
    for cost in [0.05, 3.0] {
      let weights: [Double] = nodes.withUnsafeMutableBufferPointer { nodes in
        labels.withUnsafeMutableBufferPointer { labels in
          var starts = (0..<rows).map { nodes.baseAddress.map { $0 }! + $0 * (columns + 2) }.map { Optional($0) }
          return starts.withUnsafeMutableBufferPointer { starts in
            var p = problem()
            p.l = Int32(rows)
            p.n = Int32(columns + 1)
            p.y = labels.baseAddress
            p.x = starts.baseAddress
            p.bias = 1
            var parameters = parameter()
            parameters.solver_type = Int32(L2R_L2LOSS_SVC)
            parameters.C = cost
            parameters.eps = 1e-12
            set_print_string_function { _ in }
            var model = train(&p, &parameters)
            defer { free_and_destroy_model(&model) }
            // Its first label is the positive one of its weights.
            guard let model else { return [] }
            let sign = model.pointee.label[0] == 1 ? 1.0 : -1.0
            return (0...columns).map { sign * model.pointee.w[$0] }
          }
        }
      }
      let own = LinearClassifier.fit(
        data.table, labels: data.labels, LinearSettings(.squaredHinge, cost: cost))
      expectClose(own.weights + [own.intercept], weights, within: 1e-5)
    }
  }

  /// Large tables start at a sample's solution and end at their own.
  @Test func aWarmStartChangesNothing() {
    let large = Outcomes(rows: 70_000, columns: 3, seed: 5)
    for loss in [LinearLoss.logistic, .squaredHinge] {
      var settings = LinearSettings(loss)
      settings.tolerance = 1e-9
      let warm = LinearClassifier.fit(large.table, labels: large.labels, settings, parallel: twoAtOnce)
      // The gradient of the whole objective is zero there, computed plainly.
      var gradient = warm.weights + [loss == .squaredHinge ? warm.intercept : 0]
      for i in 0..<large.table.rows {
        let row = (0..<3).map { large.table[i, $0] }
        let y = large.labels[i] != 0 ? 1.0 : -1.0
        let margin = y * warm.score(row)
        let slope = loss == .logistic ? -y * sigmoid(-margin) : margin < 1 ? -2 * y * (1 - margin) : 0
        for j in 0..<3 { gradient[j] += slope * row[j] }
        gradient[3] += slope
      }
      for g in gradient { #expect(abs(g) < 1e-5) }
      let again = LinearClassifier.fit(large.table, labels: large.labels, settings)
      #expect(again == warm)
    }
  }

  @Test func separableAndConstantTablesEnd() {
    let table = Table(rows: 200, columns: 2)
    for i in 0..<200 { table[i, 0] = Double(i) / 100 - 1 }
    let labels = (0..<200).map { UInt8($0 < 100 ? 0 : 1) }
    for loss in [LinearLoss.logistic, .squaredHinge] {
      let fit = LinearClassifier.fit(table, labels: labels, LinearSettings(loss, cost: 1e6))
      #expect(fit.weights.allSatisfy(\.isFinite) && fit.weights[1] == 0 && fit.weights[0] > 0)
      let none = LinearClassifier.fit(table, labels: [UInt8](repeating: 1, count: 200), LinearSettings(loss))
      #expect(none.weights.allSatisfy(\.isFinite) && none.intercept.isFinite)
    }
  }

  @Test func theLassoPathPassesThePeers() throws {
    for figure in try #require(figures["lasso"]?.array) {
      // A path that ends at the peer's λ.
      let lambda = figure.number("rate")
      let whole = LassoPath.logistic(data.table, labels: data.labels, steps: 8, tolerance: 1e-9)
      let first = try #require(whole.first).lambda
      let path = LassoPath.logistic(
        data.table, labels: data.labels, steps: 8, ratio: lambda / first, tolerance: 1e-9, parallel: twoAtOnce)
      let last = try #require(path.last)
      #expect(abs(last.lambda - lambda) < 1e-12)
      expectClose(last.weights, figure["weights"]?.doubles ?? [], within: 1e-4)
      #expect(abs(last.intercept - figure.number("intercept")) < 1e-4)
      #expect(path[0].active.isEmpty)
      #expect(!path[1].active.isEmpty)
    }
  }

  @Test func leastSquaresAreThePeers() throws {
    for figure in try #require(figures["least_squares"]?.array) {
      let equations = NormalEquations(data.table, target: data.amounts, parallel: twoAtOnce)
      let fit = try #require(equations.solve(ridge: figure.number("ridge")))
      expectClose(fit.weights, figure["weights"]?.doubles ?? [], within: 1e-8)
      #expect(abs(fit.intercept - figure.number("intercept")) < 1e-8)
      let predictions = fit.predict(data.table)
      #expect(abs(Evaluation.r2(data.amounts, predictions) - figure.number("r2")) < 1e-9)
      #expect(abs(Evaluation.meanAbsoluteError(data.amounts, predictions) - figure.number("mae")) < 1e-9)
    }
  }

  /// The sums of a table equal those of its rows added one by one, and a row taken out leaves no trace.
  @Test func normalEquationsAreKeptOnline() throws {
    let whole = NormalEquations(data.table, target: data.amounts)
    var kept = NormalEquations(columns: 6)
    func row(_ i: Int) -> [Double] { (0..<6).map { data.table[i, $0] } }
    for i in 0..<2000 { kept.add(row(i), target: data.amounts[i]) }
    expectClose(kept.sums, whole.sums, within: 1e-8)
    let before = try #require(kept.solve(ridge: 1))
    kept.add([9, 9, -9, 9, 9, 9], target: 50)
    let other = try #require(kept.solve(ridge: 1))
    #expect(abs(other.weights[0] - before.weights[0]) > 1e-3)
    kept.add([9, 9, -9, 9, 9, 9], target: 50, sign: -1)
    let after = try #require(kept.solve(ridge: 1))
    expectClose(after.weights, before.weights, within: 1e-9)
  }

  @Test func kernelsEqualPlainSums() {
    var random = SplitMix(seed: 3)
    for (d, n) in [(1, 1), (2, 3), (5, 7), (7, 8), (21, 128), (8, 66)] {
      let columns = (0..<d).map { _ in (0..<n).map { _ in random.bell() } }
      let weights = (0..<n).map { _ in random.unit() }
      let flat = columns.flatMap { $0 }
      flat.withUnsafeBufferPointer { flat in
        guard let base = flat.baseAddress else { return }
        var pointers = (0..<d).map { Optional(base + $0 * n) }
        var sums = [Double](repeating: 1, count: d * d)
        var scratch = [Double](repeating: 0, count: d * n)
        affinity_gram_add(&pointers, d, n, weights, &scratch, &sums)
        for i in 0..<d {
          for j in 0..<d {
            let plain = (0..<n).reduce(1.0) { $0 + weights[$1] * columns[i][$1] * columns[j][$1] }
            #expect(abs(sums[i * d + j] - (j <= i ? plain : 1)) < 1e-11)
          }
        }
        var out = [Double](repeating: 0, count: n)
        let coefficients = (0..<d).map { Double($0) - 1.5 }
        affinity_linear(&pointers, d, n, coefficients, 0.25, &out)
        for r in 0..<n {
          let plain = (0..<d).reduce(0.25) { $0 + coefficients[$1] * columns[$1][r] }
          #expect(abs(out[r] - plain) < 1e-11)
        }
        var dots = [Double](repeating: 2, count: d)
        affinity_dots_add(&pointers, d, n, weights, &dots)
        for j in 0..<d {
          #expect(abs(dots[j] - (0..<n).reduce(2.0) { $0 + weights[$1] * columns[j][$1] }) < 1e-11)
        }
      }
    }
  }
}

@Suite struct TreeTests {
  let data = Outcomes(rows: 10_000, columns: 6, seed: 12)
  let figures: PlainJSON
  init() throws { figures = try Figures.read() }

  /// The tree in preorder against the peer's nodes.
  func expectSame(_ tree: DecisionTree, _ nodes: [PlainJSON], _ what: String) {
    var at = 0
    func visit(_ node: Int) {
      guard at < nodes.count else { return }
      let peer = nodes[at]
      at += 1
      #expect(peer["counts"]?.array?.compactMap(\.int) == tree.counts(node).map { Int($0) }, "\(what)")
      #expect(peer["feature"]?.int ?? -1 == Int(tree.feature[node]), "\(what)")
      if tree.feature[node] < 0 { return }
      #expect(abs(peer.number("threshold") - tree.threshold[node]) < 1e-12, "\(what)")
      visit(Int(tree.left[node]))
      visit(Int(tree.right[node]))
    }
    visit(0)
    #expect(tree.nodeCount == nodes.count, "\(what)")
  }

  @Test func splitsAndPruningAreThePeers() throws {
    for figure in try #require(figures["trees"]?.array) {
      let criterion: SplitCriterion = figure["criterion"]?.string == "gini" ? .gini : .informationGain
      let settings = TreeSettings(
        criterion, maxDepth: figure["depth"]?.int ?? 0, minLeaf: figure["leaf"]?.int ?? 0)
      let tree = DecisionTree.fit(data.table, labels: data.labels, settings)
      #expect(tree == DecisionTree.fit(data.table, labels: data.labels, settings, parallel: twoAtOnce))
      expectSame(tree, figure["nodes"]?.array ?? [], "\(criterion) \(settings.maxDepth)")
      let alphas = figure["alphas"]?.doubles ?? []
      let path = tree.pruningPath()
      for alpha in alphas { #expect(path.contains { abs($0 - alpha) < 1e-9 }) }
      expectSame(tree.pruned(alpha: figure.number("alpha")), figure["pruned"]?.array ?? [], "pruned \(criterion)")
      #expect(tree.pruned(alpha: 1).nodeCount == 1)
    }
  }

  @Test func threeClassesAreThePeers() throws {
    let figure = try #require(figures["three_classes"])
    let labels = data.amounts.map { UInt8(min(2, Int(abs($0) / 3))) }
    let tree = DecisionTree.fit(
      data.table, labels: labels, classes: 3, TreeSettings(.gini, maxDepth: 6, minLeaf: figure["leaf"]?.int ?? 0))
    expectSame(tree, figure["nodes"]?.array ?? [], "three")
  }

  /// Every split of every node is the best by a search over all features and values, written plainly.
  @Test(arguments: SplitCriterion.allCases) func splitsAreTheBest(_ criterion: SplitCriterion) {
    let small = Outcomes(rows: 160, columns: 4, seed: 77)
    // Ties: a feature of few values.
    for i in 0..<160 { small.table[i, 3] = (small.table[i, 3] * 2).rounded() }
    let settings = TreeSettings(criterion, maxDepth: 4, minLeaf: 6)
    let tree = DecisionTree.fit(small.table, labels: small.labels, settings)
    func entropy(_ rows: [Int]) -> Double {
      let p = Double(rows.reduce(0) { $0 + Int(small.labels[$1]) }) / Double(rows.count)
      if criterion == .gini { return 2 * p * (1 - p) }
      return p == 0 || p == 1 ? 0 : -p * log2(p) - (1 - p) * log2(1 - p)
    }
    var inner = 0
    func visit(_ node: Int, _ rows: [Int]) {
      #expect(tree.rows(node) == rows.count)
      #expect(abs(tree.impurity(node) - entropy(rows)) < 1e-12)
      if tree.feature[node] < 0 { return }
      inner += 1
      let (feature, threshold) = (Int(tree.feature[node]), tree.threshold[node])
      func gain(_ f: Int, _ t: Double) -> (gain: Double, ratio: Double)? {
        let left = rows.filter { Double(Float(small.table[$0, f])) <= t }
        let right = rows.filter { Double(Float(small.table[$0, f])) > t }
        guard left.count >= 6 && right.count >= 6 else { return nil }
        let share = Double(left.count) / Double(rows.count)
        let gain = entropy(rows) - share * entropy(left) - (1 - share) * entropy(right)
        return (gain, gain / (-share * log2(share) - (1 - share) * log2(1 - share)))
      }
      // The best threshold of each feature by gain.
      let best = (0..<4).compactMap { f in
        rows.compactMap { gain(f, Double(Float(small.table[$0, f]))) }.max { $0.gain < $1.gain }
      }
      let own = gain(feature, threshold)
      #expect(own != nil)
      guard let own else { return }
      if criterion == .gainRatio {
        let mean = best.reduce(0) { $0 + $1.gain } / Double(best.count)
        #expect(own.gain >= mean - 1e-9)
        for other in best where other.gain >= mean { #expect(own.ratio >= other.ratio - 1e-9) }
      } else {
        for other in best { #expect(own.gain >= other.gain - 1e-9) }
      }
      visit(Int(tree.left[node]), rows.filter { Double(Float(small.table[$0, feature])) <= threshold })
      visit(Int(tree.right[node]), rows.filter { Double(Float(small.table[$0, feature])) > threshold })
    }
    visit(0, Array(0..<160))
    #expect(inner >= 3)
  }

  /// MATHS §5, trap (b): a useless even split gains 0, not −1; the split of a pure set gains its entropy.
  @Test func informationGainIsWeighted() {
    #expect(FeatureSelection.informationGain(groups: [[5, 5], [5, 5]]) == 0)
    #expect(FeatureSelection.informationGain(groups: [[10, 0], [0, 10]]) == 1)
    // Weights: a pure row beside many mixed ones tells little.
    let little = FeatureSelection.informationGain(groups: [[1, 0], [49, 50]])
    #expect(little > 0 && little < 0.02)
    // The tree too: on labels that no feature tells apart, no split gains.
    let table = Table(rows: 40, columns: 1)
    for i in 0..<40 { table[i, 0] = Double(i / 2) }
    let tree = DecisionTree.fit(
      table, labels: (0..<40).map { UInt8($0 % 2) }, TreeSettings(.informationGain, maxDepth: 3, minLeaf: 5))
    let parent = tree.impurity(0)
    for node in 0..<tree.nodeCount where tree.feature[node] >= 0 {
      let (l, r) = (Int(tree.left[node]), Int(tree.right[node]))
      let share = Double(tree.rows(l)) / Double(tree.rows(node))
      let gain = tree.impurity(node) - share * tree.impurity(l) - (1 - share) * tree.impurity(r)
      #expect(gain >= -1e-12)
    }
    #expect(parent == 1)
    // Pruning takes what earns nothing.
    #expect(tree.pruned(alpha: 0).nodeCount == 1)
  }

  @Test func rulesAreTheLeaves() {
    let tree = DecisionTree.fit(data.table, labels: data.labels, TreeSettings(.gini, maxDepth: 4))
    let rules = tree.rules()
    #expect(rules.count == tree.leafCount)
    #expect(rules.reduce(0) { $0 + $1.rows } == 10_000)
    for i in stride(from: 0, to: 10_000, by: 37) {
      let leaf = tree.leaf(data.table, row: i)
      let fitting = rules.filter { rule in
        rule.conditions.allSatisfy {
          let x = Double(Float(data.table[i, $0.feature]))
          return x > $0.above ?? -.infinity && x <= $0.atMost ?? .infinity
        }
      }
      #expect(fitting.map(\.leaf) == [leaf])
    }
  }
}

@Suite struct ClusterTests {
  let figures: PlainJSON
  init() throws { figures = try Figures.read() }

  @Test func inertiaIsThePeers() throws {
    let figure = try #require(figures["kmeans"])
    let table = blobs(rows: 3000, columns: 4, centres: 5, seed: 7)
    for (k, key) in [(5, "inertia"), (9, "inertia9")] {
      let fit = KMeans.fit(table, KMeansSettings(clusters: k, seed: 1))
      #expect(fit.inertia < figure.number(key) * 1.01, "\(fit.inertia)")
      let same = KMeans.fit(table, KMeansSettings(clusters: k, seed: 1), parallel: twoAtOnce)
      #expect(same.centroids == fit.centroids && same.inertia == fit.inertia)
      if k == 5 {
        let silhouette = ClusterCount.silhouette(table, assigned: fit.assign(table), clusters: 5)
        #expect(abs(silhouette - figure.number("silhouette")) < 1e-3)
      }
    }
    for choice in ClusterCount.Choice.allCases {
      // Five clusters, each far from the others.
      let apart = blobs(rows: 1000, columns: 3, centres: 1, seed: 4)
      for i in 0..<1000 { apart[i, i % 5 % 3] += Double(i % 5) * 12 }
      let (k, scores) = ClusterCount.choose(apart, range: 2...8, by: choice, seed: 3, sampleRows: 600)
      #expect(k == 5, "\(choice): \(scores)")
    }
  }

  /// Hamerly's bounds against Lloyd's loop, from the same seeds: assignment, counts and inertia.
  @Test func boundsChangeNothing() {
    for seed in UInt64(1)...8 {
      print("seed \(seed)")
      var random = SplitMix(seed: seed)
      let (rows, columns, k) = (40 + random.below(300), 1 + random.below(9), 1 + random.below(7))
      let table = Table(rows: rows, columns: columns)
      for i in 0..<rows { for j in 0..<columns { table[i, j] = (random.bell() * 3).rounded() / 2 + Double(i % 3) } }
      var settings = KMeansSettings(clusters: k, seed: seed)
      settings.tolerance = 0
      let fit = KMeans.fit(table, settings)
      #expect(fit.counts.reduce(0, +) == rows)
      // A fixed point: every row at its nearest centroid, every centroid at its rows' mean.
      let assigned = fit.assign(table)
      var inertia = 0.0
      var sums = [Double](repeating: 0, count: k * columns)
      var counts = [Int](repeating: 0, count: k)
      for i in 0..<rows {
        func squared(_ c: Int) -> Double {
          (0..<columns).reduce(0) { $0 + (table[i, $1] - fit.centroids[c * columns + $1]) * (table[i, $1] - fit.centroids[c * columns + $1]) }
        }
        let least = (0..<k).map(squared).min() ?? 0
        #expect(squared(Int(assigned[i])) <= least + 1e-9)
        inertia += least
        counts[Int(assigned[i])] += 1
        for j in 0..<columns { sums[Int(assigned[i]) * columns + j] += table[i, j] }
      }
      #expect(abs(inertia - fit.inertia) < 1e-6 * (1 + inertia))
      for c in 0..<k where counts[c] == fit.counts[c] && counts[c] > 0 {
        for j in 0..<columns {
          #expect(abs(sums[c * columns + j] / Double(counts[c]) - fit.centroids[c * columns + j]) < 1e-9)
        }
      }
    }
  }

  @Test func greatTablesStartFromASample() {
    let table = blobs(rows: 70_000, columns: 3, centres: 6, seed: 9)
    let sampled = KMeans.fit(table, KMeansSettings(clusters: 6, seed: 2), parallel: twoAtOnce)
    var whole = KMeansSettings(clusters: 6, seed: 2)
    whole.sampleRows = 70_000
    whole.restarts = 4
    let full = KMeans.fit(table, whole, parallel: twoAtOnce)
    #expect(sampled.inertia < full.inertia * 1.001)
  }

  @Test func equalRowsAndMoreClustersThanValues() {
    let table = Table(rows: 20, columns: 2)
    for i in 0..<20 { table[i, 0] = Double(i % 2) }
    let fit = KMeans.fit(table, KMeansSettings(clusters: 5, seed: 1))
    #expect(fit.inertia == 0)
    let isFinite = fit.centroids.allSatisfy { $0.isFinite }
    #expect(isFinite)
  }
}

@Suite struct EvaluationTests {
  let data = Outcomes(rows: 2000, columns: 6, seed: 11)
  let figures: PlainJSON
  init() throws { figures = try Figures.read() }

  @Test func metricsAreThePeers() throws {
    let figure = try #require(figures["evaluation"])
    let scores = (0..<2000).map { data.table[$0, 0] + 0.5 * data.table[$0, 1] }
    let coarse = scores.map { ($0 * 4).rounded(.down) / 4 }
    let probabilities = scores.map { sigmoid($0) }
    #expect(abs((Evaluation.auc(data.labels, scores) ?? 9) - figure.number("auc")) < 1e-12)
    #expect(abs((Evaluation.auc(data.labels, coarse) ?? 9) - figure.number("auc_coarse")) < 1e-12)
    #expect(abs(Evaluation.logLoss(data.labels, probabilities) - figure.number("log_loss")) < 1e-12)
    #expect(abs(Evaluation.brier(data.labels, probabilities) - figure.number("brier")) < 1e-12)
    let platt = PlattScaling(data.labels, scores)
    expectClose([platt.slope, platt.offset], figure["platt"]?.doubles ?? [], within: 1e-4)
    let isotonic = IsotonicScaling(data.labels, coarse)
    for pair in try #require(figure["isotonic"]?.array) {
      #expect(abs(isotonic.value(pair.doubles[0]) - pair.doubles[1]) < 1e-9)
    }
    // The same split as the peer's mutual information: the sign of the first feature.
    var groups = [[0, 0], [0, 0]]
    for i in 0..<2000 { groups[data.table[i, 0] > 0 ? 1 : 0][Int(data.labels[i])] += 1 }
    #expect(abs(FeatureSelection.informationGain(groups: groups) - figure.number("information_gain_signs")) < 1e-12)
  }

  @Test func calibrationLiftAndStability() throws {
    let labels: [UInt8] = [0, 0, 1, 0, 1, 1, 1, 0, 1, 1]
    let scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    #expect(Evaluation.lift(labels, scores) == 1 / 0.6)
    let bins = Evaluation.calibration(labels, scores, bins: 2)
    #expect(bins.map(\.rows) == [5, 5])
    #expect(abs(bins[1].observed - 0.8) < 1e-12 && abs(bins[0].predicted - 0.3) < 1e-12)
    #expect(Evaluation.auc([1, 1], [0.1, 0.2]) == nil)
    let reference = (0..<1000).map { Double($0) }
    #expect(Evaluation.stability(reference: reference, current: reference) < 1e-9)
    // Two tenths swapped for one: Σ (q − p) ln(q / p) by hand.
    let moved = (0..<1000).map { Double($0 < 100 ? 950 : $0) }
    let expected = (0.2 - 0.1) * log2(2) * 0.6931471805599453 + (1e-4 - 0.1) * (log2(1e-4 / 0.1) * 0.6931471805599453)
    #expect(abs(Evaluation.stability(reference: reference, current: moved) - expected) < 1e-9)
  }

  @Test func preprocessingIsRemembered() {
    let table = Table(rows: 5, columns: 3)
    for (i, x) in [1.0, .nan, 3, 7, .nan].enumerated() { table[i, 0] = x }
    for i in 0..<5 { table[i, 1] = 4 }
    for i in 0..<5 { table[i, 2] = Double(i) }
    let prepared = Preprocessor(table, logs: [true, false, false])
    let out = prepared.apply(table)
    #expect(prepared.fills[0] == log2(4) * 0.6931471805599453 || abs(prepared.fills[0] - 1.3862943611198906) < 1e-12)
    for c in 0..<3 {
      let values = (0..<5).map { out[$0, c] }
      let mean = values.reduce(0, +) / 5
      #expect(abs(mean) < 1e-12)
      let variance = values.reduce(0) { $0 + $1 * $1 } / 5
      #expect(abs(variance - (c == 1 ? 0 : 1)) < 1e-12)
    }
    #expect(out[1, 0] == out[4, 0] && prepared.value(.nan, 0) == out[1, 0])
  }

  @Test func correlatedColumnsAreLeftOut() {
    let table = Table(rows: 2000, columns: 4)
    for i in 0..<2000 {
      table[i, 0] = data.table[i, 0]
      table[i, 1] = 3 * data.table[i, 0] + 0.01 * data.table[i, 1]
      table[i, 2] = data.table[i, 1]
      table[i, 3] = 5
    }
    #expect(FeatureSelection.pruned(table, merit: [1, 2, 3, 4], limit: 0.95) == [1, 2])
    #expect(FeatureSelection.pruned(table, merit: [2, 1, 3, 4], limit: 0.95) == [0, 2])
    let first = FeatureSelection.informationGain(table.column(0), labels: data.labels)
    #expect(first > 0.1 && first > 5 * FeatureSelection.informationGain(data.table.column(5), labels: data.labels))
  }
}

