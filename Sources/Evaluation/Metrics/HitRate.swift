/// hit rate@k = 1 where a relevant item is among the first k, else 0.
/// (Deshpande, Karypis, "Item-based top-N recommendation algorithms", TOIS 2004.)
public enum HitRate {
  public static func value(_ list: JudgedList, at k: Int) -> Double {
    list.firstHit(at: k) == nil ? 0 : 1
  }
}
