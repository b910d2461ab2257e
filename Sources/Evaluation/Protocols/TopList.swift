// The k best of many scored items: score descending, then the lower code. A heap with the worst on top.

public struct TopList: Sendable {
  private let k: Int
  private var scores: [Double] = []
  private var codes: [UInt32] = []

  public init(_ k: Int) {
    self.k = k
    scores.reserveCapacity(k)
    codes.reserveCapacity(k)
  }

  public mutating func removeAll() {
    scores.removeAll(keepingCapacity: true)
    codes.removeAll(keepingCapacity: true)
  }

  @inline(__always)
  public mutating func offer(_ code: UInt32, _ score: Double) {
    if scores.count < k {
      scores.append(score)
      codes.append(code)
      rise()
    } else if k > 0, isWorse(scores[0], codes[0], than: score, code) {
      scores[0] = score
      codes[0] = code
      sink(scores.count)
    }
  }

  /// The items found, the best first. Empties the list.
  public mutating func take() -> [(code: UInt32, score: Double)] {
    var end = scores.count
    while end > 1 {
      end -= 1
      scores.swapAt(0, end)
      codes.swapAt(0, end)
      sink(end)
    }
    let found = (0..<scores.count).map { (code: codes[$0], score: scores[$0]) }
    removeAll()
    return found
  }

  @inline(__always)
  private func isWorse(_ a: Double, _ codeA: UInt32, than b: Double, _ codeB: UInt32) -> Bool {
    a != b ? a < b : codeA > codeB
  }

  private mutating func rise() {
    var i = scores.count - 1
    while i > 0 {
      let parent = (i - 1) / 2
      if !isWorse(scores[i], codes[i], than: scores[parent], codes[parent]) { return }
      scores.swapAt(i, parent)
      codes.swapAt(i, parent)
      i = parent
    }
  }

  private mutating func sink(_ end: Int) {
    var i = 0
    while true {
      var worst = i
      for child in [2 * i + 1, 2 * i + 2] where child < end {
        if isWorse(scores[child], codes[child], than: scores[worst], codes[worst]) { worst = child }
      }
      if worst == i { return }
      scores.swapAt(i, worst)
      codes.swapAt(i, worst)
      i = worst
    }
  }
}
