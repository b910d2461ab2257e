// Messages to events, many at a time, with one arena for all their bytes.
//
// What counts as what (and where readers of JSON differ):
// - The text must be JSON (RFC 8259) in every part, ignored fields included, to any depth. A byte
//   order mark is not JSON and is rejected. Escapes that no UTF-8 can hold (lone surrogates) are
//   passed over in ignored fields and rejected in ours.
// - A field of ours given twice is ambiguous: rejected. Fields that are not ours are ignored,
//   whatever they hold. Null is absence, and so is "" for the optional texts.
// - Identifiers are strings, or integers taken as their decimal text: 42 is "42".
// - `time` and `ordered` are RFC 3339 (any offset; digits behind the milliseconds are cut off; a
//   leap second is the first second of the next day) or whole milliseconds since 1970.
// - `quantity` and times may be written 2.0 or 2e0; numbers in strings are not numbers.
// - Text that is no JSON is malformed before anything else is said; then `type` given twice; then
//   an unknown type; then the first fault in the order of the text; then what is missing.
import CSimdJSON

/// Bounds on what is accepted.
public struct EventLimits: Hashable, Sendable {
  /// Items in one event.
  public var maxItems: Int
  /// Bytes of one identifier, unescaped.
  public var maxIDBytes: Int
  /// Bytes of one message.
  public var maxMessageBytes: Int

  public init(
    maxItems: Int = 10_000, maxIDBytes: Int = 1024, maxMessageBytes: Int = 16 << 20
  ) {
    self.maxItems = maxItems
    self.maxIDBytes = maxIDBytes
    self.maxMessageBytes = maxMessageBytes
  }

  var raw: affinity_limits {
    affinity_limits(
      max_message_bytes: max(0, maxMessageBytes), max_items: UInt32(clamping: maxItems),
      max_id_bytes: UInt32(clamping: maxIDBytes))
  }
}

/// What became of a message.
public enum Decoded {
  case event(EventView)
  /// A type we do not know: to be counted and passed over. `time` is its time, nil where it has none that
  /// can be read; nothing else of it is looked at. The bytes live as long as the batch.
  case unknownType(name: UnsafeRawBufferPointer, time: Int64?)
  /// A null value: the user who is the record's key is to be forgotten.
  case erasure
  case rejected(Rejection)
}

/// Decoded messages and the memory they stand in. One thread at a time: fill it on one, read it on
/// another, then `reset` and fill it again.
public final class EventBatch: @unchecked Sendable {
  public let raw: UnsafeMutablePointer<affinity_batch>
  public let limits: EventLimits
  private let rawLimits: affinity_limits

  public init(limits: EventLimits = EventLimits()) {
    raw = affinity_batch_create()
    self.limits = limits
    rawLimits = limits.raw
  }
  deinit { affinity_batch_destroy(raw) }

  /// Forgets every message; all views of this batch are void.
  public func reset() { affinity_batch_reset(raw) }

  /// Messages decoded since `reset`.
  @inlinable public var count: Int { raw.pointee.count }
  /// Bytes held from the allocator.
  public var bytes: Int { affinity_batch_bytes(raw) }

  // MARK: filling

  /// Decodes one message and appends it. The bytes are copied.
  /// - Parameters:
  ///   - value: a null base address is a null value (an erasure), no bytes are an empty message.
  ///   - key: the record's key. Read only where the value is null: it must then name a user.
  ///   - contentType: the `content-type` header, nil where there is none: JSON.
  @discardableResult
  public func decode(
    value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer? = nil,
    contentType: UnsafeRawBufferPointer? = nil
  ) -> Decoded {
    append(value: value, contentType: contentType)
    let decoded = self[count - 1]
    if case .erasure = decoded, let key, let reason = fault(inErasureKey: key) {
      return .rejected(reason)
    }
    return decoded
  }

  /// As `decode`, for whoever reads the outcomes later: no `Decoded` is made.
  public func append(
    value: UnsafeRawBufferPointer, contentType: UnsafeRawBufferPointer? = nil
  ) {
    add(value: value, contentType: contentType)
    settle()
  }

