// Commits, committed offsets, watermarks, metadata and membership.

import CRdKafka
import Glibc

/// Offsets between which a partition's records lie.
public struct Watermarks: Equatable, Sendable {
  /// Of the earliest record.
  public var low: Int64
  /// One behind the latest record. Control records take offsets too: the difference is no count.
  public var high: Int64
  public init(low: Int64, high: Int64) {
    self.low = low
    self.high = high
  }
}

/// Our place in the group.
public struct Membership: Equatable, Sendable {
  public var memberID: String
  /// Changes with every rebalance; nil where this build of librdkafka does not show it.
  public var generation: Int32?
}

extension Consumer {
  /// Whether the broker is librdkafka's own mock, which knows no transactions. False where the broker does
  /// not tell its cluster's name within a second.
  public var isEmbeddedBroker: Bool {
    guard let id = rd_kafka_clusterid(client, 1000) else { return false }
    defer { free(id) }
    return String(cString: id).hasPrefix("mockCluster")
  }

  /// Commits for the group and waits for the answer. Offsets are of the next record to read.
  /// - Throws: `timedOut` (whether it took effect is then unknown), or the first partition's error.
  public func commit(
    _ offsets: [PartitionOffset], timeoutMilliseconds: Int = 10_000
  ) throws(KafkaError) {
    var outcome: Result<Void, KafkaError>?
    let token = try beginCommit(offsets) { _, result in outcome = result }
    let deadline = Deadline(milliseconds: timeoutMilliseconds)
    while outcome == nil {
      serveCommits(milliseconds: min(deadline.remaining32, 1000))
      if outcome == nil && deadline.remaining == 0 {
        commitTokens[token] = nil
        throw .timedOut(operation: "commit", milliseconds: timeoutMilliseconds)
      }
    }
    try outcome?.get()
  }

  /// Commits for the group without waiting; `then` is called inside a later `poll` or commit.
  public func commit(
    _ offsets: [PartitionOffset],
    then: @escaping ([PartitionOffset], Result<Void, KafkaError>) -> Void
  ) throws(KafkaError) {
    _ = try beginCommit(offsets, then)
  }

  /// What the group has committed, in the order asked. Repeats the question while the error is
  /// one that passes (a coordinator that moves, an open transaction) and there is time.
  public func committed(
    _ partitions: [TopicPartition], timeoutMilliseconds: Int = 10_000
  ) throws(KafkaError) -> [CommittedOffset] {
    if partitions.isEmpty { return [] }
    let deadline = Deadline(milliseconds: timeoutMilliseconds)
    while true {
      let list = PartitionList(capacity: partitions.count)
      for place in partitions { list.append(topics[Int(place.topic)], place.partition) }
      var error = rd_kafka_committed(client, list.list, max(100, min(deadline.remaining32, 5000)))
      if !error.isError { error = list.elements.first { $0.err.isError }?.err ?? error }
      if !error.isError {
        return zip(partitions, list.elements).map { place, element in
          CommittedOffset(
            place: place, offset: element.offset >= 0 ? element.offset : nil,
            note: element.metadata_size > 0
              ? String(
                decoding: UnsafeRawBufferPointer(
                  start: element.metadata, count: element.metadata_size), as: UTF8.self) : nil)
        }
      }
      guard KafkaError.remedy(of: error) == .retry else { throw .failure(error) }
      guard deadline.remaining > 0 else {
        if error == RD_KAFKA_RESP_ERR__TIMED_OUT || error == RD_KAFKA_RESP_ERR__WAIT_COORD {
          throw .timedOut(operation: "committed offsets", milliseconds: timeoutMilliseconds)
        }
        throw .failure(error)
      }
      usleepMilliseconds(50)
    }
  }

  /// Asks the partition's leader. librdkafka may take somewhat longer than told (#4460).
  public func watermarks(
    _ place: TopicPartition, timeoutMilliseconds: Int = 5000
  ) throws(KafkaError) -> Watermarks {
    var low: Int64 = 0
    var high: Int64 = 0
    let error = rd_kafka_query_watermark_offsets(
      client, topics[Int(place.topic)], place.partition, &low, &high,
      Int32(clamping: timeoutMilliseconds))
    if error == RD_KAFKA_RESP_ERR__TIMED_OUT {
      throw .timedOut(operation: "watermarks of \(place)", milliseconds: timeoutMilliseconds)
    }
    if error.isError { throw .failure(error) }
    return Watermarks(low: low, high: high)
  }

