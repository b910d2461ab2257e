/// Mean self-information of a list's items: −log2 of the share of users who had the item before the question. An
/// item that nobody had counts as one that a single user had.
/// (Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 2010.)
public enum Novelty {
  /// - Parameters:
  ///   - holders: per item of the list, the users who had it.
  ///   - users: all users, at least as many.
  /// - Returns: bits; nil for an empty list.
  public static func value(holders: [Int], users: Int) -> Double? {
    if holders.isEmpty || users < 1 { return nil }
    var sum = 0.0
    for count in holders { sum -= EvaluationMaths.log2(Double(max(count, 1)) / Double(users)) }
    return sum / Double(holders.count)
  }
}
