// The model in force as sections.
import Recommender
import Sparse

extension Model {
  func save(into state: inout StateWriter) {
    state.put(
      "numbers", numbers: Int64(sequence), tick, Int64(seal), Int64(rulesSeal), Int64(rulesSequence),
      Int64(bitPattern: digest.low), Int64(bitPattern: digest.high),
      Int64(bitPattern: countsDigest.low), Int64(bitPattern: countsDigest.high),
      Int64(neighbours.count))
    for (r, table) in neighbours.enumerated() {
      state.group("neighbours.\(r)") { table.save(into: &$0) }
    }
    if let rules { state.group("rules") { rules.save(into: &$0) } }
    state.put("popular", copying: popular.map(StoredPopularItem.init))
    state.put("trending", copying: trending.map(StoredPopularItem.init))
    state.put("popular_keys", strings: popularKeys)
    state.put("unavailable", copying: unavailable.sorted())
    if let lists { state.group("lists") { lists.save(into: &$0) } }
    if let trend { state.group("trend") { trend.save(into: &$0) } }
  }

  convenience init(restoring state: StateReader) throws(StateError) {
    let numbers = try state.numbers("numbers", count: 10)
    var tables: [NeighbourTable] = []
    for r in 0..<max(0, min(Int(numbers[9]), 1 << 16)) {
      tables.append(try NeighbourTable(restoring: state.group("neighbours.\(r)")))
    }
    let rules: RuleSet? =
      state.has("rules.numbers") ? try RuleSet(restoring: state.group("rules")) : nil
    func print(_ at: Int) -> Fingerprint {
      Fingerprint(low: UInt64(bitPattern: numbers[at]), high: UInt64(bitPattern: numbers[at + 1]))
    }
    self.init(
      sequence: Int(numbers[0]), tick: numbers[1], seal: Int(numbers[2]),
      rulesSeal: Int(numbers[3]), rulesSequence: Int(numbers[4]),
      digest: print(5), countsDigest: print(7), neighbours: tables,
      rules: rules,
      popular: try state.array("popular", of: StoredPopularItem.self).map(\.item),
      trending: try state.array("trending", of: StoredPopularItem.self).map(\.item),
      popularKeys: try state.strings("popular_keys"),
      unavailable: Set(try state.array("unavailable", of: UInt32.self)),
      lists: state.has("lists.numbers") ? try ListModels(restoring: state.group("lists")) : nil,
      trend: state.has("trend.numbers") ? try TrendModel(restoring: state.group("trend")) : nil)
  }
}

/// `PopularItem` without padding.
private struct StoredPopularItem: BitwiseCopyable {
  var id: UInt32
  var count: UInt32
  var decayed: Double
  var score: Double

  init(_ item: PopularItem) {
    id = item.item
    count = item.count
    decayed = item.decayed
    score = item.score
  }
  var item: PopularItem { PopularItem(item: id, count: count, decayed: decayed, score: score) }
}
