// From a listener's rows and the model to one message of lists, with the evidence of every item.
//
// Sources propose runs: stretches of (item, value) arrays of the model under one weight. Every item's
// contributions (value × weight) are added in dense scratch, in the order of the runs; an item that must not
// be recommended starts at minus infinity, which no addition changes. The top is found by threshold, and only
// for its items are the runs walked once more to gather the contributions: the three largest are listed, in
// order, the others are `rest`, and the published score is exactly the sum of these in that order. The order
// of the list is by that score, then by item key: the threshold keeps a margin far above what another
// order of adding can change.
import Events
import Recommender
import Sparse

/// Items with their values, side by side, under one weight.
struct Run: BitwiseCopyable {
  /// A relation's index, or one of `SourceKind`.
  var source: UInt32
  /// The item whose neighbours these are.
  var because: UInt32
  var weight: Double
  var ids: UnsafePointer<UInt32>
  var values: UnsafePointer<Double>
  /// Place of the first in the table's arrays.
  var start: Int
  var count: Int
  /// Place back in the row, where the weight is that place's and its text is at hand; else -1.
  var recency: Int32 = -1
}

/// One contribution of a finalist.
struct Contribution: BitwiseCopyable {
  var run: UInt32
  /// Place in the run.
  var place: UInt32
  var value: Double
}

/// The rows a list is made from, found once.
struct Scene: ~Copyable {
  var isUser: Bool
  var userRow: UInt32?
  var sessionRow: UInt32?
  var orderRow: UInt32?
  var time: Int64
  /// What is in the basket: the order of the cause, else the cart.
  var basket: Vec<UInt32>
}

struct Ranker: ~Copyable {
  let configuration: EngineConfiguration
  let places: MatrixPlaces
  private let recency: Vec<Double>
  /// Per item: 0 = untouched, minus infinity = excluded. Cleared by the two lists below.
  private var scores: Vec<Double>
  /// Items with a score; one place more than there are items.
  private var touched: Vec<UInt32>
  private var excluded: Vec<UInt32>
  /// Per item: its place among the finalists + 1.
  private var finalistOf: Vec<UInt16>
  private var runs: Vec<Run>
  private var rules = RuleSource()
  private var ruleIDs: Vec<UInt32>
  private var ruleValues: Vec<Double>
  private var heads: [RelationText]

  /// The unchanging parts of a relation's reasons.
  struct RelationText {
    var opening: [UInt8]
    var measure: [UInt8]
    var shrinkage: [UInt8]
    /// The weight at each place back in a row.
    var weights: [[UInt8]]
  }

  init(_ configuration: EngineConfiguration, places: MatrixPlaces) {
    self.configuration = configuration
    self.places = places
    var weights = Vec<Double>()
    for place in 0..<max(1, configuration.recommend.recent) {
      // Three significant decimals: a weight is a choice, and its digits stand in every reason.
      weights.append(
        DecayMaths.recency(place: place, half: configuration.recommend.recentHalf))
    }
    let places = Array(weights.buffer)
    recency = weights
    scores = Vec()
    touched = Vec()
    excluded = Vec()
    finalistOf = Vec()
    runs = Vec()
    ruleIDs = Vec()
    ruleValues = Vec()
    heads = configuration.relations.map { relation in
      func bytes(_ body: (inout ByteWriter) -> Void) -> [UInt8] {
        var writer = ByteWriter()
        body(&writer)
        return [UInt8](writer.bytes)
      }
      return RelationText(
        opening: bytes {
          $0.append("{\"source\":\"neighbours\",\"relation\":")
          $0.append(quoted: relation.name)
          $0.append(",\"because\":")
        },
        measure: bytes {
          $0.append(",\"measure\":\"")
          $0.append(text: relation.measure.name)
          $0.append("\",\"both\":")
        },
        shrinkage: relation.shrinkage > 0
          ? bytes {
            $0.append(",\"shrinkage\":")
            $0.append(relation.shrinkage)
          } : [],
        weights: places.map { place in bytes { $0.append(relation.weight * place) } })
    }
  }

