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
  /// Per item id: q and c, with their sums over all items, and how many have entries.
  public private(set) var recent: [Double]
  public let entries: [UInt32]
  public let recentTotal: Double
  public let entryTotal: Int
  public let itemCount: Int

  /// - Parameters:
  ///   - recent: q by item id, in units of `scale`.
  ///   - entries: c by item id.
  public init(recent sums: [UInt64], scale: Double = 1, entries: [UInt32], floor: Double) {
    let n = entries.count
    self.entries = entries
    var (sum, total, items) = (UInt64(0), 0, 0)
    for i in 0..<n where entries[i] > 0 {
      sum &+= i < sums.count ? sums[i] : 0
      total &+= Int(entries[i])
      items += 1
    }
    recentTotal = Double(sum) * scale
    entryTotal = total
    itemCount = items
    factors = Array(repeating: 0, count: n)
    shares = factors
    recent = factors
    for i in 0..<n where entries[i] > 0 {
      recent[i] = (i < sums.count ? Double(sums[i]) : 0) * scale
      factors[i] = Trend.factor(
        recent: recent[i], recentTotal: recentTotal, entries: Int(entries[i]), entryTotal: total, floor: floor)
      shares[i] = Trend.share(recent: recent[i], recentTotal: recentTotal, items: items)
    }
  }

  /// t of one item.
  public static func factor(
    recent: Double, recentTotal: Double, entries: Int, entryTotal: Int, floor: Double
  ) -> Double {
    if recentTotal <= 0 { return 1 }
    let share = Double(entries) / Double(entryTotal)
    return (recent / recentTotal + floor * share) / share
  }

  /// q of one item as a multiple of the mean.
  public static func share(recent: Double, recentTotal: Double, items: Int) -> Double {
    recentTotal <= 0 ? 0 : recent / (recentTotal / Double(items))
  }
}
