// The random lists of scripts/metric-vectors.py, drawn in the same order.
import Evaluation
import Sparse

struct RandomList {
  var ranked: [Int]
  var relevant: [Int]
  var judged: JudgedList {
    let wanted = Set(relevant)
    return JudgedList(hits: ranked.map { wanted.contains($0) }, relevant: relevant.count)
  }

  static func all(seed: UInt64, questions: Int = 300, items: Int = 60) -> [RandomList] {
    var g = SplitMix(seed: seed)
    return (0..<questions).map { _ in
      var order = Array(0..<items)
      for i in stride(from: items - 1, to: 0, by: -1) { order.swapAt(i, g.below(i + 1)) }
      let length = 1 + g.below(30)
      var relevant = (0..<items).filter { _ in g.unit() < 0.1 }
      if relevant.isEmpty { relevant = [g.below(items)] }
      return RandomList(ranked: Array(order[..<length]), relevant: relevant)
    }
  }
}

/// Runs the parts one after another.
let inTurn: @Sendable (Int, (Int) -> Void) -> Void = { parts, body in for part in 0..<parts { body(part) } }
