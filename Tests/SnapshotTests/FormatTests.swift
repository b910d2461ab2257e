// The file: read as written, read by a second reader made from docs/SNAPSHOTS.md alone, and every damage
// found.
import CCrypto
import Foundation
import Snapshots
import Sparse
import TestSupport
import Testing

@Suite struct FormatTests {
  @Test(arguments: [false, true]) func readsWhatWasWritten(encrypted: Bool) throws {
    let keys = encrypted ? [try testKey("1"), try testKey()] : []
    for scale in [0, 8, 4096, 40_000] {
      let sample = Sample(3, scale: scale)
      let found = try examine(try sample.file(key: keys.last), keys: keys)
      let snapshot = try #require(found.snapshot)
      #expect(sample.isEqual(snapshot))
      #expect(snapshot.sequence == 5)
      #expect(found.header?.isEncrypted == encrypted)
      for section in snapshot.sections {
        #expect(UInt(bitPattern: section.base) % 4096 == 0)
        #expect(section.byteCapacity % 4096 == 0 && section.byteCapacity >= section.byteCount)
      }
      let items = try #require(snapshot.section("rows.items"))
      #expect(items.elements(of: UInt32.self)?.count == scale / 4)
      #expect(items.elements(of: UInt64.self) == nil)
      #expect(snapshot.section("nothing") == nil)
    }
  }

  @Test func partsMayRunInAnyOrder() throws {
    let sample = Sample(4, scale: 9_000_000)
    let key = try testKey()
    for key in [nil, key] {
      let disk = SimulatedDisk(seed: 1)
      try disk.makeFolder("f")
      var writer = SnapshotWriter(disk: disk, key: key)
      writer.parallel = { parts, body in for part in (0..<parts).reversed() { body(part) } }
      var last = 0
      writer.progress = { written, total in
        #expect(written > last && written <= total)
        last = written
      }
      let length = try writer.write(sample.inputs, metadata: sample.metadata, sequence: 1, to: "f/s")
      #expect(last == length)
      #expect(disk.content("f/s")?.count == length)
      var reader = SnapshotReader(disk: disk, keys: key.map { [$0] } ?? [])
      reader.parallel = writer.parallel
      #expect(sample.isEqual(try reader.open("f/s")))
    }
  }

  @Test func aSecondReaderAgrees() throws {
    let sample = Sample(8)
    let plain = try PlainSnapshot(try sample.file())
    #expect(plain.sequence == 5)
    #expect(plain.sections.dropFirst().map(\.name) == sample.inputs.map(\.name))
    for (section, input) in zip(plain.sections.dropFirst(), sample.inputs) {
      #expect(section.bytes.elementsEqual(input.bytes))
      #expect(section.elementSize == input.elementSize)
    }
    let metadata = try JSONDecoder().decode(
      SnapshotMetadata.self, from: Data(plain.sections[0].bytes))
    #expect(metadata == sample.metadata)
  }

  @Test func aSecondReaderDecrypts() throws {
    let text = [UInt8](0..<32)
    let key = try SnapshotKey(text: Data(text).base64EncodedString(), source: "test")
    for recordSize in [4096, 10_000, 1 << 20] {
      let sample = Sample(8)
      let sealed = try sample.file(key: key, recordSize: recordSize)
      let plain = try PlainSnapshot.decrypted(sealed, key: text)
      #expect(plain[4096...] == (try sample.file())[4096...])
    }
  }

