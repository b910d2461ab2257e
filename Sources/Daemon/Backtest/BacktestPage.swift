// A backtest as one page that needs nothing from elsewhere: no script, no font, no network. Light and dark by the
// reader's setting, one column on a phone. Names come in as text, never as markup.
import Evaluation
import Events
import Foundation

extension BacktestReport {
  public var html: String {
    """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>Backtest: \(escaped(configuration))</title>
    <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='6' cy='8' r='5' fill='%232a6fdb' fill-opacity='.8'/%3E%3Ccircle cx='10' cy='8' r='5' fill='%23d9822b' fill-opacity='.8'/%3E%3C/svg%3E">
    <style>\(BacktestPage.style)</style>
    </head>
    <body>
    <header>
      <h1>\(escaped(headline))</h1>
      <p>\(escaped(question))</p>
      <p class="soft">\(escaped(scope))</p>
    </header>
    <main>
    <div class="grid">
    \(cards)
    <section class="full"><h2>Side by side, lists of \(k)</h2>\(table)</section>
    \(result.questions == 0 ? "" : plots)
    <section class="full"><h2>Is the difference real?</h2>\(comparisonTable)</section>
    </div>
    </main>
    <footer><p class="soft">\(escaped(footnote))</p></footer>
    </body>
    </html>

    """
  }

  // MARK: words

  private func system(_ system: JudgedSystem) -> SystemResult? { result.systems.first { $0.system == system } }

  private var headline: String {
    guard result.questions > 0, let lists = system(.lists) else { return "No question could be asked" }
    let rate = estimate(lists, .hitRate).mean
    return "\(percent(rate)) of the lists held something the customer then wanted"
  }

  private var scope: String {
    let range = "\(EventTime.string(times.lowerBound).prefix(10)) to \(EventTime.string(times.upperBound).prefix(10))"
    return
      "\(grouped(result.questions)) questions of \(grouped(result.askers)) customers or sessions, from \(grouped(events)) events of "
      + "\(grouped(users)) users and \(grouped(items)) items, \(range). Configuration: \(configuration)."
  }

  private var footnote: String {
    var text =
      "Intervals hold the mean with 95 % probability: customers are drawn again and again, with all their questions. "
    text += "p is how often chance alone would make a difference as large, by flipping signs customer by customer. "
    if result.leftOut > 0 {
      text +=
        "\(grouped(result.leftOut)) wanted items had been bought before and may not be recommended again: they are no answers. "
    }
    if result.withoutModel > 0 { text += "\(grouped(result.withoutModel)) questions came before the first model. " }
    text +=
      "\(grouped(result.coldQuestions)) questions were of customers without a history; \(grouped(result.coldItems)) of \(grouped(result.relevant)) wanted items were new to the log."
    return text
  }

  // MARK: parts

  private var cards: String {
    guard result.questions > 0, let lists = system(.lists) else { return "" }
    func card(_ name: String, _ said: String, _ metric: AccuracyMetric) -> String {
      let value = estimate(lists, metric)
      let rivals = result.systems.filter { $0.system != .lists }
      let best = rivals.max { estimate($0, metric).mean < estimate($1, metric).mean }
      var note = ""
      if let best {
        let other = estimate(best, metric).mean
        note = "\(best.system.name): \(percent(other))"
        if other > 0 {
          let gain = value.mean / other
          note += gain >= 1 ? ", we are \(fixed(gain, 2)) times that" : ", ahead of us"
        }
      }
      let interval = value.interval.map { "\(percent($0.low)) to \(percent($0.high))" } ?? ""
      return
        "<section class=\"quarter\"><h2>\(escaped(name))</h2><div class=\"big\">\(percent(value.mean))</div><div class=\"soft\">\(escaped(interval))</div><p>\(escaped(said))</p><p class=\"soft\">\(escaped(note))</p></section>"
    }
    let coverage = lists.coverage.map { percent($0) } ?? "–"
    return card("Hit rate", "lists with at least one item that was wanted", .hitRate)
      + card("Recall", "of what was wanted stood in the list", .recall)
      + card("nDCG", "of the best possible order", .ndcg)
      + "<section class=\"quarter\"><h2>Coverage</h2><div class=\"big\">\(coverage)</div><div class=\"soft\">of the catalogue</div><p>was recommended to somebody</p><p class=\"soft\">\(escaped(system(.popular)?.coverage.map { "most popular: \(percent($0))" } ?? ""))</p></section>"
  }

