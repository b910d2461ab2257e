// Mutated events: the decoder and its twin must agree on what is accepted, on every value of it, and
// on the reason where it is not. AFFINITY_SEED repeats a run, AFFINITY_FUZZ sets the rounds.
import Events
import Glibc
import Sparse
import Testing

func environment(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }

enum Mutator {
  static let seeds: [String] = [
    example,
    #"{"type":"view","time":1772360130123,"user":"u","items":[{"id":"a"},{"id":"b","price":0.1},{"id":"c","quantity":3}]}"#,
    #"{"type":"refund","time":"2026-03-01t10:15:30+02:00","ordered":"2026-02-28T23:59:60Z","user":7,"order":-0,"items":[{"id":12,"quantity":2.0,"price":1e-3}]}"#,
    #"{"type":"rating","time":0,"session":"s","value":-4.5e0,"consent":false,"items":[{"id":"\u00e9\ud83d\ude00\n","x":{"y":[1,[2,{"z":null}],"\\\"",true]}}]}"#,
    #"{"x":[[[[[]]]],{},{"a":{}}],"type":"erase","time":"1970-01-01T00:00:00.000Z","user":"ü\u0000","items":null,"note":"\ud800"}"#,
    #"{ "type" : "click" , "time" : "9999-12-31T23:59:59.9999Z" , "order" : "o" , "recommendation" : "r-1" , "items" : [ { "id" : "i" , "price" : 179769313486231570000e288 , "quantity" : 9007199254740991 } ] }"#,
    #"{"type":"odd","time":"never","items":3}"#,
    #"{"\u0074ype":"like","time":1e12,"user":null,"session":"","order":1234567890123456789012345678901234567890,"items":[{"id":"i"}]}"#,
  ]
  static let tokens: [String] = [
    "\"", "\\", "{", "}", "[", "]", ":", ",", "null", "true", "false", "-", "0", "1e999", "-1", "1.5", "1e3",
    "\"\"", "\\u0000", "\\ud800", "\\udc00", "\\u00e9", "\u{feff}", "é", "\n", " ", "\t", "\r", "\u{0}",
    "\"type\":", "\"time\":", "\"user\":", "\"id\":", "\"items\":", "\"price\":", "\"quantity\":",
    "\"type\":\"view\",", "\"items\":[{\"id\":\"i\"}],", "9223372036854775807", "18446744073709551616",
    "0.1", "1E+2", "\"2026-02-29T00:00:00Z\"", "\"2024-02-29T00:00:00-00:00\"", "NaN", "Infinity", "/*", "'",
  ]

  static let values: [String] = [
    "null", "true", "false", "\"\"", "\"x\"", "0", "-0", "-1", "1", "1.5", "2.0", "1e3", "1e999", "-1e999", "1e-999", "[]", "{}",
    "[1]", "[{}]", "[null]", "[{\"id\":1},{\"id\":null}]", "{\"id\":1}", "\"view\"", "\"erase\"", "\"\\ud800\"",
    "\"2026-03-01T10:15:30Z\"", "\"2026-02-29T10:15:30Z\"", "\"0001-01-01T00:00:00Z\"", "9007199254740993",
    "123456789012345678901234567890", "\"\(String(repeating: "y", count: 1025))\"",
  ]
  static let names: [String] = [
    "id", "type", "time", "user", "session", "order", "items", "currency", "recommendation", "value", "consent",
    "ordered", "price", "quantity", "x",
  ]

  static func mutate(_ random: inout SplitMix) -> [UInt8] {
    var bytes = Array(seeds[random.below(seeds.count)].utf8)
    for _ in 0..<1 + random.below(2) {
      let n = bytes.count
      if n == 0 { break }
      let at = random.below(n)
      let end = min(n, at + 1 + random.below(12))
      switch random.below(16) {
      case 0: bytes[at] ^= 1 << UInt8(random.below(8))
      case 1: bytes[at] = UInt8(random.below(256))
      case 2: bytes.removeSubrange(at..<end)
      case 3: bytes.insert(contentsOf: Array(tokens[random.below(tokens.count)].utf8), at: at)
      case 4: bytes.replaceSubrange(at..<end, with: Array(tokens[random.below(tokens.count)].utf8))
      case 5: bytes.insert(contentsOf: bytes[at..<end], at: random.below(n + 1))
      case 6: bytes.removeLast(random.below(n))
      case 7:
        let other = Array(seeds[random.below(seeds.count)].utf8)
        bytes = Array(bytes[..<at]) + other[random.below(other.count)...]
      case 8...11:
        // A value for a value, so that the text stays JSON and the rules are reached.
        let colons = bytes.indices.filter { bytes[$0] == UInt8(ascii: ":") }
        if colons.isEmpty { break }
        let start = colons[random.below(colons.count)] + 1
        let end = bytes[start...].firstIndex { $0 == 0x2c || $0 == 0x7d || $0 == 0x5d } ?? n
        bytes.replaceSubrange(start..<end, with: Array(values[random.below(values.count)].utf8))
      case 12, 13:
        // A name for a name.
        let name = names[random.below(names.count)]
        let other = names[random.below(names.count)]
        if let range = bytes.firstRange(of: Array("\"\(name)\":".utf8)) {
          bytes.replaceSubrange(range, with: Array("\"\(other)\":".utf8))
        }
      default:
        // A digit for another: numbers and times that stay numbers and times.
        if let digit = bytes[at...].firstIndex(where: { (48...57).contains($0) }) {
          bytes[digit] = UInt8(48 + random.below(10))
        }
      }
    }
    return bytes
  }
}