  /// Equal plain texts are told apart by nothing but the nonce.
  @Test func noTwoRecordsLookAlike() throws {
    let disk = SimulatedDisk(seed: 1)
    try disk.makeFolder("f")
    var writer = SnapshotWriter(disk: disk, key: try testKey())
    writer.recordSize = 4096
    let zeros = [UInt8](repeating: 0, count: 40_960)
    try zeros.withUnsafeBytes {
      _ = try writer.write(
        [SnapshotInput("zeros", elementSize: 1, bytes: $0)], metadata: SnapshotMetadata(), sequence: 1,
        to: "f/s")
    }
    let file = try #require(disk.content("f/s"))
    let records = stride(from: 4096, to: file.count, by: 4112).map { file[$0..<$0 + 4096] }
    #expect(records.count == 12)
    for a in records.indices {
      for b in 0..<a { #expect(zip(records[a], records[b]).count(where: ==) < 100) }
    }
  }

  @Test func equalContentGivesEqualBytes() throws {
    #expect(try Sample(8).file() == Sample(8).file())
    // Encrypted, no two files are alike: the salt.
    let key = try testKey()
    let (a, b) = (try Sample(8).file(key: key), try Sample(8).file(key: key))
    #expect(a.count == b.count)
    #expect(zip(a[4096...], b[4096...]).count(where: ==) < a.count / 100)
  }

  /// KAFKA fault 16.
  @Test("fault 16: every bit flip is found", arguments: [false, true])
  func everyBitFlipIsFound(encrypted: Bool) throws {
    let seed: UInt64 = encrypted ? 22 : 21
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    let key = encrypted ? try testKey() : nil
    let keys = key.map { [$0] } ?? []
    for scale in [100, 5_000] {
      var file = try Sample(1, scale: scale).file(key: key)
      #expect(try examine(file, keys: keys).snapshot != nil)
      var places = (0..<2_500).map { _ in random.below(file.count * 8) }
      // Each bit of the header's fields.
      places += 0..<(96 * 8)
      for place in places {
        file[place / 8] ^= 1 << UInt8(place % 8)
        let found = try examine(file, keys: keys)
        #expect(found.snapshot == nil && !found.faults.isEmpty, "bit \(place)")
        file[place / 8] ^= 1 << UInt8(place % 8)
      }
    }
  }

  @Test("fault 16: every truncation is found", arguments: [false, true])
  func everyTruncationIsFound(encrypted: Bool) throws {
    let key = encrypted ? try testKey() : nil
    let keys = key.map { [$0] } ?? []
    let file = try Sample(1, scale: 50_000).file(key: key)
    var lengths = Array(stride(from: 0, to: file.count, by: 4096))
    lengths += [1, 7, 8, 4095, file.count - 1, file.count - 16, file.count - 17]
    for length in lengths {
      #expect(try examine(Array(file[..<length]), keys: keys).snapshot == nil, "\(length)")
    }
    for more in [1, 512, 4096, 8192, 8208] {
      let found = try examine(file + [UInt8](repeating: 0, count: more), keys: keys)
      #expect(found.faults == [.damaged(place: "file", reason: "\(more) bytes too many at the end")])
    }
  }

  @Test("fault 16: blocks out of place are found", arguments: [false, true])
  func blocksOutOfPlaceAreFound(encrypted: Bool) throws {
    let key = encrypted ? try testKey() : nil
    let keys = key.map { [$0] } ?? []
    let file = try Sample(1, scale: 20_000).file(key: key, recordSize: 4096)
    // The same state a little later: its blocks have the same places.
    let other = try Sample(2, scale: 20_000).file(key: key, recordSize: 4096)
    #expect(file.count == other.count)
    let size = encrypted ? 4096 + 16 : 4096
    let blocks = (file.count - 4096) / size
    func range(_ block: Int) -> Range<Int> { 4096 + block * size..<4096 + (block + 1) * size }
    for a in 0..<blocks {
      for b in 0..<a where file[range(a)] != file[range(b)] {
        var swapped = file
        swapped.replaceSubrange(range(a), with: file[range(b)])
        swapped.replaceSubrange(range(b), with: file[range(a)])
        #expect(try examine(swapped, keys: keys).snapshot == nil, "\(a) \(b)")
      }
      if file[range(a)] != other[range(a)] {
        var mixed = file
        mixed.replaceSubrange(range(a), with: other[range(a)])
        #expect(try examine(mixed, keys: keys).snapshot == nil, "\(a)")
      }
    }
  }

  @Test func damageIsToldWithItsSection() throws {
    let file = try Sample(1).file()
    let entries = try examine(file).entries
    #expect(entries.map(\.name).first == "metadata")
    for entry in entries where entry.length > 0 {
      var damaged = file
      damaged[entry.offset + entry.length / 2] ^= 4
      #expect(
        try examine(damaged).faults == [.damaged(place: entry.name, reason: "checksum")])
      if entry.length % 4096 != 0 {
        damaged = file
        damaged[entry.offset + entry.length] = 1
        #expect(try examine(damaged).faults == [.damaged(place: entry.name, reason: "padding")])
      }
    }
    let key = try testKey()
    var sealed = try Sample(1).file(key: key, recordSize: 4096)
    let last = try examine(sealed, keys: [key]).entries.last
    #expect(last?.name == "one")
    sealed[sealed.count - 20] ^= 1
    let faults = try examine(sealed, keys: [key]).faults
    #expect(faults.count == 1)
    #expect("\(faults[0])".hasPrefix("one: record "))
  }

