// Scores to probabilities: Platt's sigmoid (Platt 1999, by Newton's method and smoothed targets as in Lin, Lin, Weng 2007) and
// isotonic regression by pooling adjacent violators.

/// p = 1 / (1 + e^(slope · score + offset)).
public struct PlattScaling: Sendable, Equatable {
  public var slope: Double
  public var offset: Double

  public init(slope: Double, offset: Double) {
    self.slope = slope
    self.offset = offset
  }

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
}

/// The non-decreasing function of the score nearest to the labels, straight between the scores it was made from.
public struct IsotonicScaling: Sendable, Equatable {
  public private(set) var scores: [Double] = []
  public private(set) var probabilities: [Double] = []

  public init(_ labels: [UInt8], _ values: [Double]) {
    var blocks: [(low: Double, high: Double, sum: Double, weight: Double)] = []
    let order = Evaluation.ascending(values)
    var i = 0
    while i < order.count {
      // Equal scores are one point.
      var (j, sum) = (i, 0.0)
      while j < order.count && values[order[j]] == values[order[i]] {
        sum += Double(labels[order[j]])
        j += 1
      }
      blocks.append((values[order[i]], values[order[i]], sum, Double(j - i)))
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
      probabilities.append(block.sum / block.weight)
      if block.high > block.low {
        scores.append(block.high)
        probabilities.append(block.sum / block.weight)
      }
    }
  }

  public func probability(_ score: Double) -> Double {
    guard let first = scores.first, let last = scores.last else { return 0.5 }
    if score <= first { return probabilities[0] }
    if score >= last { return probabilities[scores.count - 1] }
    var (low, high) = (0, scores.count - 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if scores[middle] <= score { low = middle } else { high = middle }
    }
    let part = (score - scores[low]) / (scores[high] - scores[low])
    return probabilities[low] + part * (probabilities[high] - probabilities[low])
  }
}
