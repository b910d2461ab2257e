// Rules whose antecedent is in the basket, as candidates: each consequent item by its most confident
// rule (then the higher lift, then the earlier rule in the set's order).
import Recommender
import Sparse

struct RuleSource: ~Copyable {
  struct Found: BitwiseCopyable {
    var item: UInt32
    var rule: UInt32
    var confidence: Double
    var lift: Double
  }

  private(set) var found: Vec<Found>
  private var marks: Vec<UInt32>
  private var places: Vec<UInt32>
  private var epoch: UInt32 = 0

  init() {
    found = Vec()
    marks = Vec()
    places = Vec()
  }

  mutating func collect(_ set: RuleSet, basket: borrowing Vec<UInt32>, itemLimit: Int) {
    found.removeAll()
    if marks.count < itemLimit {
      marks.extend(to: itemLimit, with: 0)
      places.extend(to: itemLimit, with: 0)
    }
    if epoch == .max {
      for i in 0..<marks.count { marks[i] = 0 }
      epoch = 0
    }
    epoch += 1
    for i in 0..<basket.count { marks[Int(basket[i])] = epoch }
    let marked = marks.buffer
    let now = epoch
    // Group numbers first: the closure may not touch what it would be changing.
    var hits: [(group: Int, rule: Int)] = []
    set.forEachRule(within: basket.buffer, isMarked: { marked[Int($0)] == now }) { group, rule in
      hits.append((group, rule))
    }
    // Places are cleared by comparing with `found`, so they need no epoch of their own.
    for (group, rule) in hits {
      let counts = set.counts(ofRule: rule, inGroup: group)
      let confidence = RuleMeasures.confidence(counts)
      let lift = RuleMeasures.lift(counts)
      if set.consequentLength(ofRule: rule) == 1 {
        offer(set.lastConsequentItem(ofRule: rule), rule, confidence, lift)
      } else {
        for item in set.consequent(ofRule: rule) { offer(item, rule, confidence, lift) }
      }
    }
  }

  private mutating func offer(_ item: UInt32, _ rule: Int, _ confidence: Double, _ lift: Double) {
    guard Int(item) < places.count else { return }
    let place = Int(places[Int(item)])
    let fresh = Found(item: item, rule: UInt32(rule), confidence: confidence, lift: lift)
    if place < found.count && found[place].item == item {
      let old = found[place]
      let isBetter =
        confidence != old.confidence
        ? confidence > old.confidence : lift != old.lift ? lift > old.lift : rule < Int(old.rule)
      if isBetter { found[place] = fresh }
      return
    }
    places[Int(item)] = UInt32(found.count)
    found.append(fresh)
  }
}

extension RuleSet {
  /// A rule as the beginning of a reason: source, antecedent and the counts behind its confidence.
  func writeEvidence(_ rule: Int, items: borrowing Interner, into w: inout ByteWriter) {
    let group = group(ofRule: rule)
    let counts = counts(ofRule: rule, inGroup: group)
    w.append("{\"source\":\"rules\",\"antecedent\":")
    encodeKey(ofGroup: group, into: &w)
    w.append(",\"measure\":\"confidence\",\"count\":")
    w.append(counts.both)
    w.append(",\"antecedent_count\":")
    w.append(counts.antecedent)
    w.append(",\"consequent_count\":")
    w.append(counts.consequent)
    w.append(",\"baskets\":")
    w.append(counts.baskets)
  }
}

extension ModelBuilder {
  /// Rules over the baskets as they are now.
  func mine(_ matrix: Int, parallel: @escaping Parallel) -> RuleSet {
    let rows = counts.rows(matrix: matrix)
    let rules = configuration.rules
    return rows.offsets.withUnsafeBufferPointer { offsets in
      rows.items.withUnsafeBufferPointer { items in
        let baskets = Baskets(offsets: offsets, items: items)
        let minimum = max(
          rules.minimumCount(baskets: baskets.count), configuration.minUsers)
        let itemsets = mineFrequentItemsets(
          baskets, minimumCount: minimum, maxLength: rules.maxLength, parallel: parallel)
        return makeRules(
          itemsets, configuration: rules, items: self.items, parallel: parallel)
      }
    }
  }

  /// Groups that changed since the model before, nulls for antecedents without rules now.
  func writeRules(_ model: Model, into outputs: inout Outputs) {
    guard let now = model.rules else { return }
    let before = last?.rules
    let changes = now.changes(since: before)
    if let before {
      for group in changes.gone {
        let start = outputs.writer.count
        before.encodeKey(ofGroup: group, into: &outputs.writer)
        outputs.delete(.rules, start: start)
      }
    }
    for group in changes.changed {
      let start = outputs.writer.count
      now.encodeKey(ofGroup: group, into: &outputs.writer)
      let keyEnd = outputs.writer.count
      now.encode(group: group, model: model.id, into: &outputs.writer)
      outputs.finish(.rules, start: start, keyEnd: keyEnd)
    }
  }
}