@Suite struct FuzzTests {
  @Test func mutatedEventsReadAsTheTwinReadsThem() {
    let seed = environment("AFFINITY_SEED") ?? 20_260_301
    let rounds = environment("AFFINITY_FUZZ") ?? 60_000
    print("fuzz: seed \(seed), \(rounds) rounds")
    var random = SplitMix(seed: UInt64(bitPattern: Int64(seed)))
    var kinds: [String: Int] = [:]
    var failures = 0
    var pile: [[UInt8]] = []
    let limits = EventLimits(maxItems: 3)
    let batch = EventBatch(limits: limits)
    let single = EventBatch(limits: limits)
    for round in 0..<rounds {
      let bytes = Mutator.mutate(&random)
      let got = decode(bytes, into: single)
      let want = same(twin(bytes, limits: limits))
      switch got {
      case .event: kinds["event", default: 0] += 1
      case .unknownType: kinds["unknown type", default: 0] += 1
      case .erasure: kinds["erasure", default: 0] += 1
      case .rejected(let reason): kinds[reason.code, default: 0] += 1
      }
      if same(got) != want {
        failures += 1
        if failures < 10 {
          Issue.record(
            "seed \(seed) round \(round): \(got), twin \(want): \(String(decoding: bytes, as: UTF8.self))")
        }
      }
      if !bytes.contains(10) { pile.append(bytes) }
      if pile.count == 64 {
        checkLines(pile, batch, single, "seed \(seed) to round \(round)")
        pile = []
      }
    }
    print("fuzz: \(kinds.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))")
    #expect(failures == 0)
    #expect(kinds.count >= 17, "the mutations reach most reasons")
  }

  /// Messages decoded together read as each does alone: good ones among poison, with newlines, envelopes and
  /// values beyond a window in between. Few at a time, so that most windows are indexed as a whole.
  @Test func messagesTogetherReadAsAlone() {
    let seed = environment("AFFINITY_SEED") ?? 20_261_124
    let rounds = (environment("AFFINITY_FUZZ") ?? 60_000) / 12
    print("together: seed \(seed), \(rounds) rounds")
    var random = SplitMix(seed: UInt64(bitPattern: Int64(seed)))
    let limits = EventLimits(maxItems: 3, maxMessageBytes: 60_000)
    let batch = EventBatch(limits: limits)
    let single = EventBatch(limits: limits)
    let envelope = Array("application/cloudevents+json".utf8)
    var failures = 0
    for round in 0..<rounds {
      var messages: [(bytes: [UInt8], isEnvelope: Bool)] = []
      let calm = random.below(2) == 0
      for _ in 0..<1 + random.below(12) {
        var bytes =
          calm ? Array(Mutator.seeds[random.below(Mutator.seeds.count)].utf8) : Mutator.mutate(&random)
        switch random.below(24) {
        case 0: bytes.insert(10, at: random.below(bytes.count + 1))
        case 1: bytes = []
        case 2: bytes = Array(repeating: 32, count: random.below(70_000))
        case 3: bytes += Array(repeating: 10, count: random.below(40_000))
        case 4:
          // Nearly a window full, so that the next one begins another.
          bytes += Array(repeating: 32, count: max(0, 32_700 + random.below(80) - bytes.count))
        default: break
        }
        messages.append((bytes, random.below(12) == 0))
      }
      batch.reset()
      for (bytes, isEnvelope) in messages {
        bytes.withUnsafeBytes { value in
          let value =
            value.baseAddress == nil
            ? UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: 1), count: 0) : value
          envelope.withUnsafeBytes { batch.add(value: value, contentType: isEnvelope ? $0 : nil) }
        }
        if random.below(6) == 0 { batch.settle() }
      }
      batch.settle()
      #expect(batch.count == messages.count)
      for (i, message) in messages.enumerated() where i < batch.count {
        let got = Result(batch[i])
        let alone = decode(
          message.bytes, contentType: message.isEnvelope ? "application/cloudevents+json" : nil,
          into: single)
        if got != alone || sentence(batch[i]) != sentence(single[0]) {
          failures += 1
          if failures < 10 {
            Issue.record(
              "seed \(seed) round \(round): together \(got), alone \(alone): \(String(decoding: message.bytes.prefix(300), as: UTF8.self))"
            )
          }
        }
      }
    }
    #expect(failures == 0)
  }

  /// What a rejection says, with the place and the excerpt.
  func sentence(_ decoded: Decoded) -> String {
    if case .rejected(let rejection) = decoded { rejection.message } else { "" }
  }

  /// A type with a lone surrogate is unknown, whatever its bytes are made to be.
  func same(_ result: Result) -> Result {
    if case .unknownType(let name, let time) = result, name.first == 0 || name.contains(UInt8(ascii: "?")) {
      return .unknownType([], time: time)
    }
    return result
  }

  /// A window of lines reads as its lines do.
  func checkLines(_ pile: [[UInt8]], _ batch: EventBatch, _ single: EventBatch, _ where: String) {
    let region = Array(pile.joined(separator: [10])) + [10]
    batch.reset()
    region.withUnsafeBytes {
      #expect(batch.decodeLines($0, budget: $0.count, isLast: false) == $0.count)
    }
    #expect(batch.count == pile.count)
    for i in 0..<min(batch.count, pile.count) {
      let got = Result(batch[i])
      let alone = decode(pile[i], into: single)
      if got != alone {
        Issue.record(
          "\(`where`): as a line \(got), alone \(alone): \(String(decoding: pile[i], as: UTF8.self))")
      }
    }
  }
}
