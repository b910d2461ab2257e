// One test and more for every reason, and the poison of a hostile topic.
import Events
import Glibc
import Sparse
import Testing

/// An event whose fields can be replaced or left out (nil) one at a time.
func event(_ changes: [(String, String?)] = []) -> String {
  var fields: [(String, String?)] = [
    ("type", "\"view\""), ("time", "5"), ("user", "\"u\""), ("items", #"[{"id":"i"}]"#),
  ]
  for change in changes {
    if let place = fields.firstIndex(where: { $0.0 == change.0 }) {
      fields[place] = change
    } else {
      fields.append(change)
    }
  }
  return "{" + fields.compactMap { f in f.1.map { "\"\(f.0)\":\($0)" } }.joined(separator: ",") + "}"
}

func event(item: String) -> String { event([("items", "[\(item)]")]) }

@Suite struct RejectionTests {
  static let long = String(repeating: "x", count: 1025)
  static let cases: [(String, RejectReason)] = [
    ("", .empty), ("   \n", .empty),
    (event() + "x", .malformedJSON), (event() + event(), .malformedJSON), (event() + "\u{0}", .malformedJSON),
    ("\u{feff}" + event(), .malformedJSON), (String(event().dropLast()), .malformedJSON),
    (#"{"type":"view""#, .malformedJSON), (#"{"type":"vi"#, .malformedJSON), ("{]", .malformedJSON),
    (#"{"a" 1}"#, .malformedJSON), (#"{"a":1,}"#, .malformedJSON), (#"{,}"#, .malformedJSON),
    (#"{'a':1}"#, .malformedJSON), (#"{a:1}"#, .malformedJSON), (#"{"a":01}"#, .malformedJSON),
    (#"{"a":1.}"#, .malformedJSON), (#"{"a":.5}"#, .malformedJSON), (#"{"a":+1}"#, .malformedJSON),
    (#"{"a":-}"#, .malformedJSON), (#"{"a":1e}"#, .malformedJSON), (#"{"a":0x10}"#, .malformedJSON),
    (#"{"a":nul}"#, .malformedJSON), (#"{"a":truex}"#, .malformedJSON), (#"{"a":True}"#, .malformedJSON),
    (#"{"a":"\x"}"#, .malformedJSON), (#"{"a":"\u12g4"}"#, .malformedJSON), ("{\"a\":\"\n\"}", .malformedJSON),
    (#"{"a":[1 2]}"#, .malformedJSON), (#"{"a":[1,]}"#, .malformedJSON), (#"{"a":[}"#, .malformedJSON),
    (event(item: #"{"id":"i","price":NaN}"#), .malformedJSON),
    (event([("value", "Infinity")]), .malformedJSON), (#"{"a":1/* */}"#, .malformedJSON),
    (String(repeating: "[", count: 10_000), .malformedJSON),
    (String(repeating: #"{"a":"#, count: 10_000), .malformedJSON), ("nan", .malformedJSON),
    ("[]", .notAnObject), ("null", .notAnObject), ("1", .notAnObject), ("\"text\"", .notAnObject),
    ("true", .notAnObject), ("[\(event())]", .notAnObject),
    (#"{"user":"u","user":"v"}"#, .duplicateKey), (#"{"type":"odd","type":"view"}"#, .duplicateKey),
    (#"{"user":"u","\u0075ser":"v"}"#, .duplicateKey), (event(item: #"{"id":"i","id":"j"}"#), .duplicateKey),
    ("{}", .missingType), (event([("type", nil)]), .missingType), (event([("type", "null")]), .missingType),
    (event([("time", nil)]), .missingTime), (event([("time", "null")]), .missingTime),
    (event([("user", nil)]), .missingUser), (event([("user", "null")]), .missingUser),
    (event([("user", "\"\"")]), .missingUser), (event([("user", "\"\""), ("session", "\"\"")]), .missingUser),
    (#"{"type":"erase","time":5,"session":"s"}"#, .missingUser),
    (event([("items", nil)]), .missingItems), (event([("items", "null")]), .missingItems),
    (event([("items", "[]")]), .missingItems),
    (event(item: "{}"), .missingItemID), (event(item: #"{"id":null}"#), .missingItemID),
    (event(item: #"{"price":1}"#), .missingItemID),
    (event([("type", "1")]), .wrongTypeOfField), (event([("type", "[\"view\"]")]), .wrongTypeOfField),
    (event([("type", "{}")]), .wrongTypeOfField), (event([("type", "true")]), .wrongTypeOfField),
    (event([("time", "true")]), .wrongTypeOfField), (event([("time", "[5]")]), .wrongTypeOfField),
    (event([("user", "1.5")]), .wrongTypeOfField), (event([("user", "1e3")]), .wrongTypeOfField),
    (event([("user", "{\"id\":\"u\"}")]), .wrongTypeOfField), (event([("user", "false")]), .wrongTypeOfField),
    (event([("session", "[]")]), .wrongTypeOfField), (event([("order", "{}")]), .wrongTypeOfField),
    (event([("id", "true")]), .wrongTypeOfField), (event([("currency", "{}")]), .wrongTypeOfField),
    (event([("recommendation", "[1]")]), .wrongTypeOfField), (event([("value", "\"5\"")]), .wrongTypeOfField),
    (event([("consent", "\"no\"")]), .wrongTypeOfField), (event([("consent", "0")]), .wrongTypeOfField),
    (event([("ordered", "{}")]), .wrongTypeOfField), (event([("items", "{\"id\":\"i\"}")]), .wrongTypeOfField),
    (event([("items", "\"i\"")]), .wrongTypeOfField), (event(item: "\"i\""), .wrongTypeOfField),
    (event(item: "null"), .wrongTypeOfField), (event(item: "[]"), .wrongTypeOfField),
    (event(item: #"{"id":{}}"#), .wrongTypeOfField), (event(item: #"{"id":"i","price":"1"}"#), .wrongTypeOfField),
    (event(item: #"{"id":"i","quantity":"1"}"#), .wrongTypeOfField),
    (event(item: #"{"id":""}"#), .emptyID),
    (event([("user", "\"\(long)\"")]), .idTooLong), (event([("session", "\"\(long)\"")]), .idTooLong),
    (event([("order", "1\(String(repeating: "0", count: 1024))")]), .idTooLong),
    (event(item: "{\"id\":\"\(long)\"}"), .idTooLong), (event([("id", "\"\(long)\"")]), .idTooLong),
    (event(item: Array(repeating: #"{"id":"i"}"#, count: 10_001).joined(separator: ",")), .tooManyItems),
    (event(item: #"{"id":"i","quantity":0}"#), .quantityInvalid),
    (event(item: #"{"id":"i","quantity":-1}"#), .quantityInvalid),
    (event(item: #"{"id":"i","quantity":1.5}"#), .quantityInvalid),
    (event(item: #"{"id":"i","quantity":1e999}"#), .quantityInvalid),
    (event(item: #"{"id":"i","quantity":9007199254740992}"#), .quantityInvalid),
    (event(item: #"{"id":"i","price":-0.01}"#), .priceInvalid),
    (event(item: #"{"id":"i","price":1e999}"#), .priceInvalid),
    (event(item: #"{"id":"i","price":-1e999}"#), .priceInvalid),
    (event([("value", "1e999")]), .valueInvalid), (event([("value", "-1e999")]), .valueInvalid),
    (event([("time", "\"\"")]), .timeInvalid), (event([("time", "\"5\"")]), .timeInvalid),
    (event([("time", "5.5")]), .timeInvalid), (event([("time", "\"2026-03-01\"")]), .timeInvalid),
    (event([("time", "\"2026-03-01T10:15:30\"")]), .timeInvalid),
    (event([("time", "\"2026-02-29T10:15:30Z\"")]), .timeInvalid),
    (event([("time", "\"2026-13-01T10:15:30Z\"")]), .timeInvalid),
    (event([("time", "\"2026-03-01T24:00:00Z\"")]), .timeInvalid),
    (event([("time", "\"2026-03-01T10:15:60Z\"")]), .timeInvalid),
    (event([("time", "\"2026-03-01T10:15:30.Z\"")]), .timeInvalid),
    (event([("time", "\"2026-03-01T10:15:30+0200\"")]), .timeInvalid),
    (event([("time", "\"2026-03-01T10:15:30+24:00\"")]), .timeInvalid),
    (event([("ordered", "\"yesterday\"")]), .timeInvalid),
    (event([("time", "-1")]), .timeOutOfRange), (event([("time", "253402300800000")]), .timeOutOfRange),
    (event([("time", "1e999")]), .timeOutOfRange), (event([("time", "99999999999999999999")]), .timeOutOfRange),
    (event([("time", "\"1969-12-31T23:59:59.999Z\"")]), .timeOutOfRange),
    (event([("time", "\"9999-12-31T23:59:59-00:01\"")]), .timeOutOfRange),
    (event([("time", "\"0000-01-01T00:00:00Z\"")]), .timeOutOfRange),
    (event([("ordered", "-1")]), .timeOutOfRange),
    (event([("user", #""\ud800""#)]), .invalidUTF8), (event(item: #"{"id":"\udc00x"}"#), .invalidUTF8),
  ]

  @Test func everyKindOfFaultHasItsReason() {
    for (text, reason) in RejectionTests.cases {
      #expect(decode(text) == .rejected(reason), "\(text.prefix(120))")
      #expect(twin(Array(text.utf8)) == .rejected(reason), "twin: \(text.prefix(120))")
    }
  }

  @Test func everyReasonIsTested() {
    var tested = Set(RejectionTests.cases.map(\.1))
    // Those below, in bytes, by size, by content type, by the clock, in CatalogueTests, and CrashLogTests.
    tested.formUnion([
      .tooLarge, .unsupportedContentType, .cloudEventsBatch, .missingData, .invalidBase64, .future, .missingKey, .crash,
    ])
    #expect(tested == Set(RejectReason.allCases))
    #expect(Set(RejectReason.allCases.map(\.code)).count == RejectReason.allCases.count)
    for reason in RejectReason.allCases { #expect(RejectReason(code: reason.code) == reason) }
  }

  @Test func bytesThatAreNotUTF8() {
    let text = Array(event([("note", "\"?\"")]).utf8)
    for bad: [UInt8] in [
      [0xff], [0xc0, 0x80], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80],
      [0xf8, 0x88, 0x80, 0x80, 0x80],
    ] {
      var bytes = text
      let at = bytes.firstIndex(of: UInt8(ascii: "?"))!
      bytes.replaceSubrange(at...at, with: bad)
      #expect(decode(bytes) == .rejected(.invalidUTF8))
    }
    #expect(decode([0xfe, 0xff, 0, 0x7b]) == .rejected(.invalidUTF8))
  }

  @Test func messagesBeyondTheBoundAreNotRead() {
    let limits = EventLimits(maxMessageBytes: event().utf8.count)
    #expect(decode(event(), limits: limits) == decode(event()))
    #expect(decode(event() + " ", limits: limits) == .rejected(.tooLarge))
    let lines = Array((event() + "\n" + event() + " \n" + String(repeating: " ", count: 100_000) + "\n").utf8)
    let batch = EventBatch(limits: limits)
    lines.withUnsafeBytes {
      #expect(batch.decodeLines($0, budget: $0.count, isLast: false) == $0.count)
    }
    #expect(batch.count == 3)
    #expect(Result(batch[0]) == decode(event()))
    #expect(Result(batch[1]) == .rejected(.tooLarge))
    #expect(Result(batch[2]) == .rejected(.tooLarge))
  }

  @Test func boundsAreInclusive() {
    let id = String(repeating: "x", count: 1024)
    guard case .event(let long) = decode(event([("user", "\"\(id)\"")])) else {
      Issue.record("1024 bytes are allowed")
      return
    }
    #expect(long.user == Array(id.utf8))
    let items = Array(repeating: #"{"id":"i"}"#, count: 10_000).joined(separator: ",")
    guard case .event(let many) = decode(event(item: items)) else {
      Issue.record("10,000 items are allowed")
      return
    }
    #expect(many.items.count == 10_000)
    let two = EventLimits(maxItems: 2)
    #expect(decode(event(item: #"{"id":1},{"id":2},{"id":3}"#), limits: two) == .rejected(.tooManyItems))
  }

  @Test func anUnknownTypeComesBeforeOtherFaults() {
    let odd = Result.unknownType(Array("odd".utf8))
    #expect(decode(#"{"type":"odd"}"#) == odd)
    #expect(decode(#"{"time":"never","items":[[]],"user":{},"type":"odd"}"#) == odd)
    #expect(decode(#"{"user":"a","user":"b","type":"\u006fdd"}"#) == odd)
    #expect(decode(#"{"type":""}"#) == .unknownType([]))
    #expect(decode(#"{"type":"View"}"#) == .unknownType(Array("View".utf8)))
    #expect(decode(#"{"type":"view\u0000"}"#) == .unknownType(Array("view\u{0}".utf8)))
    #expect(decode(#"{"type":"odd""#) == .rejected(.malformedJSON))
  }

  /// Stream time needs the time of what is otherwise passed over, if there is one.
  @Test func anUnknownTypeKeepsItsTime() {
    func time(_ rest: String) -> Int64? {
      guard case .unknownType(_, let time) = decode(#"{"type":"odd""# + rest + "}") else {
        Issue.record("\(rest)")
        return nil
      }
      return time
    }
    #expect(time("") == nil)
    #expect(time(#","time":5"#) == 5)
    #expect(time(#","time":0"#) == 0)
    #expect(time(#","user":{},"items":3,"time":"2026-03-01T10:15:30.123Z""#) == 1_772_360_130_123)
    for bad in ["null", "-1", "1.5", "\"never\"", "true", "253402300800000", "[]", "1e300"] {
      #expect(time(#","time":"# + bad) == nil, "\(bad)")
    }
    #expect(time(#","time":5,"time":5"#) == nil, "given twice")
    let batch = EventBatch()
    let lines = Array(#"{"type":"odd","time":7}"#.utf8) + [10] + Array(event().utf8) + [10, 91, 93, 10]
    lines.withUnsafeBytes { _ = batch.decodeLines($0, budget: $0.count, isLast: true) }
    #expect((0..<3).map { batch.time(at: $0) == nil } == [false, false, true])
    #expect(batch.time(at: 0) == 7 && batch.time(at: 1) == batch.event(at: 1)?.time)
  }

  @Test func unknownFieldsAreIgnoredWhateverTheyHold() {
    let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
    let pairs = String(repeating: #"{"a":"#, count: 5000) + "1" + String(repeating: "}", count: 5000)
    let huge = "\"" + String(repeating: "x", count: 1 << 20) + "\""
    let wide = "[" + Array(repeating: "1", count: 1_000_000).joined(separator: ",") + "]"
    for value in [deep, pairs, huge, wide, "1e999", #""\ud800""#, #"{"type":"odd","type":2}"#] {
      #expect(decode(event([("note", value)])) == decode(event()), "\(value.prefix(20))")
      #expect(decode(event(item: "{\"id\":\"i\",\"note\":\(value)}")) == decode(event()), "\(value.prefix(20))")
    }
    // Names that are nearly ours.
    for key in [#"type\u0000"#, "Type", "types", "typ", #"\ud800"#, "", "recommendations", "item"] {
      #expect(decode(event([(key, "[1]")])) == decode(event()), "\(key)")
    }
  }

  @Test func contentTypes() {
    let plain = decode(event())
    for type in [
      "application/json", "Application/JSON; charset=UTF-8", "text/json", "application/vnd.shop+json",
      " application/json ;charset=\"utf-8\"", "", "application/json; charset=us-ascii",
    ] {
      #expect(decode(event(), contentType: type) == plain, "\(type)")
    }
    for type in [
      "text/plain", "application/x-protobuf", "application/json; charset=iso-8859-1", "application/cloudevents",
      "application/cloudevents+avro", "json", String(repeating: "x", count: 5000), "\u{0}",
    ] {
      #expect(decode(event(), contentType: type) == .rejected(.unsupportedContentType), "\(type.prefix(40))")
    }
    for type in ["application/cloudevents-batch+json", "Application/CloudEvents-Batch+JSON; charset=UTF-8"] {
      #expect(decode("[]", contentType: type) == .rejected(.cloudEventsBatch))
    }
  }

  @Test func cloudEventsInStructuredMode() {
    let type = "application/cloudevents+json; charset=UTF-8"
    func envelope(_ rest: String) -> String {
      #"{"specversion":"1.0","type":"com.shop.view","source":"/shop","id":"A-1","time":"2026-01-01T00:00:00Z""# + rest + "}"
    }
    let plain = decode(event())
    #expect(decode(envelope(",\"data\":\(event())"), contentType: type) == plain)
    #expect(
      decode(envelope(",\"data\":\(event()),\"datacontenttype\":\"application/json\""), contentType: type) == plain)
    var writer = ByteWriter()
    Array(event().utf8).withUnsafeBytes { writer.append(base64: $0) }
    #expect(decode(envelope(",\"data_base64\":\"\(writer.string)\""), contentType: type) == plain)
    #expect(decode(envelope(",\"data_base64\":\"\(writer.string)\",\"data\":null"), contentType: type) == plain)
    #expect(decode(envelope(""), contentType: type) == .rejected(.missingData))
    #expect(decode(envelope(",\"data\":null"), contentType: type) == .rejected(.missingData))
    #expect(decode(envelope(",\"data\":[1]"), contentType: type) == .rejected(.notAnObject))
    #expect(decode(envelope(",\"data\":{}"), contentType: type) == .rejected(.missingType))
    #expect(
      decode(envelope(",\"data\":{\"type\":\"odd\"}"), contentType: type) == .unknownType(Array("odd".utf8)))
    #expect(decode(envelope(",\"data_base64\":\"e30\""), contentType: type) == .rejected(.invalidBase64))
    #expect(decode(envelope(",\"data_base64\":\"e30*\""), contentType: type) == .rejected(.invalidBase64))
    #expect(decode(envelope(",\"data_base64\":\"e30=\""), contentType: type) == .rejected(.missingType))
    #expect(decode(envelope(",\"data_base64\":\"/w==\""), contentType: type) == .rejected(.invalidUTF8))
    #expect(decode(envelope(",\"data_base64\":\"\""), contentType: type) == .rejected(.empty))
    #expect(decode(envelope(",\"data_base64\":3"), contentType: type) == .rejected(.wrongTypeOfField))
    #expect(
      decode(envelope(",\"data\":\(event()),\"data\":{}"), contentType: type) == .rejected(.duplicateKey))
    #expect(
      decode(envelope(",\"data\":\(event()),\"datacontenttype\":\"text/xml\""), contentType: type)
        == .rejected(.unsupportedContentType))
    #expect(decode(envelope(",\"data\":\(event())") + "}", contentType: type) == .rejected(.malformedJSON))
    #expect(decode("[]", contentType: type) == .rejected(.notAnObject))
    #expect(decode("", contentType: type) == .rejected(.empty))
  }

  @Test func nullValuesAreErasures() {
    let batch = EventBatch()
    #expect(Result(batch.decode(value: .absent)) == .erasure)
    func erasure(_ key: [UInt8]) -> Result {
      key.withUnsafeBytes { Result(batch.decode(value: .absent, key: $0)) }
    }
    #expect(erasure(Array("u".utf8)) == .erasure)
    #expect(erasure([]) == .rejected(.missingUser))
    #expect(erasure([0xff]) == .rejected(.invalidUTF8))
    #expect(erasure(Array(repeating: 65, count: 1025)) == .rejected(.idTooLong))
    [UInt8]("u".utf8).withUnsafeBytes {
      #expect(Result(batch.decode(value: .absent, key: $0, contentType: $0)) == .erasure)
    }
  }

  @Test("fault 13: times beyond the record's are future")
  func timesBeyondTheRecordsAreFuture() {
    let batch = EventBatch()
    func isFuture(_ text: String, _ timestamp: Int64, _ tolerance: Int64) -> Bool? {
      Array(text.utf8).withUnsafeBytes {
        guard case .event(let event) = batch.decode(value: $0) else { return nil }
        let late = event.isFuture(recordTimestamp: timestamp, tolerance: tolerance)
        if late {
          let r = Rejection.future(event, recordTimestamp: timestamp, tolerance: tolerance)
          #expect(r.reason == .future && r.message.contains("\(timestamp)"))
        }
        return late
      }
    }
    #expect(isFuture(event([("time", "1000")]), 900, 100) == false)
    #expect(isFuture(event([("time", "1001")]), 900, 100) == true)
    #expect(isFuture(event([("time", "1001")]), -1, 100) == false)
    #expect(isFuture(event([("time", "1001")]), Int64.max, 100) == false)
    #expect(isFuture(event([("time", "1000"), ("ordered", "1001")]), 900, 100) == true)
    #expect(isFuture(event([("time", "7258118400000")]), 1_772_360_130_123, 300_000) == true)
  }

  @Test func messagesNamePlaceValueAndBound() {
    func message(_ text: String, _ limits: EventLimits = EventLimits()) -> String {
      rejection(text, limits: limits)?.message ?? "accepted"
    }
    #expect(
      message(event(item: #"{"id":"a"},{"id":"secret","price":-4.00}"#))
        == "items[1].price -4.00 at byte 78: must be at least 0 and within a double's range; event rejected")
    #expect(
      message(event([("time", "\"2026-02-30T00:00:00Z\"")]))
        == "time \"2026-02-30T00:00:00Z\" at byte 22: must be RFC 3339 such as 2026-03-01T10:15:30.123Z, or integer milliseconds since 1970; event rejected")
    #expect(
      message(event(item: #"{"id":1},{"id":2},{"id":3}"#), EventLimits(maxItems: 2))
        == "items at byte 43: 3, at most 2 (events.max_items); event rejected")
    #expect(
      message(event([("user", "\"\(RejectionTests.long)\"")]))
        == "user at byte 31: 1025 bytes, at most 1024; event rejected")
    // What was rejected may be logged, so it never shows who it was about.
    for (text, _) in RejectionTests.cases { #expect(!message(text).contains("xxxx")) }
  }
}

@Suite struct PoisonTests {
  /// KAFKA §2 row 8 and its kin: each with what must come of it.
  static let kinds: [(String, [UInt8], RejectReason?)] = {
    func text(_ name: String, _ text: String, _ reason: RejectReason?) -> (String, [UInt8], RejectReason?) {
      (name, Array(text.utf8), reason)
    }
    return [
      text("empty value", "", .empty), text("bad UTF-8 tail", event() + " ", nil),
      ("bad UTF-8", Array(event().utf8) + [0xff], .invalidUTF8),
      ("UTF-16", Array(event().utf16).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }, .malformedJSON),
      text("truncated", String(event().dropLast(9)), .malformedJSON),
      text("10,000 levels, open", String(repeating: "[", count: 10_000), .malformedJSON),
      text("10,000 levels", String(repeating: "[", count: 10_000) + String(repeating: "]", count: 10_000), .notAnObject),
      text("duplicate keys", #"{"type":"view","type":"view"}"#, .duplicateKey),
      text("1e999", event(item: #"{"id":"i","price":1e999}"#), .priceInvalid),
      text("quantity -1", event(item: #"{"id":"i","quantity":-1}"#), .quantityInvalid),
      text("NaN", event(item: #"{"id":"i","price":NaN}"#), .malformedJSON),
      text("wrong type", event([("user", "[\"u\"]")]), .wrongTypeOfField),
      text("no time", event([("time", nil)]), .missingTime),
      text("no items", event([("items", nil)]), .missingItems),
      text("empty object", "{}", .missingType),
      ("schema registry magic", [0, 0, 0, 0, 42] + Array(event().utf8), .malformedJSON),
      ("protobuf varint", [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], .invalidUTF8),
      text("1 MB string", event([("user", "\"" + String(repeating: "x", count: 1 << 20) + "\"")]), .idTooLong),
      text("10^6 items", event(item: Array(repeating: #"{"id":1}"#, count: 1_000_000).joined(separator: ",")), .tooManyItems),
      text("10^6 numbers as items", event(item: Array(repeating: "1", count: 1_000_000).joined(separator: ",")), .wrongTypeOfField),
      text("time 0", event([("time", "0")]), nil), text("time -1", event([("time", "-1")]), .timeOutOfRange),
      text("time in 2200", event([("time", "\"2200-01-01T00:00:00Z\"")]), nil),
      text("byte order mark", "\u{feff}" + event(), .malformedJSON),
      ("gzip", [0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x56, 0x2a], .invalidUTF8),
      ("NUL bytes", Array(repeating: 0, count: 512), .malformedJSON),
      text("a script", "<script>alert(1)</script>", .malformedJSON), text("CSV", "u-1,i-2,view,5", .malformedJSON),
      text("YAML", "type: view\ntime: 5\n", .malformedJSON),
      text("number", "12345", .notAnObject), text("quoted event", "\"{\\\"type\\\":\\\"view\\\"}\"", .notAnObject),
      text("backslashes", String(repeating: "\\", count: 4097), .malformedJSON),
      text("quotes", String(repeating: "\"", count: 4097), .malformedJSON),
      text("2^64 as quantity", event(item: #"{"id":"i","quantity":18446744073709551616}"#), .quantityInvalid),
      text("long number", event(item: "{\"id\":\"i\",\"price\":0." + String(repeating: "3", count: 100_000) + "}"), nil),
      text("17 MB", "{\"a\":\"" + String(repeating: "x", count: 17 << 20) + "\"}", .tooLarge),
    ]
  }()

  @Test func everyKindEndsAsItShould() {
    #expect(PoisonTests.kinds.count >= 25)
    for (name, bytes, reason) in PoisonTests.kinds {
      let result = decode(bytes)
      if let reason {
        #expect(result == .rejected(reason), "\(name)")
      } else if case .event = result {
      } else {
        Issue.record("\(name): \(result)")
      }
    }
  }

  @Test func poisonAmongGoodEventsLeavesThemAndMemoryAlone() {
    let good = Array(example.utf8)
    let batch = EventBatch()
    var accepted = 0
    var peak = 0
    for round in 0..<10 {
      batch.reset()
      for (_, bytes, reason) in PoisonTests.kinds {
        bytes.withUnsafeBytes { batch.append(value: $0) }
        if reason == nil { accepted -= 1 }
        good.withUnsafeBytes { batch.append(value: $0) }
      }
      for i in 0..<batch.count where batch.event(at: i) != nil { accepted += 1 }
      if round == 0 { peak = batch.bytes }
      #expect(batch.bytes <= peak)
    }
    #expect(accepted == 10 * PoisonTests.kinds.count)
    batch.reset()
    #expect(batch.bytes < 64 << 20, "large messages give their memory back")
  }
}
