// What a backtest says when it has ended: a table for people, one JSON object for programs
// (schemas/backtest.schema.json). The page is BacktestPage.
import Evaluation
import Events
import Foundation
import Recommender
import Sparse

public struct BacktestReport: Sendable {
  public var files: [String]
  public var configuration: String
  public var events: Int
  public var users: Int
  public var items: Int
  public var times: ClosedRange<Int64>
  public var split: BacktestSplit
  public var seen: SeenItems
  public var result: BacktestResult
  /// The other configuration over the same questions: its name, its result, and by metric ours less theirs.
  public var against: (name: String, result: BacktestResult, differences: [PairedComparison?])?
  public var seconds = 0.0

  public init(_ log: BacktestLog, _ options: BacktestOptions, configuration: String, result: BacktestResult) {
    files = log.files
    self.configuration = configuration
    events = log.log.events.count
    users = log.log.users.liveCount
    items = log.log.items.liveCount
    times = log.times
    split = options.split
    seen = options.seen
    self.result = result
  }

  var k: Int { result.rules.mainK }
  var mainPlace: Int { result.rules.ks.firstIndex(of: k) ?? 0 }

  func estimate(_ system: SystemResult, _ metric: AccuracyMetric) -> Estimate {
    system.accuracy[mainPlace][AccuracyMetric.allCases.firstIndex(of: metric) ?? 0]
  }

  /// What was asked, as a sentence.
  public var question: String {
    let what =
      switch result.rules.hit {
      case .nextEvent: "what the customer does next"
      case .nextPurchase: "the customer's next \(result.main.name)"
      case .basket: "the second half of a basket of which the first half is known"
      case .period: "everything of a customer's from the split on"
      }
    let when =
      switch split {
      case .prequential: "Every event is first a question, then a lesson; a new model at each tick."
      case .at(let time, let isOnline):
        "Trained before \(EventTime.string(time).prefix(10)), asked from then on"
          + (isOnline ? ", with new models at the ticks." : ", with one model.")
      }
    return "To be found in a list of \(k): \(what). \(when)"
  }

  // MARK: text

  public var text: String {
    var lines = [
      "\(grouped(events)) events, \(grouped(users)) users, \(grouped(items)) items; \(configuration)", question,
      "\(grouped(result.questions)) questions of \(grouped(result.askers)) askers, \(grouped(result.models)) "
        + (result.models == 1 ? "model" : "models")
        + (result.withoutModel > 0 ? "; \(grouped(result.withoutModel)) before the first one" : ""),
    ]
    if result.questions == 0 { return lines.joined(separator: "\n") }
    lines.append("")
    let shown: [AccuracyMetric] = [.hitRate, .recall, .precision, .ndcg, .mrr, .map]
    lines.append(pad("", 26) + shown.map { pad("\($0.title)@\(k)", -17) }.joined())
    for system in result.systems {
      lines.append(pad(system.system.name, 26) + shown.map { pad(text(estimate(system, $0)), -17) }.joined())
    }
    if let against {
      for system in against.result.systems where system.system == .lists {
        lines.append(
          pad("lists, " + against.name, 26) + shown.map { pad(text(estimate(system, $0)), -17) }.joined())
      }
    }
    lines.append("")
    lines.append(
      pad("", 26)
        + ["coverage", "Gini", "novelty", "diversity", "popularity", "calibration"].map { pad($0, -12) }.joined())
    for system in result.systems {
      let values: [(Double?, Int)] = [
        (system.coverage, 3), (system.gini, 3), (system.novelty?.mean, 2), (system.diversity?.mean, 3),
        (system.popularityBias?.mean, 2), (system.calibration?.mean, 3),
      ]
      lines.append(
        pad(system.system.name, 26) + values.map { value, digits in pad(value.map { fixed($0, digits) } ?? "–", -12) }.joined())
    }
    lines.append("")
    for comparison in result.comparisons {
      lines.append("nDCG against \(comparison.system.name): \(text(comparison.ndcg))")
    }
    if let against {
      for (m, metric) in AccuracyMetric.allCases.enumerated() {
        if let difference = against.differences[m] {
          lines.append("\(metric.title) against \(against.name): \(text(difference))")
        }
      }
    }
    let missed = result.misses.reduce(0) { $0 + $1.count }
    if missed > 0 {
      lines.append(
        "missed: "
          + result.misses.filter { $0.count > 0 }.map {
            "\($0.reason.text) \(Int((Double($0.count) / Double(missed) * 100).rounded())) %"
          }.joined(separator: ", "))
    }
    lines.append(
      "\(grouped(result.coldQuestions)) questions of customers without a history; \(grouped(result.coldItems)) of "
        + "\(grouped(result.relevant)) wanted items were new to the log")
    if result.leftOut > 0 {
      lines.append(
        "\(grouped(result.leftOut)) wanted items the customer had already; they may not be recommended and are no answers (--seen included)")
    }
    return lines.joined(separator: "\n")
  }

