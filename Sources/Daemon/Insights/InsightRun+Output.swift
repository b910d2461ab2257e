// Insights of a log for people and programs: text, JSON, CSV.
import Customers
import Engine
import Events
import Sparse

extension InsightRun {
  /// One JSON object: card, segments, rules and all customers.
  public func writeJSON(_ write: (UnsafeRawBufferPointer) throws -> Void) throws {
    var w = ByteWriter(capacity: 1 << 18)
    w.append("{\"model\":")
    insights.appendCard(to: &w)
    w.append(",\"segments\":")
    insights.appendSegments(to: &w)
    func list(_ name: StaticString, _ texts: [String]) {
      w.append(name)
      for (i, text) in texts.enumerated() {
        if i > 0 { w.append(",") }
        w.append(quoted: text)
      }
      w.append("]")
    }
    list(",\"purchase_rules\":[", purchaseRules)
    list(",\"segment_rules\":[", segmentRules)
    w.append(",\"customers\":[")
    var isFirst = true
    try forEachCustomer { user, insight in
      w.append(isFirst ? "\n" : ",\n")
      isFirst = false
      insights.append(insight, user: user, to: &w)
      if w.count > 1 << 17 {
        try write(w.bytes)
        w.removeAll()
      }
    }
    w.append("]}\n")
    try write(w.bytes)
  }

  /// One line a customer.
  public func writeCSV(_ write: (UnsafeRawBufferPointer) throws -> Void) throws {
    var w = ByteWriter(capacity: 1 << 18)
    w.append("user,segment,rfm,probability,low,high,expected_value,driver_1,driver_2,driver_3,recency_days,orders,spend\n")
    try forEachCustomer { user, insight in
      field(user, &w)
      w.append(",")
      field(insight.segment.flatMap { insights.segmentation?.profiles[$0].name } ?? "", &w)
      w.append(",")
      w.append(text: insight.cell.name)
      w.append(",")
      if let purchase = insight.purchase {
        w.append(purchase.probability)
        w.append(",")
        w.append(purchase.low)
        w.append(",")
        w.append(purchase.high)
      } else {
        w.append(",,")
      }
      w.append(",")
      if let value = insight.expectedValue { w.append(Int(value.rounded())) }
      for i in 0..<3 {
        w.append(",")
        if let drivers = insight.purchase?.drivers, i < drivers.count {
          w.append(drivers[i].contribution >= 0 ? "+" : "-")
          w.append(text: drivers[i].feature.name)
        }
      }
      for feature in [Feature.recency, .orders, .spend] {
        w.append(",")
        w.append(insights.table.features[insight.row, feature.rawValue])
      }
      w.append("\n")
      if w.count > 1 << 17 {
        try write(w.bytes)
        w.removeAll()
      }
    }
    try write(w.bytes)
  }

  /// RFC 4180; a text that a spreadsheet would take for a formula gets an apostrophe.
  private func field(_ text: String, _ w: inout ByteWriter) {
    let isFormula = text.first.map { "=+-@\t\r".contains($0) } ?? false
    let text = isFormula ? "'" + text : text
    if text.contains(where: { ",\"\n\r".contains($0) }) {
      w.append(text: "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\"")
    } else {
      w.append(text: text)
    }
  }

  /// The summary for a terminal.
  public var text: String {
    var lines: [String] = []
    let days = Int(insights.settings.horizon / CustomerLedger.day)
    lines.append("\(insights.table.customers.count) customers as of \(timeText(insights.asOf)); what is said of the future is of the \(days) days after")
    if currencies.count > 1 {
      lines.append("amounts are in \(currencies.joined(separator: ", ")) and are not converted")
    }
    if let segmentation = insights.segmentation {
      lines.append("")
      lines.append(columns("segment", ["customers", "of spend", "last order", "orders", "spend", "will buy"], width: 36))
      let order = segmentation.profiles.indices.sorted { segmentation.profiles[$0].spend > segmentation.profiles[$1].spend }
      for i in order {
        let p = segmentation.profiles[i]
        lines.append(
          columns(
            p.name,
            [
              "\(p.customers)", percent(p.spendShare), "\(amountText(p.recencyDays, .recency)) d",
              amountText(p.orders, .orders), amountText(p.spend, .spend),
              insights.meanProbability(ofSegment: i).map(percent) ?? "-",
            ], width: 36))
      }
      lines.append("(medians of days since the last order, orders and spend; mean probability)")
    }
    lines.append("")
    lines += evaluationLines
    if !purchaseRules.isEmpty {
      lines.append("")
      lines.append("Who bought, by the tree:")
      lines += purchaseRules.map { "  " + $0 }
    }
    return lines.joined(separator: "\n")
  }

  private var evaluationLines: [String] {
    var lines: [String] = []
    if let fault = insights.purchaseFault { lines.append("no purchase probability: \(fault)") }
    if let fault = insights.spendFault { lines.append("no expected value: \(fault)") }
    guard let e = insights.evaluation, let choice = insights.choice else { return lines }
    lines.append("purchase: \(choice.purchase.name), chosen \(insights.choiceBy) among \(choice.losses.count); trained on \(insights.trainingRows) customers, of whom \(insights.trainingPositives) bought")
    lines.append("judged \(insights.evaluationBy) on \(e.customers) customers it was not trained on:")
    lines.append(columns("", ["model", "baseline"], width: 28))
    func row(_ name: String, _ a: Double, _ b: Double?) {
      lines.append(columns(name, [decimals(a), b.map(decimals) ?? "-"], width: 28))
    }
    row("  AUC", e.auc, e.lastPeriodAUC)
    row("  AUC, standard error", e.aucError, nil)
    row("  log loss", e.logLoss, e.baseLogLoss)
    row("  Brier score", e.brier, e.baseBrier)
    row("  lift at 10 %", e.lift, 1)
    row("  R² of ln(1 + spend)", e.r2, e.lastPeriodR2)
    row("  mean error of spend", e.meanAbsoluteError / 100, e.lastPeriodError / 100)
    if let drift = insights.drift { row("  drift (PSI)", drift, nil) }
    return lines
  }

  func columns(_ first: String, _ rest: [String], width: Int) -> String {
    first + String(repeating: " ", count: max(1, width - first.count))
      + rest.map { String(repeating: " ", count: max(1, 11 - $0.count)) + $0 }.joined()
  }
  func decimals(_ x: Double) -> String { amount(x, places: 4) }

  func amount(_ x: Double, places: Int) -> String {
    let scale = (0..<places).reduce(1.0) { s, _ in s * 10 }
    let whole = Int64((abs(x) * scale).rounded())
    let digits = String(whole % Int64(scale))
    return (x < 0 && whole > 0 ? "-" : "") + "\(whole / Int64(scale))."
      + String(repeating: "0", count: places - digits.count) + digits
  }
  func timeText(_ time: Int64) -> String {
    var w = ByteWriter()
    w.append(quotedTime: time)
    return w.string.filter { $0 != "\"" }
  }
}
