// An idempotent producer over librdkafka: messages go out in batches, reports come back in batches.
//
// `send` copies key and value once, into librdkafka's queue. A message without headers and time
// takes the short way (`rd_kafka_produce`); others go through `rd_kafka_produceva`. Reports are
// read from the event queue, many at a time, instead of through a callback per message.
//
// One thread may send while one other polls; nothing else may be shared.

import CRdKafka
import Glibc
import Synchronization

/// A topic a producer writes to: an index into its handles.
public struct ProducerTopic: Hashable, Sendable {
  let index: Int
}

public enum SendResult: Equatable, Sendable {
  /// In the queue. A report with its `opaque` will come, whatever happens.
  case accepted
  /// The queue holds `queue.buffering.max.*` messages: poll, then send again.
  case queueFull
  /// Larger than `message.max.bytes`. No report will come.
  case tooLarge
  /// Refused for another reason. No report will come.
  case failed(KafkaError.Failure)
}

/// What became of a message.
public struct DeliveryReport: Sendable {
  /// As given to `send`.
  public let opaque: UInt64
  /// Where it was stored; -1 where that is unknown (an error, or a retry found it stored).
  public let offset: Int64
  public let partition: Int32
  /// librdkafka's code, 0 when delivered.
  public let code: Int32

  public init(opaque: UInt64, partition: Int32, offset: Int64, code: Int32 = 0) {
    self.opaque = opaque
    self.offset = offset
    self.partition = partition
    self.code = code
  }

  @inlinable public var isDelivered: Bool { code == 0 }
  /// nil when the message is stored as `acks=all` has it.
  public var failure: KafkaError.Failure? {
    isDelivered ? nil : KafkaError.Failure(rd_kafka_resp_err_t(code))
  }
}

/// Headers made once and given to many messages.
public final class PreparedHeaders: @unchecked Sendable {
  let list: OpaquePointer
  public init(_ headers: [Header]) {
    list = rd_kafka_headers_new(headers.count)
    for header in headers { PreparedHeaders.add(header, to: list) }
  }
  deinit { rd_kafka_headers_destroy(list) }

  static func add(_ header: Header, to list: OpaquePointer) {
    var name = header.name
    name.withUTF8 { name in
      name.withMemoryRebound(to: CChar.self) { name in
        guard let value = header.value else {
          _ = rd_kafka_header_add(list, name.baseAddress, name.count, nil, 0)
          return
        }
        value.withUnsafeBytes { bytes in
          // A null pointer would mean a null value.
          _ = rd_kafka_header_add(
            list, name.baseAddress, name.count, bytes.baseAddress ?? emptyBytes, bytes.count)
        }
      }
    }
  }
}

/// Something to point at where there are no bytes, since a null pointer means a null value.
nonisolated(unsafe) let emptyBytes = UnsafeRawPointer(
  UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1))

public final class Producer: @unchecked Sendable {
  /// Messages accepted and reports seen, since the start.
  public var sent: Int { sentCount.load(ordering: .relaxed) }
  public var reported: Int { reportedCount.load(ordering: .relaxed) }
  /// Messages whose report has not been seen yet.
  public var outstanding: Int {
    let reported = reportedCount.load(ordering: .acquiring)
    return sentCount.load(ordering: .acquiring) - reported
  }

  let client: OpaquePointer
  let queue: OpaquePointer
  let state: ClientState
  private let sentCount = Atomic<Int>(0)
  private let reportedCount = Atomic<Int>(0)
  private var topicHandles: [OpaquePointer] = []
  private var topicNames: [String: Int] = [:]
  private var events: [KafkaError.Failure] = []
  private var reports: [DeliveryReport] = []
  private var isOpen = true

