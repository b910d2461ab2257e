// The engine against its twin, after every tick of random logs.
import Engine
import Events
import Recommender
import Sparse
import TestSupport
import Testing

@Suite struct TwinTests {
  @Test(arguments: 0..<10)
  func everyTickEqualsTheTwin(block: Int) throws {
    for n in 0..<RandomLog.count(40) {
      let seed = UInt64(block * 1_000_000 + n)
      var log = RandomLog(seed: seed)
      log.churn = n % 4 == 3
      let configuration = log.configuration()
      let steps = log.steps(40 + log.random.below(120), ticks: 5, configuration: configuration)
      let faults = TwinTests.run(steps, configuration)
      #expect(faults.isEmpty, "seed \(seed): \(faults.prefix(3).joined(separator: "; "))")
      if !faults.isEmpty { return }
    }
  }

  /// What differs, in words; empty where nothing does.
  static func run(_ steps: [Step], _ configuration: EngineConfiguration) -> [String] {
    let driver = Driver(configuration)
    var twin = Twin(configuration)
    var rules: [[String]: [TwinRule]]? = [:]
    var offset: Int64 = 0
    for (index, step) in steps.enumerated() {
      switch step {
      case .event(let event):
        driver.apply(event, offset: offset)
        offset += 1
        twin.take(event)
      case .tick(let tick):
        driver.tick(tick)
        if twin.tick(tick) { rules = twin.rules() }
        var faults = compareRows(driver, twin)
        faults += compareModel(driver, twin, driver.engine.model)
        if let rules { faults += compareRules(driver, rules) }
        faults += compareMessages(driver, twin)
        if !faults.isEmpty { return ["step \(index)"] + faults }
      }
    }
    return []
  }

  static func compareRows(_ driver: Driver, _ twin: Twin) -> [String] {
    var faults: [String] = []
    driver.engine.interactions.checkInvariants()
    let matrices = driver.engine.interactions.matrices
    for m in matrices.indices {
      let name = "\(matrices[m])"
      let rows = twin.rows(matrices[m])
      let sizes = driver.engine.interactions.sizes(matrix: m)
      let slots = rows.values.reduce(0) { $0 + $1.count }
      let active = rows.values.reduce(0) { $0 + $1.filter(\.isActive).count }
      let activeRows = rows.values.filter { $0.contains(where: \.isActive) }.count
      if sizes.slots != slots || sizes.activeSlots != active || sizes.activeRows != activeRows {
        faults.append("\(name): sizes \(sizes), not \(slots), \(active), \(activeRows)")
      }
      for (key, want) in rows {
        let row: UInt32? = key.withUnsafeBytes { bytes in
          switch matrices[m].context {
          case .user: driver.engine.interactions.users.find(bytes)
          case .session: driver.engine.interactions.sessionRow(Fingerprint(of: bytes))
          case .order: driver.engine.interactions.orderRow(Fingerprint(of: bytes))
          }
        }
        guard let row else {
          faults.append("\(name): no row \(key)")
          continue
        }
        let (items, stamps) = driver.engine.interactions.slots(matrix: m, row: row)
        var got: [TwinSlot] = []
        for k in items.indices.reversed() {
          got.append(
            TwinSlot(
              item: driver.item(items[k]), time: Stamp.time(stamps[k]),
              isActive: Stamp.isActive(stamps[k])))
        }
        if got != want { faults.append("\(name): row \(got), not \(want)") }
      }
    }
    let digest = twin.digest(matrices).hex
    if driver.engine.digest.hex != digest { faults.append("digest") }
    return faults
  }

  static func compareModel(_ driver: Driver, _ twin: Twin, _ model: Model?) -> [String] {
    var faults: [String] = []
    guard let model else { return ["no model"] }
    if model.digest != driver.engine.digest || model.tick != twin.ticks.last {
      faults.append("the model's digest")
    }
    var tables: [TwinTable] = []
    for (r, relation) in twin.configuration.relations.enumerated() {
      let want = twin.table(relation)
      tables.append(want)
      let got = model.neighbours[r]
      if got.contexts != want.contexts {
        faults.append("\(relation.name): n \(got.contexts), not \(want.contexts)")
      }
      var names = Set<String>()
      for id in 0..<UInt32(driver.engine.interactions.items.idLimit)
      where driver.engine.interactions.items.isLive(id) {
        let item = driver.item(id)
        names.insert(item)
        let known = Int(id) < got.itemCount
        let this = known ? Int(got.sourceCount[Int(id)]) : 0
        let other = known ? Int(got.targetCount[Int(id)]) : 0
        if this != want.thisCount[item] ?? 0 || other != want.otherCount[item] ?? 0 {
          faults.append("\(relation.name): counts of \(item)")
        }
        let list = got.range(id).map { at in
          TwinNeighbour(
            item: driver.item(got.ids[at]), both: Int(got.both[at]), this: this,
            other: Int(got.targetCount[Int(got.ids[at])]), value: got.values[at])
        }
        if list != want.lists[item] ?? [] {
          faults.append("\(relation.name): \(item) has \(list), not \(want.lists[item] ?? [])")
        }
      }
      for item in want.lists.keys where !names.contains(item) { faults.append("no item \(item)") }
    }
    if model.countsDigest.hex != twin.countsDigest(tables).hex { faults.append("counts digest") }

    let (popular, trending) = twin.popularity()
    func plain(_ list: [PopularItem]) -> [Twin.Popular] {
      list.map {
        Twin.Popular(
          item: driver.item($0.item), count: Int($0.count), decayed: $0.decayed, score: $0.score)
      }
    }
    if plain(model.popular) != popular {
      faults.append("popular \(plain(model.popular)), not \(popular)")
    }
    if plain(model.trending) != trending {
      faults.append("trending \(plain(model.trending)), not \(trending)")
    }
    return faults
  }

