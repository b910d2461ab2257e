/// precision@k = relevant items among the first k / k; a list shorter than k has misses at its end.
/// (Manning, Raghavan, Schütze, "Introduction to Information Retrieval", 2008, §8.4.)
public enum Precision {
  public static func value(_ list: JudgedList, at k: Int) -> Double {
    Double(list.hits(at: k)) / Double(k)
  }
}
