// From a listener's rows and the model to one message of lists, with the evidence of every item.
//
// Sources propose candidates into one log; contributions of an item are summed in dense scratch with a
// list of touched items. The top is found by threshold, and only its items have their contributions
// gathered again from the log: the three largest are listed, in order, the others are `rest`, and the
// published score is exactly the sum of these in that order. The order of the list is by that score,
// then by item key: the threshold keeps a margin far above what another order of adding can change.
import Events
import Recommender
import Sparse

/// One proposal of one source for one item.
struct Candidate: BitwiseCopyable {
  var item: UInt32
  /// Index of the source.
  var source: UInt32
  /// What the source needs to say why: the item it follows from, the rule, the place in a list.
  var because: UInt32
  var place: UInt32
  var value: Double
  var weight: Double
  /// value × weight.
  var contribution: Double
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
  private var scores: Vec<Double>
  /// Epochs: an entry counts where it equals the current list's number.
  private var touchedAt: Vec<UInt32>
  private var excludedAt: Vec<UInt32>
  private var finalist: Vec<UInt32>
  private var epoch: UInt32 = 0
  private var touched: Vec<UInt32>
  private var log: Vec<Candidate>
  private var rules = RuleSource()
  private var basketScratch: Vec<UInt32>

  init(_ configuration: EngineConfiguration, places: MatrixPlaces) {
    self.configuration = configuration
    self.places = places
    var weights = Vec<Double>()
    for place in 0..<max(1, configuration.recommend.recent) {
      weights.append(
        DecayMaths.halvings(Double(place) / configuration.recommend.recentHalf))
    }
    recency = weights
    scores = Vec()
    touchedAt = Vec()
    excludedAt = Vec()
    finalist = Vec()
    touched = Vec()
    log = Vec()
    basketScratch = Vec()
  }

  /// Writes the listener's message unless its hash equals `unlessHash`.
  /// - Returns: the hash of the lists (0: no item, and nothing written unless one was sent before).
  mutating func writeList(
    listener: Listener, key: UnsafeRawBufferPointer, cause: Cause, topics: [String], model: Model,
    interactions: borrowing Interactions, unlessHash: UInt64?, into outputs: inout Outputs
  ) -> UInt64 {
    var scene = Scene(
      isUser: key.first != UInt8(ascii: "~"), userRow: nil, sessionRow: nil, orderRow: nil,
      time: cause.time, basket: Vec())
    if scene.isUser { scene.userRow = interactions.users.find(key) }
    if listener.hasSession { scene.sessionRow = interactions.sessionRow(listener.session) }
    if cause.hasOrder && !cause.isModel { scene.orderRow = interactions.orderRow(cause.order) }
    begin(itemLimit: interactions.items.idLimit)
    fillBasket(&scene, cause: cause, interactions: interactions)
    exclude(scene, model: model, interactions: interactions)
    propose(scene, model: model, interactions: interactions)
    let chosen = choose(interactions: interactions)
    if chosen.isEmpty && listener.lastList == 0 { return 0 }
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
    if epoch == .max {
      for i in 0..<touchedAt.count { touchedAt[i] = 0 }
      for i in 0..<excludedAt.count { excludedAt[i] = 0 }
      epoch = 0
    }
    epoch += 1
    if scores.count < itemLimit {
      scores.extend(to: itemLimit, with: 0)
      touchedAt.extend(to: itemLimit, with: 0)
      excludedAt.extend(to: itemLimit, with: 0)
      finalist.extend(to: itemLimit, with: 0)
    }
    touched.removeAll()
    log.removeAll()
  }