  /// Writes the listener's message unless its hash equals `unlessHash`.
  /// - Parameter name: the listener's, see `Audience.escape`.
  /// - Returns: the hash of the lists (0: no item, nothing sent before, and nothing to renew).
  mutating func writeList(
    listener: Listener, name: UnsafeRawBufferPointer, cause: Cause, topics: [String], model: Model,
    interactions: borrowing Interactions, unlessHash: UInt64?, into outputs: inout Outputs
  ) -> UInt64 {
    var scene = Scene(
      isUser: name.first != UInt8(ascii: "~"), userRow: nil, sessionRow: nil, orderRow: nil,
      time: cause.time, basket: Vec())
    let key =
      name.first == Audience.escape ? UnsafeRawBufferPointer(rebasing: name.dropFirst()) : name
    if scene.isUser { scene.userRow = interactions.users.find(key) }
    if listener.hasSession { scene.sessionRow = interactions.sessionRow(listener.session) }
    if cause.hasOrder && !cause.isModel { scene.orderRow = interactions.orderRow(cause.order) }
    begin(itemLimit: interactions.items.idLimit)
    fillBasket(&scene, cause: cause, interactions: interactions)
    exclude(scene, model: model, interactions: interactions)
    propose(scene, model: model, interactions: interactions)
    let touchedCount = addUp()
    let chosen = choose(touchedCount, interactions: interactions)
    clear(touchedCount)
    // Whether a cause has a message may not depend on what was sent before: an empty list is one too.
    if chosen.isEmpty && listener.lastList == 0 && cause.isModel { return 0 }
    let hash = Ranker.hash(chosen, interactions: interactions)
    if let unlessHash, unlessHash == hash { return hash }

    let start = outputs.writer.count
    outputs.writer.append(bytes: key)
    let keyEnd = outputs.writer.count
    writeHead(scene, key: key, cause: cause, topics: topics, model: model, into: &outputs.writer)
    write(chosen, model: model, interactions: interactions, into: &outputs.writer)
    outputs.writer.append("}")
    outputs.finish(
      .recommendations, start: start, keyEnd: keyEnd, receivedAt: cause.receivedAt)
    return hash
  }

  // MARK: candidates

  private mutating func begin(itemLimit: Int) {
    if scores.count < itemLimit {
      scores.extend(to: itemLimit, with: 0)
      finalistOf.extend(to: itemLimit, with: 0)
      touched.extend(to: itemLimit + 1, with: 0)
    }
    excluded.removeAll()
    runs.removeAll()
  }

  @inline(__always)
  private mutating func exclude(_ item: UInt32) {
    scores[Int(item)] = -.infinity
    excluded.append(item)
  }

  /// Adds every run's contributions; the touched items are `touched[0..<result]`.
  private func addUp() -> Int {
    let scores = self.scores.base
    let touched = self.touched.base
    var count = 0
    for r in 0..<runs.count {
      let run = runs[r]
      let (ids, values, weight) = (run.ids, run.values, run.weight)
      for k in 0..<run.count {
        let item = ids[k]
        let old = scores[Int(item)]
        let new = old + values[k] * weight
        scores[Int(item)] = new
        touched[count] = item
        // Contributions are positive, so 0 is "not yet"; one that rounds to 0 leaves it so.
        count &+= old == 0 && new != 0 ? 1 : 0
      }
    }
    return count
  }

  private func clear(_ touchedCount: Int) {
    for i in 0..<touchedCount { scores[Int(touched[i])] = 0 }
    for i in 0..<excluded.count { scores[Int(excluded[i])] = 0 }
  }

  /// The order of the cause, newest first; where it has none, the cart.
  private func fillBasket(
    _ scene: inout Scene, cause: Cause, interactions: borrowing Interactions
  ) {
    let most = configuration.recommend.recent
    if let row = scene.orderRow, let matrix = places.orderPurchases {
      let (items, stamps) = interactions.slots(matrix: matrix, row: row)
      var k = items.count - 1
      while k >= 0 && scene.basket.count < most {
        if Stamp.isActive(stamps[k]) { scene.basket.append(items[k]) }
        k -= 1
      }
      if scene.basket.count > 0 { return }
    }
    let cart: (matrix: Int?, row: UInt32?) =
      scene.isUser ? (places.userCart, scene.userRow) : (places.sessionCart, scene.sessionRow)
    guard let matrix = cart.matrix, let row = cart.row else { return }
    let (items, stamps) = interactions.slots(matrix: matrix, row: row)
    var k = items.count - 1
    while k >= 0 && scene.basket.count < most {
      let time = Stamp.time(stamps[k])
      if Stamp.isActive(stamps[k]), time > scene.time &- configuration.recommend.cartWindow,
        !isBought(items[k], since: time, scene, interactions)
      {
        scene.basket.append(items[k])
      }
      k -= 1
    }
  }