  private var table: String {
    let metrics: [AccuracyMetric] = [.hitRate, .recall, .precision, .ndcg, .mrr, .map]
    var html = "<div class=\"scroll\"><table><tr><th></th>"
    html += metrics.map { "<th>\($0.title)</th>" }.joined()
    html += "<th>coverage</th><th>Gini</th><th>novelty</th><th>diversity</th><th>popularity bias</th><th>calibration</th></tr>"
    func row(_ name: String, _ system: SystemResult, _ colour: String) -> String {
      var cells = metrics.map { metric in
        let value = estimate(system, metric)
        let half = value.interval.map { "<small>±\(fixed(($0.high - $0.low) / 2, 4))</small>" } ?? ""
        return "<td>\(fixed(value.mean, 4))\(half)</td>"
      }
      cells += [
        (system.coverage, 3), (system.gini, 3), (system.novelty?.mean, 2), (system.diversity?.mean, 3),
        (system.popularityBias?.mean, 2), (system.calibration?.mean, 3),
      ].map { value, digits in "<td>\(value.map { fixed($0, digits) } ?? "–")</td>" }
      return "<tr><td><i class=\"key \(colour)\"></i>\(escaped(name))</td>\(cells.joined())</tr>"
    }
    for system in result.systems { html += row(system.system.name, system, system.system.colour) }
    if let against {
      for system in against.result.systems where system.system == .lists {
        html += row("lists, \(against.name)", system, "c4")
      }
    }
    return html + "</table></div>"
  }

  private var plots: String {
    func series(_ segments: [Segment], _ value: (Segment) -> [Double]) -> [PlotSeries] {
      JudgedSystem.allCases.map { system in
        PlotSeries(
          name: system.name, colour: system.colour,
          values: segments.map { $0.questions > 0 ? value($0)[system.rawValue] : nil })
      }
    }
    let legend =
      "<p class=\"legend\">"
      + JudgedSystem.allCases.map { "<span><i class=\"key \($0.colour)\"></i>\(escaped($0.name))</span>" }.joined()
      + "</p>"
    func plot(_ title: String, _ said: String, _ svg: String) -> String {
      "<section><h2>\(escaped(title))</h2>\(svg)\(legend)<p class=\"soft\">\(escaped(said))</p></section>"
    }
    func day(_ label: String) -> String { String(EventTime.string(Int64(label) ?? 0).prefix(10)) }
    let times = result.overTime.filter { $0.questions > 0 }
    let histories = result.byHistory.filter { $0.questions > 0 }
    let popularity = result.byPopularity
    var html = plot(
      "Over time", "Hit rate at \(k) in each stretch of the log.",
      Plots.lines(series(times) { $0.hitRate }, labels: times.map { day($0.label) }, title: "Hit rate over time") {
        "from \(day(times[$0].label)), \(grouped(times[$0].questions)) questions"
      })
    html += plot(
      "By length of history", "Hit rate at \(k), by how many different items the customer had before.",
      Plots.bars(series(histories) { $0.hitRate }, labels: histories.map(\.label), title: "Hit rate by history") {
        "\(histories[$0].label) items, \(grouped(histories[$0].questions)) questions"
      })
    html += plot(
      "By popularity of what was wanted",
      "Share found in the list, from the most popular tenth of the wanted items on the left to the rarest. The numbers are the customers who had such an item.",
      Plots.bars(series(popularity) { $0.hitRate }, labels: popularity.map(\.label), title: "Recall by popularity") {
        "had by \(popularity[$0].label), wanted \(grouped(popularity[$0].questions)) times"
      })
    let curves = result.systems.map {
      PlotSeries(name: $0.system.name, colour: $0.system.colour, values: $0.recallCurve.map { $0 })
    }
    let longest = result.rules.ks.last ?? 1
    html += plot(
      "By length of the list", "Recall in lists of 1 to \(longest).",
      Plots.lines(curves, labels: (1...longest).map(String.init), title: "Recall against k") { "lists of \($0 + 1)" })
    html += "<section><h2>Where the recommendations come from</h2>" + sourceBars + "</section>"
    html += "<section><h2>Why what was wanted is not in the list</h2>" + missBars + "</section>"
    return html
  }

