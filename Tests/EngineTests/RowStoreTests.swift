// One matrix against a plain dictionary: rows of any length, growing and shrinking, at the ends of time.
import Engine
import Events
import Recommender
import Sparse
import TestSupport
import Testing

@Suite struct RowStoreTests {
  struct PlainRow {
    var slots: [UInt32: UInt64] = [:]

    /// The `history` latest, oldest first: time rising, at equal times the larger key first.
    func kept(_ history: Int, _ horizon: Int64, _ keys: [String]) -> [(item: UInt32, stamp: UInt64)] {
      let live = slots.filter { Int64($0.value >> 1) > horizon }.map { (item: $0.key, stamp: $0.value) }
      let sorted = live.sorted {
        $0.stamp >> 1 != $1.stamp >> 1
          ? $0.stamp >> 1 < $1.stamp >> 1 : bytesPrecede(keys[Int($1.item)], keys[Int($0.item)])
      }
      return Array(sorted.suffix(history))
    }
  }

  /// Times lie milliseconds to centuries apart, so that stamps take 4, 5 and 8 bytes; 0: all of these.
  @Test(arguments: [1, 2, 3, 7, 8, 9, 100, 1000, 12_000], [1, 5_000, 2_000_000, 0])
  func equalsADictionary(history: Int, scale: Int64) {
    let seed = UInt64(history) + UInt64(scale) * 100_000
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    let itemCount = max(12, history * 3 / 2)
    let keys = (0..<itemCount).map { "k\(($0 &* 7919) % itemCount)-\($0 % 3)" }
    var items = Interner()
    for key in keys { _ = Array(key.utf8).withUnsafeBytes { items.intern($0) } }
    let window: Int64 = scale == 0 ? 800_000_000_000 : 1_000_000 * scale
    var store = RowStore(
      MatrixConfiguration(context: .user, behaviour: .view, history: history, window: window))
    let rowCount = history > 500 ? 2 : 20
    var plain = [PlainRow](repeating: PlainRow(), count: rowCount)
    var horizon: Int64 = -1
    var now: Int64 = 0
    let acts = history > 500 ? history * 3 : 20_000
    for n in 0..<acts {
      let step = scale > 0 ? scale : [1, 1, 1, 5_000, 2_000_000][random.below(5)]
      now += Int64(random.below(200)) * step
      let row = random.below(rowCount)
      let item = UInt32(random.below(itemCount))
      // Mostly in order, some late by up to the window, many at equal times.
      var time = now / 100 * 100
      if random.below(4) == 0 { time = max(0, time - Int64(random.below(1_200_000)) * step / 100 * 100) }
      let stamp = Stamp.make(time: time, active: random.below(4) > 0)
      let edit = store.apply(row: UInt32(row), item: item, stamp: stamp, items: items)
      if time <= horizon {
        #expect(edit.outcome == .tooOld)
      } else {
        #expect(edit.oldStamp.map { $0 < stamp } ?? true)
        if let old = plain[row].slots[item] {
          plain[row].slots[item] = max(old, stamp)
        } else {
          plain[row].slots[item] = stamp
        }
      }
      if n % max(1, acts / 40) == 0 || n == acts - 1 {
        if random.below(2) == 0 && now > window {
          var dropped = 0
          let before = store.slots
          horizon = max(horizon, now - window)
          store.expire(
            to: now - window, dropped: { _, _, _ in dropped += 1 }, emptied: { _ in })
          #expect(before - store.slots == dropped)
        }
        check(store, plain, history, horizon, keys)
        store.checkInvariants(items: items)
      }
    }
    // A slot displaced is in nobody's way: rows from what is left equal rows from everything.
    store.expire(to: now + 1, dropped: { _, _, _ in }, emptied: { _ in })
    #expect(store.slots == 0 && store.activeRows == 0 && store.activeSlots == 0)
    store.checkInvariants(items: items)
  }

  func check(
    _ store: borrowing RowStore, _ plain: [PlainRow], _ history: Int, _ horizon: Int64, _ keys: [String]
  ) {
    var total = 0
    for row in plain.indices {
      let want = plain[row].kept(history, horizon, keys)
      let (ids, stamps) = store.slots(of: UInt32(row))
      total += want.count
      let same =
        ids.count == want.count
        && want.indices.allSatisfy { ids[$0] == want[$0].item && stamps[$0] == want[$0].stamp }
      #expect(same, "row \(row) of \(ids.count), not \(want.count)")
    }
    #expect(store.slots == total)
  }

