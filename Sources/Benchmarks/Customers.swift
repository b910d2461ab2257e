// The customer models over a table in a file: K-means, logistic regression, SVM, least squares, tree.
//   affinity-bench customers FILE [THREADS]        one line of JSON
//   affinity-bench customers ledger [COUNT] [THREADS]   features, segments and predictions of a million customers from their events
// FILE: rows and columns as 64-bit integers, the columns as doubles one after the other, a label byte a row, a target double a row.
// scripts/bench-customers.py writes it and runs scikit-learn on the same rows.
import Customers
import Dispatch
import Glibc
import Sparse

func benchCustomers(arguments: [String]) {
  if arguments.first == "ledger" {
    return benchLedger(
      customers: arguments.count > 1 ? Int(arguments[1]) ?? 1_000_000 : 1_000_000,
      parallel: spread(over: arguments.count > 2 ? Int(arguments[2]) ?? 2 : 2))
  }
  guard let path = arguments.first, let file = fopen(path, "rb") else {
    print("usage: customers FILE [THREADS]")
    exit(2)
  }
  var header: [Int] = [0, 0]
  guard fread(&header, 8, 2, file) == 2 else { exit(1) }
  let (rows, columns) = (header[0], header[1])
  let table = Table(rows: rows, columns: columns)
  var labels = [UInt8](repeating: 0, count: rows)
  var targets = [Double](repeating: 0, count: rows)
  guard fread(table.column(0), 8, rows * columns, file) == rows * columns, fread(&labels, 1, rows, file) == rows,
    fread(&targets, 8, rows, file) == rows
  else { exit(1) }
  fclose(file)
  let parallel = spread(over: arguments.count > 1 ? Int(arguments[1]) ?? 2 : 2)
  var fields: [String] = []
  func measure(_ name: String, _ body: () -> String) {
    let start = seconds()
    let result = body()
    fields.append("\"\(name)\":{\"seconds\":\(seconds() - start),\(result)}")
  }
  func list(_ values: [Double]) -> String { "[" + values.map { "\($0)" }.joined(separator: ",") + "]" }
  measure("kmeans") {
    let fit = KMeans.fit(table, KMeansSettings(clusters: 8, seed: 1), parallel: parallel)
    return "\"inertia\":\(fit.inertia),\"iterations\":\(fit.iterations)"
  }
  measure("logistic") {
    let fit = LinearClassifier.fit(table, labels: labels, LinearSettings(.logistic, cost: 1), parallel: parallel)
    return "\"weights\":\(list(fit.weights + [fit.intercept]))"
  }
  measure("svm") {
    let fit = LinearClassifier.fit(table, labels: labels, LinearSettings(.squaredHinge, cost: 1), parallel: parallel)
    return "\"weights\":\(list(fit.weights + [fit.intercept]))"
  }
  measure("least_squares") {
    let fit = NormalEquations(table, target: targets, parallel: parallel).solve()
    return "\"weights\":\(list((fit?.weights ?? []) + [fit?.intercept ?? 0]))"
  }
  measure("tree") {
    let tree = DecisionTree.fit(table, labels: labels, TreeSettings(.gini, maxDepth: 5, minLeaf: 20), parallel: parallel)
    return "\"leaves\":\(tree.leafCount),\"root\":\(tree.feature[0]),\"threshold\":\(tree.threshold[0])"
  }
  print("{" + fields.joined(separator: ",") + "}")
}

/// A few orders each over 400 days, at each customer's own rate; then everything that is said of them, once.
private func benchLedger(customers: Int, parallel: ParallelFor) {
  var random = SplitMix(seed: 1)
  var ledger = CustomerLedger()
  let day = Double(CustomerLedger.day)
  var start = seconds()
  var lines = 0
  for u in 0..<customers {
    var user = UInt64(u)
    let rate = exp(2.5 * random.unit() - 5.2)
    var time = 380 * random.unit()
    withUnsafeBytes(of: &user) { user in
      while time < 400 {
        for line in 0..<(1 + random.below(3)) {
          var item = UInt32(random.below(20_000))
          withUnsafeBytes(of: &item) { item in
            ledger.purchase(
              user, order: Fingerprint(low: random.next()), time: Int64(time * day), line: line, item: item,
              amount: Int64(random.below(10_000)))
          }
          lines += 1
        }
        time += -log(1 - random.unit()) / rate
      }
    }
  }
  let fed = seconds() - start
  start = seconds()
  let insights = Insights(ledger, asOf: Int64(400 * day), InsightSettings(), parallel: parallel)
  let made = seconds() - start
  print(
    "\(customers) customers, \(lines) lines fed in \(fed) s; \(ledger.bytes >> 20) MiB; segments and models of \(insights.table.customers.count) in \(made) s; AUC \(insights.evaluation?.auc ?? 0), \(insights.segmentation?.profiles.count ?? 0) segments"
  )
}

private func spread(over threads: Int) -> ParallelFor {
  { parts, body in
    if threads <= 1 { return serially(parts, body) }
    withoutActuallyEscaping(body) { body in
      let box = Body(body)
      DispatchQueue.concurrentPerform(iterations: parts) { box.body($0) }
    }
  }
}

private struct Body: @unchecked Sendable {
  let body: (Int) -> Void
  init(_ body: @escaping (Int) -> Void) { self.body = body }
}
