// What is known of items and askers while a backtest goes on, apart from the engine: who had what, and the two
// popularity lists that are always judged beside it.

/// Counts as of now, and lists as of the last refresh.
struct Standing {
  /// Distinct items per asker, in order of first appearance.
  private(set) var own: [[UInt32]]
  /// Askers who had the item.
  private(set) var holders: [Int]
  /// Askers who had anything.
  private(set) var askers = 0
  /// Whether the item was seen at all.
  private(set) var isKnown: [Bool]
  private(set) var lastItem: [UInt32]
  /// The items of most holders, and of most recent weight, the best first.
  private(set) var popular: [UInt32] = []
  private(set) var trending: [UInt32] = []
  /// Per item: 0, 1, 2 for the few that make up the first third of all holders, the second, and the others.
  private(set) var band: [UInt8]
  private var pairs = Set<UInt64>()
  /// Per item: Σ 2^((t − landmark) / 7 d).
  private var recent: [Double]
  private var landmark: Int64?

  private static let halfLife = 7.0 * 86_400_000
  /// Items of the lists.
  static let length = 1000

  init(_ log: InteractionLog) {
    own = [[UInt32]](repeating: [], count: log.askerLimit)
    holders = [Int](repeating: 0, count: log.items.idLimit)
    isKnown = [Bool](repeating: false, count: log.items.idLimit)
    lastItem = [UInt32](repeating: InteractionLog.none, count: log.askerLimit)
    band = [UInt8](repeating: 2, count: log.items.idLimit)
    recent = [Double](repeating: 0, count: log.items.idLimit)
  }

  mutating func learn(_ asker: Int, _ item: UInt32, at time: Int64) {
    if pairs.insert(UInt64(asker) << 32 | UInt64(item)).inserted {
      if own[asker].isEmpty { askers += 1 }
      own[asker].append(item)
      holders[Int(item)] += 1
    }
    lastItem[asker] = item
    let start = landmark ?? time
    landmark = start
    recent[Int(item)] += EvaluationMaths.exp2(Double(time - start) / Standing.halfLife)
  }

  mutating func see(_ item: UInt32) { isKnown[Int(item)] = true }

  /// Makes the lists anew.
  mutating func refresh(at time: Int64) {
    // The sums grow by half a bit a day: start again well before they overflow.
    if let start = landmark, time - start > 100 * Int64(Standing.halfLife) {
      let scale = EvaluationMaths.exp2(-Double(time - start) / Standing.halfLife)
      for i in recent.indices { recent[i] *= scale }
      landmark = time
    }
    var best = TopList(Standing.length)
    for i in holders.indices where holders[i] > 0 { best.offer(UInt32(i), Double(holders[i])) }
    popular = best.take().map(\.code)
    for i in recent.indices where recent[i] > 0 { best.offer(UInt32(i), recent[i]) }
    trending = best.take().map(\.code)

    let total = holders.reduce(0, +)
    let order = holders.indices.filter { holders[$0] > 0 }.sorted {
      holders[$0] != holders[$1] ? holders[$0] > holders[$1] : $0 < $1
    }
    var sum = 0
    for item in order {
      band[item] = UInt8(min(2, sum * 3 / max(1, total)))
      sum += holders[item]
    }
  }
}
