/// How much more popular a list's items are than what its reader has chosen: mean share of users who had the list's
/// items, over the same mean for the reader's own items, less 1. 0 is no bias; 1 is twice as popular as the reader's
/// taste.
/// (Abdollahpouri et al., "The unfairness of popularity bias in recommendation", RMSE 2019: popularity lift.)
public enum PopularityBias {
  /// Holders are counts of users; their number cancels.
  /// - Returns: nil where either is empty, or nobody had the reader's items.
  public static func value(listHolders: [Int], ownHolders: [Int]) -> Double? {
    guard let list = mean(listHolders), let own = mean(ownHolders), own > 0 else { return nil }
    return list / own - 1
  }

  private static func mean(_ counts: [Int]) -> Double? {
    counts.isEmpty ? nil : counts.reduce(0.0) { $0 + Double($1) } / Double(counts.count)
  }
}
