// Rules from frequent itemsets. Each itemset Z is split into antecedent and consequent in every
// allowed way; both parts are nodes of the lattice, found by links. Passes over all splits:
//   1. (significance) the (c_X, c_Y, c_XY) of each, deduplicated by a hash table: p once per
//      distinct triple and for X⇒Y and Y⇒X together, q from the triples with their multiplicity;
//   2. (redundancy) the best confidence of a sub-rule, level by level: that of (X∖x ⇒ Y) and the
//      best below it stand one level up, in the itemset Z∖x;
//   3. count the rules that stay per antecedent, then place them: a counting sort. Itemsets are
//      taken by falling count, so that groups come out by falling confidence; only runs of equal
//      confidence are sorted.
import Sparse

/// Whether p and q are computed; without them `max_q` is not applied.
public enum RuleSignificance: Sendable {
  case computed, omitted
}

/// All rules of the configured shape that pass its filters. Uses `minConfidence`, `maxConsequent`,
/// `maxQ` and `pruneRedundant`; support and length are those of the itemsets.
/// `items` knows every item's key. The result does not depend on `parallel`.
public func makeRules(
  _ itemsets: borrowing Itemsets, configuration: RulesConfiguration, items: borrowing Interner,
  significance: RuleSignificance = .computed,
  parallel: ((_ parts: Int, _ body: (Int) -> Void) -> Void)? = nil
) -> RuleSet {
  let lattice = ItemsetLattice(itemsets, items: items)
  var parts = RuleSetParts()
  parts.baskets = itemsets.baskets
  parts.minimumCount = itemsets.minimumCount
  parts.maxLength = itemsets.maxLength
  describeSets(lattice, itemsets, items, &parts)

  let splits = RuleSplits(lattice, maxConsequent: configuration.maxConsequent)
  parts.familySize = splits.family
  var triples = CountTriples(computing: significance == .computed, family: splits.family)
  if significance == .computed {
    triples.collect(splits, lattice)
    triples.test(baskets: lattice.baskets, parallel: parallel)
  }
  var best = BestSubrules()
  if configuration.pruneRedundant { best = BestSubrules(splits, lattice) }

  // The least c_XY that reaches the confidence, by antecedent.
  let needed = Vec<UInt32>(repeating: 0, count: lattice.count)
  for node in 0..<lattice.count {
    needed.base[node] = leastCount(
      reaching: configuration.minConfidence, of: Int(lattice.counts[node]))
  }
  let filters = RuleFilters(
    needed: needed.base, triples: significance == .computed ? triples.numbers.base : nil,
    qs: triples.qs.base, maxQ: configuration.maxQ,
    best: configuration.pruneRedundant ? best.boths.base : nil,
    bestAntecedents: best.antecedents.base, counts: lattice.counts.base)
  placeRules(
    splits, lattice, filters, keepsTriples: significance == .computed,
    keepsBest: configuration.pruneRedundant, &parts)
  parts.ps = triples.ps
  parts.qs = triples.qs
  return RuleSet(parts)
}

/// The least k in 1...of for which k / of, as a double, is at least `confidence`; .max: none.
package func leastCount(reaching confidence: Double, of total: Int) -> UInt32 {
  let exact = confidence * Double(total)
  if !(exact < Double(total) + 1) { return .max }
  var k = max(1, Int(exact) - 1)
  while k > 1 && Double(k - 1) / Double(total) >= confidence { k -= 1 }
  while Double(k) / Double(total) < confidence { k += 1 }
  return k > total ? .max : UInt32(k)
}

/// Item keys and canonical itemsets.
private func describeSets(
  _ lattice: borrowing ItemsetLattice, _ itemsets: borrowing Itemsets, _ items: borrowing Interner,
  _ parts: inout RuleSetParts
) {
  let count = lattice.count
  parts.itemIDs = Vec(repeating: 0, count: lattice.itemCount)
  for rank in 0..<lattice.itemCount {
    parts.itemIDs[Int(lattice.keyOrders[rank])] = itemsets.itemIDs[rank]
  }
  for item in 0..<lattice.itemCount {
    parts.keyBytes.append(
      contentsOf: items.key(parts.itemIDs[item]).assumingMemoryBound(to: UInt8.self))
    parts.keyStarts.append(parts.keyBytes.count)
  }
  parts.setPrefixes = Vec(repeating: .max, count: count)
  parts.setLasts = Vec(repeating: 0, count: count)
  parts.setCounts = Vec(repeating: 0, count: count)
  parts.setLengths = Vec(repeating: 0, count: count)
  for level in stride(from: 1, through: lattice.depth, by: 1) {
    for node in lattice.levelStarts[level]..<lattice.levelStarts[level + 1] {
      let place = Int(lattice.canonical.base[node])
      if level > 1 {
        parts.setPrefixes.base[place] =
          lattice.canonical.base[Int(lattice.keyParents.base[node])]
      }
      parts.setLasts.base[place] = lattice.lastKeys.base[node]
      parts.setCounts.base[place] = lattice.counts.base[node]
      parts.setLengths.base[place] = UInt8(level)
    }
  }
}

/// What decides whether a rule stays. Pointers are valid while rules are made.
struct RuleFilters {
  let needed: UnsafeMutablePointer<UInt32>
  let triples: UnsafeMutablePointer<UInt32>?
  let qs: UnsafeMutablePointer<Double>
  let maxQ: Double
  let best: UnsafeMutablePointer<UInt32>?
  let bestAntecedents: UnsafeMutablePointer<UInt32>
  let counts: UnsafeMutablePointer<UInt32>

