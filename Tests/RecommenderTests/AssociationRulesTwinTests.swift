// Miner, rules, tests and filters against brute force on random baskets.
import CKernels
import Recommender
import Sparse
import Testing

@Suite struct AssociationRulesTwin {
  /// Baskets with planted groups; density of items falls from `dense` to near 0.
  func baskets(_ count: Int, items: Int, dense: Double, _ random: inout SplitMix) -> BasketList {
    var list = BasketList()
    for _ in 0..<count {
      var basket = Set<UInt32>()
      for i in 0..<items where random.unit() < dense * (1 - Double(i) / Double(items)) {
        basket.insert(UInt32(i * 7 % items))
      }
      if random.unit() < 0.4 {
        let from = random.below(items)
        for i in 0..<min(5, items) { basket.insert(UInt32((from / 4 * 4 + i) % items)) }
      }
      if random.unit() < 0.5 { basket.insert(0) }
      // Item 1 goes wherever item 0 is: a perfect extension.
      if basket.contains(0) && items > 1 { basket.insert(1) }
      list.append(basket.sorted { random.unit() < 0.5 || $0 < $1 })
    }
    return list
  }

  @Test func itemsetsEqualPlainRecursion() {
    let seed: UInt64 = 20_260_301
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    for (count, items, dense, minimum) in [
      (0, 1, 0.5, 1), (1, 3, 0.9, 1), (7, 5, 0.6, 1), (40, 9, 0.5, 2), (90, 12, 0.7, 5),
      (300, 30, 0.3, 6), (700, 20, 0.8, 120), (900, 300, 0.02, 3), (1500, 400, 0.05, 12),
      (2000, 60, 0.2, 30), (3000, 12, 0.9, 200), (4000, 50, 0.12, 10),
    ] {
      let list = baskets(count, items: items, dense: dense, &random)
      let all = plainItemsets(list, minimum: minimum)
      for maxLength in [0, 1, 2, 3] {
        let plain = maxLength == 0 ? all : all.filter { $0.key.count <= maxLength }
        list.read { baskets in
          for lists in [false, true] {
            let mined = mineFrequentItemsets(
              baskets, minimumCount: minimum, maxLength: maxLength, withLists: lists)
            #expect(dictionary(mined) == plain)
          }
          let mined = mineFrequentItemsets(
            baskets, minimumCount: minimum, maxLength: maxLength
          ) { parts, body in for part in 0..<parts { body(part) } }
          #expect(dictionary(mined) == plain)
        }
      }
    }
  }

  @Test func limitLowersTheLengthBound() {
    var random = SplitMix(seed: 4)
    let list = baskets(60, items: 14, dense: 0.6, &random)
    let plain = plainItemsets(list, minimum: 3)
    list.read { baskets in
      let all = mineFrequentItemsets(baskets, minimumCount: 3)
      let lengths = all.countsByLength()
      #expect(lengths.count > 5)
      let fits = lengths[0...3].reduce(0, +)
      let one = mineFrequentItemsets(baskets, minimumCount: 3, limit: fits)
      let two = mineFrequentItemsets(baskets, minimumCount: 3, limit: fits) { parts, body in
        for part in 0..<parts { body(part) }
      }
      #expect(one.maxLength == 3)
      #expect(one.expanded() == two.expanded())
      #expect(dictionary(one) == plain.filter { $0.key.count <= 3 })
    }
  }

  /// 2^40 itemsets, all perfect extensions: the copies must stop at the limit too.
  @Test func equalBasketsDoNotExplode() {
    let list = BasketList([[UInt32]](repeating: (0..<40).map { UInt32($0) }, count: 5))
    list.read { baskets in
      let two = mineFrequentItemsets(baskets, minimumCount: 1, limit: 10_000)
      #expect(two.maxLength == 2)
      #expect(two.countsByLength() == [0, 40, 780])
      let one = mineFrequentItemsets(baskets, minimumCount: 1, limit: 10)
      #expect(one.maxLength == 1)
      #expect(one.countsByLength() == [0, 40])
    }
  }

  static let keys = [
    "b", "a", "ab", "aa", "B", "é", "z-10", "z-9", "sku-1", "sku-10", "sku-2", "", "0", "~",
  ]

