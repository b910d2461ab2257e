// What the live loop reads from: decoded records and what becomes of partitions, one thing after the
// other, in an order that every implementation keeps. `Intake` is the one over Kafka, on a thread of its
// own; a simulated log can be another, on the loop's thread.
//
// Order: what is delivered before a `revoked` belongs to the old assignment, what comes behind an
// `assigned` to the new one; records of a partition come in their order, each once per assignment.
import Events
import Kafka
import Snapshots
import Sparse

/// One delivery of a source.
package enum Delivery {
  /// Give it back with `recycle` when it is done.
  case records(RecordBatch)
  /// All partitions that are ours, ordered, with what the group has committed. Nothing comes until
  /// `begin` has been called.
  case assigned([CommittedOffset])
  /// All partitions go away, with the source's positions. They are ours until `release` is called,
  /// unless `lost` is set; commits still on their way are dropped then.
  case revoked([PartitionOffset], lost: Bool)
  /// The answer to a `commit`.
  case committed(Result<Void, KafkaError>)
}

/// Where reading of a partition begins, and the offset it must not reach until told (`limit`).
package struct PartitionPlan {
  package var start: StartOffset
  package var limit: Int64?
}

/// What a source tells besides records.
package enum Notice {
  case client(ConsumerEvent)
  /// The partition's next record is not below this limit: it waits.
  case limitReached(TopicPartition, limit: Int64)
  /// The offset to be read next is not there, and these are. Nothing comes from the partition until `restart`.
  case outOfRange(TopicPartition, offset: Int64, Watermarks)
}

/// The last record read of a partition.
package struct RecordMark {
  package var offset: Int64
  package var record: SnapshotMetadata.LastRecord
}

/// Called by the loop's thread only.
package protocol RecordSource: AnyObject {
  /// Partitions of all its topics, as they were at the last assignment.
  var partitionCount: Int { get }
  /// The next delivery; waits for one at most that long.
  /// - Throws: where nothing will ever come again.
  func next(waitMilliseconds: Int) throws(DaemonFailure) -> Delivery?
  /// Takes a batch back, for further records.
  func recycle(_ batch: RecordBatch)
  /// The answer to `assigned`: a plan for each partition, in its order.
  func begin(_ plans: [PartitionPlan])
  /// The answer to `revoked`.
  func release()
  /// New limits, by partition of the events topic; without one a partition reads on. Where partitions
  /// wait at an old one, reading goes on up to the new one, and is told again to have come there.
  func limit(_ limits: [Int32: Int64])
  /// Reads this partition from there, after `outOfRange`.
  func restart(_ place: TopicPartition, at start: StartOffset)
  /// Offsets of the next records to read; the answer is a delivery.
  func commit(_ offsets: [PartitionOffset])
  /// Offset behind the partition's latest record, as far as known; costs no request.
  func end(of place: TopicPartition) -> Int64?
  /// Commits (at most 5 s), leaves the group and ends. Nothing may be called afterwards.
  /// - Returns: whether that was done within the deadline, and what became of the commit.
  func finish(committing offsets: [PartitionOffset], deadlineMilliseconds: Int)
    -> (isClosed: Bool, commit: Result<Void, KafkaError>)
}

extension CrashLog.Record {
  @inline(__always) init(_ place: RecordBatch.Place) {
    self.init(topic: place.topic, partition: place.partition, offset: place.offset)
  }
}

extension Rejection {
  static let crash = Rejection(
    reason: .crash,
    message:
      "the process has died at this record \(CrashLog.patience) times in a row; passed over, please report it")
}

