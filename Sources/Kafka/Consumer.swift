// A consumer over librdkafka: batches of records, positions of our own, explicit starts.
//
// Rules, each the answer to a known defect of librdkafka 2.0:
// - One thread calls everything here. Reading in batches while another thread pauses, seeks or
//   rebalances loses records (#4117); our rebalance callback only takes a note, and the next
//   `poll` acts on it, so that a batch belongs wholly to one assignment.
// - Starts are given in the assignment, never by seeking (#4230).
// - The position is ours: records below it are ignored (a resume may fetch from an older place,
//   #4636), and librdkafka's stored offsets are off.
// - Topics are looked up before they are subscribed to (#4273).
// - Closing happens on a thread that is left behind at the deadline (#4674, #4724).

import CRdKafka
import Glibc
import Synchronization

public final class Consumer {
  /// The topics this consumer knows; everything names them by their index here.
  public let topics: [String]
  /// Records that were not handed out: below the position, or of a partition we do not have.
  public internal(set) var ignoredRecords = 0

  /// Ends a waiting `poll`, from any thread.
  public let waker: Waker

  let client: OpaquePointer
  let state: ClientState
  let queue: OpaquePointer
  let commitQueue: OpaquePointer
  let topicHandles: [OpaquePointer]
  let groupID: String?

  // The assignment, ordered by (topic, partition); a slot is an index into it.
  var places: [TopicPartition] = []
  var starts: [StartOffset] = []
  /// Offset of the next record; -1 until a start that is not an offset has shown what it means.
  var positions: [Int64] = []
  /// [topic][partition] -> slot, or -1.
  var slots: [[Int32]]
  var handler: RebalanceHandler?
  var commitTokens: [UInt: ([PartitionOffset], Result<Void, KafkaError>) -> Void] = [:]
  var nextToken: UInt = 1
  var isOpen = true

  /// - Parameters:
  ///   - config: properties of librdkafka over `Settings.consumerDefaults`. Those that concern only
  ///     producers are left out.
  ///   - topics: what will be subscribed to or assigned.
  /// - Throws: every mistake in the settings at once. Reaches no broker.
  public init(
    config: [String: String], topics: [String], observer: ClientObserver = ClientObserver()
  ) throws(KafkaError) {
    var extra = observer.extraProperties
    // librdkafka assigns nothing to a consumer without a group, even by hand. No group is joined.
    if config["group.id"] == nil { extra["group.id"] = "affinity-reader" }
    groupID = config["group.id"]
    if let twice = topics.enumerated().first(where: { topics[..<$0].contains($1) }) {
      throw .settings("topic \(twice.element): named twice")
    }
    let (conf, errors) = Settings.make(config, role: .consumer, over: extra)
    try Settings.raise(errors, destroying: conf)
    let state = ClientState(observer: observer)
    for (index, name) in topics.enumerated() { state.topicIndex[name] = Int32(index) }
    self.state = state
    self.topics = topics
    slots = [[Int32]](repeating: [], count: topics.count)

    rd_kafka_conf_set_opaque(conf, Unmanaged.passUnretained(state).toOpaque())
    rd_kafka_conf_set_log_cb(conf) { client, level, facility, text in
      ClientState.from(rd_kafka_opaque(client))?.log(level, facility, text)
    }
    rd_kafka_conf_set_error_cb(conf) { client, error, text, opaque in
      guard let state = ClientState.from(opaque), let client else { return }
      state.noteError(of: client, rd_kafka_resp_err_t(error), text)
    }
    rd_kafka_conf_set_stats_cb(conf) { _, json, size, opaque in
      guard let json, let state = ClientState.from(opaque) else { return 0 }
      state.observer.statistics?(UnsafeRawBufferPointer(start: json, count: size))
      return 0
    }
    rd_kafka_conf_set_rebalance_cb(conf) { client, error, partitions, opaque in
      guard let client, let state = ClientState.from(opaque) else { return }
      state.noteRebalance(of: client, error, partitions)
    }

    client = try Settings.client(conf, role: .consumer)
    rd_kafka_poll_set_consumer(client)
    rd_kafka_set_log_queue(client, nil)
    queue = rd_kafka_queue_get_consumer(client)
    commitQueue = rd_kafka_queue_new(client)
    var handles: [OpaquePointer] = []
    for name in topics {
      guard let handle = rd_kafka_topic_new(client, name, nil) else {
        let error = rd_kafka_last_error()
        for made in handles { rd_kafka_topic_destroy(made) }
        rd_kafka_queue_destroy(queue)
        rd_kafka_queue_destroy(commitQueue)
        rd_kafka_destroy(client)
        throw .failure(error, message: "topic \(name)")
      }
      handles.append(handle)
    }
    topicHandles = handles
    state.queue = queue
    waker = Waker(queue)
  }

