// Features of one customer as of a time, from its facts in one walk, and of all customers as a table with what they did afterwards.
import Sparse

/// Customers with an order before `asOf`, sorted by key, with their features; and what they did in the `days` after.
public struct FeatureTable: Sendable {
  public var asOf: Int64
  /// Milliseconds.
  public var horizon: Int64
  public var customers: [UInt32]
  public var features: Table
  /// 1: a purchase in [asOf, asOf + horizon).
  public var bought: [UInt8]
  /// Hundredths of the purchases there.
  public var spent: [Double]

  public func picking(_ rows: [Int]) -> FeatureTable {
    FeatureTable(
      asOf: asOf, horizon: horizon, customers: rows.map { customers[$0] }, features: features.picking(rows),
      bought: rows.map { bought[$0] }, spent: rows.map { spent[$0] })
  }
}

/// Scratch for walks over facts.
struct FeatureScan: ~Copyable {
  struct Order: BitwiseCopyable {
    var time: Int64
    var print: UInt64
    var amount: Int64
  }
  private var orders: [Order] = []
  private var bought: [UInt32] = []
  private var refundKeys: [Order] = []
  private(set) var row = [Double](repeating: 0, count: Feature.count)

  init() {}

  /// Fills `row`.
  /// - Parameter categories: per item id, −1 where it has none.
  /// - Returns: false where the customer has no order before `time`.
  mutating func read(_ facts: UnsafeBufferPointer<Fact>, asOf time: Int64, categories: [Int32]) -> Bool {
    let day = Double(CustomerLedger.day)
    collect(facts, before: time)
    guard let first = orders.first, let last = orders.last else { return false }
    for i in row.indices { row[i] = 0 }
    let count = Double(orders.count)
    var gross: Int64 = 0
    var lines = 0
    var refunded: Int64 = 0
    refundKeys.removeAll(keepingCapacity: true)
    for fact in facts where fact.time < time {
      switch fact.kind {
      case .purchase:
        gross += fact.amount
        lines += 1
      case .refund:
        refunded += fact.amount >= 0 ? fact.amount : FeatureScan.price(of: fact, in: facts, before: time)
        if refundKeys.last.map({ $0.time != fact.time || $0.print != fact.order }) ?? true {
          refundKeys.append(Order(time: fact.time, print: fact.order, amount: 0))
        }
      case .view, .cart: readDaily(fact, facts, time)
      }
    }
    let spend = Double(max(0, gross - refunded))
    let recency = Double(time - last.time) / day
    let tenure = Double(time - first.time) / day
    set(.recency, recency)
    set(.orders, count)
    set(.spend, spend)
    set(.tenure, tenure)
    readGaps(tenure)
    set(.basketSize, Double(lines) / count)
    set(.lines, Double(lines))
    readItems(lines, categories)
    set(.refundShare, gross > 0 ? min(1, Double(refunded) / Double(gross)) : 0)
    set(.refunds, Double(refundKeys.count))
    readOrders(time)
    set(.orderValue, spend / count)
    set(.lastOrderValue, Double(last.amount))
    set(.orderRate, count / (tenure + 30))
    set(.overdue, recency / (row[Feature.gapMean.rawValue] + 7))
    let carts = row[Feature.carts30.rawValue]
    if carts > 0 { row[Feature.abandonment.rawValue] /= carts }
    return true
  }

  private mutating func set(_ feature: Feature, _ value: Double) { row[feature.rawValue] = value }

  /// The orders with their lines before `time`, by the time of their first line.
  private mutating func collect(_ facts: UnsafeBufferPointer<Fact>, before time: Int64) {
    orders.removeAll(keepingCapacity: true)
    bought.removeAll(keepingCapacity: true)
    for fact in facts where fact.isPurchase && fact.time < time {
      bought.append(fact.item)
      if let last = orders.indices.last, orders[last].print == fact.order {
        orders[last].amount += fact.amount
      } else {
        orders.append(Order(time: fact.time, print: fact.order, amount: fact.amount))
      }
    }
    // An order whose lines have several times may stand there in several pieces.
    orders.sort { $0.print != $1.print ? $0.print < $1.print : $0.time < $1.time }
    var kept = 0
    for i in orders.indices {
      if kept > 0 && orders[kept - 1].print == orders[i].print {
        orders[kept - 1].amount += orders[i].amount
      } else {
        orders[kept] = orders[i]
        kept += 1
      }
    }
    orders.removeLast(orders.count - kept)
    orders.sort { $0.time != $1.time ? $0.time < $1.time : $0.print < $1.print }
  }

  /// The amount of the order's latest line of the refunded item.
  static func price(of refund: Fact, in facts: UnsafeBufferPointer<Fact>, before time: Int64) -> Int64 {
    var amount: Int64 = 0
    for fact in facts where fact.isPurchase && fact.order == refund.order && fact.item == refund.item {
      if fact.time < time { amount = fact.amount }
    }
    return amount
  }

  private mutating func readGaps(_ tenure: Double) {
    let day = Double(CustomerLedger.day)
    let n = orders.count
    guard n > 1 else {
      set(.gapMean, tenure)
      set(.gapSpread, .nan)
      return
    }
    let mean = Double(orders[n - 1].time - orders[0].time) / day / Double(n - 1)
    set(.gapMean, mean)
    guard n > 2 else { return set(.gapSpread, .nan) }
    var squares = 0.0
    for i in 1..<n {
      let gap = Double(orders[i].time - orders[i - 1].time) / day
      squares += (gap - mean) * (gap - mean)
    }
    set(.gapSpread, root(squares / Double(n - 1)))
  }

