// Lists: their content against the twin, their evidence, and when they are made.
import Engine
import Events
import Recommender
import Sparse
import TestSupport
import Testing

@Suite struct ListTests {
  static func isCause(_ e: Event, _ twin: Twin) -> Bool {
    guard let (behaviour, undoes) = twin.meaning(e), !undoes else { return false }
    return twin.configuration.recommendEnabled && twin.configuration.recommend.on.contains(behaviour)
      && listener(e) != nil
  }

  static func listener(_ e: Event) -> String? {
    e.user.isEmpty ? (e.session.isEmpty ? nil : "~" + e.session) : e.user
  }

  /// Items with their scores: what makes one list another.
  static func scores(_ value: String) -> [String] {
    (PlainJSON(value)?["lists"]?["for_you"]?.array ?? []).map {
      "\($0["id"]?.string ?? "") \($0["score"]?.double ?? -1) \($0["rest"]?.double ?? -1)"
    }
  }

  /// Every list of random logs, made at once, against the twin: content, evidence, order, exclusions.
  @Test(arguments: 0..<6)
  func everyListEqualsTheTwins(block: Int) {
    var checked = 0
    var formulaLists = 0
    for n in 0..<RandomLog.count(12) {
      let seed = UInt64(50_000_000 + block * 1_000_000 + n)
      var log = RandomLog(seed: seed)
      log.churn = n % 5 == 4
      var configuration = log.configuration()
      configuration.recommendEnabled = true
      configuration.recommend.linger = 0
      if n % 3 == 0 { configuration.recommend.popularityWeight = 0 }
      if n % 2 == 0 { log.formulas(&configuration) }
      let steps = log.steps(90, ticks: 4, configuration: configuration)
      let driver = Driver(configuration)
      var twin = Twin(configuration)
      var rules: [[String]: [TwinRule]] = [:]
      var model: TwinModel?
      var formulas = TwinFormulas(configuration)
      var faults: [String] = []
      log: for (i, step) in steps.enumerated() {
        driver.sent.removeAll()
        switch step {
        case .tick(let tick):
          driver.tick(tick)
          if twin.tick(tick) {
            formulas.fit(twin)
            guard let mined = configuration.rulesEnabled ? twin.rules() : [:] else { break log }
            rules = mined
          }
          formulas.follow(twin)
          model = twin.model(rules: rules)
        case .event(let e):
          let disposition = driver.apply(e, offset: Int64(i))
          twin.take(e)
          let lists = driver.sent.filter { $0.topic == .recommendations && $0.value != nil }
          guard let model, ListTests.isCause(e, twin), disposition == .applied else {
            if !lists.isEmpty { faults.append("a list without a cause") }
            continue
          }
          guard lists.count == 1, let value = lists[0].value, let json = PlainJSON(value) else {
            faults.append("\(lists.count) lists for a cause")
            continue
          }
          let scene = TwinScene(
            user: e.user, session: twin.rowKey(e, .session), order: twin.rowKey(e, .order), time: e.time)
          if configuration.lists.forYou == .blend {
            faults += twin.check(
              list: json["lists"]?["for_you"]?.array ?? [], scene: scene, model: model)
          }
          faults += formulas.check(json["lists"], scene, twin)
          formulaLists += formulas.checked
          if json["id"]?.string != "shop.events-0-\(i)" || json["cause"]?["offset"]?.int != i
            || lists[0].key != ListTests.listener(e)
            || json[e.user.isEmpty ? "session" : "user"]?.string
              != (e.user.isEmpty ? e.session : e.user)
            || json["model"]?.string != driver.engine.model?.id
          {
            faults.append("head of \(value.prefix(200))")
          }
          checked += 1
        }
        if !faults.isEmpty {
          faults.insert("step \(i)", at: 0)
          break
        }
      }
      #expect(faults.isEmpty, "seed \(seed): \(faults.prefix(4).joined(separator: "; "))")
      if !faults.isEmpty { return }
    }
    #expect(checked > 200, "\(checked) lists")
    #expect(formulaLists > 100, "\(formulaLists) lists with items made by formulas")
  }

