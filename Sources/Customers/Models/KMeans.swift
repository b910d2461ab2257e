// K-means: minimise Σ over clusters Σ over rows ‖x − μ‖² (Lloyd 1982), from k-means++ seeds with greedy trials (Arthur &
// Vassilvitskii 2007), with Hamerly's two bounds a row, which spare most distances (Hamerly 2010). Rows stand one after the other,
// padded to four values. The greatest tables run their restarts on a sample of the rows, and the best of them over all.
import CKernels
import Sparse

public struct KMeansSettings: Sendable {
  public var clusters: Int
  public var restarts = 10
  public var seed: UInt64
  public var maxIterations = 300
  /// Ends where the centroids' squared moves sum to less than this share of the mean variance.
  public var tolerance = 1e-4
  /// Tables of at least four times as many rows run their restarts on that many.
  public var sampleRows = 16_384
  public init(clusters: Int, seed: UInt64 = 1) {
    self.clusters = clusters
    self.seed = seed
  }
}

public struct KMeans: Sendable {
  public let clusters: Int
  public let columns: Int
  /// Cluster by cluster.
  public var centroids: [Double]
  public var counts: [Int]
  /// Σ ‖x − μ‖².
  public var inertia: Double
  public var iterations: Int

  public func centroid(_ cluster: Int) -> ArraySlice<Double> {
    centroids[cluster * columns..<(cluster + 1) * columns]
  }

  /// - Parameter settings: `clusters` is at most the number of rows, and below 65,535.
  public static func fit(
    _ table: Table, _ settings: KMeansSettings, parallel: ParallelFor = serially
  ) -> KMeans {
    let all = PackedRows(table)
    var random = SplitMix(seed: settings.seed)
    if table.rows < settings.sampleRows * 4 {
      var best: KMeans?
      for _ in 0..<max(1, settings.restarts) {
        let next = all.run(from: all.seeds(settings.clusters, &random), settings, parallel)
        if next.inertia < best?.inertia ?? .infinity { best = next }
      }
      return best ?? all.run(from: all.seeds(settings.clusters, &random), settings, parallel)
    }
    let step = table.rows / settings.sampleRows
    let some = PackedRows(
      table.picking((0..<settings.sampleRows).map { $0 * step + random.below(step) }))
    var runs: [KMeans] = []
    for _ in 0..<max(1, settings.restarts) {
      runs.append(some.run(from: some.seeds(settings.clusters, &random), settings, serially))
    }
    guard let best = runs.min(by: { $0.inertia < $1.inertia }) else { preconditionFailure() }
    return all.run(from: some.padded(best.centroids), settings, parallel)
  }

  /// The nearest centroid of every row.
  public func assign(_ table: Table, parallel: ParallelFor = serially) -> [UInt16] {
    let rows = PackedRows(table)
    return rows.assignment(rows.padded(centroids), clusters, parallel)
  }
}

/// A table's rows one after the other.
struct PackedRows: ~Copyable {
  let rows: Int
  let columns: Int
  let stride: Int
  let values: Vec<Double>
  let meanVariance: Double

  init(_ table: Table) {
    rows = table.rows
    columns = table.columns
    stride = (table.columns + 3) & ~3
    values = .filled(0, count: max(4, rows * stride))
    var variance = 0.0
    for c in 0..<columns {
      let from = table.column(c)
      var (sum, squares) = (0.0, 0.0)
      let shift = rows > 0 ? from[0] : 0
      for row in 0..<rows {
        let x = from[row]
        sum += x - shift
        squares += (x - shift) * (x - shift)
        values[row * stride + c] = x
      }
      if rows > 0 { variance += (squares - sum * sum / Double(rows)) / Double(rows) }
    }
    meanVariance = columns > 0 ? max(0, variance) / Double(columns) : 0
  }

  func padded(_ centroids: [Double]) -> [Double] {
    let k = columns > 0 ? centroids.count / columns : 0
    var result = [Double](repeating: 0, count: k * stride)
    for c in 0..<k { for f in 0..<columns { result[c * stride + f] = centroids[c * columns + f] } }
    return result
  }

