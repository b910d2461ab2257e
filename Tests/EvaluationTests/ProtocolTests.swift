// The protocols on Online Retail: every figure that is published for a peer, to its last digit. And small logs whose
// answers can be told by hand.
import Events
import Evaluation
import Foundation
import Importers
import Recommender
import Sparse
import Testing

@Suite(.serialized) struct ProtocolTests {
  /// nil where the shared data are not there, with a note.
  static func onlineRetail() throws -> [Line]? {
    let shared = ProcessInfo.processInfo.environment["AFFINITY_SHARED"] ?? "../shared"
    let path = shared + "/data/online-retail/online_retail.csv.gz"
    guard FileManager.default.fileExists(atPath: path) else {
      print("note: \(path) is not there; the protocols' published figures are left out")
      return nil
    }
    var imported = ImportLog()
    try importOnlineRetail(try ByteSource(path), refunds: .leftOut, into: &imported)
    let batch = EventBatch()
    let log = InteractionLog(likeFrom: 4)
    imported.forEachLine { line in
      batch.reset()
      batch.append(value: line)
      if let event = batch.event(at: 0) { log.append(event) }
    }
    #expect(log.mainBehaviour == .purchase)
    return log.lines(of: .purchase)
  }

  /// Means as published: four decimals.
  static func figures(_ task: ProtocolTask, _ scorer: any Scorer) -> [String] {
    var scorer = scorer
    func judge(_ scorer: inout some Scorer) -> [Sample] { task.judge(&scorer, parallel: inTurn) }
    return judge(&scorer).map { String(format: "%.4f", $0.mean ?? .nan) }
  }

  /// By name of the peer; the metrics in the protocol's order.
  static let p1New: [String: [String]] = [
    "most popular": ["0.0374", "0.0427", "0.1006", "0.3942"],
    "own count, then popular": ["0.0374", "0.0427", "0.1006", "0.3942"],
    "cosine, 50 neighbours, summed": ["0.0676", "0.0723", "0.1550", "0.4729"],
    "Jaccard, 50 neighbours, summed": ["0.0725", "0.0801", "0.1749", "0.4975"],
    "LLR, 50 neighbours, summed": ["0.0806", "0.0855", "0.1793", "0.5137"],
    "EASE^R, λ 200": ["0.0991", "0.1041", "0.2219", "0.6198"],
  ]
  static let p1All: [String: [String]] = [
    "most popular": ["0.0585", "0.0911", "0.2144", "0.6559"],
    "own count, then popular": ["0.2415", "0.3355", "0.5564", "0.9112"],
    "cosine, 50 neighbours, summed": ["0.1208", "0.1740", "0.3280", "0.7138"],
    "Jaccard, 50 neighbours, summed": ["0.1269", "0.1818", "0.3232", "0.7257"],
    "LLR, 50 neighbours, summed": ["0.1347", "0.1932", "0.3332", "0.7230"],
    "EASE^R, λ 200": ["0.1902", "0.2657", "0.4409", "0.8401"],
  ]
  static let p2: [String: [String]] = [
    "most popular": ["0.0594", "0.0169", "0.0259"],
    "confidence, summed": ["0.1468", "0.0571", "0.0767"],
    "confidence, largest": ["0.2277", "0.0870", "0.1182"],
    "lift, both at least 5, summed": ["0.0798", "0.0274", "0.0390"],
    "Jaccard, 50 neighbours, summed": ["0.1848", "0.0709", "0.0959"],
    "cosine, 50 neighbours, summed": ["0.1783", "0.0691", "0.0928"],
    "cosine, largest": ["0.2355", "0.0898", "0.1221"],
    "cosine to the power of 4, 50 neighbours, summed": ["0.2380", "0.0913", "0.1237"],
    "LLR, 50 neighbours, summed": ["0.2035", "0.0769", "0.1047"],
    "EASE^R, λ 100": ["0.3265", "0.1180", "0.1643"],
  ]

  @Test(arguments: [QualityProtocol.p1New, .p1All, .p2])
  func publishedFigures(kind: QualityProtocol) throws {
    guard let lines = try Self.onlineRetail() else { return }
    let task = try #require(ProtocolTask(kind, lines, parallel: inTurn))
    switch kind {
    case .p1New: #expect(task.questions.count == 1423)
    case .p1All: #expect(task.questions.count == 1520)
    default: #expect(task.questions.count == 3685)
    }
    if kind == .p2 {
      #expect(task.training.orderCount == 15_968)
      #expect(task.training.itemCount == 3847)
    } else {
      #expect(task.training.lines.count == 318_307)
      #expect(task.training.userCount == 3993)
      #expect(task.training.itemCount == 3615)
      #expect(task.training.rows.items.count == 222_782)
    }
    let expected = kind == .p1New ? Self.p1New : kind == .p1All ? Self.p1All : Self.p2
    var seen = Set<String>()
    for peer in Peers.all(for: kind) {
      seen.insert(peer.name)
      #expect(Self.figures(task, peer) == expected[peer.name], "\(kind), \(peer.name)")
    }
    #expect(seen == Set(expected.keys))
  }

  // MARK: by hand

  static func line(_ user: UInt32, _ item: UInt32, _ time: Int64, order: UInt32 = InteractionLog.none) -> Line {
    Line(user: user, session: user, order: order, item: item, time: time)
  }

