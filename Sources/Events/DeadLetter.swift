// A message that was not accepted, on its way out again: its own key, value and headers untouched,
// with headers after Kafka Connect's that say where it came from and why (KIP-298).
import Sparse

public struct MessageHeader: Hashable, Sendable {
  public var key: String
  /// Nil is a null value.
  public var value: [UInt8]?

  public init(key: String, value: [UInt8]?) {
    self.key = key
    self.value = value
  }
  public init(key: String, text: String) { self.init(key: key, value: Array(text.utf8)) }
}

public struct DeadLetter: Hashable, Sendable {
  /// Where the message stood.
  public var topic: String
  public var partition: Int32
  public var offset: Int64
  /// The record's own, milliseconds since 1970; -1 for none.
  public var timestamp: Int64
  /// Nil is null.
  public var key: [UInt8]?
  public var value: [UInt8]?
  /// The message's own.
  public var headers: [MessageHeader]
  public var rejection: Rejection

  public init(
    topic: String, partition: Int32, offset: Int64, timestamp: Int64 = -1, key: [UInt8]?,
    value: [UInt8]?, headers: [MessageHeader] = [], rejection: Rejection
  ) {
    self.topic = topic
    self.partition = partition
    self.offset = offset
    self.timestamp = timestamp
    self.key = key
    self.value = value
    self.headers = headers
    self.rejection = rejection
  }

  /// Place, reason and sentence, as they stand in the exception message and in logs.
  public var message: String { "\(topic)[\(partition)]@\(offset): \(rejection.message)" }

  /// What is sent: the message's own headers, then ours.
  /// - Parameters:
  ///   - connector: the program's name in its group.
  ///   - task: its instance.
  public func allHeaders(connector: String = "affinity", task: String = "0") -> [MessageHeader] {
    let prefix = "__connect.errors."
    return headers + [
      MessageHeader(key: prefix + "topic", text: topic),
      MessageHeader(key: prefix + "partition", text: String(partition)),
      MessageHeader(key: prefix + "offset", text: String(offset)),
      MessageHeader(key: prefix + "connector.name", text: connector),
      MessageHeader(key: prefix + "task.id", text: task),
      MessageHeader(key: prefix + "stage", text: "VALUE_CONVERTER"),
      MessageHeader(key: prefix + "class.name", text: "affinity.events.EventBatch"),
      MessageHeader(key: prefix + "exception.class.name", text: "affinity.events.Rejection"),
      MessageHeader(key: prefix + "exception.message", text: message),
      MessageHeader(key: "affinity.reason", text: rejection.reason.code),
    ]
  }

  /// Appends the line of `dead-letters.jsonl`, without a newline. Bytes that are UTF-8 are written
  /// as a string, others as base64 under a name that says so.
  public func append(
    to writer: inout ByteWriter, connector: String = "affinity", task: String = "0"
  ) {
    writer.append("{\"reason\":")
    writer.append(quoted: rejection.reason.code)
    writer.append(",\"message\":")
    writer.append(quoted: message)
    writer.append(",\"topic\":")
    writer.append(quoted: topic)
    writer.append(",\"partition\":")
    writer.append(Int(partition))
    writer.append(",\"offset\":")
    writer.append(Int(offset))
    if timestamp >= 0 {
      writer.append(",\"timestamp\":")
      writer.append(Int(timestamp))
    }
    writer.append(",")
    append(bytes: key, plain: "\"key\":", encoded: "\"key_base64\":", to: &writer)
    writer.append(",")
    append(bytes: value, plain: "\"value\":", encoded: "\"value_base64\":", to: &writer)
    writer.append(",\"headers\":[")
    var isFirst = true
    for header in allHeaders(connector: connector, task: task) {
      if !isFirst { writer.append(",") }
      isFirst = false
      writer.append("{\"key\":")
      writer.append(quoted: header.key)
      writer.append(",")
      append(bytes: header.value, plain: "\"value\":", encoded: "\"value_base64\":", to: &writer)
      writer.append("}")
    }
    writer.append("]}")
  }

  private func append(
    bytes: [UInt8]?, plain: StaticString, encoded: StaticString, to writer: inout ByteWriter
  ) {
    guard let bytes else {
      writer.append(plain)
      writer.append("null")
      return
    }
    bytes.withUnsafeBytes { raw in
      if isUTF8(raw) {
        writer.append(plain)
        writer.append(quoted: raw)
      } else {
        writer.append(encoded)
        writer.append(byte: 0x22)
        writer.append(base64: raw)
        writer.append(byte: 0x22)
      }
    }
  }
}

extension ByteWriter {
  /// RFC 4648 base64 with padding, without quotes.
  public mutating func append(base64 bytes: UnsafeRawBufferPointer) {
    let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    let letters = alphabet.utf8Start
    let count = (bytes.count + 2) / 3 * 4
    let at = reserve(count)
    var from = 0
    var to = 0
    while from < bytes.count {
      let left = bytes.count - from
      let word =
        UInt32(bytes[from]) << 16 | (left > 1 ? UInt32(bytes[from + 1]) << 8 : 0)
        | (left > 2 ? UInt32(bytes[from + 2]) : 0)
      at[to] = letters[Int(word >> 18)]
      at[to + 1] = letters[Int(word >> 12 & 63)]
      at[to + 2] = left > 1 ? letters[Int(word >> 6 & 63)] : 0x3d
      at[to + 3] = left > 2 ? letters[Int(word & 63)] : 0x3d
      from += 3
      to += 4
    }
    advance(count)
  }
}