  @Test(arguments: [1, 2, 3, 100])
  func rulesEqualBruteForce(maxConsequent: Int) {
    let seed = UInt64(77 + maxConsequent)
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    let names = AssociationRulesTwin.keys
    let keys = interner(names)
    func sortedByKey(_ items: [UInt32]) -> [UInt32] { items.sorted { keys.precedes($0, $1) } }
    func precedes(_ a: [UInt32], _ b: [UInt32]) -> Bool {
      a.lexicographicallyPrecedes(b) { keys.precedes($0, $1) }
    }
    for (count, items, dense, minimum, confidence, maxQ, prune) in [
      (8, 6, 0.6, 1, 0.0, 1.0, false), (30, 9, 0.5, 2, 0.5, 1.0, false),
      (50, 8, 0.4, 1, 0.3, 0.2, false), (50, 10, 0.5, 4, 0.2, 1.0, true),
      (59, 14, 0.3, 3, 0.1, 0.05, true), (400, 10, 0.5, 20, 0.4, 0.05, true),
      (500, 14, 0.3, 15, 0.0, 1.0, true),
    ] {
      let list = baskets(count, items: items, dense: dense, &random)
      let plain = plainItemsets(list, minimum: minimum)
      var configuration = RulesConfiguration()
      configuration.minConfidence = confidence
      configuration.maxConsequent = maxConsequent
      configuration.maxQ = maxQ
      configuration.pruneRedundant = prune
      let family = plainRules(plain, baskets: count, maxConsequent: maxConsequent)
      let expected = family.filter { rule in
        Double(rule.counts.both) / Double(rule.counts.antecedent) >= confidence
          && rule.q <= maxQ
          && !(prune
            && rule.best.both * rule.counts.antecedent >= rule.counts.both * rule.best.antecedent)
      }.map { rule in
        var rule = rule
        rule.antecedent = sortedByKey(rule.antecedent)
        rule.consequent = sortedByKey(rule.consequent)
        return rule
      }.sorted { a, b in
        if a.antecedent != b.antecedent { return precedes(a.antecedent, b.antecedent) }
        if a.counts.both != b.counts.both { return a.counts.both > b.counts.both }
        if a.counts.consequent != b.counts.consequent {
          return a.counts.consequent < b.counts.consequent
        }
        return precedes(a.consequent, b.consequent)
      }
      let rules = list.read { baskets in
        makeRules(
          mineFrequentItemsets(baskets, minimumCount: minimum), configuration: configuration,
          items: keys)
      }
      #expect(rules.familySize == family.count)
      #expect(rules.count == expected.count)
      var at = 0
      for group in 0..<rules.groupCount {
        for rule in rules.rules(ofGroup: group) {
          guard at < expected.count else { break }
          let want = expected[at]
          at += 1
          #expect(rules.group(ofRule: rule) == group)
          #expect(rules.antecedent(ofGroup: group) == want.antecedent)
          #expect(rules.consequent(ofRule: rule) == want.consequent)
          #expect(rules.counts(ofRule: rule, inGroup: group) == want.counts)
          let p = rules.p(ofRule: rule) ?? -1
          let q = rules.q(ofRule: rule) ?? -1
          #expect(abs(p - want.p) <= 1e-12 * want.p)
          #expect(abs(q - want.q) <= 1e-12 * want.q)
          if prune {
            let confidence = Double(want.counts.both) / Double(want.counts.antecedent)
            let best = Double(want.best.both) / Double(want.best.antecedent)
            #expect(rules.improvement(ofRule: rule, inGroup: group) == confidence - best)
          } else {
            #expect(rules.improvement(ofRule: rule, inGroup: group) == nil)
          }
        }
      }
      #expect(at == expected.count)
    }
  }

