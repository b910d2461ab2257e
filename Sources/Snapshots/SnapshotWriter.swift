// Writes one snapshot file: layout, checksums, cipher, and out through a `Disk`.
import Sparse

/// Memory that becomes a section. It is not copied: it must stay in place and unchanged until the file
/// is written.
public struct SnapshotInput {
  public var name: String
  public var elementSize: Int
  public var bytes: UnsafeRawBufferPointer

  /// - Parameter name: lower-case letters, digits, and . _ - of at most 40 bytes; not `metadata`.
  public init(_ name: String, elementSize: Int, bytes: UnsafeRawBufferPointer) {
    precondition(SnapshotFormat.isName(Array(name.utf8)) && name != SnapshotFormat.metadataName)
    precondition(elementSize >= 1 && bytes.count % elementSize == 0)
    self.name = name
    self.elementSize = elementSize
    self.bytes = bytes
  }

  /// The elements of a vector that is not touched until the file is written.
  public init<Element>(_ name: String, _ vector: borrowing Vec<Element>) {
    self.init(
      name, elementSize: MemoryLayout<Element>.stride, bytes: UnsafeRawBufferPointer(vector.buffer))
  }
}

public struct SnapshotWriter {
  /// Runs `body` for all parts, at the same time or not.
  public typealias Parallel = (_ parts: Int, _ body: (_ part: Int) -> Void) -> Void
  public static func oneByOne(_ parts: Int, _ body: (_ part: Int) -> Void) {
    for part in 0..<parts { body(part) }
  }

  public var disk: any Disk
  /// Encrypts where given.
  public var key: SnapshotKey?
  public var parallel: Parallel = SnapshotWriter.oneByOne
  /// Bytes handed to the system at once, about: the longest the disk is kept busy without a pause.
  public var bytesPerWrite = 8 << 20
  /// Bytes per encrypted record.
  public var recordSize = 1 << 20
  /// Called between writes with bytes written and their total; it may wait.
  public var progress: ((_ written: Int, _ total: Int) -> Void)?

  public init(disk: any Disk, key: SnapshotKey? = nil) {
    self.disk = disk
    self.key = key
  }

  /// Writes a new file and makes its content durable (its name is so once the folder is synced). Where
  /// it throws, the file is removed again if the disk lets us.
  /// - Returns: its length.
  public func write(
    _ inputs: [SnapshotInput], metadata: SnapshotMetadata, sequence: UInt64, to path: String
  ) throws(SnapshotError) -> Int {
    precondition(SnapshotFormat.recordSizes.contains(recordSize) && bytesPerWrite >= 1)
    precondition(inputs.count < SnapshotFormat.maximumSections)
    precondition(Set(inputs.map(\.name)).count == inputs.count, "two sections of one name")
    let text = metadata.encoded()
    let front = UnsafeMutableRawBufferPointer.allocate(
      byteCount: text.count, alignment: SnapshotFormat.page)
    defer { front.deallocate() }
    front.copyBytes(from: text)
    var sections: [(name: String, elementSize: Int, bytes: UnsafeRawBufferPointer)] = [
      (SnapshotFormat.metadataName, 1, UnsafeRawBufferPointer(front))
    ]
    for input in inputs { sections.append((input.name, input.elementSize, input.bytes)) }

    let sums = Sums(sections.map(\.bytes), parallel)
    var entries: [SnapshotEntry] = []
    var next = SnapshotEntry.firstOffset(count: sections.count)
    for (i, section) in sections.enumerated() {
      let entry = SnapshotEntry(
        name: section.name, offset: next, length: section.bytes.count,
        elementSize: section.elementSize, checksum: sums.values[i])
      next = entry.end
      entries.append(entry)
    }
    var table = [UInt8](
      repeating: 0, count: entries[0].offset - SnapshotFormat.page)
    let tableChecksum = table.withUnsafeMutableBytes { bytes in
      let size = SnapshotFormat.entrySize
      for (i, entry) in entries.enumerated() {
        entry.encode(into: UnsafeMutableRawBufferPointer(rebasing: bytes[i * size..<(i + 1) * size]))
      }
      return Checksum.of(UnsafeRawBufferPointer(bytes).part(0, entries.count * size))
    }
    var header = SnapshotHeader(
      length: next, sequence: sequence, sectionCount: entries.count, tableChecksum: tableChecksum)
    if let key {
      header.cipher = .aes256gcm
      header.recordSize = recordSize
      header.keyID = key.id
      header.salt = SystemRandom.bytes(32)
    }
    let body = Body(header: header.encoded(), table: table, sections: sections.map(\.bytes))
    defer { body.own.deallocate() }

    let file: any DiskFile
    do { file = try disk.create(path) } catch { throw .disk(error) }
    do throws(SnapshotError) {
      try fill(file, header, body, path)
    } catch {
      try? file.close()
      try? disk.remove(path)
      throw error
    }
    return header.fileLength
  }

