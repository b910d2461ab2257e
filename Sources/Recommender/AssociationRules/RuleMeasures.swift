// How interesting a rule X ⇒ Y is, from four integers: n baskets, c_X, c_Y and c_XY of them with the
// antecedent, the consequent and both (M. Hahsler, "A Probabilistic Comparison of Commonly Used
// Interest Measures for Association Rules"). Each is one fixed expression over exact integer
// products, rounded as late as possible, so equal counts give equal bits.

/// Counts behind one rule. `both <= antecedent, consequent <= baskets < 2^31`; antecedent and
/// consequent are at least 1.
public struct RuleCounts: Hashable, Sendable {
  public var baskets: Int
  public var antecedent: Int
  public var consequent: Int
  public var both: Int

  @inlinable public init(baskets: Int, antecedent: Int, consequent: Int, both: Int) {
    self.baskets = baskets
    self.antecedent = antecedent
    self.consequent = consequent
    self.both = both
  }

  /// n·c_XY − c_X·c_Y: its sign is that of the association.
  @inlinable var excess: Int { baskets &* both &- antecedent &* consequent }
}

/// The measures; nil where the denominator is 0.
public enum RuleMeasures {
  /// c_XY / n
  @inlinable public static func support(_ c: RuleCounts) -> Double {
    Double(c.both) / Double(c.baskets)
  }
  /// c_XY / c_X
  @inlinable public static func confidence(_ c: RuleCounts) -> Double {
    Double(c.both) / Double(c.antecedent)
  }
  /// n·c_XY / (c_X·c_Y); 1 = independence.
  @inlinable public static func lift(_ c: RuleCounts) -> Double {
    Double(c.baskets &* c.both) / Double(c.antecedent &* c.consequent)
  }
  /// c_XY/n − c_X·c_Y/n²
  @inlinable public static func leverage(_ c: RuleCounts) -> Double {
    Double(c.excess) / Double(c.baskets &* c.baskets)
  }
  /// c_X·(n − c_Y) / (n·(c_X − c_XY)); nil at confidence 1.
  @inlinable public static func conviction(_ c: RuleCounts) -> Double? {
    quotient(
      c.antecedent &* (c.baskets &- c.consequent), c.baskets &* (c.antecedent &- c.both))
  }
  /// confidence − s(Y)
  @inlinable public static func addedValue(_ c: RuleCounts) -> Double {
    Double(c.excess) / Double(c.baskets &* c.antecedent)
  }
  /// (confidence − s(Y)) / (1 − s(Y)); nil when every basket has the consequent.
  @inlinable public static func certainty(_ c: RuleCounts) -> Double? {
    quotient(c.excess, c.antecedent &* (c.baskets &- c.consequent))
  }
  /// leverage / max(s_XY(1 − s_X), s_X(s_Y − s_XY)) (T. Zhang 2000), in −1...1.
  @inlinable public static func zhang(_ c: RuleCounts) -> Double? {
    quotient(
      c.excess,
      max(c.both &* (c.baskets &- c.antecedent), c.antecedent &* (c.consequent &- c.both)))
  }
  /// ½(c_XY/c_X + c_XY/c_Y)
  @inlinable public static func kulczynski(_ c: RuleCounts) -> Double {
    0.5 * (Double(c.both) / Double(c.antecedent) + Double(c.both) / Double(c.consequent))
  }
  /// n11·n00 / (n10·n01)
  @inlinable public static func oddsRatio(_ c: RuleCounts) -> Double? {
    let neither = c.baskets &- c.antecedent &- c.consequent &+ c.both
    return quotient(
      c.both &* neither, (c.antecedent &- c.both) &* (c.consequent &- c.both))
  }
  /// c_XY / √(c_X·c_Y)
  @inlinable public static func cosine(_ c: RuleCounts) -> Double {
    Double(c.both) / Double(c.antecedent &* c.consequent).squareRoot()
  }
  /// c_XY / (c_X + c_Y − c_XY)
  @inlinable public static func jaccard(_ c: RuleCounts) -> Double {
    Double(c.both) / Double(c.antecedent &+ c.consequent &- c.both)
  }

  @inlinable static func quotient(_ numerator: Int, _ denominator: Int) -> Double? {
    denominator == 0 ? nil : Double(numerator) / Double(denominator)
  }
}