  private var sourceBars: String {
    var html = ""
    for source in result.sources where source.ofListed > 0 || source.ofHits > 0 {
      html +=
        "<div class=\"pair\"><span>\(escaped(source.source))</span><span>\(percent(source.ofHits))<small> of hits, \(percent(source.ofListed)) of all</small></span>"
        + "<b class=\"track\"><i class=\"c0\" style=\"width:\(fixed(source.ofHits * 100, 2))%\"></i></b><b class=\"track thin\"><i class=\"soft-fill\" style=\"width:\(fixed(source.ofListed * 100, 2))%\"></i></b></div>"
    }
    return html
      + "<p class=\"soft\">Shares of the scores: of the items that were wanted, and of all that were listed. A source whose share among hits is the larger one earns its weight.</p>"
  }

  private var missBars: String {
    let total = result.misses.reduce(0) { $0 + $1.count }
    if total == 0 { return "<p>Nothing was missed.</p>" }
    var html = ""
    for miss in result.misses where miss.count > 0 {
      let share = Double(miss.count) / Double(total)
      html +=
        "<div class=\"pair\"><span>\(escaped(miss.reason.text))</span><span>\(percent(share))<small> \(grouped(miss.count))</small></span><b class=\"track\"><i class=\"c1\" style=\"width:\(fixed(share * 100, 2))%\"></i></b></div>"
    }
    return html
      + "<p class=\"soft\">Of the wanted items that are not in the list of \(k). What no source proposed needs another source or more neighbours; what is ranked below needs other weights.</p>"
  }

  private var comparisonTable: String {
    var html =
      "<div class=\"scroll\"><table><tr><th></th><th>metric</th><th>difference</th><th>95 % interval</th><th>p, permutation</th><th>p, Wilcoxon</th></tr>"
    func row(_ name: String, _ metric: String, _ c: PairedComparison) -> String {
      let state = c.interval.low > 0 ? "good" : c.interval.high < 0 ? "bad" : ""
      return
        "<tr><td>\(escaped(name))</td><td>\(metric)</td><td class=\"\(state)\">\(c.difference >= 0 ? "+" : "")\(fixed(c.difference, 4))</td><td>\(fixed(c.interval.low, 4)) to \(fixed(c.interval.high, 4))</td><td>\(escaped(probability(c.permutationP)))</td><td>\(escaped(c.wilcoxonP.map { probability($0) } ?? "–"))</td></tr>"
    }
    for comparison in result.comparisons {
      html += row("lists against \(comparison.system.name)", "nDCG", comparison.ndcg)
      html += row("", "hit rate", comparison.hitRate)
    }
    if let against {
      var name = "this against \(against.name)"
      for (m, metric) in AccuracyMetric.allCases.enumerated() {
        guard let difference = against.differences[m] else { continue }
        html += row(name, metric.title, difference)
        name = ""
      }
    }
    return html + "</table></div>"
  }
}

extension JudgedSystem {
  /// The page's class for its colour.
  var colour: String { "c\(rawValue)" }
}

