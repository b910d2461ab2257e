// The simulated shop: the same bytes for a seed, valid events, and the structure that is planted.
import Foundation
import Simulator
import Sparse
import Testing

@Suite struct SimulatorTests {
  /// `count` lines, and each line's key and time.
  static func draw(_ configuration: ShopConfiguration, _ count: Int) -> (
    lines: [String], keys: [String], times: [Int64]
  ) {
    var shop = Shop(configuration)
    var writer = ByteWriter()
    var lines: [String] = []
    var keys: [String] = []
    var times: [Int64] = []
    for _ in 0..<count {
      let line = shop.next(into: &writer)
      func text(_ range: Range<Int>) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: writer.bytes[range]), as: UTF8.self)
      }
      lines.append(text(line.bytes))
      keys.append(text(line.key))
      times.append(line.time)
    }
    return (lines, keys, times)
  }

  static func parse(_ line: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
  }

  static func small(_ shape: ShopShape = .shop, seed: UInt64 = 7, events: Int = 20_000)
    -> ShopConfiguration
  {
    var c = ShopConfiguration(shape: shape)
    c.seed = seed
    c.events = events
    c.users = 500
    c.items = 400
    return c
  }

  @Test(arguments: ShopShape.allCases) func sameSeedSameBytes(shape: ShopShape) {
    let a = Self.draw(Self.small(shape), 5_000)
    let b = Self.draw(Self.small(shape), 5_000)
    #expect(a.lines == b.lines)
    #expect(a.keys == b.keys)
    #expect(Self.draw(Self.small(shape, seed: 8), 5_000).lines != a.lines)
  }

  /// The bytes of a seed are an interface: benchmarks and goldens are quoted by seed.
  @Test(arguments: [
    (ShopShape.shop, "dc191cab79e75fd502dd6b119078fb3c"),
    (.film, "477428776769978e7dd2b8c69b0d1670"), (.grocer, "2090aa75d6d5c49636a1386c1083ee31"),
  ]) func bytesOfASeedStay(shape: ShopShape, digest: String) {
    let text = Self.draw(Self.small(shape), 5_000).lines.joined(separator: "\n")
    #expect(Fingerprint(of: text).hex == digest)
  }

  @Test(arguments: ShopShape.allCases) func everyLineIsAnEvent(shape: ShopShape) throws {
    let drawn = Self.draw(Self.small(shape), 8_000)
    var last = Int64.min
    for (i, line) in drawn.lines.enumerated() {
      let event = try Self.parse(line)
      let items = try #require(event["items"] as? [[String: Any]])
      #expect(!items.isEmpty)
      let key = event["user"] as? String ?? event["session"] as? String
      #expect(key == drawn.keys[i])
      let text = try #require(event["time"] as? String)
      let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
      let time = try Date(text, strategy: style).timeIntervalSince1970
      #expect(abs(time * 1000 - Double(drawn.times[i])) < 0.5)
      #expect(drawn.times[i] >= last)
      last = drawn.times[i]
      if event["type"] as? String == "refund" {
        #expect(event["order"] is String)
        #expect(event["ordered"] is String)
      }
    }
    let end = ShopConfiguration.defaultEnd
    #expect(drawn.times.first! >= end - 30 * 86_400_000 && last <= end)
  }

  @Test func typesAppearInTheirShares() throws {
    var counts: [String: Int] = [:]
    var strangers = 0
    for line in Self.draw(Self.small(), 20_000).lines {
      let event = try Self.parse(line)
      counts[event["type"] as? String ?? "", default: 0] += 1
      if event["user"] == nil { strangers += 1 }
    }
    for type in ["view", "cart", "uncart", "purchase", "refund", "like", "impression", "click"] {
      #expect(counts[type, default: 0] > 10, "\(type)")
    }
    #expect(counts["view", default: 0] > 10_000)
    #expect(counts["purchase", default: 0] > 500)
    #expect((1_000...3_500).contains(strangers))
  }

  /// Planted: complements and bundles in orders. Counted the plain way.
  @Test func complementsAreFoundInOrders() throws {
    var c = Self.small(events: 200_000)
    c.items = 400
    let shop = Shop(c)
    let catalogue = (0..<shop.catalogue.count).map { shop.catalogue.id($0) }
    var orders: [Set<String>] = []
    for line in Self.draw(c, c.events).lines where line.contains("\"type\":\"purchase\"") {
      let items = try Self.parse(line)["items"] as? [[String: Any]] ?? []
      orders.append(Set(items.compactMap { $0["id"] as? String }))
    }
    var checked = 0
    for (a, b) in shop.catalogue.complements {
      let with = orders.filter { $0.contains(catalogue[a]) }
      if with.count < 50 { continue }
      let both = with.filter { $0.contains(catalogue[b]) }.count
      let confidence = Double(both) / Double(with.count)
      let base = Double(orders.filter { $0.contains(catalogue[b]) }.count) / Double(orders.count)
      #expect(confidence > 0.42, "\(shop.catalogue.titles[a])")
      #expect(confidence > 5 * base, "\(shop.catalogue.titles[a])")
      checked += 1
    }
    #expect(checked >= 5)
    for bundle in shop.catalogue.bundles {
      let both = orders.filter {
        $0.contains(catalogue[bundle.first]) && $0.contains(catalogue[bundle.second])
      }
      let all = both.filter { $0.contains(catalogue[bundle.consequent]) }
      let one = orders.filter {
        $0.contains(catalogue[bundle.first]) && !$0.contains(catalogue[bundle.second])
      }
      let oneToo = one.filter { $0.contains(catalogue[bundle.consequent]) }
      if both.count < 30 { continue }
      #expect(Double(all.count) / Double(both.count) > 0.5)
      #expect(Double(oneToo.count) / Double(max(1, one.count)) < 0.3)
    }
  }

  /// Planted: users of one taste group see what their group prefers.
  @Test func tasteGroupsDiffer() throws {
    var c = Self.small(events: 60_000)
    c.groups = 4
    let shop = Shop(c)
    let category = Dictionary(
      uniqueKeysWithValues: (0..<shop.catalogue.count).map {
        (shop.catalogue.id($0), shop.catalogue.category($0))
      })
    var views = [[Int]](
      repeating: [Int](repeating: 0, count: shop.catalogue.categoryCount), count: 4)
    for line in Self.draw(c, c.events).lines {
      let event = try Self.parse(line)
      guard let user = (event["user"] as? String).flatMap({ Int($0.dropFirst(2)) }),
        let item = (event["items"] as? [[String: Any]])?.first?["id"] as? String,
        let place = category[item]
      else { continue }
      views[shop.group(ofUser: user)][place] += 1
    }
    for group in 0..<4 {
      let share = Double(views[group].sorted(by: >).prefix(4).reduce(0, +))
      #expect(share / Double(views[group].reduce(0, +)) > 0.6)
      let favourite = views[group].firstIndex(of: views[group].max()!)!
      for other in 0..<4 where other != group {
        let fav = views[other].firstIndex(of: views[other].max()!)!
        #expect(fav != favourite)
      }
    }
  }

  @Test func hotItemsChangeByTheWeek() throws {
    let c = Self.small(events: 100_000)
    var shop = Shop(c)
    let week: Int64 = 7 * 86_400_000
    // The first whole week inside the span.
    let start = (c.start / week + 1) * week
    let hot = shop.trending(at: start).map { shop.catalogue.id($0) }
    let later = shop.trending(at: start + week).map { shop.catalogue.id($0) }
    #expect(hot != later)
    let drawn = Self.draw(c, c.events)
    func views(_ from: Int64) -> Int {
      zip(drawn.lines, drawn.times).filter { line, time in
        time >= from && time < from + week && line.contains("\"type\":\"view\"")
          && hot.contains { line.contains("\"\($0)\"") }
      }.count
    }
    #expect(views(start) > views(start + week) * 3 / 2)
  }

  @Test func lateAndRepeatedLines() {
    var c = Self.small()
    c.lateShare = 0.05
    c.duplicateShare = 0.1
    let drawn = Self.draw(c, 20_000)
    let unique = Set(drawn.lines).count
    #expect((1_700...2_300).contains(20_000 - unique))
    var seen: Set<String> = []
    var late = 0
    var high = Int64.min
    for (line, time) in zip(drawn.lines, drawn.times) where seen.insert(line).inserted {
      if time < high { late += 1 }
      high = max(high, time)
    }
    #expect((500...1_300).contains(late))
  }

  /// One item per event: an order's lines share its id, a millisecond apart; a refund names the time
  /// of its own line.
  @Test func singleItems() throws {
    var c = Self.small()
    c.oneItemPerEvent = true
    c.refundShare = 0.5
    c.refundAfter = 1000
    var times: [String: [Int64]] = [:]
    var bought: [String: String] = [:]
    var refunds = 0
    let drawn = Self.draw(c, 20_000)
    for (i, line) in drawn.lines.enumerated() {
      let event = try Self.parse(line)
      let items = try #require(event["items"] as? [[String: Any]])
      #expect(items.count == 1 || event["type"] as? String == "impression")
      guard let order = event["order"] as? String, let item = items.first?["id"] as? String else {
        continue
      }
      if event["type"] as? String == "refund" {
        #expect(bought["\(order) \(item)"] == event["ordered"] as? String)
        refunds += 1
      } else {
        times[order, default: []].append(drawn.times[i])
        bought["\(order) \(item)"] = event["time"] as? String
      }
    }
    #expect(refunds > 100)
    for lines in times.values {
      for (i, time) in lines.enumerated() { #expect(time == lines[0] + Int64(i)) }
    }
    #expect(times.values.contains { $0.count > 2 })
    #expect(zip(drawn.times, drawn.times.dropFirst()).allSatisfy { $0 <= $1 })
  }

  @Test func filmsAreRatedOnce() throws {
    var seen: Set<String> = []
    for line in Self.draw(Self.small(.film), 15_000).lines {
      let event = try Self.parse(line)
      let item = ((event["items"] as? [[String: Any]])?.first?["id"] as? String) ?? ""
      let value = try #require(event["value"] as? Int)
      #expect((1...5).contains(value))
      seen.insert("\(event["user"] as? String ?? "") \(item)")
    }
    #expect(seen.count > 14_900)
  }

  @Test func catalogueLines() throws {
    for shape in ShopShape.allCases {
      for items in [1, 3, 9, 400, 12_000] {
        var c = Self.small(shape)
        c.items = items
        let shop = Shop(c)
        var ids: Set<String> = []
        var titles: Set<String> = []
        for item in 0..<shop.catalogue.count {
          var writer = ByteWriter()
          shop.catalogue.write(item, into: &writer)
          let product = try Self.parse(writer.string)
          ids.insert(try #require(product["item"] as? String))
          titles.insert(try #require(product["title"] as? String))
          #expect((product["category"] as? [String])?.isEmpty == false)
          #expect(try #require(product["price"] as? Double) > 0)
        }
        #expect(ids.count == items)
        if shape == .shop { #expect(titles.count == items) }
        _ = Self.draw(c, 200)
      }
    }
  }
}
