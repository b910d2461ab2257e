// The decoder's twin: a plain reader of JSON into a tree, and the event's rules over the tree, with
// nothing shared with Sources. Slow and recursive, to be read beside the comment on EventBatch.
import Events

indirect enum Tree {
  case null
  case bool(Bool)
  case number(String)
  case string([UInt8], isText: Bool)  // isText false: holds a lone surrogate
  case array([Tree])
  case object([(key: [UInt8]?, value: Tree)])  // key nil: holds a lone surrogate
}

struct TreeReader {
  let s: [UInt8]
  var i = 0
  struct Malformed: Error {}

  init(_ s: [UInt8]) { self.s = s }

  static func read(_ s: [UInt8]) -> Tree? {
    var reader = TreeReader(s)
    do {
      reader.space()
      let tree = try reader.value()
      reader.space()
      return reader.i == s.count ? tree : nil
    } catch { return nil }
  }

  var c: Int { i < s.count ? Int(s[i]) : -1 }
  mutating func space() { while c == 32 || c == 9 || c == 10 || c == 13 { i += 1 } }
  mutating func expect(_ text: String) throws {
    for byte in text.utf8 {
      if c != Int(byte) { throw Malformed() }
      i += 1
    }
  }
  func at(_ text: String) -> Bool { c == Int(text.utf8.first!) }

  mutating func value() throws -> Tree {
    if at("{") {
      i += 1
      space()
      var members: [(key: [UInt8]?, value: Tree)] = []
      if at("}") {
        i += 1
        return .object([])
      }
      while true {
        space()
        guard case .string(let key, let isText) = try string() else { throw Malformed() }
        space()
        try expect(":")
        space()
        members.append((isText ? key : nil, try value()))
        space()
        if at(",") {
          i += 1
        } else {
          try expect("}")
          return .object(members)
        }
      }
    }
    if at("[") {
      i += 1
      space()
      var values: [Tree] = []
      if at("]") {
        i += 1
        return .array([])
      }
      while true {
        space()
        values.append(try value())
        space()
        if at(",") {
          i += 1
        } else {
          try expect("]")
          return .array(values)
        }
      }
    }
    if at("\"") { return try string() }
    if at("n") {
      try expect("null")
      return .null
    }
    if at("t") {
      try expect("true")
      return .bool(true)
    }
    if at("f") {
      try expect("false")
      return .bool(false)
    }
    return try number()
  }

  mutating func digits() throws {
    guard (48...57).contains(c) else { throw Malformed() }
    while (48...57).contains(c) { i += 1 }
  }

  mutating func number() throws -> Tree {
    let start = i
    if at("-") { i += 1 }
    if at("0") { i += 1 } else { try digits() }
    if at(".") {
      i += 1
      try digits()
    }
    if at("e") || at("E") {
      i += 1
      if at("+") || at("-") { i += 1 }
      try digits()
    }
    return .number(String(decoding: s[start..<i], as: UTF8.self))
  }

  mutating func string() throws -> Tree {
    try expect("\"")
    var units: [UInt16] = []  // of escapes in a row, so that surrogates can meet
    var out: [UInt8] = []
    var isText = true
    func flush() {
      var decoder = UTF16()
      var source = units.makeIterator()
      loop: while true {
        switch decoder.decode(&source) {
        case .scalarValue(let scalar): out.append(contentsOf: UTF8.encode(scalar)!)
        case .error:
          isText = false
        case .emptyInput: break loop
        }
      }
      units = []
    }
    while true {
      if c < 32 { throw Malformed() }
      if at("\"") {
        i += 1
        flush()
        return .string(out, isText: isText)
      }
      if at("\\") {
        i += 1
        let plain: [UInt8: UInt8] = [34: 34, 92: 92, 47: 47, 98: 8, 102: 12, 110: 10, 114: 13, 116: 9]
        guard i < s.count else { throw Malformed() }
        if at("u") {
          guard i + 4 < s.count else { throw Malformed() }
          var unit: UInt16 = 0
          for k in 1...4 {
            guard let digit = Character(Unicode.Scalar(s[i + k])).hexDigitValue, s[i + k] < 128 else {
              throw Malformed()
            }
            unit = unit << 4 | UInt16(digit)
          }
          units.append(unit)
          i += 5
          continue
        }
        guard let byte = plain[s[i]] else { throw Malformed() }
        flush()
        out.append(byte)
        i += 1
        continue
      }
      flush()
      out.append(s[i])
      i += 1
    }
  }
}

