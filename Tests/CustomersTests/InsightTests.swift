// Insights of a planted shop: who buys follows from each customer's own rate, or, in another shop, from nothing.
import Customers
import Engine
import Foundation
import Sparse
import TestSupport
import Testing

private struct Order {
  var user: String
  var time: Int64
  var amount: Int64
  var isWithheld = false
}

/// Orders of `customers` over 400 days. `spread` 0: all have the same rate.
private func shop(customers: Int, spread: Double, seed: UInt64) -> [Order] {
  var random = SplitMix(seed: seed)
  var orders: [Order] = []
  for u in 0..<customers {
    let rate = Foundation.exp(spread * random.bell() - 4)
    let value = 2000 * Foundation.exp(0.5 * random.bell())
    var time = 200 * random.unit()
    while time < 400 {
      orders.append(Order(user: "user-\(u)", time: Int64(time * Double(day)), amount: Int64(value * (0.5 + random.unit()))))
      time += -Foundation.log(1 - random.unit()) / rate
    }
  }
  return orders.sorted { ($0.time, $0.user) < ($1.time, $1.user) }
}

private func ledger(_ orders: [Order]) -> CustomerLedger {
  var ledger = CustomerLedger()
  for order in orders { take(order, &ledger) }
  return ledger
}

private func take(_ order: Order, _ ledger: inout CustomerLedger) {
  Array(order.user.utf8).withUnsafeBytes { user in
    if order.isWithheld { return ledger.withhold(user, time: order.time) }
    Array("item-\(order.amount % 7)".utf8).withUnsafeBytes { item in
      ledger.purchase(
        user, order: Fingerprint(of: "\(order.time)"), time: order.time, line: 0, item: item, amount: order.amount)
    }
  }
}

/// Card, segments and every customer's message.
private func said(_ insights: Insights, _ ledger: borrowing CustomerLedger) -> String {
  var w = ByteWriter()
  insights.appendCard(to: &w)
  insights.appendSegments(to: &w)
  for row in insights.table.customers.indices {
    w.append("\n")
    insights.append(insights.insight(row: row), user: ledger.key(insights.table.customers[row]), to: &w)
  }
  return w.string
}

@Suite struct InsightTests {
  let end = 400 * day
  var settings: InsightSettings {
    var settings = InsightSettings()
    settings.horizon = 60 * day
    return settings
  }

