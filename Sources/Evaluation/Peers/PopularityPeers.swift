// What needs no pairs: how many have it, and how often this user did.
import Recommender

/// Rows that hold the item.
public struct PopularityPeer: Scorer {
  public let name = "most popular"
  public init() {}
  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {}
  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    for item in scores.indices { scores[item] = Double(training.count(of: item)) }
  }
}

/// The user's own lines of the item; those without any by popularity.
public struct OwnCountPeer: Scorer {
  public let name = "own count, then popular"
  private var counts: [[UInt32: Int]] = []
  public init() {}

  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    counts = [[UInt32: Int]](repeating: [:], count: training.userCount)
    for line in training.lines where line.user != InteractionLog.none {
      counts[Int(line.user)][line.item, default: 0] += 1
    }
  }

  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    // Any popularity is worth less than one line of one's own.
    let most = Double(training.rows.count + 1)
    for item in scores.indices { scores[item] = Double(training.count(of: item)) / most }
    if question.user == InteractionLog.none { return }
    for (item, count) in counts[Int(question.user)] { scores[Int(item)] += Double(count) }
  }
}
