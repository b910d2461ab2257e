// Forgetting: after an erasure the digest is that of a run that never saw the user, the models are, and so is all
// that is said from then on.
//
// "Never saw" is the same log with the user's earlier records and the erasure replaced by records of an unknown type
// at the same place and time. What a message says is equal from the first model sealed after the erasure. Whether it
// is said again depends on what was said before, in which the two runs differ: so the first model may
// send keys in one run that it need not send in the other. After it every key has the same messages.
// Rules are as old as the last mining: where `rules.interval` keeps them, all this begins with the first model mined
// in both.
import Engine
import Events
import Recommender
import Sparse
import TestSupport
import Testing

@Suite struct ErasureTests {
  /// What there is to see of a model.
  struct Moment {
    var model: Model
    var isMined: Bool
    /// Its record, its messages, the lists it renews.
    var said: [Sent]
    /// Said until the next model.
    var after: [Sent] = []
    /// The last value of every key.
    var state: [OutputTopic: [String: String]] = [:]
  }

  /// - Returns: the digests after the erasure and at every tick, and the models since.
  static func run(
    _ steps: [Step], _ configuration: EngineConfiguration, erasing user: String, before cut: Int,
    isNull: Bool, isSeen: Bool
  ) -> (digests: [String], moments: [Moment]) {
    let driver = Driver(configuration)
    var digests: [String] = []
    var moments: [Moment] = []
    var time: Int64 = 0
    var mark = 0
    func closeLast() {
      if !moments.isEmpty { moments[moments.count - 1].after = Array(driver.sent[mark...]) }
    }
    for (i, step) in steps.enumerated() {
      let offset = Int64(2 * i + 1)
      if i == cut {
        if !isSeen {
          driver.skip(time: isNull ? nil : time, offset: offset - 1)
        } else if isNull {
          driver.erase(user, offset: offset - 1)
        } else {
          driver.apply(Event(type: .erase, time: time, user: user), offset: offset - 1)
        }
        if isSeen { #expect(driver.folded(.recommendations)[user] == nil) }
        digests.append(driver.engine.digest.hex)
        driver.engine.interactions.checkInvariants()
      }
      switch step {
      case .event(let e):
        time = e.time
        if i < cut && e.user == user && !isSeen {
          driver.skip(time: e.time, offset: offset)
        } else {
          driver.apply(e, offset: offset)
        }
      case .tick(let tick):
        let built = driver.make(tick)
        closeLast()
        let start = driver.sent.count
        driver.put(built)
        mark = driver.sent.count
        if i < cut { continue }
        driver.engine.interactions.checkInvariants()
        digests.append(driver.engine.digest.hex)
        digests.append(built.model.countsDigest.hex)
        var moment = Moment(
          model: built.model, isMined: built.model.rulesSequence == built.model.sequence,
          said: Array(driver.sent[start...]))
        for topic in OutputTopic.allCases where !topic.isLog { moment.state[topic] = driver.folded(topic) }
        moments.append(moment)
      }
    }
    driver.flush()
    closeLast()
    return (digests, moments)
  }

  @Test(arguments: 0..<6)
  func theRunThatNeverSawTheUser(block: Int) {
    var logs = 0
    var messages = 0
    var renewals = 0
    var differences = 0
    for n in 0..<RandomLog.count(40) {
      let seed = UInt64(410_000_000 + block * 1_000_000 + n)
      var log = RandomLog(seed: seed)
      log.churn = n % 2 == 0
      var configuration = log.configuration()
      if n % 3 != 0 {
        configuration.rules.interval = 0
        configuration.recommendEnabled = true
      }
      if n % 4 >= 2 { log.formulas(&configuration) }
      let steps = log.steps(140, ticks: 10, configuration: configuration)
      let cut = steps.count / 4 + log.random.below(steps.count / 2)
      let user = log.pick(log.users)
      let isNull = n % 4 == 1
      let seen = ErasureTests.run(
        steps, configuration, erasing: user, before: cut, isNull: isNull, isSeen: true)
      let never = ErasureTests.run(
        steps, configuration, erasing: user, before: cut, isNull: isNull, isSeen: false)
      #expect(seen.digests == never.digests, "seed \(seed)")
      if seen.digests != never.digests { return }
      var faults: [String] = []
      ErasureTests.compare(
        seen.moments, never.moments, hasRules: configuration.rulesEnabled || configuration.lists.isOn, &faults)
      #expect(faults.isEmpty, "seed \(seed): \(faults.prefix(3).joined(separator: "; "))")
      if !faults.isEmpty { return }
      logs += 1
      for (a, b) in zip(seen.moments, never.moments) {
        messages += b.said.count + b.after.count
        renewals += b.said.count { $0.value?.hasPrefix("{\"id\":\"m-") == true }
        if ErasureTests.byKey(a.said) != ErasureTests.byKey(b.said) { differences += 1 }
      }
    }
    print("erasure: \(logs) logs, \(messages) messages, \(renewals) renewals; \(differences) models sent other keys")
    #expect(logs >= 40 && messages > 1000 && renewals > 20)
    #expect(differences > 0, "runs that differ in nothing show nothing")
  }

  /// Each key's messages in their order. Keys stand in the order of dense ids, which says nothing.
  static func byKey(_ sent: [Sent], where isWanted: (OutputTopic) -> Bool = { _ in true })
    -> [String: [String]]
  {
    var found: [String: [String]] = [:]
    for message in sent where isWanted(message.topic) {
      found["\(message.topic) \(message.key)", default: []].append(message.value ?? "null")
    }
    return found
  }

  static func compare(
    _ seen: [Moment], _ never: [Moment], hasRules: Bool, _ faults: inout [String]
  ) {
    func same(_ what: String, _ a: [String: [String]], _ b: [String: [String]]) {
      for key in Set(a.keys).union(b.keys).sorted() where a[key] != b[key] {
        faults.append("\(what), \(key): \(a[key] ?? []), not \(b[key] ?? [])")
      }
    }
    let first = never.indices.first { never[$0].isMined && seen[$0].isMined || !hasRules } ?? never.count
    for k in never.indices {
      let (a, b) = (seen[k], never[k])
      let name = b.model.id
      // Rows are all that neighbours and popularity are made of.
      for topic in [OutputTopic.neighbours, .popular] {
        ErasureTests.compareStates(topic, name, a, b, &faults)
        if k > 0 {
          same(
            "\(name)", ErasureTests.byKey(a.said) { $0 == topic }, ErasureTests.byKey(b.said) { $0 == topic })
        }
      }
      if k < first { continue }
      ErasureTests.compareStates(.rules, name, a, b, &faults)
      same("\(name)", ErasureTests.byKey(a.said) { $0 == .models }, ErasureTests.byKey(b.said) { $0 == .models })
      same("after \(name)", ErasureTests.byKey(a.after), ErasureTests.byKey(b.after))
      if k > first {
        same("\(name)", ErasureTests.byKey(a.said), ErasureTests.byKey(b.said))
        continue
      }
      // The first model: what both runs say is the same.
      let (ours, theirs) = (ErasureTests.byKey(a.said), ErasureTests.byKey(b.said))
      for key in ours.keys.sorted() where ours[key] != ["null"] {
        if let other = theirs[key], other != ["null"], other != ours[key] {
          faults.append("\(name), \(key): \(ours[key] ?? []), not \(other)")
        }
      }
    }
  }

  /// The same keys; the same content where it was made by an earlier model too, but for that model's name and
  /// numbers that a change of does not make a message be sent again.
  static func compareStates(
    _ topic: OutputTopic, _ name: String, _ a: Moment, _ b: Moment, _ faults: inout [String]
  ) {
    func content(_ value: String) -> String {
      value.replacing(/"model":"[^"]*"/, with: "").replacing(/"contexts":\d+/, with: "")
    }
    let (ours, theirs) = (a.state[topic] ?? [:], b.state[topic] ?? [:])
    for key in Set(ours.keys).union(theirs.keys).sorted()
    where ours[key].map(content) != theirs[key].map(content) {
      faults.append("state at \(name), \(topic) \(key): \(ours[key] ?? "none"), not \(theirs[key] ?? "none")")
    }
  }

  // MARK: one by one

  static func configuration() -> EngineConfiguration {
    var c = EngineConfiguration()
    for i in c.relations.indices { c.relations[i].minBoth = 1 }
    c.recommend.linger = 0
    return c
  }

  static func receipts(_ driver: Driver) -> [PlainJSON] {
    driver.sent.filter { $0.topic == .receipts }.compactMap { $0.value.flatMap { PlainJSON($0) } }
  }

  @Test func aReceiptSaysWhatWasRemoved() {
    let driver = Driver(ErasureTests.configuration())
    let hour = ChurnTests.hour
    driver.apply(DigestTests.purchase(["a", "b"], 1000 * hour, order: "1"), offset: 0)
    driver.apply(DigestTests.purchase(["c"], 1001 * hour, order: "2"), offset: 1)
    driver.apply(DigestTests.refund(["c"], 1002 * hour, ordered: nil, order: "2"), offset: 2)
    var view = Event(type: .view, time: 1003 * hour, user: "u", items: [.init(id: "a")])
    view.session = "s"
    driver.apply(view, offset: 3)
    driver.apply(DigestTests.purchase(["a", "b"], 1000 * hour, order: "1", user: "v"), offset: 4)
    let before = driver.engine.digest
    var request = Event(type: .erase, time: 1004 * hour, user: "u")
    request.id = "request \"1\""
    // Nobody withholds consent to being forgotten.
    request.consent = false
    #expect(driver.apply(request, offset: 5) == .erasure)
    let matrices = driver.engine.interactions.matrices
    func count(_ context: ContextKind, _ behaviour: Behaviour) -> Int {
      matrices.count { $0.context == context && $0.behaviour == behaviour }
    }
    let receipt = ErasureTests.receipts(driver).first
    #expect(driver.sent.last?.key == request.id && receipt?["request"]?.string == request.id)
    #expect(receipt?["time"]?.string == EventTime.string(1004 * hour))
    #expect(receipt?["cause"]?["offset"]?.int == 5 && receipt?["cause"]?["partition"]?.int == 0)
    #expect(receipt?["cause"]?["topic"]?.string == "shop.events")
    #expect(receipt?["digest_before"]?.string == before.hex)
    #expect(receipt?["digest_after"]?.string == driver.engine.digest.hex)
    let removed = receipt?["removed"]
    let purchases = count(.user, .purchase)
    let views = count(.user, .view)
    let baskets = count(.order, .purchase)
    let sessionViews = count(.session, .view)
    let sessionPurchases = count(.session, .purchase)
    #expect(
      removed?["rows"]?.int
        == purchases + views + 2 * baskets + sessionViews + sessionPurchases)
    #expect(
      removed?["entries"]?.int
        == 3 * purchases + views + 3 * baskets + sessionViews + 3 * sessionPurchases)
    #expect(removed?["orders"]?.int == 2 && removed?["baskets"]?.int == 1)
    #expect(removed?["sessions"]?.int == (sessionPurchases > 0 ? 2 : 1) && removed?["lists"]?.int == 0)
    #expect(receipt?["entries"]?["user/purchase"]?.int == 3 * purchases)
    #expect(receipt?["entries"]?["session/view"]?.int == sessionViews)
    #expect(receipt?["entries"]?["user/cart"] == nil)
    // The null came first.
    #expect(driver.sent.suffix(2).first == Sent(topic: .recommendations, key: "u", value: nil))
    #expect(driver.engine.interactions.users.liveCount == 1 && driver.engine.interactions.orderCount == 1)
    let other = Driver(ErasureTests.configuration())
    other.apply(DigestTests.purchase(["a", "b"], 1000 * hour, order: "1", user: "v"), offset: 0)
    #expect(other.engine.digest == driver.engine.digest)
  }

  @Test func whoWasNeverSeenHasAReceiptOfZeros() {
    let driver = Driver(ErasureTests.configuration())
    driver.apply(DigestTests.purchase(["a"], 1000), offset: 0)
    driver.erase("nobody", partition: 3, offset: 7, timestamp: 5000)
    let receipt = ErasureTests.receipts(driver).first
    #expect(receipt?["request"]?.string == "shop.events-3-7")
    #expect(receipt?["time"]?.string == EventTime.string(5000))
    for name in ["rows", "entries", "sessions", "orders", "baskets", "lists"] {
      #expect(receipt?["removed"]?[name]?.int == 0, "\(name)")
    }
    #expect(receipt?["digest_before"] == receipt?["digest_after"])
    #expect(driver.sent.first == Sent(topic: .recommendations, key: "nobody", value: nil))
    #expect(driver.engine.streamTime == 1000 && driver.engine.positions[0][3] == 8)
    #expect(driver.engine.eventsByDisposition[Int(Disposition.erasure.rawValue)] == 1)
  }

  @Test func silenceErasesAndSaysNothing() {
    let driver = Driver(ErasureTests.configuration())
    driver.apply(DigestTests.purchase(["a"], 1000), offset: 0)
    driver.engine.isSilent = true
    driver.apply(Event(type: .erase, time: 2000, user: "u"), offset: 1)
    driver.erase("v", offset: 2)
    #expect(driver.engine.digest == .zero && driver.sent.isEmpty)
  }

  /// A list that waits is not made, by cause or by renewal; nobody takes its place in the queue; strangers and names
  /// like strangers' are apart.
  @Test func whatWaitsIsDropped() {
    for user in ["u", "~s", "\u{0}u", String(repeating: "long", count: 30)] {
      var c = ErasureTests.configuration()
      c.recommend.linger = 10_000
      let driver = Driver(c)
      let hour = ChurnTests.hour
      for n in 0..<4 {
        driver.apply(DigestTests.purchase(["a", "b"], 1000 * hour, user: "v-\(n)"), offset: Int64(n))
      }
      driver.tick(1001 * hour)
      var stranger = Event(type: .view, time: 1002 * hour, items: [.init(id: "a")])
      stranger.session = "s"
      driver.apply(stranger, offset: 4)
      driver.apply(DigestTests.purchase(["a"], 1002 * hour + 1, user: user), offset: 5)
      #expect(driver.engine.pendingCount == 2)
      driver.sent.removeAll()
      driver.apply(Event(type: .erase, time: 1002 * hour + 2, user: user), offset: 6)
      #expect(ErasureTests.receipts(driver).first?["removed"]?["lists"]?.int == 1)
      #expect(driver.sent.first == Sent(topic: .recommendations, key: user, value: nil))
      #expect(driver.engine.pendingCount == 1)
      // Takes the id, not the place: due only after its own linger.
      driver.apply(DigestTests.purchase(["a"], 1002 * hour + 9000, user: "w"), offset: 7)
      driver.apply(DigestTests.purchase(["x"], 1002 * hour + 10_500, user: "x"), offset: 8)
      let lists = driver.sent.filter { $0.topic == .recommendations && $0.value != nil }
      #expect(lists.map(\.key) == ["~s"], "\(user)")
      driver.flush()
      #expect(!driver.sent.contains { $0.key == user && $0.value?.contains("\"user\":") == true })
    }
  }

  /// No section of the state holds a byte of the id; before, some do.
  @Test func noSectionOfTheStateHoldsTheId() {
    for canary in ["canary-1", "canary-" + String(repeating: "0123456789", count: 7)] {
      let driver = Driver(ErasureTests.configuration())
      var log = RandomLog(seed: 99)
      var offset: Int64 = 0
      func holds() -> Bool {
        driver.flush()
        driver.builder.absorb(driver.engine.takeChanges())
        var state = StateWriter()
        driver.engine.save(into: &state)
        let needle = Array(canary.utf8)
        return state.sections.contains { section in
          section.parts.contains { part in
            guard part.count >= needle.count else { return false }
            return (0...(part.count - needle.count)).contains { at in
              part[at] == needle[0] && part[at..<(at + needle.count)].elementsEqual(needle)
            }
          }
        }
      }
      for step in log.steps(200, ticks: 4, configuration: driver.engine.configuration) {
        switch step {
        case .event(var e):
          if offset % 5 == 0 { e.user = canary }
          if e.type != .erase || e.user != canary { driver.apply(e, offset: offset) }
          offset += 1
        case .tick(let t): driver.tick(t)
        }
      }
      driver.apply(DigestTests.purchase(["a"], driver.clock, user: canary), offset: offset)
      #expect(holds())
      driver.apply(Event(type: .erase, time: driver.clock, user: canary), offset: offset + 1)
      #expect(!holds())
    }
  }

  /// Ids found ahead of an erasure in the same stretch are not used behind it.
  @Test func eventsPreparedAheadOfAnErasure() {
    let seed: UInt64 = 8
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var writer = ByteWriter()
    for n in 0..<4000 {
      let type: EventType = random.below(12) == 0 ? .erase : random.below(2) == 0 ? .view : .purchase
      var e = Event(type: type, time: 1_000_000 + Int64(n), user: "u\(random.below(6))")
      if type != .erase {
        e.items = [.init(id: "i\(random.below(20))")]
        e.session = "s\(random.below(5))"
        e.order = "o\(random.below(5))"
      }
      e.append(to: &writer)
      writer.append("\n")
    }
    let lines = [UInt8](writer.bytes)
    func digests(ahead: Int?) -> [String] {
      let batch = EventBatch()
      lines.withUnsafeBytes { _ = batch.decodeLines($0, budget: $0.count, isLast: true) }
      var engine = Engine(ErasureTests.configuration())
      var outputs = Outputs()
      var digests: [String] = []
      for i in 0..<batch.count {
        if let ahead, i % ahead == 0 { engine.prepare(batch, i..<min(i + ahead, batch.count)) }
        guard let event = batch.event(at: i) else { continue }
        _ = engine.apply(
          event, at: LogPosition(partition: 0, offset: Int64(i)), clock: 0,
          prepared: ahead.map { i % $0 }, into: &outputs)
        digests.append(engine.digest.hex)
      }
      engine.interactions.checkInvariants()
      return digests
    }
    let want = digests(ahead: nil)
    #expect(want.count == 4000)
    for ahead in [7, 32, 64] { #expect(digests(ahead: ahead) == want, "\(ahead) ahead") }
  }

  /// A refused act's rows have no slot; they go with the user, and the next tick does not look for them.
  @Test func rowsWithoutSlotsGoToo() {
    let driver = Driver(ChurnTests.configuration())
    let hour = ChurnTests.hour
    driver.apply(DigestTests.purchase(["a"], 1000 * hour, order: "o"), offset: 0)
    driver.tick(1000 * hour)
    driver.apply(DigestTests.purchase(["a"], 900 * hour, order: "p"), offset: 1)
    driver.apply(DigestTests.purchase(["b"], 900 * hour, order: "q", user: "w"), offset: 2)
    driver.apply(Event(type: .erase, time: 1000 * hour, user: "u"), offset: 3)
    driver.engine.interactions.checkInvariants()
    driver.apply(DigestTests.purchase(["a"], 1001 * hour, order: "r", user: "v"), offset: 4)
    driver.tick(1002 * hour)
    driver.engine.interactions.checkInvariants()
    #expect(driver.engine.interactions.users.liveCount == 1)
    #expect(driver.engine.interactions.orderCount == 1)
    #expect(driver.engine.interactions.users.find("v") != nil)
  }
}
