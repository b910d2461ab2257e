// The search's schedule: who is tried when, and that the start is never dropped.
import Engine
import Evaluation
import Testing

@Suite struct SearchTests {
  @Test func halvesByThirds() {
    var halving = SuccessiveHalving(candidates: 10, folds: 3)
    #expect(halving.survivors(at: 0) == Array(0..<10))
    // The start is the worst; 4 of 10 go on, and it besides.
    for c in 0..<10 { halving.record(c, fold: 0, score: Double(c)) }
    #expect(halving.survivors(at: 1) == [0, 6, 7, 8, 9])
    for c in [0, 6, 7, 8, 9] { halving.record(c, fold: 1, score: c == 6 ? 20 : 0) }
    // Means over two folds: 6 has 13, 9 has 4.5. Two of five, rounded up.
    #expect(halving.survivors(at: 2) == [0, 6, 9])
    for c in [0, 6, 9] { halving.record(c, fold: 2, score: c == 9 ? 30 : 1) }
    #expect(halving.best == 9)
    #expect(halving.total == 10 + 5 + 3)
  }

  @Test func candidatesAreSeededAndDistinct() {
    let space = SearchSpace(EngineConfiguration(), behaviours: [.purchase])
    #expect(!space.dimensions.contains { $0.key.contains("also_viewed") })
    let first = space.candidates(80, seed: 5)
    #expect(first.count == 80)
    #expect(first[0].changes.isEmpty)
    #expect(first == space.candidates(80, seed: 5))
    #expect(first != space.candidates(80, seed: 6))
    #expect(Set(first.map(\.text)).count == 80)
    // A small space ends.
    #expect(SearchSpace([SearchDimension("a", ["1", "2"])]).candidates(50, seed: 1).count == 3)
  }
}
