// Neighbours of what is given, over the plain pair counts: all of an item's pairs, or its K best (ties: lower code),
// summed or by the largest.
import Recommender

public struct NeighbourPeer: Scorer {
  public enum Similarity: Sendable { case cosine, jaccard, llr, confidence, lift }
  public enum Combination: Sendable { case sum, maximum }

  public let name: String
  private let similarity: Similarity
  private let power: Int
  private let kept: Int?
  private let minimum: UInt32
  private let combination: Combination
  /// Per item, its pairs with their values: at `starts[i]..<starts[i + 1]`.
  private var starts: [Int] = [0]
  private var others: [UInt32] = []
  private var values: [Double] = []

  /// - Parameters:
  ///   - power: values are raised to it.
  ///   - keeping: K; nil keeps all pairs.
  ///   - minimum: rows that hold both, at least.
  public init(
    _ similarity: Similarity, power: Int = 1, keeping kept: Int? = nil, combining combination: Combination = .sum,
    minimum: UInt32 = 1
  ) {
    self.similarity = similarity
    self.power = power
    self.kept = kept
    self.combination = combination
    self.minimum = minimum
    var name = "\(similarity == .llr ? "LLR" : similarity == .jaccard ? "Jaccard" : "\(similarity)")"
    if power > 1 { name += " to the power of \(power)" }
    if minimum > 1 { name += ", both at least \(minimum)" }
    if let kept { name += ", \(kept) neighbours" }
    self.name = name + (combination == .sum ? ", summed" : ", largest")
  }

  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    let parts = max(1, min(64, training.itemCount))
    let found = PartResults<(others: [UInt32], values: [Double], lengths: [Int])>(parts)
    let peer = self
    parallel(parts) { part in
      var result: (others: [UInt32], values: [Double], lengths: [Int]) = ([], [], [])
      for item in training.itemCount * part / parts..<training.itemCount * (part + 1) / parts {
        let before = result.others.count
        peer.keep(item, training, &result.others, &result.values)
        result.lengths.append(result.others.count - before)
      }
      found.put(result, at: part)
    }
    starts = [0]
    others = []
    values = []
    for part in found.all {
      for length in part.lengths { starts.append(starts[starts.count - 1] + length) }
      others.append(contentsOf: part.others)
      values.append(contentsOf: part.values)
    }
  }

  private func keep(_ item: Int, _ training: Training, _ others: inout [UInt32], _ values: inout [Double]) {
    let pairs = training.pairs
    var list = TopList(kept ?? 0)
    for p in pairs.starts[item]..<pairs.starts[item + 1] {
      let other = pairs.others[p]
      guard let value = value(item, Int(other), pairs.both[p], training), value > 0 else { continue }
      if kept != nil {
        list.offer(other, value)
      } else {
        others.append(other)
        values.append(value)
      }
    }
    for (code, score) in list.take() {
      others.append(code)
      values.append(score)
    }
  }

  private func value(_ a: Int, _ b: Int, _ both: UInt32, _ training: Training) -> Double? {
    let (countA, countB) = (training.count(of: a), training.count(of: b))
    if both < minimum { return nil }
    let (c, x, y) = (Double(both), Double(countA), Double(countB))
    let raw: Double
    switch similarity {
    case .cosine: raw = c / (x * y).squareRoot()
    case .jaccard: raw = c / (x + y - c)
    case .confidence: raw = c / x
    case .lift: raw = Double(training.rows.count) * c / (x * y)
    case .llr:
      raw = Measures.logLikelihoodRatio(
        Int(both), countA - Int(both), countB - Int(both), training.rows.count - countA - countB + Int(both))
    }
    var value = raw
    for _ in 1..<max(1, power) { value *= raw }
    return value
  }

  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    for item in question.given {
      for p in starts[Int(item)]..<starts[Int(item) + 1] {
        let other = Int(others[p])
        scores[other] = combination == .sum ? scores[other] + values[p] : max(scores[other], values[p])
      }
    }
  }
}
