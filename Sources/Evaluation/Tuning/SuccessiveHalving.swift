// Successive halving (Jamieson, Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
// AISTATS 2016): all candidates on one fold, the better third on two, a third of these on three.

public struct SuccessiveHalving: Sendable {
  /// One candidate out of so many goes on.
  public static let eta = 3
  public let candidates: Int
  public let folds: Int
  private var scores: [[Double?]]

  /// Candidate 0 is the one the search starts from: it always goes on.
  public init(candidates: Int, folds: Int) {
    self.candidates = candidates
    self.folds = folds
    scores = [[Double?]](repeating: [Double?](repeating: nil, count: folds), count: candidates)
  }

  public mutating func record(_ candidate: Int, fold: Int, score: Double) { scores[candidate][fold] = score }
  public func score(_ candidate: Int, fold: Int) -> Double? { scores[candidate][fold] }

  /// Mean over the first folds; nil where one of them is not yet known.
  public func mean(_ candidate: Int, folds: Int) -> Double? {
    var sum = 0.0
    for fold in 0..<folds {
      guard let score = scores[candidate][fold] else { return nil }
      sum += score
    }
    return folds == 0 ? nil : sum / Double(folds)
  }

  /// Who is tried on this fold: all on the first, then the best by the folds before. Ties: the earlier candidate.
  public func survivors(at fold: Int) -> [Int] {
    var alive = Array(0..<candidates)
    for rung in 0..<fold {
      let keep = max(2, (alive.count + SuccessiveHalving.eta - 1) / SuccessiveHalving.eta)
      let ranked = alive.sorted {
        let (a, b) = (mean($0, folds: rung + 1) ?? -.infinity, mean($1, folds: rung + 1) ?? -.infinity)
        return a != b ? a > b : $0 < $1
      }
      alive = Array(ranked.prefix(keep))
      if !alive.contains(0) { alive.append(0) }
      alive.sort()
    }
    return alive
  }

  /// Runs in all.
  public var total: Int {
    var sum = 0
    var alive = candidates
    for fold in 0..<folds {
      sum += alive
      if fold < folds - 1 {
        // Candidate 0 may have to be kept beside the best.
        alive = min(alive, max(2, (alive + SuccessiveHalving.eta - 1) / SuccessiveHalving.eta) + 1)
      }
    }
    return sum
  }

  /// The best of those that were tried on every fold.
  public var best: Int {
    survivors(at: folds - 1).filter { mean($0, folds: folds) != nil }.max {
      let (a, b) = (mean($0, folds: folds) ?? 0, mean($1, folds: folds) ?? 0)
      return a != b ? a < b : $0 > $1
    } ?? 0
  }
}
