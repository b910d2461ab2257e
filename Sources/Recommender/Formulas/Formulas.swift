// The lists' formulas over a whole log and catalogue (QUALITY §1): fitted once, asked with dense arrays. The daemon's
// sources say the same of rows that change; these serve evaluation, and the tests hold the daemon's against them.
//
// Scores are never below zero; what must not be in a list is the caller's to leave out.
import Sparse

/// Something new: N = mean1(max(Σ B_ij, 0) + 1e-9) · t_j + w · mean1(q)_j, over the items i of a history.
public struct DiscoverFormula: Sendable {
  public let weights: ItemWeights
  public let trend: Trend
  /// The items that are scored: those of the log.
  let items: [UInt32]
  let constants: FormulaConstants

  /// Fits to the log's users.
  public init(_ log: ActLog, constants: FormulaConstants = FormulaConstants(), parallel: Parallel) {
    let rows = log.rows(log.users, history: constants.history)
    items = ActLog.items(of: rows)
    let gram = WeightedGram(
      rows, items: items, reference: log.lastTime, halfLife: constants.gramHalfLife, parallel: parallel)
    weights = constants.discover.fit(gram, parallel: parallel)
    trend = log.trend(rows, constants)
    self.constants = constants
  }

  /// Puts N of every item id below `scores.count` into `scores`.
  /// - Parameter history: different items, the latest last.
  public func score(history: [UInt32], into scores: inout [Double]) {
    for i in scores.indices { scores[i] = 0 }
    for item in history.suffix(constants.history) { weights.add(item, weight: 1, to: &scores) }
    normalize(&scores, items) { $0 / Double(items.count) }
    for item in items {
      let i = Int(item)
      scores[i] = scores[i] * trend.factors[i] + constants.popularityWeight * trend.shares[i]
    }
  }
}

/// Divides max(x, 0) + 1e-9 by a multiple of its sum.
private func normalize(_ scores: inout [Double], _ items: [UInt32], _ unit: (Double) -> Double) {
  var sum = 0.0
  for item in items {
    let raised = max(scores[Int(item)], 0) + 1e-9
    scores[Int(item)] = raised
    sum += raised
  }
  let divisor = unit(sum)
  for item in items { scores[Int(item)] /= divisor }
}

/// Anything: s = r_u · sum1(W · √rp)_j + w (1 - r_u) · sum1(N)_j, without N for an own item that nobody ever
/// buys again. Where a log has no repeats it is the discover formula, own items left out.
public struct BuyAgainFormula: Sendable {
  public let discover: DiscoverFormula
  public let own: OwnHistory
  let visits: VisitLog
  private let constants: FormulaConstants

  public init(_ log: ActLog, constants: FormulaConstants = FormulaConstants(), parallel: Parallel) {
    self.init(log, discover: DiscoverFormula(log, constants: constants, parallel: parallel))
  }

  public init(_ log: ActLog, discover: DiscoverFormula) {
    self.discover = discover
    constants = discover.constants
    visits = VisitLog(log, halfLife: constants.ownHalfLife)
    own = OwnHistory(
      items: visits.perItem, itemPrior: constants.itemPrior, userPrior: constants.userPrior)
  }

  /// - Parameter history: the user's different items, the latest last.
  public func score(user: UInt32, history: [UInt32], into scores: inout [Double]) {
    discover.score(history: history, into: &scores)
    let counts = visits.knows(user) ? visits.users[Int(user)] : VisitCounts()
    let repeats = own.repeatShare(of: counts)
    var sum = 0.0
    for item in discover.items { sum += scores[Int(item)] }
    if sum > 0 {
      for item in discover.items {
        scores[Int(item)] *= constants.newWeight * (1 - repeats) / sum
      }
    }
    if !visits.knows(user) { return }
    for k in visits.range(user) where own.roots[Int(visits.items[k])] == 0 {
      scores[Int(visits.items[k])] = 0
    }
    visits.addOwn(user, own, weight: repeats, to: &scores)
  }
}

