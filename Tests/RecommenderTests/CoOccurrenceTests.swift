// Neighbours from the worker's mirrors against a twin of plain dictionaries, over rounds of changes.
import Recommender
import Sparse
import Testing

/// Runs parts one after the other, backwards: order must not matter.
func backwards(_ parts: Int, _ body: (Int) -> Void) {
  for part in (0..<parts).reversed() { body(part) }
}

/// Rows as sets; counts and lists from their definitions.
struct CoOccurrenceTwin {
  var rows: [[UInt32: Set<UInt32>]]  // per matrix: row -> items

  struct Neighbour: Equatable {
    var id: UInt32
    var both: UInt32
    var value: Double
  }

  struct Answer {
    var contexts: Int
    var source: [UInt32: UInt32]
    var target: [UInt32: UInt32]
    var lists: [UInt32: [Neighbour]]
    var pairs: Int
    var digest: Fingerprint
  }

  func answer(
    _ relation: RelationConfiguration, source: Int, target: Int, k: Int, keys: [String]
  ) -> Answer {
    var contexts = Set<UInt32>()
    var sourceCount: [UInt32: UInt32] = [:]
    var targetCount: [UInt32: UInt32] = [:]
    for (row, items) in rows[source] where !items.isEmpty {
      contexts.insert(row)
      for item in items { sourceCount[item, default: 0] += 1 }
    }
    for (row, items) in rows[target] where !items.isEmpty {
      contexts.insert(row)
      for item in items { targetCount[item, default: 0] += 1 }
    }
    var counts: [UInt32: [UInt32: UInt32]] = [:]
    for (row, items) in rows[source] {
      for a in items {
        for b in rows[target][row] ?? [] { counts[a, default: [:]][b, default: 0] += 1 }
      }
    }
    var digest = Fingerprint.zero
    var pairs = 0
    let tag = Fingerprint(of: relation.name)
    var lists: [UInt32: [Neighbour]] = [:]
    for (a, row) in counts {
      var list: [Neighbour] = []
      for (b, both) in row {
        if !relation.isSymmetric || a < b {
          pairs += 1
          digest &+= CountsDigest.element(
            CountsDigest.word(Fingerprint(of: keys[Int(a)]), relation: tag, isTarget: false),
            CountsDigest.word(
              Fingerprint(of: keys[Int(b)]), relation: tag, isTarget: !relation.isSymmetric),
            count: both)
        }
        if a == b || Int(both) < relation.minBoth { continue }
        if let value = plainValue(
          relation.measure, Double(both), Double(sourceCount[a]!), Double(targetCount[b]!),
          Double(contexts.count), relation.shrinkage)
        {
          list.append(Neighbour(id: b, both: both, value: value))
        }
      }
      list.sort {
        $0.value != $1.value
          ? $0.value > $1.value : Array(keys[Int($0.id)].utf8).lexicographicallyPrecedes(Array(keys[Int($1.id)].utf8))
      }
      if !list.isEmpty { lists[a] = Array(list.prefix(k)) }
    }
    return Answer(
      contexts: contexts.count, source: sourceCount, target: targetCount, lists: lists,
      pairs: pairs, digest: digest)
  }

  /// The formulas once more; llr by the code under test, which has vectors of its own.
  func plainValue(
    _ measure: Measure, _ c: Double, _ this: Double, _ other: Double, _ n: Double, _ s: Double
  ) -> Double? {
    let raw: Double
    switch measure {
    case .cosine: raw = c / (this * other).squareRoot()
    case .jaccard: raw = c / (this + other - c)
    case .lift: raw = n * c / (this * other)
    case .conditional: raw = c / this
    case .count: raw = c
    case .llr:
      if c * n <= this * other { return nil }
      raw = Measures.logLikelihoodRatio(
        Int(c), Int(this - c), Int(other - c), Int(n - this - other + c))
    }
    return raw * (c / (c + s))
  }
}

/// A seeded history of changes to the matrices of all relations under test.
struct CoOccurrenceWorld: ~Copyable {
  var random: SplitMix
  var twin: CoOccurrenceTwin
  var keys: [String] = []
  var interner = Interner()
  var ranks = ItemRanks()
  let rowCount: Int
  let skew: Double

  init(seed: UInt64, matrices: Int, rows: Int, skew: Double) {
    random = SplitMix(seed: seed)
    twin = CoOccurrenceTwin(rows: Array(repeating: [:], count: matrices))
    rowCount = rows
    self.skew = skew
  }

