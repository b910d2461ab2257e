/// Mean over the pairs of a list of 1 − cosine, between the sets of users who had the items.
/// (Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005; the mean form: Zhang,
/// Hurley, "Avoiding monotony", RecSys 2008.)
public enum IntraListDiversity {
  /// - Parameter holders: per item of the list, the users who had it, ascending, each once.
  /// - Returns: nil for a list of fewer than two items.
  public static func value(holders: [[UInt32]]) -> Double? {
    if holders.count < 2 { return nil }
    var sum = 0.0
    for a in 1..<holders.count {
      for b in 0..<a { sum += 1 - cosine(holders[a], holders[b]) }
    }
    return sum / Double(holders.count * (holders.count - 1) / 2)
  }

  /// 0 where one of them is empty.
  static func cosine(_ a: [UInt32], _ b: [UInt32]) -> Double {
    if a.isEmpty || b.isEmpty { return 0 }
    var (i, j, both) = (0, 0, 0)
    while i < a.count && j < b.count {
      if a[i] == b[j] {
        both += 1
        i += 1
        j += 1
      } else if a[i] < b[j] {
        i += 1
      } else {
        j += 1
      }
    }
    return Double(both) / (Double(a.count) * Double(b.count)).squareRoot()
  }
}