  /// Whether the item was bought at or after it was put into the cart.
  private func isBought(
    _ item: UInt32, since: Int64, _ scene: borrowing Scene, _ interactions: borrowing Interactions
  ) -> Bool {
    guard let matrix = places.userPurchases, let row = scene.userRow else { return false }
    let (items, stamps) = interactions.slots(matrix: matrix, row: row)
    var k = items.count - 1
    while k >= 0 && Stamp.time(stamps[k]) >= since {
      if items[k] == item { return true }
      k -= 1
    }
    return false
  }

  /// Marks what must not be recommended: bought, in the basket, just acted upon, not to be had.
  private mutating func exclude(
    _ scene: borrowing Scene, model: Model, interactions: borrowing Interactions
  ) {
    if configuration.recommend.excludePurchased, let matrix = places.userPurchases,
      let row = scene.userRow
    {
      let (items, stamps) = interactions.slots(matrix: matrix, row: row)
      for k in 0..<items.count where Stamp.isActive(stamps[k]) {
        exclude(items[k])
      }
    }
    for i in 0..<scene.basket.count { exclude(scene.basket[i]) }
    if let row = scene.userRow {
      for matrix in places.ofUser { excludeCurrent(matrix, row, scene.time, interactions) }
    }
    if let row = scene.sessionRow {
      for matrix in places.ofSession { excludeCurrent(matrix, row, scene.time, interactions) }
    }
    for item in model.unavailable where Int(item) < scores.count { exclude(item) }
  }

  private mutating func excludeCurrent(
    _ matrix: Int, _ row: UInt32, _ time: Int64, _ interactions: borrowing Interactions
  ) {
    let (items, stamps) = interactions.slots(matrix: matrix, row: row)
    var k = items.count - 1
    while k >= 0 && Stamp.time(stamps[k]) >= time {
      if Stamp.time(stamps[k]) == time { exclude(items[k]) }
      k -= 1
    }
  }

  private mutating func propose(
    _ scene: borrowing Scene, model: Model, interactions: borrowing Interactions
  ) {
    for (r, relation) in configuration.relations.enumerated() where relation.weight > 0 {
      let table = model.neighbours[r]
      if relation.context == .order {
        for p in 0..<scene.basket.count {
          proposeNeighbours(r, of: scene.basket[p], place: p, table, relation)
        }
        continue
      }
      let row: UInt32?
      let matrix: Int?
      switch (relation.context, scene.isUser) {
      case (.user, true): (row, matrix) = (scene.userRow, places.source[r])
      case (.session, _): (row, matrix) = (scene.sessionRow, places.source[r])
      default: (row, matrix) = (scene.sessionRow, places.strangerSource[r])
      }
      guard let row, let matrix else { continue }
      let (items, stamps) = interactions.slots(matrix: matrix, row: row)
      var k = items.count - 1
      var p = 0
      while k >= 0 && p < configuration.recommend.recent {
        if Stamp.isActive(stamps[k]) {
          proposeNeighbours(r, of: items[k], place: p, table, relation)
          p += 1
        }
        k -= 1
      }
    }
    if configuration.recommend.rulesWeight > 0, let set = model.rules, scene.basket.count > 0 {
      proposeRules(scene, set, interactions: interactions)
    }
    let weight = configuration.recommend.popularityWeight
    if weight > 0 {
      runs.append(
        Run(
          source: SourceKind.popularity, because: 0, weight: weight,
          ids: UnsafePointer(model.popularIDs.base), values: UnsafePointer(model.popularShares.base),
          start: 0, count: model.popularIDs.count))
    }
  }

