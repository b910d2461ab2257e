// A log as flat arrays, and what the formulas are fitted to made of it.
import Sparse

/// Acts on items (purchases, clicks), one an index. Ids are dense; times are ms.
public struct ActLog: Sendable {
  /// `nobody` where the customer is not known.
  public var users: [UInt32] = []
  public var orders: [UInt32] = []
  public var items: [UInt32] = []
  public var times: [Int64] = []
  public static let nobody = UInt32.max

  public init() {}
  public var count: Int { items.count }
  public mutating func append(user: UInt32, order: UInt32, item: UInt32, time: Int64) {
    users.append(user)
    orders.append(order)
    items.append(item)
    times.append(time)
  }

  public var lastTime: Int64 { times.max() ?? 0 }
  var firstTime: Int64 { times.min() ?? 0 }
  /// Items are below it.
  public var itemLimit: Int { items.max().map { Int($0) + 1 } ?? 0 }

  /// Different items of each row with their latest time; rows keep the `history` latest, equal times by id.
  func rows(_ keys: [UInt32], history: Int) -> TimedRows {
    let sorted = items.indices.filter { keys[$0] != ActLog.nobody }.sorted {
      if keys[$0] != keys[$1] { return keys[$0] < keys[$1] }
      if items[$0] != items[$1] { return items[$0] < items[$1] }
      return times[$0] > times[$1]
    }
    var rows = TimedRows()
    var entries: [(item: UInt32, time: Int64)] = []
    func end() {
      if entries.count > history {
        entries.sort { $0.time != $1.time ? $0.time > $1.time : $0.item < $1.item }
        entries.removeLast(entries.count - history)
      }
      for entry in entries { rows.append(entry.item, entry.time) }
      rows.endRow()
      entries.removeAll(keepingCapacity: true)
    }
    var last = -1
    for k in sorted {
      if last >= 0 && keys[last] != keys[k] { end() } else if last >= 0 && items[last] == items[k] { continue }
      entries.append((items[k], times[k]))
      last = k
    }
    end()
    return rows
  }

  /// Items of these rows, ascending.
  static func items(of rows: TimedRows) -> [UInt32] {
    var seen = [Bool](repeating: false, count: rows.items.max().map { Int($0) + 1 } ?? 0)
    for item in rows.items { seen[Int(item)] = true }
    return seen.indices.filter { seen[$0] }.map { UInt32($0) }
  }

  /// q and c of distinct (row, item) pairs. A log shorter than two weeks has a shorter half-life.
  func trend(_ rows: TimedRows, _ constants: FormulaConstants) -> Trend {
    let span = lastTime - firstTime
    let halfLife = span < 14 * 86_400_000 ? max(1, span / 10) : constants.trendHalfLife
    var recent = DecayedCounts(halfLife: halfLife)
    _ = recent.move(to: lastTime)
    var entries = [UInt32](repeating: 0, count: itemLimit)
    for k in rows.items.indices {
      recent.add(rows.items[k], rows.times[k])
      entries[Int(rows.items[k])] += 1
    }
    return Trend(recent: recent.values, entries: entries, floor: constants.trendFloor)
  }
}

/// The constants of the four formulas: one set for every log (QUALITY §3).
public struct FormulaConstants: Hashable, Sendable {
  /// Milliseconds in which a pair halves its weight.
  public var gramHalfLife: Int64 = 120 * 86_400_000
  /// Latest items of a row that count.
  public var history = 500
  public var discover = ItemRegression(lambda: 20)
  public var basket = ItemRegression(lambda: 1)
  public var trendHalfLife: Int64 = 7 * 86_400_000
  public var trendFloor = 0.1
  /// Weight of recent popularity beside the regression.
  public var popularityWeight = 0.3
  /// Milliseconds in which a visit halves its weight.
  public var ownHalfLife: Int64 = 180 * 86_400_000
  /// Visits that the average share of repeats weighs, in an item's and in a user's own.
  public var itemPrior = 5.0
  public var userPrior = 10.0
  /// Weight of what is new beside what is bought again.
  public var newWeight = 0.7
  /// A basket's item `steps` back weighs e^(-steps / scale) + floor.
  public var positionScale = 2.0
  public var positionFloor = 0.3
  public var sessions = SessionNeighbours.Settings()

  public init() {}
}
