// An idempotent producer: a bounded queue, batches with sequences, reports.
//
// Behaves as librdkafka's: what is queued goes out by itself after its linger (background work runs
// at its moment of virtual time, and stops with the process); a batch of unknown fate keeps its
// sequence and is sent again; a message that is given up leaves a gap, for which the producer asks
// for a new epoch. Calls that wait advance the clock. The work on the queues:
// `Producer+Sending.swift`; transactions: `Producer+Transactions.swift`.

public struct SimulatedProducerOptions {
  /// Makes a transactional producer.
  public var transactionalID: String?
  public var transactionTimeoutMilliseconds = 30_000
  public var messageTimeoutMilliseconds = 25_000
  public var lingerMilliseconds = 0
  /// The wait before a request is repeated.
  public var retryBackoffMilliseconds = 10
  /// When an unanswered request is given up.
  public var socketTimeoutMilliseconds = 10_000
  public var queueLimit = 500_000
  public var queueLimitBytes = 64 << 20
  public var maxMessageBytes = 1_000_000
  /// Messages of one request to one partition.
  public var batchLimit = 10_000
  public init() {}
}

public enum SimulatedSendResult: Equatable {
  /// A report with its `opaque` will come.
  case accepted
  case queueFull
  /// No report will come for this and the next.
  case tooLarge
  case failed(KafkaFailure)
}

public struct SimulatedReport: Equatable {
  public let opaque: UInt64
  public let place: LogPlace
  /// -1 where it was not stored, as far as is known.
  public let offset: Int64
  /// nil where it was delivered.
  public let code: KafkaCode?
  public var isDelivered: Bool { code == nil }
}

public final class SimulatedProducer {
  public let process: SimulatedProcess
  public let options: SimulatedProducerOptions
  /// The error that made this producer useless.
  public internal(set) var fatal: KafkaFailure?

  struct Message {
    var payload: Payload
    var opaque: UInt64
    var queuedAt: Int64
  }
  /// A partition's queue. `sent` are messages with sequences whose fate is not known.
  final class Lane {
    let place: LogPlace
    var queued: [Message] = []
    var sent: [Message] = []
    var nextSequence = 0
    var retryAt: Int64 = 0
    /// Of the open transaction.
    var isRegistered = false
    init(_ place: LogPlace) { self.place = place }
    var count: Int { queued.count + sent.count }
  }
  var lanes: [Lane] = []
  private var laneIndex: [LogPlace: Int] = [:]
  var queuedCount = 0
  var queuedBytes = 0
  private var reports: [SimulatedReport] = []
  private var events: [KafkaFailure] = []
  var isPumping = false
  /// When the background has the answers to what it has sent: reports are not told before.
  var busyUntil: Int64 = 0
  var wakeAt = Int64.max
  var isOpen = true

  var identity: TransactionCoordinator.Identity?
  /// A sequence has been given up: nothing new before a new epoch.
  var needsBump = false

  // Transactions.
  /// `flushing`: a commit waits for reports; `committing`: the coordinator has perhaps decided.
  enum TransactionState { case none, ready, open, flushing, committing, aborting }
  var transaction = TransactionState.none
  var isInTransaction: Bool { transaction == .open || transaction == .flushing }
  var abortable: KafkaFailure?
  /// Requests that may have made the coordinator open a transaction.
  var participants = 0
  var registerAt: Int64 = 0

  public init(
    _ process: SimulatedProcess, _ options: SimulatedProducerOptions = SimulatedProducerOptions()
  ) {
    self.process = process
    self.options = options
  }

  var cluster: SimulatedCluster { process.cluster }
  var now: Int64 { cluster.clock.now }
  var backoff: Int64 { Int64(options.retryBackoffMilliseconds) * 1000 }

  /// Messages whose report has not been taken.
  public var outstanding: Int { queuedCount + reports.count }