  /// Rules as their messages stand after all that were sent.
  static func compareRules(_ driver: Driver, _ want: [[String]: [TwinRule]]) -> [String] {
    var faults: [String] = []
    var seen = 0
    for (key, value) in driver.folded(.rules) {
      guard let json = PlainJSON(value), let antecedent = PlainJSON(key)?.array?.compactMap(\.string),
        json["antecedent"]?.array?.compactMap(\.string) == antecedent
      else {
        faults.append("rules message \(value)")
        continue
      }
      let rules = want[antecedent] ?? []
      let got = json["consequents"]?.array ?? []
      seen += 1
      if got.count != rules.count {
        faults.append("\(antecedent): \(got.count) rules, not \(rules.count)")
        continue
      }
      for (g, w) in zip(got, rules) {
        func near(_ key: String, _ value: Double) -> Bool {
          guard let number = g[key]?.double else { return false }
          return abs(number - value) <= 1e-9 * value
        }
        let (n, x, y, b) = (
          Double(w.baskets), Double(w.antecedentCount), Double(w.consequentCount), Double(w.both)
        )
        let conviction: Double? = w.both == w.antecedentCount ? nil : x * (n - y) / (n * (x - b))
        let fine =
          json["baskets"]?.int == w.baskets && json["antecedent_count"]?.int == w.antecedentCount
          && g["items"]?.array?.compactMap(\.string) == w.consequent
          && g["consequent_count"]?.int == w.consequentCount && g["count"]?.int == w.both
          && g["support"]?.double == b / n && g["confidence"]?.double == b / x
          && g["lift"]?.double == n * b / (x * y) && g["leverage"]?.double == (n * b - x * y) / (n * n)
          && (conviction == nil ? g["conviction"] == .null : g["conviction"]?.double == conviction)
          && near("p", w.p) && near("q", w.q)
        if !fine { faults.append("\(g), not \(w)") }
      }
    }
    if seen != want.count { faults.append("\(seen) antecedents, not \(want.count)") }
    return faults
  }

  /// All messages so far, folded by key, say what the model in force says.
  static func compareMessages(_ driver: Driver, _ twin: Twin) -> [String] {
    var faults: [String] = []
    guard let model = driver.engine.model else { return ["no model"] }
    let models = driver.sent.filter { $0.topic == .models }
    if models.count != twin.ticks.count || models.last?.key != model.id
      || model.id != "m-" + String(1_000_000 + twin.ticks.count).dropFirst()
    {
      faults.append("model \(model.id) of \(models.count)")
    }
    if let record = models.last?.value.flatMap({ PlainJSON($0) }) {
      if record["digest"]?.string != model.digest.hex
        || record["counts_digest"]?.string != model.countsDigest.hex
      {
        faults.append("digests on the models topic")
      }
    } else {
      faults.append("no record of the model")
    }

    let messages = driver.folded(.neighbours)
    var expected = 0
    for id in 0..<UInt32(driver.engine.interactions.items.idLimit)
    where driver.engine.interactions.items.isLive(id) {
      let item = driver.item(id)
      let has = model.neighbours.contains { !$0.range(id).isEmpty }
      if has { expected += 1 }
      guard has == (messages[item] != nil) else {
        faults.append("neighbours of \(item): a message is \(has ? "missing" : "left")")
        continue
      }
      guard has, let json = messages[item].flatMap({ PlainJSON($0) }) else { continue }
      if json["item"]?.string != item { faults.append("neighbours' item") }
      let relations = json["relations"] ?? .null
      for (r, relation) in twin.configuration.relations.enumerated() {
        let table = model.neighbours[r]
        let range = table.range(id)
        guard let part = relations[relation.name] else {
          if !range.isEmpty { faults.append("\(item): no \(relation.name)") }
          continue
        }
        var fine =
          part["measure"]?.string == relation.measure.name
          && part["count"]?.int == Int(table.sourceCount[Int(id)])
          && part["neighbours"]?.array?.count == range.count && !range.isEmpty
        // n may be an older one where nothing is computed from it.
        if [.lift, .llr].contains(relation.measure) && part["contexts"]?.int != table.contexts {
          fine = false
        }
        for (at, g) in zip(range, part["neighbours"]?.array ?? []) {
          fine =
            fine && g["id"]?.string == driver.item(table.ids[at])
            && g["value"]?.double == table.values[at] && g["both"]?.int == Int(table.both[at])
            && g["other"]?.int == Int(table.targetCount[Int(table.ids[at])])
        }
        if !fine { faults.append("\(item): \(part)") }
      }
    }
    if messages.count != expected { faults.append("\(messages.count) neighbour keys, not \(expected)") }

    let popular = driver.folded(.popular)
    for (key, list) in [("popular", model.popular), ("trending", model.trending)] {
      let got = popular[key].flatMap { PlainJSON($0) }?["items"]?.array ?? []
      let fine =
        got.count == list.count
        && zip(got, list).enumerated().allSatisfy { place, pair in
          pair.0["id"]?.string == driver.item(pair.1.item) && pair.0["rank"]?.int == place + 1
            && pair.0["count"]?.int == Int(pair.1.count) && pair.0["score"]?.double == pair.1.score
            && pair.0["decayed"]?.double == pair.1.decayed
        }
      if !fine || list.isEmpty != (popular[key] == nil) { faults.append("\(key) message") }
    }
    return faults
  }
}
