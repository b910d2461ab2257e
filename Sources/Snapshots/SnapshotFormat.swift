// The file format of snapshots; docs/SNAPSHOTS.md is its description for other programs.
//
//   page 0   header: magic, version, length, sequence, number of sections, checksums, cipher
//   page 1…  table: 64 bytes per section, in file order
//   then     sections, each from a page boundary on
//
// Invariants, all checked when reading:
// - every byte is covered: the header and the table by a CRC32C of their own, each section by the one
//   in the table, everything else is zero; the file ends where the last section's page ends;
// - there is one way to write the same content: sections lie one after the other without gaps, what
//   is reserved is zero, names are unique and the first is `metadata`;
// - magic, version and the header's checksum keep their places in all versions.
// Integers are little-endian.

public enum SnapshotFormat {
  public static let version = 1
  static let page = 4096
  static let entrySize = 64
  static let nameSize = 40
  static let maximumSections = 4096
  /// Bytes of plain text per encrypted record may be, and are of the tag that follows each.
  static let recordSizes = 4096...(1 << 26)
  static let tagSize = 16
  static let metadataName = "metadata"
  /// As PNG's: a high bit, line ends of both kinds and a control-Z, so that a transfer as text shows.
  static let magic: [UInt8] = [0x89, 0x41, 0x46, 0x53, 0x4e, 0x0d, 0x0a, 0x1a]

  static func roundedUp(_ count: Int) -> Int { (count + page - 1) & ~(page - 1) }

  /// Lower-case letters, digits, and . _ - between 1 and 40 bytes.
  static func isName(_ bytes: some Collection<UInt8>) -> Bool {
    !bytes.isEmpty && bytes.count <= nameSize
      && bytes.allSatisfy {
        (97...122).contains($0) || (48...57).contains($0) || $0 == 46 || $0 == 95 || $0 == 45
      }
  }
}

/// The first page.
public struct SnapshotHeader: Hashable, Sendable {
  enum Cipher: UInt32 { case none = 0, aes256gcm = 1 }

  /// Bytes of the plain layout. An encrypted file is longer by a tag per record.
  public var length: Int
  public var sequence: UInt64
  public var sectionCount: Int
  var tableChecksum: UInt32
  var cipher = Cipher.none
  var recordSize = 0
  var keyID: [UInt8] = [UInt8](repeating: 0, count: 8)
  /// Random, so that each file has a key of its own.
  var salt: [UInt8] = [UInt8](repeating: 0, count: 32)

  public var isEncrypted: Bool { cipher != .none }
  public var keyIdentifier: String? { isEncrypted ? hexadecimal(keyID) : nil }

  /// Bytes behind the header.
  var bodyLength: Int { length - SnapshotFormat.page }
  var recordCount: Int { isEncrypted ? (bodyLength + recordSize - 1) / recordSize : 0 }
  /// Bytes of the file.
  public var fileLength: Int { length + recordCount * SnapshotFormat.tagSize }

  private static let checksumAt = 12

  /// One page.
  func encoded() -> [UInt8] {
    var page = [UInt8](repeating: 0, count: SnapshotFormat.page)
    page.withUnsafeMutableBytes { to in
      to.copyBytes(from: SnapshotFormat.magic)
      to.put(UInt32(SnapshotFormat.version), at: 8)
      to.put(UInt64(length), at: 16)
      to.put(sequence, at: 24)
      to.put(UInt32(sectionCount), at: 32)
      to.put(tableChecksum, at: 36)
      to.put(cipher.rawValue, at: 40)
      to.put(UInt32(recordSize), at: 44)
      for (i, byte) in keyID.enumerated() { to[48 + i] = byte }
      for (i, byte) in salt.enumerated() { to[56 + i] = byte }
      to.put(Checksum.of(UnsafeRawBufferPointer(to)), at: Self.checksumAt)
    }
    return page
  }

  /// Reads the first page of `file`, which is the whole file.
  init(of file: UnsafeRawBufferPointer) throws(SnapshotFault) {
    func fail(_ reason: String) -> SnapshotFault { .damaged(place: "header", reason: reason) }
    if file.count < SnapshotFormat.page { throw fail("cut short: \(file.count) bytes") }
    let from = file.part(0, SnapshotFormat.page)
    if !from.starts(with: SnapshotFormat.magic) { throw fail("not a snapshot") }
    // The checksum is that of the page with zero in its own place.
    let own = Self.checksumAt
    var sum = Checksum.of(from.part(0, own))
    withUnsafeBytes(of: UInt32(0)) { sum = Checksum.of($0, after: sum) }
    sum = Checksum.of(from.part(own + 4, from.count - own - 4), after: sum)
    if sum != from.word32(own) { throw fail("checksum") }
    let version = Int(from.word32(8))
    if version > SnapshotFormat.version { throw .newerFormat(version: version) }
    if version != SnapshotFormat.version { throw fail("format version \(version)") }
    if !from.part(88, from.count - 88).isZero { throw fail("reserved bytes") }

    let length = from.word64(16)
    if length % UInt64(SnapshotFormat.page) != 0 || length < UInt64(2 * SnapshotFormat.page)
      || length > UInt64(Int.max / 4)
    {
      throw fail("length \(length)")
    }
    self.length = Int(length)
    sequence = from.word64(24)
    sectionCount = Int(from.word32(32))
    if sectionCount < 1 || sectionCount > SnapshotFormat.maximumSections {
      throw fail("\(sectionCount) sections")
    }
    tableChecksum = from.word32(36)
    guard let cipher = Cipher(rawValue: from.word32(40)) else { throw fail("unknown cipher") }
    self.cipher = cipher
    recordSize = Int(from.word32(44))
    keyID = Array(from[48..<56])
    salt = Array(from[56..<88])
    switch cipher {
    case .none:
      if !from.part(44, 44).isZero { throw fail("reserved bytes") }
    case .aes256gcm:
      if !SnapshotFormat.recordSizes.contains(recordSize) { throw fail("record size \(recordSize)") }
    }
    if file.count < fileLength {
      throw .damaged(place: "file", reason: "cut short: \(file.count) of \(fileLength) bytes")
    }
    if file.count > fileLength {
      throw .damaged(place: "file", reason: "\(file.count - fileLength) bytes too many at the end")
    }
  }

