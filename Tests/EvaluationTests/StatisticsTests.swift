// Intervals and tests: against SciPy and NumPy (scripts/metric-vectors.py), exact enumeration and known answers.
import Evaluation
import Recommender
import Sparse
import Testing

@Suite struct StatisticsTests {
  static func pairs() -> ([Double], [Double]) {
    var g = SplitMix(seed: 11)
    let x = (0..<80).map { _ in (g.unit() * 20).rounded(.down) / 20 }
    let y = (0..<80).map { _ in (g.unit() * 20).rounded(.down) / 20 - 0.05 }
    return (x, y)
  }

  @Test func signedRanksEqualSciPy() throws {
    let (x, y) = Self.pairs()
    let p = try #require(SignedRankTest.p(zip(x, y).map { $0 - $1 }))
    #expect(abs(p - 0.025453535702106886) <= 1e-12, "\(p)")
    #expect(SignedRankTest.p([0, 0]) == nil)
  }

  @Test func quantilesEqualNumPy() {
    let sorted = Self.pairs().0.sorted()
    #expect(abs(Bootstrap.quantile(sorted, 0.025) - 0.04875) <= 1e-15)
    #expect(Bootstrap.quantile(sorted, 0.5) == 0.55)
    #expect(Bootstrap.quantile(sorted, 0.975) == 0.95)
    #expect(Bootstrap.quantile([3], 0.4) == 3)
  }

  /// All 2^n signs, for few differences.
  @Test func signFlipsNearExact() {
    let differences = [0.3, -0.1, 0.25, 0.4, 0.05, -0.2, 0.35, 0.15, 0.1, 0.3]
    let observed = abs(differences.reduce(0, +))
    var asFar = 0
    for signs in 0..<1024 {
      var sum = 0.0
      for (i, d) in differences.enumerated() { sum += signs >> i & 1 == 0 ? d : -d }
      if abs(sum) >= observed - 1e-12 { asFar += 1 }
    }
    let exact = Double(asFar) / 1024
    let p = SignFlipTest.p(differences, permutations: 200_000, seed: 4)
    // Three standard deviations of the draw.
    #expect(abs(p - exact) < 3 * (exact * (1 - exact) / 200_000).squareRoot() + 1e-5, "\(p), exactly \(exact)")
    #expect(SignFlipTest.p([0, 0, 0], seed: 1) == 1)
  }

  @Test func intervalsOfClusters() throws {
    // Ten askers of a hundred equal answers each: the interval is that of ten numbers, not of a thousand.
    var values: [Double] = []
    var clusters: [UInt32] = []
    for asker in 0..<10 {
      for _ in 0..<100 {
        values.append(Double(asker))
        clusters.append(UInt32(asker))
      }
    }
    let bootstrap = Bootstrap()
    let found = bootstrap.intervals(
      of: [Sample(values), Sample(values.map { _ in .nan })], clusters: clusters, clusterCount: 10,
      parallel: inTurn)
    let interval = try #require(found[0])
    #expect(found[1] == nil)
    // The mean of ten of 0...9: deviation 2.87 / √10 = 0.908, so about 4.5 ± 1.78.
    #expect(abs(interval.low - 2.72) < 0.2 && abs(interval.high - 6.28) < 0.2, "\(interval)")
    // Drawn apart per round: no part of the loop matters, nor its order.
    let backwards: Parallel = { parts, body in for part in (0..<parts).reversed() { body(part) } }
    #expect(
      bootstrap.intervals(of: [Sample(values)], clusters: clusters, clusterCount: 10, parallel: backwards)[0]
        == interval)
  }

  @Test func comparesPairs() throws {
    var g = SplitMix(seed: 3)
    let first = Sample((0..<400).map { _ in g.unit() })
    let better = Sample(first.values.map { $0 + 0.02 + 0.1 * (g.unit() - 0.5) })
    let same = Sample(first.values.map { $0 + 0.1 * (g.unit() - 0.5) })
    let clusters = (0..<UInt32(400)).map { $0 / 2 }
    func compare(_ a: Sample, _ b: Sample) throws -> PairedComparison {
      try #require(
        PairedComparison(
          a, b, clusters: clusters, clusterCount: 200, bootstrap: Bootstrap(), parallel: inTurn))
    }
    let gain = try compare(better, first)
    #expect(gain.interval.low > 0.01 && gain.interval.high < 0.03)
    #expect(gain.permutationP < 0.001)
    #expect(try #require(gain.wilcoxonP) < 0.001)
    let none = try compare(same, first)
    #expect(none.interval.low < 0 && none.interval.high > 0)
    #expect(none.permutationP > 0.01)
    let undefined = Sample(first.values.map { _ in .nan })
    #expect(
      PairedComparison(
        undefined, first, clusters: clusters, clusterCount: 200, bootstrap: Bootstrap(), parallel: inTurn) == nil)
  }
}
