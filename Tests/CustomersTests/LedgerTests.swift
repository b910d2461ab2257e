// The ledger against a recount from the whole log after every tick of random logs: late events, repeats, conflicting repeats, refunds
// with and without prices, erasures, withheld consent, a moving horizon. The recount is written plainly, over dictionaries.
import Customers
import Foundation
import Sparse
import Testing



private struct Said {
  var kind: String
  var user: String
  var order = ""
  var time: Int64
  var lines: [(item: String, amount: Int64?)] = []
}

private func feed(_ said: Said, _ ledger: inout CustomerLedger) {
  let user = Array(said.user.utf8)
  user.withUnsafeBytes { user in
    switch said.kind {
    case "erase": ledger.erase(user)
    case "withhold": ledger.withhold(user, time: said.time)
    default:
      for (n, line) in said.lines.enumerated() {
        Array(line.item.utf8).withUnsafeBytes { item in
          let order = Fingerprint(of: said.order)
          switch said.kind {
          case "purchase":
            ledger.purchase(user, order: order, time: said.time, line: n, item: item, amount: line.amount ?? 0)
          case "refund":
            ledger.refund(user, order: order, time: said.time, line: n, item: item, amount: line.amount)
          case "view": ledger.view(user, time: said.time, item: item)
          default: ledger.cart(user, time: said.time, item: item)
          }
        }
      }
    }
  }
}

/// What holds of a user after the events: each line once, the larger content where two say different things.
private struct Recount {
  struct Line: Hashable {
    var kind: String
    var order: String
    var time: Int64
    var line: Int
  }
  var lines: [Line: (item: String, amount: Int64?)] = [:]
  var withheld: Int64?

  init(_ log: [Said], user: String, horizon: Int64) {
    for said in log where said.user == user {
      if said.kind == "erase" {
        lines = [:]
        withheld = nil
        continue
      }
      if said.kind == "withhold" {
        if said.time > horizon { withheld = max(withheld ?? said.time, said.time) }
        continue
      }
      for (n, line) in said.lines.enumerated() {
        var key = Line(kind: said.kind, order: said.order, time: said.time, line: n)
        if said.kind == "view" || said.kind == "cart" {
          key = Line(
            kind: said.kind, order: line.item, time: Int64((Double(said.time) / Double(day)).rounded(.down)) * day, line: 0)
        }
        if key.time <= horizon { continue }
        if let old = lines[key] {
          let (a, b) = (line.amount ?? -1, old.amount ?? -1)
          let (x, y) = (Fingerprint(of: line.item), Fingerprint(of: old.item))
          if a < b || (a == b && (x.high, x.low) <= (y.high, y.low)) { continue }
        }
        lines[key] = line
      }
    }
  }

