// Why an event was not accepted: a reason for counters and headers, and a sentence for people.
import CSimdJSON

/// The kinds of fault. `code` is an interface: it stands in dead letters and metrics. The raw values
/// up to `invalidBase64` are those of CSimdJSON's reasons.h.
public enum RejectReason: UInt8, CaseIterable, Sendable, Hashable {
  case empty = 0
  case malformedJSON
  case invalidUTF8
  case tooLarge
  case notAnObject
  case duplicateKey
  case missingType
  case missingTime
  case missingUser
  case missingItems
  case missingItemID
  case wrongTypeOfField
  case emptyID
  case idTooLong
  case tooManyItems
  case quantityInvalid
  case priceInvalid
  case valueInvalid
  case timeInvalid
  case timeOutOfRange
  case unsupportedContentType
  case cloudEventsBatch
  case missingData
  case invalidBase64
  /// A time later than the record's timestamp plus the tolerance.
  case future
  /// A catalogue record whose key names no item.
  case missingKey
  /// The process has died at this record again and again.
  case crash

  public var code: String {
    switch self {
    case .empty: "empty"
    case .malformedJSON: "malformed_json"
    case .invalidUTF8: "invalid_utf8"
    case .tooLarge: "too_large"
    case .notAnObject: "not_an_object"
    case .duplicateKey: "duplicate_key"
    case .missingType: "missing_type"
    case .missingTime: "missing_time"
    case .missingUser: "missing_user"
    case .missingItems: "missing_items"
    case .missingItemID: "missing_item_id"
    case .wrongTypeOfField: "wrong_type_of_field"
    case .emptyID: "empty_id"
    case .idTooLong: "id_too_long"
    case .tooManyItems: "too_many_items"
    case .quantityInvalid: "quantity_invalid"
    case .priceInvalid: "price_invalid"
    case .valueInvalid: "value_invalid"
    case .timeInvalid: "time_invalid"
    case .timeOutOfRange: "time_out_of_range"
    case .unsupportedContentType: "unsupported_content_type"
    case .cloudEventsBatch: "cloudevents_batch"
    case .missingData: "missing_data"
    case .invalidBase64: "invalid_base64"
    case .future: "future"
    case .missingKey: "missing_key"
    case .crash: "crash"
    }
  }
  public init?(code: String) {
    guard let found = RejectReason.allCases.first(where: { $0.code == code }) else { return nil }
    self = found
  }
}

public struct Rejection: Sendable, Hashable {
  public var reason: RejectReason
  /// Place, what is there, bound, next step. Names fields and numbers, never an id: it may be logged.
  public var message: String

  public init(reason: RejectReason, message: String) {
    self.reason = reason
    self.message = message
  }

  public static func future(
    _ event: EventView, recordTimestamp: Int64, tolerance: Int64
  ) -> Rejection {
    let late = max(event.time, event.ordered ?? event.time)
    return Rejection(
      reason: .future,
      message:
        "\(late == event.time ? "time" : "ordered") \(late): \(late - recordTimestamp) ms after the record's timestamp \(recordTimestamp), at most \(tolerance) (events.future_tolerance); event rejected"
    )
  }
}

extension Rejection {
  /// The fields in the order of reasons.h.
  private static let fields = [
    "", "id", "type", "time", "user", "session", "order", "items", "currency", "recommendation",
    "value", "consent", "ordered", "", "id", "quantity", "price", "data", "data_base64",
    "datacontenttype",
  ]
  private static let wanted = [
    "", "a string or an integer", "a string", "an RFC 3339 time or integer milliseconds",
    "a string or an integer", "a string or an integer", "a string or an integer", "an array",
    "a string or an integer", "a string or an integer", "a number", "true or false",
    "an RFC 3339 time or integer milliseconds", "an object", "a string or an integer", "a number",
    "a number", "an object", "a string", "a string",
  ]

  init(_ o: affinity_outcome, limits: EventLimits) {
    // A reason this build does not know would be a defect of the shim; say the least.
    let reason = RejectReason(rawValue: o.reason) ?? .malformedJSON
    let field = Int(o.field) < Rejection.fields.count ? Int(o.field) : 0
    let name = Rejection.fields[field]
    let item = o.item == UInt32.max ? "" : "items[\(o.item)]"
    let place = item.isEmpty ? name : name.isEmpty ? item : "\(item).\(name)"
    let at = o.name.count == 0 ? "at byte \(o.at)" : "\(Rejection.excerpt(o.name.bytes)) at byte \(o.at)"
    let text: String
    switch reason {
    case .empty: text = "the message has no bytes; a null value would be an erasure"
    case .malformedJSON: text = "not JSON \(at)"
    case .invalidUTF8:
      text =
        place.isEmpty
        ? "bytes that are not UTF-8" : "\(place) \(at): an escape that is no Unicode character"
    case .tooLarge:
      text = "\(o.source_count) bytes, at most \(limits.maxMessageBytes) (events.max_bytes)"
    case .notAnObject: text = "not a JSON object \(at)"
    case .duplicateKey: text = "\(place) \(at): given a second time"
    case .missingType: text = "no type; give one of \(EventType.allCases.map(\.name).joined(separator: ", "))"
    case .missingTime: text = "no time; give RFC 3339 or integer milliseconds since 1970"
    case .missingUser: text = "no user; give user (erase), or else user, session or order"
    case .missingItems: text = "no items; give at least one"
    case .missingItemID: text = "\(item) \(at): no id"
    case .wrongTypeOfField: text = "\(place) \(at): must be \(Rejection.wanted[field])"
    case .emptyID: text = "\(place) \(at): must not be empty"
    case .idTooLong: text = "\(place) \(at): \(o.bound) bytes, at most \(limits.maxIDBytes)"
    case .tooManyItems:
      text = "items \(at): \(o.bound), at most \(limits.maxItems) (events.max_items)"
    case .quantityInvalid: text = "\(place) \(at): must be a whole number of at least 1, below 2^53"
    case .priceInvalid: text = "\(place) \(at): must be at least 0 and within a double's range"
    case .valueInvalid: text = "\(place) \(at): must be within a double's range"
    case .timeInvalid:
      text = "\(place) \(at): must be RFC 3339 such as 2026-03-01T10:15:30.123Z, or integer milliseconds since 1970"
    case .timeOutOfRange: text = "\(place) \(at): must lie in the years 1970 to 9999"
    case .unsupportedContentType: text = "content-type: must be JSON in UTF-8"
    case .cloudEventsBatch: text = "content-type: batched CloudEvents are not allowed on Kafka; send one event a record"
    case .missingData: text = "a CloudEvent without data; give the event as data or data_base64"
    case .invalidBase64: text = "data_base64: not base64"
    case .future, .missingKey, .crash: text = reason.code
    }
    self.init(reason: reason, message: text + "; event rejected")
  }

  /// A number or time as it was written: printable ASCII, cut to one line's measure.
  private static func excerpt(_ bytes: UnsafeRawBufferPointer) -> String {
    var text = ""
    for byte in bytes {
      text.unicodeScalars.append(byte >= 0x20 && byte < 0x7f ? Unicode.Scalar(byte) : "?")
    }
    return bytes.count < 40 ? text : text + "…"
  }
}