  /// A later version may look different behind the first 16 bytes.
  @Test("fault 16: a version from the future is refused as such")
  func aVersionFromTheFutureIsRefusedAsSuch() throws {
    var file = try Sample(1).file()
    file[8] = 2
    #expect(try examine(file).faults == [.damaged(place: "header", reason: "checksum")])
    for i in 40..<4096 { file[i] = 77 }
    PlainSnapshot.signHeader(&file)
    #expect(try examine(file).faults == [.newerFormat(version: 2)])
    file[8] = 0
    PlainSnapshot.signHeader(&file)
    #expect(try examine(file).faults.first?.description == "header: format version 0")
  }

  @Test func keys() throws {
    let (right, wrong) = (try testKey("a"), try testKey("b"))
    let file = try Sample(1).file(key: right)
    #expect(try examine(file).faults == [.keyMissing(id: right.identifier)])
    #expect(try examine(file, keys: [wrong]).faults == [.keyMissing(id: right.identifier)])
    #expect(try examine(file, keys: [wrong, right]).snapshot != nil)
    // A key of that name which is another: every record fails.
    var renamed = file
    let id = try #require(try examine(try Sample(1).file(key: wrong)).header?.keyIdentifier)
    for i in 0..<8 {
      let at = id.index(id.startIndex, offsetBy: 2 * i)
      renamed[48 + i] = try #require(UInt8(id[at..<id.index(at, offsetBy: 2)], radix: 16))
    }
    PlainSnapshot.signHeader(&renamed)
    #expect(try examine(renamed, keys: [wrong]).snapshot == nil)
    // Nothing of the content shows.
    #expect(!String(decoding: file, as: UTF8.self).contains("shop.events"))
    #expect(String(decoding: try Sample(1).file(), as: UTF8.self).contains("shop.events"))
  }

  @Test func randomBytesNeverCrash() throws {
    let seed: UInt64 = 31
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    let key = try testKey()
    for round in 0..<3_000 {
      var file = (0..<random.below(20_000)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      if round % 2 == 0 {
        for (i, byte) in try Sample(1, scale: 8).file()[..<16].enumerated() where i < file.count {
          file[i] = byte
        }
        PlainSnapshot.signHeader(&file)
      }
      #expect(try examine(file, keys: [key]).snapshot == nil)
    }
  }

  /// Fields are given odd values and the checksums made good again, as an enemy would.
  @Test func forgedFieldsNeverCrash() throws {
    let seed: UInt64 = 32
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    let original = try Sample(1, scale: 300).file()
    let lines = 4096..<4096 + 6 * 64
    var accepted = 0
    for _ in 0..<20_000 {
      var file = original
      for _ in 0...random.below(2) {
        let odd: [UInt64] = [
          0, 1, 4095, 4096, 8192, UInt64(file.count), UInt64.max, 1 << 63, 1 << 62, 1 << 32,
          random.next(), UInt64(random.below(20_000)),
        ]
        let value = odd[random.below(odd.count)]
        let width = [1, 4, 8][random.below(3)]
        let at =
          random.below(3) == 0
          ? 8 + random.below(90) : lines.lowerBound + random.below(lines.count - 8)
        for i in 0..<width { file[at + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * i)) }
      }
      PlainSnapshot.signTable(&file, lines: lines)
      PlainSnapshot.signHeader(&file)
      if random.below(4) == 0 { file.removeLast(random.below(file.count)) }
      if let snapshot = try examine(file).snapshot {
        // What passes is whole.
        accepted += 1
        for section in snapshot.sections { #expect(section.bytes.count == section.byteCount) }
      }
    }
    print("\(accepted) of 20000 forgeries were still snapshots")
    #expect(accepted < 10_000)
  }
}

/// Reads the plain format as docs/SNAPSHOTS.md tells it, with nothing shared with the program.
struct PlainSnapshot {
  struct Section {
    var name: String
    var elementSize: Int
    var bytes: ArraySlice<UInt8>
  }
  var sequence: UInt64
  var sections: [Section] = []