  init(length: Int, sequence: UInt64, sectionCount: Int, tableChecksum: UInt32) {
    self.length = length
    self.sequence = sequence
    self.sectionCount = sectionCount
    self.tableChecksum = tableChecksum
  }
}

/// One line of the table.
public struct SnapshotEntry: Hashable, Sendable {
  public var name: String
  /// From the file's start (of the plain layout); a multiple of 4096.
  public var offset: Int
  /// Bytes; a multiple of `elementSize`.
  public var length: Int
  public var elementSize: Int
  public var checksum: UInt32

  /// Where the next one begins.
  var end: Int { SnapshotFormat.roundedUp(offset + length) }

  func encode(into to: UnsafeMutableRawBufferPointer) {
    for (i, byte) in name.utf8.enumerated() { to[i] = byte }
    to.put(UInt64(offset), at: 40)
    to.put(UInt64(length), at: 48)
    to.put(UInt32(elementSize), at: 56)
    to.put(checksum, at: 60)
  }

  /// Where the sections begin that a table of so many lines precedes.
  static func firstOffset(count: Int) -> Int {
    SnapshotFormat.page + SnapshotFormat.roundedUp(count * SnapshotFormat.entrySize)
  }

  /// The table of a plain image that has `header.length` bytes.
  static func table(
    of image: UnsafeRawBufferPointer, header: SnapshotHeader
  ) throws(SnapshotFault) -> [SnapshotEntry] {
    func fail(_ reason: String) -> SnapshotFault { .damaged(place: "table", reason: reason) }
    let size = SnapshotFormat.entrySize
    let first = firstOffset(count: header.sectionCount)
    if first > image.count { throw fail("\(header.sectionCount) sections have no room") }
    let bytes = image.part(SnapshotFormat.page, header.sectionCount * size)
    if Checksum.of(bytes) != header.tableChecksum { throw fail("checksum") }
    let end = SnapshotFormat.page + bytes.count
    if !image.part(end, first - end).isZero { throw fail("padding") }

    var entries: [SnapshotEntry] = []
    var names = Set<String>()
    var next = first
    for i in 0..<header.sectionCount {
      let line = bytes.part(i * size, size)
      let written = line.part(0, SnapshotFormat.nameSize)
      let name = written.prefix { $0 != 0 }
      if !SnapshotFormat.isName(name)
        || !written.part(name.count, written.count - name.count).isZero
      {
        throw fail("name of section \(i)")
      }
      let text = String(decoding: name, as: UTF8.self)
      if !names.insert(text).inserted { throw fail("two sections \(text)") }
      let length = line.word64(48)
      let elementSize = Int(line.word32(56))
      if line.word64(40) != UInt64(next) { throw fail("\(text): offset") }
      if length > UInt64(image.count - next) { throw fail("\(text): length") }
      if elementSize < 1 || Int(length) % elementSize != 0 { throw fail("\(text): element size") }
      let entry = SnapshotEntry(
        name: text, offset: next, length: Int(length), elementSize: elementSize,
        checksum: line.word32(60))
      next = entry.end
      entries.append(entry)
    }
    if next != image.count { throw fail("sections end at \(next) of \(image.count)") }
    if entries[0].name != SnapshotFormat.metadataName { throw fail("no metadata") }
    return entries
  }
}

extension UnsafeRawBufferPointer {
  func word32(_ at: Int) -> UInt32 {
    UInt32(littleEndian: loadUnaligned(fromByteOffset: at, as: UInt32.self))
  }
  func word64(_ at: Int) -> UInt64 {
    UInt64(littleEndian: loadUnaligned(fromByteOffset: at, as: UInt64.self))
  }
}

extension UnsafeMutableRawBufferPointer {
  func put(_ value: some FixedWidthInteger, at: Int) {
    let room = UnsafeMutableRawBufferPointer(rebasing: self[at...])
    Swift.withUnsafeBytes(of: value.littleEndian) { room.copyMemory(from: $0) }
  }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  var text: [UInt8] = []
  for byte in bytes { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
  return String(decoding: text, as: UTF8.self)
}
