// The page of `affinityd insights --html`: segments with their profiles, how good the models are, the calibration plotted, the tree
// drawn. One file without scripts or references, light and dark.
import Customers
import Engine
import Sparse

extension InsightRun {
  public var page: String {
    let title = "Customers as of \(timeText(insights.asOf))"
    return """
      <!doctype html>
      <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
      <title>\(escaped(title))</title><style>\(InsightRun.style)</style></head><body><main>
      <h1>\(escaped(title))</h1>
      <p>\(insights.table.customers.count) customers with an order; predictions are of the \(insights.settings.horizon / CustomerLedger.day) days after.</p>
      \(segmentSection)\(modelSection)\(treeSection)\(featureSection)
      </main></body></html>

      """
  }

  private static let style = """
    :root{color-scheme:light dark;--ink:#1c2530;--dim:#5d6b7a;--line:#d5dce3;--mark:#2566b8;--paper:#fff}
    @media(prefers-color-scheme:dark){:root{--ink:#e4e9ee;--dim:#98a5b2;--line:#35404b;--mark:#6aa6ee;--paper:#14191f}}
    body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0}
    main{max-width:60rem;margin:auto;padding:1.5rem}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}
    table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right}
    td:first-child,th:first-child{text-align:left}th{color:var(--dim);font-weight:600}
    .bar{background:var(--mark);height:.7rem;border-radius:2px;display:inline-block}.dim{color:var(--dim)}
    svg{max-width:100%;height:auto}svg text{fill:var(--ink);font:12px system-ui,sans-serif}
    .wide{overflow-x:auto}
    """

  private func table(_ head: [String], _ rows: [[String]]) -> String {
    "<table><tr>" + head.map { "<th>\($0)</th>" }.joined() + "</tr>"
      + rows.map { "<tr>" + $0.map { "<td>\($0)</td>" }.joined() + "</tr>" }.joined() + "</table>\n"
  }

  private var segmentSection: String {
    guard let segmentation = insights.segmentation else { return "" }
    let order = segmentation.profiles.indices.sorted { segmentation.profiles[$0].spend > segmentation.profiles[$1].spend }
    let largest = Double(max(1, segmentation.profiles.map(\.customers).max() ?? 1))
    let rows = order.map { i -> [String] in
      let p = segmentation.profiles[i]
      let width = Int(120 * Double(p.customers) / largest)
      return [
        escaped(p.name), "<span class=\"bar\" style=\"width:\(width)px\"></span> \(p.customers)", percent(p.spendShare),
        "\(amountText(p.recencyDays, .recency)) d", amountText(p.orders, .orders), amountText(p.spend, .spend),
        insights.meanProbability(ofSegment: i).map(percent) ?? "–",
      ]
    }
    return "<h2>Segments</h2>"
      + table(["segment", "customers", "of all spend", "last order", "orders", "spend", "will buy"], rows)
      + "<p class=\"dim\">Medians of the segment, mean probability. \(segmentation.profiles.count) clusters of recency, frequency and value.</p>"
      + "<ul>" + segmentRules.map { "<li>\(escaped($0))</li>" }.joined() + "</ul>\n"
  }

  private var modelSection: String {
    var result = "<h2>Predictions</h2>"
    for fault in [insights.purchaseFault.map { "No purchase probability: \($0)." }, insights.spendFault.map { "No expected value: \($0)." }] {
      if let fault { result += "<p>\(escaped(fault))</p>" }
    }
    guard let e = insights.evaluation, let choice = insights.choice else { return result }
    result +=
      "<p>\(escaped(choice.purchase.name)), chosen \(insights.choiceBy) among \(choice.losses.count) models; judged \(insights.evaluationBy) on \(e.customers) customers, of whom \(e.positives) bought.</p>"
    result += table(
      ["", "model", "baseline", "the baseline is"],
      [
        ["AUC", "\(decimals(e.auc)) ± \(decimals(1.96 * e.aucError))", decimals(e.lastPeriodAUC), "spend in the last 90 days"],
        ["log loss", decimals(e.logLoss), decimals(e.baseLogLoss), "everyone at the base rate"],
        ["Brier score", decimals(e.brier), decimals(e.baseBrier), "everyone at the base rate"],
        ["lift at 10 %", decimals(e.lift), "1.0000", "chance"],
        ["R² of ln(1 + spend)", decimals(e.r2), decimals(e.lastPeriodR2), "spend in the last 90 days"],
        ["mean error of spend", decimals(e.meanAbsoluteError / 100), decimals(e.lastPeriodError / 100), "spend in the last 90 days"],
      ])
    return result + calibrationPlot(e.calibration)
  }

