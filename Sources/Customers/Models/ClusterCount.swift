// How many clusters: by the mean silhouette (Rousseeuw 1987) or the gap statistic (Tibshirani, Walther, Hastie 2001), over a seeded
// sample of the rows, since both cost more than the clustering.
import Sparse

public enum ClusterCount {
  public enum Choice: String, Sendable, CaseIterable { case silhouette, gap }

  /// Mean silhouette of the rows: (b − a) / max(a, b), a the mean distance to the row's own cluster, b to the nearest other one; 0
  /// for a row alone in its cluster. Complexity: O(rows² · columns).
  public static func silhouette(_ table: Table, assigned: [UInt16], clusters: Int) -> Double {
    let rows = PackedRows(table)
    guard rows.rows > 1 else { return 0 }
    var sizes = [Double](repeating: 0, count: clusters)
    for a in assigned { sizes[Int(a)] += 1 }
    var total = 0.0
    var sums = [Double](repeating: 0, count: clusters)
    for i in 0..<rows.rows {
      for c in 0..<clusters { sums[c] = 0 }
      let x = rows.values.base + i * rows.stride
      for j in 0..<rows.rows {
        let y = rows.values.base + j * rows.stride
        var squared = 0.0
        for f in 0..<rows.stride { squared += (x[f] - y[f]) * (x[f] - y[f]) }
        sums[Int(assigned[j])] += root(squared)
      }
      let own = Int(assigned[i])
      if sizes[own] <= 1 { continue }
      let inside = sums[own] / (sizes[own] - 1)
      var outside = Double.infinity
      for c in 0..<clusters where c != own && sizes[c] > 0 { outside = min(outside, sums[c] / sizes[c]) }
      let larger = max(inside, outside)
      if outside.isFinite && larger > 0 { total += (outside - inside) / larger }
    }
    return total / Double(rows.rows)
  }

  /// Gap(k) = mean of ln W of uniform tables in the same box − ln W, with its error s.
  public static func gap(
    _ table: Table, clusters: Int, references: Int = 5, seed: UInt64, parallel: ParallelFor = serially
  ) -> (gap: Double, error: Double) {
    var settings = KMeansSettings(clusters: clusters, seed: seed)
    settings.restarts = 3
    let own = logarithm(max(KMeans.fit(table, settings, parallel: parallel).inertia, 1e-300))
    var random = SplitMix(seed: seed &+ 0x9e37)
    var logs: [Double] = []
    for _ in 0..<references {
      let box = Table(rows: table.rows, columns: table.columns)
      for c in 0..<table.columns {
        let (from, to) = (table.column(c), box.column(c))
        var (low, high) = (Double.infinity, -Double.infinity)
        for i in 0..<table.rows { (low, high) = (min(low, from[i]), max(high, from[i])) }
        for i in 0..<table.rows { to[i] = low + (high - low) * random.unit() }
      }
      logs.append(logarithm(max(KMeans.fit(box, settings, parallel: parallel).inertia, 1e-300)))
    }
    let mean = logs.reduce(0, +) / Double(logs.count)
    let variance = logs.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(logs.count)
    return (mean - own, root(variance) * root(1 + 1 / Double(references)))
  }

  /// The number of clusters in `range`: of the largest silhouette, or the smallest k whose gap is not below the next one's less its
  /// error. `score` per k of the range: silhouette or gap.
  public static func choose(
    _ table: Table, range: ClosedRange<Int>, by choice: Choice, seed: UInt64, sampleRows: Int = 1500,
    parallel: ParallelFor = serially
  ) -> (clusters: Int, scores: [Double]) {
    var random = SplitMix(seed: seed)
    var sample = table
    if table.rows > sampleRows {
      let step = table.rows / sampleRows
      sample = table.picking((0..<sampleRows).map { $0 * step + random.below(step) })
    }
    let range = range.clamped(to: 1...max(1, sample.rows - 1))
    var scores: [Double] = []
    var errors: [Double] = []
    for k in range {
      switch choice {
      case .silhouette:
        let fit = KMeans.fit(sample, KMeansSettings(clusters: k, seed: seed), parallel: parallel)
        scores.append(silhouette(sample, assigned: fit.assign(sample), clusters: k))
        errors.append(0)
      case .gap:
        let (gap, error) = gap(sample, clusters: k, seed: seed, parallel: parallel)
        scores.append(gap)
        errors.append(error)
      }
    }
    let first = range.lowerBound
    switch choice {
    case .silhouette:
      let best = scores.indices.max { scores[$0] < scores[$1] || (scores[$0] == scores[$1] && $0 > $1) }
      return (first + (best ?? 0), scores)
    case .gap:
      for i in 0..<(scores.count - 1) where scores[i] >= scores[i + 1] - errors[i + 1] {
        return (first + i, scores)
      }
      return (range.upperBound, scores)
    }
  }
}
