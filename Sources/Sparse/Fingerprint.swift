// The one fixed hash of the house: MurmurHash3 x64 128 (A. Appleby, public domain, smhasher
// MurmurHash3.cpp), seed 0. Digests, row identities and dictionary probes all use it, so another
// program (Python's `mmh3`, say) can recompute a digest from a dump.

/// A 128-bit hash value, and an element of the group in which digests are summed (mod 2^128).
public struct Fingerprint: Hashable, Sendable, BitwiseCopyable {
  public var low: UInt64
  public var high: UInt64

  @inlinable public init(low: UInt64 = 0, high: UInt64 = 0) {
    self.low = low
    self.high = high
  }

  public static let zero = Fingerprint()

  @inlinable public static func &+= (left: inout Fingerprint, right: Fingerprint) {
    let (low, carry) = left.low.addingReportingOverflow(right.low)
    left.low = low
    left.high = left.high &+ right.high &+ (carry ? 1 : 0)
  }

  @inlinable public static func &-= (left: inout Fingerprint, right: Fingerprint) {
    let (low, borrow) = left.low.subtractingReportingOverflow(right.low)
    left.low = low
    left.high = left.high &- right.high &- (borrow ? 1 : 0)
  }

  /// 32 lower-case hexadecimal digits, high word first.
  public var hex: String {
    func digits(_ word: UInt64) -> String {
      let text = String(word, radix: 16)
      return String(repeating: "0", count: 16 - text.utf8.count) + text
    }
    return digits(high) + digits(low)
  }
}

extension Fingerprint {
  @usableFromInline static let c1: UInt64 = 0x87c3_7b91_1142_53d5
  @usableFromInline static let c2: UInt64 = 0x4cf5_ad43_2745_937f

  @inlinable @inline(__always)
  static func rotate(_ x: UInt64, _ by: UInt64) -> UInt64 { (x &<< by) | (x &>> (64 &- by)) }

  @inlinable @inline(__always)
  static func final(_ word: UInt64) -> UInt64 {
    var k = word
    k ^= k &>> 33
    k = k &* 0xff51_afd7_ed55_8ccd
    k ^= k &>> 33
    k = k &* 0xc4ce_b9fe_1a85_ec53
    k ^= k &>> 33
    return k
  }

  @inlinable @inline(__always)
  static func round(_ h1: inout UInt64, _ h2: inout UInt64, _ first: UInt64, _ second: UInt64) {
    let k1 = rotate(first &* 0x87c3_7b91_1142_53d5, 31) &* 0x4cf5_ad43_2745_937f
    h1 ^= k1
    h1 = rotate(h1, 27) &+ h2
    h1 = h1 &* 5 &+ 0x52dc_e729
    let k2 = rotate(second &* 0x4cf5_ad43_2745_937f, 33) &* 0x87c3_7b91_1142_53d5
    h2 ^= k2
    h2 = rotate(h2, 31) &+ h1
    h2 = h2 &* 5 &+ 0x3849_5ab5
  }

  @inlinable @inline(__always)
  static func finish(_ a: UInt64, _ b: UInt64, length: Int) -> Fingerprint {
    var h1 = a ^ UInt64(truncatingIfNeeded: length)
    var h2 = b ^ UInt64(truncatingIfNeeded: length)
    h1 = h1 &+ h2
    h2 = h2 &+ h1
    h1 = final(h1)
    h2 = final(h2)
    h1 = h1 &+ h2
    h2 = h2 &+ h1
    return Fingerprint(low: h1, high: h2)
  }

  /// One to eight bytes as a little-endian word, read by overlapping loads.
  @inlinable @inline(__always)
  static func few(_ bytes: UnsafeRawPointer, _ count: Int) -> UInt64 {
    if count >= 4 {
      let first = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
      let last = UInt32(
        littleEndian: bytes.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self))
      return UInt64(first) | UInt64(last) &<< UInt64(8 &* (count &- 4))
    }
    let first = UInt64(bytes.load(as: UInt8.self))
    let middle = UInt64(bytes.load(fromByteOffset: count &>> 1, as: UInt8.self))
    let last = UInt64(bytes.load(fromByteOffset: count &- 1, as: UInt8.self))
    return first | middle &<< UInt64(8 &* (count &>> 1)) | last &<< UInt64(8 &* (count &- 1))
  }

  /// MurmurHash3 x64 128 of the bytes, seed 0.
  @inlinable public init(of bytes: UnsafeRawBufferPointer) {
    var h1: UInt64 = 0
    var h2: UInt64 = 0
    let count = bytes.count
    guard count > 0, let base = bytes.baseAddress else {
      self = Fingerprint.finish(0, 0, length: 0)
      return
    }
    var at = 0
    while at &+ 16 <= count {
      let k1 = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      let k2 = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: at &+ 8, as: UInt64.self))
      Fingerprint.round(&h1, &h2, k1, k2)
      at &+= 16
    }
    let rest = count &- at
    if rest > 0 {
      var k1: UInt64
      var k2: UInt64 = 0
      if rest > 8 {
        k1 = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
        k2 = Fingerprint.few(base + (at &+ 8), rest &- 8)
      } else {
        k1 = Fingerprint.few(base + at, rest)
      }
      if rest > 8 {
        k2 = Fingerprint.rotate(k2 &* 0x4cf5_ad43_2745_937f, 33) &* 0x87c3_7b91_1142_53d5
        h2 ^= k2
      }
      k1 = Fingerprint.rotate(k1 &* 0x87c3_7b91_1142_53d5, 31) &* 0x4cf5_ad43_2745_937f
      h1 ^= k1
    }
    self = Fingerprint.finish(h1, h2, length: count)
  }

  /// The hash of the 48 bytes `first.low first.high second.low second.high third fourth`
  /// (little endian): how an entry of a matrix, or a count, becomes one element of a digest.
  @inlinable @inline(__always)
  public init(_ first: Fingerprint, _ second: Fingerprint, _ third: UInt64, _ fourth: UInt64) {
    var h1: UInt64 = 0
    var h2: UInt64 = 0
    Fingerprint.round(&h1, &h2, first.low, first.high)
    Fingerprint.round(&h1, &h2, second.low, second.high)
    Fingerprint.round(&h1, &h2, third, fourth)
    self = Fingerprint.finish(h1, h2, length: 48)
  }

  public init(of text: String) {
    var text = text
    self = text.withUTF8 { Fingerprint(of: UnsafeRawBufferPointer($0)) }
  }
}