/// What the decoder should make of a message (JSON, no content type), by the rules written out.
func twin(_ bytes: [UInt8], limits: EventLimits = EventLimits()) -> Result {
  if bytes.count > limits.maxMessageBytes { return .rejected(.tooLarge) }
  if bytes.allSatisfy({ [32, 9, 10, 13].contains($0) }) { return .rejected(.empty) }
  if String(validating: bytes, as: UTF8.self) == nil { return .rejected(.invalidUTF8) }
  guard let tree = TreeReader.read(bytes) else { return .rejected(.malformedJSON) }
  guard case .object(let members) = tree else { return .rejected(.notAnObject) }

  var first: RejectReason?
  func fault(_ reason: RejectReason) { if first == nil { first = reason } }
  func name(_ key: [UInt8]?) -> String { key.map { String(decoding: $0, as: UTF8.self) } ?? "" }

  func identifier(_ value: Tree) -> [UInt8] {
    var id: [UInt8] = []
    switch value {
    case .null: return []
    case .string(let text, let isText):
      if !isText {
        fault(.invalidUTF8)
        return []
      }
      id = text
    case .number(let text):
      if text.contains(where: { ".eE".contains($0) }) {
        fault(.wrongTypeOfField)
        return []
      }
      id = Array((text == "-0" ? "0" : text).utf8)
    default:
      fault(.wrongTypeOfField)
      return []
    }
    if id.count > limits.maxIDBytes { fault(.idTooLong) }
    return id
  }

  /// nil: not whole. Beyond what is exact: Int64.max.
  func whole(_ text: String) -> Int64? {
    if let exact = Int64(text) { return exact }
    let value = Double(text)!
    if !(value.magnitude <= 0x1p53) { return Int64.max }
    return Int64(exactly: value)
  }

  func time(_ value: Tree) -> Int64? {
    switch value {
    case .null: return nil
    case .string(let text, let isText):
      if !isText {
        fault(.invalidUTF8)
        return 0
      }
      guard let ms = twinTime(text) else {
        fault(.timeInvalid)
        return 0
      }
      if ms < 0 || ms > 253_402_300_799_999 { fault(.timeOutOfRange) }
      return ms
    case .number(let text):
      guard let ms = whole(text) else {
        fault(.timeInvalid)
        return 0
      }
      if ms < 0 || ms > 253_402_300_799_999 { fault(.timeOutOfRange) }
      return ms
    default:
      fault(.wrongTypeOfField)
      return nil
    }
  }

  var event = Plain(type: .view, time: 0)
  var typeName: [UInt8]?
  var hasTime = false
  var isTimeGood = false
  var isTimeTwice = false
  var seen = Set<String>()
  for member in members {
    let key = name(member.key)
    let known = [
      "id", "type", "time", "user", "session", "order", "items", "currency", "recommendation", "value",
      "consent", "ordered",
    ]
    if member.key == nil || !known.contains(key) { continue }
    if !seen.insert(key).inserted {
      if key == "type" { return .rejected(.duplicateKey) }
      if key == "time" { isTimeTwice = true }
      fault(.duplicateKey)
      continue
    }
    let value = member.value
    switch key {
    case "type":
      switch value {
      case .null: break
      case .string(let text, let isText):
        if isText { typeName = text } else { typeName = Array("\u{0}lone surrogate".utf8) }
      default: fault(.wrongTypeOfField)
      }
    case "time":
      if let ms = time(value) {
        event.time = ms
        hasTime = true
        // Whatever else is wrong: does the time alone read as one?
        switch value {
        case .string(let text, let isText): isTimeGood = isText && twinTime(text) == ms
        default: isTimeGood = true
        }
        isTimeGood = isTimeGood && ms >= 0 && ms <= 253_402_300_799_999
        if case .number(let text) = value, whole(text) == nil { isTimeGood = false }
      }
    case "ordered": event.ordered = time(value)
    case "id": event.id = identifier(value)
    case "user": event.user = identifier(value)
    case "session": event.session = identifier(value)
    case "order": event.order = identifier(value)
    case "currency": event.currency = identifier(value)
    case "recommendation": event.recommendation = identifier(value)
    case "value":
      switch value {
      case .null: break
      case .number(let text):
        event.value = Double(text)! + 0
        if !event.value!.isFinite { fault(.valueInvalid) }
      default: fault(.wrongTypeOfField)
      }
    case "consent":
      switch value {
      case .null: break
      case .bool(let consent): event.consent = consent
      default: fault(.wrongTypeOfField)
      }
    default:  // items
      guard case .array(let values) = value else {
        if case .null = value { continue }
        fault(.wrongTypeOfField)
        continue
      }
      for (place, value) in values.enumerated() {
        guard case .object(let members) = value else {
          fault(.wrongTypeOfField)
          continue
        }
        if place >= limits.maxItems { continue }
        var item = Plain.Item(id: [])
        var hasID = false
        var seen = Set<String>()
        for member in members {
          let key = name(member.key)
          if member.key == nil || !["id", "quantity", "price"].contains(key) { continue }
          if !seen.insert(key).inserted {
            fault(.duplicateKey)
            continue
          }
          switch (key, member.value) {
          case (_, .null): break
          case ("id", let value):
            hasID = true
            item.id = identifier(value)
            if item.id.isEmpty { fault(.emptyID) }
          case ("quantity", .number(let text)):
            item.quantity = whole(text) ?? 0
            if item.quantity < 1 || item.quantity >= 1 << 53 { fault(.quantityInvalid) }
          case ("price", .number(let text)):
            item.price = Double(text)! + 0
            if !(item.price! >= 0 && item.price!.isFinite) { fault(.priceInvalid) }
          default: fault(.wrongTypeOfField)
          }
        }
        if !hasID { fault(.missingItemID) }
        event.items.append(item)
      }
      if values.count > limits.maxItems { fault(.tooManyItems) }
    }
  }

  if let typeName {
    guard let type = EventType.allCases.first(where: { Array($0.name.utf8) == typeName }) else {
      return .unknownType(typeName, time: isTimeGood && !isTimeTwice ? event.time : nil)
    }
    event.type = type
  }
  if let first { return .rejected(first) }
  if typeName == nil { return .rejected(.missingType) }
  if !hasTime { return .rejected(.missingTime) }
  if event.user.isEmpty && (event.type == .erase || (event.session.isEmpty && event.order.isEmpty)) {
    return .rejected(.missingUser)
  }
  if event.type != .erase && event.items.isEmpty { return .rejected(.missingItems) }
  return .event(event)
}

