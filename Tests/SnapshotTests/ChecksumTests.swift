// CRC32C against a twin of one bit at a time, and the published check value.
import CStorage
import Sparse
import Testing

@Suite struct ChecksumTests {
  static func plain(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var crc = UInt32.max
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
    }
    return ~crc
  }
  typealias Kernel = (UInt32, UnsafeRawPointer?, Int) -> UInt32

  @Test func publishedValues() {
    for kernel in [affinity_crc32c, affinity_crc32c_tables] as [Kernel] {
      #expect(kernel(0, Array("123456789".utf8), 9) == 0xe306_9283)
      // RFC 3720, B.4.
      #expect(kernel(0, [UInt8](repeating: 0, count: 32), 32) == 0x8a91_36aa)
      #expect(kernel(0, [UInt8](repeating: 255, count: 32), 32) == 0x62a8_ab43)
      #expect(kernel(0, Array(UInt8(0)..<32), 32) == 0x46dd_794e)
      #expect(kernel(0, nil, 0) == 0)
    }
  }

  @Test func everyLengthAndPlaceAsTheTwin() {
    let seed: UInt64 = 11
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    let bytes = (0..<500_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    var ranges = (0..<200).map { 3..<3 + $0 }
    // Around the lengths of the streams: 3 × 1 KiB and 3 × 64 KiB.
    for edge in [3 * 1024, 6 * 1024, 3 * 65536, 6 * 65536, 3 * 65536 + 3 * 1024] {
      for more in -9...9 { ranges.append(5..<5 + edge + more) }
    }
    for _ in 0..<50 {
      let from = random.below(bytes.count)
      ranges.append(from..<from + random.below(bytes.count - from))
    }
    for range in ranges {
      let expected = Self.plain(bytes[range])
      bytes.withUnsafeBytes { all in
        let at = all.baseAddress! + range.lowerBound
        #expect(affinity_crc32c(0, at, range.count) == expected)
        #expect(affinity_crc32c_tables(0, at, range.count) == expected)
        let cut = range.count == 0 ? 0 : random.below(range.count)
        let first = affinity_crc32c(0, at, cut)
        #expect(affinity_crc32c(first, at + cut, range.count - cut) == expected)
        let second = affinity_crc32c(0, at + cut, range.count - cut)
        #expect(affinity_crc32c_join(first, second, UInt64(range.count - cut)) == expected)
      }
    }
  }
}
