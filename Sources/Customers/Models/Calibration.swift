// Scores to probabilities: Platt's sigmoid (Platt 1999, by Newton's method and smoothed targets as in Lin, Lin, Weng 2007) and
// isotonic regression by pooling adjacent violators.

/// p = 1 / (1 + e^(slope · score + offset)).
public struct PlattScaling: Sendable {
  public var slope: Double
  public var offset: Double
  /// Of slope and offset: variances and covariance, by the curvature at the solution.
  private var variance = (slope: 0.0, offset: 0.0, both: 0.0)

  /// - Parameter scores: of rows the classifier was not fitted to.
  public init(_ labels: [UInt8], _ scores: [Double]) {
    let positives = Double(labels.reduce(0) { $0 + Int($1) })
    let negatives = Double(labels.count) - positives
    let (high, low) = ((positives + 1) / (positives + 2), 1 / (negatives + 2))
    var (a, b) = (0.0, logarithm((negatives + 1) / (positives + 1)))
    func value(_ a: Double, _ b: Double) -> Double {
      var sum = 0.0
      for i in labels.indices {
        let f = a * scores[i] + b
        let t = labels[i] != 0 ? high : low
        sum += f >= 0 ? t * f + logarithm1p(exponential(-f)) : (t - 1) * f + logarithm1p(exponential(f))
      }
      return sum
    }
    var current = value(a, b)
    for _ in 0..<100 {
      var (h11, h22, h21, g1, g2) = (1e-12, 1e-12, 0.0, 0.0, 0.0)
      for i in labels.indices {
        let p = sigmoid(-(a * scores[i] + b))
        let d2 = p * (1 - p)
        h11 += scores[i] * scores[i] * d2
        h22 += d2
        h21 += scores[i] * d2
        let d1 = (labels[i] != 0 ? high : low) - p
        g1 += scores[i] * d1
        g2 += d1
      }
      if abs(g1) < 1e-9 && abs(g2) < 1e-9 { break }
      let determinant = h11 * h22 - h21 * h21
      let (da, db) = (-(h22 * g1 - h21 * g2) / determinant, -(-h21 * g1 + h11 * g2) / determinant)
      let slope = g1 * da + g2 * db
      variance = (h22 / determinant, h11 / determinant, -h21 / determinant)
      var step = 1.0
      while step >= 1e-10 {
        let next = value(a + step * da, b + step * db)
        if next < current + 1e-4 * step * slope {
          (a, b, current) = (a + step * da, b + step * db, next)
          break
        }
        step /= 2
      }
      if step < 1e-10 { break }
    }
    (slope, offset) = (a, b)
  }

  public func probability(_ score: Double) -> Double { sigmoid(-(slope * score + offset)) }

  /// 95 %, of the two parameters alone.
  public func interval(_ score: Double) -> (low: Double, high: Double) {
    let spread = score * score * variance.slope + variance.offset + 2 * score * variance.both
    let half = 1.96 * root(max(0, spread))
    let f = slope * score + offset
    return (sigmoid(-(f + half)), sigmoid(-(f - half)))
  }
}

/// The non-decreasing function of the score nearest to the targets, straight between the scores it was made from.
public struct IsotonicScaling: Sendable, Equatable {
  public private(set) var scores: [Double] = []
  public private(set) var values: [Double] = []

  public init(_ labels: [UInt8], _ scores: [Double]) {
    self.init(targets: labels.map { Double($0) }, scores)
  }

  public init(targets: [Double], _ points: [Double], weights: [Double]? = nil) {
    var blocks: [(low: Double, high: Double, sum: Double, weight: Double)] = []
    let order = Evaluation.ascending(points)
    var i = 0
    while i < order.count {
      // Equal scores are one point.
      var (j, sum, weight) = (i, 0.0, 0.0)
      while j < order.count && points[order[j]] == points[order[i]] {
        let own = weights?[order[j]] ?? 1
        sum += own * targets[order[j]]
        weight += own
        j += 1
      }
      blocks.append((points[order[i]], points[order[i]], sum, weight))
      i = j
      while blocks.count > 1 {
        let (a, b) = (blocks[blocks.count - 2], blocks[blocks.count - 1])
        if a.sum * b.weight < b.sum * a.weight { break }
        blocks.removeLast(2)
        blocks.append((a.low, b.high, a.sum + b.sum, a.weight + b.weight))
      }
    }
    for block in blocks {
      scores.append(block.low)
      values.append(block.sum / block.weight)
      if block.high > block.low {
        scores.append(block.high)
        values.append(block.sum / block.weight)
      }
    }
  }

  public func value(_ score: Double) -> Double {
    guard let first = scores.first, let last = scores.last else { return 0 }
    if score <= first { return values[0] }
    if score >= last { return values[scores.count - 1] }
    var (low, high) = (0, scores.count - 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if scores[middle] <= score { low = middle } else { high = middle }
    }
    let part = (score - scores[low]) / (scores[high] - scores[low])
    return values[low] + part * (values[high] - values[low])
  }
}
