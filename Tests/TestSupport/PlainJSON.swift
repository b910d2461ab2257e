// A small reader of JSON for messages the project wrote: objects keep their order, numbers their text.

public indirect enum PlainJSON: Equatable, Sendable {
  case null
  case bool(Bool)
  case number(String)
  case string(String)
  case array([PlainJSON])
  case object([Member])

  public struct Member: Equatable, Sendable {
    public var key: String
    public var value: PlainJSON
  }

  /// nil where the text is not JSON, or an object has a key twice.
  public init?(_ text: String) {
    var reader = PlainJSONReader(bytes: Array(text.utf8))
    guard let value = reader.value() else { return nil }
    reader.space()
    guard reader.at == reader.bytes.count else { return nil }
    self = value
  }

  public subscript(key: String) -> PlainJSON? {
    if case .object(let members) = self { return members.first { $0.key == key }?.value }
    return nil
  }
  public var array: [PlainJSON]? { if case .array(let a) = self { return a } else { return nil } }
  public var string: String? { if case .string(let s) = self { return s } else { return nil } }
  public var double: Double? { if case .number(let n) = self { return Double(n) } else { return nil } }
  public var int: Int? { if case .number(let n) = self { return Int(n) } else { return nil } }
  public var members: [Member] { if case .object(let m) = self { return m } else { return [] } }
}

private struct PlainJSONReader {
  var bytes: [UInt8]
  var at = 0

  mutating func space() {
    while at < bytes.count, [32, 9, 10, 13].contains(bytes[at]) { at += 1 }
  }
  mutating func take(_ c: Character) -> Bool {
    guard at < bytes.count, bytes[at] == c.asciiValue else { return false }
    at += 1
    return true
  }
  mutating func word(_ text: String) -> Bool {
    let utf8 = Array(text.utf8)
    guard at + utf8.count <= bytes.count, Array(bytes[at..<(at + utf8.count)]) == utf8 else { return false }
    at += utf8.count
    return true
  }

  mutating func value() -> PlainJSON? {
    space()
    if take("{") {
      var members: [PlainJSON.Member] = []
      space()
      if take("}") { return .object([]) }
      while true {
        space()
        guard let key = string() else { return nil }
        space()
        guard take(":"), let value = value() else { return nil }
        if members.contains(where: { $0.key == key }) { return nil }
        members.append(PlainJSON.Member(key: key, value: value))
        space()
        if take("}") { return .object(members) }
        if !take(",") { return nil }
      }
    }
    if take("[") {
      var values: [PlainJSON] = []
      space()
      if take("]") { return .array([]) }
      while true {
        guard let value = value() else { return nil }
        values.append(value)
        space()
        if take("]") { return .array(values) }
        if !take(",") { return nil }
      }
    }
    if word("null") { return .null }
    if word("true") { return .bool(true) }
    if word("false") { return .bool(false) }
    if at < bytes.count, bytes[at] == 0x22 { return string().map { .string($0) } }
    let start = at
    while at < bytes.count, "+-0123456789.eE".utf8.contains(bytes[at]) { at += 1 }
    guard at > start, let text = String(validating: bytes[start..<at], as: UTF8.self), Double(text) != nil
    else { return nil }
    return .number(text)
  }

  mutating func string() -> String? {
    guard take("\"") else { return nil }
    var out: [UInt8] = []
    while at < bytes.count {
      let c = bytes[at]
      at += 1
      if c == 0x22 { return String(validating: out, as: UTF8.self) }
      if c < 0x20 { return nil }
      guard c == 0x5c else {
        out.append(c)
        continue
      }
      guard at < bytes.count else { return nil }
      let escape = bytes[at]
      at += 1
      switch escape {
      case 0x22, 0x5c, 0x2f: out.append(escape)
      case UInt8(ascii: "n"): out.append(10)
      case UInt8(ascii: "r"): out.append(13)
      case UInt8(ascii: "t"): out.append(9)
      case UInt8(ascii: "b"): out.append(8)
      case UInt8(ascii: "f"): out.append(12)
      case UInt8(ascii: "u"):
        guard at + 4 <= bytes.count,
          let hex = String(validating: bytes[at..<(at + 4)], as: UTF8.self),
          let code = UInt32(hex, radix: 16), let scalar = Unicode.Scalar(code)
        else { return nil }
        at += 4
        out.append(contentsOf: Array(String(Character(scalar)).utf8))
      default: return nil
      }
    }
    return nil
  }
}