  /// New items appear with keys in no order, some sharing eight bytes and more.
  mutating func grow(to items: Int) {
    while keys.count < items {
      let style = random.below(3)
      let number = random.below(1_000_000)
      let key =
        style == 0 ? "sku-\(number)" : style == 1 ? "a-long-common-prefix-\(number)" : "é\(number)"
      let (_, isNew) = key.utf8.withContiguousStorageIfAvailable {
        interner.intern(UnsafeRawBufferPointer($0))
      }!
      if isNew { keys.append(key) }
    }
    ranks.update(from: interner)
  }

  mutating func item() -> UInt32 {
    let u = random.unit()
    var p = u
    for _ in 0..<Int(skew) { p *= u }
    return UInt32(min(keys.count - 1, Int(p * Double(keys.count))))
  }

  /// Changes some rows of a matrix: fills, additions, removals, emptied rows.
  mutating func change(_ matrix: Int, rows count: Int, longest: Int) -> RowChanges {
    var changes = RowChanges(rows: [], offsets: [0], items: [])
    var seen = Set<UInt32>()
    for _ in 0..<count {
      let row = UInt32(random.below(rowCount))
      if !seen.insert(row).inserted { continue }
      var items = twin.rows[matrix][row] ?? []
      switch random.below(5) {
      case 0: items = []
      case 1:
        items = []
        for _ in 0..<random.below(longest + 1) { items.insert(item()) }
      case 2: for _ in 0..<random.below(4) { if let x = items.min() { items.remove(x) } }
      default: for _ in 0..<random.below(4) { items.insert(item()) }
      }
      twin.rows[matrix][row] = items
      changes.rows.append(row)
      // A set's own order: none is promised.
      changes.items.append(contentsOf: items)
      changes.offsets.append(changes.items.count)
    }
    return changes
  }
}

func relation(
  _ name: String, _ measure: Measure, source: Behaviour = .purchase, target: Behaviour = .purchase,
  minBoth: Int = 1, shrinkage: Double = 0
) -> RelationConfiguration {
  var relation = RelationConfiguration(name: name)
  relation.measure = measure
  relation.source = source
  relation.target = target
  relation.minBoth = minBoth
  relation.shrinkage = shrinkage
  return relation
}

func expectEqual(
  _ table: NeighbourTable, _ answer: CoOccurrenceTwin.Answer, items: Int, _ name: String
) {
  #expect(table.contexts == answer.contexts, "\(name)")
  #expect(table.pairs == answer.pairs, "\(name)")
  #expect(table.countsDigest == answer.digest, "\(name)")
  for item in 0..<UInt32(items) {
    #expect(table.sourceCount[Int(item)] == answer.source[item] ?? 0)
    #expect(table.targetCount[Int(item)] == answer.target[item] ?? 0)
    let list = table.range(item).map {
      CoOccurrenceTwin.Neighbour(id: table.ids[$0], both: table.both[$0], value: table.values[$0])
    }
    if list != answer.lists[item] ?? [] {
      Issue.record("\(name), item \(item): \(list) is not \(answer.lists[item] ?? [])")
      return
    }
  }
}

@Suite struct CoOccurrenceTests {
  static let relations: [RelationConfiguration] =
    Measure.allCases.map { relation("same-\($0.name)", $0) }
    + Measure.allCases.map { relation("gated-\($0.name)", $0, minBoth: 2, shrinkage: 2.5) }
    + Measure.allCases.map { relation("cross-\($0.name)", $0, source: .view) }
    + Measure.allCases.map {
      relation("cross-gated-\($0.name)", $0, source: .view, minBoth: 3, shrinkage: 10)
    }

  struct Shape: Sendable, CustomStringConvertible {
    var seed: UInt64
    var rows: Int
    var items: Int
    var longest: Int
    var k: Int
    var skew: Double
    var description: String { "seed \(seed)" }
  }

  static let shapes = [
    // Dense and small: rows of the product are full, ties at every place.
    Shape(seed: 1, rows: 60, items: 30, longest: 12, k: 5, skew: 1),
    Shape(seed: 2, rows: 400, items: 50, longest: 8, k: 50, skew: 0),
    // Wide: most rows of the product touch few items.
    Shape(seed: 3, rows: 500, items: 3000, longest: 15, k: 7, skew: 2),
    Shape(seed: 4, rows: 300, items: 400, longest: 60, k: 10, skew: 3),
    Shape(seed: 5, rows: 900, items: 200, longest: 5, k: 1, skew: 0),
    // Hundreds of equal values in a row, and lists longer than most rows.
    Shape(seed: 6, rows: 1500, items: 700, longest: 6, k: 20, skew: 4),
    Shape(seed: 7, rows: 300, items: 500, longest: 60, k: 300, skew: 1),
  ]

