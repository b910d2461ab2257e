// Bytes written through a bare pointer: for texts whose greatest length is known before, where a check and a
// count per piece would cost more than the copy.
import CNumbers

/// Where the next byte goes. Whoever makes one has seen to the room; see `ByteWriter.write`. Writes up to
/// `Pen.slack` bytes further than it goes.
public struct Pen: BitwiseCopyable {
  public static let slack = 32
  public var at: UnsafeMutablePointer<UInt8>

  @inlinable @inline(__always) public init(_ at: UnsafeMutablePointer<UInt8>) { self.at = at }

  @inlinable @inline(__always) public mutating func byte(_ value: UInt8) {
    at[0] = value
    at += 1
  }

  @inlinable @inline(__always) public mutating func text(_ literal: StaticString) {
    at.update(from: literal.utf8Start, count: literal.utf8CodeUnitCount)
    at += literal.utf8CodeUnitCount
  }

  /// Copies `count` bytes, 32 at a time: as many again may be read behind them.
  @inlinable @inline(__always)
  public mutating func copy(_ from: UnsafePointer<UInt8>, _ count: Int) {
    let (source, target) = (UnsafeRawPointer(from), UnsafeMutableRawPointer(at))
    var done = 0
    repeat {
      let block = source.loadUnaligned(fromByteOffset: done, as: SIMD32<UInt8>.self)
      target.storeBytes(of: block, toByteOffset: done, as: SIMD32<UInt8>.self)
      done &+= 32
    } while done < count
    at += count
  }

  /// Decimal digits: up to eight at once, in one register.
  @inlinable @inline(__always) public mutating func number(_ value: UInt32) {
    var value = UInt64(value)
    if value >= 100_000_000 {
      let high = value / 100_000_000
      value &-= high &* 100_000_000
      if high >= 10 { byte(UInt8(truncatingIfNeeded: 48 &+ high / 10)) }
      byte(UInt8(truncatingIfNeeded: 48 &+ high % 10))
      UnsafeMutableRawPointer(at).storeBytes(
        of: (Pen.eightDigits(value) | 0x3030_3030_3030_3030).littleEndian, as: UInt64.self)
      at += 8
      return
    }
    let digits = Pen.eightDigits(value)
    // The first digit stands lowest: zeros in front are shifted out, the last one stays.
    let zeros = (digits | 1 &<< 56).trailingZeroBitCount >> 3
    UnsafeMutableRawPointer(at).storeBytes(
      of: ((digits | 0x3030_3030_3030_3030) &>> UInt64(truncatingIfNeeded: zeros &* 8)).littleEndian,
      as: UInt64.self)
    at += 8 &- zeros
  }

  /// Eight decimal digits as bytes 0 to 9, the first digit lowest.
  @inlinable @inline(__always) static func eightDigits(_ value: UInt64) -> UInt64 {
    let high4 = value / 10_000
    let fours = high4 | (value &- high4 &* 10_000) &<< 32
    let high2 = (fours &* 10_486) &>> 20 & 0x7f_0000_007f
    let twos = high2 | (fours &- high2 &* 100) &<< 16
    let high1 = (twos &* 103) &>> 10 & 0x000f_000f_000f_000f
    return high1 | (twos &- high1 &* 10) &<< 8
  }

  /// The shortest text that reads back to the same double, at most 25 bytes. `value` is finite.
  @inlinable @inline(__always) public mutating func number(_ value: Double) {
    let count = at.withMemoryRebound(to: CChar.self, capacity: 32) {
      affinity_format_double(value, $0)
    }
    at += count
  }

  /// A JSON string with its quotes, where it is plain ASCII that needs no escapes; else nothing, and false.
  @inlinable @inline(__always)
  public mutating func quotedPlain(_ text: UnsafeRawBufferPointer) -> Bool {
    let count = text.count
    guard count >= 8, let from = text.baseAddress else { return quotedShort(text) }
    let target = UnsafeMutableRawPointer(at + 1)
    var i = 0
    while true {
      let word = from.loadUnaligned(fromByteOffset: i, as: UInt64.self)
      if ByteWriter.needsCare(word) { return false }
      target.storeBytes(of: word, toByteOffset: i, as: UInt64.self)
      if i == count &- 8 { break }
      // The last eight overlap those before.
      i = min(i &+ 8, count &- 8)
    }
    at[0] = UInt8(ascii: "\"")
    at[count &+ 1] = UInt8(ascii: "\"")
    at += count &+ 2
    return true
  }

  @inlinable mutating func quotedShort(_ text: UnsafeRawBufferPointer) -> Bool {
    for i in 0..<text.count {
      let c = text[i]
      if c < 0x20 || c == 0x22 || c == 0x5c || c >= 0x80 { return false }
      at[i &+ 1] = c
    }
    at[0] = UInt8(ascii: "\"")
    at[text.count &+ 1] = UInt8(ascii: "\"")
    at += text.count &+ 2
    return true
  }
}

extension ByteWriter {
  /// Room for `most` bytes and the pen to write them with; give it back with `finish`.
  @inlinable @inline(__always) public mutating func begin(most: Int) -> Pen {
    Pen(reserve(most &+ Pen.slack))
  }
  @inlinable @inline(__always) public mutating func finish(_ pen: Pen) {
    advance(pen.at - (storage.base + storage.count))
  }
}