  /// k-means++: each seed drawn by its squared distance to those before, the best of a few draws.
  func seeds(_ k: Int, _ random: inout SplitMix) -> [Double] {
    precondition(k > 0 && k <= rows && k < Int(AFFINITY_NO_CLUSTER))
    var result: [Double] = []
    func take(_ row: Int) {
      result.append(contentsOf: UnsafeBufferPointer(start: values.base + row * stride, count: stride))
    }
    var nearest = [Double](repeating: .infinity, count: rows)
    var trial = nearest
    let first = random.below(rows)
    take(first)
    var total = affinity_kmeans_nearer(values.base, stride, rows, values.base + first * stride, nearest, &trial)
    swap(&nearest, &trial)
    let draws = 2 + Int(logarithm(Double(k)))
    var best = nearest
    while result.count < k * stride {
      var (bestTotal, bestRow) = (Double.infinity, 0)
      for _ in 0..<draws {
        var left = random.unit() * total
        var row = 0
        while row < rows - 1 && left >= nearest[row] {
          left -= nearest[row]
          row += 1
        }
        let sum = affinity_kmeans_nearer(values.base, stride, rows, values.base + row * stride, nearest, &trial)
        if sum < bestTotal {
          (bestTotal, bestRow) = (sum, row)
          swap(&best, &trial)
        }
      }
      swap(&nearest, &best)
      total = bestTotal
      take(bestRow)
    }
    return result
  }

  func run(from start: [Double], _ settings: KMeansSettings, _ parallel: ParallelFor) -> KMeans {
    let k = settings.clusters
    var state = ClusterState(rows: rows, clusters: k, stride: stride)
    var centroids = start
    var moved = [Double](repeating: 0, count: k)
    var iterations = 0
    while iterations < settings.maxIterations {
      iterations += 1
      let changed = state.pass(self, centroids, moved, parallel)
      if changed == 0 && iterations > 1 { break }
      state.refill(self, centroids)
      // Sums that only change drift; afresh now and then.
      if iterations % 32 == 0 { state.sumAgain(self) }
      var shift = 0.0
      for c in 0..<k {
        var squared = 0.0
        for f in 0..<stride where state.counts[c] > 0 {
          let next = state.sums[c * stride + f] / Double(state.counts[c])
          let change = next - centroids[c * stride + f]
          squared += change * change
          centroids[c * stride + f] = next
        }
        moved[c] = root(squared)
        shift += squared
      }
      if shift <= settings.tolerance * meanVariance { break }
    }
    // Centroids and inertia of the final assignment, from the rows themselves.
    _ = state.pass(self, centroids, moved, parallel)
    state.sumAgain(self)
    for c in 0..<k where state.counts[c] > 0 {
      for f in 0..<stride { centroids[c * stride + f] = state.sums[c * stride + f] / Double(state.counts[c]) }
    }
    var inertia = 0.0
    for row in 0..<rows {
      let (x, own) = (values.base + row * stride, Int(state.assigned[row]) * stride)
      for f in 0..<columns {
        let gap = x[f] - centroids[own + f]
        inertia += gap * gap
      }
    }
    var plain: [Double] = []
    for c in 0..<k { plain.append(contentsOf: centroids[c * stride..<c * stride + columns]) }
    return KMeans(
      clusters: k, columns: columns, centroids: plain, counts: state.counts.map { Int($0) },
      inertia: inertia, iterations: iterations)
  }

  func assignment(_ centroids: [Double], _ k: Int, _ parallel: ParallelFor) -> [UInt16] {
    var state = ClusterState(rows: rows, clusters: k, stride: stride)
    _ = state.pass(self, centroids, [Double](repeating: 0, count: k), parallel)
    return [UInt16](state.assigned.buffer)
  }
}

/// What an iteration knows of rows and clusters.
struct ClusterState: ~Copyable {
  let clusters: Int
  let stride: Int
  let assigned: Vec<UInt16>
  let upper: Vec<Double>
  let lower: Vec<Double>
  var sums: [Double]
  var counts: [Int64]
  private let stretches: Stretches
  /// Per stretch: what rows that changed put in and took out.
  private let deltas: Vec<Double>
  private let deltaCounts: Vec<Int64>

