// What is in a log, before it is put to use: events by type, rejects by reason, who and what, how
// far out of order, what stands there twice. One pass; sets are tables of 16-byte fingerprints.
import Events
import Sparse

public struct LogQuality: ~Copyable {
  public private(set) var records = 0
  public private(set) var typeCounts = [Int](repeating: 0, count: EventType.allCases.count)
  public private(set) var rejectCounts = [Int](repeating: 0, count: RejectReason.allCases.count)
  /// Place and message of the first rejects.
  public private(set) var examples: [String] = []
  public private(set) var unknownTypes = 0
  /// Null values: erasures by key.
  public private(set) var nulls = 0
  /// Events without a user.
  public private(set) var anonymous = 0
  public private(set) var itemLines = 0
  public private(set) var largestEvent = 0
  public private(set) var timeRange: ClosedRange<Int64>?
  /// Events whose time lies before an earlier one's of the same partition, and by how much at most.
  public private(set) var outOfOrder = 0
  public private(set) var largestDelay: Int64 = 0
  /// Events that say again what another one said (ids of events aside).
  public private(set) var duplicates = 0
  public private(set) var purchasesWithoutOrder = 0
  /// Refunds of orders of which the log has no purchase.
  public private(set) var refundsWithoutOrder = 0

  private var userTable = FingerprintTable()
  private var sessionTable = FingerprintTable()
  private var orderTable = FingerprintTable()
  private var itemTable = FingerprintTable()
  private var contents = FingerprintTable()
  private var refunded: [Fingerprint] = []
  private var high: [Int32: Int64] = [:]
  private var scratch = ByteWriter()

  public var users: Int { userTable.liveCount }
  public var sessions: Int { sessionTable.liveCount }
  public var orders: Int { orderTable.liveCount }
  public var items: Int { itemTable.liveCount }
  public var events: Int { typeCounts.reduce(0, +) }
  public var rejected: Int { rejectCounts.reduce(0, +) }

  public init() {}