  @Test(arguments: shapes)
  func agreesWithTheTwinAfterEveryRound(_ shape: Shape) {
    let matrices = [Self.relations[0].sourceMatrix, Self.relations.last!.sourceMatrix]
    var counts = CoOccurrence(matrices: matrices, relations: Self.relations, neighbours: shape.k)
    var world = CoOccurrenceWorld(
      seed: shape.seed, matrices: 2, rows: shape.rows, skew: shape.skew)
    for round in 0..<6 {
      world.grow(to: shape.items * (round + 2) / 8)
      for matrix in 0..<2 {
        counts.apply(
          world.change(
            matrix, rows: round == 0 ? shape.rows * 2 : shape.rows / (round * round + 1),
            longest: shape.longest), matrix: matrix)
      }
      for (index, relation) in Self.relations.enumerated() {
        let table = counts.neighbours(relation: index, items: world.ranks, parallel: backwards)
        let answer = world.twin.answer(
          relation, source: relation.isSymmetric ? 0 : 1, target: 0, k: shape.k, keys: world.keys)
        expectEqual(
          table, answer, items: world.keys.count,
          "seed \(shape.seed), round \(round), \(relation.name)")
      }
    }
  }

  static let renewable: [RelationConfiguration] = [
    Measure.cosine, .lift, .conditional, .count,
  ].flatMap {
    [
      relation("same-\($0.name)", $0),
      relation("gated-\($0.name)", $0, minBoth: 2, shrinkage: 2.5),
    ]
  }

  /// Lists brought from tick to tick by what changed, where there would be cheaper ways too.
  @Test(
    arguments: shapes + [
      // Lists far shorter than rows of the product, so that most pairs stand in none.
      Shape(seed: 31, rows: 400, items: 300, longest: 40, k: 3, skew: 1),
      Shape(seed: 32, rows: 2500, items: 150, longest: 12, k: 5, skew: 2),
      Shape(seed: 33, rows: 150, items: 2000, longest: 90, k: 8, skew: 0),
    ])
  func renewedListsAgreeWithTheTwin(_ shape: Shape) {
    let matrix = Self.renewable[0].sourceMatrix
    var counts = CoOccurrence(
      matrices: [matrix], relations: Self.renewable, neighbours: shape.k)
    counts.way = .renewal
    var world = CoOccurrenceWorld(
      seed: shape.seed, matrices: 1, rows: shape.rows, skew: shape.skew)
    for round in 0..<12 {
      world.grow(to: shape.items * min(round + 4, 8) / 8)
      // Two batches a tick, now and then of the same rows; most ticks change little.
      for batch in 0..<2 {
        let rows = round == 0 ? shape.rows : round % 4 == 3 ? shape.rows / 3 : 1 + shape.rows / 60
        counts.apply(
          world.change(0, rows: batch == 0 ? rows : 2, longest: shape.longest), matrix: 0)
      }
      for (index, relation) in Self.renewable.enumerated() {
        let table = counts.neighbours(relation: index, items: world.ranks, parallel: backwards)
        let answer = world.twin.answer(
          relation, source: 0, target: 0, k: shape.k, keys: world.keys)
        expectEqual(
          table, answer, items: world.keys.count,
          "seed \(shape.seed), round \(round), \(relation.name)")
      }
    }
    let renewals = counts.renewals
    #expect(renewals == 11 * Self.renewable.count, "not the way that was asked for")
  }

  @Test func nothingLeftAfterAllRowsAreEmptied() {
    let relation = relation("r", .cosine)
    var counts = CoOccurrence(
      matrices: [relation.sourceMatrix], relations: [relation], neighbours: 3)
    var world = CoOccurrenceWorld(seed: 9, matrices: 1, rows: 50, skew: 1)
    world.grow(to: 20)
    counts.apply(world.change(0, rows: 200, longest: 9), matrix: 0)
    let rows = counts.rows(matrix: 0).rows
    let active = counts.activeRows(matrix: 0)
    #expect(rows.count == active)
    counts.apply(
      RowChanges(rows: rows, offsets: Array(repeating: 0, count: rows.count + 1), items: []), matrix: 0)
    let table = counts.neighbours(relation: 0, items: world.ranks, parallel: backwards)
    #expect(table.neighbourCount == 0)
    #expect(table.pairs == 0)
    #expect(table.contexts == 0)
    #expect(table.countsDigest == .zero)
    let entries = counts.entries(matrix: 0)
    #expect(entries == 0)
  }

