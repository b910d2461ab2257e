// The twin's lists: from the rows just after a cause and the model in force, every candidate with its
// evidence, and what a list may hold.
import Engine
import Events
import Foundation
import Recommender
import TestSupport

/// What the twin knows of a model.
struct TwinModel {
  var tick: Int64
  var tables: [TwinTable]
  var rules: [[String]: [TwinRule]]
  var popular: [Twin.Popular]
}

struct TwinCandidate {
  var source: String
  var because = ""
  var value: Double
  var weight: Double
  var contribution: Double { value * weight }
}

struct TwinScene {
  var user: String
  var session: [UInt8]?
  var order: [UInt8]?
  var time: Int64
}

extension Twin {
  func model(rules: [[String]: [TwinRule]]) -> TwinModel {
    TwinModel(
      tick: ticks.last ?? 0, tables: configuration.relations.map { table($0) }, rules: rules,
      popular: popularity().popular)
  }

  func widest(_ context: ContextKind, _ behaviour: Behaviour) -> MatrixConfiguration? {
    var best: MatrixConfiguration?
    for matrix in configuration.matrices
    where matrix.context == context && matrix.behaviour == behaviour {
      if best == nil || matrix.history > best!.history { best = matrix }
    }
    return best
  }

  func slots(_ matrix: MatrixConfiguration?, _ key: [UInt8]?) -> [TwinSlot] {
    guard let matrix, let key else { return [] }
    return rows(matrix)[key] ?? []
  }

  func basket(_ scene: TwinScene) -> [String] { basketSlots(scene).map(\.item) }

  func basketSlots(_ scene: TwinScene) -> [TwinSlot] {
    let most = configuration.recommend.recent
    let ordered = slots(widest(.order, .purchase), scene.order).filter(\.isActive)
    if !ordered.isEmpty { return Array(ordered.prefix(most)) }
    let isUser = !scene.user.isEmpty
    let cart = MatrixConfiguration(
      context: isUser ? .user : .session, behaviour: .cart, history: 50,
      window: configuration.recommend.cartWindow)
    let bought = isUser ? slots(widest(.user, .purchase), Array(scene.user.utf8)) : []
    return Array(
      slots(cart, isUser ? Array(scene.user.utf8) : scene.session).filter { slot in
        slot.isActive && slot.time > scene.time - configuration.recommend.cartWindow
          && !bought.contains { $0.item == slot.item && $0.time >= slot.time }
      }.prefix(most))
  }

  func excluded(_ scene: TwinScene, basket isBasket: Bool = true, purchased: Bool = true) -> Set<String> {
    var out = isBasket ? Set(basket(scene)) : []
    let user = scene.user.isEmpty ? nil : Array(scene.user.utf8)
    if configuration.recommend.excludePurchased && purchased {
      out.formUnion(slots(widest(.user, .purchase), user).filter(\.isActive).map(\.item))
    }
    for matrix in configuration.matrices where matrix.context != .order {
      let key = matrix.context == .user ? user : scene.session
      out.formUnion(slots(matrix, key).filter { $0.time == scene.time }.map(\.item))
    }
    return out
  }

  /// Every candidate of a list by item.
  func candidates(_ scene: TwinScene, _ model: TwinModel) -> [String: [TwinCandidate]] {
    var found: [String: [TwinCandidate]] = [:]
    let c = configuration.recommend
    let basket = basket(scene)
    for (r, relation) in configuration.relations.enumerated() where relation.weight > 0 {
      var from: [String]
      switch relation.context {
      case .order: from = basket
      case .session: from = slots(relation.sourceMatrix, scene.session).filter(\.isActive).map(\.item)
      case .user:
        from =
          scene.user.isEmpty
          ? slots(widest(.session, relation.source), scene.session).filter(\.isActive).map(\.item)
          : slots(relation.sourceMatrix, Array(scene.user.utf8)).filter(\.isActive).map(\.item)
      }
      from = Array(from.prefix(c.recent))
      for (place, item) in from.enumerated() {
        guard let list = model.tables[r].lists[item], let best = list.first else { continue }
        var weight = relation.weight * max(0.001, rint(exp2(-(Double(place) / c.recentHalf)) * 1000) / 1000)
        if [.lift, .llr, .count].contains(relation.measure) {
          if best.value == 0 { continue }
          weight /= best.value
        }
        for neighbour in list {
          found[neighbour.item, default: []].append(
            TwinCandidate(source: relation.name, because: item, value: neighbour.value, weight: weight))
        }
      }
    }
    if c.rulesWeight > 0 {
      let held = Set(basket)
      var best: [String: Double] = [:]
      for (antecedent, rules) in model.rules where held.isSuperset(of: antecedent) {
        for rule in rules {
          for item in rule.consequent { best[item] = max(best[item] ?? 0, rule.confidence) }
        }
      }
      for (item, value) in best {
        found[item, default: []].append(
          TwinCandidate(source: "rules", value: value, weight: c.rulesWeight))
      }
    }
    if c.popularityWeight > 0 {
      for entry in model.popular {
        found[entry.item, default: []].append(
          TwinCandidate(source: "popularity", value: entry.score, weight: c.popularityWeight))
      }
    }
    for item in excluded(scene) { found[item] = nil }
    // What rounds to nothing recommends nothing.
    return found.filter { $0.value.contains { $0.contribution > 0 } }
  }