/// RFC 3339 by splitting, days by counting.
func twinTime(_ bytes: [UInt8]) -> Int64? {
  guard bytes.allSatisfy({ $0 < 128 }) else { return nil }
  let text = bytes.map { Character(Unicode.Scalar($0)) }
  guard text.count >= 20 else { return nil }
  func number(_ range: Range<Int>) -> Int64? {
    text[range].allSatisfy(\.isNumber) ? Int64(String(text[range])) : nil
  }
  guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
    let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
    text[4] == "-", text[7] == "-", "Tt ".contains(text[10]), text[13] == ":", text[16] == ":"
  else { return nil }
  var rest = text[19...]
  var millis: Int64 = 0
  if rest.first == "." {
    rest = rest.dropFirst()
    let digits = rest.prefix { $0.isNumber }
    if digits.isEmpty { return nil }
    millis = Int64(String((digits + ["0", "0", "0"]).prefix(3)))!
    rest = rest.dropFirst(digits.count)
  }
  var offset: Int64 = 0
  if String(rest).lowercased() != "z" {
    let r = Array(rest)
    guard r.count == 6, r[0] == "+" || r[0] == "-", r[3] == ":", r[1].isNumber, r[2].isNumber,
      r[4].isNumber, r[5].isNumber, let hours = Int64(String(r[1...2])),
      let minutes = Int64(String(r[4...5])), hours < 24, minutes < 60
    else { return nil }
    offset = (hours * 60 + minutes) * (r[0] == "-" ? -1 : 1)
  }
  func isLeap(_ y: Int64) -> Bool { (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 }
  func length(_ m: Int64) -> Int64 {
    [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][Int(m) - 1]
  }
  guard (1...12).contains(month), day >= 1, day <= length(month), hour < 24, minute < 60, second < 61
  else { return nil }
  var days: Int64 = 0
  if year >= 1970 {
    for y in 1970..<year { days += isLeap(y) ? 366 : 365 }
  } else {
    for y in year..<1970 { days -= isLeap(y) ? 366 : 365 }
  }
  for m in 1..<month { days += length(m) }
  days += day - 1
  let minutes = days * 1440 + hour * 60 + minute - offset
  if second == 60 && (minutes + 1_440_000_000) % 1440 != 1439 { return nil }
  return (minutes * 60 + second) * 1000 + millis
}