  init(_ file: [UInt8]) throws {
    func number(_ at: Int, _ width: Int) -> Int {
      (0..<width).reduce(0) { $0 | Int(file[at + $1]) << (8 * $1) }
    }
    try #require(file[..<8].elementsEqual([0x89, 0x41, 0x46, 0x53, 0x4e, 0x0d, 0x0a, 0x1a]))
    try #require(number(8, 4) == 1)
    try #require(number(16, 8) == file.count)
    sequence = UInt64(number(24, 8))
    var page = Array(file[..<4096])
    for i in 12..<16 { page[i] = 0 }
    try #require(Int(ChecksumTests.plain(page[...])) == number(12, 4))
    let count = number(32, 4)
    try #require(Int(ChecksumTests.plain(file[4096..<4096 + 64 * count])) == number(36, 4))
    for i in 0..<count {
      let line = 4096 + 64 * i
      let name = file[line..<line + 40].prefix { $0 != 0 }
      let (offset, length) = (number(line + 40, 8), number(line + 48, 8))
      let bytes = file[offset..<offset + length]
      try #require(offset % 4096 == 0)
      try #require(Int(ChecksumTests.plain(bytes)) == number(line + 60, 4))
      sections.append(
        Section(
          name: String(decoding: name, as: UTF8.self), elementSize: number(line + 56, 4),
          bytes: bytes))
    }
  }

  /// The plain layout of an encrypted file.
  static func decrypted(_ file: [UInt8], key: [UInt8]) throws -> [UInt8] {
    func number(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(file[at + $1]) << (8 * $1) } }
    func hmac(_ text: [UInt8]) -> [UInt8] {
      var result = [UInt8](repeating: 0, count: 32)
      HMAC(EVP_sha256(), key, 32, text, text.count, &result, nil)
      return result
    }
    try #require(number(40) == 1)
    try #require(
      file[48..<56].elementsEqual(hmac(Array("affinity snapshot key id\0".utf8)).prefix(8)))
    let fileKey = hmac(Array("affinity snapshot file\0".utf8) + file[..<4096])
    let recordSize = number(44)
    let total = number(16) - 4096
    let count = (total + recordSize - 1) / recordSize
    var plain = Array(file[..<4096])
    var at = 4096
    for i in 0..<count {
      let length = min(recordSize, total - i * recordSize)
      let context = EVP_CIPHER_CTX_new()
      defer { EVP_CIPHER_CTX_free(context) }
      var part = [UInt8](repeating: 0, count: length)
      var n: Int32 = 0
      let nonce = [0, 0, 0, 0] + littleEndian(UInt64(i))
      let bound = littleEndian(UInt64(i)) + littleEndian(UInt64(count))
      var tag = Array(file[at + length..<at + length + 16])
      EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nil, fileKey, nonce)
      EVP_DecryptUpdate(context, nil, &n, bound, 16)
      EVP_DecryptUpdate(context, &part, &n, Array(file[at..<at + length]), Int32(length))
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, &tag)
      try #require(EVP_DecryptFinal_ex(context, &tag, &n) == 1)
      plain += part
      at += length + 16
    }
    try #require(at == file.count)
    return plain
  }

  /// Makes the header's checksum that of its bytes.
  static func signHeader(_ file: inout [UInt8]) {
    if file.count < 4096 { return }
    for i in 12..<16 { file[i] = 0 }
    put(ChecksumTests.plain(file[..<4096]), &file, at: 12)
  }
  static func signTable(_ file: inout [UInt8], lines: Range<Int>) {
    put(ChecksumTests.plain(file[lines]), &file, at: 36)
  }
  private static func put(_ value: UInt32, _ file: inout [UInt8], at: Int) {
    for i in 0..<4 { file[at + i] = UInt8(truncatingIfNeeded: value >> UInt32(8 * i)) }
  }
}
