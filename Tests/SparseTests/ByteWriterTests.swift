// JSON's primitives: what is written reads back, bit by bit.
import Sparse
import TestSupport
import Testing

@Suite struct ByteWriterTests {
  @Test func integers() {
    var values: [Int] = [0, -1, 1, .max, .min, .min + 1, 9, 10, 99, 100]
    var power = 1
    for _ in 0..<19 {
      values += [power, power - 1, power + 1, -power, 1 - power]
      power = power.multipliedReportingOverflow(by: 10).partialValue
    }
    var random = SplitMix(seed: 1)
    for _ in 0..<2000 { values.append(Int(truncatingIfNeeded: random.next()) >> random.below(64)) }
    var writer = ByteWriter()
    for value in values {
      writer.removeAll()
      writer.append(value)
      #expect(writer.string == String(value))
    }
    for value in [0, 9, 10, 10_000_000_000_000_000_000, 9_999_999_999_999_999_999, UInt64.max] {
      writer.removeAll()
      writer.append(unsigned: value)
      #expect(writer.string == String(value))
    }
  }

  @Test func doublesReadBackToTheSameBits() {
    let seed: UInt64 = 2
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var values: [Double] = [
      0, -0.0, 1, -1, 0.1, 1.0 / 3, 1e22, 1e23, .leastNormalMagnitude,
      .leastNormalMagnitude.nextDown, .greatestFiniteMagnitude, -.greatestFiniteMagnitude, 2e-308,
      123_456_789, 9_007_199_254_740_992, 9_007_199_254_740_994, 0x1p-1074, 0x1.fffffffffffffp1023, 4.35, 1e-7, 1e21,
    ]
    while values.count < 20_000 {
      let value = Double(bitPattern: random.next())
      if value.isFinite { values.append(value) }
      values.append(random.unit())
      values.append(Double(bitPattern: random.next() >> 12))  // denormals
    }
    var writer = ByteWriter()
    for value in values {
      writer.removeAll()
      writer.append(value)
      guard let back = Double(writer.string) else {
        Issue.record("\(writer.string)")
        continue
      }
      #expect(back.bitPattern == value.bitPattern, "\(writer.string)")
      // A number in JSON: no bare point, no plus, no leading zero.
      let text = writer.string
      #expect(PlainJSON(text)?.double == value)
      #expect(!text.hasPrefix(".") && !text.hasSuffix(".") && !text.contains("n"))
      let digits = text.drop { $0 == "-" }
      #expect(!digits.hasPrefix("0") || digits == "0" || digits.hasPrefix("0."))
      #expect(text.utf8.count <= 25)
    }
  }

  /// The digits are those of Swift's own writer: the fewest that read back, and of these the closest.
  @Test func doublesHaveTheFewestDigits() {
    let seed: UInt64 = 5
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var values: [Double] = []
    for exponent in -30...30 {
      for digits in 1...120 {
        guard let value = Double("\(digits)e\(exponent)") else { continue }
        values += [value, value.nextUp, value.nextDown]
      }
    }
    for _ in 0..<100_000 {
      values.append(random.unit())
      // Any fraction, from 2^-30 to 2^30.
      values.append(Double(bitPattern: random.next() >> 12 | UInt64(993 + random.below(60)) << 52))
      values.append(Double(random.below(1_000_000)) / Double(1 + random.below(1000)))
      values.append(Double(random.below(100_000_000)) * 1e-8)
      values.append(Double(1 + random.below(500)) / (Double(1 + random.below(90_000))).squareRoot())
    }
    var writer = ByteWriter()
    for value in values {
      writer.removeAll()
      writer.append(value)
      let (ours, theirs) = (significant(writer.string), significant(value.description))
      #expect(ours == theirs, "\(writer.string), not \(value)")
      #expect(Double(writer.string) == value)
    }
  }

  /// A number's digits without point, exponent and zeros around them.
  private func significant(_ text: String) -> String {
    let mantissa = text.prefix { $0 != "e" && $0 != "E" }.filter { $0 != "." }
    let digits = mantissa.drop { $0 == "0" }
    return String(String(digits.reversed()).drop { $0 == "0" }.reversed())
  }

