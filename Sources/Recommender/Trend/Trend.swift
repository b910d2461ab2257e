// How much more an item is in demand now than it is used to be: t = (q/Σq + floor · c/Σc) / (c/Σc), with c the
// item's entries and q the same entries halving with every few days (QUALITY §1). It multiplies what a
// co-occurrence model says, and q itself stands for popularity.
//
// q is made of integers (`DecayedCounts`), so it does not depend on the order of events. Where nothing is recent,
// t = 1.
import Sparse

public struct Trend: Sendable {
  /// Per item id: t; 0 where an item has no entries.
  public private(set) var factors: [Double]
  /// Per item id: q as a multiple of the mean over items with entries.
  public private(set) var shares: [Double]

  /// - Parameters:
  ///   - recent: q by item id, in any unit.
  ///   - entries: c by item id.
  public init(recent: [UInt64], entries: [UInt32], floor: Double) {
    let n = entries.count
    factors = Array(repeating: 0, count: n)
    shares = Array(repeating: 0, count: n)
    var (recentTotal, entryTotal, items) = (UInt64(0), UInt64(0), 0)
    for i in 0..<n where entries[i] > 0 {
      recentTotal &+= i < recent.count ? recent[i] : 0
      entryTotal &+= UInt64(entries[i])
      items += 1
    }
    for i in 0..<n where entries[i] > 0 {
      let q = i < recent.count ? recent[i] : 0
      factors[i] = Trend.factor(
        recent: q, recentTotal: recentTotal, entries: entries[i], entryTotal: entryTotal, floor: floor)
      shares[i] = recentTotal == 0 ? 0 : Double(q) / (Double(recentTotal) / Double(items))
    }
  }

  /// t of one item.
  public static func factor(
    recent: UInt64, recentTotal: UInt64, entries: UInt32, entryTotal: UInt64, floor: Double
  ) -> Double {
    if recentTotal == 0 { return 1 }
    let share = Double(entries) / Double(entryTotal)
    return (Double(recent) / Double(recentTotal) + floor * share) / share
  }
}