  @Test func measuresOfTheCheckVector() {
    // 10 baskets, c_a = 5, c_b = 5, c_ab = 3.
    let c = RuleCounts(baskets: 10, antecedent: 5, consequent: 5, both: 3)
    #expect(RuleMeasures.support(c) == 0.3)
    #expect(RuleMeasures.confidence(c) == 0.6)
    #expect(RuleMeasures.lift(c) == 1.2)
    #expect(RuleMeasures.leverage(c) == 0.05)
    #expect(RuleMeasures.conviction(c) == 1.25)
    #expect(RuleMeasures.addedValue(c) == 0.1)
    #expect(RuleMeasures.certainty(c) == 0.2)
    #expect(RuleMeasures.zhang(c) == 5.0 / 15)
    #expect(RuleMeasures.kulczynski(c) == 0.6)
    #expect(RuleMeasures.oddsRatio(c) == 9.0 / 4)
    #expect(RuleMeasures.cosine(c) == 0.6)
    #expect(RuleMeasures.jaccard(c) == 3.0 / 7)
    let sure = RuleCounts(baskets: 10, antecedent: 3, consequent: 10, both: 3)
    #expect(RuleMeasures.conviction(sure) == nil)
    #expect(RuleMeasures.certainty(sure) == nil)
    #expect(RuleMeasures.oddsRatio(sure) == nil)
    #expect(RuleMeasures.zhang(sure) == 0)
    #expect(
      RuleMeasures.zhang(RuleCounts(baskets: 9, antecedent: 9, consequent: 9, both: 9)) == nil)
  }

  @Test func tailsEqualTheirSums() {
    let seed: UInt64 = 99
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var smallest = 1.0
    for n in [1, 2, 5, 17, 60, 61, 400, 5000, 20_000] {
      let logs = LogFactorials(upTo: n)
      for _ in 0..<(n <= 60 ? 400 : 60) {
        // Small marginals as often as large ones.
        let x = 1 + random.below(1 + random.below(n))
        let y = 1 + random.below(1 + random.below(n))
        let lowest = max(0, x + y - n)
        let both = lowest + random.below(min(x, y) - lowest + 1)
        let counts = RuleCounts(baskets: n, antecedent: x, consequent: y, both: both)
        let exact = plainTail(counts)
        if exact.isNaN { continue }
        let p = logs.upperTail(counts)
        if exact >= Double.leastNormalMagnitude {
          #expect(abs(p - exact) <= 1e-10 * exact, "\(counts)")
        } else {
          #expect(p == Double.leastNormalMagnitude)
        }
        smallest = min(smallest, p)
        let mirrored = RuleCounts(baskets: n, antecedent: y, consequent: x, both: both)
        #expect(logs.upperTail(mirrored) == p)
      }
      // Everything together: the least p there is.
      let all = RuleCounts(
        baskets: n, antecedent: n / 2 + 1, consequent: n / 2 + 1, both: n / 2 + 1)
      #expect(logs.upperTail(all) >= Double.leastNormalMagnitude)
    }
    #expect(smallest < 1e-300)
  }

  @Test func tailsNear1e300KeepTenDigits() {
    let logs = LogFactorials(upTo: 20_000)
    var seen = 0
    for both in 120..<200 {
      let counts = RuleCounts(baskets: 20_000, antecedent: 300, consequent: 260, both: both)
      let exact = plainTail(counts)
      if exact.isNaN || exact < 1e-306 || exact > 1e-200 { continue }
      seen += 1
      #expect(abs(logs.upperTail(counts) - exact) <= 1e-10 * exact)
    }
    #if arch(x86_64)
      #expect(seen > 10)
    #endif
  }

  @Test func falseDiscoveryRatesAreMonotone() {
    // Benjamini and Hochberg's own 15 p-values (1995, section 4), one of them twice.
    let p = [
      0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
      0.5719,
      0.6528, 0.7590, 1.0,
    ]
    let q = rates(p, [UInt32](repeating: 1, count: 15))
    #expect((0..<15).filter { q[$0] <= 0.05 } == [0, 1, 2, 3])
    #expect(q[0] == 0.0001 * 15)
    for i in 1..<15 { #expect(q[i] >= q[i - 1] && q[i] <= 1) }
    let expected: [Double] = [0.5, 0.01 * 6.0 / 3.0, 0.02 * 6.0 / 5.0]
    #expect(rates([0.5, 0.01, 0.02], [1, 3, 2]) == expected)
  }

  func rates(_ p: [Double], _ occurrences: [UInt32]) -> [Double] {
    p.withUnsafeBufferPointer { p in
      occurrences.withUnsafeBufferPointer { occurrences in
        let q = falseDiscoveryRates(p, occurrences: occurrences)
        return (0..<q.count).map { q[$0] }
      }
    }
  }

  @Test func confidenceFloorIsTheDoublesOwn() {
    for total in 1...300 {
      for confidence in [0, 0.1, 0.2, 1.0 / 3, 0.5, 0.7, 0.999, 1, 1.1] {
        let plain = (1...total).first { Double($0) / Double(total) >= confidence }
        #expect(leastCount(reaching: confidence, of: total) == plain.map { UInt32($0) } ?? .max)
      }
    }
  }
}