  /// Observed rate over predicted probability by tenths, with two standard errors and the line on which they should lie.
  private func calibrationPlot(_ bins: [Evaluation.CalibrationBin]) -> String {
    func x(_ p: Double) -> Double { 40 + 320 * min(max(p, 0), 1) }
    func y(_ p: Double) -> Double { 340 - 320 * min(max(p, 0), 1) }
    func n(_ value: Double) -> String { amount(value, places: 1) }
    var svg = "<h2>Calibration</h2><svg viewBox=\"0 0 380 375\" width=\"380\" role=\"img\" aria-label=\"observed rate over predicted probability\">"
    for tick in 0...5 {
      let p = Double(tick) / 5
      svg += "<line x1=\"\(n(x(p)))\" y1=\"20\" x2=\"\(n(x(p)))\" y2=\"340\" stroke=\"var(--line)\"/>"
      svg += "<line x1=\"40\" y1=\"\(n(y(p)))\" x2=\"360\" y2=\"\(n(y(p)))\" stroke=\"var(--line)\"/>"
      svg += "<text x=\"\(n(x(p)))\" y=\"355\" text-anchor=\"middle\">\(n(p))</text>"
      svg += "<text x=\"34\" y=\"\(n(y(p) + 4))\" text-anchor=\"end\">\(n(p))</text>"
    }
    svg += "<line x1=\"40\" y1=\"340\" x2=\"360\" y2=\"20\" stroke=\"var(--dim)\" stroke-dasharray=\"4 4\"/>"
    for bin in bins {
      let (low, high) = (bin.observed - 2 * bin.error, bin.observed + 2 * bin.error)
      svg += "<line x1=\"\(n(x(bin.predicted)))\" y1=\"\(n(y(low)))\" x2=\"\(n(x(bin.predicted)))\" y2=\"\(n(y(high)))\" stroke=\"var(--mark)\"/>"
      svg += "<circle cx=\"\(n(x(bin.predicted)))\" cy=\"\(n(y(bin.observed)))\" r=\"4\" fill=\"var(--mark)\"><title>\(bin.rows) customers</title></circle>"
    }
    svg += "<text x=\"200\" y=\"372\" text-anchor=\"middle\">predicted; upwards: bought</text></svg>\n"
    return svg
  }

  private var treeSection: String {
    guard let tree = insights.tree else { return "" }
    return "<h2>Who bought, by a tree</h2>" + drawing(tree) + "<ul>"
      + purchaseRules.map { "<li>\(escaped($0))</li>" }.joined() + "</ul>\n"
  }

  /// Leaves side by side, each node above the middle of its children.
  private func drawing(_ tree: DecisionTree) -> String {
    var places = [Int: (x: Double, y: Double)]()
    var (leaves, depth) = (0, 0)
    func place(_ node: Int, _ level: Int) -> Double {
      depth = max(depth, level)
      let x: Double
      if tree.feature[node] < 0 {
        x = Double(leaves) * 150 + 75
        leaves += 1
      } else {
        let left = place(Int(tree.left[node]), level + 1)
        x = (left + place(Int(tree.right[node]), level + 1)) / 2
      }
      places[node] = (x, Double(level) * 90 + 30)
      return x
    }
    _ = place(0, 0)
    func n(_ value: Double) -> String { amount(value, places: 1) }
    var (lines, boxes) = ("", "")
    for node in 0..<tree.nodeCount {
      guard let at = places[node] else { continue }
      let share = percent(tree.share(node, of: 1))
      var texts = ["\(tree.rows(node)): \(share)"]
      if tree.feature[node] >= 0 {
        let feature = Feature.allCases[Int(tree.feature[node])]
        texts.insert("\(feature.name) ≤ \(amountText(tree.threshold[node], feature))", at: 0)
        for child in [tree.left[node], tree.right[node]] {
          guard let to = places[Int(child)] else { continue }
          lines += "<line x1=\"\(n(at.x))\" y1=\"\(n(at.y + 22))\" x2=\"\(n(to.x))\" y2=\"\(n(to.y - 18))\" stroke=\"var(--dim)\"/>"
        }
      }
      boxes += "<rect x=\"\(n(at.x - 70))\" y=\"\(n(at.y - 18))\" width=\"140\" height=\"40\" rx=\"4\" fill=\"var(--paper)\" stroke=\"var(--mark)\"/>"
      for (i, text) in texts.enumerated() {
        boxes += "<text x=\"\(n(at.x))\" y=\"\(n(at.y + (texts.count == 1 ? 6 : Double(i) * 16 - 1)))\" text-anchor=\"middle\">\(escaped(text))</text>"
      }
    }
    let (width, height) = (leaves * 150, depth * 90 + 70)
    return "<div class=\"wide\"><svg viewBox=\"0 0 \(width) \(height)\" width=\"\(width)\" role=\"img\" aria-label=\"decision tree\" style=\"max-width:none\">\(lines)\(boxes)</svg></div><p class=\"dim\">To the left where the condition holds; customers and the share who bought.</p>\n"
  }

  private var featureSection: String {
    guard let choice = insights.choice else { return "" }
    let weights = insights.purchase.flatMap { model in model.linear.map { zip(model.columns, $0.weights) } }
    let byColumn = weights.map { Dictionary(uniqueKeysWithValues: Array($0)) } ?? [:]
    let merits = choice.merits.sorted {
      $0.informationGain != $1.informationGain
        ? $0.informationGain > $1.informationGain : $0.feature.rawValue < $1.feature.rawValue
    }
    return "<h2>Features</h2>"
      + table(
        ["feature", "information gain, bits", "enters the L1 path at step", "weight"],
        merits.map { merit in
          [
            "<span title=\"\(escaped(merit.feature.formula))\">\(merit.feature.name)</span>", decimals(merit.informationGain),
            merit.lassoStep.map { "\($0)" } ?? "–",
            merit.isUsed ? byColumn[merit.feature.rawValue].map(decimals) ?? "–" : "left out",
          ]
        })
  }
}
