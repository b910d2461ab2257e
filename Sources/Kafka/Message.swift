// A consumed record as librdkafka holds it, and a batch of them.
//
// A batch owns its messages: key, value and headers point into the fetch responses, which live
// until the batch goes. Nothing is copied or allocated per message; a view is 16 bytes.

import CRdKafka
import Synchronization

/// A record of a batch. Valid as long as the batch it came from; it does not keep it alive.
public struct MessageView: @unchecked Sendable {
  @usableFromInline let message: UnsafeMutablePointer<rd_kafka_message_t>
  /// Index of the topic in the consumer's list.
  public let topic: Int32
  public let partition: Int32

  @inlinable init(message: UnsafeMutablePointer<rd_kafka_message_t>, topic: Int32, partition: Int32)
  {
    self.message = message
    self.topic = topic
    self.partition = partition
  }

  @inlinable public var offset: Int64 { message.pointee.offset }
  @inlinable public var place: TopicPartition { TopicPartition(topic: topic, partition: partition) }

  /// nil for a tombstone; an empty value is an empty buffer.
  @inlinable public var value: UnsafeRawBufferPointer? {
    guard let start = message.pointee.payload else { return nil }
    return UnsafeRawBufferPointer(start: start, count: message.pointee.len)
  }

  /// nil where the record has no key; an empty key is an empty buffer.
  @inlinable public var key: UnsafeRawBufferPointer? {
    guard let start = message.pointee.key else { return nil }
    return UnsafeRawBufferPointer(start: start, count: message.pointee.key_len)
  }

  /// Milliseconds since 1970 of the record (its creation or its append, as the topic is set up);
  /// nil where it has none.
  public var timestamp: Int64? {
    var kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
    let time = rd_kafka_message_timestamp(message, &kind)
    return kind == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || time < 0 ? nil : time
  }

  /// The last header of this name: nil where there is none, `.some(nil)` where its value is null.
  /// The headers are parsed at the first question; a record without headers answers at once.
  public func header(_ name: String) -> UnsafeRawBufferPointer?? {
    var headers: OpaquePointer?
    guard !rd_kafka_message_headers(message, &headers).isError, let headers else { return nil }
    var value: UnsafeRawPointer?
    var size = 0
    guard !rd_kafka_header_get_last(headers, name, &value, &size).isError else { return nil }
    return .some(value.map { UnsafeRawBufferPointer(start: $0, count: size) })
  }

  /// All headers in their order. Names end with a zero byte.
  public func forEachHeader(_ body: (UnsafePointer<CChar>, UnsafeRawBufferPointer?) -> Void) {
    var headers: OpaquePointer?
    guard !rd_kafka_message_headers(message, &headers).isError, let headers else { return }
    var index = 0
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var size = 0
    while !rd_kafka_header_get_all(headers, index, &name, &value, &size).isError, let start = name {
      body(start, value.map { UnsafeRawBufferPointer(start: $0, count: size) })
      index += 1
    }
  }

  /// The headers, copied.
  public func copyHeaders() -> [Header] {
    var found: [Header] = []
    forEachHeader { name, value in
      found.append(Header(String(cString: name), value.map { Array($0) }))
    }
    return found
  }
}

/// A header by value. Names may repeat; a value may be null.
public struct Header: Hashable, Sendable {
  public var name: String
  public var value: [UInt8]?
  public init(_ name: String, _ value: [UInt8]?) {
    self.name = name
    self.value = value
  }
  public init(_ name: String, _ value: String) { self.init(name, Array(value.utf8)) }
}

/// The records and events of one poll. Records of a partition stand in their order. Destroys the
/// messages when it goes; a batch may be handed to another thread, and must be gone before the
/// consumer is closed (else the consumer is left behind, see `Consumer.close`).
public struct Batch: ~Copyable, @unchecked Sendable {
  @usableFromInline let views: UnsafeMutablePointer<MessageView>
  /// What librdkafka gave; stale records and errors are in here too until the end.
  let raw: UnsafeMutablePointer<UnsafeMutablePointer<rd_kafka_message_t>?>
  let rawCount: Int
  public let count: Int
  /// Bytes of keys and values.
  public let bytes: Int
  public let events: [ConsumerEvent]
  let state: ClientState

  init(
    views: UnsafeMutablePointer<MessageView>, count: Int, bytes: Int,
    raw: UnsafeMutablePointer<UnsafeMutablePointer<rd_kafka_message_t>?>, rawCount: Int,
    events: [ConsumerEvent], state: ClientState
  ) {
    self.views = views
    self.count = count
    self.bytes = bytes
    self.raw = raw
    self.rawCount = rawCount
    self.events = events
    self.state = state
    state.batchesOut.wrappingAdd(1, ordering: .relaxed)
  }

  deinit {
    for i in 0..<rawCount {
      if let message = raw[i] { rd_kafka_message_destroy(message) }
    }
    raw.deallocate()
    views.deallocate()
    state.batchesOut.wrappingSubtract(1, ordering: .releasing)
  }

  public var isEmpty: Bool { count == 0 && events.isEmpty }

  @inlinable public subscript(index: Int) -> MessageView {
    precondition(index >= 0 && index < count)
    return views[index]
  }

  @inlinable public var messages: UnsafeBufferPointer<MessageView> {
    UnsafeBufferPointer(start: views, count: count)
  }

  @inlinable public borrowing func forEach<E: Error>(
    _ body: (MessageView) throws(E) -> Void
  ) throws(E) {
    for i in 0..<count { try body(views[i]) }
  }

  /// Destroys the messages now.
  public consuming func release() {}
}

/// What a consumer learns besides records.
public enum ConsumerEvent: Equatable, Sendable {
  /// The reader has reached the end of the partition as it was (`enable.partition.eof` only).
  case endOfPartition(TopicPartition, offset: Int64)
  /// The offset asked for is not there: retention has passed it, or the topic was made anew.
  /// Nothing comes from that partition until it is assigned again.
  case offsetOutOfRange(TopicPartition, offset: Int64?, message: String)
  /// The owner did not poll for `max.poll.interval.ms` and has lost its partitions.
  case maxPollExceeded(message: String)
  /// An error about one partition; librdkafka goes on trying where that can help.
  case partitionFailed(TopicPartition, KafkaError.Failure)
  /// An error of the client: connections, group, authorisation. See its remedy.
  case failed(KafkaError.Failure)
}
