// schemas/ against the decoder and the encoder: examples decode, what is written is valid, what the
// schema can express is refused by both. The validator is Python's; without it those tests say so.
import Events
import Glibc
import Sparse
import Testing

let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }

func contents(_ path: String) -> [UInt8]? {
  guard let file = fopen(path, "re") else { return nil }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var part = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let n = fread(&part, 1, part.count, file)
    if n == 0 { return bytes }
    bytes.append(contentsOf: part[..<n])
  }
}

func write(_ lines: [String], _ name: String) -> String {
  let path = "/tmp/affinity-schema-\(getpid())-\(name).jsonl"
  guard let file = fopen(path, "we") else { return path }
  defer { fclose(file) }
  for line in lines {
    let bytes = Array((line + "\n").utf8)
    fwrite(bytes, 1, bytes.count, file)
  }
  return path
}

/// The raw examples of a schema, as they are written there.
func examples(_ name: String) throws -> [[UInt8]] {
  let bytes = try #require(contents("\(root)/schemas/\(name).schema.json"))
  return try bytes.withUnsafeBytes { raw in
    let schema = try JSON(raw)
    guard case .object(let members) = schema, let member = members.first(where: { $0.key == "examples" }),
      let count = member.value.array?.count
    else { return [] }
    // Cut the array at the ends of its values, by reading ever longer pieces.
    var pieces: [[UInt8]] = []
    var start = member.range.lowerBound + 1
    while pieces.count < count {
      var end = start
      var depth = 0
      var inString = false
      repeat {
        let c = raw[end]
        if inString {
          if c == UInt8(ascii: "\\") { end += 1 } else if c == UInt8(ascii: "\"") { inString = false }
        } else if c == UInt8(ascii: "\"") {
          inString = true
        } else if c == UInt8(ascii: "{") || c == UInt8(ascii: "[") {
          depth += 1
        } else if c == UInt8(ascii: "}") || c == UInt8(ascii: "]") {
          depth -= 1
        }
        end += 1
      } while depth > 0 || inString || (raw[end] != UInt8(ascii: ",") && raw[end] != UInt8(ascii: "]"))
      pieces.append(Array(raw[start..<end]))
      start = end + 1
    }
    return pieces
  }
}

@Suite struct SchemaTests {
  static let hasValidator = system("/usr/bin/python3 -c 'import jsonschema' 2>/dev/null") == 0

  /// Exit status of the checker.
  func check(_ arguments: String) -> Int32 {
    system("/usr/bin/python3 '\(root)/scripts/check-schemas.py' \(arguments) >/dev/null") >> 8
  }

  @Test func examplesOfEventsAndCatalogueDecode() throws {
    let events = try examples("event")
    #expect(events.count >= 7)
    for bytes in events {
      if case .event = decode(bytes) {} else { Issue.record("\(String(decoding: bytes, as: UTF8.self)): \(decode(bytes))") }
      #expect(decode(bytes) == twin(bytes))
    }
    let entries = try examples("catalogue")
    #expect(entries.count >= 2)
    for bytes in entries {
      let key: [UInt8] = [65]
      let entry = key.withUnsafeBytes { key in bytes.withUnsafeBytes { CatalogueEntry.decode(key: key, value: $0) } }
      #expect(entry.entry?.title != nil)
    }
  }

  @Test func theListOfReasonsIsTheSchemas() throws {
    let bytes = try #require(contents("\(root)/schemas/dead-letter.schema.json"))
    let schema = try bytes.withUnsafeBytes { try JSON($0) }
    let listed = schema["properties"]?["reason"]?["enum"]?.array?.compactMap(\.string)
    #expect(listed == RejectReason.allCases.map(\.code))
    let event = try #require(contents("\(root)/schemas/event.schema.json"))
    let types = try event.withUnsafeBytes { try JSON($0) }["properties"]?["type"]?["enum"]?.array
    #expect(types?.compactMap(\.string) == EventType.allCases.map(\.name))
  }

  @Test func schemasAreSchemasAndTheirExamplesHold() {
    guard SchemaTests.hasValidator else {
      print("note: no python3-jsonschema, schemas not checked")
      return
    }
    #expect(check("--examples") == 0)
  }

  @Test func whatIsWrittenIsValidAndWhatIsRejectedIsNot() {
    guard SchemaTests.hasValidator else {
      print("note: no python3-jsonschema, schemas not checked")
      return
    }
    let seed = UInt64(environment("AFFINITY_SEED") ?? 15)
    print("schemas: seed \(seed)")
    var random = SplitMix(seed: seed)
    var writer = ByteWriter()
    var events: [String] = []
    var letters: [String] = []
    for i in 0..<400 {
      writer.removeAll()
      RoundTripTests.randomEvent(&random).append(to: &writer)
      events.append(writer.string)
      let letter = DeadLetter(
        topic: "shop.events", partition: 1, offset: Int64(i), timestamp: i % 2 == 0 ? -1 : 5,
        key: i % 3 == 0 ? nil : Array("k".utf8), value: i % 5 == 0 ? nil : Mutator.mutate(&random),
        headers: [MessageHeader(key: "h", value: i % 7 == 0 ? nil : [UInt8(i & 255)])],
        rejection: Rejection(reason: RejectReason.allCases[i % RejectReason.allCases.count], message: "why"))
      writer.removeAll()
      letter.append(to: &writer)
      letters.append(writer.string)
    }
    let eventSchema = "'\(root)/schemas/event.schema.json'"
    let letterSchema = "'\(root)/schemas/dead-letter.schema.json'"
    let good = write(events, "events")
    let dead = write(letters, "letters")
    #expect(check("\(eventSchema) \(good)") == 0)
    #expect(check("\(letterSchema) \(dead)") == 0)

    // Everything rejected that a schema can tell: not repeated keys, bytes of an id, or which days
    // a month has, nor that 1e3 is written as no integer.
    let silent: Set<RejectReason> = [.duplicateKey, .timeInvalid, .invalidUTF8, .valueInvalid, .timeOutOfRange]
    let refused = RejectionTests.cases.filter { text, reason in
      TreeReader.read(Array(text.utf8)) != nil && !silent.contains(reason) && !text.contains("e999") && !text.contains("1e3")
        && !(reason == .idTooLong && text.contains("0000000000"))
    }.map(\.0)
    #expect(refused.count > 50)
    let bad = write(refused, "rejected")
    #expect(check("--refuse \(eventSchema) \(bad)") == 0)
    #expect(check("--refuse \(eventSchema) \(good) 2>/dev/null") == 1, "the check itself can fail")
    #expect(check("\(eventSchema) \(bad) 2>/dev/null") == 1, "the check itself can fail")
    let nulls = write([#"{"key":"u-42","deleted":true}"#], "nulls")
    #expect(check("\(eventSchema) \(nulls)") == 0)
    for path in [good, dead, bad, nulls] { unlink(path) }
  }
}
