// The twin's lists made by formulas: dense arrays over all items in the order of their keys, from the twin's rows.
import Engine
import Events
import Foundation
import Recommender
import TestSupport

struct TwinFormulas {
  private let lists: ListsConfiguration
  private let isOn: Bool
  private let top: Int
  private let minUsers: Int
  private var isFitted = false
  /// Items in the order of their keys, as of the fit; those that came later follow.
  private var names: [String] = []
  private var place: [String: Int] = [:]
  private var discover: [[Double]] = []
  private var basket: [[Double]] = []
  private var visits: [String: (all: Double, again: Double)] = [:]
  private var sessions: [[Int]] = []
  private var trend: [String: (t: Double, q: Double)] = [:]
  private var trendItems = 0
  /// Lists with items among those of the last check.
  private(set) var checked = 0

  init(_ configuration: EngineConfiguration) {
    lists = configuration.lists
    isOn = configuration.recommendEnabled && lists.isOn
    top = configuration.recommend.top
    minUsers = configuration.minUsers
  }

  // MARK: the model

  /// A tick at which rules are mined.
  mutating func fit(_ twin: Twin) {
    if !isOn { return }
    isFitted = true
    let tick = twin.ticks.last ?? 0
    names = Set(twin.events.flatMap { $0.items.map(\.id) }).sorted(by: bytesPrecede)
    place = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
    func regression(_ context: ContextKind, _ settings: ItemRegression) -> [[Double]] {
      var rows: [Int: [Int: Int64]] = [:]
      for (r, slots) in twin.rows(twin.widest(context, .purchase)!).values.enumerated() {
        for slot in slots where slot.isActive { rows[r, default: [:]][place[slot.item]!] = min(slot.time, tick) }
      }
      var held = [Int](repeating: 0, count: names.count)
      for row in rows.values { for item in row.keys { held[item] += 1 } }
      let present = names.indices.filter { held[$0] >= max(1, minUsers) }
        .sorted { held[$0] != held[$1] ? held[$0] > held[$1] : $0 < $1 }.prefix(lists.maxItems).sorted()
      if present.isEmpty { return names.map { _ in names.map { _ in 0 } } }
      let gram = PlainFormulas.gram(
        rows, items: names.count, reference: tick, halfLife: lists.constants.gramHalfLife)
      return settings.denseItems > 0
        ? PlainFormulas.ease(gram, present: present, lambda: settings.lambda)
        : PlainFormulas.ridge(gram, present: present, lambda: settings.lambda, neighbours: settings.neighbours)
    }
    if lists.needsDiscover { discover = regression(.user, lists.constants.discover) }
    if lists.basket { basket = regression(.order, lists.constants.basket) }
    visits = [:]
    for user in Set(twin.events.map(\.user)) where lists.needsOrders && !user.isEmpty {
      for (item, times) in own(user, twin) {
        let old = visits[item] ?? (0, 0)
        visits[item] = (old.all + Double(times.count), old.again + Double(times.count - 1))
      }
    }
    sessions = []
    if lists.next {
      let rows = twin.rows(twin.widest(.session, .view)!).mapValues { $0.filter(\.isActive) }
        .filter { !$0.value.isEmpty }
      let order = rows.keys.sorted { a, b in
        let (x, y) = (rows[a]![0].time, rows[b]![0].time)
        if x != y { return x < y }
        let (h, g) = (PlainHash.of(a), PlainHash.of(b))
        return h.high != g.high ? h.high < g.high : h.low < g.low
      }
      sessions = order.suffix(lists.maxSessions).map { key in rows[key]!.reversed().map { place[$0.item]! } }
    }
  }

