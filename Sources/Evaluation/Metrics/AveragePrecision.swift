/// Σ over hits among the first k of precision at the hit's rank, divided by the number of relevant items (as
/// trec_eval's `map_cut` does; some libraries divide by min(k, relevant)). Its mean over questions is MAP@k.
/// (Manning, Raghavan, Schütze, "Introduction to Information Retrieval", 2008, §8.4.)
public enum AveragePrecision {
  public static func value(_ list: JudgedList, at k: Int) -> Double {
    var found = 0
    var sum = 0.0
    for rank in 0..<min(k, list.hits.count) where list.hits[rank] {
      found += 1
      sum += Double(found) / Double(rank + 1)
    }
    return sum / Double(list.relevant)
  }
}
