// Peers of the next click.
import Recommender

/// The pairs of the last item alone, by cosine over sessions.
public struct LastItemPeer: Scorer {
  public let name = "last item's cosine"
  private var neighbours = NeighbourPeer(.cosine)
  public init() {}
  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    neighbours.fit(training, parallel: parallel)
  }
  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    var last = question
    last.given = Array(question.given.suffix(1))
    neighbours.score(last, training, into: &scores)
  }
}

/// What followed the last item in other sessions: right behind it (Markov chain), or up to ten places later with
/// weight 1/distance (sequential rules; Ludewig, Jannach, "Evaluation of session-based recommendation algorithms",
/// UMUAI 2018).
public struct SuccessorPeer: Scorer {
  public enum Reach: Sendable { case markov, sequentialRules }
  public let name: String
  private let reach: Int
  private var weights: [[UInt32: Double]] = []

  public init(_ reach: Reach) {
    name = reach == .markov ? "Markov chain" : "sequential rules"
    self.reach = reach == .markov ? 1 : 10
  }

  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    weights = [[UInt32: Double]](repeating: [:], count: training.itemCount)
    for session in SessionPeer.sequences(training) {
      for place in session.indices {
        for distance in 1...reach where place >= distance {
          let before = session[place - distance]
          if before == session[place] { continue }
          weights[Int(before)][session[place], default: 0] += 1 / Double(distance)
        }
      }
    }
  }

  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    guard let last = question.given.last else { return }
    for (item, weight) in weights[Int(last)] { scores[Int(item)] = weight }
  }
}

/// VMIS-kNN (Kersbergen, Sprangers, Schelter, "Serenade", SIGMOD 2022): the 500 newest sessions of each item, the 100
/// most alike, the last 9 clicks, position weight position/length, match weight 1 − 0.1 · distance, idf.
public struct SessionPeer: Scorer {
  public let name = "VMIS-kNN"
  private let newest = 500
  private let nearest = 100
  private let clicks = 9
  /// Per item the sessions that hold it, newest first; at most `newest`.
  private var sessions: [[UInt32]] = []
  private var ends: [Int64] = []
  private var idf: [Double] = []

  public init() {}

  /// Every session's clicks in order, repeats kept.
  static func sequences(_ training: Training) -> [[UInt32]] {
    var sequences = [[UInt32]](repeating: [], count: training.sessionCount)
    for line in training.lines where line.session != InteractionLog.none {
      sequences[Int(line.session)].append(line.item)
    }
    return sequences
  }

  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    ends = [Int64](repeating: .min, count: training.sessionCount)
    for line in training.lines where line.session != InteractionLog.none {
      ends[Int(line.session)] = max(ends[Int(line.session)], line.time)
    }
    let ends = ends
    sessions = (0..<training.itemCount).map { item in
      Array(training.holders[item].sorted { isNewer($0, $1, ends) }.prefix(newest))
    }
    let all = Double(training.sessionCount)
    idf = (0..<training.itemCount).map { EvaluationMaths.ln(all / Double(training.count(of: $0))) }
  }

  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    let recent = Array(question.given.suffix(clicks))
    // Distinct clicks at their most recent place; distances from the end count from 1.
    var weight: [(item: UInt32, weight: Double, distance: Int)] = []
    for (back, item) in recent.reversed().enumerated() where !weight.contains(where: { $0.item == item }) {
      weight.append((item, Double(recent.count - back) / Double(recent.count), back + 1))
    }
    var likeness: [UInt32: (weight: Double, distance: Int)] = [:]
    for click in weight {
      for session in sessions[Int(click.item)] {
        // The first click that is shared is the newest one.
        likeness[session, default: (0, click.distance)].weight += click.weight
      }
    }
    let ends = ends
    let candidates = likeness.keys.sorted { isNewer($0, $1, ends) }.prefix(newest)
    let chosen = candidates.sorted {
      let (a, b) = (likeness[$0]?.weight ?? 0, likeness[$1]?.weight ?? 0)
      return a != b ? a > b : isNewer($0, $1, ends)
    }.prefix(nearest)
    for session in chosen {
      guard let match = likeness[session] else { continue }
      let factor = max(0, 1 - 0.1 * Double(match.distance)) * match.weight
      for item in training.rows[Int(session)] { scores[Int(item)] += factor * idf[Int(item)] }
    }
  }
}

private func isNewer(_ a: UInt32, _ b: UInt32, _ ends: [Int64]) -> Bool {
  let (x, y) = (ends[Int(a)], ends[Int(b)])
  return x != y ? x > y : a > b
}