  private func fill(
    _ file: any DiskFile, _ header: SnapshotHeader, _ body: Body, _ path: String
  ) throws(SnapshotError) {
    var written = 0
    func put(_ bytes: UnsafeRawBufferPointer) throws(DiskError) {
      var at = 0
      while at < bytes.count {
        at += try file.write(bytes.part(at, min(bytesPerWrite, bytes.count - at)))
        progress?(written + at, header.fileLength)
      }
      written += at
    }
    do throws(DiskError) {
      try file.reserve(header.fileLength)
      try put(body.header)
      if key == nil { for piece in body.pieces { try put(piece) } }
    } catch { throw .disk(error) }
    if let key {
      let cipher = RecordCipher(key: key, header: Array(body.header), count: header.recordCount)
      // Records are sealed in groups that can run at the same time, then written.
      let size = header.recordSize
      let stride = size + SnapshotFormat.tagSize
      let group = max(1, bytesPerWrite / size)
      let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: group * size, alignment: 4096)
      let sealed = UnsafeMutablePointer<UInt8>.allocate(capacity: group * stride)
      let isSealed = UnsafeMutablePointer<Bool>.allocate(capacity: group)
      defer {
        plain.deallocate()
        sealed.deallocate()
        isSealed.deallocate()
      }
      var cursor = Body.Cursor()
      var record = 0
      while record < header.recordCount {
        let filled = body.copy(&cursor, into: plain)
        let records = (filled + size - 1) / size
        parallel(records) { part in
          let count = min(size, filled - part * size)
          isSealed[part] = cipher.seal(
            record + part, UnsafeRawBufferPointer(plain).part(part * size, count),
            into: sealed + part * stride)
        }
        for part in 0..<records where !isSealed[part] { throw .encryption(path: path) }
        do throws(DiskError) {
          try put(
            UnsafeRawBufferPointer(start: sealed, count: filled + records * SnapshotFormat.tagSize))
        } catch { throw .disk(error) }
        record += records
      }
    }
    do throws(DiskError) {
      try file.sync()
      try file.close()
    } catch { throw .disk(error) }
  }
}

/// The bytes of a file: its header, and in pieces what follows: the table, then each section with its
/// padding. The sections are not copied.
private struct Body {
  let header: UnsafeRawBufferPointer
  private(set) var pieces: [UnsafeRawBufferPointer]
  /// A page of zeros, the header's, and the table's. Deallocated by whoever made this.
  let own: UnsafeMutableRawBufferPointer

  init(header page: [UInt8], table: [UInt8], sections: [UnsafeRawBufferPointer]) {
    let size = SnapshotFormat.page
    own = .allocate(byteCount: 2 * size + table.count, alignment: size)
    own.copyBytes(from: [UInt8](repeating: 0, count: size) + page + table)
    let bytes = UnsafeRawBufferPointer(own)
    header = bytes.part(size, size)
    pieces = [bytes.part(2 * size, table.count)]
    for section in sections where section.count > 0 {
      pieces.append(section)
      let padding = SnapshotFormat.roundedUp(section.count) - section.count
      if padding > 0 { pieces.append(bytes.part(0, padding)) }
    }
  }

  struct Cursor {
    var piece = 0
    var offset = 0
  }

  /// Copies what comes next, as much as there is room for; returns how much.
  func copy(_ cursor: inout Cursor, into: UnsafeMutableRawBufferPointer) -> Int {
    var filled = 0
    while filled < into.count && cursor.piece < pieces.count {
      let piece = pieces[cursor.piece]
      let count = min(into.count - filled, piece.count - cursor.offset)
      UnsafeMutableRawBufferPointer(rebasing: into[filled...]).copyMemory(
        from: piece.part(cursor.offset, count))
      filled += count
      cursor.offset += count
      if cursor.offset == piece.count { cursor = Cursor(piece: cursor.piece + 1) }
    }
    return filled
  }
}

/// Checksums of several pieces of memory, in parts of a few megabytes that may run at the same time.
struct Sums {
  private static let partSize = 4 << 20

  /// One per piece.
  private(set) var values: [UInt32] = []

  /// - Parameter load: called with piece, offset and count before a part is read; false: it cannot be.
  init(
    _ pieces: [UnsafeRawBufferPointer], _ parallel: SnapshotWriter.Parallel,
    load: @escaping (_ piece: Int, _ from: Int, _ count: Int) -> Bool = { _, _, _ in true }
  ) {
    var parts: [(piece: Int, from: Int, count: Int)] = []
    for (i, piece) in pieces.enumerated() {
      var from = 0
      while from < piece.count {
        let count = min(Sums.partSize, piece.count - from)
        parts.append((i, from, count))
        from += count
      }
    }
    var sums = [UInt32](repeating: 0, count: parts.count)
    sums.withUnsafeMutableBufferPointer { sums in
      let sums = sums
      parallel(parts.count) { i in
        let part = parts[i]
        if !load(part.piece, part.from, part.count) { return }
        sums[i] = Checksum.of(pieces[part.piece].part(part.from, part.count))
      }
    }
    values = [UInt32](repeating: 0, count: pieces.count)
    for (i, part) in parts.enumerated() {
      values[part.piece] = Checksum.join(values[part.piece], sums[i], secondLength: part.count)
    }
  }
}