/// Records with what they were decoded to. Filled on one thread, read on another, then used again. The
/// bytes of events live in the decoder's arena; of other records, which are few, copies are kept.
package final class RecordBatch: @unchecked Sendable {
  /// Where a record stands. 24 bytes.
  package struct Place: BitwiseCopyable {
    var offset: Int64
    /// -1: none.
    var timestamp: Int64
    var partition: Int32
    var topic: Int32

    package init(offset: Int64, timestamp: Int64, partition: Int32, topic: Int32) {
      self.offset = offset
      self.timestamp = timestamp
      self.partition = partition
      self.topic = topic
    }

    @inline(__always) var position: LogPosition {
      LogPosition(
        topic: UInt16(truncatingIfNeeded: topic), partition: partition, offset: offset,
        timestamp: timestamp)
    }
  }
  /// A record that is no event to apply.
  struct Other {
    enum Kind {
      case catalogue
      /// A null value under this user's key.
      case erasure
      case rejected(Rejection)
    }
    var index: Int
    var kind: Kind
    var key: [UInt8]?
    var value: [UInt8]?
    var headers: [Header]
  }

  /// One entry per record; void for those of the catalogue.
  let events: EventBatch
  private(set) var places = Vec<Place>()
  /// In the order of their indexes.
  private(set) var others: [Other] = []
  package var notices: [Notice] = []
  /// Of the last record of each partition in here.
  private(set) var marks: [TopicPartition: RecordMark] = [:]
  /// Monotonic ns at which the first record was taken from the client.
  package var receivedAt: Int64 = 0
  /// Of keys and values.
  private(set) var bytes = 0
  private let futureTolerance: Int64
  private let crashes: CrashLog?

  /// - Parameter crashes: told of each record before it is decoded.
  package init(limits: EventLimits, futureTolerance: Int64, crashes: CrashLog? = nil) {
    events = EventBatch(limits: limits)
    self.futureTolerance = futureTolerance
    self.crashes = crashes
  }

  package var count: Int { places.count }
  package var isEmpty: Bool { places.count == 0 && notices.isEmpty }

  package func removeAll() {
    events.reset()
    places.removeAll()
    if !others.isEmpty { others.removeAll() }
    if !notices.isEmpty { notices.removeAll() }
    if !marks.isEmpty { marks.removeAll(keepingCapacity: true) }
    bytes = 0
  }

  /// Decodes and appends records from the front, until the batch holds `records` of them or `bytes`: at least
  /// one, where there is any.
  /// - Returns: how many.
  func append(
    _ messages: UnsafeBufferPointer<MessageView>, records: Int, bytes most: Int
  ) -> Int {
    if let crashes, crashes.isCareful, let message = messages.first {
      append(
        Place(
          offset: message.offset, timestamp: message.timestamp ?? -1, partition: message.partition,
          topic: message.topic),
        key: message.key, value: message.value,
        contentType: message.header("content-type") ?? nil, headers: { message.copyHeaders() })
      mark(message.key, message.value)
      return 1
    }
    let first = places.count
    let room = min(messages.count, max(1, records - first))
    places.reserve(first + room)
    let target = places.base + first
    var sum = bytes
    var count = 0
    while count < room && (sum < most || count == 0) {
      let message = messages[count]
      let value = message.value
      target[count] = Place(
        offset: message.offset, timestamp: message.timestamp ?? -1, partition: message.partition,
        topic: message.topic)
      sum &+= (message.key?.count ?? 0) &+ (value?.count ?? 0)
      add(message.topic, value, message.header("content-type") ?? nil)
      count &+= 1
    }
    places.count = first + count
    bytes = sum
    // All are decoded in one go: should the process die of one, it is the next run that looks at each.
    if count > 0 { crashes?.decoding(CrashLog.Record(target[0])) }
    events.settle()
    crashes?.restFromDecoding()
    for i in 0..<count {
      let message = messages[i]
      keepUnusual(first &+ i, message.key, message.value) { message.copyHeaders() }
      // Records of a partition come in runs: the last of each is marked.
      if i &+ 1 == count || messages[i &+ 1].partition != message.partition
        || messages[i &+ 1].topic != message.topic
      {
        mark(first &+ i, message.key, message.value)
      }
    }
    return count
  }

  /// Decodes and appends one record. `headers` are asked for only where they are needed.
  package func append(
    _ place: Place, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?,
    contentType: UnsafeRawBufferPointer?, headers: () -> [Header]
  ) {
    places.append(place)
    bytes &+= (key?.count ?? 0) &+ (value?.count ?? 0)
    if let crashes, crashes.skipped.contains(CrashLog.Record(place)) {
      events.add(value: UnsafeRawBufferPointer(start: nil, count: 0))
      events.settle()
      return keep(places.count - 1, .rejected(.crash), key, value, headers())
    }
    crashes?.decoding(CrashLog.Record(place))
    add(place.topic, value, contentType)
    events.settle()
    crashes?.restFromDecoding()
    keepUnusual(places.count - 1, key, value, headers)
  }

  /// Of the events topic (0) or of the catalogue (1), which is not the decoder's.
  @inline(__always)
  private func add(
    _ topic: Int32, _ value: UnsafeRawBufferPointer?, _ contentType: UnsafeRawBufferPointer?
  ) {
    if topic == 0 {
      events.add(
        value: value ?? UnsafeRawBufferPointer(start: nil, count: 0), contentType: contentType)
    } else {
      events.add(value: UnsafeRawBufferPointer(start: nil, count: 0))
    }
  }

  /// What is no event to apply is kept as it came.
  @inline(__always)
  private func keepUnusual(
    _ index: Int, _ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?,
    _ headers: () -> [Header]
  ) {
    let place = places[index]
    if place.topic != 0 {
      keep(index, .catalogue, key, value, headers())
      return
    }
    if let event = events.event(at: index) {
      if event.isFuture(recordTimestamp: place.timestamp, tolerance: futureTolerance) {
        let rejection = Rejection.future(
          event, recordTimestamp: place.timestamp, tolerance: futureTolerance)
        keep(index, .rejected(rejection), key, value, headers())
      }
      return
    }
    switch events[index] {
    case .event, .unknownType: break
    case .erasure:
      if let fault = events.fault(inErasureKey: key ?? UnsafeRawBufferPointer(start: nil, count: 0)) {
        keep(index, .rejected(fault), key, value, headers())
      } else {
        keep(index, .erasure, key, value, [])
      }
    case .rejected(let rejection): keep(index, .rejected(rejection), key, value, headers())
    }
  }

  /// The record just appended is the last of its partition, for the time being.
  package func mark(_ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?) {
    mark(places.count - 1, key, value)
  }

  private func mark(
    _ index: Int, _ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?
  ) {
    let place = places[index]
    marks[TopicPartition(topic: place.topic, partition: place.partition)] = RecordMark(
      offset: place.offset,
      record: SnapshotMetadata.LastRecord(timestamp: place.timestamp, key: key, value: value))
  }

  private func keep(
    _ index: Int, _ kind: Other.Kind, _ key: UnsafeRawBufferPointer?,
    _ value: UnsafeRawBufferPointer?, _ headers: [Header]
  ) {
    others.append(
      Other(
        index: index, kind: kind, key: key.map { [UInt8]($0) }, value: value.map { [UInt8]($0) },
        headers: headers))
  }
}
