// What the list models are fitted to, copied out of the rows at a seal: entries with their times. Rows stand in no
// particular order; nothing made of them depends on it.
import Sparse

/// Sessions as the neighbours' index takes them.
public struct SessionLog: Sendable {
  public var offsets: [Int] = [0]
  public var clicks: [UInt32] = []
  public var lastTimes: [Int64] = []
  /// Order of those that ended at once.
  public var ranks: [Fingerprint] = []
  public init() {}
}

extension Interactions {
  /// The active entries of every row of a matrix.
  /// Complexity: O(slots).
  public func timedRows(matrix: Int) -> TimedRows {
    var rows = TimedRows()
    for row in 0..<stores[matrix].rowLimit {
      let (items, stamps) = stores[matrix].slots(of: UInt32(row))
      for k in 0..<items.count where Stamp.isActive(stamps[k]) {
        rows.append(items[k], Stamp.time(stamps[k]))
      }
      rows.endRow()
    }
    return rows
  }

  /// The user's orders.
  @inline(__always)
  public func forEachOrder(ofUser user: UInt32, _ body: (UInt32) -> Void) {
    orderLinks.forEachRow(of: user, body)
  }

  /// Visits and repeats by item: (user, order, item) of the users who are known.
  /// - Parameter matrix: of orders.
  /// Complexity: O(slots · log of a user's).
  public func visitCounts(orders matrix: Int) -> [VisitCounts] {
    var counts = [VisitCounts](repeating: VisitCounts(), count: items.idLimit)
    var mine: [UInt32] = []
    for user in 0..<userRefs.count where users.isLive(UInt32(user)) {
      mine.removeAll(keepingCapacity: true)
      forEachOrder(ofUser: UInt32(user)) { row in
        let (items, stamps) = stores[matrix].slots(of: row)
        for k in 0..<items.count where Stamp.isActive(stamps[k]) { mine.append(items[k]) }
      }
      mine.sort()
      for k in mine.indices {
        counts[Int(mine[k])].visits += 1
        if k > 0 && mine[k] == mine[k - 1] { counts[Int(mine[k])].repeats += 1 }
      }
    }
    return counts
  }

  /// The `most` sessions that ended last, each with its active entries in order.
  public func sessionLog(matrix: Int, most: Int) -> SessionLog {
    var ends: [(row: UInt32, time: Int64, rank: Fingerprint)] = []
    for row in 0..<stores[matrix].rowLimit {
      let (items, stamps) = stores[matrix].slots(of: UInt32(row))
      var k = items.count - 1
      while k >= 0 && !Stamp.isActive(stamps[k]) { k -= 1 }
      if k >= 0 { ends.append((UInt32(row), Stamp.time(stamps[k]), rowPrint(.session, UInt32(row)))) }
    }
    if ends.count > most {
      ends.sort { a, b in
        a.time != b.time
          ? a.time > b.time
          : a.rank.high != b.rank.high ? a.rank.high > b.rank.high : a.rank.low > b.rank.low
      }
      ends.removeLast(ends.count - most)
    }
    var log = SessionLog()
    for end in ends {
      let (items, stamps) = stores[matrix].slots(of: end.row)
      for k in 0..<items.count where Stamp.isActive(stamps[k]) { log.clicks.append(items[k]) }
      log.offsets.append(log.clicks.count)
      log.lastTimes.append(end.time)
      log.ranks.append(end.rank)
    }
    return log
  }
}