  /// Errors of connections and of the client since they were last taken.
  public func takeEvents() -> [KafkaFailure] {
    defer { events = [] }
    return events
  }

  public func partitionCount(_ topic: String) throws(SimulatedError) -> Int {
    let caller = caller(within: 5000)
    while true {
      let answer = try cluster.request(.metadata, caller, cost: cluster.options.costs.other) {
        [cluster] in cluster.partitionCount(topic)
      }
      if let answer {
        if answer == 0 { throw .unknownTopics([topic]) }
        return answer
      }
      noteDisconnect()
      if now >= caller.deadline { throw .timedOut(operation: "metadata", milliseconds: 5000) }
      cluster.sleep(microseconds: backoff, caller: caller)
    }
  }

  // MARK: Sending

  /// Puts a message into the queue. Never waits; copies the bytes.
  /// - Parameters:
  ///   - partition: nil: by the key's hash, as Java's clients do it; anywhere without a key.
  ///   - timestamp: milliseconds since 1970; nil is now.
  public func send(
    to topic: String, partition: Int32? = nil, key: UnsafeRawBufferPointer?,
    value: UnsafeRawBufferPointer?, headers: [LogHeader] = [], timestamp: Int64? = nil,
    opaque: UInt64 = 0
  ) -> SimulatedSendResult {
    if process.isDead || !isOpen { return .failed(KafkaFailure(.wrongState, .fatal)) }
    if let fatal { return .failed(fatal) }
    if options.transactionalID != nil && transaction != .open {
      return .failed(KafkaFailure(.wrongState))
    }
    let payload = Payload(
      key: key, value: value, headers: headers, timestamp: timestamp ?? cluster.clock.milliseconds)
    if payload.size > options.maxMessageBytes { return .tooLarge }
    if queuedCount >= options.queueLimit || queuedBytes + payload.size > options.queueLimitBytes {
      return .queueFull
    }
    let place = LogPlace(topic, partition ?? choosePartition(topic, key))
    let lane = lane(place)
    lane.queued.append(Message(payload: payload, opaque: opaque, queuedAt: now))
    queuedCount += 1
    queuedBytes += payload.size
    wake(at: now + Int64(options.lingerMilliseconds) * 1000)
    return .accepted
  }

  /// The same for bytes in arrays.
  public func send(
    to topic: String, partition: Int32? = nil, key: [UInt8]? = nil, value: [UInt8]?,
    headers: [LogHeader] = [], timestamp: Int64? = nil, opaque: UInt64 = 0
  ) -> SimulatedSendResult {
    withBytes(key) { key in
      withBytes(value) { value in
        send(
          to: topic, partition: partition, key: key, value: value, headers: headers,
          timestamp: timestamp, opaque: opaque)
      }
    }
  }

  /// Sends what is due and returns the reports that have come; where there are none waits for the
  /// first.
  public func poll(timeoutMilliseconds: Int) throws(SimulatedError) -> [SimulatedReport] {
    try process.check()
    let caller = caller(within: timeoutMilliseconds)
    try pump(caller, hurry: false)
    while (reports.isEmpty || busyUntil > now) && now < caller.deadline {
      let answer = busyUntil > now && !reports.isEmpty ? busyUntil : Int64.max
      cluster.sleep(until: min(caller.deadline, answer))
      try process.check()
    }
    return takeReports()
  }

  /// Reports that have come; sends nothing.
  public func takeReports() -> [SimulatedReport] {
    if busyUntil > now { return [] }
    defer { reports = [] }
    return reports
  }

  /// Sends everything and waits until all fates are known or the time is over.
  /// - Returns: messages of unknown fate. The reports wait to be taken.
  public func flush(timeoutMilliseconds: Int) throws(SimulatedError) -> Int {
    try process.check()
    try flush(caller(within: timeoutMilliseconds))
    return queuedCount
  }