  deinit { if isOpen { _ = close(deadlineMilliseconds: 5000) } }

  // MARK: Reading

  /// Reads what is there, at most `maxMessages`; where nothing is there waits for the first record
  /// or event, at most `timeoutMilliseconds`. Acts on a rebalance first (calls the handler). Must
  /// be called at least every `max.poll.interval.ms`, also while everything is paused.
  ///
  /// - Throws: where a rebalance could not be acted on: the next poll tries again when the error
  ///   is retriable.
  public func poll(maxMessages: Int, timeoutMilliseconds: Int) throws(KafkaError) -> Batch {
    precondition(isOpen && maxMessages > 0, "poll on a closed consumer, or for nothing")
    try handleRebalances()
    serveCommits(milliseconds: 0)

    let raw = UnsafeMutablePointer<UnsafeMutablePointer<rd_kafka_message_t>?>.allocate(
      capacity: maxMessages)
    // librdkafka waits for a full batch until its timeout; so: what is there, or else one with a
    // wait and then what came with it.
    var count = max(0, rd_kafka_consume_batch_queue(queue, 0, raw, maxMessages))
    let woken = waker.take()
    if count == 0 && timeoutMilliseconds > 0 && !woken && state.events.isEmpty
      && state.rebalances.isEmpty
    {
      let wait = Int32(clamping: timeoutMilliseconds)
      count = max(0, rd_kafka_consume_batch_queue(queue, wait, raw, 1))
      if count == 1 && maxMessages > 1 {
        count += max(0, rd_kafka_consume_batch_queue(queue, 0, raw + 1, maxMessages - 1))
      }
      _ = waker.take()
    }
    let batch = collect(raw, count)
    // Nothing of the old assignment is in the owner's hands: no need to wait for the next poll.
    if batch.isEmpty && !state.rebalances.isEmpty { try handleRebalances() }
    return batch
  }

  /// The same, with the records given one by one. The batch is destroyed at the end.
  /// - Returns: the events of this poll, and the number of records.
  public func poll(
    maxMessages: Int, timeoutMilliseconds: Int, body: (MessageView) -> Void
  ) throws(KafkaError) -> (events: [ConsumerEvent], count: Int) {
    let batch = try poll(maxMessages: maxMessages, timeoutMilliseconds: timeoutMilliseconds)
    batch.forEach(body)
    return (batch.events, batch.count)
  }

