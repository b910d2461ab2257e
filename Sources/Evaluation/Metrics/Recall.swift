/// recall@k = relevant items among the first k / relevant items.
/// (Manning, Raghavan, Schütze, "Introduction to Information Retrieval", 2008, §8.3.)
public enum Recall {
  public static func value(_ list: JudgedList, at k: Int) -> Double {
    Double(list.hits(at: k)) / Double(list.relevant)
  }
}