  @inline(__always)
  private mutating func proposeNeighbours(
    _ r: Int, of item: UInt32, place: Int, _ table: borrowing NeighbourTable,
    _ relation: RelationConfiguration
  ) {
    let range = table.range(item)
    if range.isEmpty { return }
    guard let ids = table.ids.baseAddress, let values = table.values.baseAddress else { return }
    var weight = relation.weight * recency[place]
    var known = Int32(truncatingIfNeeded: place)
    switch relation.measure {
    case .cosine, .jaccard, .conditional: break
    case .lift, .llr, .count:
      weight = weight / values[range.lowerBound]
      known = -1
    }
    // A ratio that rounds to 0 attracts nobody, and has nothing to be divided by.
    if !weight.isFinite { return }
    runs.append(
      Run(
        source: UInt32(r), because: item, weight: weight, ids: ids + range.lowerBound,
        values: values + range.lowerBound, start: range.lowerBound, count: range.count,
        recency: known))
  }

  /// Each consequent by its most confident rule whose antecedent is in the basket.
  private mutating func proposeRules(
    _ scene: borrowing Scene, _ set: RuleSet, interactions: borrowing Interactions
  ) {
    rules.collect(set, basket: scene.basket, itemLimit: scores.count)
    ruleIDs.removeAll()
    ruleValues.removeAll()
    for i in 0..<rules.found.count {
      ruleIDs.append(rules.found[i].item)
      ruleValues.append(rules.found[i].confidence)
    }
    runs.append(
      Run(
        source: SourceKind.rules, because: 0, weight: configuration.recommend.rulesWeight,
        ids: UnsafePointer(ruleIDs.base), values: UnsafePointer(ruleValues.base), start: 0,
        count: ruleIDs.count))
  }

  // MARK: choice

  struct Chosen {
    var item: UInt32
    var score = 0.0
    var rest = 0.0
    /// The largest first; `count` says how many there are.
    var listed = (
      Contribution(run: 0, place: 0, value: 0), Contribution(run: 0, place: 0, value: 0),
      Contribution(run: 0, place: 0, value: 0)
    )
    var count = 0
  }

  /// Finalists that are followed at most; ties beyond them at the last place go by key before.
  private static let mostFinalists = 60_000

  private func choose(_ touchedCount: Int, interactions: borrowing Interactions) -> [Chosen] {
    let top = configuration.recommend.top
    if touchedCount == 0 || top == 0 { return [] }
    // The top-th score, by a small heap of the largest so far.
    var threshold = -Double.infinity
    if touchedCount > top {
      withUnsafeTemporaryAllocation(of: Double.self, capacity: top) { heap in
        var size = 0
        for i in 0..<touchedCount {
          let score = scores[Int(touched[i])]
          if size < top {
            heap[size] = score
            size &+= 1
            if size == top { heapify(heap) }
          } else if score > heap[0] {
            heap[0] = score
            sift(heap, 0)
          }
        }
        threshold = heap[0] - abs(heap[0]) * 1e-11
      }
    }
    var chosen = [Chosen]()
    chosen.reserveCapacity(top + 8)
    for i in 0..<touchedCount where scores[Int(touched[i])] >= threshold {
      chosen.append(Chosen(item: touched[i]))
    }
    if chosen.count > Ranker.mostFinalists { keepByKey(&chosen, interactions) }
    for f in chosen.indices { finalistOf[Int(chosen[f].item)] = UInt16(f + 1) }
    chosen.withUnsafeMutableBufferPointer { gather(into: $0) }
    for f in chosen.indices { finalistOf[Int(chosen[f].item)] = 0 }
    chosen.sort { a, b in
      a.score != b.score ? a.score > b.score : interactions.items.precedes(a.item, b.item)
    }
    if chosen.count > top { chosen.removeLast(chosen.count - top) }
    return chosen
  }

  /// Very many items tie at the last place: those clearly above it, then the first by key.
  private func keepByKey(_ chosen: inout [Chosen], _ interactions: borrowing Interactions) {
    chosen.sort { a, b in
      let (x, y) = (scores[Int(a.item)], scores[Int(b.item)])
      return x != y ? x > y : interactions.items.precedes(a.item, b.item)
    }
    chosen.removeLast(chosen.count - Ranker.mostFinalists)
  }

