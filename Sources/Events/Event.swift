// What an event is, as seen through a batch: a view of 8 bytes onto a record in the batch's arena.
// Texts are spans of that arena; an empty span is an absent field.
import CSimdJSON

/// What was done. The raw value is the type's place in the decoder's list and in saved state.
public enum EventType: UInt8, CaseIterable, Sendable, Hashable {
  case view = 0
  case cart, uncart, purchase, refund, like, rating, impression, click
  /// Forget the user.
  case erase

  public var name: String {
    switch self {
    case .view: "view"
    case .cart: "cart"
    case .uncart: "uncart"
    case .purchase: "purchase"
    case .refund: "refund"
    case .like: "like"
    case .rating: "rating"
    case .impression: "impression"
    case .click: "click"
    case .erase: "erase"
    }
  }
  public init?(name: String) {
    guard let found = EventType.allCases.first(where: { $0.name == name }) else { return nil }
    self = found
  }
}

/// One line of an event: `id`, `quantity` (at least 1, below 2^53; 1 where not given), `price` (at
/// least 0, finite; 0 where not given), `hasPrice`.
public typealias EventItem = affinity_item

extension affinity_item {
  /// Never empty.
  @inlinable public var id: UnsafeRawBufferPointer { id_text.bytes }
  @inlinable public var hasPrice: Bool { has_price != 0 }
}

extension affinity_text {
  @inlinable public var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: start, count: count)
  }
}

/// An accepted event. Owns nothing: valid until its batch is reset or goes away.
public struct EventView: @unchecked Sendable {
  public let record: UnsafePointer<affinity_event>

  @inlinable public init(record: UnsafePointer<affinity_event>) { self.record = record }

  @inlinable public var type: EventType {
    // The decoder accepts no other; a view is what it would be if it did.
    EventType(rawValue: record.pointee.type) ?? .view
  }
  /// Milliseconds since 1970, in `EventTime.range`.
  @inlinable public var time: Int64 { record.pointee.time }
  @inlinable public var id: UnsafeRawBufferPointer { record.pointee.id.bytes }
  @inlinable public var user: UnsafeRawBufferPointer { record.pointee.user.bytes }
  @inlinable public var session: UnsafeRawBufferPointer { record.pointee.session.bytes }
  @inlinable public var order: UnsafeRawBufferPointer { record.pointee.order.bytes }
  @inlinable public var recommendation: UnsafeRawBufferPointer {
    record.pointee.recommendation.bytes
  }
  @inlinable public var currency: UnsafeRawBufferPointer { record.pointee.currency.bytes }
  /// On a refund: when the refunded order took place, milliseconds since 1970.
  @inlinable public var ordered: Int64? {
    record.pointee.has_ordered != 0 ? record.pointee.ordered : nil
  }
  /// A rating; finite.
  @inlinable public var value: Double? {
    record.pointee.has_value != 0 ? record.pointee.value : nil
  }
  /// False: counted in nothing personal.
  @inlinable public var consent: Bool { record.pointee.consent != 0 }
  /// At least one, except on `erase`.
  @inlinable public var items: UnsafeBufferPointer<EventItem> {
    UnsafeBufferPointer(start: record.pointee.items, count: Int(record.pointee.item_count))
  }

  /// Whether a time of the event lies more than `tolerance` ms after its Kafka record's timestamp.
  /// A record without a timestamp (negative) has nothing to compare with.
  @inlinable public func isFuture(recordTimestamp: Int64, tolerance: Int64) -> Bool {
    LogPosition.isFuture(
      max(time, ordered ?? time), recordTimestamp: recordTimestamp, tolerance: tolerance)
  }
}

/// Where a record stands in the log.
public struct LogPosition: Hashable, Sendable {
  /// Place of the topic in the configuration's list.
  public var topic: UInt16
  public var partition: Int32
  public var offset: Int64
  /// The record's own, milliseconds since 1970; -1 for none.
  public var timestamp: Int64

  /// Whether `time` lies more than `tolerance` ms after a record's timestamp; never without one (negative).
  @inlinable public static func isFuture(
    _ time: Int64, recordTimestamp: Int64, tolerance: Int64
  ) -> Bool {
    if recordTimestamp < 0 { return false }
    let (bound, overflow) = recordTimestamp.addingReportingOverflow(tolerance)
    return !overflow && time > bound
  }

  @inlinable public init(topic: UInt16 = 0, partition: Int32, offset: Int64, timestamp: Int64 = -1) {
    self.topic = topic
    self.partition = partition
    self.offset = offset
    self.timestamp = timestamp
  }
}
