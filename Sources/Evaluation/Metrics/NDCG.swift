/// nDCG@k = Σ over hits of 1 / log2(rank + 1), divided by the same sum for the best possible list, which has
/// min(k, relevant) hits at its head. Relevance is binary.
/// (Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.)
public enum NDCG {
  public static func value(_ list: JudgedList, at k: Int) -> Double {
    var gain = 0.0
    for rank in 0..<min(k, list.hits.count) where list.hits[rank] { gain += discount(rank) }
    return gain / ideal(min(k, list.relevant))
  }

  /// 1 / log2(rank + 2), for ranks from 0.
  static func discount(_ rank: Int) -> Double {
    rank < discounts.count ? discounts[rank] : 1 / EvaluationMaths.log2(Double(rank + 2))
  }

  /// The sum of the first `count` discounts.
  static func ideal(_ count: Int) -> Double {
    if count <= ideals.count { return ideals[count - 1] }
    var sum = ideals[ideals.count - 1]
    for rank in ideals.count..<count { sum += discount(rank) }
    return sum
  }

  private static let discounts: [Double] = (0..<1024).map { 1 / EvaluationMaths.log2(Double($0 + 2)) }
  private static let ideals: [Double] = {
    var sum = 0.0
    return discounts.map {
      sum += $0
      return sum
    }
  }()
}
