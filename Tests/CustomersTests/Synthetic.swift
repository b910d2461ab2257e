// Tables that scripts/customers-figures.py makes too, number by number, and the figures scikit-learn finds on them.
import Customers
import Foundation
import Sparse
import TestSupport
import Testing

extension SplitMix {
  /// Nearly normal: twelve uniforms less six.
  mutating func bell() -> Double {
    var sum = 0.0
    for _ in 0..<12 { sum += unit() }
    return sum - 6
  }
}

struct Outcomes {
  let table: Table
  var labels: [UInt8] = []
  var amounts: [Double] = []

  init(rows: Int, columns: Int, seed: UInt64) {
    table = Table(rows: rows, columns: columns)
    var random = SplitMix(seed: seed)
    for i in 0..<rows {
      for j in 0..<columns { table[i, j] = random.bell() }
      if columns > 2 { table[i, 2] = 0.8 * table[i, 0] + 0.6 * table[i, 2] }
      var score = 0.3
      for j in 0..<columns { score += table[i, j] * (j % 2 == 0 ? 1.0 : -0.5) / Double(1 + j) }
      labels.append(score + 1.5 * random.bell() > 0 ? 1 : 0)
      amounts.append(3 + 2 * score + random.bell())
    }
  }
}

func blobs(rows: Int, columns: Int, centres: Int, seed: UInt64) -> Table {
  var random = SplitMix(seed: seed)
  let middles = (0..<centres * columns).map { _ in 4 * random.bell() }
  let table = Table(rows: rows, columns: columns)
  for i in 0..<rows {
    let c = Int(random.next() % UInt64(centres))
    for j in 0..<columns { table[i, j] = middles[c * columns + j] + random.bell() }
  }
  return table
}

enum Figures {
  static func read() throws -> PlainJSON {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Golden/scikit-learn.json")
    return try #require(PlainJSON(String(contentsOf: path, encoding: .utf8)))
  }
}

extension PlainJSON {
  var doubles: [Double] { array?.compactMap(\.double) ?? [] }
  func number(_ key: String) -> Double { self[key]?.double ?? .nan }
}

/// Parts at once on two threads.
func twoAtOnce(_ parts: Int, _ body: (Int) -> Void) {
  withoutActuallyEscaping(body) { body in
    let box = Unchecked(body)
    DispatchQueue.concurrentPerform(iterations: parts) { box.value($0) }
  }
}
struct Unchecked<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}

func expectClose(
  _ a: [Double], _ b: [Double], within tolerance: Double, _ what: Comment? = nil,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(a.count == b.count, what, sourceLocation: sourceLocation)
  for (x, y) in zip(a, b) { #expect(abs(x - y) <= tolerance, what, sourceLocation: sourceLocation) }
}
