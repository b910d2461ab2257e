// An examination as a value for JSON.

public struct SnapshotReport: Codable, Hashable, Sendable {
  public struct Section: Codable, Hashable, Sendable {
    public var name: String
    public var offset: Int
    public var bytes: Int
    public var elementSize: Int
    /// CRC32C, 8 hexadecimal digits.
    public var checksum: String
  }
  public var file: String
  public var good: Bool
  public var faults: [String]
  /// Of the file.
  public var bytes: Int
  /// nil where the header is damaged, and so below.
  public var format: Int?
  public var sequence: UInt64?
  public var encryptedWith: String?
  public var sections: [Section]
  public var metadata: SnapshotMetadata?

  public init(_ examination: SnapshotExamination) {
    file = examination.path
    good = examination.snapshot != nil
    faults = examination.faults.map(\.description)
    bytes = examination.fileLength
    format = examination.header.map { _ in SnapshotFormat.version }
    sequence = examination.header?.sequence
    encryptedWith = examination.header?.keyIdentifier
    sections = examination.entries.map { entry in
      Section(
        name: entry.name, offset: entry.offset, bytes: entry.length, elementSize: entry.elementSize,
        checksum: hexadecimal(withUnsafeBytes(of: entry.checksum.bigEndian) { Array($0) }))
    }
    metadata = examination.metadata
  }
}
