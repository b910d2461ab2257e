// Rules whose antecedent is in the basket, as candidates: each consequent item by its most confident
// rule (then the higher lift, then the earlier rule in the set's order).
import CKernels
import Recommender
import Sparse

struct RuleSource: ~Copyable, CandidateSource {
  private struct Found: BitwiseCopyable {
    var item: UInt32
    var rule: UInt32
    var confidence: Double
    var lift: Double
  }

  private let weight: Double
  private var found: Vec<Found>
  /// The same as a run.
  private var ids: Vec<UInt32>
  private var values: Vec<Double>
  private var marks: Vec<UInt32>
  private var places: Vec<UInt32>
  private var epoch: UInt32 = 0

  init(_ configuration: EngineConfiguration) {
    weight = configuration.recommend.rulesWeight
    found = Vec()
    ids = Vec()
    values = Vec()
    marks = Vec()
    places = Vec()
  }

  mutating func prepare(_ model: Model) {}

  mutating func propose(
    _ scene: Scene, basket: borrowing Vec<UInt32>, model: Model,
    interactions: borrowing Interactions, to candidates: inout Candidates
  ) {
    guard weight > 0, basket.count > 0, let set = model.rules else { return }
    collect(set, basket: basket, itemLimit: candidates.itemLimit)
    ids.removeAll()
    values.removeAll()
    for i in 0..<found.count {
      ids.append(found[i].item)
      values.append(found[i].confidence)
    }
    candidates.propose(
      Run(
        ids: UnsafePointer(ids.base), values: UnsafePointer(values.base), weight: weight,
        count: UInt32(ids.count), source: SourceKind.rules, because: 0, recency: -1, start: 0))
  }

  mutating func write(
    _ reason: Reason, model: Model, items: borrowing Interner, into w: inout ByteWriter
  ) {
    model.rules?.writeEvidence(Int(found[Int(reason.place)].rule), items: items, into: &w)
    w.append(endOf: reason)
  }

  private mutating func collect(_ set: RuleSet, basket: borrowing Vec<UInt32>, itemLimit: Int) {
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