  /// As `append`, of one among many: nothing may be read here until `settle` has decoded them all, which
  /// costs less than one by one.
  public func add(value: UnsafeRawBufferPointer, contentType: UnsafeRawBufferPointer? = nil) {
    var format = Int32(AFFINITY_JSON.rawValue)
    if let contentType, contentType.count > 0, value.baseAddress != nil {
      format = affinity_content_type(
        contentType.baseAddress?.assumingMemoryBound(to: UInt8.self), contentType.count)
    }
    var limits = rawLimits
    affinity_batch_add(
      raw, value.baseAddress?.assumingMemoryBound(to: UInt8.self), value.count, format, &limits)
  }

  /// Decodes what was added.
  public func settle() {
    var limits = rawLimits
    affinity_batch_settle(raw, &limits)
  }

  /// Decodes whole lines from the front of `region` and appends one message per line, blank lines
  /// included (`empty`), until about `budget` bytes are done (at least one line).
  /// - Parameter isLast: the region ends the file, so its last line may lack the newline.
  /// - Returns: bytes consumed; 0 where the region holds no whole line.
  public func decodeLines(_ region: UnsafeRawBufferPointer, budget: Int, isLast: Bool) -> Int {
    guard let base = region.baseAddress, region.count > 0 else { return 0 }
    var limits = rawLimits
    return affinity_batch_decode_lines(
      raw, base.assumingMemoryBound(to: UInt8.self), region.count, max(1, budget), isLast ? 1 : 0,
      &limits)
  }

  // MARK: reading

  public subscript(index: Int) -> Decoded {
    precondition(index >= 0 && index < count)
    let outcome = raw.pointee.outcomes[index]
    switch UInt32(outcome.kind) {
    case AFFINITY_EVENT.rawValue:
      if let event = outcome.event { return .event(EventView(record: event)) }
      preconditionFailure("an event outcome has its event")
    case AFFINITY_UNKNOWN_TYPE.rawValue: return .unknownType(name: outcome.name.bytes, time: time(ofUnknown: outcome))
    case AFFINITY_NULL.rawValue: return .erasure
    default: return .rejected(Rejection(outcome, limits: limits))
    }
  }

  /// The event at `index`, or nil if that message is none: the fast way through a batch.
  @inlinable public func event(at index: Int) -> EventView? {
    assert(index >= 0 && index < count)
    guard let record = raw.pointee.outcomes[index].event else { return nil }
    return EventView(record: record)
  }

  /// The time of an event, or of a record of an unknown type where it has one: what stream time is made of.
  public func time(at index: Int) -> Int64? {
    if let event = event(at: index) { return event.time }
    let outcome = raw.pointee.outcomes[index]
    return UInt32(outcome.kind) == AFFINITY_UNKNOWN_TYPE.rawValue ? time(ofUnknown: outcome) : nil
  }

  private func time(ofUnknown outcome: affinity_outcome) -> Int64? {
    outcome.bound >= 0 ? outcome.bound : nil
  }

  /// Where the message stood in the region given to `decodeLines` (without its newline).
  @inlinable public func sourceRange(at index: Int) -> Range<Int> {
    assert(index >= 0 && index < count)
    let outcome = raw.pointee.outcomes + index
    let start = Int(outcome.pointee.source_offset)
    return start..<start + Int(outcome.pointee.source_count)
  }

  /// Why `key` cannot name the user of an erasure, or nil.
  public func fault(inErasureKey key: UnsafeRawBufferPointer) -> Rejection? {
    if key.count == 0 {
      return Rejection(
        reason: .missingUser,
        message: "a null value asks for its key to be forgotten, but the key is empty; give the user as key")
    }
    if key.count > limits.maxIDBytes {
      return Rejection(
        reason: .idTooLong,
        message: "key: \(key.count) bytes, at most \(limits.maxIDBytes); erasure rejected")
    }
    if !isUTF8(key) {
      return Rejection(
        reason: .invalidUTF8, message: "key: bytes that are not UTF-8; erasure rejected")
    }
    return nil
  }
}

/// Whether the bytes are UTF-8 throughout.
public func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
  affinity_valid_utf8(bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count) != 0
}