  /// Any tick: what is in demand.
  mutating func follow(_ twin: Twin) {
    if !isOn { return }
    let p = twin.configuration.popularity
    let tick = twin.ticks.last ?? 0
    let landmark = tick - tick % (16 * p.trendHalfLife)
    var (q, c): ([String: Double], [String: Double]) = ([:], [:])
    for slots in twin.rows(p.matrix).values {
      for slot in slots where slot.isActive {
        q[slot.item, default: 0] += Double(
          Twin.weight(slot.time, landmark: landmark, halfLife: p.trendHalfLife))
        c[slot.item, default: 0] += 1
      }
    }
    c = c.filter { $0.value >= Double(minUsers) }
    q = q.filter { c[$0.key] != nil }
    let (qs, cs) = (q.values.reduce(0, +), c.values.reduce(0, +))
    trendItems = c.count
    trend = [:]
    for (item, count) in c {
      let share = count / cs
      let recent = q[item] ?? 0
      trend[item] =
        qs > 0
        ? ((recent / qs + lists.constants.trendFloor * share) / share, recent / (qs / Double(c.count))) : (1, 0)
    }
  }

  /// Times of the user's orders by item.
  private func own(_ user: String, _ twin: Twin) -> [String: [Int64]] {
    let head = littleEndian(UInt64(user.utf8.count), 4) + Array(user.utf8)
    var found: [String: [Int64]] = [:]
    for (key, slots) in twin.rows(twin.widest(.order, .purchase)!)
    where key.starts(with: head) && key.count > head.count && key[head.count] < 4 {
      for slot in slots where slot.isActive { found[slot.item, default: []].append(slot.time) }
    }
    return found
  }

  // MARK: lists

  private struct Customer {
    var r = 0.0
    var hasVisits = false
    var share: [String: Double] = [:]
    var spent: Set<String> = []
  }

  private func customer(_ scene: TwinScene, _ twin: Twin) -> Customer {
    var customer = Customer()
    let all = visits.values.map(\.all).reduce(0, +)
    let rho = all > 0 ? visits.values.map(\.again).reduce(0, +) / all : 0
    let mine = scene.user.isEmpty ? [:] : own(scene.user, twin)
    let count = mine.values.map { Double($0.count) }.reduce(0, +)
    customer.hasVisits = count > 0
    customer.r = (count - Double(mine.count) + 10 * rho) / (count + 10)
    var weights: [String: Double] = [:]
    for (item, times) in mine {
      let known = visits[item] ?? (0, 0)
      let rp = (known.again + 5 * rho) / (known.all + 5)
      if rp == 0 { customer.spent.insert(item) }
      weights[item] = times.map {
        exp2(-Double(max(0, scene.time - $0)) / Double(lists.constants.ownHalfLife)) * sqrt(rp)
      }.reduce(0, +)
    }
    let sum = weights.values.reduce(0, +)
    if sum > 0 { customer.share = weights.mapValues { $0 / sum } }
    return customer
  }

  /// Sums of a regression over given items, none below zero.
  private func sums(_ b: [[Double]], _ given: [(item: String, weight: Double)]) -> [String: Double] {
    var sums: [String: Double] = [:]
    for (j, name) in names.enumerated() {
      let sum = given.map { g in place[g.item].map { b[$0][j] * g.weight } ?? 0 }.reduce(0, +)
      if sum > 0 { sums[name] = sum }
    }
    return sums
  }

  /// Scores of all items, those left out among them.
  private func new(_ scene: TwinScene, _ twin: Twin) -> [String: Double] {
    let history = scene.user.isEmpty ? [] : twin.slots(twin.widest(.user, .purchase), Array(scene.user.utf8))
    let sums = sums(discover, history.filter(\.isActive).map { ($0.item, 1) })
    let total = sums.values.reduce(0, +)
    var scores: [String: Double] = [:]
    for item in Set(sums.keys).union(trend.keys) {
      let (t, q) = trend[item] ?? (0, 0)
      scores[item] = (sums[item] ?? 0) / (total > 0 ? total / Double(trendItems) : 1) * t + 0.3 * q
    }
    return scores
  }

