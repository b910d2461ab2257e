// What the selection asks of a measure: a quick score to sieve a row with, and the exact value for the
// few that pass. The kernels are generic over the scorer, so the measure is chosen once per recompute.
//
// A quick score may leave out what is constant in a row. It must order candidates as the exact values
// do up to a relative error of `Selection.slack`.
import Sparse

protocol Scorer {
  /// Scores of row `item` are wanted next.
  mutating func begin(item: Int)
  /// A non-negative score, or a negative one for a pair that is no neighbour.
  func quick(_ both: UInt32, _ target: Int) -> Float
  /// As published; nil for a pair that is no neighbour.
  func exact(_ both: UInt32, _ target: Int) -> Double?
}

/// Facts all scorers share.
struct ScoringFacts {
  var measure: Measure
  var sourceCount: UnsafePointer<UInt32>
  var targetCount: UnsafePointer<UInt32>
  /// Per target: a measure's own word, such as 1/√c.
  var weights: UnsafePointer<Float>
  var contexts: Int
  var shrinkage: Double
}

extension ScoringFacts {
  @inline(__always) func exact(_ both: UInt32, _ item: Int, _ target: Int) -> Double? {
    Measures.value(
      measure, both: both, this: sourceCount[item], other: targetCount[target],
      contexts: contexts, shrinkage: shrinkage)
  }

  /// What `weights` must hold for a target with this count.
  static func weight(_ measure: Measure, count: UInt32) -> Float {
    switch measure {
    case .cosine: count == 0 ? 0 : 1 / Float(count).squareRoot()
    case .lift: count == 0 ? 0 : 1 / Float(count)
    case .jaccard: Float(count)
    case .conditional, .count, .llr: 1
    }
  }
}

/// cosine, lift, conditional, count without shrinkage: count times a weight of the target.
struct LinearScorer: Scorer {
  let facts: ScoringFacts
  var item = 0
  init(_ facts: ScoringFacts) { self.facts = facts }
  mutating func begin(item: Int) { self.item = item }
  @inline(__always) func quick(_ both: UInt32, _ target: Int) -> Float {
    Float(both) * facts.weights[target]
  }
  @inline(__always) func exact(_ both: UInt32, _ target: Int) -> Double? {
    facts.exact(both, item, target)
  }
}

/// The same with shrinkage.
struct ShrunkScorer: Scorer {
  let facts: ScoringFacts
  let shrinkage: Float
  var item = 0
  init(_ facts: ScoringFacts) {
    self.facts = facts
    shrinkage = Float(facts.shrinkage)
  }
  mutating func begin(item: Int) { self.item = item }
  @inline(__always) func quick(_ both: UInt32, _ target: Int) -> Float {
    let c = Float(both)
    return c * facts.weights[target] * (c / (c + shrinkage))
  }
  @inline(__always) func exact(_ both: UInt32, _ target: Int) -> Double? {
    facts.exact(both, item, target)
  }
}

struct JaccardScorer: Scorer {
  let facts: ScoringFacts
  let shrinkage: Float
  var item = 0
  var this: Float = 0
  init(_ facts: ScoringFacts) {
    self.facts = facts
    shrinkage = Float(facts.shrinkage)
  }
  mutating func begin(item: Int) {
    self.item = item
    this = Float(facts.sourceCount[item])
  }
  @inline(__always) func quick(_ both: UInt32, _ target: Int) -> Float {
    let c = Float(both)
    return c / (this + (facts.weights[target] - c)) * (c / (c + shrinkage))
  }
  @inline(__always) func exact(_ both: UInt32, _ target: Int) -> Double? {
    facts.exact(both, item, target)
  }
}

/// The ratio itself: cancellation leaves no cheaper form with a bounded relative error.
struct AssociationScorer: Scorer {
  let facts: ScoringFacts
  var item = 0
  init(_ facts: ScoringFacts) { self.facts = facts }
  mutating func begin(item: Int) { self.item = item }
  @inline(__always) func quick(_ both: UInt32, _ target: Int) -> Float {
    if let value = facts.exact(both, item, target) { return Float(value) }
    return -1
  }
  @inline(__always) func exact(_ both: UInt32, _ target: Int) -> Double? {
    facts.exact(both, item, target)
  }
}
