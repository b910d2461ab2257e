// Reads one snapshot file: maps it (or decrypts it into memory of its own), checks every byte, and hands
// out the sections where they lie, to be used in place.
import Synchronization

/// A section of a snapshot in memory. Writing to it does not reach the file.
public struct SnapshotSection: Sendable {
  public let name: String
  public let elementSize: Int
  /// Page-aligned.
  public nonisolated(unsafe) let base: UnsafeMutableRawPointer
  public let byteCount: Int
  /// Bytes up to the end of the section's last page. Those behind `byteCount` are zero and free to use.
  public let byteCapacity: Int
  /// Whoever keeps `base` keeps this.
  public let owner: DiskMemory

  public var count: Int { byteCount / elementSize }
  public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }

  /// nil where the elements have another size. Valid as long as `owner`.
  public func elements<Element: BitwiseCopyable>(
    of type: Element.Type = Element.self
  ) -> UnsafeMutableBufferPointer<Element>? {
    if MemoryLayout<Element>.stride != elementSize { return nil }
    return UnsafeMutableBufferPointer(
      start: base.bindMemory(to: Element.self, capacity: count), count: count)
  }
}

/// A snapshot that was checked and found good.
public struct Snapshot: Sendable {
  public let path: String
  public let sequence: UInt64
  public let metadata: SnapshotMetadata
  /// In file order, without the metadata.
  public let sections: [SnapshotSection]

  public func section(_ name: String) -> SnapshotSection? { sections.first { $0.name == name } }
}

/// What is in a file and what is wrong with it.
public struct SnapshotExamination: Sendable {
  public internal(set) var path: String
  /// Bytes of the file.
  public internal(set) var fileLength = 0
  /// These as far as they could be read.
  public internal(set) var header: SnapshotHeader?
  public internal(set) var entries: [SnapshotEntry] = []
  public internal(set) var metadata: SnapshotMetadata?
  /// In file order; empty: the file is good, and only then there is a `snapshot`.
  public internal(set) var faults: [SnapshotFault] = []
  public internal(set) var snapshot: Snapshot?
}

public struct SnapshotReader {
  public var disk: any Disk
  /// Keys that files may be encrypted with.
  public var keys: [SnapshotKey]
  public var parallel: SnapshotWriter.Parallel = SnapshotWriter.oneByOne

  public init(disk: any Disk, keys: [SnapshotKey] = []) {
    self.disk = disk
    self.keys = keys
  }

  /// The snapshot in a file, checked. Throws the first fault.
  public func open(_ path: String) throws(SnapshotFault) -> Snapshot {
    let examination = examine(path)
    guard let snapshot = examination.snapshot else {
      throw examination.faults.first ?? .damaged(place: "file", reason: "no snapshot")
    }
    return snapshot
  }

  /// Checks all of a file. Complexity: one pass, at the speed of CRC32C (and of AES).
  public func examine(_ path: String) -> SnapshotExamination {
    var result = SnapshotExamination(path: path)
    do throws(SnapshotFault) {
      let file = try faulting { () throws(DiskError) in try disk.map(path) }
      result.fileLength = file.count
      try faulting { () throws(DiskError) in try file.load(0, min(file.count, SnapshotFormat.page)) }
      let header = try SnapshotHeader(of: file.bytes)
      result.header = header
      if header.isEncrypted {
        try examine(try decrypted(file, header), header, &result)
      } else {
        try examine((file, []), header, &result)
      }
    } catch {
      result.faults.insert(error, at: 0)
    }
    return result
  }