  func features(asOf time: Int64, categories: [String: Int]) -> [Double]? {
    let before = lines.filter { $0.key.time < time }
    let bought = before.filter { $0.key.kind == "purchase" }
    if bought.isEmpty { return nil }
    var orders: [String: (time: Int64, value: Double)] = [:]
    for (key, line) in bought {
      let old = orders[key.order] ?? (key.time, 0)
      orders[key.order] = (min(old.time, key.time), old.value + Double(line.amount ?? 0))
    }
    let sorted = orders.sorted {
      $0.value.time != $1.value.time
        ? $0.value.time < $1.value.time : Fingerprint(of: $0.key).low < Fingerprint(of: $1.key).low
    }.map(\.value)
    func age(_ t: Int64) -> Double { Double(time - t) / Double(day) }
    let n = Double(sorted.count)
    let gross = bought.reduce(0.0) { $0 + Double($1.value.amount ?? 0) }
    var refunded = 0.0
    for (key, line) in before where key.kind == "refund" {
      if let amount = line.amount {
        refunded += Double(amount)
      } else {
        let match = bought.filter { $0.key.order == key.order && $0.value.item == line.item }
          .max { ($0.key.time, $0.key.line) < ($1.key.time, $1.key.line) }
        refunded += Double(match?.value.amount ?? 0)
      }
    }
    let spend = max(0, gross - refunded)
    let recency = age(sorted[sorted.count - 1].time)
    let tenure = age(sorted[0].time)
    let gaps = (1..<max(1, sorted.count)).map { Double(sorted[$0].time - sorted[$0 - 1].time) / Double(day) }
    let gap = gaps.isEmpty ? tenure : gaps.reduce(0, +) / Double(gaps.count)
    let spread =
      gaps.count < 2 ? .nan : (gaps.reduce(0) { $0 + ($1 - gap) * ($1 - gap) } / Double(gaps.count)).squareRoot()
    func sum(_ from: Double, _ to: Double) -> (Double, Double) {
      let some = sorted.filter { age($0.time) <= to && age($0.time) > from }
      return (Double(some.count), some.reduce(0) { $0 + $1.value })
    }
    let items = Set(bought.map(\.value.item))
    let (o30, s30) = sum(-1, 30)
    let (o90, s90) = sum(-1, 90)
    let (o180, s180) = sum(-1, 180)
    func daily(_ kind: String, _ days: Double) -> [Line] {
      before.keys.filter { $0.kind == kind && age($0.time) <= days }
    }
    let carts = daily("cart", 30)
    let left = carts.filter { cart in !bought.contains { $0.value.item == cart.order && $0.key.time >= cart.time } }
    var values: [Feature: Double] = [:]
    values[.recency] = recency
    values[.orders] = n
    values[.spend] = spend
    values[.tenure] = tenure
    values[.gapMean] = gap
    values[.gapSpread] = spread
    values[.basketSize] = Double(bought.count) / n
    values[.lines] = Double(bought.count)
    values[.items] = Double(items.count)
    values[.categories] = Double(Set(items.compactMap { categories[$0] }).count)
    values[.refundShare] = gross > 0 ? min(1, refunded / gross) : 0
    values[.refunds] = Double(Set(before.keys.filter { $0.kind == "refund" }.map { "\($0.order) \($0.time)" }).count)
    (values[.orders30], values[.spend30]) = (o30, s30)
    (values[.orders90], values[.spend90]) = (o90, s90)
    (values[.orders180], values[.spend180]) = (o180, s180)
    values[.spendTrend] = Foundation.log1p(s90 / 100) - Foundation.log1p(sum(90, 180).1 / 100)
    values[.orderValue] = spend / n
    values[.lastOrderValue] = sorted[sorted.count - 1].value
    values[.largestOrder] = sorted.map(\.value).max()
    values[.activeDays] = Double(Set(sorted.map { (Double($0.time) / Double(day)).rounded(.down) }).count)
    values[.activeMonths] = Double(Set(sorted.map { (age($0.time) / 30).rounded(.down) }).count)
    values[.orderRate] = n / (tenure + 30)
    values[.overdue] = recency / (gap + 7)
    values[.repeats] = Double(bought.count) / Double(items.count)
    values[.decayedOrders30] = sorted.reduce(0) { $0 + pow(2, -age($1.time) / 30) }
    values[.decayedOrders90] = sorted.reduce(0) { $0 + pow(2, -age($1.time) / 90) }
    values[.decayedSpend90] = sorted.reduce(0) { $0 + $1.value * pow(2, -age($1.time) / 90) }
    values[.views7] = Double(daily("view", 7).count)
    values[.views30] = Double(daily("view", 30).count)
    values[.carts7] = Double(daily("cart", 7).count)
    values[.carts30] = Double(carts.count)
    values[.abandonment] = carts.isEmpty ? 0 : Double(left.count) / Double(carts.count)
    return Feature.allCases.map { values[$0] ?? -1 }
  }
}

@Suite struct LedgerTests {
  private static func randomLog(_ random: inout SplitMix, count: Int) -> [Said] {
    var log: [Said] = []
    for i in 0..<count {
      let late = Int64(random.below(4) == 0 ? random.below(40) : 0) * day
      let time = Int64(i) * day / 3 + Int64(random.below(Int(day))) - late
      let user = "u\(random.below(9))"
      if !log.isEmpty && random.below(10) == 0 {
        log.append(log[random.below(log.count)])  // again, or behind an erasure
        continue
      }
      let lines = (0..<(1 + random.below(4))).map { _ in
        (item: "i\(random.below(12))", amount: random.below(6) == 0 ? nil : Int64(random.below(5000)))
      }
      switch random.below(20) {
      case 0..<8:
        // Few orders: some get lines at several times.
        log.append(Said(kind: "purchase", user: user, order: "o\(user)\(random.below(count / 6))", time: time, lines: lines))
      case 8..<11:
        if let old = log.last(where: { $0.kind == "purchase" && $0.user == user }) {
          log.append(Said(kind: "refund", user: user, order: old.order, time: time, lines: [(old.lines[0].item, lines[0].amount)]))
        }
      case 11..<13:
        // The same key with other content.
        if var old = log.last(where: { $0.kind == "purchase" && $0.user == user }) {
          old.lines[0] = lines[0]
          log.append(old)
        }
      case 13..<16: log.append(Said(kind: "view", user: user, time: time, lines: lines))
      case 16..<18: log.append(Said(kind: "cart", user: user, time: time, lines: lines))
      case 18: if random.below(3) == 0 { log.append(Said(kind: "withhold", user: user, time: time)) }
      default: if random.below(2) == 0 { log.append(Said(kind: "erase", user: user, time: time)) }
      }
    }
    return log
  }

