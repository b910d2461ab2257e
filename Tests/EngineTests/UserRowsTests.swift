// The rows of each user: links against a plain dictionary, and in the engine against every key there is.
import Engine
import Events
import Recommender
import Sparse
import TestSupport
import Testing

@Suite struct UserRowsTests {
  @Test(arguments: [1, 2, 3])
  func linksEqualADictionary(seed: UInt64) {
    Swift.print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var links = RowLinks()
    var owner: [UInt32: UInt32] = [:]
    for n in 0..<40_000 {
      let row = UInt32(random.below(n < 20_000 ? 400 : 40))
      if let user = owner.removeValue(forKey: row) {
        let left = links.remove(row)
        #expect(left == (owner.values.contains(user) ? nil : user))
      } else if random.below(8) == 0 {
        // Nobody's: removing it changes nothing.
        #expect(links.remove(row) == nil)
      } else {
        let user = UInt32(random.below(30))
        owner[row] = user
        links.insert(row, of: user)
      }
      if n % 500 != 0 { continue }
      for user in UInt32(0)..<31 {
        var rows: [UInt32] = []
        links.forEachRow(of: user) { rows.append($0) }
        let want = owner.filter { $0.value == user }.map(\.key).sorted()
        #expect(rows.sorted() == want)
        #expect(links.hasRows(user) == !want.isEmpty)
      }
    }
  }

  /// The canonical key of a session or order row.
  static func print(_ user: String, kind: UInt8, _ id: String) -> Fingerprint {
    let n = UInt32(user.utf8.count)
    var bytes = (0..<4).map { UInt8(truncatingIfNeeded: n >> UInt32(8 * $0)) }
    bytes += Array(user.utf8) + [kind] + Array(id.utf8)
    return bytes.withUnsafeBytes { Fingerprint(of: $0) }
  }

  /// Users who come and go, with and without rows of their own, some of them strangers: whatever row the
  /// engine still has is found by its user, and nothing else is.
  @Test(arguments: [1, 2, 3, 4])
  func everyRowIsFoundByItsUser(seed: UInt64) {
    Swift.print("seed \(seed)")
    var random = SplitMix(seed: seed)
    let configuration = ChurnTests.configuration()
    let driver = Driver(configuration)
    var sessions: [String: Set<String>] = [:]
    var orders: [String: Set<String>] = [:]
    var now: Int64 = 1000 * ChurnTests.hour
    var mostRows = 0
    var gone = 0
    for n in 0..<3000 {
      now += Int64(random.below(400_000))
      let user = random.below(6) == 0 ? "" : "u\(random.below(12))"
      let isPurchase = random.below(3) == 0
      var event = Event(
        type: isPurchase ? .purchase : .view, time: now - Int64(random.below(30)) * ChurnTests.hour,
        items: [Event.Item(id: "i\(random.below(9))")])
      if !user.isEmpty { event.user = user }
      event.session = "s\(random.below(200))"
      if isPurchase { event.order = "o\(random.below(300))" }
      driver.apply(event, offset: Int64(n))
      if isPurchase {
        orders[user, default: []].insert(event.order)
      } else {
        sessions[user, default: []].insert(event.session)
      }
      if n % 60 != 59 { continue }
      driver.tick(now)
      let interactions = driver.engine.interactions.rowsByUser(sessions, orders)
      #expect(interactions.wrong == [])
      mostRows = max(mostRows, interactions.found)
      gone = max(gone, interactions.missing)
      driver.engine.interactions.checkInvariants()
    }
    #expect(mostRows > 20 && gone > 100, "\(mostRows) rows, \(gone) expired")
    driver.tick(now + 100 * ChurnTests.hour)
    #expect(driver.engine.interactions.users.liveCount == 0)
    #expect(driver.engine.interactions.sessionCount == 0 && driver.engine.interactions.orderCount == 0)
  }
}

extension Interactions {
  /// Compares each user's rows with what looking up every key ever used finds.
  func rowsByUser(_ sessions: [String: Set<String>], _ orders: [String: Set<String>])
    -> (found: Int, missing: Int, wrong: [String])
  {
    var found = 0
    var missing = 0
    var wrong: [String] = []
    for user in Set(sessions.keys).union(orders.keys) where !user.isEmpty {
      var want: Set<String> = []
      for id in sessions[user] ?? [] {
        if let row = sessionRow(UserRowsTests.print(user, kind: 0, id)) {
          want.insert("session \(row)")
        } else {
          missing += 1
        }
      }
      for id in orders[user] ?? [] {
        if let row = orderRow(UserRowsTests.print(user, kind: 2, id)) {
          want.insert("order \(row)")
        } else {
          missing += 1
        }
      }
      found += want.count
      guard let id = users.find(user) else {
        if !want.isEmpty { wrong.append("\(user) is not known") }
        continue
      }
      var rows: Set<String> = []
      forEachRow(ofUser: id) { context, row in
        if context != .user { rows.insert("\(context.name) \(row)") }
      }
      if rows != want { wrong.append("\(user): \(rows.symmetricDifference(want))") }
    }
    return (found, missing, wrong)
  }
}
