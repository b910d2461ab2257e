// What goes through a log: places, bytes, records.

/// A partition by its topic's name.
public struct LogPlace: Hashable, Comparable, CustomStringConvertible {
  public var topic: String
  public var partition: Int32
  public init(_ topic: String, _ partition: Int32) {
    self.topic = topic
    self.partition = partition
  }
  public static func < (a: Self, b: Self) -> Bool {
    (a.topic, a.partition) < (b.topic, b.partition)
  }
  public var description: String { "\(topic)-\(partition)" }
}

public struct LogHeader: Hashable {
  public var name: String
  public var value: [UInt8]?
  public init(_ name: String, _ value: [UInt8]?) {
    self.name = name
    self.value = value
  }
}

/// Bytes of a message: written once, at an address that stays as long as the object lives.
public final class Payload {
  public let key: UnsafeRawBufferPointer?
  public let value: UnsafeRawBufferPointer?
  public let headers: [LogHeader]
  /// Milliseconds since 1970.
  public let timestamp: Int64
  private let storage: UnsafeMutableRawBufferPointer

  public init(
    key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headers: [LogHeader] = [],
    timestamp: Int64
  ) {
    let keySize = key?.count ?? 0
    let valueSize = value?.count ?? 0
    let storage = UnsafeMutableRawBufferPointer.allocate(
      byteCount: keySize + valueSize + 1, alignment: 16)
    self.storage = storage
    if let key { storage.copyMemory(from: key) }
    if let value {
      UnsafeMutableRawBufferPointer(rebasing: storage[keySize...]).copyMemory(from: value)
    }
    self.key = key.map { _ in UnsafeRawBufferPointer(rebasing: storage[..<keySize]) }
    self.value = value.map { _ in
      UnsafeRawBufferPointer(rebasing: storage[keySize..<keySize + valueSize])
    }
    self.headers = headers
    self.timestamp = timestamp
  }

  deinit { storage.deallocate() }

  /// Bytes of key, value and headers.
  public var size: Int {
    headers.reduce(storage.count - 1) { $0 + $1.name.utf8.count + ($1.value?.count ?? 0) }
  }
}

/// A record as a reader gets it.
public struct SimulatedRecord {
  public let place: LogPlace
  public let offset: Int64
  public let payload: Payload

  /// nil for a record without a key; the pointer is valid while the record is held.
  public var key: UnsafeRawBufferPointer? { payload.key }
  /// nil for a tombstone.
  public var value: UnsafeRawBufferPointer? { payload.value }
  public var headers: [LogHeader] { payload.headers }
  public var timestamp: Int64 { payload.timestamp }

  public var keyBytes: [UInt8]? { key.map { Array($0) } }
  public var valueBytes: [UInt8]? { value.map { Array($0) } }
  public var text: String { value.map { String(decoding: $0, as: UTF8.self) } ?? "" }
}

/// An offset with what the group keeps beside it.
public struct StoredOffset: Hashable {
  /// Of the next record to read.
  public var offset: Int64
  public var metadata: String
  public init(_ offset: Int64, metadata: String = "") {
    self.offset = offset
    self.metadata = metadata
  }
}

/// Where reading of a partition begins.
public enum LogStart: Hashable {
  case beginning
  case end
  case at(Int64)
}

/// Offsets between which a partition's records lie: of the first, and one behind the last.
public struct LogBounds: Hashable {
  public var low: Int64
  public var high: Int64
  public init(low: Int64, high: Int64) {
    self.low = low
    self.high = high
  }
}

public enum Isolation: Sendable { case readCommitted, readUncommitted }