  /// Walks the runs again for the finalists' contributions.
  private func gather(into chosen: UnsafeMutableBufferPointer<Chosen>) {
    let finalistOf = self.finalistOf.base
    for r in 0..<runs.count {
      let run = runs[r]
      for k in 0..<run.count {
        let f = Int(finalistOf[Int(run.ids[k])])
        if f == 0 { continue }
        let value = run.values[k] * run.weight
        Ranker.insert(
          Contribution(run: UInt32(r), place: UInt32(k), value: value), into: &chosen[f &- 1])
      }
    }
    for f in chosen.indices {
      var score = 0.0
      if chosen[f].count > 0 { score += chosen[f].listed.0.value }
      if chosen[f].count > 1 { score += chosen[f].listed.1.value }
      if chosen[f].count > 2 { score += chosen[f].listed.2.value }
      chosen[f].score = score + chosen[f].rest
    }
  }

  /// Among the three largest (the earlier first where equal); what falls out joins the rest.
  @inline(__always)
  private static func insert(_ new: Contribution, into chosen: inout Chosen) {
    let count = chosen.count
    if count > 2 {
      if new.value <= chosen.listed.2.value {
        chosen.rest += new.value
        return
      }
      chosen.rest += chosen.listed.2.value
    } else {
      chosen.count = count &+ 1
    }
    if count > 0 && new.value <= chosen.listed.0.value {
      if count > 1 && new.value <= chosen.listed.1.value {
        chosen.listed.2 = new
      } else {
        chosen.listed.2 = chosen.listed.1
        chosen.listed.1 = new
      }
    } else {
      chosen.listed.2 = chosen.listed.1
      chosen.listed.1 = chosen.listed.0
      chosen.listed.0 = new
    }
  }

  private func heapify(_ heap: UnsafeMutableBufferPointer<Double>) {
    var i = heap.count / 2 - 1
    while i >= 0 {
      sift(heap, i)
      i -= 1
    }
  }

  @inline(__always)
  private func sift(_ heap: UnsafeMutableBufferPointer<Double>, _ start: Int) {
    let count = heap.count
    var i = start
    let value = heap[i]
    while true {
      var child = 2 &* i &+ 1
      if child >= count { break }
      if child &+ 1 < count && heap[child &+ 1] < heap[child] { child &+= 1 }
      if heap[child] >= value { break }
      heap[i] = heap[child]
      i = child
    }
    heap[i] = value
  }

  /// A list is its items and their scores: evidence that moves without them is no change.
  private static func hash(_ chosen: [Chosen], interactions: borrowing Interactions) -> UInt64 {
    var h = Fingerprint(low: 0x9e37_79b9_7f4a_7c15, high: UInt64(chosen.count))
    for entry in chosen {
      h = Fingerprint(
        h, interactions.items.fingerprint(entry.item), entry.score.bitPattern,
        entry.rest.bitPattern)
    }
    return h.low | 1
  }

  // MARK: bytes

  private func writeHead(
    _ scene: borrowing Scene, key: UnsafeRawBufferPointer, cause: Cause, topics: [String],
    model: Model, into w: inout ByteWriter
  ) {
    w.append("{\"id\":\"")
    if cause.isModel {
      w.append(text: model.id)
      w.append("-")
      appendInner(key, into: &w)
    } else {
      appendInner(topics[Int(cause.topic)], into: &w)
      w.append("-")
      w.append(Int(cause.partition))
      w.append("-")
      w.append(Int(cause.offset))
    }
    if scene.isUser {
      w.append("\",\"user\":")
      w.append(quoted: key)
    } else {
      w.append("\",\"session\":")
      w.append(quoted: UnsafeRawBufferPointer(rebasing: key.dropFirst()))
    }
    w.append(",\"time\":\"")
    w.appendTime(cause.time)
    w.append("\",\"model\":\"")
    w.append(text: model.id)
    if cause.isModel {
      w.append("\",\"cause\":{\"model\":\"")
      w.append(text: model.id)
      w.append("\"}")
    } else {
      w.append("\",\"cause\":{\"topic\":")
      w.append(quoted: topics[Int(cause.topic)])
      w.append(",\"partition\":")
      w.append(Int(cause.partition))
      w.append(",\"offset\":")
      w.append(Int(cause.offset))
      w.append("}")
    }
  }

