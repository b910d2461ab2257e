// MurmurHash3 x64 128, seed 0, written again from A. Appleby's description, a byte at a time, with
// nothing shared with Sources/Sparse. Sums of hashes are kept as (high, low) with a carry.

public struct PlainHash: Hashable, Sendable {
  public var high: UInt64 = 0
  public var low: UInt64 = 0
  public init() {}

  public var hex: String {
    var text = ""
    for word in [high, low] {
      for shift in stride(from: 60, through: 0, by: -4) {
        text += String((word >> UInt64(shift)) & 15, radix: 16)
      }
    }
    return text
  }

  public func plus(_ other: PlainHash) -> PlainHash {
    var sum = PlainHash()
    sum.low = low &+ other.low
    sum.high = high &+ other.high &+ (sum.low < low ? 1 : 0)
    return sum
  }

  public static func of(_ bytes: [UInt8]) -> PlainHash {
    let c1: UInt64 = 0x87c3_7b91_1142_53d5
    let c2: UInt64 = 0x4cf5_ad43_2745_937f
    func left(_ x: UInt64, _ n: UInt64) -> UInt64 { x << n | x >> (64 - n) }
    func mixed(_ x: UInt64) -> UInt64 {
      var x = x
      x ^= x >> 33
      x = x &* 0xff51_afd7_ed55_8ccd
      x ^= x >> 33
      x = x &* 0xc4ce_b9fe_1a85_ec53
      x ^= x >> 33
      return x
    }
    /// Little endian, what is missing is 0.
    func word(_ from: Int) -> UInt64 {
      var value: UInt64 = 0
      for i in 0..<8 where from + i < bytes.count { value |= UInt64(bytes[from + i]) << UInt64(8 * i) }
      return value
    }
    var h1: UInt64 = 0
    var h2: UInt64 = 0
    let blocks = bytes.count / 16
    for block in 0..<blocks {
      h1 ^= left(word(16 * block) &* c1, 31) &* c2
      h1 = (left(h1, 27) &+ h2) &* 5 &+ 0x52dc_e729
      h2 ^= left(word(16 * block + 8) &* c2, 33) &* c1
      h2 = (left(h2, 31) &+ h1) &* 5 &+ 0x3849_5ab5
    }
    // The tail; words of zero bytes change nothing.
    h2 ^= left(word(16 * blocks + 8) &* c2, 33) &* c1
    h1 ^= left(word(16 * blocks) &* c1, 31) &* c2
    h1 ^= UInt64(bytes.count)
    h2 ^= UInt64(bytes.count)
    h1 = h1 &+ h2
    h2 = h2 &+ h1
    h1 = mixed(h1)
    h2 = mixed(h2)
    h1 = h1 &+ h2
    h2 = h2 &+ h1
    var hash = PlainHash()
    hash.low = h1
    hash.high = h2
    return hash
  }
}

/// Little-endian bytes.
public func littleEndian(_ value: UInt64, _ count: Int = 8) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}
