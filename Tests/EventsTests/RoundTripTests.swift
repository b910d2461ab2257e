// Decode after encode is identity; times against Foundation-free arithmetic of the twin.
import Events
import Glibc
import Sparse
import Testing

@Suite struct RoundTripTests {
  static func randomText(_ random: inout SplitMix) -> String {
    let alphabet: [Unicode.Scalar] = Array(
      "ab-_/ \"\\\u{0}\n\t\u{1f}\u{7f}é߿€\u{ffff}😀\u{10ffff}".unicodeScalars)
    var text = ""
    for _ in 0..<1 + random.below(20) { text.unicodeScalars.append(alphabet[random.below(alphabet.count)]) }
    return text
  }

  static func randomEvent(_ random: inout SplitMix) -> Event {
    let types = EventType.allCases
    var event = Event(
      type: types[random.below(types.count)], time: Int64(random.below(253_402_300_800_000)),
      user: randomText(&random))
    if random.below(2) == 0 { event.id = randomText(&random) }
    if random.below(2) == 0 { event.session = randomText(&random) }
    if random.below(2) == 0 { event.order = randomText(&random) }
    if random.below(4) == 0 { event.currency = "EUR" }
    if random.below(4) == 0 { event.recommendation = randomText(&random) }
    if random.below(4) == 0 { event.value = randomNumber(&random) * (random.below(2) == 0 ? 1 : -1) }
    if random.below(4) == 0 { event.ordered = Int64(random.below(253_402_300_800_000)) }
    event.consent = random.below(4) != 0
    for _ in 0..<(event.type == .erase ? random.below(2) : 1 + random.below(5)) {
      event.items.append(
        Event.Item(
          id: randomText(&random),
          quantity: random.below(2) == 0 ? 1 : Int64(1 + random.below(1 << 53 - 1)),
          price: random.below(2) == 0 ? nil : randomNumber(&random)))
    }
    return event
  }

  /// Any finite double that is not negative.
  static func randomNumber(_ random: inout SplitMix) -> Double {
    switch random.below(4) {
    case 0: return Double(random.below(100_000)) / 100
    case 1: return Double(random.below(1 << 60))
    case 2: return 0
    default:
      let value = Double(bitPattern: random.next() & 0x7fff_ffff_ffff_ffff)
      return value.isFinite ? value : 0
    }
  }

  @Test func decodeAfterEncodeIsIdentity() {
    let seed = UInt64(environment("AFFINITY_SEED") ?? 11)
    print("round trip: seed \(seed)")
    var random = SplitMix(seed: seed)
    let batch = EventBatch()
    var writer = ByteWriter()
    var again = ByteWriter()
    for round in 0..<20_000 {
      let event = RoundTripTests.randomEvent(&random)
      writer.removeAll()
      event.append(to: &writer)
      batch.reset()
      guard case .event(let view) = batch.decode(value: writer.bytes) else {
        Issue.record("seed \(seed) round \(round): \(writer.string)")
        continue
      }
      let back = Event(view)
      if back != event { Issue.record("seed \(seed) round \(round): \(back) is not \(event)") }
      again.removeAll()
      appendEvent(to: &again, view)
      if again.string != writer.string { Issue.record("seed \(seed) round \(round): two forms") }
    }
  }

  @Test func numbersReadAsSwiftReadsThem() {
    let seed = UInt64(environment("AFFINITY_SEED") ?? 12)
    print("numbers: seed \(seed)")
    var random = SplitMix(seed: seed)
    var texts = [
      "0.1", "1e-999", "4.9e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "1.7976931348623157e308",
      "1.7976931348623158e308", "9007199254740993", "9007199254740992.5", "0.000000000000000000000000000001e30",
      "123456789012345678901234567890", "1e22", "1e23", "0e999999999999", "0.0000000000000000000000000000000000",
      "100000000000000000000000000000000000000000e-41", "8.41e21", "2.2250738585072011e-308",
    ]
    for _ in 0..<30_000 {
      var text = String(random.next() >> UInt64(random.below(64)))
      if random.below(2) == 0 { text += "." + String(random.next() >> UInt64(random.below(64))) }
      if random.below(2) == 0 { text += "e\(random.below(2) == 0 ? "-" : "+")\(random.below(340))" }
      texts.append(text)
    }
    for text in texts {
      guard let want = Double(text) else { continue }
      let got = decode(event([("value", text)]))
      if want.isFinite {
        guard case .event(let e) = got, e.value?.bitPattern == want.bitPattern else {
          Issue.record("\(text): \(got)")
          continue
        }
      } else {
        #expect(got == .rejected(.valueInvalid), "\(text)")
      }
    }
  }

  @Test func timesReadAndWrite() {
    let known: [(String, Int64)] = [
      ("1970-01-01T00:00:00.000Z", 0), ("2026-03-01T10:15:30.123Z", 1_772_360_130_123),
      ("2000-02-29T23:59:59.999Z", 951_868_799_999), ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
      ("2100-03-01T00:00:00.000Z", 4_107_542_400_000),
    ]
    for (text, ms) in known {
      #expect(EventTime.parse(text) == ms)
      #expect(EventTime.string(ms) == text)
    }
    for (text, ms): (String, Int64) in [
      ("2026-03-01t10:15:30z", 1_772_360_130_000), ("2026-03-01 10:15:30Z", 1_772_360_130_000),
      ("2026-03-01T10:15:30.1239999999999999999999Z", 1_772_360_130_123), ("2026-03-01T10:15:30.5+02:00", 1_772_352_930_500),
      ("2026-03-01T10:15:30-23:59", 1_772_446_470_000), ("2016-12-31T23:59:60Z", 1_483_228_800_000),
      ("2017-01-01T00:59:60.5+01:00", 1_483_228_800_500), ("1969-12-31T23:30:00-01:00", 1_800_000),
    ] {
      #expect(EventTime.parse(text) == ms, "\(text)")
      guard case .event(let e) = decode(event([("time", "\"\(text)\"")])) else {
        Issue.record("\(text)")
        continue
      }
      #expect(e.time == ms, "\(text)")
    }
    let seed = UInt64(environment("AFFINITY_SEED") ?? 13)
    print("times: seed \(seed)")
    var random = SplitMix(seed: seed)
    for _ in 0..<20_000 {
      let ms = Int64(random.below(253_402_300_800_000))
      let text = EventTime.string(ms)
      #expect(EventTime.parse(text) == ms)
      #expect(twinTime(Array(text.utf8)) == ms)
      var changed = Array(text.utf8)
      changed[random.below(24)] = Array("0123456789-:.TZ+ ".utf8)[random.below(17)]
      let twin = twinTime(changed).flatMap { EventTime.range.contains($0) ? $0 : nil }
      #expect(EventTime.parse(String(decoding: changed, as: UTF8.self)) == twin)
      if let twin, case .event(let e) = decode(event([("time", "\"\(String(decoding: changed, as: UTF8.self))\"")])) {
        #expect(e.time == twin)
      }
    }
  }

  @Test func timesOutsideAreWrittenAsTheNearest() {
    #expect(EventTime.string(-5) == "1970-01-01T00:00:00.000Z")
    #expect(EventTime.string(Int64.max) == "9999-12-31T23:59:59.999Z")
  }
}