  @Test func thePenWritesWhatTheWriterWrites() {
    let seed: UInt64 = 6
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var writer = ByteWriter(capacity: 0)
    var plain = ByteWriter()
    var numbers: [UInt32] = [0, 9, 10, 99, 100, 99_999_999, 100_000_000, 999_999_999, 1_000_000_000, .max]
    for _ in 0..<20_000 { numbers.append(UInt32(truncatingIfNeeded: random.next() >> 32) >> UInt32(random.below(32))) }
    for number in numbers {
      var pen = writer.begin(most: 200)
      pen.text("n:")
      pen.number(number)
      pen.byte(0x2c)
      pen.number(Double(number) / 7)
      writer.finish(pen)
      plain.append("n:")
      plain.append(unsigned: UInt64(number))
      plain.append(",")
      plain.append(Double(number) / 7)
      let text = [UInt8]((0..<random.below(70)).map { _ in UInt8(0x20 + random.below(96)) })
      var isPlain = true
      text.withUnsafeBytes { text in
        var pen = writer.begin(most: 200)
        isPlain = pen.quotedPlain(text)
        writer.finish(pen)
        if isPlain { plain.append(quoted: text) }
      }
      #expect(isPlain == !text.contains { $0 == 0x22 || $0 == 0x5c || $0 >= 0x80 })
      let padded = text + [UInt8](repeating: 0, count: Pen.slack)
      padded.withUnsafeBufferPointer {
        var pen = writer.begin(most: 200)
        pen.copy($0.baseAddress!, text.count)
        writer.finish(pen)
      }
      text.withUnsafeBytes { plain.append(bytes: $0) }
    }
    #expect(Array(writer.bytes) == Array(plain.bytes))
  }

  @Test func stringsReadBack() {
    let seed: UInt64 = 3
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var writer = ByteWriter()
    for round in 0..<4000 {
      // Any bytes, or mostly text with a few of the bytes that matter.
      let bytes: [UInt8] = (0..<random.below(40)).map { _ in
        round % 2 == 0
          ? UInt8(truncatingIfNeeded: random.next())
          : [0x41, 0x22, 0x5c, 0x0a, 0x00, 0x1f, 0x7f, 0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80, 0xed, 0xa0, 0xff][
            random.below(16)]
      }
      writer.removeAll()
      writer.append("x")
      bytes.withUnsafeBytes { writer.append(quoted: $0) }
      let text = writer.string
      #expect(isText(writer.bytes))
      // Swift's own repair of what is not UTF-8 is the Unicode standard's.
      #expect(PlainJSON(String(text.dropFirst()))?.string == String(decoding: bytes, as: UTF8.self))
    }
    for text in ["", "plain", "a\u{1}b", "\u{2028}", "\"\\/\u{8}\u{c}\r\n\t", "😀", "e\u{301}"] {
      writer.removeAll()
      writer.append(quoted: text)
      #expect(PlainJSON(writer.string)?.string?.unicodeScalars.elementsEqual(text.unicodeScalars) == true)
    }
  }

  private func isText(_ bytes: UnsafeRawBufferPointer) -> Bool {
    String(validating: bytes, as: UTF8.self) != nil
  }

  @Test func growingKeepsWhatIsThere() {
    var writer = ByteWriter(capacity: 0)
    var want: [UInt8] = []
    var random = SplitMix(seed: 4)
    for _ in 0..<300 {
      let piece = (0..<random.below(50)).map { _ in UInt8(65 + random.below(26)) }
      piece.withUnsafeBytes { writer.append(bytes: $0) }
      want += piece
      if random.below(5) == 0 {
        let keep = random.below(want.count + 1)
        writer.truncate(to: keep)
        want.removeLast(want.count - keep)
      }
      writer.append(byte: 10)
      want.append(10)
    }
    #expect(Array(writer.bytes) == want)
    writer.truncate(to: want.count + 5)
    #expect(writer.count == want.count)
  }
}