  @Test func nextItemsByHand() throws {
    // Ten lines, eight of them training: user 3 appears only in the test, item 9 too.
    let lines = [
      (3, 7), (5, 7), (5, 8), (3, 6), (3, 7), (4, 8), (4, 7), (5, 6), (3, 8), (6, 9), (3, 9), (3, 6),
    ].enumerated().map { Self.line(UInt32($1.0), UInt32($1.1), Int64($0)) }
    // floor(0.8 · 12) = 9: the rest is (6, 9), (3, 9), (3, 6).
    let all = try #require(ProtocolTask(.p1All, lines, parallel: inTurn))
    #expect(all.training.lines.count == 9)
    #expect(all.questions.count == 1)
    #expect(all.questions[0].given == [0, 2, 1])  // 7, 6, 8 by first appearance
    #expect(all.questions[0].relevant == [2])
    #expect(ProtocolTask(.p1New, lines, parallel: inTurn) == nil)
    let met = all.training.pairs.both.reduce(0, +)
    #expect(met == 14)  // three, three and one pair, both ways
  }

  @Test func basketsByHand() throws {
    let orders: [[UInt32]] = [[1, 2], [1, 2, 3], [2, 3], [3, 1, 3], [9, 2, 1, 2, 3]]
    let lines = orders.enumerated().flatMap { place, items in
      items.map { Self.line(7, $0, Int64(place), order: UInt32(place)) }
    }
    let task = try #require(ProtocolTask(.p2, lines, parallel: inTurn))
    #expect(task.training.orderCount == 4)
    // 9 is unknown; 2, 1, 3 are codes 1, 0, 2, the last is hidden.
    #expect(task.questions[0].given == [1, 0])
    #expect(task.questions[0].relevant == [2])
    #expect(task.questions[0].user == 0)
    let hidden = Set((0..<20).compactMap {
      ProtocolTask(.p2, lines, hidden: .random(seed: $0), parallel: inTurn)?.questions[0].relevant[0]
    })
    #expect(hidden == [0, 1, 2])
  }

  /// Sessions of a seeded walk: the peers of the next click against what their definitions say, by brute force.
  @Test(arguments: [UInt64(1), 2])
  func nextClicksAgainstTwins(seed: UInt64) throws {
    var g = SplitMix(seed: seed)
    var lines: [Line] = []
    for session in 0..<120 {
      var item = g.below(20)
      for click in 0...g.below(6) {
        lines.append(
          Line(
            user: InteractionLog.none, session: UInt32(session), order: InteractionLog.none, item: UInt32(item),
            time: Int64(session) * 3_600_000 + Int64(click)))
        item = (item + 1 + g.below(3) * g.below(3)) % 20
      }
    }
    let task = try #require(ProtocolTask(.p3, lines, parallel: inTurn))
    let end = lines[lines.count - 1].time
    let test = Dictionary(grouping: lines) { $0.session }.filter { ($0.value.map(\.time).max() ?? 0) > end - 86_400_000 }
    #expect(task.training.sessionCount == 120 - test.count)
    #expect(task.questions.count > 20)
    var sessions = [[UInt32]](repeating: [], count: task.training.sessionCount)
    for line in task.training.lines { sessions[Int(line.session)].append(line.item) }
    let all = Double(sessions.count)

    for question in task.questions {
      // Sessions' ends rise with their numbers: the newest are the last.
      let recent = Array(question.given.suffix(9))
      var expected = [Double](repeating: 0, count: task.training.itemCount)
      let likeness = sessions.indices.map { s -> Double in
        Set(recent).filter { sessions[s].contains($0) }.map { item in
          Double((recent.lastIndex(of: item) ?? 0) + 1) / Double(recent.count)
        }.reduce(0, +)
      }
      let nearest = sessions.indices.filter { likeness[$0] > 0 }
        .sorted { (likeness[$0], $0) > (likeness[$1], $1) }.prefix(100)
      for s in nearest {
        let newest = recent.lastIndex { sessions[s].contains($0) } ?? 0
        let factor = 1 - 0.1 * Double(recent.count - newest)
        for item in Set(sessions[s]) where factor > 0 {
          let holders = Double(sessions.filter { $0.contains(item) }.count)
          expected[Int(item)] += factor * likeness[s] * log(all / holders)
        }
      }
      var peer = SessionPeer()
      peer.fit(task.training, parallel: inTurn)
      var found = [Double](repeating: 0, count: task.training.itemCount)
      peer.score(question, task.training, into: &found)
      for i in found.indices { #expect(abs(found[i] - expected[i]) < 1e-9, "item \(i), seed \(seed)") }

      guard let last = question.given.last else { continue }
      var markov = SuccessorPeer(.markov)
      markov.fit(task.training, parallel: inTurn)
      var after = [Double](repeating: 0, count: task.training.itemCount)
      markov.score(question, task.training, into: &after)
      for i in after.indices {
        let count = sessions.reduce(0) { sum, s in
          sum + zip(s, s.dropFirst()).filter { $0 == last && $1 == UInt32(i) && $0 != $1 }.count
        }
        #expect(after[i] == Double(count))
      }
    }
  }

  @Test func topListsAreOrdered() {
    var g = SplitMix(seed: 9)
    for k in [1, 3, 20] {
      var list = TopList(k)
      let scores = (0..<100).map { _ in Double(g.below(10)) }
      for (code, score) in scores.enumerated() { list.offer(UInt32(code), score) }
      let expected = scores.enumerated().sorted { ($1.element, $0.offset) < ($0.element, $1.offset) }.prefix(k)
      #expect(list.take().map(\.code) == expected.map { UInt32($0.offset) })
    }
  }
}
