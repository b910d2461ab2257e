// What a replay says when it has ended: for people, or as JSON.
import Engine
import Events
import Sparse

extension ReplaySummary {
  public func text(_ directory: String) -> String {
    var lines: [String] = []
    let rate = seconds > 0 ? Int(Double(events) / seconds) : 0
    lines.append(
      "\(events) records in \(rounded(seconds)) s (\(rate)/s), \(applied) applied")
    for (name, count) in byDisposition where count > 0 && name != "applied" {
      lines.append("  \(name): \(count)")
    }
    if unknownTypes > 0 { lines.append("  unknown type: \(unknownTypes)") }
    for (reason, count) in rejected { lines.append("  dead letter, \(reason): \(count)") }
    if let lastModel {
      lines.append(
        "\(models) model\(models == 1 ? "" : "s"), the last \(lastModel): \(sizes.items) items, \(sizes.pairs) pairs, \(sizes.neighbours) neighbours, \(sizes.baskets) baskets, \(sizes.rules) rules"
      )
    } else {
      lines.append("no model: no event crossed a tick (try --ticks end, or a shorter duration)")
    }
    lines.append(
      "messages: " + messages.map { "\($0.topic) \($0.count)" }.joined(separator: ", "))
    lines.append("rows digest \(digest)")
    if !countsDigest.isEmpty { lines.append("counts digest \(countsDigest)") }
    lines.append("written to \(directory)")
    return lines.joined(separator: "\n")
  }

  public var json: String {
    var w = ByteWriter()
    w.append("{\"records\":")
    w.append(events)
    w.append(",\"applied\":")
    w.append(applied)
    w.append(",\"unknown_types\":")
    w.append(unknownTypes)
    write(",\"outcomes\":", byDisposition.filter { $0.count > 0 }.map { ($0.name, $0.count) }, &w)
    write(",\"rejected\":", rejected.map { ($0.reason, $0.count) }, &w)
    write(",\"messages\":", messages.map { ($0.topic, $0.count) }, &w)
    w.append(",\"models\":")
    w.append(models)
    w.append(",\"model\":")
    if let lastModel { w.append(quoted: lastModel) } else { w.append("null") }
    write(
      ",\"sizes\":",
      [
        ("items", sizes.items), ("pairs", sizes.pairs), ("neighbours", sizes.neighbours),
        ("baskets", sizes.baskets), ("rules", sizes.rules),
      ], &w)
    w.append(",\"digest\":")
    w.append(quoted: digest)
    w.append(",\"counts_digest\":")
    w.append(quoted: countsDigest)
    w.append(",\"seconds\":")
    w.append(seconds)
    w.append("}")
    return w.string
  }

  private func write(_ name: StaticString, _ pairs: [(String, Int)], _ w: inout ByteWriter) {
    w.append(name)
    w.append("{")
    for (i, pair) in pairs.enumerated() {
      if i > 0 { w.append(",") }
      w.append(quoted: pair.0)
      w.append(":")
      w.append(pair.1)
    }
    w.append("}")
  }

  private func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
}