  private mutating func readItems(_ lines: Int, _ categories: [Int32]) {
    bought.sort()
    var distinct = 0
    var seen: [Int32] = []
    for i in bought.indices where i == 0 || bought[i] != bought[i - 1] {
      distinct += 1
      if Int(bought[i]) < categories.count, categories[Int(bought[i])] >= 0 { seen.append(categories[Int(bought[i])]) }
    }
    seen.sort()
    var kinds = 0
    for i in seen.indices where i == 0 || seen[i] != seen[i - 1] { kinds += 1 }
    set(.items, Double(distinct))
    set(.categories, Double(kinds))
    set(.repeats, Double(lines) / Double(max(1, distinct)))
  }

  private mutating func readOrders(_ time: Int64) {
    let day = CustomerLedger.day
    var (before, largest) = (0.0, 0.0)
    var (lastDay, lastMonth) = (Int64.min, Int64.min)
    for order in orders {
      let (age, value) = (time - order.time, Double(order.amount))
      largest = max(largest, value)
      for (limit, count, sum) in FeatureScan.windows where age <= limit * day {
        row[count.rawValue] += 1
        row[sum.rawValue] += value
      }
      if age > 90 * day && age <= 180 * day { before += value }
      // Ascending times: equal days and periods stand together.
      let (ownDay, ownMonth) = (CustomerLedger.startOfDay(order.time), age / (30 * day))
      if ownDay != lastDay { row[Feature.activeDays.rawValue] += 1 }
      if ownMonth != lastMonth { row[Feature.activeMonths.rawValue] += 1 }
      (lastDay, lastMonth) = (ownDay, ownMonth)
      let days = Double(age) / Double(day)
      row[Feature.decayedOrders30.rawValue] += exponential(-0.6931471805599453 * days / 30)
      let slow = exponential(-0.6931471805599453 * days / 90)
      row[Feature.decayedOrders90.rawValue] += slow
      row[Feature.decayedSpend90.rawValue] += value * slow
    }
    set(.largestOrder, largest)
    set(.spendTrend, logarithm1p(row[Feature.spend90.rawValue] / 100) - logarithm1p(before / 100))
  }

  private static let windows: [(Int64, Feature, Feature)] = [
    (30, .orders30, .spend30), (90, .orders90, .spend90), (180, .orders180, .spend180),
  ]

  private mutating func readDaily(_ fact: Fact, _ facts: UnsafeBufferPointer<Fact>, _ time: Int64) {
    let age = time - fact.time
    if age > 30 * CustomerLedger.day { return }
    let isView = fact.kind == .view
    row[(isView ? Feature.views30 : .carts30).rawValue] += 1
    if age <= 7 * CustomerLedger.day { row[(isView ? Feature.views7 : .carts7).rawValue] += 1 }
    if isView { return }
    let wasBought = facts.contains {
      $0.isPurchase && $0.item == fact.item && $0.time >= fact.time && $0.time < time
    }
    if !wasBought { row[Feature.abandonment.rawValue] += 1 }
  }
}

extension CustomerLedger {
  /// The customer's features as of `time`, or nil where there is no order before it.
  public func features(of customer: UInt32, asOf time: Int64, categories: [Int32] = []) -> [Double]? {
    var scan = FeatureScan()
    return scan.read(facts(customer), asOf: time, categories: categories) ? scan.row : nil
  }

  /// Every customer with an order before `time`, except those whose consent is withheld. Only facts before `time` are looked at for
  /// the features, and only those in [time, time + horizon) for what came after.
  public func snapshot(
    asOf time: Int64, horizon: Int64 = 0, categories: [Int32] = [], parallel: ParallelFor = serially
  ) -> FeatureTable {
    var ids: [UInt32] = []
    for id in 0..<UInt32(blocks.count)
    where customers.isLive(id) && withheld[Int(id)] == .min && hasOrder(id, before: time) {
      ids.append(id)
    }
    ids.sort { customers.precedes($0, $1) }
    let n = ids.count
    let table = Table(rows: n, columns: Feature.count)
    var bought = [UInt8](repeating: 0, count: n)
    var spent = [Double](repeating: 0, count: n)
    let end = time.addingReportingOverflow(horizon)
    let until = end.overflow ? Int64.max : end.partialValue
    let stretches = Stretches(rows: n)
    // Parts read the ledger's flat arrays alone.
    let (facts, blocks) = (Shared(arena.facts.base), Shared(blocks.base))
    bought.withUnsafeMutableBufferPointer { bought in
      spent.withUnsafeMutableBufferPointer { spent in
        let (bought, spent) = (bought.baseAddress.map(Shared.init), spent.baseAddress.map(Shared.init))
        parallel(stretches.count) { part in
          var scan = FeatureScan()
          for i in stretches.range(part) {
            let block = blocks.base[Int(ids[i])]
            let own = UnsafeBufferPointer(start: facts.base + block.start, count: Int(block.count))
            _ = scan.read(own, asOf: time, categories: categories)
            for c in 0..<Feature.count { table.column(c)[i] = scan.row[c] }
            var sum: Int64 = 0
            for fact in own where fact.isPurchase && fact.time >= time && fact.time < until {
              bought?.base[i] = 1
              sum += fact.amount
            }
            spent?.base[i] = Double(sum)
          }
        }
      }
    }
    return FeatureTable(asOf: time, horizon: horizon, customers: ids, features: table, bought: bought, spent: spent)
  }

  private func hasOrder(_ id: UInt32, before time: Int64) -> Bool {
    for fact in facts(id) {
      if fact.time >= time { return false }
      if fact.isPurchase { return true }
    }
    return false
  }
}
