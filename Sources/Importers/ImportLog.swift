// What an import makes: events as JSON in one arena with an index, sorted by time when written
// (stable: events of one time keep their order in the file), and rejects counted by reason.
//
// Memory: the events' bytes plus 24 bytes each. The whole log is held because the last row of a
// file may be its earliest event.
import Events
import Sparse

/// Why a row became no event. The names are what the report shows.
public enum ImportReason: String, CaseIterable, Sendable {
  /// A quote without an end, JSON that is none, or a row of a million bytes.
  case malformed
  /// Fewer fields than the columns in use.
  case tooFewFields = "too_few_fields"
  case missingItem = "missing_item"
  /// Neither user, session nor order.
  case missingUser = "missing_user"
  case badTime = "bad_time"
  case unknownType = "unknown_type"
  case badQuantity = "bad_quantity"
  case nonPositiveQuantity = "non_positive_quantity"
  case badPrice = "bad_price"
  case negativePrice = "negative_price"
  /// Online Retail: a line that cost nothing is a correction of the stock.
  case zeroPrice = "zero_price"
  case badValue = "bad_value"
  case refundWithoutCustomer = "refund_without_customer"
  case refundWithoutPurchase = "refund_without_purchase"
  /// Online Retail: a cancellation whose quantity is not below zero.
  case refundQuantity = "refund_quantity"
  /// `--without-refunds`.
  case refundLeftOut = "refund_left_out"
  /// An event of the source that has no counterpart (a page view, a coupon).
  case notAnItemEvent = "not_an_item_event"
}

/// One event on its way into the log; absent texts are empty.
public struct ImportedEvent {
  public var type: EventType
  public var time: Int64
  public var id = UnsafeRawBufferPointer.absent
  public var user = UnsafeRawBufferPointer.absent
  public var session = UnsafeRawBufferPointer.absent
  public var order = UnsafeRawBufferPointer.absent
  public var recommendation = UnsafeRawBufferPointer.absent
  public var currency = UnsafeRawBufferPointer.absent
  public var value: Double?
  public var ordered: Int64?

  public init(type: EventType, time: Int64) {
    self.type = type
    self.time = time
  }
}

/// A rejected row, for whoever keeps them.
public struct ImportReject {
  public var reason: ImportReason
  public var line: Int
  public var text: UnsafeRawBufferPointer
}

public struct ImportLog: ~Copyable {
  private var arena: ByteWriter
  private struct Entry: BitwiseCopyable {
    var time: Int64
    var start: Int
    var count: Int
  }
  private var entries: Vec<Entry>
  private var lines: Vec<EventItem>
  private var rejectCounts: [Int]
  private var typeCounts: [Int]
  /// Told of every reject.
  private let onReject: ((ImportReject) throws -> Void)?

  /// Rows read: records of the file, a header left out.
  public internal(set) var rows = 0
  /// Items of all events.
  public private(set) var items = 0
  /// Events without a user.
  public private(set) var anonymousEvents = 0
  public private(set) var timeRange: ClosedRange<Int64>?
  /// Products named in the log.
  public internal(set) var titles = TitleCounter()

  public init(onReject: ((ImportReject) throws -> Void)? = nil) {
    arena = ByteWriter(capacity: 1 << 20)
    entries = Vec()
    lines = Vec()
    rejectCounts = [Int](repeating: 0, count: ImportReason.allCases.count)
    typeCounts = [Int](repeating: 0, count: EventType.allCases.count)
    self.onReject = onReject
  }

  public var eventCount: Int { entries.count }
  public var rejectCount: Int { rejectCounts.reduce(0, +) }
  /// Reasons that occurred, in the order of their declaration.
  public var rejects: [(reason: ImportReason, count: Int)] {
    zip(ImportReason.allCases, rejectCounts).filter { $0.1 > 0 }.map { ($0.0, $0.1) }
  }
  public var types: [(type: EventType, count: Int)] {
    zip(EventType.allCases, typeCounts).filter { $0.1 > 0 }.map { ($0.0, $0.1) }
  }

  public mutating func reject(
    _ reason: ImportReason, line: Int, _ text: UnsafeRawBufferPointer
  ) throws {
    for (i, known) in ImportReason.allCases.enumerated() where known == reason {
      rejectCounts[i] += 1
    }
    try onReject?(ImportReject(reason: reason, line: line, text: text))
  }

  public mutating func append(_ event: ImportedEvent, item: EventItem) {
    lines.removeAll()
    lines.append(item)
    write(event)
  }

