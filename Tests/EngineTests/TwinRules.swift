// The twin's rules: every subset of every basket counted, every split tried (MATHS §5).
import Engine
import Foundation
import Recommender
import TestSupport

struct TwinRule {
  var antecedent: [String]
  var consequent: [String]
  var baskets: Int
  var antecedentCount: Int
  var consequentCount: Int
  var both: Int
  var p = 1.0
  var q = 1.0

  var confidence: Double { Double(both) / Double(antecedentCount) }
}

extension Twin {
  /// Antecedent to its rules in the order of their message; nil where a filter is too close to call for
  /// doubles summed in another order.
  func rules() -> [[String]: [TwinRule]]? {
    let r = configuration.rules
    let matrix = MatrixConfiguration(
      context: .order, behaviour: .purchase, history: r.maxBasket == 0 ? 65_535 : r.maxBasket,
      window: r.window)
    let baskets = activeRows(matrix).values.map { $0.sorted(by: bytesPrecede) }
    let n = baskets.count
    var counts: [[String]: Int] = [:]
    for basket in baskets {
      precondition(basket.count <= 12, "the twin counts every subset")
      for mask in 1..<(1 << basket.count) {
        let set = basket.indices.filter { mask >> $0 & 1 == 1 }.map { basket[$0] }
        if r.maxLength > 0 && set.count > r.maxLength { continue }
        counts[set, default: 0] += 1
      }
    }
    var least = Int(r.minSupport.numerator)
    if r.minSupport.denominator > 1 {
      let exact = Int(r.minSupport.numerator) * n
      let denominator = Int(r.minSupport.denominator)
      least = exact / denominator + (exact % denominator > 0 ? 1 : 0)
    }
    least = max(1, least, configuration.minUsers)
    let frequent = counts.filter { $0.value >= least }

    var family: [TwinRule] = []
    for (set, both) in frequent where set.count > 1 {
      for mask in 1..<((1 << set.count) - 1) where mask.nonzeroBitCount <= r.maxConsequent {
        let y = set.indices.filter { mask >> $0 & 1 == 1 }.map { set[$0] }
        let x = set.indices.filter { mask >> $0 & 1 == 0 }.map { set[$0] }
        var rule = TwinRule(
          antecedent: x, consequent: y, baskets: n, antecedentCount: counts[x] ?? 0,
          consequentCount: counts[y] ?? 0, both: both)
        rule.p = Twin.tail(n, rule.antecedentCount, rule.consequentCount, both)
        family.append(rule)
      }
    }
    // Benjamini-Hochberg, equal p sharing the least of their places.
    let sorted = family.map(\.p).sorted()
    var corrected = sorted
    var running = 1.0
    for i in sorted.indices.reversed() {
      running = min(running, sorted[i] * Double(sorted.count) / Double(i + 1))
      corrected[i] = running
    }
    for i in family.indices {
      // Sums of doubles that are equal in exact arithmetic may differ in the last bits: take the last
      // place that is equal within rounding.
      var place = sorted.count - 1
      while place > 0 && sorted[place] > family[i].p * (1 + 1e-11) { place -= 1 }
      family[i].q = corrected[place]
    }

    var groups: [[String]: [TwinRule]] = [:]
    for rule in family {
      if rule.confidence < r.minConfidence { continue }
      if abs(rule.q - r.maxQ) < 1e-9 && r.maxQ < 1 { return nil }
      if rule.q > r.maxQ { continue }
      if r.pruneRedundant && isRedundant(rule, counts) { continue }
      groups[rule.antecedent, default: []].append(rule)
    }
    return groups.mapValues { rules in
      rules.sorted { a, b in
        // Within an antecedent: confidence falling, lift falling, then the consequent's order.
        if a.both != b.both { return a.both > b.both }
        if a.consequentCount != b.consequentCount { return a.consequentCount < b.consequentCount }
        return a.consequent.lexicographicallyPrecedes(b.consequent, by: bytesPrecede)
      }
    }
  }

  /// Some X' ⊂ X, the empty one too, is as confident.
  private func isRedundant(_ rule: TwinRule, _ counts: [[String]: Int]) -> Bool {
    if rule.consequentCount * rule.antecedentCount >= rule.both * rule.baskets { return true }
    let x = rule.antecedent
    for mask in 1..<max(1, (1 << x.count) - 1) {
      let part = x.indices.filter { mask >> $0 & 1 == 1 }.map { x[$0] }
      let whole = (part + rule.consequent).sorted(by: bytesPrecede)
      let (with, of) = (counts[whole] ?? 0, counts[part] ?? 0)
      if with * rule.antecedentCount >= rule.both * of { return true }
    }
    return false
  }

  /// P[Hyp(n, x, y) ≥ both], by logarithms of binomials from factorials as doubles.
  static func tail(_ n: Int, _ x: Int, _ y: Int, _ both: Int) -> Double {
    var sum = 0.0
    for k in both...max(both, min(x, y)) where k <= min(x, y) && x - k <= n - y {
      sum += choose(y, k) * choose(n - y, x - k) / choose(n, x)
    }
    return min(1, sum)
  }

  private static func choose(_ n: Int, _ k: Int) -> Double {
    var value = 1.0
    for i in 0..<k { value = value * Double(n - i) / Double(i + 1) }
    return value.rounded()
  }
}
