// What the selection asks of a measure: quick scores to sieve a row with, and the exact value for the
// few that pass. The kernels are generic over the scorer, so the measure is chosen once per recompute.
//
// A quick score may leave out what is constant in a row. It must order candidates as the exact values
// do up to a relative error of 1 - `Selection.slack`; a negative one says that the pair is no neighbour.
import CKernels
import Sparse

protocol Scorer {
  /// Scores of row `item` are wanted next.
  mutating func begin(item: Int)
  /// Scores of `met` pairs with the targets `ids`, or 0, 1, 2, … where that is nil.
  func score(
    _ ids: UnsafePointer<UInt32>?, _ counts: UnsafePointer<UInt32>, _ met: Int,
    _ scores: UnsafeMutablePointer<Float>)
  /// Scores of a row of a square of counts, by label; returns how many counts are not zero.
  func scoreSquare(
    _ square: SquareCounts, _ label: Int, temporary: UnsafeMutablePointer<UInt32>,
    _ scores: UnsafeMutablePointer<Float>) -> Int
  /// Moves the counts of touched targets out of scratch, and scores them.
  func takeScores(
    _ touched: UnsafePointer<UInt32>, _ met: Int, _ scratch: Counters,
    _ counts: UnsafeMutablePointer<UInt32>, _ scores: UnsafeMutablePointer<Float>)
  /// Values as published, and -1 for a pair that is no neighbour.
  func exact(
    _ both: UnsafePointer<UInt32>, _ targets: UnsafePointer<UInt32>, _ count: Int,
    _ values: UnsafeMutablePointer<Double>)
}

extension Scorer {
  func takeScores(
    _ touched: UnsafePointer<UInt32>, _ met: Int, _ scratch: Counters,
    _ counts: UnsafeMutablePointer<UInt32>, _ scores: UnsafeMutablePointer<Float>
  ) {
    affinity_counts_take(touched, met, scratch.base, scratch.wide, counts)
    score(touched, counts, met, scores)
  }
}

/// A measure under which a list's order follows from each pair's count and the target's rows alone.
protocol SeparableScorer: Scorer {
  init(_ facts: ScoringFacts)
  /// One pair's score.
  func quick(_ both: UInt32, _ target: Int) -> Float
}

/// Dense counters of a row of the product: bytes, or 32-bit words where `wide` is 1.
struct Counters {
  var base: UnsafeMutableRawPointer
  var wide: Int32

  @inline(__always) subscript(item: Int) -> UInt32 {
    wide != 0
      ? base.load(fromByteOffset: item &* 4, as: UInt32.self)
      : UInt32(base.load(fromByteOffset: item, as: UInt8.self))
  }

  @inline(__always) func clear(_ item: Int) {
    if wide != 0 {
      base.storeBytes(of: 0, toByteOffset: item &* 4, as: UInt32.self)
    } else {
      base.storeBytes(of: 0, toByteOffset: item, as: UInt8.self)
    }
  }
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
  var minBoth: UInt32
}

