// MATHS §1 and §2, vector by vector.
import Recommender
import Testing

@Suite struct MeasuresTests {
  static let vectors: [(Int, Int, Int, Int, Double)] = [
    (13, 1000, 1000, 100_000, 0.8038), (1, 0, 0, 2, 3.8191), (1, 0, 0, 10_000, 20.4208),
    (10, 0, 0, 100_000, 204.2078), (100, 1000, 1000, 100_000, 265.0131), (5, 5, 5, 5, 0),
  ]

  @Test(arguments: vectors)
  func logLikelihoodRatioOfPublishedTables(_ v: (Int, Int, Int, Int, Double)) {
    let value = Measures.logLikelihoodRatio(v.0, v.1, v.2, v.3)
    #expect(abs(value - v.4) < 0.00005)
    #expect(value >= 0)
  }

  @Test(arguments: vectors)
  func llrFromCounts(_ v: (Int, Int, Int, Int, Double)) {
    let value = Measures.value(
      .llr, both: UInt32(v.0), this: UInt32(v.0 + v.1), other: UInt32(v.0 + v.2),
      contexts: v.0 + v.1 + v.2 + v.3, shrinkage: 0)
    if v.4 == 0 {
      #expect(value == nil, "independence is no attraction")
    } else {
      #expect(value == Measures.logLikelihoodRatio(v.0, v.1, v.2, v.3))
    }
  }

  @Test func repulsionIsNoNeighbour() {
    // 1 · 100 < 20 · 20
    #expect(Measures.value(.llr, both: 1, this: 20, other: 20, contexts: 100, shrinkage: 0) == nil)
    #expect(Measures.value(.llr, both: 5, this: 20, other: 20, contexts: 100, shrinkage: 0) != nil)
  }

  @Test func valuesOfTheLinearMeasures() {
    func value(_ measure: Measure, shrinkage: Double = 0) -> Double? {
      Measures.value(measure, both: 3, this: 5, other: 6, contexts: 10, shrinkage: shrinkage)
    }
    #expect(value(.cosine) == 3 / 30.0.squareRoot())
    #expect(value(.jaccard) == 3.0 / 8.0)
    #expect(value(.lift) == 1.0)
    #expect(value(.conditional) == 0.6)
    #expect(value(.count) == 3)
    #expect(value(.count, shrinkage: 1) == 2.25)
    #expect(value(.conditional, shrinkage: 3) == 0.3)
    // MATHS §5's check: 10 baskets, 5, 5, 3.
    #expect(
      Measures.value(.lift, both: 3, this: 5, other: 5, contexts: 10, shrinkage: 0) == 1.2)
  }

  @Test(arguments: Measure.allCases)
  func undefinedWithoutCounts(_ measure: Measure) {
    #expect(Measures.value(measure, both: 0, this: 0, other: 0, contexts: 0, shrinkage: 0) == nil)
    #expect(Measures.value(measure, both: 3, this: 2, other: 9, contexts: 9, shrinkage: 0) == nil)
    #expect(
      Measures.value(
        measure, both: .max, this: .max, other: .max, contexts: .max, shrinkage: 0)
        .map(\.isFinite) ?? true)
  }
}
