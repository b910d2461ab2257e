/// How far a list's mix of groups (categories; without a catalogue bands of popularity) lies from the mix of what its
/// reader has chosen: Kullback-Leibler divergence in nats, of the own shares p from the smoothed shares of the list,
/// q~ = (1 − α) q + α p with α = 0.01. 0 is a list that mirrors its reader.
/// (Steck, "Calibrated recommendations", RecSys 2018.)
public enum Calibration {
  static let smoothing = 0.01

  /// - Parameters:
  ///   - own: per group, how many of the reader's items; `list`: of the list's.
  /// - Returns: nil where either has none.
  public static func value(own: [Int], list: [Int]) -> Double? {
    let (owned, listed) = (own.reduce(0, +), list.reduce(0, +))
    if owned == 0 || listed == 0 { return nil }
    var sum = 0.0
    for group in own.indices where own[group] > 0 {
      let p = Double(own[group]) / Double(owned)
      let q = Double(list[group]) / Double(listed)
      sum += p * EvaluationMaths.ln(p / ((1 - smoothing) * q + smoothing * p))
    }
    return sum
  }
}