  @Test func aPlantedShopIsUnderstood() throws {
    let ledger = ledger(shop(customers: 1500, spread: 1.2, seed: 1))
    let insights = Insights(ledger, asOf: end, settings, parallel: twoAtOnce)
    #expect(insights.choiceBy == "by time" && insights.evaluationBy == "by time")
    let evaluation = try #require(insights.evaluation)
    #expect(evaluation.auc > 0.75 && evaluation.brier < evaluation.baseBrier)
    #expect(insights.purchaseFault == nil && insights.spendFault == nil)
    for row in stride(from: 0, to: insights.table.customers.count, by: 13) {
      let insight = insights.insight(row: row)
      let purchase = try #require(insight.purchase)
      #expect(purchase.low <= purchase.probability && purchase.probability <= purchase.high)
      #expect(purchase.low >= 0 && purchase.high <= 1 && purchase.drivers.count == 3)
      let strengths = purchase.drivers.map { abs($0.contribution) }
      #expect(strengths == strengths.sorted(by: >))
      #expect(try #require(insight.expectedValue) >= 0)
    }
    // What one customer is told equals the table's.
    let model = try #require(insights.purchase)
    let all = model.probabilities(insights.table.features)
    for row in [0, 7, 400] { #expect(abs(all[row] - (insights.insight(row: row).purchase?.probability ?? 9)) < 1e-12) }
    // Every message is JSON.
    var w = ByteWriter()
    insights.append(insights.insight(row: 0), user: "a \"quoted\" user", to: &w)
    #expect(PlainJSON(w.string)?["user"]?.string == "a \"quoted\" user")
    w.removeAll()
    insights.appendCard(to: &w)
    #expect(PlainJSON(w.string)?["evaluation"]?["auc"]?.double == evaluation.auc)
  }

  @Test func theFutureAndTheNumberOfThreadsChangeNothing() {
    let orders = shop(customers: 700, spread: 1, seed: 2)
    let at = 330 * day
    let whole = ledger(orders)
    let past = ledger(orders.filter { $0.time < at })
    let first = said(Insights(past, asOf: at, settings), past)
    #expect(first == said(Insights(whole, asOf: at, settings, parallel: twoAtOnce), whole))
    var random = SplitMix(seed: 5)
    let shuffled = ledger(orders.shuffled(using: &random))
    #expect(first == said(Insights(shuffled, asOf: at, settings), shuffled))
  }

  /// Who withholds consent, or was erased, is neither scored nor trained on: as if never seen.
  @Test func withheldAndErasedCustomersAreAsIfNeverSeen() {
    let orders = shop(customers: 600, spread: 1, seed: 3)
    let gone: Set<String> = Set((0..<600).filter { $0 % 9 == 0 }.map { "user-\($0)" })
    let without = ledger(orders.filter { !gone.contains($0.user) })
    let expected = said(Insights(without, asOf: end, settings), without)
    let withheld = ledger(orders + gone.sorted().map { Order(user: $0, time: 390 * day, amount: 0, isWithheld: true) })
    #expect(said(Insights(withheld, asOf: end, settings), withheld) == expected)
    var erased = ledger(orders)
    for user in gone.sorted() { Array(user.utf8).withUnsafeBytes { erased.erase($0) } }
    #expect(said(Insights(erased, asOf: end, settings), erased) == expected)
    let all = ledger(orders)
    #expect(said(Insights(all, asOf: end, settings), all) != expected)
  }

  /// Where buying follows from nothing, no probability is published, and the reason says against what.
  @Test func aModelWorseThanItsBaselineIsNotPublished() throws {
    // All at one rate, all since the first day: the past tells nothing.
    var random = SplitMix(seed: 4)
    var orders: [Order] = []
    for u in 0..<900 {
      for t in 0..<400 where t == 0 || random.below(60) == 0 {
        orders.append(Order(user: "user-\(u)", time: Int64(t) * day + Int64(u), amount: 1000))
      }
    }
    let ledger = ledger(orders)
    let insights = Insights(ledger, asOf: end, settings)
    let evaluation = try #require(insights.evaluation)
    #expect(abs(evaluation.auc - 0.5) < 0.06)
    if evaluation.logLoss >= evaluation.baseLogLoss || evaluation.brier >= evaluation.baseBrier
      || evaluation.auc <= evaluation.lastPeriodAUC
    {
      #expect(insights.purchase == nil && insights.purchaseFault?.contains("no better than") == true)
      #expect(insights.insight(row: 0).purchase == nil)
    }
    #expect(insights.purchase == nil)
  }

  @Test func smallAndEmptyShops() {
    let none = CustomerLedger()
    let empty = Insights(none, asOf: 0)
    #expect(empty.table.customers.isEmpty && empty.segmentation == nil && empty.purchaseFault != nil)
    let few = ledger(shop(customers: 12, spread: 1, seed: 6))
    let insights = Insights(few, asOf: end, settings)
    #expect(insights.purchaseFault?.contains("at least 30") == true)
    #expect(said(insights, few).contains("\"rfm\""))
  }

  @Test func segmentNamesAreOfTheProfile() throws {
    let ledger = ledger(shop(customers: 1200, spread: 1.2, seed: 7))
    var names: Set<[String]> = []
    for seed in UInt64(1)...3 {
      var settings = settings
      settings.segments = 5...5
      settings.seed = seed
      let segmentation = try #require(Insights(ledger, asOf: end, settings).segmentation)
      let own = segmentation.profiles.map(\.name)
      #expect(Set(own).count == own.count)
      #expect(segmentation.profiles.reduce(0) { $0 + $1.customers } == segmentation.assigned.count)
      #expect(abs(segmentation.profiles.reduce(0) { $0 + $1.spendShare } - 1) < 1e-9)
      names.insert(own.sorted())
    }
    // Another seed finds the same clusters in another order, and the same names.
    #expect(names.count == 1, "\(names)")
  }

  @Test func quintilesAreEvenAndTiesGoByKey() {
    var orders: [Order] = []
    for u in 0..<25 { orders.append(Order(user: "u\(100 + u)", time: Int64(u / 5) * day, amount: 100)) }
    let ledger = ledger(orders)
    let table = ledger.snapshot(asOf: 10 * day)
    let cells = RFM.cells(table)
    for q in 1...5 {
      #expect(cells.filter { $0.recency == q }.count == 5)
      #expect(cells.filter { $0.frequency == q }.count == 5)
    }
    // The latest order is the best recency; equal numbers of orders stand in order of the key.
    #expect(cells[24].recency == 5 && cells[0].recency == 1)
    #expect(cells.map(\.frequency) == (0..<25).map { 1 + $0 / 5 })
    #expect(cells[24].name == "555")
  }
}
