// Names for places in a log. Topics are named by their index in the list the client was made with.

import CRdKafka
import Glibc

public struct TopicPartition: Hashable, Sendable, Comparable, CustomStringConvertible {
  public var topic: Int32
  public var partition: Int32
  public init(topic: Int32, partition: Int32) {
    self.topic = topic
    self.partition = partition
  }
  public init(topic: Int, partition: Int) {
    self.init(topic: Int32(clamping: topic), partition: Int32(clamping: partition))
  }
  public static func < (a: Self, b: Self) -> Bool {
    (a.topic, a.partition) < (b.topic, b.partition)
  }
  public var description: String { "\(topic)-\(partition)" }
}

/// A partition with an offset: of the next record to read, where it is a position.
public struct PartitionOffset: Hashable, Sendable {
  public var place: TopicPartition
  public var offset: Int64
  /// Kept by the group with a committed offset; printable ASCII (2.0.2 spoils anything else, #4649).
  public var note: String?
  public init(_ place: TopicPartition, offset: Int64, note: String? = nil) {
    self.place = place
    self.offset = offset
    self.note = note
  }
  public init(topic: Int, partition: Int, offset: Int64) {
    self.init(TopicPartition(topic: topic, partition: partition), offset: offset)
  }
}

/// Where reading of a partition begins.
public enum StartOffset: Hashable, Sendable {
  /// The earliest record the broker still has.
  case beginning
  /// Behind the latest record of this moment.
  case end
  /// This record. If retention has removed it, an `offsetOutOfRange` event says so; nothing is
  /// skipped silently.
  case at(Int64)

  var raw: Int64 {
    switch self {
    case .beginning: Int64(RD_KAFKA_OFFSET_BEGINNING)
    case .end: Int64(RD_KAFKA_OFFSET_END)
    case .at(let offset): max(0, offset)
    }
  }
}

public struct PartitionStart: Hashable, Sendable {
  public var place: TopicPartition
  public var start: StartOffset
  public init(_ place: TopicPartition, _ start: StartOffset) {
    self.place = place
    self.start = start
  }
}

/// An owned `rd_kafka_topic_partition_list_t`.
struct PartitionList: ~Copyable {
  let list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>

  init(capacity: Int) { list = rd_kafka_topic_partition_list_new(Int32(clamping: capacity)) }
  deinit { rd_kafka_topic_partition_list_destroy(list) }

  func append(
    _ topic: String, _ partition: Int32, offset: Int64 = Int64(RD_KAFKA_OFFSET_INVALID),
    note: String? = nil
  ) {
    guard let element = rd_kafka_topic_partition_list_add(list, topic, partition) else { return }
    element.pointee.offset = offset
    guard let note, !note.isEmpty else { return }
    // Freed with the list.
    element.pointee.metadata = UnsafeMutableRawPointer(strdup(note))
    element.pointee.metadata_size = note.utf8.count
  }

  var elements: UnsafeMutableBufferPointer<rd_kafka_topic_partition_t> {
    UnsafeMutableBufferPointer(start: list.pointee.elems, count: Int(list.pointee.cnt))
  }
}