  /// - Parameters:
  ///   - config: properties of librdkafka over `Settings.producerDefaults`. Those that concern only
  ///     consumers are left out.
  ///   - transactionalID: makes a transactional producer (see `Producer+Transactions`), whose
  ///     messages time out before their transaction does.
  /// - Throws: every mistake in the settings at once. Reaches no broker.
  public init(
    config: [String: String], transactionalID: String? = nil,
    observer: ClientObserver = ClientObserver()
  ) throws(KafkaError) {
    var extra = observer.extraProperties
    if let transactionalID {
      extra["transactional.id"] = transactionalID
      // Below the session's timeout, and the messages' below this (KAFKA §3.5).
      extra["transaction.timeout.ms"] = "30000"
      extra["message.timeout.ms"] = "25000"
      // As long as a request may be on its way before it is made again.
      extra["socket.timeout.ms"] = "10000"
      // After CONCURRENT_TRANSACTIONS the library waits this long; 100 makes commits take 114 ms.
      extra["retry.backoff.ms"] = "10"
    }
    let (conf, errors) = Settings.make(config, role: .producer, over: extra)
    try Settings.raise(errors, destroying: conf)
    state = ClientState(observer: observer)
    rd_kafka_conf_set_opaque(conf, Unmanaged.passUnretained(state).toOpaque())
    rd_kafka_conf_set_events(
      conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_STATS)
    client = try Settings.client(conf, role: .producer)
    rd_kafka_set_log_queue(client, nil)
    queue = rd_kafka_queue_get_main(client)
  }

  deinit { if isOpen { _ = close(deadlineMilliseconds: 5000) } }

  // MARK: Topics

  /// The handle of a topic; made at the first question. Reaches no broker.
  public func topic(_ name: String) throws(KafkaError) -> ProducerTopic {
    precondition(isOpen)
    if let index = topicNames[name] { return ProducerTopic(index: index) }
    guard let handle = rd_kafka_topic_new(client, name, nil) else {
      throw .failure(rd_kafka_last_error(), message: "topic \(name)")
    }
    topicHandles.append(handle)
    topicNames[name] = topicHandles.count - 1
    return ProducerTopic(index: topicHandles.count - 1)
  }

  /// Waits until these topics are there with all their leaders. Asking for them before the first
  /// message also saves that one a wait of up to a second (#5032).
  public func requireTopics(
    _ wanted: [ProducerTopic], timeoutMilliseconds: Int
  ) throws(KafkaError) -> [TopicMetadata] {
    try Metadata.require(
      wanted.map { topicHandles[$0.index] }, of: client,
      deadline: Deadline(milliseconds: timeoutMilliseconds), serve: {})
  }

  public func metadata(
    _ topic: ProducerTopic, timeoutMilliseconds: Int = 5000
  ) throws(KafkaError) -> TopicMetadata {
    try Metadata.topic(
      topicHandles[topic.index], of: client, milliseconds: Int32(clamping: timeoutMilliseconds))
  }

  // MARK: Sending

  /// Puts a message into the queue; never waits. Key and value are copied.
  /// - Parameters:
  ///   - value: nil is a tombstone; an empty buffer is an empty value.
  ///   - timestamp: milliseconds since 1970; nil is the time of this call.
  ///   - partition: nil leaves it to the partitioner.
  ///   - opaque: comes back in the report.
  public func send(
    to topic: ProducerTopic, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?,
    headers: PreparedHeaders? = nil, timestamp: Int64? = nil, partition: Int32? = nil,
    opaque: UInt64 = 0
  ) -> SendResult {
    let copied = headers.flatMap { rd_kafka_headers_copy($0.list) }
    return enqueue(
      topic, key: key, value: value, headers: copied, timestamp: timestamp, partition: partition,
      opaque: opaque)
  }

  /// The same with headers of this message alone.
  public func send(
    to topic: ProducerTopic, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?,
    headers: [Header], timestamp: Int64? = nil, partition: Int32? = nil, opaque: UInt64 = 0
  ) -> SendResult {
    var list: OpaquePointer?
    if !headers.isEmpty, let fresh = rd_kafka_headers_new(headers.count) {
      for header in headers { PreparedHeaders.add(header, to: fresh) }
      list = fresh
    }
    return enqueue(
      topic, key: key, value: value, headers: list, timestamp: timestamp, partition: partition,
      opaque: opaque)
  }