  private func text(_ estimate: Estimate) -> String {
    guard let interval = estimate.interval else { return fixed(estimate.mean, 4) }
    return "\(fixed(estimate.mean, 4)) ±\(fixed((interval.high - interval.low) / 2, 4))"
  }

  private func text(_ comparison: PairedComparison) -> String {
    let sign = comparison.difference >= 0 ? "+" : ""
    var text =
      "\(sign)\(fixed(comparison.difference, 4)) (\(fixed(comparison.interval.low, 4)) to \(fixed(comparison.interval.high, 4)), "
    text += "permutation p \(probability(comparison.permutationP))"
    if let p = comparison.wilcoxonP { text += ", Wilcoxon p \(probability(p))" }
    return text + ")"
  }

  // MARK: JSON

  public var json: String {
    var w = ByteWriter()
    w.append("{\"kind\":\"backtest\",\"configuration\":")
    w.append(quoted: configuration)
    w.append(",\"files\":[")
    for (i, file) in files.enumerated() {
      if i > 0 { w.append(",") }
      w.append(quoted: file)
    }
    w.append("]")
    w.put("events", events)
    w.put("users", users)
    w.put("items", items)
    w.append(text: ",\"from\":\"\(EventTime.string(times.lowerBound))\",\"to\":\"\(EventTime.string(times.upperBound))\"")
    w.append(text: ",\"hit\":\"\(result.rules.hit.rawValue)\",\"behaviour\":\"\(result.main.name)\"")
    switch split {
    case .prequential: w.append(",\"split\":null")
    case .at(let time, let isOnline):
      w.append(text: ",\"split\":{\"time\":\"\(EventTime.string(time))\",\"online\":\(isOnline)}")
    }
    w.append(text: ",\"seen\":\"\(seen.rawValue)\",\"k\":\(k)")
    w.put("questions", result.questions)
    w.put("askers", result.askers)
    w.put("models", result.models)
    w.put("questions_without_model", result.withoutModel)
    w.put("wanted", result.relevant)
    w.put("wanted_seen", result.leftOut)
    w.put("cold_questions", result.coldQuestions)
    w.put("cold_wanted", result.coldItems)
    w.append(",\"systems\":[")
    for (i, system) in result.systems.enumerated() {
      if i > 0 { w.append(",") }
      write(system, &w)
    }
    w.append("],\"comparisons\":[")
    for (i, comparison) in result.comparisons.enumerated() {
      w.append(i > 0 ? ",{\"system\":" : "{\"system\":")
      w.append(quoted: comparison.system.name)
      w.append(",\"ndcg\":")
      w.put(comparison.ndcg)
      w.append(",\"hit_rate\":")
      w.put(comparison.hitRate)
      w.append("}")
    }
    w.append("]")
    segments("over_time", result.overTime.filter { $0.questions > 0 }, isTime: true, &w)
    segments("by_history", result.byHistory.filter { $0.questions > 0 }, isTime: false, &w)
    segments("by_popularity", result.byPopularity, isTime: false, &w)
    w.append(",\"sources\":[")
    for (i, source) in result.sources.enumerated() {
      w.append(i > 0 ? ",{\"source\":" : "{\"source\":")
      w.append(quoted: source.source)
      w.put("listed", source.ofListed)
      w.put("hits", source.ofHits)
      w.append("}")
    }
    w.append("],\"misses\":{")
    for (i, miss) in result.misses.enumerated() {
      if i > 0 { w.append(",") }
      w.append(quoted: miss.reason.name)
      w.append(":")
      w.append(miss.count)
    }
    w.append("},\"against\":")
    if let against {
      w.append("{\"configuration\":")
      w.append(quoted: against.name)
      w.append(",\"lists\":")
      for system in against.result.systems where system.system == .lists { write(system, &w) }
      w.append(",\"differences\":{")
      var isFirst = true
      for (m, metric) in AccuracyMetric.allCases.enumerated() {
        guard let difference = against.differences[m] else { continue }
        w.append(isFirst ? "\"" : ",\"")
        isFirst = false
        w.append(text: metric.rawValue)
        w.append("\":")
        w.put(difference)
      }
      w.append("}}")
    } else {
      w.append("null")
    }
    w.put("seconds", seconds)
    w.append("}")
    return String(decoding: w.bytes, as: UTF8.self)
  }

