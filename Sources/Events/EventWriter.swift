// Values to bytes: the one way events are written by import, simulate and produce. Fields stand in
// the order of DESIGN's example; what is absent or has its default (quantity 1, consent true) is
// left out; times are RFC 3339. Decoding what was written gives the values that were written.
import CSimdJSON
import Sparse

extension UnsafeRawBufferPointer {
  /// No bytes: an absent field.
  @inlinable public static var absent: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: nil, count: 0)
  }
}

extension affinity_item {
  /// - Parameters:
  ///   - id: must stay where it is while the item is in use.
  ///   - price: at least 0 and finite, nil for none.
  public init(id: UnsafeRawBufferPointer, quantity: Int64 = 1, price: Double? = nil) {
    self.init(
      id_text: affinity_text(
        start: id.baseAddress?.assumingMemoryBound(to: UInt8.self), count: id.count),
      quantity: quantity, price: price ?? 0, has_price: price == nil ? 0 : 1)
  }
}

/// Appends one event as a JSON object, without a newline.
/// - Parameters: as the fields of `EventView`, with the same bounds; texts that are not UTF-8 are
///   written with U+FFFD where they are not.
public func appendEvent(
  to writer: inout ByteWriter, type: EventType, time: Int64,
  id: UnsafeRawBufferPointer = .absent, user: UnsafeRawBufferPointer = .absent,
  session: UnsafeRawBufferPointer = .absent, order: UnsafeRawBufferPointer = .absent,
  items: UnsafeBufferPointer<EventItem>, currency: UnsafeRawBufferPointer = .absent,
  recommendation: UnsafeRawBufferPointer = .absent, value: Double? = nil, ordered: Int64? = nil,
  consent: Bool = true
) {
  writer.append(byte: 0x7b)
  if id.count > 0 {
    writer.append("\"id\":")
    writer.append(quoted: id)
    writer.append(byte: 0x2c)
  }
  writer.append("\"type\":\"")
  writer.append(text: type.name)
  writer.append("\",\"time\":")
  writer.append(quotedTime: time)
  field(",\"user\":", user, &writer)
  field(",\"session\":", session, &writer)
  field(",\"order\":", order, &writer)
  if items.count > 0 {
    writer.append(",\"items\":[")
    for i in items.indices {
      if i > 0 { writer.append(byte: 0x2c) }
      let item = items[i]
      writer.append("{\"id\":")
      writer.append(quoted: item.id)
      if item.quantity != 1 {
        writer.append(",\"quantity\":")
        writer.append(Int(item.quantity))
      }
      if item.hasPrice {
        writer.append(",\"price\":")
        writer.append(item.price + 0)
      }
      writer.append(byte: 0x7d)
    }
    writer.append(byte: 0x5d)
  }
  field(",\"currency\":", currency, &writer)
  field(",\"recommendation\":", recommendation, &writer)
  if let value {
    writer.append(",\"value\":")
    writer.append(value + 0)  // -0 is 0
  }
  if let ordered {
    writer.append(",\"ordered\":")
    writer.append(quotedTime: ordered)
  }
  if !consent { writer.append(",\"consent\":false") }
  writer.append(byte: 0x7d)
}

@inline(__always)
private func field(_ name: StaticString, _ text: UnsafeRawBufferPointer, _ writer: inout ByteWriter) {
  if text.count == 0 { return }
  writer.append(name)
  writer.append(quoted: text)
}

/// Appends an accepted event in the canonical form.
public func appendEvent(to writer: inout ByteWriter, _ event: EventView) {
  appendEvent(
    to: &writer, type: event.type, time: event.time, id: event.id, user: event.user,
    session: event.session, order: event.order, items: event.items, currency: event.currency,
    recommendation: event.recommendation, value: event.value, ordered: event.ordered,
    consent: event.consent)
}

/// An event that owns its texts, for code that makes few of them. "" = .absent.
public struct Event: Hashable, Sendable {
  public struct Item: Hashable, Sendable {
    public var id: String
    public var quantity: Int64
    public var price: Double?
    public init(id: String, quantity: Int64 = 1, price: Double? = nil) {
      self.id = id
      self.quantity = quantity
      self.price = price
    }
  }
  public var type: EventType
  /// Milliseconds since 1970.
  public var time: Int64
  public var id = ""
  public var user = ""
  public var session = ""
  public var order = ""
  public var items: [Item] = []
  public var currency = ""
  public var recommendation = ""
  public var value: Double?
  public var ordered: Int64?
  public var consent = true

  public init(type: EventType, time: Int64, user: String = "", items: [Item] = []) {
    self.type = type
    self.time = time
    self.user = user
    self.items = items
  }

  public init(_ view: EventView) {
    func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }
    self.init(type: view.type, time: view.time, user: text(view.user))
    id = text(view.id)
    session = text(view.session)
    order = text(view.order)
    items = view.items.map {
      Item(id: text($0.id), quantity: $0.quantity, price: $0.hasPrice ? $0.price : nil)
    }
    currency = text(view.currency)
    recommendation = text(view.recommendation)
    value = view.value
    ordered = view.ordered
    consent = view.consent
  }

  /// Appends the canonical JSON object, without a newline.
  public func append(to writer: inout ByteWriter) {
    // One buffer holds all texts, so that the spans stay put while they are written.
    var texts: [UInt8] = []
    var ends: [Int] = []
    for text in [id, user, session, order, currency, recommendation] + items.map(\.id) {
      texts.append(contentsOf: text.utf8)
      ends.append(texts.count)
    }
    texts.withUnsafeBytes { all in
      func span(_ i: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: all[(i == 0 ? 0 : ends[i - 1])..<ends[i]])
      }
      let raw = items.indices.map {
        EventItem(id: span(6 + $0), quantity: items[$0].quantity, price: items[$0].price)
      }
      raw.withUnsafeBufferPointer {
        appendEvent(
          to: &writer, type: type, time: time, id: span(0), user: span(1), session: span(2),
          order: span(3), items: $0, currency: span(4), recommendation: span(5), value: value,
          ordered: ordered, consent: consent)
      }
    }
  }
}
