// What the formulas' lists are made from: models fitted where rules are mined, and the trend of every tick.
//
// Everything is in an order of item keys: sums of floats, ties, and who is among the items that are left out do not
// follow from dense ids.
import Recommender
import Sparse

/// Fitted at a seal, immutable.
public final class ListModels: Sendable {
  /// From users' purchases, and from orders.
  let discover: ItemWeights?
  let basket: ItemWeights?
  let own: OwnHistory?
  let sessions: SessionNeighbours?

  init(
    _ rows: ListSeal, tick: Int64, configuration: EngineConfiguration, items: borrowing ItemRanks,
    parallel: Parallel
  ) {
    let lists = configuration.lists
    let constants = lists.constants
    func fit(_ rows: TimedRows, _ regression: ItemRegression, _ items: borrowing ItemRanks) -> ItemWeights {
      let chosen = ListModels.mostHeld(
        rows, most: lists.maxItems, floor: configuration.minUsers, items: items)
      let gram = WeightedGram(
        rows, items: chosen, reference: tick, halfLife: constants.gramHalfLife, parallel: parallel)
      return regression.fit(gram, parallel: parallel)
    }
    discover = lists.needsDiscover ? fit(rows.users, constants.discover, items) : nil
    basket = lists.basket ? fit(rows.orders, constants.basket, items) : nil
    own =
      lists.needsOrders
      ? OwnHistory(items: rows.visits, itemPrior: constants.itemPrior, userPrior: constants.userPrior) : nil
    sessions =
      lists.next
      ? SessionNeighbours(
        offsets: rows.sessions.offsets, clicks: rows.sessions.clicks, lastTimes: rows.sessions.lastTimes,
        ranks: rows.sessions.ranks, settings: constants.sessions) : nil
  }

  /// The items that most rows hold, in the order of their keys.
  private static func mostHeld(
    _ rows: TimedRows, most: Int, floor: Int, items: borrowing ItemRanks
  ) -> [UInt32] {
    var counts = [Int](repeating: 0, count: items.count)
    for item in rows.items { counts[Int(item)] += 1 }
    let ranks = items.ranks
    var chosen = counts.indices.filter { counts[$0] >= max(1, floor) }
    if chosen.count > most {
      chosen.sort { counts[$0] != counts[$1] ? counts[$0] > counts[$1] : ranks[$0] < ranks[$1] }
      chosen.removeLast(chosen.count - most)
    }
    chosen.sort { ranks[$0] < ranks[$1] }
    return chosen.map { UInt32($0) }
  }

  func save(into state: inout StateWriter) {
    state.put("numbers", numbers: 1)
    if let discover { state.group("discover") { discover.save(into: &$0) } }
    if let basket { state.group("basket") { basket.save(into: &$0) } }
    if let own {
      state.put("visits", copying: own.items.map(\.visits))
      state.put("repeats", copying: own.items.map(\.repeats))
      state.put("priors", copying: [own.itemPrior, own.userPrior])
    }
    if let sessions { state.group("sessions") { sessions.save(into: &$0) } }
  }

  init(restoring state: StateReader) throws(StateError) {
    discover = state.has("discover.starts") ? try ItemWeights(restoring: state.group("discover")) : nil
    basket = state.has("basket.starts") ? try ItemWeights(restoring: state.group("basket")) : nil
    sessions =
      state.has("sessions.settings") ? try SessionNeighbours(restoring: state.group("sessions")) : nil
    if state.has("visits") {
      let visits = try state.array("visits", of: UInt64.self)
      let repeats = try state.array("repeats", of: UInt64.self)
      let priors = try state.array("priors", of: Double.self)
      guard visits.count == repeats.count, priors.count == 2 else {
        throw StateError("visits whose parts do not fit together")
      }
      own = OwnHistory(
        items: visits.indices.map { VisitCounts(visits: visits[$0], repeats: repeats[$0]) },
        itemPrior: priors[0], userPrior: priors[1])
    } else {
      own = nil
    }
  }
}

/// Trend and recent popularity at a tick, from the counts of the popularity lists.
public final class TrendModel: Sendable {
  let trend: Trend
  /// Items with something recent, the most first.
  let order: [UInt32]
  private let sums: [UInt64]
  private let scale: Double
  private let floor: Double

  init(_ seal: Seal, _ configuration: EngineConfiguration, items: borrowing ItemRanks) {
    let p = seal.popularity
    sums = p.recent
    scale = DecayedCounts.scale(
      landmark: p.landmarks.recent, halfLife: configuration.popularity.trendHalfLife, at: seal.tick)
    floor = configuration.lists.constants.trendFloor
    let trend = Trend(
      recent: sums, scale: scale,
      entries: p.live.map { Int($0) >= configuration.minUsers ? $0 : 0 }, floor: floor)
    self.trend = trend
    let ranks = items.ranks
    order = trend.shares.indices.filter { trend.shares[$0] > 0 }
      .sorted { trend.shares[$0] != trend.shares[$1] ? trend.shares[$0] > trend.shares[$1] : ranks[$0] < ranks[$1] }
      .map { UInt32($0) }
  }

  func save(into state: inout StateWriter) {
    state.put("numbers", copying: [scale, floor])
    state.put("sums", copying: sums)
    state.put("entries", copying: trend.entries)
    state.put("order", copying: order)
  }

  init(restoring state: StateReader) throws(StateError) {
    let numbers = try state.array("numbers", of: Double.self)
    guard numbers.count == 2 else { throw StateError("a trend without its numbers") }
    (scale, floor) = (numbers[0], numbers[1])
    sums = try state.array("sums")
    trend = Trend(recent: sums, scale: scale, entries: try state.array("entries"), floor: floor)
    order = try state.array("order")
    let count = trend.shares.count
    guard order.allSatisfy({ Int($0) < count }) else { throw StateError("a trend of no item") }
  }

  func factor(_ item: UInt32) -> Double { Int(item) < trend.factors.count ? trend.factors[Int(item)] : 0 }
  func share(_ item: UInt32) -> Double { Int(item) < trend.shares.count ? trend.shares[Int(item)] : 0 }
}