  /// What the latest fetch response said; nil before the first. Costs no request.
  public func cachedWatermarks(_ place: TopicPartition) -> Watermarks? {
    var low: Int64 = 0
    var high: Int64 = 0
    let error = rd_kafka_get_watermark_offsets(
      client, topics[Int(place.topic)], place.partition, &low, &high)
    return error.isError || high < 0 ? nil : Watermarks(low: max(0, low), high: high)
  }

  /// Records behind the end, by our position and the cached watermark; nil while either is unknown.
  public func lag(_ place: TopicPartition) -> Int64? {
    guard let marks = cachedWatermarks(place), let position = position(place) else { return nil }
    return max(0, marks.high - position)
  }

  /// Waits until all topics are there with a leader for every partition; their partition counts.
  public func requireTopics(timeoutMilliseconds: Int) throws(KafkaError) -> [TopicMetadata] {
    try Metadata.require(
      topicHandles, of: client, deadline: Deadline(milliseconds: timeoutMilliseconds), serve: {})
  }

  /// One topic as the brokers see it now.
  public func metadata(
    topic: Int, timeoutMilliseconds: Int = 5000
  ) throws(KafkaError) -> TopicMetadata {
    try Metadata.topic(
      topicHandles[topic], of: client, milliseconds: Int32(clamping: timeoutMilliseconds))
  }

  /// nil outside a group.
  public var membership: Membership? {
    guard let text = rd_kafka_memberid(client) else { return nil }
    defer { rd_kafka_mem_free(client, text) }
    let memberID = String(cString: text)
    return memberID.isEmpty ? nil : Membership(memberID: memberID, generation: generation)
  }

  /// The error that made this consumer useless, if there is one.
  public var fatalError: KafkaError? { fatalFailure(of: client).map { .failure($0) } }

  // MARK: Inside

  /// librdkafka shows the generation only in its serialised form of the group's metadata:
  /// "CGMDv2:", then the generation as a 32-bit integer of this machine.
  private var generation: Int32? {
    guard let metadata = rd_kafka_consumer_group_metadata(client) else { return nil }
    defer { rd_kafka_consumer_group_metadata_destroy(metadata) }
    var buffer: UnsafeMutableRawPointer?
    var size = 0
    if let error = rd_kafka_consumer_group_metadata_write(metadata, &buffer, &size) {
      rd_kafka_error_destroy(error)
      return nil
    }
    guard let buffer else { return nil }
    defer { rd_kafka_mem_free(client, buffer) }
    let magic = Array("CGMDv2:".utf8)
    let bytes = UnsafeRawBufferPointer(start: buffer, count: size)
    guard size >= magic.count + 4, bytes.prefix(magic.count).elementsEqual(magic) else {
      return nil
    }
    let generation = bytes.loadUnaligned(fromByteOffset: magic.count, as: Int32.self)
    return generation < 0 ? nil : generation
  }

  private func beginCommit(
    _ offsets: [PartitionOffset],
    _ then: @escaping ([PartitionOffset], Result<Void, KafkaError>) -> Void
  ) throws(KafkaError) -> UInt {
    precondition(isOpen)
    let token = nextToken
    nextToken &+= 1
    let list = PartitionList(capacity: offsets.count)
    for one in offsets {
      list.append(topics[Int(one.place.topic)], one.place.partition, offset: one.offset, note: one.note)
    }
    let opaque = UnsafeMutableRawPointer(bitPattern: token)
    let error = rd_kafka_commit_queue(client, list.list, commitQueue, nil, opaque)
    if error.isError { throw .failure(error) }
    commitTokens[token] = then
    return token
  }

  /// Hands out the answers to commits that have come.
  func serveCommits(milliseconds: Int32) {
    if commitTokens.isEmpty && milliseconds == 0 { return }
    var wait = milliseconds
    while let event = rd_kafka_queue_poll(commitQueue, wait) {
      wait = 0
      defer { rd_kafka_event_destroy(event) }
      guard rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT else { continue }
      let token = UInt(bitPattern: rd_kafka_event_opaque(event))
      guard let then = commitTokens.removeValue(forKey: token) else { continue }
      var error = rd_kafka_event_error(event)
      var stored: [PartitionOffset] = []
      if let list = rd_kafka_event_topic_partition_list(event)?.pointee {
        for i in 0..<Int(list.cnt) {
          let element = list.elems[i]
          if element.err.isError && !error.isError { error = element.err }
          guard let topic = state.topicIndex[String(cString: element.topic)] else { continue }
          stored.append(
            PartitionOffset(
              TopicPartition(topic: topic, partition: element.partition), offset: element.offset))
        }
      }
      then(stored, error.isError ? .failure(.failure(error)) : .success(()))
    }
  }
}