  /// `count` items, asked for one after another.
  public mutating func append(_ event: ImportedEvent, count: Int, item: (Int) -> EventItem) {
    lines.removeAll()
    for i in 0..<count { lines.append(item(i)) }
    write(event)
  }

  private mutating func write(_ event: ImportedEvent) {
    let start = arena.count
    appendEvent(
      to: &arena, type: event.type, time: event.time, id: event.id, user: event.user,
      session: event.session, order: event.order, items: lines.buffer, currency: event.currency,
      recommendation: event.recommendation, value: event.value, ordered: event.ordered)
    finish(
      start, type: event.type, time: event.time, items: lines.count, hasUser: !event.user.isEmpty)
  }

  /// An event that owns its texts.
  public mutating func append(_ event: Event) {
    let start = arena.count
    event.append(to: &arena)
    finish(
      start, type: event.type, time: event.time, items: event.items.count,
      hasUser: !event.user.isEmpty)
  }

  private mutating func finish(
    _ start: Int, type: EventType, time: Int64, items count: Int, hasUser: Bool
  ) {
    arena.append("\n")
    entries.append(Entry(time: time, start: start, count: arena.count - start))
    items += count
    if !hasUser { anonymousEvents += 1 }
    typeCounts[Int(type.rawValue)] += 1
    timeRange =
      timeRange.map { min($0.lowerBound, time)...max($0.upperBound, time) } ?? time...time
  }

  /// The events' lines by time, each with its line feed. Complexity: O(n log n).
  public func forEachLine(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
    var order = [UInt32](repeating: 0, count: entries.count)
    var isSorted = true
    for i in 0..<entries.count {
      order[i] = UInt32(i)
      if i > 0 && entries[i].time < entries[i - 1].time { isSorted = false }
    }
    if !isSorted {
      // By place where times are equal: a stable order from any sort.
      order.sort { a, b in
        let (x, y) = (entries[Int(a)].time, entries[Int(b)].time)
        return x != y ? x < y : a < b
      }
    }
    let bytes = arena.bytes
    for i in order {
      let entry = entries[Int(i)]
      try body(
        UnsafeRawBufferPointer(rebasing: bytes[entry.start..<entry.start + entry.count]))
    }
  }
}

/// The most frequent title of each item; among equally frequent ones the first in byte order.
public struct TitleCounter {
  private var counts: [String: [String: Int]] = [:]

  public mutating func count(_ item: UnsafeRawBufferPointer, _ title: UnsafeRawBufferPointer) {
    let trimmed = trim(title)
    if item.isEmpty || trimmed.isEmpty { return }
    counts[String(decoding: item, as: UTF8.self), default: [:]][
      String(decoding: trimmed, as: UTF8.self), default: 0] += 1
  }

  public var isEmpty: Bool { counts.isEmpty }

  /// Sorted by item.
  public var titles: [(item: String, title: String)] {
    counts.map { item, titles in
      // Compared as a total order: which one a dictionary yields first does not matter.
      let best = titles.max { a, b in
        a.value != b.value
          ? a.value < b.value : b.key.utf8.lexicographicallyPrecedes(a.key.utf8)
      }
      return (item, best?.key ?? "")
    }.sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
  }
}

/// Without spaces at either end.
func trim(_ text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
  var low = 0
  var high = text.count
  while low < high && (text[low] == 32 || text[low] == 9) { low += 1 }
  while high > low && (text[high - 1] == 32 || text[high - 1] == 9) { high -= 1 }
  return UnsafeRawBufferPointer(rebasing: text[low..<high])
}

/// A decimal number, `,` not accepted; nil where the text is none, or not finite.
func parseNumber(_ text: UnsafeRawBufferPointer) -> Double? {
  let trimmed = trim(text)
  // `Double` reads hexadecimal, "nan" and "inf", too: those are no prices.
  for c in trimmed where !(c >= 48 && c <= 57) && c != 46 && c != 45 && c != 43 && c | 32 != 101 {
    return nil
  }
  guard let value = Double(String(decoding: trimmed, as: UTF8.self)), value.isFinite else {
    return nil
  }
  return value
}

/// A whole number, also written "6.0"; nil otherwise, or beyond 2^53.
func parseWhole(_ text: UnsafeRawBufferPointer) -> Int? {
  guard let value = parseNumber(text), value == value.rounded(.towardZero),
    abs(value) < 9_007_199_254_740_992
  else { return nil }
  return Int(value)
}
