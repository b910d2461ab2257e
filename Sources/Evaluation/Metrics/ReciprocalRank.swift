/// 1 / rank of the first relevant item, 0 where it is not among the first k; its mean over questions is MRR@k.
/// (Voorhees, "The TREC-8 question answering track report", 1999.)
public enum ReciprocalRank {
  public static func value(_ list: JudgedList, at k: Int) -> Double {
    list.firstHit(at: k).map { 1 / Double($0) } ?? 0
  }
}
