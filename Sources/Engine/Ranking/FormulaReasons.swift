// The evidence of the formulas' lists (schemas/recommendation): every contribution is value × weight, and what both are
// made of stands beside them. A regression's value is a fitted number of the model, and so is what the nearest
// sessions say: nothing in the message gives it again.
import Recommender
import Sparse

extension FormulaLists {
  /// Writes one listed contribution as a JSON object.
  func writeReason(
    _ i: Int, of entry: Made, in list: List, model: Model, items: borrowing Interner,
    into w: inout ByteWriter
  ) {
    let part = parts[entry.firstPart + i]
    switch part.source {
    case .regression:
      let one = given[Int(part.place)]
      w.append("{\"source\":\"regression\",\"context\":")
      w.append(list.kind == .basket ? "\"order\"" : "\"user\"")
      w.append(",\"because\":")
      w.append(quoted: items.key(one.item))
      if one.position != 1 { w.append(",\"position\":", one.position) }
      if list.hasTrend, let trend = model.trend {
        w.append(",\"trend\":", trend.factor(entry.item))
        writeTrend(entry.item, trend.trend, into: &w)
      }
      w.append(",\"scale\":", one.scale)
    case .trend:
      w.append("{\"source\":\"trend\"")
      if let trend = model.trend {
        writeTrend(entry.item, trend.trend, into: &w)
        w.append(",\"items\":")
        w.append(trend.trend.itemCount)
      }
    case .own:
      let (visits, decayed, total) = own.evidence(entry.item)
      w.append("{\"source\":\"own\",\"visits\":")
      w.append(Int(visits))
      w.append(",\"decayed\":", decayed)
      w.append(",\"total\":", total)
      let item = model.lists?.own.flatMap {
        Int(entry.item) < $0.items.count ? $0.items[Int(entry.item)] : nil
      } ?? VisitCounts()
      w.append(",\"item_visits\":")
      w.append(Int(item.visits))
      w.append(",\"item_repeats\":")
      w.append(Int(item.repeats))
      w.append(",\"user_visits\":")
      w.append(Int(own.counts.visits))
      w.append(",\"user_repeats\":")
      w.append(Int(own.counts.repeats))
      w.append(",\"repeat_share\":", own.average)
    case .sessions:
      w.append("{\"source\":\"sessions\",\"sessions\":")
      w.append(Int(part.place))
      w.append(",\"of\":")
      w.append(search.neighbours)
    }
    w.append(",\"value\":", part.value)
    w.append(",\"weight\":", part.weight)
    w.append(",\"contribution\":", part.contribution)
    w.append("}")
  }

  private func writeTrend(_ item: UInt32, _ trend: Trend, into w: inout ByteWriter) {
    w.append(",\"recent\":", trend.recent[Int(item)])
    w.append(",\"recent_total\":", trend.recentTotal)
    w.append(",\"entries\":")
    w.append(Int(trend.entries[Int(item)]))
    w.append(",\"entries_total\":")
    w.append(trend.entryTotal)
  }
}

extension ByteWriter {
  fileprivate mutating func append(_ name: StaticString, _ value: Double) {
    append(name)
    append(value)
  }
}
