// What a snapshot says of itself: the section `metadata`, JSON, so that people and other programs can
// read it without this one.
import Foundation

public struct SnapshotMetadata: Codable, Hashable, Sendable {
  public struct Topic: Codable, Hashable, Sendable {
    public var name: String
    public var partitions: [Partition]
    public init(name: String, partitions: [Partition]) {
      self.name = name
      self.partitions = partitions
    }
  }
  public struct Partition: Codable, Hashable, Sendable {
    /// Offset of the next record to read; -1: nothing was read.
    public var next: Int64
    /// The last record read, by which a topic that was made anew is known.
    public var last: LastRecord?
    public init(next: Int64, last: LastRecord? = nil) {
      self.next = next
      self.last = last
    }
  }
  public struct LastRecord: Codable, Hashable, Sendable {
    public var timestamp: Int64
    /// CRC32C of key and value.
    public var checksum: UInt32
    public init(timestamp: Int64, checksum: UInt32) {
      self.timestamp = timestamp
      self.checksum = checksum
    }
  }
  public struct Matrix: Codable, Hashable, Sendable {
    public var name: String
    /// ms since 1970: entries at or before are gone; -1: none.
    public var horizon: Int64
    public init(name: String, horizon: Int64) {
      self.name = name
      self.horizon = horizon
    }
  }
  public struct Size: Codable, Hashable, Sendable {
    public var name: String
    public var count: Int
    public init(name: String, count: Int) {
      self.name = name
      self.count = count
    }
  }

  /// Program and version that wrote it.
  public var software = ""
  /// Fingerprint of those settings on which the state depends.
  public var configuration = ""
  /// Kafka's id of the cluster; nil where it has none.
  public var cluster: String?
  /// ms since 1970.
  public var created: Int64 = 0
  /// Of the state: 32 hexadecimal digits.
  public var digest = ""
  /// The offset vector.
  public var topics: [Topic] = []
  public var matrices: [Matrix] = []
  /// The model in force.
  public var model: String?
  /// Rows, users, items, pairs and the like, in the order they are to be shown.
  public var sizes: [Size] = []

  public init() {}

  func encoded() -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Strings and integers: there is nothing that could fail.
    return (try? encoder.encode(self)).map(Array.init) ?? []
  }

  init(decoding bytes: UnsafeRawBufferPointer) throws(SnapshotFault) {
    do {
      self = try JSONDecoder().decode(SnapshotMetadata.self, from: Data(bytes))
    } catch {
      throw .damaged(place: SnapshotFormat.metadataName, reason: "not what this version writes")
    }
  }
}
