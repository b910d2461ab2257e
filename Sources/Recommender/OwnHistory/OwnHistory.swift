// Buying again: a customer's own visits with their age, the items that are bought again at all, and customers who do
// (QUALITY §1, formula 2).
//
// A visit is a distinct (user, order, item). W(u, j) = Σ over visits of 2^(-age / halfLife), each weight rounded once
// to 2^-20, as √rp is, so the sums have no order. rp_j = (repeats of j + a·ρ) / (visits of j + a), r_u likewise over the user's
// visits with another prior; ρ is the share of all visits that are not their pair's first.
import Sparse

/// Visits and those that are not their pair's first.
public struct VisitCounts: Hashable, Sendable {
  public var visits: UInt64 = 0
  public var repeats: UInt64 = 0
  public init(visits: UInt64 = 0, repeats: UInt64 = 0) {
    self.visits = visits
    self.repeats = repeats
  }

  /// The share of repeats where `prior` visits of the average `share` are added; 0 without any visit at all.
  public func share(prior: Double, of share: Double) -> Double {
    let weight = Double(visits) + prior
    return weight > 0 ? (Double(repeats) + prior * share) / weight : 0
  }
}

public struct OwnHistory: Sendable {
  /// Per item id.
  public let items: [VisitCounts]
  public let total: VisitCounts
  /// Per item id: √rp in units of 2^-20.
  public let roots: [UInt64]
  public let itemPrior: Double
  public let userPrior: Double

  public init(items: [VisitCounts], itemPrior: Double, userPrior: Double) {
    self.items = items
    self.itemPrior = itemPrior
    self.userPrior = userPrior
    var total = VisitCounts()
    for item in items {
      total.visits &+= item.visits
      total.repeats &+= item.repeats
    }
    self.total = total
    let rho = total.share(prior: 0, of: 0)
    roots = items.map { OwnHistory.root(of: $0, prior: itemPrior, share: rho) }
  }

  /// ρ
  public var repeatShare: Double { total.share(prior: 0, of: 0) }
  /// r_u of a user with these visits.
  public func repeatShare(of user: VisitCounts) -> Double { user.share(prior: userPrior, of: repeatShare) }

  /// √rp of an item with these visits, where `share` of all visits are repeats.
  public static func root(of item: VisitCounts, prior: Double, share: Double) -> UInt64 {
    DecayMaths.fixed(unit * item.share(prior: prior, of: share).squareRoot())
  }

  /// √rp of an item without visits, too.
  public func root(of item: UInt32) -> UInt64 {
    Int(item) < roots.count ? roots[Int(item)] : OwnHistory.root(of: VisitCounts(), prior: itemPrior, share: repeatShare)
  }

  /// Weight of a visit of age 0, and one as a root.
  public static let unit: Double = 1_048_576

  /// A visit's integer weight; later than `reference` is age 0.
  @inline(__always)
  public static func weight(time: Int64, reference: Int64, halfLife: Int64) -> UInt64 {
    let age = Double(max(0, reference &- time))
    return DecayMaths.fixed(unit * DecayMaths.halvings(age / Double(halfLife)))
  }
}

/// The visits of every user of a log.
struct VisitLog: Sendable {
  /// User u's items stand at `offsets[u]..<offsets[u + 1]`: ascending, with W and the number of visits.
  var offsets: [Int] = [0]
  var items: [UInt32] = []
  var weights: [UInt64] = []
  var users: [VisitCounts] = []
  var perItem: [VisitCounts]

  init(_ log: ActLog, halfLife: Int64) {
    perItem = Array(repeating: VisitCounts(), count: log.itemLimit)
    let reference = log.lastTime
    let sorted = log.items.indices.filter { log.users[$0] != ActLog.nobody }.sorted {
      if log.users[$0] != log.users[$1] { return log.users[$0] < log.users[$1] }
      if log.items[$0] != log.items[$1] { return log.items[$0] < log.items[$1] }
      if log.orders[$0] != log.orders[$1] { return log.orders[$0] < log.orders[$1] }
      return log.times[$0] > log.times[$1]
    }
    var last = -1
    for k in sorted {
      let user = Int(log.users[k])
      let isSameItem = last >= 0 && log.users[last] == log.users[k] && log.items[last] == log.items[k]
      let isSameOrder = isSameItem && log.orders[last] == log.orders[k]
      last = k
      if isSameOrder { continue }
      while users.count <= user {
        if !users.isEmpty { offsets.append(items.count) }
        users.append(VisitCounts())
      }
      let weight = OwnHistory.weight(time: log.times[k], reference: reference, halfLife: halfLife)
      users[user].visits += 1
      perItem[Int(log.items[k])].visits += 1
      if isSameItem {
        users[user].repeats += 1
        perItem[Int(log.items[k])].repeats += 1
        weights[weights.count - 1] &+= weight
      } else {
        items.append(log.items[k])
        weights.append(weight)
      }
    }
    offsets.append(items.count)
  }

  /// Whether the user has visits.
  func knows(_ user: UInt32) -> Bool { Int(user) < users.count && users[Int(user)].visits > 0 }
  func range(_ user: UInt32) -> Range<Int> { offsets[Int(user)]..<offsets[Int(user) + 1] }
}
