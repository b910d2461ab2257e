// Metrics against ranx, scikit-learn and SciPy (figures of scripts/metric-vectors.py), and against plain twins on sets.
import Evaluation
import Foundation
import Sparse
import Testing

@Suite struct MetricTests {
  /// From ranx 0.3.
  static let vectors: [(metric: String, k: Int, mean: Double)] = [
    ("recall", 1, 0.017180014430014431), ("recall", 5, 0.08702400377400378),
    ("recall", 10, 0.1452970917970918), ("recall", 20, 0.21655695230695229),
    ("precision", 1, 0.10000000000000001), ("precision", 5, 0.098666666666666666),
    ("precision", 10, 0.085000000000000006), ("precision", 20, 0.063500000000000001),
    ("hit_rate", 1, 0.10000000000000001), ("hit_rate", 5, 0.41333333333333333),
    ("hit_rate", 10, 0.57999999999999996), ("hit_rate", 20, 0.67666666666666664),
    ("ndcg", 1, 0.10000000000000001), ("ndcg", 5, 0.10510491462813677),
    ("ndcg", 10, 0.12486434238578596), ("ndcg", 20, 0.15642888178234668),
    ("mrr", 1, 0.10000000000000001), ("mrr", 5, 0.20755555555555555),
    ("mrr", 10, 0.23002910052910053), ("mrr", 20, 0.23699954722207045),
    ("map", 1, 0.017180014430014431), ("map", 5, 0.043808245149911815),
    ("map", 10, 0.05624900793650793), ("map", 20, 0.06711132905916195),
  ]

  @Test func accuracyEqualsRanx() throws {
    let lists = RandomList.all(seed: 7)
    for (name, k, mean) in Self.vectors {
      let metric = try #require(AccuracyMetric(rawValue: name))
      let ours = try #require(Sample(lists.map { metric.value($0.judged, at: k) }).mean)
      #expect(abs(ours - mean) <= 1e-12, "\(name)@\(k): \(ours)")
    }
    // scikit-learn's nDCG, scaled to an ideal over ten.
    let ndcg = try #require(Sample(lists.map { AccuracyMetric.ndcg.value($0.judged, at: 10) }).mean)
    #expect(abs(ndcg - 0.12486434238578589) <= 1e-12)
  }

  /// The same from ranks and sets instead of flags.
  @Test(arguments: [UInt64(1), 2, 3])
  func accuracyEqualsTwin(seed: UInt64) {
    for list in RandomList.all(seed: seed, questions: 100) {
      for k in [1, 3, 7, 20, 40] {
        let shown = Array(list.ranked.prefix(k))
        let wanted = Set(list.relevant)
        let ranks = list.relevant.compactMap { shown.firstIndex(of: $0) }.map { $0 + 1 }.sorted()
        let found = Double(wanted.intersection(shown).count)
        var gain = 0.0
        for rank in ranks { gain += 1 / (log(Double(rank + 1)) / log(2)) }
        var best = 0.0
        for rank in 1...min(k, wanted.count) { best += 1 / (log(Double(rank + 1)) / log(2)) }
        var precisions = 0.0
        for (found, rank) in ranks.enumerated() { precisions += Double(found + 1) / Double(rank) }
        let first = ranks.first.map { 1 / Double($0) } ?? 0
        let size = Double(wanted.count)
        let expected: [AccuracyMetric: Double] = [
          .recall: found / size, .precision: found / Double(k), .hitRate: ranks.isEmpty ? 0 : 1,
          .ndcg: gain / best, .mrr: first, .map: precisions / size,
        ]
        for metric in AccuracyMetric.allCases {
          let ours = metric.value(list.judged, at: k)
          #expect(abs(ours - (expected[metric] ?? .nan)) <= 1e-12, "\(metric)@\(k), seed \(seed)")
        }
      }
    }
  }

  @Test func longListsGoOn() {
    // Beyond the table of discounts.
    let hits = [Bool](repeating: false, count: 1999) + [true]
    let value = AccuracyMetric.ndcg.value(JudgedList(hits: hits, relevant: 1500), at: 2000)
    let ideal = (1...1500).reduce(0.0) { $0 + 1 / log2(Double($1 + 1)) }
    #expect(abs(value - 1 / log2(2001) / ideal) <= 1e-15)
  }

  @Test func spreadOverTheCatalogue() throws {
    var g = SplitMix(seed: 11)
    for _ in 0..<160 { _ = g.next() }
    let counts = (0..<40).map { _ in g.below(50) }
    #expect(abs(try #require(Gini.value(exposures: counts)) - 0.3182135728542914) <= 1e-12)
    #expect(Gini.value(exposures: [0, 0, 0, 12]) == 0.75)
    #expect(Gini.value(exposures: [3, 3, 3]) == 0)
    #expect(Gini.value(exposures: [0, 0]) == nil)
    #expect(Coverage.value(exposures: [0, 2, 0, 1]) == 0.5)
    #expect(Coverage.value(exposures: []) == nil)
    let own = (0..<6).map { _ in g.below(9) }
    let list = (0..<6).map { _ in g.below(9) }
    #expect(abs(try #require(Calibration.value(own: own, list: list)) - 0.16965116219267956) <= 1e-12)
    #expect(Calibration.value(own: [4, 2], list: [2, 1]) == 0)
    #expect(Calibration.value(own: [0, 0], list: [2, 1]) == nil)
  }

  @Test func whatIsInTheLists() throws {
    #expect(try #require(Novelty.value(holders: [1, 4, 0], users: 16)) == (4 + 2 + 4) / 3.0)
    #expect(Novelty.value(holders: [], users: 16) == nil)
    #expect(PopularityBias.value(listHolders: [30, 10], ownHolders: [5, 15]) == 1)
    #expect(PopularityBias.value(listHolders: [], ownHolders: [5]) == nil)
    #expect(PopularityBias.value(listHolders: [1], ownHolders: [0]) == nil)

    // Against sets, on random holders.
    var g = SplitMix(seed: 5)
    let holders = (0..<8).map { _ in (UInt32(0)..<30).filter { _ in g.unit() < 0.3 } }
    var sum = 0.0
    var pairs = 0
    for a in 0..<8 {
      for b in 0..<8 where a != b {
        let both = Double(Set(holders[a]).intersection(holders[b]).count)
        sum += 1 - both / sqrt(Double(holders[a].count) * Double(holders[b].count))
        pairs += 1
      }
    }
    #expect(abs(try #require(IntraListDiversity.value(holders: holders)) - sum / Double(pairs)) <= 1e-12)
    #expect(IntraListDiversity.value(holders: [[1]]) == nil)
    #expect(IntraListDiversity.value(holders: [[1], []]) == 1)
  }
}