  @Test(arguments: UInt64(1)...12) func featuresEqualARecountAfterEveryTick(_ seed: UInt64) {
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    let log = Self.randomLog(&random, count: 240)
    let window: Int64? = seed % 3 == 0 ? nil : Int64(20 + random.below(60)) * day
    var ledger = CustomerLedger(LedgerConfiguration(window: window))
    var categories: [String: Int] = [:]
    for i in 0..<12 where i % 4 != 0 { categories["i\(i)"] = i % 3 }
    // The recount's log: an event enters as the horizon at its time lets it.
    var horizon = Int64.min
    var compared = 0
    for (i, said) in log.enumerated() {
      feed(said, &ledger)
      if i % 20 != 19 { continue }
      let tick = Int64(i) * day / 3
      ledger.expire(tick: tick)
      if let window { horizon = max(horizon, tick - window) }
      let ids = (0..<12).map { i in Array("i\(i)".utf8).withUnsafeBytes { ledger.item($0) } }
      var table = [Int32](repeating: -1, count: Int(ids.max() ?? 0) + 1)
      for i in 0..<12 { table[Int(ids[i])] = categories["i\(i)"].map { Int32($0) } ?? -1 }
      for asOf in [tick, tick + day, tick - 25 * day] {
        let length = 15 * day
        let snapshot = ledger.snapshot(asOf: asOf, horizon: length, categories: table, parallel: twoAtOnce)
        var expected: [String] = []
        for u in 0..<9 {
          let recount = Recount(Array(log[...i]), user: "u\(u)", horizon: horizon)
          let features = recount.features(asOf: asOf, categories: categories)
          if features == nil || recount.withheld != nil { continue }
          expected.append("u\(u)")
          guard let row = snapshot.customers.firstIndex(where: { ledger.key($0) == "u\(u)" }), let features else {
            Issue.record("u\(u) is missing at \(i)")
            continue
          }
          for feature in Feature.allCases {
            let (own, plain) = (snapshot.features[row, feature.rawValue], features[feature.rawValue])
            compared += 1
            if own.isNaN && plain.isNaN { continue }
            #expect(abs(own - plain) <= 1e-9 * (1 + abs(plain)), "\(feature.name) of u\(u) at \(i), seed \(seed)")
          }
          let after = recount.lines.filter {
            $0.key.kind == "purchase" && $0.key.time >= asOf && $0.key.time < asOf + length
          }
          #expect(snapshot.bought[row] == (after.isEmpty ? 0 : 1))
          #expect(snapshot.spent[row] == after.reduce(0) { $0 + Double($1.value.amount ?? 0) })
        }
        #expect(snapshot.customers.map { ledger.key($0) } == expected)
      }
    }
    #expect(compared > 3000)
  }

  /// Any order of arrival leaves the same features (between erasures and ticks).
  @Test func orderOfArrivalDoesNotMatter() {
    var random = SplitMix(seed: 99)
    let log = Self.randomLog(&random, count: 200).filter { $0.kind != "erase" }
    func all(_ log: [Said]) -> [[Double]] {
      var configuration = LedgerConfiguration()
      configuration.maxFacts = 24
      var ledger = CustomerLedger(configuration)
      for said in log { feed(said, &ledger) }
      #expect(ledger.customerCount == Set(log.map(\.user)).count)
      let snapshot = ledger.snapshot(asOf: 200 * day)
      return (0..<snapshot.customers.count).map { row in
        Feature.allCases.map { $0 == .gapSpread && snapshot.features[row, $0.rawValue].isNaN ? -1 : snapshot.features[row, $0.rawValue] }
      }
    }
    let first = all(log)
    #expect(first.count > 3)
    for _ in 0..<6 {
      let other = all(log.shuffled(using: &random))
      #expect(other == first)
    }
  }

  @Test func anErasureLeavesNoByte() {
    var ledger = CustomerLedger()
    let lines: [(item: String, amount: Int64?)] = [("i1", 5), ("i2", 7)]
    feed(Said(kind: "purchase", user: "somebody", order: "o", time: 5 * day, lines: lines), &ledger)
    feed(Said(kind: "purchase", user: "other", order: "o", time: 6 * day, lines: lines), &ledger)
    feed(Said(kind: "erase", user: "somebody", time: 7 * day), &ledger)
    #expect(ledger.customerCount == 1 && ledger.factCount == 2)
    #expect(ledger.snapshot(asOf: 9 * day).customers.count == 1)
    feed(Said(kind: "purchase", user: "somebody", order: "p", time: 8 * day, lines: [("i1", 1)]), &ledger)
    let snapshot = ledger.snapshot(asOf: 9 * day)
    #expect(snapshot.features[1, Feature.tenure.rawValue] == 1 && snapshot.features[1, Feature.lines.rawValue] == 1)
  }

  @Test func amountsStayInBounds() {
    #expect(CustomerLedger.amount(price: 0.015, quantity: 3) == 5)
    #expect(CustomerLedger.amount(price: 1e300, quantity: 1 << 52) == CustomerLedger.largestAmount)
    #expect(CustomerLedger.amount(price: 0, quantity: 5) == 0)
  }

  /// docs/FEATURES.md is the table in the code.
  @Test func theDocumentIsTheTable() throws {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("docs/FEATURES.md")
    let text = try String(contentsOf: path, encoding: .utf8)
    #expect(text.contains(Feature.markdownTable))
  }
}
