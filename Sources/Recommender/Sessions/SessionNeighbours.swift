// Nearest sessions: what those who clicked like this clicked next (QUALITY §1, formula 4; after VMIS-kNN, Serenade,
// SIGMOD 2022, MATHS §4).
//
// Of the last few clicks an item d steps back weighs e^-d · idf. Candidates are the newest sessions of each item, the
// newest of all of these stay, and of them the most similar (ties: newer). A neighbour's item at distance D behind the
// most recent shared item i*, which lies d* steps back, gets similarity / (1 + d*) · f(D) · idf, with f falling from 1 in
// both directions. The items clicked stay candidates: many next clicks are repeats.
//
// The index is immutable: sessions are numbered by their last time, and each item lists its newest sessions.
import Sparse

public final class SessionNeighbours: Sendable {
  public struct Settings: Hashable, Sendable {
    /// Clicks of a question that count.
    public var clicks = 9
    /// Sessions looked at: the newest of each item, then of all.
    public var recent = 500
    /// k: the most similar of those.
    public var neighbours = 200
    /// Items over which a distance weighs e times less.
    public var distance = 3.0
    public init() {}
  }
  public let settings: Settings
  /// Session s (the larger, the newer) clicked `clicks[offsets[s]..<offsets[s + 1]]`, in order.
  let offsets: Vec<UInt32>
  let clicks: Vec<UInt32>
  /// Item i's newest sessions stand at `starts[i]..<starts[i + 1]`, the newest first.
  let starts: Vec<UInt32>
  let sessions: Vec<UInt32>
  /// Sessions with an item, by id, and ln(all / those).
  let holders: Vec<UInt32>
  let idf: Vec<Double>
  /// e^(-k / distance)
  let falls: [Double]

  public var count: Int { offsets.count - 1 }
  public var itemCount: Int { holders.count }
  public var bytes: Int {
    offsets.bytes + clicks.bytes + starts.bytes + sessions.bytes + holders.bytes + idf.bytes
  }

  /// - Parameters:
  ///   - offsets, clicks: session by session; one without clicks is none.
  ///   - lastTimes: when each ended.
  ///   - ranks: order of sessions that ended at once, the larger the newer; empty: as they stand.
  public convenience init(
    offsets: [Int], clicks: [UInt32], lastTimes: [Int64], ranks: [Fingerprint], settings: Settings
  ) {
    let order = lastTimes.indices.filter { offsets[$0] < offsets[$0 + 1] }.sorted { a, b in
      if lastTimes[a] != lastTimes[b] { return lastTimes[a] < lastTimes[b] }
      if !ranks.isEmpty && ranks[a] != ranks[b] {
        return ranks[a].high != ranks[b].high ? ranks[a].high < ranks[b].high : ranks[a].low < ranks[b].low
      }
      return a < b
    }
    var ends = Vec<UInt32>()
    var all = Vec<UInt32>()
    ends.append(0)
    for s in order {
      for k in offsets[s]..<offsets[s + 1] { all.append(clicks[k]) }
      ends.append(UInt32(all.count))
    }
    self.init(offsets: ends, clicks: all, settings: settings)
  }

  init(offsets: consuming Vec<UInt32>, clicks: consuming Vec<UInt32>, settings: Settings) {
    self.settings = settings
    falls = (0..<256).map { DecayMaths.falling(Double($0) / settings.distance) }
    var limit = 0
    for k in 0..<clicks.count { limit = max(limit, Int(clicks[k]) + 1) }
    let count = offsets.count - 1
    let holders = Vec<UInt32>(repeating: 0, count: limit)
    let seenIn = Vec<UInt32>(repeating: .max, count: limit)
    for s in 0..<count {
      for k in Int(offsets[s])..<Int(offsets[s + 1]) where seenIn[Int(clicks[k])] != UInt32(s) {
        seenIn[Int(clicks[k])] = UInt32(s)
        holders[Int(clicks[k])] += 1
      }
    }
    let starts = Vec<UInt32>(repeating: 0, count: limit + 1)
    let idf = Vec<Double>(repeating: 0, count: limit)
    for i in 0..<limit {
      starts[i + 1] = starts[i] + min(holders[i], UInt32(settings.recent))
      if holders[i] > 0 { idf[i] = DecayMaths.logarithm(Double(count) / Double(holders[i])) }
    }
    let sessions = Vec<UInt32>(repeating: 0, count: Int(starts[limit]))
    var next = Vec<UInt32>()
    next.append(contentsOf: starts.buffer)
    for i in 0..<limit { seenIn[i] = .max }
    for s in (0..<count).reversed() {
      for k in Int(offsets[s])..<Int(offsets[s + 1]) {
        let item = Int(clicks[k])
        if seenIn[item] == UInt32(s) || next[item] == starts[item + 1] { continue }
        seenIn[item] = UInt32(s)
        sessions[Int(next[item])] = UInt32(s)
        next[item] += 1
      }
    }
    self.offsets = offsets
    self.clicks = clicks
    self.starts = starts
    self.sessions = sessions
    self.holders = holders
    self.idf = idf
  }

  public func save(into state: inout StateWriter) {
    state.put(
      "settings", numbers: Int64(settings.clicks), Int64(settings.recent), Int64(settings.neighbours),
      Int64(bitPattern: settings.distance.bitPattern))
    state.put("offsets", offsets)
    state.put("clicks", clicks)
  }