  private func write(_ system: SystemResult, _ w: inout ByteWriter) {
    w.append("{\"name\":")
    w.append(quoted: system.system.name)
    w.append(",\"accuracy\":[")
    for (place, k) in result.rules.ks.enumerated() {
      w.append(place > 0 ? ",{\"k\":" : "{\"k\":")
      w.append(k)
      for (m, metric) in AccuracyMetric.allCases.enumerated() {
        w.append(",\"")
        w.append(text: metric.rawValue)
        w.append("\":")
        w.put(system.accuracy[place][m])
      }
      w.append("}")
    }
    w.append("]")
    for (name, value) in [("coverage", system.coverage), ("gini", system.gini)] {
      w.append(text: ",\"\(name)\":")
      if let value { w.append(value) } else { w.append("null") }
    }
    for (name, value) in [
      ("novelty", system.novelty), ("diversity", system.diversity), ("popularity_bias", system.popularityBias),
      ("calibration", system.calibration),
    ] {
      w.append(text: ",\"\(name)\":")
      if let value { w.put(value) } else { w.append("null") }
    }
    w.append(",\"recall_curve\":[")
    for (i, value) in system.recallCurve.enumerated() {
      if i > 0 { w.append(",") }
      w.append(value)
    }
    w.append("]}")
  }

  private func segments(_ name: String, _ segments: [Segment], isTime: Bool, _ w: inout ByteWriter) {
    w.append(text: ",\"\(name)\":[")
    for (i, segment) in segments.enumerated() {
      w.append(i > 0 ? ",{\"label\":" : "{\"label\":")
      w.append(quoted: isTime ? EventTime.string(Int64(segment.label) ?? 0) : segment.label)
      w.put("questions", segment.questions)
      for (metric, values) in [("ndcg", segment.ndcg), ("hit_rate", segment.hitRate)] {
        // Over items there is one metric: recall of what was wanted.
        if name == "by_popularity" && metric == "ndcg" { continue }
        w.append(text: ",\"\(name == "by_popularity" ? "recall" : metric)\":{")
        for system in JudgedSystem.allCases {
          if system != .lists { w.append(",") }
          w.append(quoted: system.name)
          w.append(":")
          w.append(values[system.rawValue])
        }
        w.append("}")
      }
      w.append("}")
    }
    w.append("]")
  }
}

extension AccuracyMetric {
  /// As people write it.
  public var title: String {
    switch self {
    case .recall: "recall"
    case .precision: "precision"
    case .hitRate: "hit rate"
    case .ndcg: "nDCG"
    case .mrr: "MRR"
    case .map: "MAP"
    }
  }
}

extension ByteWriter {
  /// `,"name":value`.
  mutating func put(_ name: String, _ value: Int) {
    append(text: ",\"\(name)\":\(value)")
  }
  mutating func put(_ name: String, _ value: Double) {
    append(text: ",\"\(name)\":")
    append(value)
  }
  mutating func put(_ estimate: Estimate) {
    append("{\"mean\":")
    append(estimate.mean)
    if let interval = estimate.interval {
      put("low", interval.low)
      put("high", interval.high)
    }
    append("}")
  }
  mutating func put(_ comparison: PairedComparison) {
    append("{\"difference\":")
    append(comparison.difference)
    put("low", comparison.interval.low)
    put("high", comparison.interval.high)
    put("permutation_p", comparison.permutationP)
    if let p = comparison.wilcoxonP { put("wilcoxon_p", p) }
    append("}")
  }
}

/// Four decimals, or that it is less than they can say.
func probability(_ p: Double) -> String { p < 0.0001 ? "< 0.0001" : fixed(p, 4) }

/// To a width; from the left where it is negative.
func pad(_ text: String, _ width: Int) -> String {
  let room = String(repeating: " ", count: max(0, abs(width) - text.count))
  return width < 0 ? room + text : text + room
}