  @inline(__always)
  private mutating func add(_ candidate: Candidate) {
    let i = Int(candidate.item)
    if excludedAt[i] == epoch { return }
    if touchedAt[i] == epoch {
      scores[i] += candidate.contribution
    } else {
      touchedAt[i] = epoch
      scores[i] = candidate.contribution
      touched.append(candidate.item)
    }
    log.append(candidate)
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
        excludedAt[Int(items[k])] = epoch
      }
    }
    for i in 0..<scene.basket.count { excludedAt[Int(scene.basket[i])] = epoch }
    if let row = scene.userRow {
      for matrix in places.ofUser { excludeCurrent(matrix, row, scene.time, interactions) }
    }
    if let row = scene.sessionRow {
      for matrix in places.ofSession { excludeCurrent(matrix, row, scene.time, interactions) }
    }
    for item in model.unavailable where Int(item) < excludedAt.count {
      excludedAt[Int(item)] = epoch
    }
  }

  private mutating func excludeCurrent(
    _ matrix: Int, _ row: UInt32, _ time: Int64, _ interactions: borrowing Interactions
  ) {
    let (items, stamps) = interactions.slots(matrix: matrix, row: row)
    var k = items.count - 1
    while k >= 0 && Stamp.time(stamps[k]) >= time {
      if Stamp.time(stamps[k]) == time { excludedAt[Int(items[k])] = epoch }
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
      for (place, entry) in model.popular.enumerated() {
        add(
          Candidate(
            item: entry.item, source: SourceKind.popularity, because: 0, place: UInt32(place),
            value: entry.score, weight: weight, contribution: entry.score * weight))
      }
    }
  }

  @inline(__always)
  private mutating func proposeNeighbours(
    _ r: Int, of item: UInt32, place: Int, _ table: NeighbourTable,
    _ relation: RelationConfiguration
  ) {
    let range = table.range(item)
    if range.isEmpty { return }
    var weight = relation.weight * recency[place]
    switch relation.measure {
    case .cosine, .jaccard, .conditional: break
    case .lift, .llr, .count: weight = weight / table.values[range.lowerBound]
    }
    // A ratio that rounds to 0 attracts nobody, and has nothing to be divided by.
    if !weight.isFinite { return }
    for at in range {
      let value = table.values[at]
      add(
        Candidate(
          item: table.ids[at], source: UInt32(r), because: item, place: UInt32(at), value: value,
          weight: weight, contribution: value * weight))
    }
  }

  /// Each consequent by its most confident rule whose antecedent is in the basket.
  private mutating func proposeRules(
    _ scene: borrowing Scene, _ set: RuleSet, interactions: borrowing Interactions
  ) {
    rules.collect(set, basket: scene.basket, itemLimit: scores.count)
    let weight = configuration.recommend.rulesWeight
    for i in 0..<rules.found.count {
      let found = rules.found[i]
      add(
        Candidate(
          item: found.item, source: SourceKind.rules, because: found.rule, place: 0,
          value: found.confidence, weight: weight, contribution: found.confidence * weight))
    }
  }

  // MARK: choice

  struct Chosen {
    var item: UInt32
    var score: Double
    var rest: Double
    /// Indexes into the log, largest contribution first; -1 where there are fewer.
    var listed: (Int32, Int32, Int32)
  }

  private mutating func choose(interactions: borrowing Interactions) -> [Chosen] {
    let top = configuration.recommend.top
    if touched.count == 0 || top == 0 { return [] }
    // The top-th score, by a small heap of the largest so far.
    var threshold = -Double.infinity
    if touched.count > top {
      var heap = [Double]()
      heap.reserveCapacity(top)
      for i in 0..<touched.count {
        let score = scores[Int(touched[i])]
        if heap.count < top {
          heap.append(score)
          if heap.count == top { heapify(&heap) }
        } else if score > heap[0] {
          heap[0] = score
          sift(&heap, 0)
        }
      }
      threshold = heap[0] - abs(heap[0]) * 1e-11
    }
    var finalists = [UInt32]()
    for i in 0..<touched.count where scores[Int(touched[i])] >= threshold {
      finalists.append(touched[i])
      finalist[Int(touched[i])] = UInt32(finalists.count)
    }
    // Contributions of the finalists, chained in log order.
    var chosen = finalists.map { Chosen(item: $0, score: 0, rest: 0, listed: (-1, -1, -1)) }
    for i in 0..<log.count {
      let f = Int(finalist[Int(log[i].item)])
      if f == 0 { continue }
      let c = log[i].contribution
      let index = Int32(truncatingIfNeeded: i)
      // Insert among the three largest; what falls out joins the rest in order of leaving.
      if chosen[f - 1].listed.0 < 0 || c > log[Int(chosen[f - 1].listed.0)].contribution {
        drop(&chosen[f - 1])
        chosen[f - 1].listed = (index, chosen[f - 1].listed.0, chosen[f - 1].listed.1)
      } else if chosen[f - 1].listed.1 < 0 || c > log[Int(chosen[f - 1].listed.1)].contribution {
        drop(&chosen[f - 1])
        chosen[f - 1].listed = (chosen[f - 1].listed.0, index, chosen[f - 1].listed.1)
      } else if chosen[f - 1].listed.2 < 0 || c > log[Int(chosen[f - 1].listed.2)].contribution {
        drop(&chosen[f - 1])
        chosen[f - 1].listed.2 = index
      } else {
        chosen[f - 1].rest += c
      }
    }
    for f in chosen.indices {
      finalist[Int(chosen[f].item)] = 0
      var score = 0.0
      for index in [chosen[f].listed.0, chosen[f].listed.1, chosen[f].listed.2] where index >= 0 {
        score += log[Int(index)].contribution
      }
      chosen[f].score = score + chosen[f].rest
    }
    chosen.sort { a, b in
      a.score != b.score ? a.score > b.score : interactions.items.precedes(a.item, b.item)
    }
    if chosen.count > top { chosen.removeLast(chosen.count - top) }
    return chosen
  }

  private func drop(_ chosen: inout Chosen) {
    if chosen.listed.2 >= 0 { chosen.rest += log[Int(chosen.listed.2)].contribution }
  }

  private func heapify(_ heap: inout [Double]) {
    var i = heap.count / 2 - 1
    while i >= 0 {
      sift(&heap, i)
      i -= 1
    }
  }

  private func sift(_ heap: inout [Double], _ start: Int) {
    var i = start
    while true {
      var least = i
      let left = 2 * i + 1
      if left < heap.count && heap[left] < heap[least] { least = left }
      if left + 1 < heap.count && heap[left + 1] < heap[least] { least = left + 1 }
      if least == i { return }
      heap.swapAt(i, least)
      i = least
    }
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
      writeReason(entry.listed.0, isFirst: true, model, interactions, into: &w)
      writeReason(entry.listed.1, isFirst: false, model, interactions, into: &w)
      writeReason(entry.listed.2, isFirst: false, model, interactions, into: &w)
      w.append("]}")
    }
    w.append("]}")
  }

  private func writeReason(
    _ index: Int32, isFirst: Bool, _ model: Model, _ interactions: borrowing Interactions,
    into w: inout ByteWriter
  ) {
    if index < 0 { return }
    let candidate = log[Int(index)]
    if !isFirst { w.append(",") }
    switch candidate.source {
    case SourceKind.popularity:
      let entry = model.popular[Int(candidate.place)]
      w.append("{\"source\":\"popularity\",\"list\":\"popular\",\"measure\":\"decayed_share\",\"count\":")
      w.append(Int(entry.count))
      w.append(",\"decayed\":")
      w.append(entry.decayed)
      w.append(",\"maximum\":")
      w.append(model.popular[0].decayed)
    case SourceKind.rules:
      model.rules?.writeEvidence(Int(candidate.because), items: interactions.items, into: &w)
    default:
      let relation = configuration.relations[Int(candidate.source)]
      let table = model.neighbours[Int(candidate.source)]
      let at = Int(candidate.place)
      w.append("{\"source\":\"neighbours\",\"relation\":")
      w.append(quoted: relation.name)
      w.append(",\"because\":")
      w.append(quoted: interactions.items.key(candidate.because))
      w.append(",\"measure\":\"")
      w.append(text: relation.measure.name)
      w.append("\",\"both\":")
      w.append(Int(table.both[at]))
      w.append(",\"this\":")
      w.append(Int(table.sourceCount[Int(candidate.because)]))
      w.append(",\"other\":")
      w.append(Int(table.targetCount[Int(candidate.item)]))
      w.append(",\"contexts\":")
      w.append(table.contexts)
      if relation.shrinkage > 0 {
        w.append(",\"shrinkage\":")
        w.append(relation.shrinkage)
      }
    }
    w.append(",\"value\":")
    w.append(candidate.value)
    w.append(",\"weight\":")
    w.append(candidate.weight)
    w.append(",\"contribution\":")
    w.append(candidate.contribution)
    w.append("}")
  }
}

/// Sources above the relations' indexes.
enum SourceKind {
  static let rules: UInt32 = 1 << 30
  static let popularity: UInt32 = 1 << 30 | 1
}
