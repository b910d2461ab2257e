// The engine's twin: DESIGN §2 to §5 read plainly, with dictionaries, arrays and strings, from the SET of
// events and the ticks. It shares nothing with the engine but the values of an event and a configuration.
// Nothing is kept from event to event: every question is answered from the whole set.
import Engine
import Events
import Foundation
import Recommender
import TestSupport

struct TwinSlot: Hashable {
  var item: String
  var time: Int64
  var isActive: Bool
}

struct TwinNeighbour: Hashable {
  var item: String
  var both: Int
  var this: Int
  var other: Int
  var value: Double
}

struct TwinTable {
  var contexts = 0
  var thisCount: [String: Int] = [:]
  var otherCount: [String: Int] = [:]
  /// Every pair with a count, the diagonal too.
  var pairs: [String: [String: Int]] = [:]
  var lists: [String: [TwinNeighbour]] = [:]
}

func bytesPrecede(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

struct Twin {
  let configuration: EngineConfiguration
  /// In any order, repeats and all; what an erasure took out is not among them.
  var events: [Event] = []
  /// All ticks so far.
  var ticks: [Int64] = []
  private var minedAt: Int64?
  /// Of a user with a row in the rules' matrix.
  private var hasErasedBaskets = false

  init(_ configuration: EngineConfiguration) { self.configuration = configuration }

  /// The event reaches the set; an erasure takes the user's out of it.
  mutating func take(_ event: Event) {
    guard event.type == .erase else {
      events.append(event)
      return
    }
    var alone = self
    alone.events = events.filter { $0.user == event.user }
    if mined.contains(where: { !alone.rows($0).isEmpty }) { hasErasedBaskets = true }
    events.removeAll { $0.user == event.user }
  }

  /// Matrices of the rules and of the models of lists.
  private var mined: [MatrixConfiguration] {
    var all: [MatrixConfiguration?] = configuration.rulesEnabled ? [configuration.rules.matrix] : []
    if configuration.recommendEnabled {
      if configuration.lists.needsDiscover { all.append(widest(.user, .purchase)) }
      if configuration.lists.needsOrders { all.append(widest(.order, .purchase)) }
      if configuration.lists.next { all.append(widest(.session, .view)) }
    }
    return all.compactMap { $0 }
  }

  /// - Returns: whether rules are mined, and models of lists fitted, at this tick.
  mutating func tick(_ time: Int64) -> Bool {
    ticks.append(time)
    if mined.isEmpty { return false }
    let isDue = minedAt.map { time - $0 >= configuration.rules.interval } ?? true
    if isDue { minedAt = time }
    let mines = isDue || hasErasedBaskets
    hasErasedBaskets = false
    return mines
  }

  // MARK: rows

  /// Horizon: τ of the last tick minus the window.
  func horizon(_ matrix: MatrixConfiguration) -> Int64 {
    guard let tick = ticks.last, let window = matrix.window else { return Int64.min }
    return tick - window
  }

  /// What an event does: nil for nothing that rows know of.
  func meaning(_ e: Event) -> (behaviour: Behaviour, undoes: Bool)? {
    if !e.consent { return nil }
    switch e.type {
    case .view: return (.view, false)
    case .cart: return (.cart, false)
    case .uncart: return (.cart, true)
    case .purchase: return (.purchase, false)
    case .refund: return (.purchase, true)
    case .like: return (.like, false)
    case .rating:
      guard let value = e.value else { return nil }
      return (.like, value < configuration.likeFrom)
    case .impression: return (.impression, false)
    case .click: return (.click, false)
    case .erase: return nil
    }
  }

  /// Canonical bytes of the event's row in a context; nil where it has none.
  func rowKey(_ e: Event, _ context: ContextKind) -> [UInt8]? {
    func key(_ owner: String, _ kind: UInt8, _ rest: [UInt8]) -> [UInt8] {
      littleEndian(UInt64(owner.utf8.count), 4) + Array(owner.utf8) + [kind] + rest
    }
    switch context {
    case .user: return e.user.isEmpty ? nil : Array(e.user.utf8)
    case .session:
      if !e.session.isEmpty { return key(e.user, 0, Array(e.session.utf8)) }
      if e.user.isEmpty { return nil }
      return key(e.user, 1, littleEndian(UInt64(e.time / 86_400_000)))
    case .order:
      if !e.order.isEmpty { return key(e.user, 2, Array(e.order.utf8)) }
      var time = e.time
      if e.type == .refund, let ordered = e.ordered { time = ordered }
      if e.type != .purchase && e.type != .refund { return nil }
      if !e.user.isEmpty { return key(e.user, 3, littleEndian(UInt64(time))) }
      if !e.session.isEmpty { return key(e.session, 4, littleEndian(UInt64(time))) }
      return nil
    }
  }

  /// Rows of a matrix: row key to slots, youngest first.
  func rows(_ matrix: MatrixConfiguration) -> [[UInt8]: [TwinSlot]] {
    // The latest act per row and item; at equal times undoing wins.
    var latest: [[UInt8]: [String: (time: Int64, undone: Bool)]] = [:]
    for e in events {
      guard let (behaviour, undoes) = meaning(e), behaviour == matrix.behaviour else { continue }
      guard let row = rowKey(e, matrix.context) else { continue }
      var time = e.time
      if matrix.context == .user && e.type == .refund, let ordered = e.ordered { time = ordered }
      for item in e.items {
        if let old = latest[row]?[item.id] {
          if time < old.time || (time == old.time && (old.undone || !undoes)) { continue }
        }
        latest[row, default: [:]][item.id] = (time, undoes)
      }
    }
    let horizon = horizon(matrix)
    var rows: [[UInt8]: [TwinSlot]] = [:]
    for (row, items) in latest {
      let slots = items.map { TwinSlot(item: $0.key, time: $0.value.time, isActive: !$0.value.undone) }
        .filter { $0.time > horizon }
        .sorted { $0.time != $1.time ? $0.time > $1.time : bytesPrecede($0.item, $1.item) }
      if !slots.isEmpty { rows[row] = Array(slots.prefix(matrix.history)) }
    }
    return rows
  }

  /// Σ mod 2^128 of the hash of 48 bytes per slot: row, item, t << 1 | undone, context << 8 | behaviour.
  func digest(_ matrices: [MatrixConfiguration]) -> PlainHash {
    var sum = PlainHash()
    var hashes: [String: [UInt8]] = [:]
    for matrix in matrices {
      for (row, slots) in rows(matrix) {
        let rowHash = PlainHash.of(row)
        let head = littleEndian(rowHash.low) + littleEndian(rowHash.high)
        for slot in slots {
          let item =
            hashes[slot.item]
            ?? {
              let hash = PlainHash.of(Array(slot.item.utf8))
              let bytes = littleEndian(hash.low) + littleEndian(hash.high)
              hashes[slot.item] = bytes
              return bytes
            }()
          let stamp = UInt64(slot.time) * 2 + (slot.isActive ? 0 : 1)
          let tag = UInt64(matrix.context.rawValue) * 256 + UInt64(matrix.behaviour.rawValue)
          sum = sum.plus(PlainHash.of(head + item + littleEndian(stamp) + littleEndian(tag)))
        }
      }
    }
    return sum
  }

  // MARK: neighbours

  func activeRows(_ matrix: MatrixConfiguration) -> [[UInt8]: Set<String>] {
    rows(matrix).mapValues { Set($0.filter(\.isActive).map(\.item)) }.filter { !$0.value.isEmpty }
  }

  func table(_ relation: RelationConfiguration) -> TwinTable {
    let a = activeRows(
      MatrixConfiguration(
        context: relation.context, behaviour: relation.source, history: relation.history,
        window: relation.window))
    let b = activeRows(
      MatrixConfiguration(
        context: relation.context, behaviour: relation.target, history: relation.history,
        window: relation.window))
    var table = TwinTable()
    table.contexts = Set(a.keys).union(b.keys).count
    for items in a.values { for i in items { table.thisCount[i, default: 0] += 1 } }
    for items in b.values { for i in items { table.otherCount[i, default: 0] += 1 } }
    for (row, sources) in a {
      for i in sources { for j in b[row] ?? [] { table.pairs[i, default: [:]][j, default: 0] += 1 } }
    }
    let floor = max(relation.minBoth, configuration.minUsers)
    for (i, others) in table.pairs {
      var list: [TwinNeighbour] = []
      for (j, both) in others where j != i && both >= floor {
        let (this, other) = (table.thisCount[i] ?? 0, table.otherCount[j] ?? 0)
        guard
          let value = Twin.value(
            relation.measure, both, this, other, table.contexts, relation.shrinkage)
        else { continue }
        list.append(TwinNeighbour(item: j, both: both, this: this, other: other, value: value))
      }
      list.sort { $0.value != $1.value ? $0.value > $1.value : bytesPrecede($0.item, $1.item) }
      if !list.isEmpty { table.lists[i] = Array(list.prefix(configuration.neighbours)) }
    }
    return table
  }

  /// MATHS §1 and §2.
  static func value(
    _ measure: Measure, _ both: Int, _ this: Int, _ other: Int, _ n: Int, _ s: Double
  ) -> Double? {
    let c = Double(both)
    var value: Double
    switch measure {
    case .cosine: value = c / sqrt(Double(this) * Double(other))
    case .jaccard: value = c / Double(this + other - both)
    case .lift: value = Double(n * both) / Double(this * other)
    case .conditional: value = c / Double(this)
    case .count: value = c
    case .llr:
      // Only attraction: both · n > this · other.
      if both * n <= this * other { return nil }
      let (k11, k12, k21) = (both, this - both, other - both)
      let k22 = n - k11 - k12 - k21
      if k22 < 0 { return nil }
      func x(_ k: Int) -> Double { k == 0 ? 0 : Double(k) * log(Double(k)) }
      func h(_ ks: Int...) -> Double { x(ks.reduce(0, +)) - ks.map(x).reduce(0, +) }
      value = 2 * (h(k11 + k12, k21 + k22) + h(k11 + k21, k12 + k22) - h(k11, k12, k21, k22))
      value = max(0, value)
    }
    return value * (c / (c + s))
  }

  /// The digest of all counts, as Recommender/CoOccurrence/CountsDigest.swift says.
  func countsDigest(_ tables: [TwinTable]) -> PlainHash {
    var sum = PlainHash()
    for (relation, table) in zip(configuration.relations, tables) {
      let tag = PlainHash.of(Array(relation.name.utf8))
      func word(_ item: String, _ isTarget: UInt64) -> PlainHash {
        let hash = PlainHash.of(Array(item.utf8))
        return PlainHash.of(
          littleEndian(hash.low) + littleEndian(hash.high) + littleEndian(tag.low)
            + littleEndian(tag.high) + littleEndian(isTarget) + littleEndian(0))
      }
      let isSymmetric = relation.source == relation.target
      for (i, others) in table.pairs {
        for (j, count) in others {
          if isSymmetric && !bytesPrecede(i, j) { continue }
          let s = word(i, 0)
          let t = word(j, isSymmetric ? 0 : 1)
          let x = (s.low &+ t.low) ^ (UInt64(count) &* 0x9e37_79b9_7f4a_7c15)
          let y = (s.high &+ t.high) ^ (UInt64(count) &* 0xc2b2_ae3d_27d4_eb4f)
          let product = x.multipliedFullWidth(by: y)
          var element = PlainHash()
          element.low = product.low
          element.high = product.high
          sum = sum.plus(element)
        }
      }
    }
    return sum
  }

  // MARK: popularity

  struct Popular: Hashable {
    var item: String
    var count: Int
    var decayed: Double
    var score: Double
  }

  /// An entry's weight in 1/65,536: a table of 4,096 steps per half-life from a landmark, which is the
  /// multiple of 16 half-lives at or below the tick.
  static func weight(_ time: Int64, landmark: Int64, halfLife: Int64) -> UInt64 {
    let distance = time - landmark
    let halves = Int64((Double(distance) / Double(halfLife)).rounded(.down))
    var exponent = halves
    var rest = distance - exponent * halfLife
    if rest < 0 {
      rest += halfLife
      exponent -= 1
    } else if rest >= halfLife {
      rest -= halfLife
      exponent += 1
    }
    let step = rest * 4096 / halfLife
    var weight = UInt64(rint(exp2(Double(step) / 4096) * 65_536))
    if exponent > 20 { exponent = 20 }
    while exponent > 0 {
      weight *= 2
      exponent -= 1
    }
    while exponent < 0 && weight > 0 {
      weight /= 2
      exponent += 1
    }
    return weight
  }

  func popularity() -> (popular: [Popular], trending: [Popular]) {
    let p = configuration.popularity
    guard let tick = ticks.last else { return ([], []) }
    func landmark(_ halfLife: Int64) -> Int64 { tick - tick % (16 * halfLife) }
    let (long, short) = (landmark(p.halfLife), landmark(p.trendHalfLife))
    var live: [String: Int] = [:]
    var decayed: [String: UInt64] = [:]
    var recent: [String: UInt64] = [:]
    let matrix = MatrixConfiguration(
      context: p.context, behaviour: p.behaviour, history: p.history, window: p.window)
    for slots in rows(matrix).values {
      for slot in slots where slot.isActive {
        live[slot.item, default: 0] += 1
        decayed[slot.item, default: 0] += Twin.weight(slot.time, landmark: long, halfLife: p.halfLife)
        recent[slot.item, default: 0] += Twin.weight(
          slot.time, landmark: short, halfLife: p.trendHalfLife)
      }
    }
    let scale = exp2(-(Double(tick - long) / Double(p.halfLife))) / 65_536
    let liveTotal = Double(live.values.reduce(0, +))
    let recentTotal = recent.values.reduce(0, +)
    var popular: [Popular] = []
    var trending: [Popular] = []
    for (item, count) in live where count >= configuration.minUsers {
      let value = Double(decayed[item] ?? 0) * scale
      let share = Double(count) / liveTotal
      let recentShare = recentTotal == 0 ? share : Double(recent[item] ?? 0) / Double(recentTotal)
      if value > 0 {
        popular.append(Popular(item: item, count: count, decayed: value, score: value))
      }
      if count >= p.trendMinimum {
        trending.append(
          Popular(
            item: item, count: count, decayed: value, score: (recentShare + 0.1 * share) / share))
      }
    }
    func best(_ list: [Popular]) -> [Popular] {
      let sorted = list.sorted {
        $0.score != $1.score ? $0.score > $1.score : bytesPrecede($0.item, $1.item)
      }
      return Array(sorted.prefix(p.top))
    }
    popular = best(popular)
    if let most = popular.first?.score {
      for i in popular.indices { popular[i].score /= most }
    }
    return (popular, best(trending))
  }
}
