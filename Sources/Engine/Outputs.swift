// What the engine says, as bytes in a buffer the caller owns. The caller publishes the records in
// order and clears the buffer; nothing here knows Kafka or files.
import Sparse

/// The topics of DESIGN §4 that the engine writes.
public enum OutputTopic: UInt8, CaseIterable, Sendable, BitwiseCopyable {
  case recommendations, neighbours, rules, popular, models, deadLetters, receipts

  /// The name in configuration and of replay's file.
  public var name: String {
    switch self {
    case .recommendations: "recommendations"
    case .neighbours: "neighbours"
    case .rules: "rules"
    case .popular: "popular"
    case .models: "models"
    case .deadLetters: "dead-letters"
    case .receipts: "receipts"
    }
  }

  /// The topics that hold something of a user under the user's key: an erasure puts null there.
  public static let keyedByUser: [OutputTopic] = [.recommendations]

  /// Whether every message counts; of the other topics the last one per key.
  public var isLog: Bool {
    switch self {
    case .models, .deadLetters, .receipts: true
    case .recommendations, .neighbours, .rules, .popular: false
    }
  }
}

/// One message: where its key and value stand in the bytes.
public struct OutputRecord: Sendable, BitwiseCopyable {
  public var topic: OutputTopic
  /// True: a null value (the key went away).
  public var isDeletion: Bool
  public var start: Int
  public var keyEnd: Int
  public var end: Int
  /// When the cause entered the engine, by the caller's clock (0 where there is none): for latencies.
  public var receivedAt: Int64
}

public struct Outputs: ~Copyable {
  public var writer: ByteWriter
  public private(set) var records: Vec<OutputRecord>

  public init() {
    writer = ByteWriter(capacity: 1 << 16)
    records = Vec()
  }

  public var count: Int { records.count }
  public var byteCount: Int { writer.count }
  public func key(_ record: OutputRecord) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: writer.bytes[record.start..<record.keyEnd])
  }
  public func value(_ record: OutputRecord) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: writer.bytes[record.keyEnd..<record.end])
  }

  public mutating func removeAll() {
    writer.removeAll()
    records.removeAll()
  }

  /// Ends a message whose key was written at `start..<keyEnd` and whose value follows it.
  public mutating func finish(
    _ topic: OutputTopic, start: Int, keyEnd: Int, receivedAt: Int64 = 0, isDeletion: Bool = false
  ) {
    records.append(
      OutputRecord(
        topic: topic, isDeletion: isDeletion, start: start, keyEnd: keyEnd, end: writer.count,
        receivedAt: receivedAt))
  }

  /// A null value under the key written from `start` on.
  public mutating func delete(_ topic: OutputTopic, start: Int) {
    finish(topic, start: start, keyEnd: writer.count, isDeletion: true)
  }

  /// Takes over another buffer's messages `range`, behind one's own.
  public mutating func append(_ other: borrowing Outputs, range: Range<Int>) {
    for i in range {
      let record = other.records[i]
      let start = writer.count
      writer.append(bytes: other.key(record))
      let keyEnd = writer.count
      writer.append(bytes: other.value(record))
      finish(
        record.topic, start: start, keyEnd: keyEnd, receivedAt: record.receivedAt,
        isDeletion: record.isDeletion)
    }
  }
}

extension Outputs: @unchecked Sendable {}
