// Regressions and formulas against their plain twins, on small random logs.
import Recommender
import Sparse
import TestSupport
import Testing

/// Parts in turn, the last one first.
private func inTurn(_ parts: Int, _ body: (Int) -> Void) { for part in (0..<parts).reversed() { body(part) } }

@Suite struct FormulaTests {
  static let seeds: [UInt64] = [11, 12, 13, 14, 15, 16]

  struct World {
    var plain: PlainLog
    var log: ActLog
    var users: [Int: [Int: Int64]]
    var orders: [Int: [Int: Int64]]
    var random: SplitMix
    var reference: Int64
    init(_ seed: UInt64) {
      random = SplitMix(seed: seed)
      plain = PlainLog.random(&random, acts: 900, users: 40, items: 60, days: 40 + random.below(300))
      log = plain.log
      let acts = plain.acts
      users = plain.pairs({ acts[$0].user })
      orders = plain.pairs({ acts[$0].order })
      reference = log.lastTime
      print("seed \(seed)")
    }
    func present(_ rows: [Int: [Int: Int64]]) -> [Int] { Set(rows.values.flatMap(\.keys)).sorted() }
    func timed(_ rows: [Int: [Int: Int64]]) -> TimedRows {
      var timed = TimedRows()
      for row in rows.keys.sorted() {
        for (item, time) in rows[row]! { timed.append(UInt32(item), time) }
        timed.endRow()
      }
      return timed
    }
    func gram(_ rows: [Int: [Int: Int64]]) -> WeightedGram {
      WeightedGram(
        timed(rows), items: present(rows).map { UInt32($0) }, reference: reference,
        halfLife: 120 * 86_400_000, parallel: inTurn)
    }
    func plainGram(_ rows: [Int: [Int: Int64]]) -> [[UInt64]] {
      PlainFormulas.gram(rows, items: plain.items, reference: reference, halfLife: 120 * 86_400_000)
    }
  }