  init(rows: Int, clusters: Int, stride: Int) {
    self.clusters = clusters
    self.stride = stride
    assigned = .filled(UInt16(AFFINITY_NO_CLUSTER), count: rows)
    upper = .filled(0, count: rows)
    lower = .filled(0, count: rows)
    sums = [Double](repeating: 0, count: clusters * stride)
    counts = [Int64](repeating: 0, count: clusters)
    stretches = Stretches(rows: rows)
    deltas = .filled(0, count: max(1, stretches.count) * clusters * stride)
    deltaCounts = .filled(0, count: max(1, stretches.count) * clusters)
  }

  /// Every row to its nearest centroid. `moved`: how far each went since the last pass.
  /// - Returns: rows that changed.
  mutating func pass(
    _ rows: borrowing PackedRows, _ centroids: [Double], _ moved: [Double], _ parallel: ParallelFor
  ) -> Int {
    let (k, stride) = (clusters, stride)
    var half = [Double](repeating: .infinity, count: k)
    for a in 0..<k {
      for b in 0..<k where b != a {
        var squared = 0.0
        for f in 0..<stride {
          let gap = centroids[a * stride + f] - centroids[b * stride + f]
          squared += gap * gap
        }
        half[a] = min(half[a], root(squared) / 2)
      }
    }
    var (largest, second, mover) = (0.0, 0.0, 0)
    for c in 0..<k {
      if moved[c] > largest {
        (second, largest, mover) = (largest, moved[c], c)
      } else if moved[c] > second {
        second = moved[c]
      }
    }
    deltas.base.update(repeating: 0, count: deltas.count)
    deltaCounts.base.update(repeating: 0, count: deltaCounts.count)
    let changes = Vec<Int>.filled(0, count: max(1, stretches.count))
    let values = Shared(rows.values.base)
    let (own, high, low) = (Shared(assigned.base), Shared(upper.base), Shared(lower.base))
    let (delta, deltaCount, change) = (Shared(deltas.base), Shared(deltaCounts.base), Shared(changes.base))
    let stretches = stretches
    half.withUnsafeBufferPointer { half in
      moved.withUnsafeBufferPointer { moved in
        let motion = affinity_motion(
          half: half.baseAddress, moved: moved.baseAddress, largest: largest, second: second, mover: mover)
        parallel(stretches.count) { part in
          let range = stretches.range(part)
          var motion = motion
          change.base[part] = affinity_kmeans_pass(
            values.base, stride, range.lowerBound, range.upperBound, centroids, k, &motion, own.base,
            high.base, low.base, delta.base + part * k * stride, deltaCount.base + part * k)
        }
      }
    }
    var changed = 0
    for part in 0..<stretches.count {
      changed += changes[part]
      if changes[part] == 0 { continue }
      for i in 0..<(k * stride) { sums[i] += deltas[part * k * stride + i] }
      for c in 0..<k { counts[c] += deltaCounts[part * k + c] }
    }
    return changed
  }

  /// A cluster that lost its last row takes the row farthest from its own centroid.
  mutating func refill(_ rows: borrowing PackedRows, _ centroids: [Double]) {
    for c in 0..<clusters where counts[c] == 0 {
      var (farthest, distance) = (-1, -1.0)
      for row in 0..<rows.rows where counts[Int(assigned[row])] > 1 {
        let (x, own) = (rows.values.base + row * stride, Int(assigned[row]) * stride)
        var squared = 0.0
        for f in 0..<stride {
          let gap = x[f] - centroids[own + f]
          squared += gap * gap
        }
        if squared > distance { (farthest, distance) = (row, squared) }
      }
      if farthest < 0 { return }
      counts[Int(assigned[farthest])] -= 1
      counts[c] = 1
      assigned[farthest] = UInt16(c)
      // Its bounds say nothing now.
      for row in 0..<rows.rows {
        upper[row] = .infinity
        lower[row] = 0
      }
      sumAgain(rows)
    }
  }

  mutating func sumAgain(_ rows: borrowing PackedRows) {
    for i in sums.indices { sums[i] = 0 }
    for c in counts.indices { counts[c] = 0 }
    for row in 0..<rows.rows {
      let (x, own) = (rows.values.base + row * stride, Int(assigned[row]))
      counts[own] += 1
      for f in 0..<stride { sums[own * stride + f] += x[f] }
    }
  }
}