  /// Takes over `headers`.
  private func enqueue(
    _ topic: ProducerTopic, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?,
    headers: OpaquePointer?, timestamp: Int64?, partition: Int32?, opaque: UInt64
  ) -> SendResult {
    precondition(isOpen)
    let handle = topicHandles[topic.index]
    let partition = partition ?? Int32(RD_KAFKA_PARTITION_UA)
    let token = UnsafeMutableRawPointer(bitPattern: UInt(opaque))
    let keyStart = key.map { UnsafeMutableRawPointer(mutating: $0.baseAddress ?? emptyBytes) }
    let valueStart = value.map { UnsafeMutableRawPointer(mutating: $0.baseAddress ?? emptyBytes) }
    if headers == nil && timestamp == nil {
      let status = rd_kafka_produce(
        handle, partition, Int32(RD_KAFKA_MSG_F_COPY), valueStart, value?.count ?? 0, keyStart,
        key?.count ?? 0, token)
      return status == 0 ? accepted() : refused(rd_kafka_last_error())
    }
    return withUnsafeTemporaryAllocation(of: rd_kafka_vu_t.self, capacity: 8) { storage in
      guard let arguments = storage.baseAddress else { return .queueFull }  // never: 8 are there
      // Every argument is as large as the largest may ever be, and its rest must not be read.
      memset(arguments, 0, 8 * MemoryLayout<rd_kafka_vu_t>.stride)
      arguments[0].vtype = RD_KAFKA_VTYPE_RKT
      arguments[0].u.rkt = handle
      arguments[1].vtype = RD_KAFKA_VTYPE_PARTITION
      arguments[1].u.i32 = partition
      arguments[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS
      arguments[2].u.i = Int32(RD_KAFKA_MSG_F_COPY)
      arguments[3].vtype = RD_KAFKA_VTYPE_VALUE
      arguments[3].u.mem.ptr = valueStart
      arguments[3].u.mem.size = value?.count ?? 0
      arguments[4].vtype = RD_KAFKA_VTYPE_KEY
      arguments[4].u.mem.ptr = keyStart
      arguments[4].u.mem.size = key?.count ?? 0
      arguments[5].vtype = RD_KAFKA_VTYPE_OPAQUE
      arguments[5].u.ptr = token
      var count = 6
      if let timestamp {
        arguments[count].vtype = RD_KAFKA_VTYPE_TIMESTAMP
        arguments[count].u.i64 = timestamp
        count += 1
      }
      if let headers {
        arguments[count].vtype = RD_KAFKA_VTYPE_HEADERS
        arguments[count].u.headers = headers
        count += 1
      }
      guard let error = rd_kafka_produceva(client, arguments, count) else {
        return accepted()
      }
      if let headers { rd_kafka_headers_destroy(headers) }
      let code = rd_kafka_error_code(error)
      rd_kafka_error_destroy(error)
      return refused(code)
    }
  }

  private func accepted() -> SendResult {
    sentCount.wrappingAdd(1, ordering: .releasing)
    return .accepted
  }

  private func refused(_ error: rd_kafka_resp_err_t) -> SendResult {
    switch error {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL: .queueFull
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: .tooLarge
    case RD_KAFKA_RESP_ERR__FATAL:
      .failed(fatalFailure(of: client) ?? KafkaError.Failure(error))
    default: .failed(KafkaError.Failure(error))
    }
  }

  // MARK: Reports

  /// Hands out the reports that have come, in groups; waits for the first event at most
  /// `timeoutMilliseconds`. Also serves log and statistics.
  /// - Returns: the number of reports.
  @discardableResult
  public func poll(
    timeoutMilliseconds: Int, onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void
  ) -> Int {
    precondition(isOpen)
    var wait = Int32(clamping: timeoutMilliseconds)
    var total = 0
    while let event = rd_kafka_queue_poll(queue, wait) {
      wait = 0
      defer { rd_kafka_event_destroy(event) }
      switch rd_kafka_event_type(event) {
      case RD_KAFKA_EVENT_DR:
        reports.removeAll(keepingCapacity: true)
        while let message = rd_kafka_event_message_next(event) {
          reports.append(
            DeliveryReport(
              opaque: UInt64(UInt(bitPattern: message.pointee._private)),
              partition: message.pointee.partition,
              offset: message.pointee.offset < 0 ? -1 : message.pointee.offset,
              code: message.pointee.err.rawValue))
        }
        total += reports.count
        reports.withUnsafeBufferPointer(onReports)
        // Only now: who sees nothing outstanding has seen every report.
        reportedCount.wrappingAdd(reports.count, ordering: .releasing)
      case RD_KAFKA_EVENT_ERROR:
        let text = rd_kafka_event_error_string(event).map { String(cString: $0) }
        var failure = KafkaError.Failure(rd_kafka_event_error(event), message: text)
        if rd_kafka_event_error_is_fatal(event) != 0 {
          failure = fatalFailure(of: client) ?? failure
        }
        events.append(failure)
      case RD_KAFKA_EVENT_LOG:
        var facility: UnsafePointer<CChar>?
        var text: UnsafePointer<CChar>?
        var level: Int32 = 0
        if rd_kafka_event_log(event, &facility, &text, &level) == 0 {
          state.log(level, facility, text)
        }
      case RD_KAFKA_EVENT_STATS:
        if let json = rd_kafka_event_stats(event) {
          state.observer.statistics?(UnsafeRawBufferPointer(start: json, count: strlen(json)))
        }
      default: break
      }
    }
    return total
  }

  /// Errors of the client since they were last taken (by the thread that polls).
  public func takeEvents() -> [KafkaError.Failure] {
    defer { events = [] }
    return events
  }

  /// The error that made this producer useless, if there is one: make a new one and send again
  /// what was not reported.
  public var fatalError: KafkaError? { fatalFailure(of: client).map { .failure($0) } }

  /// Sends what lingers and hands out reports until none is outstanding or the time is over.
  /// - Returns: messages still outstanding.
  public func flush(
    deadlineMilliseconds: Int, onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void
  ) -> Int {
    let deadline = Deadline(milliseconds: deadlineMilliseconds)
    poll(timeoutMilliseconds: 0, onReports: onReports)
    while outstanding > 0 && deadline.remaining > 0 {
      // Ends the linger of what is queued. It cannot see the reports, which only we read: so a
      // short one, in turn with reading.
      rd_kafka_flush(client, min(5, deadline.remaining32))
      poll(timeoutMilliseconds: min(20, deadline.remaining), onReports: onReports)
    }
    return outstanding
  }

  /// Gives up everything queued and in flight; the reports (with an error) come with the next poll.
  /// What was in flight may have been stored.
  public func purge() {
    rd_kafka_purge(client, Int32(RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT))
  }

  /// Frees the client; what is outstanding is given up (flush before). Never takes longer than
  /// the deadline.
  public func close(deadlineMilliseconds: Int) -> CloseResult {
    guard isOpen else { return .closed }
    isOpen = false
    state.closing.store(true, ordering: .sequentiallyConsistent)
    let handles = Handles(client: client, queues: [queue], topics: topicHandles, state: state)
    let inTime = runDetached(milliseconds: deadlineMilliseconds) {
      rd_kafka_purge(
        handles.client, Int32(RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT))
      // Reports hold on to the client.
      while let event = rd_kafka_queue_poll(handles.queues[0], 0) { rd_kafka_event_destroy(event) }
      for queue in handles.queues { rd_kafka_queue_destroy(queue) }
      for topic in handles.topics { rd_kafka_topic_destroy(topic) }
      rd_kafka_destroy(handles.client)
      handles.state.closed.store(true, ordering: .releasing)
    }
    if inTime { return .closed }
    _ = Unmanaged.passRetained(state)
    return .abandoned
  }
}