  private func expected(_ list: String, _ scene: TwinScene, _ twin: Twin) -> [String: Double] {
    let customer = lists.needsOrders ? customer(scene, twin) : Customer()
    switch list {
    case "for_you":
      return new(scene, twin).filter { !twin.excluded(scene).contains($0.key) }
    case "buy_again":
      var scores = new(scene, twin)
      let all = scores.values.reduce(0, +)
      for (item, score) in scores { scores[item] = all > 0 ? 0.7 * (1 - customer.r) * score / all : 0 }
      for (item, share) in customer.share { scores[item, default: 0] += customer.r * share }
      for item in customer.spent { scores[item] = nil }
      return scores.filter { !twin.excluded(scene, purchased: false).contains($0.key) }
    case "basket":
      let slots = twin.basketSlots(scene)
      if slots.isEmpty && !customer.hasVisits { return [:] }
      let isOrdered = Set(slots.map(\.time)).count > 1
      let sums = sums(
        basket,
        slots.enumerated().map { back, slot in
          (slot.item, isOrdered ? ((exp(-Double(back) / 2) + 0.3) * 1000).rounded() / 1000 : 1)
        })
      let total = sums.values.reduce(0, +)
      var scores = sums.mapValues { $0 / total }
      if !slots.isEmpty {
        for (item, share) in customer.share { scores[item, default: 0] += customer.r * share }
      }
      return scores.filter { !twin.excluded(scene, purchased: false).contains($0.key) }
    default:
      let clicks = twin.slots(twin.widest(.session, .view), scene.session).filter(\.isActive)
      let settings = lists.constants.sessions
      let scores = PlainFormulas.next(
        sessions, question: clicks.reversed().map { place[$0.item] ?? -1 }.filter { $0 >= 0 }, items: names.count,
        recent: settings.recent, k: settings.neighbours)
      let out = twin.excluded(scene, basket: false, purchased: false)
      return Dictionary(uniqueKeysWithValues: zip(names, scores)).filter { !out.contains($0.key) }
    }
  }

  /// What is wrong with a message's lists, in words.
  mutating func check(_ json: PlainJSON?, _ scene: TwinScene, _ twin: Twin) -> [String] {
    checked = 0
    if !isOn || !isFitted { return [] }
    var wanted: [String] = []
    if lists.forYou == .discover { wanted.append("for_you") }
    if lists.buyAgain { wanted.append("buy_again") }
    if lists.basket { wanted.append("basket") }
    if lists.next { wanted.append("next") }
    var faults: [String] = []
    for name in wanted {
      guard let list = json?[name]?.array else {
        faults.append("\(name) is missing")
        continue
      }
      // Steps back of clicks that the model does not know count, too; and few sessions may agree.
      if name == "next" && (minUsers > 1 || hasUnknownClick(scene, twin)) { continue }
      checked += list.isEmpty ? 0 : 1
      faults += check(list, expected(name, scene, twin)).map { "\(name): \($0)" }
    }
    return faults
  }

  private func hasUnknownClick(_ scene: TwinScene, _ twin: Twin) -> Bool {
    twin.slots(twin.widest(.session, .view), scene.session).contains { place[$0.item] == nil }
  }

  /// Weights are rounded to millionths, so scores are near those of the formula, and small ones may be anything.
  private func check(_ list: [PlainJSON], _ expected: [String: Double]) -> [String] {
    var faults: [String] = []
    let most = expected.values.max() ?? 0
    func isNear(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 2e-3 * max(a, b) + 2e-3 * most }
    var listed = Set<String>()
    var last = Double.infinity
    for entry in list {
      guard let item = entry["id"]?.string, let score = entry["score"]?.double, let rest = entry["rest"]?.double,
        let reasons = entry["reasons"]?.array
      else { return ["not an entry: \(entry)"] }
      if !listed.insert(item).inserted { faults.append("\(item) twice") }
      if score > last { faults.append("\(item) out of order") }
      last = score
      let want = expected[item] ?? 0
      if !isNear(score, want) { faults.append("\(item): \(score), not \(want)") }
      var sum = 0.0
      for reason in reasons {
        let (value, weight) = (reason["value"]?.double ?? 0, reason["weight"]?.double ?? 0)
        if value * weight != reason["contribution"]?.double { faults.append("contribution of \(reason)") }
        sum += reason["contribution"]?.double ?? 0
      }
      if sum + rest != score { faults.append("\(item): \(sum) + \(rest) is not \(score)") }
    }
    let least = list.count < top ? 0 : last
    for (item, score) in expected where !listed.contains(item) && score > least && !isNear(score, least) {
      faults.append("\(item) is left out with \(score), above \(least)")
    }
    return faults
  }
}