  /// Gives up everything: reports with an error follow.
  public func purge() {
    for lane in lanes {
      if !lane.sent.isEmpty { needsBump = true }
      report(lane.sent, lane.place, .purgedInFlight)
      report(lane.queued, lane.place, .purgedFromQueue)
      lane.sent = []
      lane.queued = []
    }
  }

  /// What is outstanding is given up. An open transaction stays for the coordinator to end.
  public func close() {
    purge()
    isOpen = false
  }

  // MARK: Inside

  func caller(within milliseconds: Int) -> SimulatedCluster.Caller {
    SimulatedCluster.Caller(
      process: process, socketTimeout: Int64(options.socketTimeoutMilliseconds) * 1000,
      deadline: now + Int64(milliseconds) * 1000)
  }

  func noteDisconnect() { events.append(KafkaFailure(.transport)) }

  func fail(_ code: KafkaCode) {
    guard fatal == nil else { return }
    fatal = KafkaFailure(code, .fatal)
    events.append(KafkaFailure(code, .fatal))
  }

  /// The transaction can only be aborted any more.
  func requireAbort(_ code: KafkaCode, bump: Bool = false) {
    if bump { needsBump = true }
    if abortable == nil { abortable = KafkaFailure(code, .abort) }
  }

  func lane(_ place: LogPlace) -> Lane {
    if let index = laneIndex[place] { return lanes[index] }
    laneIndex[place] = lanes.count
    lanes.append(Lane(place))
    return lanes[lanes.count - 1]
  }

  func report(_ messages: [Message], _ place: LogPlace, _ code: KafkaCode?, from offset: Int64 = -1)
  {
    for (i, message) in messages.enumerated() {
      reports.append(
        SimulatedReport(
          opaque: message.opaque, place: place, offset: offset < 0 ? -1 : offset + Int64(i),
          code: code))
      queuedBytes -= message.payload.size
    }
    queuedCount -= messages.count
    if code != nil && isInTransaction && !messages.isEmpty {
      requireAbort(code ?? .transport)
    }
  }

  private func choosePartition(_ topic: String, _ key: UnsafeRawBufferPointer?) -> Int32 {
    let count = cluster.partitionCount(topic)
    if count <= 1 { return 0 }
    guard let key else { return Int32(cluster.draw(count)) }
    return Int32((Int(murmur2(key)) & 0x7fff_ffff) % count)
  }

  /// Sees that the background looks at the queue then.
  func wake(at time: Int64) {
    guard time < wakeAt else { return }
    wakeAt = time
    cluster.clock.schedule(at: time) { [weak self] in
      guard let self, wakeAt == time else { return }
      wakeAt = .max
      if isPumping || process.isDead || !isOpen { return }
      if process.isFrozen { return wake(at: now + 100_000) }
      // A crash in here leaves a dead process, which its next call will tell.
      try? pump(caller(within: 0), hurry: false)
    }
  }
}

/// Java's hash of keys (A. Appleby's MurmurHash2 with Kafka's seed).
func murmur2(_ key: UnsafeRawBufferPointer) -> Int32 {
  let m: UInt32 = 0x5bd1_e995
  var h: UInt32 = 0x9747_b28c ^ UInt32(truncatingIfNeeded: key.count)
  let words = key.count / 4
  for i in 0..<words {
    var k = UInt32(littleEndian: key.loadUnaligned(fromByteOffset: i * 4, as: UInt32.self))
    k = k &* m
    k ^= k >> 24
    k = k &* m
    h = h &* m
    h ^= k
  }
  let rest = words * 4
  if key.count - rest == 3 { h ^= UInt32(key[rest + 2]) << 16 }
  if key.count - rest >= 2 { h ^= UInt32(key[rest + 1]) << 8 }
  if key.count - rest >= 1 {
    h ^= UInt32(key[rest])
    h = h &* m
  }
  h ^= h >> 13
  h = h &* m
  h ^= h >> 15
  return Int32(bitPattern: h)
}