  @Test func rowsReadBackAsTheyWereGiven() {
    let relation = relation("r", .cosine)
    var counts = CoOccurrence(
      matrices: [relation.sourceMatrix], relations: [relation], neighbours: 3)
    var world = CoOccurrenceWorld(seed: 10, matrices: 1, rows: 700, skew: 0)
    world.grow(to: 300)
    for round in 0..<60 {
      counts.apply(world.change(0, rows: 200, longest: round % 7 == 0 ? 90 : 12), matrix: 0)
      let isWhole = counts.checkInvariants()
      #expect(isWhole, "round \(round)")
      let all = counts.rows(matrix: 0)
      var read: [UInt32: Set<UInt32>] = [:]
      for (k, row) in all.rows.enumerated() {
        read[row] = Set(all.items[all.offsets[k]..<all.offsets[k + 1]])
        let alone = Array(counts.row(row, matrix: 0))
        #expect(alone == read[row]!.sorted())
      }
      #expect(read == world.twin.rows[0].filter { !$0.value.isEmpty })
    }
  }

  /// Counts pass 65,535, by updates and by a rebuild, and come back.
  @Test func countsOutgrowSixteenBits() {
    let relation = relation("r", .count)
    var counts = CoOccurrence(
      matrices: [relation.sourceMatrix], relations: [relation], neighbours: 3)
    var world = CoOccurrenceWorld(seed: 12, matrices: 1, rows: 1, skew: 0)
    world.grow(to: 3)
    func set(_ rows: Range<Int>, _ items: [UInt32]) -> RowChanges {
      RowChanges(
        rows: rows.map { UInt32($0) }, offsets: (0...rows.count).map { $0 * items.count },
        items: rows.flatMap { _ in items })
    }
    counts.apply(set(0..<65_000, [0, 1]), matrix: 0)
    counts.apply(set(65_000..<65_010, [1, 2]), matrix: 0)
    var both: UInt32 = 65_000
    for step in 0..<4 {
      let table = counts.neighbours(relation: 0, items: world.ranks, parallel: backwards)
      #expect(Array(table.both) == [both, both, 10, 10], "step \(step)")
      #expect(Array(table.values) == [Double(both), Double(both), 10, 10])
      let start = 66_000 + step * 200
      counts.apply(set(start..<(start + 200), [0, 1]), matrix: 0)
      both += 200
    }
    counts.apply(set(0..<60_000, []), matrix: 0)
    let table = counts.neighbours(relation: 0, items: world.ranks, parallel: backwards)
    #expect(Array(table.both) == [both - 60_000, both - 60_000, 10, 10])
  }

  /// Cut into any number of ranges and run in any order, the same lists.
  @Test func partsDoNotMatter() {
    let relation = relation("r", .jaccard)
    var counts = CoOccurrence(
      matrices: [relation.sourceMatrix], relations: [relation], neighbours: 4)
    var world = CoOccurrenceWorld(seed: 11, matrices: 1, rows: 300, skew: 1)
    world.grow(to: 500)
    counts.apply(world.change(0, rows: 900, longest: 9), matrix: 0)
    let one = counts.neighbours(relation: 0, items: world.ranks) { parts, body in
      for part in 0..<parts { body(part) }
    }
    let other = counts.neighbours(relation: 0, items: world.ranks, parallel: backwards)
    #expect(Array(one.ids) == Array(other.ids))
    #expect(Array(one.values) == Array(other.values))
    #expect(Array(one.starts) == Array(other.starts))
    #expect(one.countsDigest == other.countsDigest)
  }
}

@Suite struct ItemRanksTests {
  /// Items come, go, and ids are given to other keys.
  @Test func ranksFollowTheKeys() {
    var random = SplitMix(seed: 21)
    var interner = Interner()
    var ranks = ItemRanks()
    var live: [UInt32: String] = [:]
    for _ in 0..<40 {
      for _ in 0..<30 {
        let key = (random.below(2) == 0 ? "shared-prefix-" : "") + String(random.below(4000))
        let id = Array(key.utf8).withUnsafeBytes { interner.intern($0).id }
        live[id] = key
      }
      for id in live.keys.sorted() where random.below(5) == 0 {
        interner.remove(id)
        live[id] = nil
      }
      ranks.update(from: interner)
      let sorted = live.sorted {
        Array($0.value.utf8).lexicographicallyPrecedes(Array($1.value.utf8))
      }
      for (rank, entry) in sorted.enumerated() {
        let found = ranks.ranks[Int(entry.key)]
        let print = ranks.fingerprint(entry.key)
        #expect(found == UInt32(rank))
        #expect(print == Fingerprint(of: entry.value))
      }
    }
  }
}