  public convenience init(restoring state: StateReader) throws(StateError) {
    let numbers = try state.numbers("settings", count: 4)
    var settings = Settings()
    settings.clicks = Int(numbers[0])
    settings.recent = Int(numbers[1])
    settings.neighbours = Int(numbers[2])
    settings.distance = Double(bitPattern: UInt64(bitPattern: numbers[3]))
    let offsets: Vec<UInt32> = try state.vec("offsets")
    let clicks: Vec<UInt32> = try state.vec("clicks")
    guard offsets.count > 0, offsets[0] == 0, Int(offsets[offsets.count - 1]) == clicks.count else {
      throw StateError("sessions whose parts do not fit together")
    }
    for s in 1..<max(1, offsets.count) where offsets[s] < offsets[s - 1] {
      throw StateError("sessions out of order")
    }
    for k in 0..<clicks.count where clicks[k] >= 1 << 31 { throw StateError("a session of no item") }
    self.init(offsets: offsets, clicks: clicks, settings: settings)
  }
}

/// Scratch of a search, kept from one to the next, and what it found.
public struct SessionSearch: ~Copyable {
  /// Items of the neighbours, in the order met, with their scores, and how many neighbours hold each.
  public private(set) var items = Vec<UInt32>()
  public private(set) var scores = Vec<Double>()
  public private(set) var agreed = Vec<UInt32>()
  /// Neighbours found.
  public private(set) var neighbours = 0

  /// By session: similarity so far.
  private var similarity = Vec<Double>()
  private var touched = Vec<UInt32>()
  /// By item: 1 + its place in `items`; the largest f in the neighbour at hand.
  private var places = Vec<UInt32>()
  private var factors = Vec<Double>()
  private var order: [Found] = []
  private var question: [(item: UInt32, back: Int)] = []

  private struct Found {
    var session: UInt32
    var similarity: Double
  }

  public init() {}

  /// - Parameter clicks: the latest last.
  /// Complexity: clicks · recent, and the length of the neighbours.
  public mutating func find(_ clicks: [UInt32], _ index: SessionNeighbours) {
    let settings = index.settings
    items.removeAll()
    scores.removeAll()
    agreed.removeAll()
    similarity.extend(to: index.count, with: 0)
    places.extend(to: index.itemCount, with: 0)
    factors.extend(to: index.itemCount, with: 0)
    // Different items, each where it was clicked last.
    question.removeAll(keepingCapacity: true)
    for back in 0..<min(settings.clicks, clicks.count) {
      let item = clicks[clicks.count - 1 - back]
      if Int(item) >= index.itemCount || index.holders[Int(item)] == 0 { continue }
      if !question.contains(where: { $0.item == item }) { question.append((item, back)) }
    }
    findNeighbours(index)
    for found in order { take(found, index) }
    neighbours = order.count
    for k in 0..<items.count { places[Int(items[k])] = 0 }
  }

  private mutating func findNeighbours(_ index: SessionNeighbours) {
    touched.removeAll()
    for (item, back) in question {
      // An item that every session holds weighs nothing, and yet makes candidates.
      let weight = DecayMaths.falling(Double(back)) * index.idf[Int(item)] + .leastNonzeroMagnitude
      for k in Int(index.starts[Int(item)])..<Int(index.starts[Int(item) + 1]) {
        let session = index.sessions[k]
        if similarity[Int(session)] == 0 { touched.append(session) }
        similarity[Int(session)] += weight
      }
    }
    order.removeAll(keepingCapacity: true)
    if touched.count > index.settings.recent {
      var all = touched.mutableBuffer
      all.sort(by: >)
    }
    for k in 0..<min(touched.count, index.settings.recent) {
      order.append(Found(session: touched[k], similarity: similarity[Int(touched[k])]))
    }
    for k in 0..<touched.count { similarity[Int(touched[k])] = 0 }
    order.sort {
      $0.similarity != $1.similarity ? $0.similarity > $1.similarity : $0.session > $1.session
    }
    if order.count > index.settings.neighbours {
      order.removeLast(order.count - index.settings.neighbours)
    }
  }

  /// Adds what a neighbour says.
  private mutating func take(_ found: Found, _ index: SessionNeighbours) {
    let session = Int(found.session)
    let range = Int(index.offsets[session])..<Int(index.offsets[session + 1])
    // The most recent shared item: the question's first that the session holds.
    var shared: (item: UInt32, back: Int)?
    for asked in question where range.contains(where: { index.clicks[$0] == asked.item }) {
      shared = asked
      break
    }
    guard let shared else { return }
    for place in range where index.clicks[place] == shared.item {
      for other in range {
        let distance = other - place
        let factor =
          distance == 0
          ? 1
          : index.falls[min(distance > 0 ? distance - 1 : -distance, index.falls.count - 1)]
        let item = Int(index.clicks[other])
        factors[item] = max(factors[item], factor)
      }
    }
    let weight = found.similarity / Double(1 + shared.back)
    for place in range {
      let item = index.clicks[place]
      let factor = factors[Int(item)]
      if factor == 0 { continue }
      factors[Int(item)] = 0
      if places[Int(item)] == 0 {
        items.append(item)
        scores.append(0)
        agreed.append(0)
        places[Int(item)] = UInt32(items.count)
      }
      let at = Int(places[Int(item)]) - 1
      scores[at] += weight * factor * index.idf[Int(item)]
      agreed[at] += 1
    }
  }
}