extension VisitLog {
  /// scores += weight · sum1(W · √rp).
  func addOwn(_ user: UInt32, _ own: OwnHistory, weight: Double, to scores: inout [Double]) {
    var sum: UInt64 = 0
    for k in range(user) { sum &+= weights[k] &* own.roots[Int(items[k])] }
    if sum == 0 { return }
    for k in range(user) {
      let item = Int(items[k])
      scores[item] += weight * (Double(weights[k] &* own.roots[item]) / Double(sum))
    }
  }
}

/// The rest of a basket: sum1(max(Σ w_i B_ij, 0) + 1e-9), with B from orders and w_i falling with the steps back where
/// the order of arrival is known; of a known customer r_u · sum1(W · √rp) besides.
public struct BasketFormula: Sendable {
  public let weights: ItemWeights
  public let own: OwnHistory
  private let visits: VisitLog
  private let items: [UInt32]
  private let constants: FormulaConstants

  /// Fits to the log's orders.
  public init(_ log: ActLog, constants: FormulaConstants = FormulaConstants(), parallel: Parallel) {
    self.constants = constants
    let rows = log.rows(log.orders, history: constants.history)
    items = ActLog.items(of: rows)
    let gram = WeightedGram(
      rows, items: items, reference: log.lastTime, halfLife: constants.gramHalfLife, parallel: parallel)
    weights = constants.basket.fit(gram, parallel: parallel)
    visits = VisitLog(log, halfLife: constants.ownHalfLife)
    own = OwnHistory(
      items: visits.perItem, itemPrior: constants.itemPrior, userPrior: constants.userPrior)
  }

  /// - Parameters:
  ///   - given: different items, the latest last.
  ///   - isOrdered: whether their order is that of arrival.
  ///   - user: nil for a stranger.
  public func score(given: [UInt32], isOrdered: Bool = true, user: UInt32?, into scores: inout [Double]) {
    for i in scores.indices { scores[i] = 0 }
    for (k, item) in given.enumerated() {
      weights.add(
        item, weight: isOrdered ? BasketFormula.weight(stepsBack: given.count - 1 - k, constants) : 1,
        to: &scores)
    }
    normalize(&scores, items) { $0 }
    guard let user, visits.knows(user) else { return }
    visits.addOwn(user, own, weight: own.repeatShare(of: visits.users[Int(user)]), to: &scores)
  }

  /// e^(-steps / scale) + floor, in thousandths: a weight is a choice, and its digits stand in messages.
  public static func weight(stepsBack: Int, _ constants: FormulaConstants) -> Double {
    let weight = DecayMaths.falling(Double(stepsBack) / constants.positionScale) + constants.positionFloor
    return (weight * 1000).rounded(.toNearestOrEven) / 1000
  }
}

/// The next click of a session: its nearest sessions, alone.
public struct NextFormula: Sendable {
  public let sessions: SessionNeighbours

  /// Fits to the log's `orders`, which are sessions here; clicks in the order of the log.
  public init(_ log: ActLog, constants: FormulaConstants = FormulaConstants()) {
    let count = log.orders.max().map { Int($0) + 1 } ?? 0
    var offsets = [Int](repeating: 0, count: count + 1)
    var last = [Int64](repeating: .min, count: count)
    for k in log.items.indices {
      let session = Int(log.orders[k])
      offsets[session + 1] += 1
      last[session] = max(last[session], log.times[k])
    }
    for s in 0..<count { offsets[s + 1] += offsets[s] }
    var next = offsets
    var clicks = [UInt32](repeating: 0, count: log.count)
    for k in log.items.indices {
      let session = Int(log.orders[k])
      clicks[next[session]] = log.items[k]
      next[session] += 1
    }
    sessions = SessionNeighbours(
      offsets: offsets, clicks: clicks, lastTimes: last, ranks: [], settings: constants.sessions)
  }

  /// - Parameter session: clicks, the latest last; those before `recent` do not matter.
  public func score(session: [UInt32], into scores: inout [Double]) {
    for i in scores.indices { scores[i] = 0 }
    var search = SessionSearch()
    search.find(session, sessions)
    for k in 0..<search.items.count { scores[Int(search.items[k])] = search.scores[k] }
  }
}
