/// Inequality of exposure over the whole catalogue: 0 where every item is shown equally often, towards 1 where one
/// item takes all. Σ (2i − n − 1) x_i / (n Σ x) over exposures in ascending order, i from 1.
/// (Gini 1912; for recommenders: Fleder, Hosanagar, "Blockbuster culture's next rise or fall", Management Science 2009.)
public enum Gini {
  /// - Parameter exposures: per item of the catalogue, the lists that it stood in.
  /// - Returns: nil where nothing was shown.
  public static func value(exposures: [Int]) -> Double? {
    let sorted = exposures.sorted()
    let n = Double(sorted.count)
    var weighted = 0.0
    var total = 0.0
    for (i, x) in sorted.enumerated() {
      weighted += (2 * Double(i + 1) - n - 1) * Double(x)
      total += Double(x)
    }
    return total == 0 ? nil : weighted / (n * total)
  }
}
