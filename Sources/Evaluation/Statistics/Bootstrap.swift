// Confidence intervals by resampling. Questions of one user are not independent, so users are drawn, not questions
// (the cluster bootstrap: Davison, Hinkley, "Bootstrap Methods and their Application", 1997, §3.8). Each resample has
// a generator of its own, so the result does not depend on who computes it.
import Recommender
import Sparse

public struct Interval: Sendable, Equatable {
  public var low: Double
  public var high: Double
  public init(low: Double, high: Double) {
    self.low = low
    self.high = high
  }
}

public struct Bootstrap: Sendable {
  public var resamples = 1000
  /// Probability that the interval is meant to have.
  public var level = 0.95
  public var seed: UInt64 = 1

  public init() {}

  /// Percentile intervals of the means of several samples over the same questions.
  /// - Parameter clusters: per question, the number of whoever asked, below `clusterCount`.
  /// - Returns: nil where a mean is not defined. Complexity: O(resamples · clusters · samples); above 20 million
  ///   draws there are fewer resamples, at least 200.
  public func intervals(
    of samples: [Sample], clusters: [UInt32], clusterCount: Int, parallel: @escaping Parallel
  ) -> [Interval?] {
    if samples.isEmpty || clusters.isEmpty { return samples.map { _ in nil } }
    let width = samples.count
    // Per cluster, for each sample its sum and its number of defined values, side by side.
    var cells = [Double](repeating: 0, count: clusterCount * width * 2)
    for (s, sample) in samples.enumerated() {
      for (q, value) in sample.values.enumerated() where !value.isNaN {
        let cell = (Int(clusters[q]) * width + s) * 2
        cells[cell] += value
        cells[cell + 1] += 1
      }
    }
    let rounds = max(min(resamples, 200), min(resamples, 20_000_000 / max(1, clusterCount)))
    var means = [Double](repeating: .nan, count: rounds * width)
    let seed = self.seed
    means.withUnsafeMutableBufferPointer { out in
      let place = Place(out)
      cells.withUnsafeBufferPointer { cells in
        let source = Source(cells)
        let parts = 16
        parallel(parts) { part in
          var totals = [Double](repeating: 0, count: width * 2)
          for round in rounds * part / parts..<rounds * (part + 1) / parts {
            var generator = SplitMix(seed: SplitMix.stream(seed, UInt64(round)))
            for i in totals.indices { totals[i] = 0 }
            for _ in 0..<clusterCount {
              let cell = generator.below(clusterCount) * width * 2
              for i in 0..<width * 2 { totals[i] += source.cells[cell + i] }
            }
            for s in 0..<width { place.out[round * width + s] = totals[2 * s] / totals[2 * s + 1] }
          }
        }
      }
    }
    return (0..<width).map { s in
      var sorted: [Double] = []
      for round in 0..<rounds where !means[round * width + s].isNaN { sorted.append(means[round * width + s]) }
      if sorted.isEmpty { return nil }
      sorted.sort()
      return Interval(
        low: Bootstrap.quantile(sorted, (1 - level) / 2), high: Bootstrap.quantile(sorted, (1 + level) / 2))
    }
  }

  /// Linear between the neighbouring order statistics (type 7 of Hyndman, Fan 1996).
  public static func quantile(_ sorted: [Double], _ p: Double) -> Double {
    let place = p * Double(sorted.count - 1)
    let below = Int(EvaluationMaths.floor(place))
    let above = min(below + 1, sorted.count - 1)
    return sorted[below] + (place - Double(below)) * (sorted[above] - sorted[below])
  }

  private struct Place: @unchecked Sendable {
    let out: UnsafeMutableBufferPointer<Double>
    init(_ out: UnsafeMutableBufferPointer<Double>) { self.out = out }
  }
  private struct Source: @unchecked Sendable {
    let cells: UnsafeBufferPointer<Double>
    init(_ cells: UnsafeBufferPointer<Double>) { self.cells = cells }
  }
}

extension SplitMix {
  /// A seed for one of many independent streams.
  static func stream(_ seed: UInt64, _ number: UInt64) -> UInt64 {
    var generator = SplitMix(seed: seed ^ (number &* 0xd134_2543_de82_ef95))
    return generator.next()
  }
}
