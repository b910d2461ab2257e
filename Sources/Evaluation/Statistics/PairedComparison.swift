// Two systems that answered the same questions: is one better? The difference is taken per asker (the mean over the
// asker's questions for the tests), since questions of one user are not independent.
import Recommender
import Sparse

public struct PairedComparison: Sendable {
  /// Mean over questions of the first less the second.
  public var difference: Double
  /// Bootstrap interval of it.
  public var interval: Interval
  /// Sign-flip permutation test, two-sided.
  public var permutationP: Double
  /// Wilcoxon's signed-rank test, two-sided; nil where no asker has a difference.
  public var wilcoxonP: Double?

  /// - Returns: nil where no question has both values.
  public init?(
    _ first: Sample, _ second: Sample, clusters: [UInt32], clusterCount: Int, bootstrap: Bootstrap,
    parallel: @escaping Parallel
  ) {
    let differences = Sample(zip(first.values, second.values).map { $0 - $1 })
    guard let mean = differences.mean,
      let interval = bootstrap.intervals(
        of: [differences], clusters: clusters, clusterCount: clusterCount, parallel: parallel)[0]
    else { return nil }
    difference = mean
    self.interval = interval
    var sums = [Double](repeating: 0, count: clusterCount)
    var counts = [Double](repeating: 0, count: clusterCount)
    for (q, value) in differences.values.enumerated() where !value.isNaN {
      sums[Int(clusters[q])] += value
      counts[Int(clusters[q])] += 1
    }
    permutationP = SignFlipTest.p(sums, seed: bootstrap.seed)
    wilcoxonP = SignedRankTest.p(
      zip(sums, counts).filter { $0.1 > 0 }.map { $0.0 / $0.1 })
  }
}

/// The sign-flip permutation test of paired differences: under the null hypothesis each asker's difference is as
/// likely to have the other sign. (Fisher 1935; for retrieval: Smucker, Allan, Carterette, CIKM 2007.)
public enum SignFlipTest {
  /// - Returns: (1 + permutations whose sum is at least as far from 0) / (1 + permutations).
  public static func p(_ differences: [Double], permutations: Int = 10_000, seed: UInt64) -> Double {
    let moved = differences.filter { $0 != 0 }
    var sum = 0.0
    for value in moved { sum += value }
    let observed = abs(sum)
    // A sum in another order may differ in its last bits.
    let bound = observed * (1 - 1e-12)
    let rounds = max(1000, min(permutations, 200_000_000 / max(1, moved.count)))
    var generator = SplitMix(seed: SplitMix.stream(seed, .max))
    var asFar = 0
    for _ in 0..<rounds {
      var total = 0.0
      var signs: UInt64 = 0
      for (i, value) in moved.enumerated() {
        if i & 63 == 0 { signs = generator.next() }
        total += signs & 1 == 0 ? value : -value
        signs >>= 1
      }
      if abs(total) >= bound { asFar += 1 }
    }
    return Double(1 + asFar) / Double(1 + rounds)
  }
}

/// Wilcoxon's signed-rank test by the normal approximation, with the variance corrected for ties and without zeros
/// (Wilcoxon 1945; Hollander, Wolfe 1999).
public enum SignedRankTest {
  public static func p(_ differences: [Double]) -> Double? {
    let moved = differences.filter { $0 != 0 }.sorted { abs($0) < abs($1) }
    let n = Double(moved.count)
    if moved.isEmpty { return nil }
    var positive = 0.0
    var ties = 0.0
    var start = 0
    while start < moved.count {
      var end = start
      while end < moved.count && abs(moved[end]) == abs(moved[start]) { end += 1 }
      let rank = Double(start + 1 + end) / 2
      for i in start..<end where moved[i] > 0 { positive += rank }
      let t = Double(end - start)
      ties += t * t * t - t
      start = end
    }
    let variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48
    if variance <= 0 { return 1 }
    return EvaluationMaths.tails((positive - n * (n + 1) / 4) / variance.squareRoot())
  }
}
