// The training part of a protocol, as its models see it: lines with dense codes in order of first appearance, and the
// sparse binary matrix of one context, with its pair counts.
import Recommender

/// Rows of a sparse binary matrix: row r's items stand at `starts[r]..<starts[r + 1]`, in order of first appearance.
public struct BinaryRows: Sendable {
  public var starts: [Int] = [0]
  public var items: [UInt32] = []

  public var count: Int { starts.count - 1 }
  public subscript(row: Int) -> ArraySlice<UInt32> { items[starts[row]..<starts[row + 1]] }

  public var transposedInto: (Int) -> BinaryRows {
    { itemCount in
      var starts = [Int](repeating: 0, count: itemCount + 1)
      for item in items { starts[Int(item) + 1] += 1 }
      for i in 0..<itemCount { starts[i + 1] += starts[i] }
      var next = starts
      var rows = [UInt32](repeating: 0, count: items.count)
      for row in 0..<count {
        for item in self[row] {
          rows[next[Int(item)]] = UInt32(row)
          next[Int(item)] += 1
        }
      }
      return BinaryRows(starts: starts, items: rows)
    }
  }
}

/// Rows that hold both items, for every pair that meets; item i's pairs stand at `starts[i]..<starts[i + 1]`, by code.
public struct PlainPairs: Sendable {
  public var starts: [Int]
  public var others: [UInt32]
  public var both: [UInt32]
}

public final class Training: Sendable {
  /// By time, with codes of this training part; a context that a line has none of is `InteractionLog.none`.
  public let lines: [Line]
  public let userCount: Int
  public let itemCount: Int
  public let orderCount: Int
  public let sessionCount: Int
  /// Time of the last line, ms.
  public let end: Int64
  /// In what items meet.
  public let context: ContextKind
  /// Rows of that context.
  public let rows: BinaryRows
  /// Per item: the rows that hold it, ascending.
  public let holders: BinaryRows
  public let pairs: PlainPairs

  private let users: [UInt32]
  private let items: [UInt32]

  /// - Parameters:
  ///   - log: lines by time, with the log's ids.
  ///   - context: lines without it belong to no row.
  /// Complexity: O(lines + Σ over rows of length²).
  public init(_ log: ArraySlice<Line>, context: ContextKind, parallel: @escaping Parallel) {
    var users = Codes()
    var items = Codes()
    var orders = Codes()
    var sessions = Codes()
    let lines = log.map { line in
      Line(
        user: users.code(line.user), session: sessions.code(line.session), order: orders.code(line.order),
        item: items.code(line.item), time: line.time)
    }
    self.lines = lines
    userCount = users.count
    itemCount = items.count
    orderCount = orders.count
    sessionCount = sessions.count
    self.users = users.codes
    self.items = items.codes
    end = log.last?.time ?? 0
    self.context = context
    let rowCount =
      switch context {
      case .user: userCount
      case .order: orderCount
      case .session: sessionCount
      }
    rows = Training.rows(lines, context, count: rowCount)
    holders = rows.transposedInto(itemCount)
    pairs = Training.pairs(rows, holders, parallel: parallel)
  }

  /// The code of the log's item; nil where the training part does not hold it.
  public func code(ofItem id: UInt32) -> UInt32? { Training.look(items, id) }
  public func code(ofUser id: UInt32) -> UInt32? { Training.look(users, id) }

  /// Rows that hold the item.
  public func count(of item: Int) -> Int { holders.starts[item + 1] - holders.starts[item] }

  private static func look(_ codes: [UInt32], _ id: UInt32) -> UInt32? {
    guard Int(id) < codes.count, codes[Int(id)] != InteractionLog.none else { return nil }
    return codes[Int(id)]
  }

  /// Ids of the log to codes.
  private struct Codes {
    var codes: [UInt32] = []
    var count = 0
    mutating func code(_ id: UInt32) -> UInt32 {
      if id == InteractionLog.none { return id }
      while codes.count <= Int(id) { codes.append(InteractionLog.none) }
      if codes[Int(id)] == InteractionLog.none {
        codes[Int(id)] = UInt32(count)
        count += 1
      }
      return codes[Int(id)]
    }
  }

  private static func rows(_ lines: [Line], _ context: ContextKind, count: Int) -> BinaryRows {
    var members = [[UInt32]](repeating: [], count: count)
    var isIn = Set<UInt64>()
    for line in lines {
      let row =
        switch context {
        case .user: line.user
        case .order: line.order
        case .session: line.session
        }
      if row == InteractionLog.none { continue }
      if isIn.insert(UInt64(row) << 32 | UInt64(line.item)).inserted { members[Int(row)].append(line.item) }
    }
    var rows = BinaryRows()
    for row in members {
      rows.items.append(contentsOf: row)
      rows.starts.append(rows.items.count)
    }
    return rows
  }

  /// Gustavson's product, an item at a time (Gustavson, TOMS 1978).
  private static func pairs(
    _ rows: BinaryRows, _ holders: BinaryRows, parallel: @escaping Parallel
  ) -> PlainPairs {
    let count = holders.count
    let parts = max(1, min(64, count))
    let found = PartResults<(others: [UInt32], both: [UInt32], lengths: [Int])>(parts)
    parallel(parts) { part in
      var counts = [UInt32](repeating: 0, count: count)
      var touched: [UInt32] = []
      var others: [UInt32] = []
      var both: [UInt32] = []
      var lengths: [Int] = []
      for item in count * part / parts..<count * (part + 1) / parts {
        touched.removeAll(keepingCapacity: true)
        for row in holders[item] {
          for other in rows[Int(row)] where other != UInt32(item) {
            if counts[Int(other)] == 0 { touched.append(other) }
            counts[Int(other)] += 1
          }
        }
        touched.sort()
        for other in touched {
          others.append(other)
          both.append(counts[Int(other)])
          counts[Int(other)] = 0
        }
        lengths.append(touched.count)
      }
      found.put((others, both, lengths), at: part)
    }
    var pairs = PlainPairs(starts: [0], others: [], both: [])
    for part in found.all {
      for length in part.lengths { pairs.starts.append((pairs.starts.last ?? 0) + length) }
      pairs.others.append(contentsOf: part.others)
      pairs.both.append(contentsOf: part.both)
    }
    return pairs
  }
}

/// What the parts of a parallel loop found: each writes its own place.
final class PartResults<Value>: @unchecked Sendable {
  private let places: UnsafeMutablePointer<Value?>
  private let count: Int

  init(_ count: Int) {
    self.count = count
    places = .allocate(capacity: count)
    places.initialize(repeating: nil, count: count)
  }
  deinit {
    places.deinitialize(count: count)
    places.deallocate()
  }

  func put(_ value: Value, at part: Int) { places[part] = value }
  /// After the loop; in the order of the parts.
  var all: [Value] { (0..<count).compactMap { places[$0] } }
}