  /// Equal but for a share of the value, or of a hundredth of the largest one.
  func isNear(_ a: [Double], _ b: [Double], _ tolerance: Double) -> Bool {
    let least = (b.max() ?? 0) / 100
    return a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance * max(least, abs($0), abs($1)) }
  }

  @Test(arguments: seeds) func gramIsTheIntegerSum(seed: UInt64) {
    let world = World(seed)
    for rows in [world.users, world.orders] {
      let gram = world.gram(rows)
      let plain = world.plainGram(rows)
      var differences = 0
      for (i, item) in gram.items.enumerated() {
        for (j, other) in gram.items.enumerated()
        where gram.value(i, j) != Double(Float(plain[Int(item)][Int(other)])) { differences += 1 }
      }
      #expect(differences == 0)
      #expect(gram.size > 30)
    }
  }

  /// Weights are rounded to millionths.
  func expectNear(_ weights: ItemWeights, _ plain: [[Double]]) {
    var largest = 0.0
    var magnitude = 0.0
    for i in plain.indices {
      for j in plain.indices {
        largest = max(largest, abs(weights.weight(of: UInt32(i), on: UInt32(j)) - plain[i][j]))
        magnitude = max(magnitude, abs(plain[i][j]))
      }
    }
    #expect(largest < 1.2e-6, "\(largest)")
    #expect(magnitude > 1e-3)
  }

  @Test(arguments: seeds, [0.5, 20.0]) func easeIsTheInverse(seed: UInt64, lambda: Double) {
    let world = World(seed)
    let weights = ItemRegression(lambda: lambda).fit(world.gram(world.users), parallel: inTurn)
    expectNear(
      weights,
      PlainFormulas.ease(world.plainGram(world.users), present: world.present(world.users), lambda: lambda))
  }

  @Test(arguments: seeds, [1, 3, 4, 10, 17]) func ridgeSolvesEachNeighbourhood(seed: UInt64, k: Int) {
    let world = World(seed)
    var regression = ItemRegression(lambda: 1)
    regression.denseItems = 0
    regression.neighbours = k
    expectNear(
      regression.fit(world.gram(world.users), parallel: inTurn),
      PlainFormulas.ridge(
        world.plainGram(world.users), present: world.present(world.users), lambda: 1, neighbours: k))
  }

  @Test func keptAreTheLargestOfEachColumn() {
    let world = World(22)
    var cut = ItemRegression(lambda: 2)
    cut.kept = 5
    let gram = world.gram(world.users)
    let (all, some) = (ItemRegression(lambda: 2).fit(gram, parallel: inTurn), cut.fit(gram, parallel: inTurn))
    for j in gram.items {
      let column = gram.items.map { all.weight(of: $0, on: j) }
      let kept = gram.items.map { some.weight(of: $0, on: j) }
      #expect(kept.filter { $0 != 0 }.count == min(5, column.filter { $0 != 0 }.count))
      let least = kept.filter { $0 != 0 }.map { abs($0) }.min() ?? 0
      for (k, value) in column.enumerated() where kept[k] == 0 { #expect(abs(value) <= least) }
    }
  }

  @Test func restoredWeightsAreTheSame() throws {
    let world = World(23)
    let weights = ItemRegression(lambda: 2).fit(world.gram(world.users), parallel: inTurn)
    var state = StateWriter()
    weights.save(into: &state)
    var sections: [String: StateReader.Section] = [:]
    for section in state.sections {
      sections[section.name] = StateReader.Section(stride: section.stride, bytes: section.parts[0])
    }
    let again = try ItemWeights(restoring: StateReader(sections))
    for i in 0..<UInt32(weights.itemCount) {
      #expect(Array(weights.row(i).targets) == Array(again.row(i).targets))
      #expect(Array(weights.row(i).values) == Array(again.row(i).values))
    }
    withExtendedLifetime(state) {}
  }

  @Test(arguments: seeds) func discoverAndBuyAgain(seed: UInt64) {
    let world = World(seed)
    let formula = BuyAgainFormula(world.log, parallel: inTurn)
    let discover = formula.discover
    let present = world.present(world.users)
    let b = (0..<world.plain.items).map { i in
      (0..<world.plain.items).map { discover.weights.weight(of: UInt32(i), on: UInt32($0)) }
    }
    let (t, q) = PlainFormulas.trend(
      world.users, items: world.plain.items, reference: world.reference, halfLife: 7 * 86_400_000)
    var scores = [Double](repeating: 0, count: world.plain.items)
    for (user, row) in world.users {
      let history = row.sorted { $0.value != $1.value ? $0.value < $1.value : $0.key < $1.key }.map(\.key)
      let new = PlainFormulas.discover(b, history: history, t: t, q: q, present: present)
      discover.score(history: history.map { UInt32($0) }, into: &scores)
      // Decayed sums are integers of 2^-16.
      #expect(isNear(scores, new, 2e-3))
      let (r, own, rp) = PlainFormulas.own(world.plain, user: user, reference: world.reference)
      let sum = new.reduce(0, +)
      let all = new.indices.map { j in
        r * own[j] + 0.7 * (1 - r) * (row[j] != nil && rp[j] == 0 ? 0 : new[j] / sum)
      }
      formula.score(user: UInt32(user), history: history.map { UInt32($0) }, into: &scores)
      #expect(isNear(scores, all, 2e-3))
    }
  }

  /// A log without repeats: own items are left out by themselves.
  @Test func withoutRepeatsItDiscovers() {
    var world = World(31)
    var seen = Set<Int>()
    world.plain.acts = world.plain.acts.filter {
      guard let user = $0.user else { return true }
      return seen.insert(user * 1000 + $0.item).inserted
    }
    let log = world.plain.log
    let formula = BuyAgainFormula(log, parallel: inTurn)
    var scores = [Double](repeating: 0, count: world.plain.items)
    var new = scores
    let users = world.plain.pairs({ [acts = world.plain.acts] in acts[$0].user })
    for (user, row) in users {
      let history = row.keys.sorted().map { UInt32($0) }
      formula.score(user: UInt32(user), history: history, into: &scores)
      formula.discover.score(history: history, into: &new)
      #expect(row.keys.allSatisfy { scores[$0] == 0 })
      func order(_ values: [Double]) -> [Int] {
        values.indices.filter { row[$0] == nil && values[$0] > 0 }.sorted {
          values[$0] != values[$1] ? values[$0] > values[$1] : $0 < $1
        }
      }
      #expect(order(scores).prefix(20) == order(new).prefix(20))
    }
  }

  @Test(arguments: seeds) func basket(seed: UInt64) {
    var world = World(seed)
    let formula = BasketFormula(world.log, parallel: inTurn)
    let present = world.present(world.orders)
    let b = (0..<world.plain.items).map { i in
      (0..<world.plain.items).map { formula.weights.weight(of: UInt32(i), on: UInt32($0)) }
    }
    var scores = [Double](repeating: 0, count: world.plain.items)
    for _ in 0..<60 {
      let given = Array(Set((0..<1 + world.random.below(6)).map { _ in present[world.random.below(present.count)] }))
      let user = world.random.below(2) == 0 ? nil : world.random.below(45)
      let isOrdered = world.random.below(2) == 0
      var expected = PlainFormulas.basket(b, given: given, isOrdered: isOrdered, present: present)
      if let user {
        let (r, own, _) = PlainFormulas.own(world.plain, user: user, reference: world.reference)
        for j in expected.indices { expected[j] += r * own[j] }
      }
      formula.score(
        given: given.map { UInt32($0) }, isOrdered: isOrdered, user: user.map { UInt32($0) }, into: &scores)
      #expect(isNear(scores, expected, 1e-5))
    }
  }

  @Test(arguments: seeds, [(500, 200), (12, 5)]) func next(seed: UInt64, bounds: (Int, Int)) {
    var world = World(seed)
    var constants = FormulaConstants()
    constants.sessions.recent = bounds.0
    constants.sessions.neighbours = bounds.1
    // Orders as sessions; their last times rise with their numbers, but for a few that end later than the next.
    let formula = NextFormula(world.log, constants: constants)
    var last: [Int: Int64] = [:]
    var sessions: [Int: [Int]] = [:]
    for act in world.plain.acts {
      last[act.order] = max(last[act.order] ?? .min, act.time)
      sessions[act.order, default: []].append(act.item)
    }
    let ordered = sessions.keys.sorted { last[$0]! != last[$1]! ? last[$0]! < last[$1]! : $0 < $1 }.map { sessions[$0]! }
    var scores = [Double](repeating: 0, count: world.plain.items)
    for _ in 0..<60 {
      let question = (0..<1 + world.random.below(12)).map { _ in
        world.plain.acts[world.random.below(world.plain.acts.count)].item
      }
      let expected = PlainFormulas.next(
        ordered, question: question, items: world.plain.items, recent: bounds.0, k: bounds.1)
      formula.score(session: question.map { UInt32($0) }, into: &scores)
      #expect(isNear(scores, expected, 1e-9))
      #expect(scores.contains { $0 > 0 })
    }
  }
}
