// Rows × columns of doubles, column by column in one flat array: what every model is trained on. A row is a customer, a column a
// feature. Loops run over blocks of rows of a few columns, so that a block stays in the first cache level.
import Sparse

/// Runs `body(part)` once for each part, at once if it likes. No model's result depends on it.
public typealias ParallelFor = (_ parts: Int, _ body: (Int) -> Void) -> Void

/// One part after the other.
public func serially(_ parts: Int, _ body: (Int) -> Void) { for part in 0..<parts { body(part) } }

public final class Table: @unchecked Sendable {
  public let rows: Int
  public let columns: Int
  /// Column c stands at c · rows.
  public let values: Vec<Double>

  public init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
    values = .filled(0, count: max(1, rows * columns))
  }

  public subscript(row: Int, column: Int) -> Double {
    get { values[column * rows + row] }
    set { values[column * rows + row] = newValue }
  }

  public func column(_ column: Int) -> UnsafeMutablePointer<Double> { values.base + column * rows }

  /// The rows named, in that order.
  public func picking(_ chosen: [Int]) -> Table {
    let result = Table(rows: chosen.count, columns: columns)
    for c in 0..<columns {
      let (from, to) = (column(c), result.column(c))
      for (i, row) in chosen.enumerated() { to[i] = from[row] }
    }
    return result
  }

  /// The columns named, in that order.
  public func selecting(_ chosen: [Int]) -> Table {
    let result = Table(rows: rows, columns: chosen.count)
    for (i, c) in chosen.enumerated() { result.column(i).update(from: column(c), count: rows) }
    return result
  }

  /// Another table's rows below one's own.
  public func appending(_ other: Table) -> Table {
    precondition(columns == other.columns)
    let result = Table(rows: rows + other.rows, columns: columns)
    for c in 0..<columns {
      result.column(c).update(from: column(c), count: rows)
      (result.column(c) + rows).update(from: other.column(c), count: other.rows)
    }
    return result
  }
}

/// A pointer that parts of a parallel loop share; each writes its own places.
struct Shared<Value>: @unchecked Sendable {
  let base: UnsafeMutablePointer<Value>
  init(_ base: UnsafeMutablePointer<Value>) { self.base = base }
}

/// Rows in stretches whose number depends on the rows alone: sums made per stretch and added in order are the same for any
/// number of threads.
struct Stretches {
  let rows: Int
  let length: Int
  var count: Int { (rows + length - 1) / length }
  init(rows: Int) {
    self.rows = rows
    length = max(4096, (rows + 255) / 256)
  }
  func range(_ part: Int) -> Range<Int> { part * length..<min(rows, (part + 1) * length) }
}

extension Vec {
  /// `count` equal elements. (Vec's own initialiser is generic across the module's border, ten times as slow an element.)
  static func filled(_ value: Element, count: Int) -> Vec<Element> {
    var vec = Vec<Element>(capacity: count)
    vec.base.initialize(repeating: value, count: count)
    vec.count = count
    return vec
  }
}
