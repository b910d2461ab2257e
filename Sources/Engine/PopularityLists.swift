// `popular` and `trending`, over everything and per category, from the counts of a seal.
//
// popular: by the decayed count (half-life `popularity.half_life`); score = share of the largest.
// trending: by t = (q/Σq + 0.1·c/Σc) / (c/Σc), q the count decayed by `popularity.trend_half_life` and c the
// live entries (QUALITY §1); 1.1 is "as ever". An empty recent past makes every t 1.1 at most.
import Events
import Recommender
import Sparse

struct PopularityLists {
  enum Kind: String { case popular, trending }

  private let configuration: PopularityConfiguration
  private let paths: [String]
  private let category: [Int32]
  private var entries: [Entry] = []

  private struct Entry {
    var item: UInt32
    var count: UInt32
    var popular: Double
    var trend: Double
  }

  init(_ configuration: PopularityConfiguration, seal: Seal, floor: Int) {
    self.configuration = configuration
    paths = seal.catalogue.paths
    category = seal.catalogue.category
    let p = seal.popularity
    let longScale = DecayedCounts.scale(
      landmark: p.landmarks.popular, halfLife: configuration.halfLife, at: seal.tick)
    // Sums are of integers, so their totals do not depend on order.
    var liveTotal: UInt64 = 0
    var recentTotal: UInt64 = 0
    for i in p.live.indices {
      liveTotal &+= UInt64(p.live[i])
      recentTotal &+= p.recent[i]
    }
    for i in p.live.indices where p.live[i] > 0 && Int(p.live[i]) >= floor {
      let item = UInt32(i)
      if seal.catalogue.unavailable.contains(item) { continue }
      let share = Double(p.live[i]) / Double(liveTotal)
      let recent = recentTotal == 0 ? share : Double(p.recent[i]) / Double(recentTotal)
      entries.append(
        Entry(
          item: item, count: p.live[i], popular: Double(p.popular[i]) * longScale,
          trend: (recent + 0.1 * share) / share))
    }
  }

  /// The first `top` of a list, best first, ties by item key.
  private func ranked(_ kind: Kind, items: borrowing Interner, category: Int32? = nil) -> [PopularItem] {
    var chosen: [Entry] = []
    for entry in entries {
      if let category, !isIn(entry.item, category) { continue }
      if kind == .trending && Int(entry.count) < configuration.trendMinimum { continue }
      if kind == .popular && entry.popular <= 0 { continue }
      chosen.append(entry)
    }
    func value(_ e: Entry) -> Double { kind == .popular ? e.popular : e.trend }
    chosen.sort { a, b in
      let (x, y) = (value(a), value(b))
      return x != y ? x > y : items.precedes(a.item, b.item)
    }
    let most = chosen.first.map(value) ?? 1
    return chosen.prefix(configuration.top).map {
      PopularItem(
        item: $0.item, count: $0.count, decayed: $0.popular,
        score: kind == .popular ? $0.popular / most : $0.trend)
    }
  }

  private func isIn(_ item: UInt32, _ index: Int32) -> Bool {
    Int(item) < category.count && category[Int(item)] == index
  }

  /// One message of the popularity topic to be.
  struct List {
    var key: String
    var kind: Kind
    /// The category's path; nil: over everything.
    var path: String?
    var items: [PopularItem]
  }

  /// Every list that is not empty, in the order they are written in.
  func lists(items: borrowing Interner) -> [List] {
    var lists: [List] = []
    func put(_ kind: Kind, _ ranked: [PopularItem], path: String?) {
      if ranked.isEmpty { return }
      let key = path.map { kind.rawValue + "/" + $0 } ?? kind.rawValue
      lists.append(List(key: key, kind: kind, path: path, items: ranked))
    }
    put(.popular, ranked(.popular, items: items), path: nil)
    put(.trending, ranked(.trending, items: items), path: nil)
    // One pass over the entries per category would be quadratic: split them first.
    var members = [[Entry]](repeating: [], count: paths.count)
    for entry in entries where Int(entry.item) < category.count && category[Int(entry.item)] >= 0 {
      members[Int(category[Int(entry.item)])].append(entry)
    }
    for index in paths.indices.sorted(by: { paths[$0].utf8.lexicographicallyPrecedes(paths[$1].utf8) }) {
      var part = self
      part.entries = members[index]
      put(.popular, part.ranked(.popular, items: items), path: paths[index])
      put(.trending, part.ranked(.trending, items: items), path: paths[index])
    }
    return lists
  }

  /// Writes the lists; nulls for keys of `previousKeys` that have none now.
  static func write(
    _ lists: [List], _ model: Model, items: borrowing Interner, previousKeys: [String],
    into outputs: inout Outputs
  ) {
    for list in lists {
      let start = outputs.writer.count
      outputs.writer.append(text: list.key)
      let keyEnd = outputs.writer.count
      encode(list, model: model, items: items, into: &outputs.writer)
      outputs.finish(.popular, start: start, keyEnd: keyEnd)
    }
    let out = Set(lists.map(\.key))
    for key in previousKeys where !out.contains(key) {
      let start = outputs.writer.count
      outputs.writer.append(text: key)
      outputs.delete(.popular, start: start)
    }
  }

  private static func encode(
    _ list: List, model: Model, items: borrowing Interner, into w: inout ByteWriter
  ) {
    w.append("{\"list\":")
    w.append(quoted: list.kind.rawValue)
    if let path = list.path {
      w.append(",\"category\":")
      w.append(quoted: path)
    }
    w.append(",\"model\":")
    w.append(quoted: model.id)
    w.append(",\"time\":\"")
    w.appendTime(model.tick)
    w.append("\",\"items\":[")
    for (place, entry) in list.items.enumerated() {
      w.append(place == 0 ? "{\"id\":" : ",{\"id\":")
      w.append(quoted: items.key(entry.item))
      w.append(",\"rank\":")
      w.append(place + 1)
      w.append(",\"score\":")
      w.append(entry.score)
      w.append(",\"count\":")
      w.append(Int(entry.count))
      w.append(",\"decayed\":")
      w.append(entry.decayed)
      w.append("}")
    }
    w.append("]}")
  }
}