  /// `rule`: number in the family.
  @inline(__always)
  func keep(_ rule: Int, antecedent: UInt32, both: UInt32) -> Bool {
    if both < needed[Int(antecedent)] { return false }
    // q is at most 1: without a bound it is not looked up.
    if maxQ < 1, let triples, qs[Int(triples[rule])] > maxQ { return false }
    if let best {
      // best / bestAntecedent >= both / antecedent, in integers below 2^62.
      let left = UInt64(best[rule]) &* UInt64(counts[Int(antecedent)])
      let right = UInt64(both) &* UInt64(bestAntecedents[rule])
      if left >= right { return false }
    }
    return true
  }
}

/// A rule on its way to its place.
private struct PlacedRule: BitwiseCopyable {
  var both: UInt32
  /// Place of the consequent by (count, canonical order): lift falls as it rises.
  var order: UInt32
  /// Number in the family.
  var rule: Int
}

private func placeRules(
  _ splits: borrowing RuleSplits, _ lattice: borrowing ItemsetLattice, _ filters: RuleFilters,
  keepsTriples: Bool, keepsBest: Bool, _ parts: inout RuleSetParts
) {
  let count = lattice.count
  let canonical = lattice.canonical.base
  let counts = lattice.counts.base
  // Nodes by (count, canonical order), and the inverse.
  let byPlace = Vec<UInt32>(repeating: 0, count: count)
  for node in 0..<count { byPlace.base[Int(canonical[node])] = UInt32(node) }
  let sorted = sortedOrder(count) { UInt64(counts[Int(byPlace.base[$0])]) }
  let orders = Vec<UInt32>(repeating: 0, count: count)
  for i in 0..<count {
    let node = byPlace.base[Int(sorted.base[i])]
    sorted.base[i] = node
    orders.base[Int(node)] = UInt32(i)
  }

  let starts = Vec<Int>(repeating: 0, count: count + 1)
  let antecedents = Vec<UInt32>(repeating: 0, count: splits.widest)
  let consequents = Vec<UInt32>(repeating: 0, count: splits.widest)
  var scratch = Vec<UInt32>(repeating: 0, count: splits.subsets)
  let x = antecedents.base
  let y = consequents.base
  for level in stride(from: 2, through: lattice.depth, by: 1) {
    let number = splits.number(level)
    for node in lattice.levelStarts[level]..<lattice.levelStarts[level + 1] {
      splits.fill(node, level, lattice, &scratch, x, y)
      let rule = splits.start(node, level, lattice)
      for s in 0..<number where filters.keep(rule &+ s, antecedent: x[s], both: counts[node]) {
        starts.base[Int(canonical[Int(x[s])]) &+ 1] &+= 1
      }
    }
  }
  for i in 0..<count {
    if starts.base[i + 1] > 0 {
      parts.groupAntecedents.append(UInt32(i))
      parts.groupStarts.append(starts.base[i] + starts.base[i + 1])
    }
    starts.base[i + 1] += starts.base[i]
  }
  let total = starts.base[count]
  let placed = Vec<PlacedRule>(capacity: total)
  var i = count - 1
  while i >= 0 {
    let node = Int(sorted.base[i])
    i -= 1
    let level = lattice.level(of: node)
    if level < 2 { continue }
    splits.fill(node, level, lattice, &scratch, x, y)
    let rule = splits.start(node, level, lattice)
    let both = counts[node]
    for s in 0..<splits.number(level)
    where filters.keep(rule &+ s, antecedent: x[s], both: both) {
      let group = Int(canonical[Int(x[s])])
      placed.base[starts.base[group]] = PlacedRule(
        both: both, order: orders.base[Int(y[s])], rule: rule &+ s)
      starts.base[group] &+= 1
    }
  }
  sortRuns(placed, parts.groupStarts)

  parts.consequents = Vec(repeating: 0, count: total)
  parts.boths = Vec(repeating: 0, count: total)
  if keepsTriples { parts.significances = Vec(repeating: 0, count: total) }
  if keepsBest {
    parts.bestBoths = Vec(repeating: 0, count: total)
    parts.bestAntecedents = Vec(repeating: 0, count: total)
  }
  for r in 0..<total {
    let entry = placed.base[r]
    parts.consequents.base[r] = canonical[Int(sorted.base[Int(entry.order)])]
    parts.boths.base[r] = entry.both
    if let triples = filters.triples { parts.significances.base[r] = triples[entry.rule] }
    if let best = filters.best {
      parts.bestBoths.base[r] = best[entry.rule]
      parts.bestAntecedents.base[r] = filters.bestAntecedents[entry.rule]
    }
  }
}

/// Sorts runs of equal confidence in each group by the consequents' order.
private func sortRuns(_ placed: borrowing Vec<PlacedRule>, _ groupStarts: borrowing Vec<Int>) {
  let rules = placed.base
  for group in 0..<max(0, groupStarts.count - 1) {
    var first = groupStarts[group]
    let end = groupStarts[group + 1]
    while first < end {
      var last = first + 1
      while last < end && rules[last].both == rules[first].both { last += 1 }
      if last - first > 24 {
        var run = UnsafeMutableBufferPointer(start: rules + first, count: last - first)
        run.sort { $0.order < $1.order }
      } else {
        var i = first + 1
        while i < last {
          let entry = rules[i]
          var j = i
          while j > first && rules[j - 1].order > entry.order {
            rules[j] = rules[j - 1]
            j -= 1
          }
          rules[j] = entry
          i += 1
        }
      }
      first = last
    }
  }
}
