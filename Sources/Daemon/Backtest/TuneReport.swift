// What a search says when it has ended: for people, as one JSON object (schemas/tune.schema.json), and the configuration
// as YAML.
import Evaluation
import Events
import Sparse

extension TuneReport {
  public var text: String {
    let name = "\(metric.title)@\(k)"
    var lines = [
      "\(grouped(trials.count)) configurations, \(runs) runs" + (resumed > 0 ? " and \(resumed) from the journal" : "")
        + "; seed \(seed)",
      "chosen on: "
        + folds.map { "\(day($0.lowerBound)) to \(day($0.upperBound))" }.joined(separator: ", ")
        + "; judged on what came from \(day(outer)) on",
      "", "best on the inner folds, by \(name):",
    ]
    for trial in trials.prefix(8) {
      lines.append("  " + trial.scores.map { fixed($0, 4) }.joined(separator: " ") + "  " + trial.candidate.text)
    }
    lines.append("")
    if let inner { lines.append("the best over the given one, inside: \(said(inner))") }
    if chosen.changes.isEmpty {
      lines.append("No configuration was better than the given one beyond doubt: it stays as it is.")
    } else {
      lines.append("chosen:")
      for change in chosen.changes { lines.append("  \(change.key): \(change.value)") }
      if let outerGain { lines.append("over the given one, on the outer split (\(name)): \(said(outerGain))") }
    }
    lines.append("")
    lines.append(outerReport.text)
    return lines.joined(separator: "\n")
  }

  private func day(_ time: Int64) -> String { String(EventTime.string(time).prefix(10)) }

  private func said(_ c: PairedComparison) -> String {
    "\(c.difference >= 0 ? "+" : "")\(fixed(c.difference, 4)) (\(fixed(c.interval.low, 4)) to \(fixed(c.interval.high, 4))), permutation p \(probability(c.permutationP))"
  }

  public var json: String {
    var w = ByteWriter()
    w.append(text: "{\"kind\":\"tune\",\"metric\":\"\(metric.rawValue)\",\"k\":\(k),\"seed\":\(seed)")
    w.append(",\"folds\":[")
    for (i, fold) in folds.enumerated() {
      if i > 0 { w.append(",") }
      w.append(
        text: "{\"from\":\"\(EventTime.string(fold.lowerBound))\",\"to\":\"\(EventTime.string(fold.upperBound))\"}")
    }
    w.append(text: "],\"outer\":\"\(EventTime.string(outer))\",\"trials\":[")
    for (i, trial) in trials.enumerated() {
      if i > 0 { w.append(",") }
      w.append("{\"scores\":[")
      for (f, score) in trial.scores.enumerated() {
        if f > 0 { w.append(",") }
        w.append(score)
      }
      w.append("],\"changes\":")
      write(trial.candidate, &w)
      w.append("}")
    }
    w.append("],\"chosen\":")
    write(chosen, &w)
    for (name, comparison) in [("inner", inner), ("outer_gain", outerGain)] {
      w.append(text: ",\"\(name)\":")
      if let comparison { w.put(comparison) } else { w.append("null") }
    }
    w.append(",\"outer_report\":")
    w.append(text: outerReport.json)
    w.put("runs", runs)
    w.put("resumed", resumed)
    w.put("seconds", seconds)
    w.append("}")
    return String(decoding: w.bytes, as: UTF8.self)
  }

  private func write(_ candidate: Candidate, _ w: inout ByteWriter) {
    w.append("{")
    for (i, change) in candidate.changes.enumerated() {
      if i > 0 { w.append(",") }
      w.append(quoted: change.key)
      w.append(":")
      w.append(quoted: change.value)
    }
    w.append("}")
  }

  /// The configuration as a file for `run`; secrets are left out, and said to be.
  public static func yaml(_ configuration: Configuration, found: String) -> String {
    let lines = configuration.effectiveText.split(separator: "\n", omittingEmptySubsequences: false)
    var text = "# Found by affinityd tune: \(found)\n"
    for line in lines {
      if line.hasSuffix("\"****\"") {
        text += "  #\(line.dropFirst()) (a secret: set it by environment or file)\n"
      } else {
        text += line + "\n"
      }
    }
    while text.hasSuffix("\n\n") { text.removeLast() }
    return text
  }
}
