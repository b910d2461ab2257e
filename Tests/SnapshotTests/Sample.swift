// Small states to write and to compare with what is read.
import Glibc
import Snapshots
import Sparse
import TestSupport
import Testing

/// Sections with content made from a number.
final class Sample {
  let number: Int
  let metadata: SnapshotMetadata
  private(set) var inputs: [SnapshotInput] = []
  private var blocks: [UnsafeMutableRawBufferPointer] = []

  /// - Parameter scale: bytes of the sections, about 2.1 times.
  init(_ number: Int, scale: Int = 5_000) {
    self.number = number
    var metadata = SnapshotMetadata()
    metadata.software = "affinityd test"
    metadata.configuration = "c0ffee"
    metadata.created = Int64(number)
    metadata.digest = String(repeating: "0123456789abcdef", count: 2)
    metadata.topics = [
      .init(
        name: "shop.events",
        partitions: [.init(next: Int64(number), last: .init(timestamp: 7, checksum: 9)), .init(next: -1)])
    ]
    metadata.matrices = [.init(name: "user/purchase", horizon: -1)]
    metadata.model = "m\(number)"
    metadata.sizes = [.init(name: "rows", count: number)]
    self.metadata = metadata
    // One that fills its last page, one that does not, one of larger elements, and an empty one.
    for (name, size, bytes) in [
      ("rows.items", 4, scale / 4 * 4), ("full", 1, 4096), ("rows.stamps", 8, scale / 8 * 8),
      ("empty", 8, 0), ("one", 1, 1),
    ] {
      var random = SplitMix(seed: UInt64(number) &* 31 &+ UInt64(inputs.count))
      let block = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 8)
      for i in 0..<bytes { block[i] = UInt8(truncatingIfNeeded: random.next()) }
      blocks.append(block)
      inputs.append(SnapshotInput(name, elementSize: size, bytes: UnsafeRawBufferPointer(block)))
    }
  }
  deinit { for block in blocks { block.deallocate() } }

  func isEqual(_ snapshot: Snapshot) -> Bool {
    snapshot.metadata == metadata && snapshot.sections.map(\.name) == inputs.map(\.name)
      && zip(snapshot.sections, inputs).allSatisfy {
        $0.elementSize == $1.elementSize && $0.bytes.elementsEqual($1.bytes)
      }
  }

  /// The file as bytes.
  func file(key: SnapshotKey? = nil, recordSize: Int = 8192, sequence: UInt64 = 5) throws -> [UInt8] {
    let disk = SimulatedDisk(seed: 1)
    try disk.makeFolder("f")
    var writer = SnapshotWriter(disk: disk, key: key)
    writer.recordSize = recordSize
    _ = try writer.write(inputs, metadata: metadata, sequence: sequence, to: "f/s")
    return try #require(disk.content("f/s"))
  }
}

func testKey(_ digit: Character = "5") throws -> SnapshotKey {
  try SnapshotKey(text: String(repeating: digit, count: 64), source: "test")
}

/// Examines bytes as if they were a file.
func examine(_ bytes: [UInt8], keys: [SnapshotKey] = []) throws -> SnapshotExamination {
  let disk = SimulatedDisk(seed: 1)
  disk.put("f/s", bytes)
  return SnapshotReader(disk: disk, keys: keys).examine("f/s")
}

/// A folder of the file system, removed at the end.
func withTemporaryFolder(_ body: (String) throws -> Void) throws {
  var template = Array("/tmp/affinity-snapshots-XXXXXX".utf8CString)
  try #require(mkdtemp(&template) != nil)
  let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  defer {
    for name in (try? PosixDisk().list(path)) ?? [] { unlink(path + "/" + name) }
    rmdir(path)
  }
  try body(path)
}