  /// Checks a plain image, of which some ranges may already be known to be bad.
  private func examine(
    _ image: (memory: DiskMemory, bad: [(range: Range<Int>, fault: String)]),
    _ header: SnapshotHeader, _ result: inout SnapshotExamination
  ) throws(SnapshotFault) {
    let memory = image.memory
    let tableEnd = min(SnapshotEntry.firstOffset(count: header.sectionCount), memory.count)
    if let bad = image.bad.first(where: { $0.range.lowerBound < tableEnd }) {
      throw .damaged(place: "table", reason: bad.fault)
    }
    try faulting { () throws(DiskError) in
      try memory.load(SnapshotFormat.page, tableEnd - SnapshotFormat.page)
    }
    let bytes = UnsafeRawBufferPointer(start: memory.base, count: header.length)
    let entries = try SnapshotEntry.table(of: bytes, header: header)
    result.entries = entries

    // Nothing is read that the disk could not bring: what failed to load is not summed but found here.
    let unread = UnreadParts()
    let sums = Sums(
      entries.map { bytes.part($0.offset, $0.length) }, parallel,
      load: { piece, from, count in
        do throws(DiskError) {
          try memory.load(entries[piece].offset + from, count)
          return true
        } catch {
          unread.add(piece, error)
          return false
        }
      })
    for (i, entry) in entries.enumerated() {
      let whole = entry.offset..<entry.end
      if let error = unread.errors[i] {
        result.faults.append(.damaged(place: entry.name, reason: "\(error)"))
      } else if let bad = image.bad.first(where: { $0.range.overlaps(whole) }) {
        result.faults.append(.damaged(place: entry.name, reason: bad.fault))
      } else if sums.values[i] != entry.checksum {
        result.faults.append(.damaged(place: entry.name, reason: "checksum"))
      } else if !bytes.part(entry.offset + entry.length, entry.end - entry.offset - entry.length)
        .isZero
      {
        result.faults.append(.damaged(place: entry.name, reason: "padding"))
      } else if i == 0 {
        do throws(SnapshotFault) {
          result.metadata = try SnapshotMetadata(
            decoding: bytes.part(entry.offset, entry.length))
        } catch { result.faults.append(error) }
      }
    }
    guard result.faults.isEmpty, let metadata = result.metadata else { return }
    result.snapshot = Snapshot(
      path: result.path, sequence: header.sequence, metadata: metadata,
      sections: entries.dropFirst().map {
        SnapshotSection(
          name: $0.name, elementSize: $0.elementSize, base: memory.base + $0.offset,
          byteCount: $0.length, byteCapacity: $0.end - $0.offset, owner: memory)
      })
  }

  /// The plain image of an encrypted file, with the ranges that did not open.
  private func decrypted(
    _ file: DiskMemory, _ header: SnapshotHeader
  ) throws(SnapshotFault) -> (DiskMemory, [(range: Range<Int>, fault: String)]) {
    guard let key = keys.first(where: { $0.id == header.keyID }) else {
      throw .keyMissing(id: hexadecimal(header.keyID))
    }
    let image = try faulting { () throws(DiskError) in try DiskMemory(zeros: header.length) }
    image.base.copyMemory(from: file.base, byteCount: SnapshotFormat.page)
    let cipher = RecordCipher(
      key: key, header: Array(file.bytes.part(0, SnapshotFormat.page)), count: header.recordCount)
    let size = header.recordSize
    let stride = size + SnapshotFormat.tagSize
    let unread = UnreadParts()
    let isOpen = UnsafeMutablePointer<Bool>.allocate(capacity: header.recordCount)
    defer { isOpen.deallocate() }
    // Several records to a part: two threads that meet in one huge page would both clear it.
    let together = max(1, (16 << 20) / size)
    parallel((header.recordCount + together - 1) / together) { part in
      for i in part * together..<min((part + 1) * together, header.recordCount) {
        let from = SnapshotFormat.page + i * size
        let length = min(size, header.length - from)
        let place = SnapshotFormat.page + i * stride
        let firstPage = place / SnapshotFormat.page * SnapshotFormat.page
        do throws(DiskError) {
          try file.load(firstPage, place + length + SnapshotFormat.tagSize - firstPage)
          isOpen[i] = cipher.open(
            i, file.bytes.part(place, length + SnapshotFormat.tagSize),
            into: (image.base + from).assumingMemoryBound(to: UInt8.self))
        } catch {
          unread.add(i, error)
          isOpen[i] = false
        }
      }
    }
    var bad: [(range: Range<Int>, fault: String)] = []
    for i in 0..<header.recordCount where !isOpen[i] {
      let from = SnapshotFormat.page + i * size
      let fault =
        unread.errors[i].map { "\($0)" }
        ?? "record \(i + 1) of \(header.recordCount) is not what was encrypted"
      bad.append((from..<min(from + size, header.length), fault))
    }
    return (image, bad)
  }

  private func faulting<Result>(
    _ body: () throws(DiskError) -> Result
  ) throws(SnapshotFault) -> Result {
    do { return try body() } catch { throw .unreadable(error) }
  }
}

/// What parts that run at the same time could not read.
private final class UnreadParts: Sendable {
  private let found = Mutex<[Int: DiskError]>([:])
  func add(_ part: Int, _ error: DiskError) { found.withLock { $0[part] = error } }
  var errors: [Int: DiskError] { found.withLock { $0 } }
}
