// Recomputing recommendations from their own evidence: every listed value from its counts, every contribution
// from its value and weight, every score from its contributions and the rest, to the last bit.
import Events
import Recommender

/// What is wrong with one message, in words; empty where nothing is.
public struct ExplanationCheck: Sendable {
  public var lists = 0
  public var items = 0
  public var reasons = 0
  public var faults: [String] = []

  public init() {}

  /// Checks one message of the recommendations topic.
  public mutating func check(_ message: JSON) {
    let id = message["id"]?.string ?? "?"
    guard case .object(let lists) = message["lists"] else {
      faults.append("\(id): no lists")
      return
    }
    for list in lists {
      let name = list.key
      self.lists += 1
      guard let entries = list.value.array else {
        faults.append("\(id): \(name) is no list")
        continue
      }
      var last = Double.infinity
      for (place, entry) in entries.enumerated() {
        items += 1
        let where_ = "\(id): \(name)[\(place)] \(entry["id"]?.string ?? "?")"
        check(entry, place, where_)
        if let score = entry["score"]?.number {
          if score > last { faults.append("\(where_): score \(score) above the one before, \(last)") }
          last = score
        }
      }
    }
  }

  private mutating func check(_ entry: JSON, _ place: Int, _ where_: String) {
    guard let score = entry["score"]?.number, let rest = entry["rest"]?.number,
      let reasons = entry["reasons"]?.array
    else {
      faults.append("\(where_): score, rest or reasons are missing")
      return
    }
    if entry["rank"]?.number != Double(place + 1) {
      faults.append("\(where_): the rank is not its place, \(place + 1)")
    }
    var sum = 0.0
    for reason in reasons {
      self.reasons += 1
      guard let value = reason["value"]?.number, let weight = reason["weight"]?.number,
        let contribution = reason["contribution"]?.number
      else {
        faults.append("\(where_): a reason without value, weight or contribution")
        continue
      }
      switch Explanation.value(of: reason) {
      case .some(let recomputed) where recomputed == value: break
      case .some(let recomputed):
        faults.append("\(where_): value \(value), from its counts \(recomputed)")
      case nil: faults.append("\(where_): the value cannot be recomputed from its counts")
      }
      if let recomputed = Explanation.weight(of: reason), recomputed != weight {
        faults.append("\(where_): weight \(weight), from its parts \(recomputed)")
      }
      if value * weight != contribution {
        faults.append("\(where_): contribution \(contribution), from value and weight \(value * weight)")
      }
      sum += contribution
    }
    if sum + rest != score {
      faults.append("\(where_): score \(score), from contributions and rest \(sum + rest)")
    }
  }
}

public enum Explanation {
  /// The value of a reason from the counts it carries; nil where they do not suffice.
  public static func value(of reason: JSON) -> Double? {
    func integer(_ key: String) -> Int? { reason[key]?.number.flatMap { Int(exactly: $0) } }
    func real(_ key: String) -> Double? { reason[key]?.number }
    switch reason["source"]?.string {
    case "neighbours":
      guard let name = reason["measure"]?.string, let measure = Measure(name: name),
        let both = integer("both").flatMap({ UInt32(exactly: $0) }),
        let this = integer("this").flatMap({ UInt32(exactly: $0) }),
        let other = integer("other").flatMap({ UInt32(exactly: $0) }),
        let contexts = integer("contexts")
      else { return nil }
      return Measures.value(
        measure, both: both, this: this, other: other, contexts: contexts,
        shrinkage: real("shrinkage") ?? 0)
    case "rules":
      guard let count = integer("count"), let antecedent = integer("antecedent_count"),
        let consequent = integer("consequent_count"), let baskets = integer("baskets"),
        antecedent > 0
      else { return nil }
      return RuleMeasures.confidence(
        RuleCounts(
          baskets: baskets, antecedent: antecedent, consequent: consequent, both: count))
    case "popularity":
      guard let decayed = real("decayed"), let maximum = real("maximum"), maximum > 0 else {
        return nil
      }
      return decayed / maximum
    case "trend":
      guard let recent = real("recent"), let total = real("recent_total"), let items = integer("items") else {
        return nil
      }
      return Trend.share(recent: recent, recentTotal: total, items: items)
    case "own":
      guard let decayed = real("decayed"), let total = real("total"), total > 0,
        let item = visits("item", reason), let share = real("repeat_share")
      else { return nil }
      let unit = OwnHistory.unit
      let root = OwnHistory.root(of: item, prior: FormulaConstants().itemPrior, share: share)
      return decayed * unit * Double(root) / (total * unit * unit)
    // Fitted numbers of the model: nothing in the message gives them again.
    case "regression", "sessions": return real("value")
    default: return nil
    }
  }

  /// The weight of a reason that says what it is made of; nil where it does not.
  public static func weight(of reason: JSON) -> Double? {
    func real(_ key: String) -> Double? { reason[key]?.number }
    switch reason["source"]?.string {
    case "regression":
      guard let scale = real("scale") else { return nil }
      let unit = scale * (real("position") ?? 1)
      guard let trend = real("trend") else { return unit }
      return unit * trend
    case "own":
      guard let user = visits("user", reason), let share = real("repeat_share") else { return nil }
      return user.share(prior: FormulaConstants().userPrior, of: share)
    default: return nil
    }
  }

  private static func visits(_ whose: String, _ reason: JSON) -> VisitCounts? {
    guard let visits = reason["\(whose)_visits"]?.number.flatMap({ UInt64(exactly: $0) }),
      let repeats = reason["\(whose)_repeats"]?.number.flatMap({ UInt64(exactly: $0) })
    else { return nil }
    return VisitCounts(visits: visits, repeats: repeats)
  }

  /// A reason in words a shopkeeper understands. `title` names an item.
  public static func words(_ reason: JSON, title: (String) -> String) -> String {
    func number(_ key: String) -> Int { Int(reason[key]?.number ?? 0) }
    switch reason["source"]?.string {
    case "neighbours":
      let because = title(reason["because"]?.string ?? "")
      let (both, this) = (number("both"), number("this"))
      switch reason["relation"]?.string {
      case "bought_together": return "\(both) of \(this) orders with \(because) hold it too"
      case "also_bought": return "\(both) of \(this) buyers of \(because) bought it too"
      case "also_viewed": return "\(both) of \(this) visits to \(because) looked at it too"
      case "viewed_then_bought": return "\(both) of \(this) who looked at \(because) bought it"
      case let name?: return "\(name): \(both) of \(this) with \(because)"
      case nil: return ""
      }
    case "rules":
      let antecedent = (reason["antecedent"]?.array ?? []).compactMap(\.string).map(title)
        .joined(separator: " + ")
      let confidence = reason["value"]?.number ?? 0
      return
        "goes with \(antecedent) in the basket (\(Int((confidence * 100).rounded())) % of such orders)"
    case "regression":
      let because = title(reason["because"]?.string ?? "")
      return reason["context"]?.string == "order"
        ? "completes a basket with \(because)" : "follows from having bought \(because)"
    case "trend": return "in demand now"
    case "own":
      let visits = number("visits")
      return visits == 1 ? "bought before" : "bought \(visits) times before"
    case "sessions": return "\(number("sessions")) of the \(number("of")) nearest sessions looked at it"
    case "popularity": return "popular: in \(number("count")) orders of late"
    default: return ""
    }
  }
}