  /// What a seal hands over, laid over what it handed over before, is always the active items.
  @Test func changesAddUpToTheRows() {
    var random = SplitMix(seed: 5)
    var items = Interner()
    for n in 0..<30 { _ = Array("i\(n)".utf8).withUnsafeBytes { items.intern($0) } }
    var store = RowStore(
      MatrixConfiguration(context: .user, behaviour: .view, history: 6, window: 5000))
    var rows: [UInt32: Set<UInt32>] = [:]
    var now: Int64 = 0
    for n in 0..<30_000 {
      now += Int64(random.below(20))
      let stamp = Stamp.make(time: max(0, now - Int64(random.below(300))), active: random.below(3) > 0)
      _ = store.apply(
        row: UInt32(random.below(40)), item: UInt32(random.below(30)), stamp: stamp, items: items)
      if random.below(40) != 0 { continue }
      if random.below(3) == 0 {
        store.expire(to: now - 5000, dropped: { _, _, _ in }, emptied: { _ in })
      }
      let changes = store.takeChanges()
      #expect(Set(changes.rows).count == changes.rows.count)
      for (k, row) in changes.rows.enumerated() {
        let list = changes.items[changes.offsets[k]..<changes.offsets[k + 1]]
        #expect(Set(list).count == list.count)
        rows[row] = list.isEmpty ? nil : Set(list)
      }
      #expect(store.dirtyCount == 0)
      var active = 0
      for row in 0..<UInt32(store.rowLimit) {
        let (ids, stamps) = store.slots(of: row)
        let live = Set(ids.indices.filter { Stamp.isActive(stamps[$0]) }.map { ids[$0] })
        #expect(live == rows[row] ?? [], "row \(row) after \(n)")
        active += live.count
      }
      #expect(active == store.activeSlots && rows.count == store.activeRows)
    }
  }

  @Test func theEndsOfTime() {
    let last = EventTime.range.upperBound
    var c = EngineConfiguration()
    for i in c.relations.indices { c.relations[i].minBoth = 1 }
    c.rules.minSupport = .init(numerator: 1, denominator: 1)
    for window in [Int64(1), 86_400_000, last, nil] {
      for i in c.relations.indices { c.relations[i].window = window }
      c.rules.window = window
      c.popularity.window = window
      let driver = Driver(c)
      var twin = Twin(c)
      var offset: Int64 = 0
      func buy(_ time: Int64, _ user: String) {
        for e in [
          DigestTests.purchase(["a", "b"], time, user: user),
          Event(type: .view, time: time, user: user, items: [Event.Item(id: "a"), Event.Item(id: "c")]),
        ] {
          driver.apply(e, offset: offset)
          twin.events.append(e)
          offset += 1
        }
      }
      for (tick, times) in [
        (Int64(0), [Int64(0), 1]), (1, [0, 1, 2]), (86_400_000, [86_400_000, 5]), (last, [last, last - 1]),
      ] {
        for (n, time) in times.enumerated() { buy(time, "u\(n)") }
        driver.tick(tick)
        twin.ticks.append(tick)
        #expect(TwinTests.compareRows(driver, twin) == [], "window \(window ?? -1), tick \(tick)")
        #expect(TwinTests.compareModel(driver, twin, driver.engine.model) == [])
        if let rules = twin.rules() { #expect(TwinTests.compareRules(driver, rules) == []) }
      }
    }
  }

  /// Partitions and offsets as a log file may claim them.
  @Test func positionsOfAnySize() {
    let driver = Driver(EngineConfiguration())
    for partition in [Int32.max, Int32.min, -1, 70_000] {
      driver.apply(DigestTests.purchase(["a"], 1000), partition: partition, offset: .max)
    }
    driver.apply(DigestTests.purchase(["a"], 1000), partition: 2, offset: .max)
    #expect(driver.engine.positions[0].count == 3)
    driver.tick(2000)
    #expect(driver.folded(.models).count == 1)
  }
}