extension ScoringFacts {
  func exact(
    _ item: Int, _ both: UnsafePointer<UInt32>, _ targets: UnsafePointer<UInt32>, _ count: Int,
    _ values: UnsafeMutablePointer<Double>
  ) {
    for i in 0..<count {
      values[i] =
        Measures.value(
          measure, both: both[i], this: sourceCount[item], other: targetCount[Int(targets[i])],
          contexts: contexts, shrinkage: shrinkage) ?? -1
    }
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

  /// Applies a formula to each pair.
  @inline(__always)
  func map(
    _ ids: UnsafePointer<UInt32>?, _ counts: UnsafePointer<UInt32>, _ met: Int,
    _ scores: UnsafeMutablePointer<Float>, _ formula: (_ both: UInt32, _ target: Int) -> Float
  ) {
    if let ids {
      for k in 0..<met {
        scores[k] = counts[k] < minBoth ? -1 : formula(counts[k], Int(ids[k]))
      }
    } else {
      for k in 0..<met { scores[k] = counts[k] < minBoth ? -1 : formula(counts[k], k) }
    }
  }
}

/// cosine, lift, conditional, count without shrinkage: count times a weight of the target.
struct LinearScorer: SeparableScorer {
  let facts: ScoringFacts
  var item = 0
  init(_ facts: ScoringFacts) { self.facts = facts }
  mutating func begin(item: Int) { self.item = item }
  @inline(__always) func quick(_ both: UInt32, _ target: Int) -> Float {
    both < facts.minBoth ? -1 : Float(both) * facts.weights[target]
  }
  func score(
    _ ids: UnsafePointer<UInt32>?, _ counts: UnsafePointer<UInt32>, _ met: Int,
    _ scores: UnsafeMutablePointer<Float>
  ) {
    if let ids {
      affinity_scores_linear(ids, counts, met, facts.weights, facts.minBoth, scores)
    } else {
      affinity_scores_linear_dense(counts, met, facts.weights, facts.minBoth, scores)
    }
  }
  func takeScores(
    _ touched: UnsafePointer<UInt32>, _ met: Int, _ scratch: Counters,
    _ counts: UnsafeMutablePointer<UInt32>, _ scores: UnsafeMutablePointer<Float>
  ) {
    affinity_scores_take_linear(
      touched, met, scratch.base, scratch.wide, facts.weights, facts.minBoth, counts, scores)
  }
  func exact(
    _ both: UnsafePointer<UInt32>, _ targets: UnsafePointer<UInt32>, _ count: Int,
    _ values: UnsafeMutablePointer<Double>
  ) {
    if facts.measure == .cosine {
      affinity_values_cosine(
        both, targets, count, facts.targetCount, facts.sourceCount[item], values)
    } else {
      facts.exact(item, both, targets, count, values)
    }
  }
}

/// The same with shrinkage.
struct ShrunkScorer: SeparableScorer {
  let facts: ScoringFacts
  let shrinkage: Float
  var item = 0
  init(_ facts: ScoringFacts) {
    self.facts = facts
    shrinkage = Float(facts.shrinkage)
  }
  mutating func begin(item: Int) { self.item = item }
  func score(
    _ ids: UnsafePointer<UInt32>?, _ counts: UnsafePointer<UInt32>, _ met: Int,
    _ scores: UnsafeMutablePointer<Float>
  ) {
    facts.map(ids, counts, met, scores, weighed)
  }
  @inline(__always) func quick(_ both: UInt32, _ target: Int) -> Float {
    both < facts.minBoth ? -1 : weighed(both, target)
  }
  @inline(__always) private func weighed(_ both: UInt32, _ target: Int) -> Float {
    let c = Float(both)
    return c * facts.weights[target] * (c / (c + shrinkage))
  }
  func exact(
    _ both: UnsafePointer<UInt32>, _ targets: UnsafePointer<UInt32>, _ count: Int,
    _ values: UnsafeMutablePointer<Double>
  ) {
    facts.exact(item, both, targets, count, values)
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
  func score(
    _ ids: UnsafePointer<UInt32>?, _ counts: UnsafePointer<UInt32>, _ met: Int,
    _ scores: UnsafeMutablePointer<Float>
  ) {
    facts.map(ids, counts, met, scores) { both, target in
      let c = Float(both)
      return c / (this + (facts.weights[target] - c)) * (c / (c + shrinkage))
    }
  }
  func exact(
    _ both: UnsafePointer<UInt32>, _ targets: UnsafePointer<UInt32>, _ count: Int,
    _ values: UnsafeMutablePointer<Double>
  ) {
    facts.exact(item, both, targets, count, values)
  }
}

/// The ratio itself, by tables of x ln x and of what depends on one item only: cancellation leaves no
/// cheaper form with a bounded relative error. The operations and their order are those of
/// `Measures.logLikelihoodRatio`, so the bits are equal.
struct AssociationScorer: Scorer {
  let facts: ScoringFacts
  /// x ln x below `tableSize`.
  let table: UnsafePointer<Double>
  let tableSize: Int
  /// Per target: X(n) - (X(c) + X(n - c)).
  let columns: UnsafePointer<Double>
  let total: Double
  var item = 0
  var row: Double = 0

  init(
    _ facts: ScoringFacts, table: UnsafePointer<Double>, tableSize: Int,
    columns: UnsafePointer<Double>
  ) {
    self.facts = facts
    self.table = table
    self.tableSize = tableSize
    self.columns = columns
    total = Measures.xLogX(facts.contexts)
  }

  mutating func begin(item: Int) {
    self.item = item
    let this = Int(facts.sourceCount[item])
    row = total - (x(this) + x(facts.contexts - this))
  }

  @inline(__always) func x(_ value: Int) -> Double {
    value < tableSize ? table[value] : Measures.xLogX(value)
  }

  func score(
    _ ids: UnsafePointer<UInt32>?, _ counts: UnsafePointer<UInt32>, _ met: Int,
    _ scores: UnsafeMutablePointer<Float>
  ) {
    facts.map(ids, counts, met, scores) { both, target in Float(value(both, target)) }
  }

  func exact(
    _ both: UnsafePointer<UInt32>, _ targets: UnsafePointer<UInt32>, _ count: Int,
    _ values: UnsafeMutablePointer<Double>
  ) {
    for i in 0..<count { values[i] = value(both[i], Int(targets[i])) }
  }

  @inline(__always) private func value(_ both: UInt32, _ target: Int) -> Double {
    let this = UInt64(facts.sourceCount[item])
    let other = UInt64(facts.targetCount[target])
    if UInt64(both) &* UInt64(facts.contexts) <= this &* other { return -1 }
    let k12 = Int(this) &- Int(both)
    let k21 = Int(other) &- Int(both)
    let k22 = facts.contexts &- Int(this) &- k21
    let cells = total - (((x(Int(both)) + x(k12)) + x(k21)) + x(k22))
    let raw = max(0, 2 * ((row + columns[target]) - cells))
    let c = Double(both)
    return raw * (c / (c + facts.shrinkage))
  }
}

extension AssociationScorer {
  /// The x ln x table for counts up to `limit`; larger arguments are computed.
  static func logTable(limit: Int) -> Vec<Double> {
    var table = Vec<Double>(capacity: limit + 1)
    for x in 0...limit { table.append(Measures.xLogX(x)) }
    return table
  }
}
