// CRC32C of mapped bytes. The instruction and its tables are C; see CStorage.h.
import CStorage

enum Checksum {
  static func of(_ bytes: UnsafeRawBufferPointer, after crc: UInt32 = 0) -> UInt32 {
    affinity_crc32c(crc, bytes.baseAddress, bytes.count)
  }

  /// Of A followed by B, from both checksums and the length of B.
  static func join(_ first: UInt32, _ second: UInt32, secondLength: Int) -> UInt32 {
    affinity_crc32c_join(first, second, UInt64(secondLength))
  }
}

extension UnsafeRawBufferPointer {
  /// Whether every byte is zero.
  var isZero: Bool { allSatisfy { $0 == 0 } }

  /// The bytes of a range that lies inside.
  func part(_ from: Int, _ count: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: self[from..<from + count])
  }
}