  /// Lingering drops overtaken causes and nothing else; what is made has the same bytes.
  @Test(arguments: 0..<4)
  func lingerOnlyDropsOvertakenCauses(block: Int) {
    var dropped = 0
    for n in 0..<RandomLog.count(25) {
      let seed = UInt64(90_000_000 + block * 1_000_000 + n)
      var log = RandomLog(seed: seed)
      var configuration = log.configuration()
      configuration.recommendEnabled = true
      // An erasure drops causes too.
      let steps = log.steps(120, ticks: 5, configuration: configuration).filter { !$0.isErasure }
      var runs: [[String: String]] = []
      var renewed: [[Sent]] = []
      let lingers: [Int64] = [0, 3 * log.grain, 1 << 50]
      var causes: [(id: String, listener: String, index: Int)] = []
      var barriers: [String: [Int]] = [:]
      for linger in lingers {
        configuration.recommend.linger = linger
        let driver = Driver(configuration)
        let twin = Twin(configuration)
        for (i, step) in steps.enumerated() {
          switch step {
          case .tick(let t): driver.tick(t)
          case .event(let e):
            let hadModel = driver.engine.model != nil
            let disposition = driver.apply(e, offset: Int64(i))
            if linger == 0, disposition == .applied, hadModel, ListTests.isCause(e, twin),
              let listener = ListTests.listener(e)
            {
              causes.append(("shop.events-0-\(i)", listener, i))
            }
          }
        }
        driver.flush()
        var byID: [String: String] = [:]
        for message in driver.sent where message.topic == .recommendations {
          guard let value = message.value, let id = PlainJSON(value)?["id"]?.string else {
            Issue.record("seed \(seed): \(message)")
            continue
          }
          if let old = byID[id] { #expect(old == value, "seed \(seed): \(id) twice with other bytes") }
          byID[id] = value
        }
        runs.append(byID)
        renewed.append(driver.sent.filter { $0.topic == .recommendations && ($0.value ?? "").hasPrefix("{\"id\":\"m-") })
      }
      // Ticks are flushes: the last cause of each listener before one may not be dropped.
      var segment = 0
      for (i, step) in steps.enumerated() {
        if case .tick = step { segment = i }
        barriers["\(segment)", default: []].append(i)
      }
      #expect(Set(runs[0].keys).isSuperset(of: causes.map(\.id)), "seed \(seed): linger 0 makes every list")
      for r in 1..<runs.count {
        for (id, value) in runs[r] where !id.hasPrefix("m-") {
          #expect(runs[0][id] == value, "seed \(seed): \(id)")
        }
        for indices in barriers.values {
          let here = causes.filter { indices.contains($0.index) }
          for listener in Set(here.map(\.listener)) {
            guard let last = here.last(where: { $0.listener == listener }) else { continue }
            #expect(runs[r][last.id] != nil, "seed \(seed): \(last.id) is dropped")
          }
        }
        dropped += causes.filter { runs[r][$0.id] == nil }.count
      }
    }
    #expect(dropped > 100)
  }

  /// A list depends on the rows and the model, not on how they came about: events between ticks in
  /// another order give other dense ids and the same bytes.
  @Test func listsArePureFunctionsOfRowsAndModel() {
    for n in 0..<40 {
      let seed = UInt64(130_000 + n)
      var log = RandomLog(seed: seed)
      var configuration = log.configuration()
      configuration.recommendEnabled = true
      configuration.recommend.linger = 0
      let steps = log.steps(100, ticks: 4, configuration: configuration).filter { !$0.isErasure }
      var tail = steps.count - 1
      while tail > 0, case .event = steps[tail - 1] { tail -= 1 }
      // The last tick is the log's end: take the stretch before it.
      let ticks = steps.indices.filter { if case .tick = steps[$0] { true } else { false } }
      guard ticks.count >= 2 else { continue }
      let cut = ticks[ticks.count - 2]
      func run(_ shuffled: Bool) -> [Sent] {
        let driver = Driver(configuration)
        var waiting: [(Event, Int)] = []
        for (i, step) in steps[...cut].enumerated() {
          switch step {
          case .event(let e): waiting.append((e, i))
          case .tick(let t):
            if shuffled { waiting.shuffle(using: &log.random) }
            for (e, offset) in waiting { driver.apply(e, offset: Int64(offset)) }
            waiting = []
            driver.tick(t)
          }
        }
        driver.sent.removeAll()
        for i in (cut + 1)..<steps.count {
          if case .event(let e) = steps[i] { driver.apply(e, offset: Int64(i)) }
        }
        return driver.sent
      }
      let want = run(false)
      for _ in 0..<3 { #expect(run(true) == want, "seed \(seed)") }
    }
  }

  /// A new model renews the list of everyone active within `refresh` whose list changed, and no other's:
  /// after its renewals the list last sent to each is the one that the model makes of the rows.
  @Test(arguments: 0..<4)
  func renewals(block: Int) {
    var sentCount = 0
    var unchanged = 0
    for n in 0..<RandomLog.count(12) {
      let seed = UInt64(170_000_000 + block * 1_000_000 + n)
      var log = RandomLog(seed: seed)
      var configuration = log.configuration()
      configuration.recommendEnabled = true
      if n % 3 == 0 { configuration.recommend.popularityWeight = 0 }
      let steps = log.steps(90, ticks: 8, configuration: configuration)
      let driver = Driver(configuration)
      var twin = Twin(configuration)
      var active: [String: (time: Int64, session: [UInt8]?)] = [:]
      var last: [String: String] = [:]
      var stream: Int64 = .min
      var rules: [[String]: [TwinRule]] = [:]
      log: for (i, step) in steps.enumerated() {
        driver.sent.removeAll()
        switch step {
        case .event(let e):
          let disposition = driver.apply(e, offset: Int64(i))
          stream = max(stream, e.time)
          twin.take(e)
          if disposition == .erasure { active[e.user] = nil }
          if disposition == .applied, ListTests.isCause(e, twin), let key = ListTests.listener(e) {
            active[key] = (max(e.time, active[key]?.time ?? .min), twin.rowKey(e, .session))
          }
        case .tick(let tick):
          driver.flush()
          for message in driver.sent where message.topic == .recommendations { last[message.key] = message.value }
          driver.sent.removeAll()
          driver.tick(tick)
          if twin.tick(tick) {
            guard let mined = twin.rules() else { break log }
            rules = mined
          }
          let model = twin.model(rules: rules)
          let renewed = driver.sent.filter { $0.topic == .recommendations }
          #expect(Set(renewed.map(\.key)).count == renewed.count, "seed \(seed): one list each")
          let since = stream - configuration.recommend.refresh
          for message in renewed {
            guard let value = message.value else { continue }
            let lists = ListTests.scores(value)
            sentCount += 1
            #expect(active[message.key].map { $0.time >= since } == true, "seed \(seed)")
            #expect(last[message.key].map { ListTests.scores($0) } != lists, "seed \(seed): unchanged")
            let id = driver.engine.model?.id ?? ""
            #expect(value.contains("\"cause\":{\"model\":\"\(id)\"}"))
            #expect(PlainJSON(value)?["id"]?.string == id + "-" + message.key)
          }
          for message in renewed { last[message.key] = message.value }
          for (key, state) in active where state.time >= since {
            if !renewed.contains(where: { $0.key == key }) { unchanged += 1 }
            let scene = TwinScene(
              user: key.hasPrefix("~") ? "" : key, session: state.session, order: nil, time: tick)
            let list = last[key].flatMap { PlainJSON($0) }?["lists"]?["for_you"]?.array ?? []
            let isNew = renewed.contains { $0.key == key }
            let faults = twin.check(list: list, scene: scene, model: model, evidence: isNew)
            #expect(faults.isEmpty, "seed \(seed), step \(i), \(key): \(faults.prefix(3))")
          }
          active = active.filter { $0.value.time >= since }
          last = last.filter { active[$0.key] != nil }
          continue
        }
        for message in driver.sent where message.topic == .recommendations { last[message.key] = message.value }
      }
    }
    #expect(sentCount > 30 && unchanged > 5)
  }

  /// An undoing is no cause, but changes rows: the list that waits is made first.
  @Test func undoingMakesTheWaitingListFirst() {
    for type in [EventType.refund, .uncart, .impression] {
      var c = EngineConfiguration()
      for i in c.relations.indices { c.relations[i].minBoth = 1 }
      c.recommend.linger = 1 << 40
      var relation = RelationConfiguration(name: "seen")
      relation.source = .impression
      relation.target = .impression
      c.relations.append(relation)
      let hour: Int64 = 3_600_000
      func item(_ id: String) -> [Event.Item] { [Event.Item(id: id)] }
      func run(_ linger: Int64, _ more: Bool) -> [Sent] {
        c.recommend.linger = linger
        let driver = Driver(c)
        for n in 0..<6 {
          driver.apply(DigestTests.purchase(["a", "b", "c-\(n)"], 1000 * hour, user: "v-\(n)"), offset: Int64(n))
        }
        var cart = Event(type: .cart, time: 1001 * hour, user: "u", items: item("b"))
        driver.apply(cart, offset: 6)
        driver.tick(1002 * hour)
        cart.items = item("a")
        cart.time = 1003 * hour
        driver.apply(cart, offset: 7)
        driver.sent.removeAll { !(linger == 0 && $0.value?.contains("shop.events-0-7") == true) }
        if more {
          driver.apply(Event(type: type, time: 1004 * hour, user: "u", items: item("b")), offset: 8)
        }
        driver.flush()
        return driver.sent
      }
      let want = run(0, false)
      #expect(want.count == 1)
      #expect(run(1 << 40, true) == want, "\(type)")
      #expect(run(1 << 40, false) == want, "\(type)")
    }
  }

  /// Nobody's order may be changed by another session: its list does not wait for that.
  @Test func nobodysOrderDoesNotLinger() {
    var c = EngineConfiguration()
    for i in c.relations.indices { c.relations[i].minBoth = 1 }
    c.recommend.linger = 1 << 40
    let driver = Driver(c)
    let hour: Int64 = 3_600_000
    for n in 0..<6 {
      driver.apply(DigestTests.purchase(["a", "b", "c"], 1000 * hour, user: "v-\(n)"), offset: Int64(n))
    }
    for n in 0..<6 {
      driver.apply(DigestTests.purchase(["x"], 1000 * hour, user: "x-\(n)"), offset: Int64(6 + n))
    }
    driver.tick(1001 * hour)
    var bought = DigestTests.purchase(["a"], 1002 * hour, order: "o", user: "")
    bought.session = "s"
    driver.apply(bought, offset: 7)
    var other = DigestTests.refund(["a"], 1003 * hour, ordered: nil, order: "o")
    other.user = ""
    driver.apply(other, offset: 8)
    driver.flush()
    let lists = driver.sent.filter { $0.topic == .recommendations && $0.key == "~s" }
    #expect(lists.count == 1)
    #expect(lists.first?.value?.contains("\"because\":\"a\"") == true)
  }
}
