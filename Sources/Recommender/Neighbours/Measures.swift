// How alike two items are, from integers: MATHS §1 and §2, each with one fixed order of operations,
// so that equal counts give equal bits here, in `explain` and in another program that does the same.
import Glibc

public enum Measures {
  /// The value of a measure, or nil where it is undefined (a zero denominator, counts that
  /// contradict each other, repulsion under `llr`) and the pair is no neighbour.
  /// - Parameters:
  ///   - both: contexts with both items; at least 1 for a pair.
  ///   - this: contexts with the source item; `other`: with the target item.
  ///   - contexts: n, contexts with an active entry in either matrix.
  ///   - shrinkage: s; the value is multiplied by both / (both + s).
  @inlinable
  public static func value(
    _ measure: Measure, both: UInt32, this: UInt32, other: UInt32, contexts: Int, shrinkage: Double
  ) -> Double? {
    guard both > 0, both <= this, both <= other else { return nil }
    let c = Double(both)
    let raw: Double
    switch measure {
    case .cosine: raw = c / (Double(this) * Double(other)).squareRoot()
    case .jaccard: raw = c / (Double(this) + Double(other) - c)
    case .lift: raw = Double(contexts) * c / (Double(this) * Double(other))
    case .conditional: raw = c / Double(this)
    case .count: raw = c
    case .llr:
      guard let ratio = associationRatio(both: both, this: this, other: other, contexts: contexts)
      else { return nil }
      raw = ratio
    }
    return raw * (c / (c + shrinkage))
  }

  /// Dunning's ratio where the items attract each other (both · n > this · other); nil elsewhere.
  @usableFromInline
  static func associationRatio(
    both: UInt32, this: UInt32, other: UInt32, contexts: Int
  ) -> Double? {
    let (expected, actual) = (
      UInt64(this).multipliedFullWidth(by: UInt64(other)),
      UInt64(both).multipliedFullWidth(by: UInt64(contexts))
    )
    guard (actual.high, actual.low) > (expected.high, expected.low) else { return nil }
    let k11 = Int(both)
    let k12 = Int(this) - k11
    let k21 = Int(other) - k11
    let k22 = contexts - k11 - k12 - k21
    guard k22 >= 0 else { return nil }
    return logLikelihoodRatio(k11, k12, k21, k22)
  }

  /// Log-likelihood ratio that two items share contexts by other than chance (Dunning 1993,
  /// "Accurate Methods for the Statistics of Surprise and Coincidence"); the four cells of the
  /// table sum to the number of contexts.
  /// - Returns: at least 0; a negative rounding residue becomes 0. Complexity: O(1).
  public static func logLikelihoodRatio(_ k11: Int, _ k12: Int, _ k21: Int, _ k22: Int) -> Double {
    let total = xLogX(k11 + k12 + k21 + k22)
    let rows = total - (xLogX(k11 + k12) + xLogX(k21 + k22))
    let columns = total - (xLogX(k11 + k21) + xLogX(k12 + k22))
    let cells = total - (((xLogX(k11) + xLogX(k12)) + xLogX(k21)) + xLogX(k22))
    return max(0, 2 * ((rows + columns) - cells))
  }

  /// x ln x, and 0 at 0.
  static func xLogX(_ x: Int) -> Double {
    x == 0 ? 0 : Double(x) * log(Double(x))
  }
}
