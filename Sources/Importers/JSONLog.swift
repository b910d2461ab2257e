// Logs of JSON lines in the shapes of other programs (EVENT-FORMATS §1 to §4): one object a line,
// which may hold several events. Each shape is one function from an object to outcomes; what they
// share is here: loose values, items, orders seen before, sessions of strangers.
import Events
import Foundation
import Sparse

public enum JSONShape: String, CaseIterable, Sendable {
  /// Segment e-commerce v2 `track` calls; the names of v1 are aliases.
  case segment
  /// Google Analytics 4: rows of the BigQuery export, or bodies of the Measurement Protocol.
  case ga4
  /// Google Retail API `UserEvent`, in camel or snake case.
  case googleRetail = "google-retail"
  /// Amazon Personalize `PutEvents` requests.
  case personalize = "personalize-events"
}

/// Reads a log of JSON lines in the given shape.
public func importJSON(
  _ source: ByteSource, _ shape: JSONShape, into log: inout ImportLog,
  progress: (Int) throws -> Void = { _ in }
) throws {
  var reader = RecordReader(source, delimiter: 0, quoting: .none)
  var orders = KnownOrders()
  while try reader.next() {
    log.rows += 1
    if log.rows & 0x3fff == 0 { try progress(source.position) }
    let parsed = reader.isMalformed ? nil : JSONObject(line: reader.text)
    guard let object = parsed else {
      try log.reject(.malformed, line: reader.line, reader.text)
      continue
    }
    let outcomes =
      switch shape {
      case .segment: [segmentEvent(object, &orders)]
      case .ga4: ga4Events(object, &orders)
      case .googleRetail: [googleRetailEvent(object, &orders)]
      case .personalize: personalizeEvents(object)
      }
    for outcome in outcomes {
      switch outcome {
      case .success(let event): log.append(event)
      case .failure(let why): try log.reject(why.reason, line: reader.line, reader.text)
      }
    }
  }
}

typealias JSONOutcome = Result<Event, JSONRefusal>

struct JSONRefusal: Error {
  var reason: ImportReason
  static func because(_ reason: ImportReason) -> JSONOutcome {
    .failure(JSONRefusal(reason: reason))
  }
}

/// An object whose values are what they look like: ids may be numbers, numbers may be strings.
struct JSONObject {
  private var fields: [String: Any]

  init(_ fields: [String: Any]) { self.fields = fields }
  init?(line: UnsafeRawBufferPointer) {
    guard let base = line.baseAddress,
      let object = try? JSONSerialization.jsonObject(with: Data(bytes: base, count: line.count)),
      let fields = object as? [String: Any]
    else { return nil }
    self.fields = fields
  }

  private func value(_ names: [String]) -> Any? {
    for name in names { if let found = fields[name], !(found is NSNull) { return found } }
    return nil
  }

  /// The first of the fields that is a text or a number; "" if none is. BigQuery's "(not set)" is none.
  func text(_ names: String...) -> String {
    for name in names {
      let found: String
      switch fields[name] {
      case let text as String: found = text
      case let number as NSNumber: found = number.stringValue
      default: continue
      }
      if !found.isEmpty && found != "(not set)" { return found }
    }
    return ""
  }

  func number(_ names: String...) -> Double? {
    switch value(names) {
    case let number as NSNumber: return number.doubleValue.isFinite ? number.doubleValue : nil
    case var text as String: return text.withUTF8 { parseNumber(UnsafeRawBufferPointer($0)) }
    default: return nil
    }
  }

  func object(_ names: String...) -> JSONObject? {
    (value(names) as? [String: Any]).map(JSONObject.init)
  }
  func objects(_ names: String...) -> [JSONObject]? {
    (value(names) as? [Any])?.compactMap { ($0 as? [String: Any]).map(JSONObject.init) }
  }
  /// A JSON object in a string, as Personalize keeps properties.
  func embedded(_ name: String) -> JSONObject? {
    guard var text = fields[name] as? String else { return object(name) }
    return text.withUTF8 { JSONObject(line: UnsafeRawBufferPointer($0)) }
  }

  /// A time: RFC 3339, or a number of `unit`.
  func time(_ unit: TimeFormat, _ names: String...) -> Int64? {
    for name in names {
      switch fields[name] {
      case let text as String:
        if let time = TimeFormat.iso.parse(text) ?? unit.parse(text) { return time }
      case let number as NSNumber: if let time = unit.parse(number.stringValue) { return time }
      default: continue
      }
    }
    return nil
  }
}

/// Orders by id, so that a refund that names no items undoes the whole order, at its time.
struct KnownOrders {
  private var orders: [String: (time: Int64, items: [Event.Item])] = [:]

  mutating func note(_ event: Event) {
    if event.type == .purchase && !event.order.isEmpty {
      orders[event.order] = (event.time, event.items)
    }
  }

  /// Fills in what a refund leaves out. nil: neither items nor an order that has been seen.
  func complete(_ refund: Event) -> Event? {
    var refund = refund
    if let order = orders[refund.order] {
      refund.ordered = order.time
      if refund.items.isEmpty { refund.items = order.items }
    }
    return refund.items.isEmpty ? nil : refund
  }
}

/// The last steps of every shape: a stranger's session, whole refunds, what must be there.
func finish(_ event: Event, visitor: String, _ orders: inout KnownOrders) -> JSONOutcome {
  var event = event
  if event.user.isEmpty && event.session.isEmpty && !visitor.isEmpty {
    // A visitor's id lives for months; a stranger's session is a UTC day, as a user's is (DESIGN §2).
    event.session = "\(visitor)/\(EventTime.string(event.time).prefix(10))"
  }
  if event.user.isEmpty && event.session.isEmpty && event.order.isEmpty {
    return JSONRefusal.because(.missingUser)
  }
  if event.type == .refund {
    guard let whole = orders.complete(event) else {
      return JSONRefusal.because(.refundWithoutPurchase)
    }
    event = whole
  }
  if event.items.isEmpty { return JSONRefusal.because(.missingItem) }
  if event.type == .rating && event.value == nil { return JSONRefusal.because(.badValue) }
  orders.note(event)
  return .success(event)
}

/// An item by its id, quantity and price, or why not. A quantity that is not said is 1.
func jsonItem(
  id: String, quantity: Double?, price: Double?
) -> Result<Event.Item, JSONRefusal> {
  func fail(_ reason: ImportReason) -> Result<Event.Item, JSONRefusal> {
    .failure(JSONRefusal(reason: reason))
  }
  if id.isEmpty { return fail(.missingItem) }
  var item = Event.Item(id: id)
  if let quantity {
    guard quantity == quantity.rounded(.towardZero), quantity < 9_007_199_254_740_992 else {
      return fail(.badQuantity)
    }
    if quantity < 1 { return fail(.nonPositiveQuantity) }
    item.quantity = Int64(quantity)
  }
  if let price {
    if price < 0 { return fail(.negativePrice) }
    item.price = price
  }
  return .success(item)
}

/// All items, or the first refusal.
func jsonItems(
  _ objects: [JSONObject], _ item: (JSONObject) -> Result<Event.Item, JSONRefusal>
) -> Result<[Event.Item], JSONRefusal> {
  var items: [Event.Item] = []
  for object in objects {
    switch item(object) {
    case .success(let one): items.append(one)
    case .failure(let why): return .failure(why)
    }
  }
  return .success(items)
}