  /// What is wrong with a message's list, in words. Without `evidence` only items and scores are looked
  /// at: reasons may be those of an earlier model.
  func check(
    list: [PlainJSON], scene: TwinScene, model: TwinModel, evidence: Bool = true
  ) -> [String] {
    var faults: [String] = []
    let candidates = candidates(scene, model)
    let sums = candidates.mapValues { $0.reduce(0) { $0 + $1.contribution } }
    let want = min(candidates.count, configuration.recommend.top)
    if list.count != want { return ["\(list.count) items, not \(want): \(list), of \(candidates)"] }
    var listed = Set<String>()
    var last: (score: Double, item: String)?
    for (place, entry) in list.enumerated() {
      guard let item = entry["id"]?.string, let score = entry["score"]?.double,
        let rest = entry["rest"]?.double, let reasons = entry["reasons"]?.array,
        entry["rank"]?.int == place + 1
      else { return ["not an entry: \(entry)"] }
      if !listed.insert(item).inserted { faults.append("\(item) twice") }
      if let last, score > last.score || (score == last.score && !bytesPrecede(last.item, item)) {
        faults.append("\(item) out of order")
      }
      last = (score, item)
      guard let all = candidates[item] else {
        faults.append("\(item) is no candidate")
        continue
      }
      if !evidence {
        let sum = sums[item] ?? 0
        if abs(score - sum) > 1e-12 * sum { faults.append("\(item): score \(score), not \(sum)") }
        continue
      }
      // The score, from the message alone.
      var sum = 0.0
      var contributions: [Double] = []
      for reason in reasons {
        let (value, fault) = recompute(reason, item: item, scene: scene, model: model)
        if let fault { faults.append("\(item): \(fault)") }
        guard let value, let weight = reason["weight"]?.double,
          let contribution = reason["contribution"]?.double, value * weight == contribution
        else {
          faults.append("\(item): contribution \(reason)")
          continue
        }
        let source = reason["source"]?.string == "neighbours" ? reason["relation"]?.string : reason["source"]?.string
        let because = reason["because"]?.string ?? ""
        if !all.contains(where: {
          $0.source == source && $0.because == because && $0.value == value && $0.weight == weight
        }) {
          faults.append("\(item): a reason of nobody: \(reason)")
        }
        sum += contribution
        contributions.append(contribution)
      }
      if sum + rest != score { faults.append("\(item): \(sum) + \(rest) is not \(score)") }
      let largest = all.map(\.contribution).sorted(by: >)
      if contributions != Array(largest.prefix(3)) {
        faults.append("\(item): listed \(contributions) of \(largest)")
      }
      let others = largest.dropFirst(3).reduce(0, +)
      if abs(rest - others) > 1e-12 * max(others, 1) { faults.append("\(item): rest \(rest), not \(others)") }
    }
    if let last {
      for (item, sum) in sums where !listed.contains(item) && sum > last.score * (1 + 1e-12) {
        faults.append("\(item) is left out with \(sum), above \(last.score)")
      }
      for (item, sum) in sums
      where !listed.contains(item) && sum == last.score && bytesPrecede(item, last.item)
        && (candidates[item]?.count ?? 0) < 4
      {
        // Up to three contributions are summed in one order everywhere.
        let parts = (candidates[item] ?? []).map(\.contribution).sorted(by: >).reduce(0, +)
        if parts == last.score { faults.append("\(item) is left out, its key comes first") }
      }
    }
    return faults
  }

  /// A reason's value from its own counts, and whether those counts are the twin's.
  private func recompute(
    _ reason: PlainJSON, item: String, scene: TwinScene, model: TwinModel
  ) -> (Double?, String?) {
    guard let value = reason["value"]?.double else { return (nil, "no value") }
    switch reason["source"]?.string {
    case "neighbours":
      guard let r = configuration.relations.firstIndex(where: { $0.name == reason["relation"]?.string }),
        let because = reason["because"]?.string, let both = reason["both"]?.int,
        let this = reason["this"]?.int, let other = reason["other"]?.int,
        let contexts = reason["contexts"]?.int,
        let measure = Measure(name: reason["measure"]?.string ?? "")
      else { return (nil, "not neighbours: \(reason)") }
      let relation = configuration.relations[r]
      let table = model.tables[r]
      if measure != relation.measure || both != table.pairs[because]?[item] ?? 0
        || this != table.thisCount[because] || other != table.otherCount[item]
        || contexts != table.contexts
        || (reason["shrinkage"]?.double ?? 0) != relation.shrinkage
      {
        return (value, "counts of \(reason)")
      }
      let again = Twin.value(measure, both, this, other, contexts, reason["shrinkage"]?.double ?? 0)
      return again == value ? (value, nil) : (value, "value \(value), not \(again ?? -1)")
    case "rules":
      guard let antecedent = reason["antecedent"]?.array?.compactMap(\.string),
        let count = reason["count"]?.int, let of = reason["antecedent_count"]?.int
      else { return (nil, "not a rule: \(reason)") }
      let known = (model.rules[antecedent] ?? []).contains {
        $0.consequent.contains(item) && $0.both == count && $0.antecedentCount == of
          && $0.consequentCount == reason["consequent_count"]?.int
          && $0.baskets == reason["baskets"]?.int
      }
      if !known { return (value, "no such rule: \(reason)") }
      if !Set(basket(scene)).isSuperset(of: antecedent) { return (value, "antecedent not held") }
      return Double(count) / Double(of) == value ? (value, nil) : (value, "confidence")
    case "popularity":
      guard let decayed = reason["decayed"]?.double, let maximum = reason["maximum"]?.double,
        let entry = model.popular.first(where: { $0.item == item })
      else { return (nil, "not popular: \(reason)") }
      if entry.decayed != decayed || entry.count != reason["count"]?.int
        || maximum != model.popular.first?.decayed
      {
        return (value, "counts of \(reason)")
      }
      return decayed / maximum == value ? (value, nil) : (value, "share")
    default: return (nil, "source of \(reason)")
    }
  }
}