  /// Sorts what librdkafka gave into records and events, and moves the positions.
  private func collect(
    _ raw: UnsafeMutablePointer<UnsafeMutablePointer<rd_kafka_message_t>?>, _ rawCount: Int
  ) -> Batch {
    let views = UnsafeMutablePointer<MessageView>.allocate(capacity: max(1, rawCount))
    var count = 0
    var bytes = 0
    var run = Run()
    for i in 0..<rawCount {
      guard let message = raw[i] else { continue }
      let isRecord = message.pointee.err.rawValue == 0
      if message.pointee.rkt != run.handle || message.pointee.partition != run.partition
        || !isRecord
      {
        end(run)
        guard isRecord else {
          run = Run()
          noteError(message)
          continue
        }
        run = self.run(message.pointee.rkt, message.pointee.partition)
      }
      let offset = message.pointee.offset
      guard offset >= run.position else {
        ignoredRecords += 1
        continue
      }
      run.position = offset &+ 1
      bytes &+= message.pointee.len &+ message.pointee.key_len
      (views + count).initialize(
        to: MessageView(message: message, topic: run.topic, partition: run.partition))
      count &+= 1
    }
    end(run)
    let events = state.events
    if !events.isEmpty { state.events = [] }
    return Batch(
      views: views, count: count, bytes: bytes, raw: raw, rawCount: rawCount, events: events,
      state: state)
  }

  /// Consecutive records of one partition: librdkafka delivers them by fetch response.
  private struct Run {
    var handle: OpaquePointer?
    var partition: Int32 = -1
    var topic: Int32 = -1
    var slot = -1
    /// Next offset; the greatest integer where the partition is not ours, so that all is ignored.
    var position = Int64.max
  }

  private func run(_ handle: OpaquePointer?, _ partition: Int32) -> Run {
    var run = Run(handle: handle, partition: partition)
    guard let handle else { return run }
    var topic = topicHandles.firstIndex(of: handle)
    if topic == nil {
      topic = state.topicIndex[String(cString: rd_kafka_topic_name(handle))].map(Int.init)
    }
    guard let topic, let slot = slot(TopicPartition(topic: Int32(topic), partition: partition))
    else { return run }
    run.topic = Int32(topic)
    run.slot = slot
    run.position = positions[slot]
    return run
  }

  private func end(_ run: Run) { if run.slot >= 0 { positions[run.slot] = run.position } }

  func slot(_ place: TopicPartition) -> Int? {
    guard place.topic >= 0, Int(place.topic) < slots.count, place.partition >= 0,
      Int(place.partition) < slots[Int(place.topic)].count
    else { return nil }
    let slot = slots[Int(place.topic)][Int(place.partition)]
    return slot < 0 ? nil : Int(slot)
  }

  /// An error that came in the place of a record.
  private func noteError(_ message: UnsafeMutablePointer<rd_kafka_message_t>) {
    let error = message.pointee.err
    let text = rd_kafka_message_errstr(message).map { String(cString: $0) } ?? ""
    var place: TopicPartition?
    if let handle = message.pointee.rkt {
      let name = String(cString: rd_kafka_topic_name(handle))
      if let topic = state.topicIndex[name] {
        place = TopicPartition(topic: topic, partition: message.pointee.partition)
      }
    }
    let offset = message.pointee.offset
    switch (error, place) {
    case (RD_KAFKA_RESP_ERR__PARTITION_EOF, let place?):
      // A start at the beginning of an empty partition learns here where that is.
      if let slot = slot(place), positions[slot] < 0 { positions[slot] = offset }
      state.events.append(.endOfPartition(place, offset: offset))
    case (RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, let place?):
      state.events.append(
        .offsetOutOfRange(place, offset: offset >= 0 ? offset : nil, message: text))
    case (RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED, _):
      state.events.append(.maxPollExceeded(message: text))
    case (_, let place?) where place.partition >= 0:
      state.events.append(.partitionFailed(place, KafkaError.Failure(error, message: text)))
    default:
      state.events.append(.failed(KafkaError.Failure(error, message: text)))
    }
  }

  // MARK: Closing