/// The C kernels against plain Swift.
@Suite struct BitKernels {
  func words(_ count: Int, density: Double, _ random: inout SplitMix) -> [UInt64] {
    (0..<count).map { _ in
      var word: UInt64 = 0
      for bit in 0..<64 where random.unit() < density { word |= 1 << UInt64(bit) }
      return word
    }
  }

  @Test func extendEqualsTwin() {
    var random = SplitMix(seed: 5)
    for words in [4, 8, 12, 40, 128] {
      let rows = 9
      var arena = self.words(words * rows, density: 0.4, &random)
      // Row 3 is the parent's: it holds wherever row 0 does.
      for w in 0..<words { arena[3 * words + w] = ~0 }
      let parent = UInt32(64 * words)
      func count(_ row: Int) -> UInt32 {
        UInt32((0..<words).reduce(0) { $0 + arena[row * words + $1].nonzeroBitCount })
      }
      let counts = (0..<rows).map { count($0) }
      func both(_ row: Int) -> [UInt64] {
        (0..<words).map { arena[$0] & arena[row * words + $0] }
      }
      let minimum = UInt32(Double(64 * words) * 0.16)
      var expected: [(item: UInt32, bits: [UInt64])] = []
      for row in 1..<rows {
        let bits = both(row)
        if bits.reduce(0, { $0 + $1.nonzeroBitCount }) >= Int(minimum) {
          expected.append((UInt32(100 + row), bits))
        }
      }
      arena += [UInt64](repeating: 0, count: words * rows)
      let offsets = (1..<rows).map { UInt32($0 * words) }
      let items = (1..<rows).map { UInt32(100 + $0) }
      var childOffsets = [UInt32](repeating: 0, count: rows)
      var childItems = childOffsets
      var childCounts = childOffsets
      let children = affinity_bits_extend(
        &arena, words, 0, counts[0], parent, minimum, rows - 1, offsets, items,
        Array(counts[1...]), UInt32(rows * words), &childOffsets, &childItems, &childCounts)
      #expect(children == expected.count)
      for c in 0..<min(children, expected.count) {
        #expect(childItems[c] == expected[c].item)
        let at = Int(childOffsets[c])
        #expect(Array(arena[at..<at + words]) == expected[c].bits)
        #expect(Int(childCounts[c]) == expected[c].bits.reduce(0) { $0 + $1.nonzeroBitCount })
      }
    }
  }

  @Test func compressAndGatherEqualTwin() {
    var random = SplitMix(seed: 6)
    for density in [0, 0.02, 0.5, 0.97, 1] {
      for count in [4, 12, 100] {
        let row = words(count, density: 0.5, &random)
        let mask = words(count, density: density, &random)
        var positions: [UInt32] = []
        for i in 0..<count * 64 where mask[i / 64] >> UInt64(i % 64) & 1 == 1 {
          positions.append(UInt32(i))
        }
        let width = (positions.count + 255) / 256 * 4
        var expected = [UInt64](repeating: 0, count: width)
        for (to, from) in positions.enumerated()
        where row[Int(from) / 64] >> UInt64(from % 64) & 1 == 1 {
          expected[to / 64] |= 1 << UInt64(to % 64)
        }
        var compressed = [UInt64](repeating: ~0, count: width)
        affinity_bits_compress(row, mask, count, &compressed, width)
        #expect(compressed == expected)
        var gathered = [UInt64](repeating: ~0, count: width)
        affinity_bits_gather(row, positions, positions.count, &gathered, width)
        #expect(gathered == expected)
        let both = zip(row, mask).reduce(0) { $0 + ($1.0 & $1.1).nonzeroBitCount }
        #expect(Int(affinity_bits_count_both(row, mask, count)) == both)
      }
    }
  }