enum BacktestPage {
  static let style = """
    :root {
      --page: #f5f6f8; --card: #fff; --ink: #1b1f27; --soft: #5d6675; --line: #dfe3e9; --good: #17803d; --bad: #c02626;
      --c0: #2a6fdb; --c1: #c56f12; --c2: #23885a; --c3: #8a4fc7; --c4: #b03060;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --page: #111419; --card: #1a1f27; --ink: #e8ebf0; --soft: #98a2b3; --line: #2c333e; --good: #4cc374; --bad: #ff7b72;
        --c0: #6ea8ff; --c1: #e6a23c; --c2: #4cc38a; --c3: #b98cf0; --c4: #f0709a;
      }
    }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
    main, header, footer { max-width: 1240px; margin: 0 auto; padding: 0 16px; }
    header { padding-top: 20px; padding-bottom: 12px; }
    header p { margin: 4px 0; max-width: 80ch; }
    h1 { font-size: 24px; line-height: 1.2; margin: 0 0 6px; text-wrap: balance; }
    h2 { font-size: 13px; font-weight: 600; margin: 0 0 8px; color: var(--soft); }
    .soft { color: var(--soft); }
    p.soft { font-size: 13px; margin: 6px 0 0; }
    .grid { display: grid; gap: 12px; grid-template-columns: repeat(12, 1fr); padding-bottom: 12px; }
    section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; grid-column: span 4; min-width: 0; }
    section.quarter { grid-column: span 3; }
    section.quarter p { margin: 4px 0 0; font-size: 13px; }
    section.full { grid-column: span 12; }
    @media (max-width: 1000px) { section, section.quarter { grid-column: span 6; } }
    @media (max-width: 660px) { main, header, footer { padding-left: 10px; padding-right: 10px; } .grid { gap: 8px; } section { grid-column: span 12; } section.quarter { padding: 10px; } h1 { font-size: 20px; } }
    .big { font-size: 30px; font-weight: 650; line-height: 1.15; white-space: nowrap; }
    svg { display: block; width: 100%; height: auto; max-width: 480px; margin: 0 auto; }
    svg .grid-line { stroke: var(--line); stroke-width: 1; }
    svg .tick { fill: var(--soft); font: 11px system-ui, sans-serif; }
    svg .line { fill: none; stroke-width: 1.4; stroke-linejoin: round; opacity: .8; }
    svg .line.c0 { stroke-width: 2.6; opacity: 1; }
    svg .strip { fill: transparent; }
    svg .strip:hover { fill: var(--soft); fill-opacity: .12; }
    svg .line.c0, svg .dot.c0 { stroke: var(--c0); } svg .line.c1, svg .dot.c1 { stroke: var(--c1); }
    svg .line.c2, svg .dot.c2 { stroke: var(--c2); } svg .line.c3, svg .dot.c3 { stroke: var(--c3); }
    svg .dot { fill: var(--card); }
    svg .bar.c0 { fill: var(--c0); } svg .bar.c1 { fill: var(--c1); } svg .bar.c2 { fill: var(--c2); } svg .bar.c3 { fill: var(--c3); }
    .legend { display: flex; flex-wrap: wrap; gap: 2px 12px; margin: 2px 0 0; font-size: 12px; color: var(--soft); }
    .key { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 5px; vertical-align: -1px; }
    i.c0 { background: var(--c0); } i.c1 { background: var(--c1); } i.c2 { background: var(--c2); } i.c3 { background: var(--c3); } i.c4 { background: var(--c4); }
    .scroll { overflow-x: auto; }
    table { border-collapse: collapse; width: 100%; }
    td, th { padding: 4px 0 4px 12px; vertical-align: top; text-align: right; font-weight: 400; white-space: nowrap; }
    th { color: var(--soft); font-size: 13px; }
    td:first-child, th:first-child { text-align: left; padding-left: 0; position: sticky; left: 0; background: var(--card); }
    tr + tr td { border-top: 1px solid var(--line); }
    td.good { color: var(--good); } td.bad { color: var(--bad); }
    small { color: var(--soft); font-size: 12px; }
    td small { display: block; font-size: 11px; line-height: 1.1; }
    .pair { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 10px; padding: 4px 0; }
    .pair > span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .track { grid-column: 1 / 3; height: 7px; border-radius: 4px; background: var(--line); margin-top: 2px; overflow: hidden; display: block; }
    .track.thin { height: 4px; }
    .track i { display: block; height: 100%; border-radius: 4px; }
    .soft-fill { background: var(--soft); opacity: .6; }
    footer { padding-bottom: 28px; }
    footer p { max-width: 100ch; }
    """
}
