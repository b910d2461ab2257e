/// Share of the catalogue that was recommended to anybody at all.
/// (Ge, Delgado-Battenfeld, Jannach, "Beyond accuracy: evaluating recommender systems by coverage and serendipity",
/// RecSys 2010.)
public enum Coverage {
  /// - Parameter exposures: per item of the catalogue, the lists that it stood in.
  /// - Returns: nil for an empty catalogue.
  public static func value(exposures: [Int]) -> Double? {
    if exposures.isEmpty { return nil }
    var seen = 0
    for count in exposures where count > 0 { seen += 1 }
    return Double(seen) / Double(exposures.count)
  }
}