  /// Reads the files one after another, as `replay` does (JSON lines, or records as kcat prints them).
  /// - Parameter progress: bytes done, and of how many.
  public mutating func read(
    _ files: [String], limits: EventLimits, futureTolerance: Int64,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws {
    var total = 0
    for (place, path) in files.enumerated() {
      let cursor = try LogCursor(
        path: path, partition: Int32(place), limits: limits, topicOf: { _ in 0 })
      while !cursor.isAtEnd {
        for i in 0..<cursor.chunkCount { take(cursor, i, futureTolerance) }
        progress(total + cursor.bytesDone, total + cursor.totalBytes)
        cursor.skipChunk()
      }
      total += cursor.totalBytes
    }
    for print in refunded where orderTable.find(print) == nil { refundsWithoutOrder += 1 }
    refunded = []
  }

  private mutating func take(_ cursor: LogCursor, _ i: Int, _ futureTolerance: Int64) {
    records += 1
    let position = cursor.position(i)
    switch cursor.batch[i] {
    case .event(let event):
      if event.isFuture(recordTimestamp: position.timestamp, tolerance: futureTolerance) {
        reject(
          .future(event, recordTimestamp: position.timestamp, tolerance: futureTolerance), cursor,
          position)
      } else {
        count(event, partition: position.partition)
      }
    case .unknownType: unknownTypes += 1
    case .erasure:
      let fault = cursor.key(i)?.withUnsafeBytes { cursor.batch.fault(inErasureKey: $0) }
      if let fault { reject(fault, cursor, position) } else { nulls += 1 }
    case .rejected(let rejection): reject(rejection, cursor, position)
    }
  }

  private mutating func reject(
    _ rejection: Rejection, _ cursor: LogCursor, _ position: LogPosition
  ) {
    rejectCounts[Int(rejection.reason.rawValue)] += 1
    if examples.count < 10 {
      // Lines are counted from 1 by people; offsets of records from 0 by Kafka.
      let place =
        cursor.isDump
        ? "partition \(position.partition) offset \(position.offset)" : "\(position.offset + 1)"
      examples.append("\(cursor.path):\(place): \(rejection.message)")
    }
  }

  private mutating func count(_ event: EventView, partition: Int32) {
    typeCounts[Int(event.type.rawValue)] += 1
    if event.user.isEmpty {
      anonymous += 1
    } else {
      _ = userTable.intern(Fingerprint(of: event.user))
    }
    if !event.session.isEmpty {
      // A session belongs to its user, an order too.
      _ = sessionTable.intern(key(event.user, event.session))
    }
    if event.type == .purchase {
      if event.order.isEmpty {
        purchasesWithoutOrder += 1
      } else {
        _ = orderTable.intern(key(event.user, event.order))
      }
    } else if event.type == .refund {
      refunded.append(key(event.user, event.order))
    }
    for item in event.items { _ = itemTable.intern(Fingerprint(of: item.id)) }
    itemLines += event.items.count
    largestEvent = max(largestEvent, event.items.count)
    timeRange =
      timeRange.map { min($0.lowerBound, event.time)...max($0.upperBound, event.time) }
      ?? event.time...event.time
    let before = high[partition] ?? event.time
    if event.time < before {
      outOfOrder += 1
      largestDelay = max(largestDelay, before - event.time)
    } else {
      high[partition] = event.time
    }
    scratch.removeAll()
    appendEvent(
      to: &scratch, type: event.type, time: event.time, user: event.user, session: event.session,
      order: event.order, items: event.items, currency: event.currency,
      recommendation: event.recommendation, value: event.value, ordered: event.ordered,
      consent: event.consent)
    if !contents.intern(Fingerprint(of: scratch.bytes)).isNew { duplicates += 1 }
  }

  private mutating func key(
    _ owner: UnsafeRawBufferPointer, _ id: UnsafeRawBufferPointer
  ) -> Fingerprint {
    scratch.removeAll()
    scratch.append(unsigned: UInt64(owner.count))
    scratch.append(" ")
    scratch.append(bytes: owner)
    scratch.append(bytes: id)
    return Fingerprint(of: scratch.bytes)
  }
}

extension LogQuality {
  public var json: String {
    var text = ByteWriter()
    func put(_ name: StaticString, _ value: Int, _ text: inout ByteWriter) {
      text.append(name)
      text.append(value)
    }
    put("{\"records\":", records, &text)
    put(",\"events\":", events, &text)
    text.append(",\"types\":{")
    var isFirst = true
    for type in EventType.allCases where typeCounts[Int(type.rawValue)] > 0 {
      if !isFirst { text.append(",") }
      isFirst = false
      text.append(quoted: type.name)
      put(":", typeCounts[Int(type.rawValue)], &text)
    }
    text.append("},\"rejected\":{")
    isFirst = true
    for reason in RejectReason.allCases where rejectCounts[Int(reason.rawValue)] > 0 {
      if !isFirst { text.append(",") }
      isFirst = false
      text.append(quoted: reason.code)
      put(":", rejectCounts[Int(reason.rawValue)], &text)
    }
    put("},\"unknown_types\":", unknownTypes, &text)
    put(",\"nulls\":", nulls, &text)
    put(",\"anonymous\":", anonymous, &text)
    put(",\"users\":", users, &text)
    put(",\"sessions\":", sessions, &text)
    put(",\"orders\":", orders, &text)
    put(",\"items\":", items, &text)
    put(",\"item_lines\":", itemLines, &text)
    put(",\"largest_event\":", largestEvent, &text)
    if let range = timeRange {
      text.append(",\"first\":")
      text.append(quotedTime: range.lowerBound)
      text.append(",\"last\":")
      text.append(quotedTime: range.upperBound)
    }
    put(",\"out_of_order\":", outOfOrder, &text)
    put(",\"largest_delay_ms\":", Int(largestDelay), &text)
    put(",\"duplicates\":", duplicates, &text)
    put(",\"purchases_without_order\":", purchasesWithoutOrder, &text)
    put(",\"refunds_without_order\":", refundsWithoutOrder, &text)
    text.append("}")
    return text.string
  }
}
