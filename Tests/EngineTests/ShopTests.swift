// What the catalogue does to lists, and names that look alike.
import Engine
import Events
import Recommender
import Sparse
import TestSupport
import Testing

@Suite struct ShopTests {
  static let hour: Int64 = 3_600_000

  static func configuration() -> EngineConfiguration {
    var c = EngineConfiguration()
    for i in c.relations.indices { c.relations[i].minBoth = 1 }
    c.recommend.linger = 0
    c.popularity.trendMinimum = 1
    return c
  }

  func set(_ driver: Driver, _ item: String, path: String = "", isAvailable: Bool = true) {
    Array(item.utf8).withUnsafeBytes {
      driver.engine.updateCatalogue(item: $0, title: item, path: path, isAvailable: isAvailable)
    }
  }
  func remove(_ driver: Driver, _ item: String) {
    Array(item.utf8).withUnsafeBytes { driver.engine.removeFromCatalogue(item: $0) }
  }

  func ids(_ value: String?) -> [String] {
    guard let json = value.flatMap({ PlainJSON($0) }) else { return [] }
    return (json["items"] ?? json["lists"]?["for_you"])?.array?.compactMap { $0["id"]?.string } ?? []
  }

  @Test func categoriesHaveTheirLists() {
    let driver = Driver(ShopTests.configuration())
    set(driver, "a", path: "Kitchen")
    set(driver, "b", path: "Kitchen > Knives")
    set(driver, "c", path: "Kitchen")
    set(driver, "unsold", path: "Garden")
    for n in 0..<6 {
      driver.apply(
        DigestTests.purchase(n < 4 ? ["a", "b", "d"] : ["a", "c"], 1000 * ShopTests.hour, user: "u-\(n)"),
        offset: Int64(n))
    }
    driver.tick(1001 * ShopTests.hour)
    var state = driver.folded(.popular)
    #expect(
      state.keys.sorted() == [
        "popular", "popular/Kitchen", "popular/Kitchen > Knives", "trending", "trending/Kitchen",
        "trending/Kitchen > Knives",
      ])
    #expect(ids(state["popular"]) == ["a", "b", "d", "c"])
    #expect(ids(state["popular/Kitchen"]) == ["a", "c"])
    #expect(ids(state["popular/Kitchen > Knives"]) == ["b"])
    #expect(PlainJSON(state["popular/Kitchen"] ?? "")?["category"]?.string == "Kitchen")
    #expect(
      PlainJSON(state["popular/Kitchen"] ?? "")?["items"]?.array?.first?["score"]?.double == 1)

    // An item moves, one is sold out, one goes from the catalogue.
    set(driver, "b", path: "Kitchen")
    set(driver, "c", path: "Kitchen", isAvailable: false)
    remove(driver, "a")
    driver.tick(1002 * ShopTests.hour)
    state = driver.folded(.popular)
    #expect(state.keys.sorted() == ["popular", "popular/Kitchen", "trending", "trending/Kitchen"])
    #expect(ids(state["popular"]) == ["a", "b", "d"])
    #expect(ids(state["popular/Kitchen"]) == ["b"])
  }

  @Test func whatCannotBeHadIsNotRecommended() {
    let driver = Driver(ShopTests.configuration())
    for n in 0..<6 {
      driver.apply(
        DigestTests.purchase(["a", "b", "c"], 1000 * ShopTests.hour, user: "u-\(n)"), offset: Int64(n))
    }
    func list(_ time: Int64) -> [String] {
      driver.sent.removeAll()
      var view = Event(type: .cart, time: time * ShopTests.hour, user: "w", items: [Event.Item(id: "a")])
      view.session = "s"
      driver.apply(view, offset: time)
      return ids(driver.sent.last { $0.topic == .recommendations }?.value)
    }
    driver.tick(1001 * ShopTests.hour)
    #expect(list(1002) == ["b", "c"])
    set(driver, "b", isAvailable: false)
    driver.tick(1003 * ShopTests.hour)
    #expect(list(1004) == ["c"])
    set(driver, "b", isAvailable: true)
    driver.tick(1005 * ShopTests.hour)
    #expect(list(1006) == ["b", "c"])
    set(driver, "b", isAvailable: false)
    remove(driver, "b")
    driver.tick(1007 * ShopTests.hour)
    #expect(list(1008) == ["b", "c"])
  }

  /// The catalogue holds an item's id; when it lets go and nothing else holds it, the id is given back,
  /// and both stages still agree.
  @Test func catalogueItemsComeAndGo() {
    let driver = Driver(ShopTests.configuration())
    var offset: Int64 = 0
    for round in 0..<40 {
      set(driver, "shelf-\(round)", path: "Path \(round % 3)", isAvailable: round % 2 == 0)
      if round > 2 { remove(driver, "shelf-\(round - 3)") }
      if round % 4 == 0 {
        driver.apply(
          DigestTests.purchase(["sold-\(round)", "shelf-\(round)"], Int64(1000 + round) * ShopTests.hour),
          offset: offset)
        offset += 1
      }
      driver.tick(Int64(1000 + round) * ShopTests.hour)
      driver.engine.interactions.checkInvariants()
    }
    // 10 sold and 10 of the shelf bought, 3 on the shelf (one of them bought), a few not yet given back.
    #expect(driver.engine.interactions.items.liveCount <= 26)
    #expect(driver.engine.interactions.items.idLimit <= 28)
  }

  /// A user whose key begins like a stranger's is not that stranger.
  @Test func aUserIsNotTheStrangerOfTheSameName() {
    let driver = Driver(ShopTests.configuration())
    for n in 0..<6 {
      driver.apply(
        DigestTests.purchase(["a", "b", "c"], 1000 * ShopTests.hour, user: "u-\(n)"), offset: Int64(n))
    }
    driver.tick(1001 * ShopTests.hour)
    driver.sent.removeAll()
    for (i, user) in ["~s", "\u{0}~s", "\u{0}", "~"].enumerated() {
      driver.apply(
        Event(type: .cart, time: 1002 * ShopTests.hour, user: user, items: [Event.Item(id: "a")]),
        offset: Int64(10 + i))
      let json = driver.sent.last?.value.flatMap { PlainJSON($0) }
      #expect(driver.sent.last?.key == user)
      #expect(json?["user"]?.string == user && json?["session"] == nil)
      #expect(ids(driver.sent.last?.value) == ["b", "c"], "the cart of \(user) is known")
    }
    var stranger = Event(type: .view, time: 1002 * ShopTests.hour, items: [Event.Item(id: "b")])
    stranger.session = "s"
    driver.apply(stranger, offset: 20)
    let json = driver.sent.last?.value.flatMap { PlainJSON($0) }
    #expect(json?["session"]?.string == "s" && json?["user"] == nil)
    #expect(driver.engine.listenerCount == 11)
  }

  /// Everything a list can be refused for: bought before, in the basket, just acted upon.
  @Test func exclusions() {
    for excludes in [true, false] {
      var c = ShopTests.configuration()
      c.recommend.excludePurchased = excludes
      let driver = Driver(c)
      for n in 0..<6 {
        driver.apply(
          DigestTests.purchase(["a", "b", "c", "d"], 1000 * ShopTests.hour, user: "u-\(n)"), offset: Int64(n))
      }
      driver.tick(1001 * ShopTests.hour)
      func act(_ type: EventType, _ item: String, _ time: Int64, order: String = "") -> [String] {
        var e = Event(type: type, time: time * ShopTests.hour, user: "w", items: [Event.Item(id: item)])
        e.order = order
        driver.sent.removeAll()
        driver.apply(e, offset: time)
        return ids(driver.sent.last { $0.topic == .recommendations }?.value)
      }
      #expect(act(.cart, "a", 1002) == ["b", "c", "d"])
      #expect(act(.view, "b", 1003) == ["c", "d"], "in the cart, and just seen")
      #expect(act(.view, "c", 1004) == ["b", "d"])
      #expect(act(.uncart, "a", 1005) == [], "no cause")
      #expect(act(.view, "c", 1006) == ["a", "b", "d"])
      #expect(act(.purchase, "d", 1007, order: "o") == ["a", "b", "c"])
      // Bought: out where the configuration says so, until it is given back.
      #expect(act(.view, "c", 1008) == (excludes ? ["a", "b"] : ["d", "a", "b"]) || !excludes)
      #expect(act(.view, "c", 1008).contains("d") == !excludes)
      #expect(act(.refund, "d", 1009, order: "o") == [])
      #expect(act(.view, "c", 1010).contains("d"))
      // What is bought leaves the cart.
      _ = act(.cart, "a", 1011)
      _ = act(.purchase, "a", 1012, order: "p")
      #expect(act(.view, "c", 1013).contains("a") == !excludes)
    }
  }
}
