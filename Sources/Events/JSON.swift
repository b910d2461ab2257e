// A plain reader of JSON values for what is not hot: catalogue records and the like. Recursive
// descent over the bytes (RFC 8259), depth bounded. Members keep their order and their place in the
// text, so that a part can be kept as it was written.

public indirect enum JSON: Hashable, Sendable {
  case null
  case bool(Bool)
  /// The nearest double, and the text as written (an identifier may not fit a double).
  case number(Double, text: String)
  case string(String)
  case array([JSON])
  case object([Member])

  public struct Member: Hashable, Sendable {
    public var key: String
    public var value: JSON
    /// Bytes of the value in the text.
    public var range: Range<Int>
  }

  public struct Fault: Error, Hashable, Sendable {
    public enum Kind: Sendable, Hashable { case empty, malformed, invalidUTF8, tooDeep }
    public var kind: Kind
    /// Byte of the text.
    public var at: Int
  }

  /// Levels of nesting that are read; more is a fault.
  public static let maxDepth = 256

  public init(_ text: UnsafeRawBufferPointer) throws(Fault) {
    var reader = Reader(text: text)
    reader.space()
    if reader.at == text.count { throw Fault(kind: .empty, at: 0) }
    self = try reader.value(depth: 0)
    reader.space()
    if reader.at != text.count { throw Fault(kind: .malformed, at: reader.at) }
  }

  public init(_ text: String) throws(Fault) {
    let bytes = Array(text.utf8)
    var value = JSON.null
    var fault: Fault?
    bytes.withUnsafeBytes { raw in
      do throws(Fault) { value = try JSON(raw) } catch { fault = error }
    }
    if let fault { throw fault }
    self = value
  }

  /// The first member of that name; nil where this is no object or has none.
  public subscript(key: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }
  public var string: String? { if case .string(let text) = self { text } else { nil } }
  public var number: Double? { if case .number(let value, _) = self { value } else { nil } }
  public var array: [JSON]? { if case .array(let values) = self { values } else { nil } }
}

private struct Reader {
  let text: UnsafeRawBufferPointer
  var at = 0

  typealias Fault = JSON.Fault

  init(text: UnsafeRawBufferPointer) { self.text = text }

  func fault(_ kind: Fault.Kind = .malformed) -> Fault { Fault(kind: kind, at: at) }
  /// 0 at the end: no token begins with it.
  var byte: UInt8 { at < text.count ? text[at] : 0 }

  mutating func space() {
    while at < text.count, text[at] == 0x20 || text[at] == 0x0a || text[at] == 0x0d || text[at] == 0x09 {
      at += 1
    }
  }

  mutating func take(_ wanted: UInt8) throws(Fault) {
    if byte != wanted || at == text.count { throw fault() }
    at += 1
  }

  mutating func word(_ word: StaticString, _ value: JSON) throws(Fault) -> JSON {
    for i in 0..<word.utf8CodeUnitCount { try take(word.utf8Start[i]) }
    return value
  }

  mutating func value(depth: Int) throws(Fault) -> JSON {
    if depth > JSON.maxDepth { throw fault(.tooDeep) }
    switch byte {
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "["):
      at += 1
      var values: [JSON] = []
      space()
      if byte == UInt8(ascii: "]") {
        at += 1
        return .array(values)
      }
      while true {
        space()
        values.append(try value(depth: depth + 1))
        space()
        if byte == UInt8(ascii: ",") {
          at += 1
          continue
        }
        try take(UInt8(ascii: "]"))
        return .array(values)
      }
    case UInt8(ascii: "{"):
      at += 1
      var members: [JSON.Member] = []
      space()
      if byte == UInt8(ascii: "}") {
        at += 1
        return .object(members)
      }
      while true {
        space()
        let key = try string()
        space()
        try take(UInt8(ascii: ":"))
        space()
        let start = at
        let value = try value(depth: depth + 1)
        members.append(JSON.Member(key: key, value: value, range: start..<at))
        space()
        if byte == UInt8(ascii: ",") {
          at += 1
          continue
        }
        try take(UInt8(ascii: "}"))
        return .object(members)
      }
    default: return try number()
    }
  }

  mutating func digits() throws(Fault) {
    let start = at
    while byte &- 48 < 10 { at += 1 }
    if at == start { throw fault() }
  }

  mutating func number() throws(Fault) -> JSON {
    let start = at
    if byte == UInt8(ascii: "-") { at += 1 }
    if byte == UInt8(ascii: "0") { at += 1 } else { try digits() }
    if byte == UInt8(ascii: ".") {
      at += 1
      try digits()
    }
    if byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") {
      at += 1
      if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { at += 1 }
      try digits()
    }
    let written = String(decoding: text[start..<at], as: UTF8.self)
    guard let value = Double(written) else { throw fault() }
    return .number(value, text: written)
  }

  mutating func hex4() throws(Fault) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      switch byte {
      case 48...57: value = value * 16 + UInt32(byte - 48)
      case 65...70: value = value * 16 + UInt32(byte - 55)
      case 97...102: value = value * 16 + UInt32(byte - 87)
      default: throw fault()
      }
      at += 1
    }
    return value
  }

  mutating func string() throws(Fault) -> String {
    try take(UInt8(ascii: "\""))
    var bytes: [UInt8] = []
    while true {
      if at >= text.count || byte < 0x20 { throw fault() }
      let c = byte
      at += 1
      if c == UInt8(ascii: "\"") { break }
      if c != UInt8(ascii: "\\") {
        bytes.append(c)
        continue
      }
      let escape = byte
      at += 1
      switch escape {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(escape)
      case UInt8(ascii: "b"): bytes.append(8)
      case UInt8(ascii: "f"): bytes.append(12)
      case UInt8(ascii: "n"): bytes.append(10)
      case UInt8(ascii: "r"): bytes.append(13)
      case UInt8(ascii: "t"): bytes.append(9)
      case UInt8(ascii: "u"):
        var code = try hex4()
        if code >= 0xd800 && code < 0xdc00, byte == UInt8(ascii: "\\"), at + 1 < text.count,
          text[at + 1] == UInt8(ascii: "u")
        {
          let back = at
          at += 2
          let low = try hex4()
          if low >= 0xdc00 && low < 0xe000 {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
          } else {
            at = back
          }
        }
        // A lone surrogate has no scalar: U+FFFD stands for it.
        bytes.append(contentsOf: UTF8.encode(Unicode.Scalar(code) ?? "\u{fffd}").map { Array($0) } ?? [])
      default:
        at -= 1
        throw fault()
      }
    }
    guard let string = String(validating: bytes, as: UTF8.self) else { throw fault(.invalidUTF8) }
    return string
  }
}