  /// Leaves the group and frees the client. Nothing is committed, and the handler is not called:
  /// commit before. Batches must have been released. Never takes longer than the deadline.
  public func close(deadlineMilliseconds: Int) -> CloseResult {
    guard isOpen else { return .closed }
    isOpen = false
    handler = nil
    commitTokens = [:]
    let unanswered = !state.rebalances.isEmpty
    let batchesOut = state.batchesOut.load(ordering: .acquiring) > 0
    state.queue = nil
    waker.retire()
    state.closing.store(true, ordering: .sequentiallyConsistent)
    let handles = Handles(
      client: client, queues: [queue, commitQueue], topics: topicHandles, state: state)
    let inTime = runDetached(milliseconds: deadlineMilliseconds) {
      for queue in handles.queues { rd_kafka_queue_destroy(queue) }
      // A rebalance that was noted and not acted on is still waited for.
      if unanswered { rd_kafka_assign(handles.client, nil) }
      rd_kafka_consumer_close(handles.client)
      // Messages that are still out hold on to the client.
      if batchesOut { return }
      for topic in handles.topics { rd_kafka_topic_destroy(topic) }
      rd_kafka_destroy(handles.client)
      handles.state.closed.store(true, ordering: .releasing)
    }
    if inTime && !batchesOut { return .closed }
    // The client's threads may still call back.
    _ = Unmanaged.passRetained(state)
    return .abandoned
  }
}

/// Lets another thread end a `poll` that waits (or the next one, if none does): for shutdown, or when
/// a model is ready. Does nothing once the consumer is closed.
public final class Waker: Sendable {
  private struct Queue: @unchecked Sendable { var pointer: OpaquePointer? }
  private let queue: Mutex<Queue>

  init(_ queue: OpaquePointer) { self.queue = Mutex(Queue(pointer: queue)) }

  /// The first look of a poll, which does not wait, would otherwise swallow librdkafka's own mark.
  private let isWoken = Atomic<Bool>(false)

  public func wake() {
    isWoken.store(true, ordering: .sequentiallyConsistent)
    queue.withLock { if let pointer = $0.pointer { rd_kafka_queue_yield(pointer) } }
  }

  /// Whether somebody has woken us since the last question.
  func take() -> Bool { isWoken.exchange(false, ordering: .sequentiallyConsistent) }

  func retire() { queue.withLock { $0.pointer = nil } }
}

/// What a closing thread needs. The owner has let go of all of it.
struct Handles: @unchecked Sendable {
  var client: OpaquePointer
  var queues: [OpaquePointer]
  var topics: [OpaquePointer]
  var state: ClientState
}

extension ClientState {
  func noteError(
    of client: OpaquePointer, _ error: rd_kafka_resp_err_t, _ text: UnsafePointer<CChar>?
  ) {
    if closing.load(ordering: .acquiring) { return }
    var failure = KafkaError.Failure(error, message: text.map { String(cString: $0) })
    if error == RD_KAFKA_RESP_ERR__FATAL, let cause = fatalFailure(of: client) { failure = cause }
    events.append(.failed(failure))
    if let queue { rd_kafka_queue_yield(queue) }
  }

  func noteRebalance(
    of client: OpaquePointer, _ error: rd_kafka_resp_err_t,
    _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
  ) {
    if closing.load(ordering: .acquiring) {
      rd_kafka_assign(client, nil)
      return
    }
    var partitions: [TopicPartition] = []
    if let list = list?.pointee {
      for i in 0..<Int(list.cnt) {
        let element = list.elems[i]
        if let topic = topicIndex[String(cString: element.topic)] {
          partitions.append(TopicPartition(topic: topic, partition: element.partition))
        }
      }
    }
    rebalances.append(
      PendingRebalance(
        kind: error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS ? .assign : .revoke,
        lost: rd_kafka_assignment_lost(client) != 0, partitions: partitions.sorted()))
    if let queue { rd_kafka_queue_yield(queue) }
  }
}

/// The error that made a client useless, if there is one.
func fatalFailure(of client: OpaquePointer) -> KafkaError.Failure? {
  var text = [CChar](repeating: 0, count: 512)
  let code = rd_kafka_fatal_error(client, &text, text.count)
  guard code.isError else { return nil }
  return KafkaError.Failure(code, message: Settings.message(text), remedy: .fatal)
}