  /// A string's JSON form without its quotes.
  private func appendInner(_ text: UnsafeRawBufferPointer, into w: inout ByteWriter) {
    var inner = ByteWriter(capacity: text.count + 8)
    inner.append(quoted: text)
    w.append(bytes: UnsafeRawBufferPointer(rebasing: inner.bytes[1..<(inner.count - 1)]))
  }

  private func appendInner(_ text: String, into w: inout ByteWriter) {
    var text = text
    text.withUTF8 { appendInner(UnsafeRawBufferPointer($0), into: &w) }
  }

  private func write(
    _ chosen: [Chosen], model: Model, interactions: borrowing Interactions,
    into w: inout ByteWriter
  ) {
    w.append(",\"lists\":{\"for_you\":[")
    for (rank, entry) in chosen.enumerated() {
      w.append(rank == 0 ? "{\"id\":" : ",{\"id\":")
      w.append(quoted: interactions.items.key(entry.item))
      w.append(",\"rank\":")
      w.append(rank + 1)
      w.append(",\"score\":")
      w.append(entry.score)
      w.append(",\"rest\":")
      w.append(entry.rest)
      w.append(",\"reasons\":[")
      if entry.count > 0 { writeReason(entry.listed.0, entry.item, model, interactions, &w) }
      if entry.count > 1 {
        w.append(byte: UInt8(ascii: ","))
        writeReason(entry.listed.1, entry.item, model, interactions, &w)
      }
      if entry.count > 2 {
        w.append(byte: UInt8(ascii: ","))
        writeReason(entry.listed.2, entry.item, model, interactions, &w)
      }
      w.append("]}")
    }
    w.append("]}")
  }

  private func writeReason(
    _ contribution: Contribution, _ item: UInt32, _ model: Model,
    _ interactions: borrowing Interactions, _ w: inout ByteWriter
  ) {
    let run = runs[Int(contribution.run)]
    let place = Int(contribution.place)
    switch run.source {
    case SourceKind.popularity:
      let entry = model.popular[place]
      w.append("{\"source\":\"popularity\",\"list\":\"popular\",\"measure\":\"decayed_share\",\"count\":")
      w.append(Int(entry.count))
      w.append(",\"decayed\":")
      w.append(entry.decayed)
      w.append(",\"maximum\":")
      w.append(model.popular[0].decayed)
    case SourceKind.rules:
      model.rules?.writeEvidence(
        Int(rules.found[place].rule), items: interactions.items, into: &w)
    default:
      let table = model.neighbours[Int(run.source)]
      let text = heads[Int(run.source)]
      text.opening.withUnsafeBytes { w.append(bytes: $0) }
      w.append(quoted: interactions.items.key(run.because))
      text.measure.withUnsafeBytes { w.append(bytes: $0) }
      w.append(unsigned: UInt64(table.both[run.start &+ place]))
      w.append(",\"this\":")
      w.append(unsigned: UInt64(table.sourceCount[Int(run.because)]))
      w.append(",\"other\":")
      w.append(unsigned: UInt64(table.targetCount[Int(item)]))
      w.append(",\"contexts\":")
      w.append(table.contexts)
      if !text.shrinkage.isEmpty { text.shrinkage.withUnsafeBytes { w.append(bytes: $0) } }
    }
    w.append(",\"value\":")
    w.append(run.values[place])
    w.append(",\"weight\":")
    if run.recency >= 0 {
      heads[Int(run.source)].weights[Int(run.recency)].withUnsafeBytes { w.append(bytes: $0) }
    } else {
      w.append(run.weight)
    }
    w.append(",\"contribution\":")
    w.append(contribution.value)
    w.append(byte: UInt8(ascii: "}"))
  }
}

/// Sources above the relations' indexes.
enum SourceKind {
  static let rules: UInt32 = 1 << 30
  static let popularity: UInt32 = 1 << 30 | 1
}