  @Test func positionsAndTransposeEqualTwin() {
    var random = SplitMix(seed: 8)
    for density in [0, 0.01, 0.1, 0.9] {
      for (rows, width) in [(1, 4), (64, 4), (70, 8), (300, 12)] {
        let arena = words(rows * width, density: density, &random)
        let offsets = (0..<rows).reversed().map { UInt32($0 * width) }
        let stride = (rows + 255) / 256 * 4
        var transposed = [UInt64](repeating: ~0, count: width * 64 * stride)
        affinity_bits_transpose(arena, offsets, rows, width, &transposed, stride)
        var expected = [UInt64](repeating: 0, count: width * 64 * stride)
        for (r, offset) in offsets.enumerated() {
          var set: [UInt32] = []
          for t in 0..<width * 64
          where arena[Int(offset) + t / 64] >> UInt64(t % 64) & 1 == 1 {
            set.append(UInt32(t))
            expected[t * stride + r / 64] |= 1 << UInt64(r % 64)
          }
          var positions = [UInt32](repeating: 0, count: width * 64 + 4)
          let row = Array(arena[Int(offset)..<Int(offset) + width])
          let found = affinity_bits_positions(row, width, &positions)
          #expect(Array(positions.prefix(found)) == set)
        }
        #expect(transposed == expected)
      }
    }
  }

  @Test func deliveryAndCountersEqualTwin() {
    var random = SplitMix(seed: 9)
    for items in [1, 7, 8, 100] {
      let list = (0..<500).map { _ in UInt32(random.below(items)) }
      var places: [UInt32] = []
      var expected = [UInt32](repeating: 0, count: items)
      for _ in 0..<40 {
        let start = random.below(500)
        let end = start + random.below(500 - start + 1)
        places += [UInt32(start), UInt32(end)]
        for item in list[start..<end] { expected[Int(item)] += 1 }
      }
      var counters = [UInt32](repeating: 0, count: items)
      affinity_deliver(list, places, 40, &counters)
      #expect(counters == expected)
      let from = items / 3
      let minimum = max(1, expected.max().map { $0 * 9 / 10 } ?? 1)
      var found = [UInt32](repeating: 0, count: items + 8)
      var values = found
      let n = affinity_take_counters(&counters, from, items, minimum, &found, &values)
      let frequent = (from..<items).filter { expected[$0] >= minimum }
      #expect(found.prefix(n).map(Int.init) == frequent)
      #expect(Array(values.prefix(n)) == frequent.map { expected[$0] })
      #expect(counters[from...].allSatisfy { $0 == 0 })
    }
  }

  @Test func columnSumsEqualTwin() {
    var random = SplitMix(seed: 7)
    for (stride, rows, density) in [
      (4, 1, 0.5), (4, 15, 0.5), (8, 16, 1), (8, 300, 0.1), (12, 1000, 0.9),
    ] {
      let matrix = words(stride * rows, density: density, &random)
      var chosen: [UInt32] = []
      for r in 0..<rows where random.unit() < 0.8 { chosen.append(UInt32(r)) }
      for from in [0, 1, 63, 64, 200, stride * 64 - 1] {
        for minimum in [1, 7, Int(Double(rows) * density * 0.8), 2000] where minimum > 0 {
          var columns: [UInt32] = []
          var sums: [UInt32] = []
          for c in from..<stride * 64 {
            let sum = chosen.reduce(0) {
              $0 + Int(matrix[Int($1) * stride + c / 64] >> UInt64(c % 64) & 1)
            }
            if sum >= minimum {
              columns.append(UInt32(c))
              sums.append(UInt32(sum))
            }
          }
          var foundColumns = [UInt32](repeating: 0, count: stride * 64)
          var foundSums = foundColumns
          let found = affinity_bits_column_sums(
            matrix, stride, chosen, chosen.count, UInt32(from), UInt32(minimum), &foundColumns,
            &foundSums)
          #expect(Array(foundColumns.prefix(found)) == columns)
          #expect(Array(foundSums.prefix(found)) == sums)
        }
      }
    }
  }
}
