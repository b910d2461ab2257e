// What the scorers of one tick read, made once: a weight per target, and for log-likelihood ratios the tables
// of x ln x.
import Sparse

/// Owns the tables that the scorers of one tick read.
struct Scoring: ~Copyable {
  private let weights: Vec<Float>
  private let logs: Vec<Double>
  private let columns: Vec<Double>
  let facts: ScoringFacts

  /// Counts of sources and targets; the pointers live as long as the scorers are used.
  init(
    _ relation: RelationConfiguration, source: UnsafeMutablePointer<UInt32>,
    target: UnsafeMutablePointer<UInt32>, count items: Int, contexts: Int
  ) {
    weights = Vec(repeating: 0, count: items)
    var largest: UInt32 = 0
    for item in 0..<items {
      weights[item] = ScoringFacts.weight(relation.measure, count: target[item])
      largest = max(largest, max(source[item], target[item]))
    }
    if relation.measure == .llr {
      logs = AssociationScorer.logTable(limit: min(Int(largest), 1 << 20))
      columns = Vec(repeating: 0, count: items)
      let total = Measures.xLogX(contexts)
      for item in 0..<items {
        let count = Int(target[item])
        columns[item] = total - (Measures.xLogX(count) + Measures.xLogX(contexts - count))
      }
    } else {
      logs = Vec()
      columns = Vec()
    }
    facts = ScoringFacts(
      measure: relation.measure, sourceCount: UnsafePointer(source),
      targetCount: UnsafePointer(target), weights: UnsafePointer(weights.base),
      contexts: contexts, shrinkage: relation.shrinkage,
      minBoth: UInt32(clamping: max(1, relation.minBoth)))
  }

  /// Hands over the scorer of the relation's measure, chosen once.
  func with(_ relation: RelationConfiguration, _ body: (any Scorer) -> Void) {
    switch (relation.measure, relation.shrinkage > 0) {
    case (.llr, _):
      body(
        AssociationScorer(
          facts, table: UnsafePointer(logs.base), tableSize: logs.count,
          columns: UnsafePointer(columns.base)))
    case (.jaccard, _): body(JaccardScorer(facts))
    case (_, true): body(ShrunkScorer(facts))
    case (_, false): body(LinearScorer(facts))
    }
  }

  /// The same for a relation that `KeptLists.suits`.
  func withSeparable(_ relation: RelationConfiguration, _ body: (any SeparableScorer) -> Void) {
    precondition(KeptLists.suits(relation))
    if relation.shrinkage > 0 { body(ShrunkScorer(facts)) } else { body(LinearScorer(facts)) }
  }
}
