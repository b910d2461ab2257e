// An idempotent producer: a bounded queue, batches with sequences, reports.
//
// Behaves as librdkafka's: what is queued goes out by itself after its linger (background work runs
// at its moment of virtual time, and stops with the process); a batch of unknown fate keeps its
// sequence and is sent again; a message that is given up leaves a gap, for which the producer asks
// for a new epoch. Calls that wait advance the clock. Transactions: `Producer+Transactions.swift`.

public struct ProducerOptions {
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

public enum SendResult: Equatable {
  /// A report with its `opaque` will come.
  case accepted
  case queueFull
  /// No report will come for this and the next.
  case tooLarge
  case failed(Failure)
}

public struct DeliveryReport: Equatable {
  public let opaque: UInt64
  public let place: LogPlace
  /// -1 where it was not stored, as far as is known.
  public let offset: Int64
  /// nil where it was delivered.
  public let code: Code?
  public var isDelivered: Bool { code == nil }
}

public final class SimulatedProducer {
  public let process: SimulatedProcess
  public let options: ProducerOptions
  /// The error that made this producer useless.
  public internal(set) var fatal: Failure?

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
  private var queuedCount = 0
  private var queuedBytes = 0
  private var reports: [DeliveryReport] = []
  private var events: [Failure] = []
  private var isPumping = false
  /// When the background has the answers to what it has sent: reports are not told before.
  private var busyUntil: Int64 = 0
  private var wakeAt = Int64.max
  var isOpen = true

  var identity: TransactionCoordinator.Identity?
  /// A sequence has been given up: nothing new before a new epoch.
  var needsBump = false

  // Transactions.
  /// `flushing`: a commit waits for reports; `committing`: the coordinator has perhaps decided.
  enum TransactionState { case none, ready, open, flushing, committing, aborting }
  var transaction = TransactionState.none
  var isInTransaction: Bool { transaction == .open || transaction == .flushing }
  var abortable: Failure?
  /// Requests that may have made the coordinator open a transaction.
  var participants = 0
  var registerAt: Int64 = 0

  public init(_ process: SimulatedProcess, _ options: ProducerOptions = ProducerOptions()) {
    self.process = process
    self.options = options
  }

  var cluster: SimulatedCluster { process.cluster }
  var now: Int64 { cluster.clock.now }
  var backoff: Int64 { Int64(options.retryBackoffMilliseconds) * 1000 }

  /// Messages whose report has not been taken.
  public var outstanding: Int { queuedCount + reports.count }

  /// Errors of connections and of the client since they were last taken.
  public func takeEvents() -> [Failure] {
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
  ) -> SendResult {
    if process.isDead || !isOpen { return .failed(Failure(.wrongState, .fatal)) }
    if let fatal { return .failed(fatal) }
    if options.transactionalID != nil && transaction != .open { return .failed(Failure(.wrongState)) }
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
  ) -> SendResult {
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
  public func poll(timeoutMilliseconds: Int) throws(SimulatedError) -> [DeliveryReport] {
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
  public func takeReports() -> [DeliveryReport] {
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

  func noteDisconnect() { events.append(Failure(.transport)) }

  func fail(_ code: Code) {
    guard fatal == nil else { return }
    fatal = Failure(code, .fatal)
    events.append(Failure(code, .fatal))
  }

  /// The transaction can only be aborted any more.
  func requireAbort(_ code: Code, bump: Bool = false) {
    if bump { needsBump = true }
    if abortable == nil { abortable = Failure(code, .abort) }
  }

  func lane(_ place: LogPlace) -> Lane {
    if let index = laneIndex[place] { return lanes[index] }
    laneIndex[place] = lanes.count
    lanes.append(Lane(place))
    return lanes[lanes.count - 1]
  }

  func report(_ messages: [Message], _ place: LogPlace, _ code: Code?, from offset: Int64 = -1) {
    for (i, message) in messages.enumerated() {
      reports.append(
        DeliveryReport(
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
  private func wake(at time: Int64) {
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

  func flush(_ caller: SimulatedCluster.Caller) throws(SimulatedError) {
    while queuedCount > 0 && fatal == nil && abortable == nil {
      try pump(caller, hurry: true)
      if queuedCount == 0 || now >= caller.deadline || fatal != nil || abortable != nil { break }
      let next = lanes.lazy.filter { $0.count > 0 }.map { max($0.retryAt, self.registerAt) }.min()
      let time = min(caller.deadline, max(next ?? now, now + 1000))
      cluster.clock.advance(to: time)
      try process.check()
    }
    if busyUntil > now { cluster.clock.advance(to: min(caller.deadline, busyUntil)) }
    try process.check()
  }

  /// In the background time passes for the answers only.
  private func spend(_ cost: Int64) {
    if cluster.clock.isFiring { busyUntil = max(busyUntil, now) + cost }
  }

  /// One look at the queues: gives up what is too old, sends what is due.
  private func pump(_ caller: SimulatedCluster.Caller, hurry: Bool) throws(SimulatedError) {
    guard !isPumping, queuedCount > 0, fatal == nil else { return }
    isPumping = true
    defer {
      isPumping = false
      let pending = lanes.lazy.filter { $0.count > 0 }.compactMap(\.dueAt).min()
      if let pending, fatal == nil, abortable == nil {
        wake(
          at: max(
            now + 1000, pending + (pending > now ? 0 : Int64(options.lingerMilliseconds) * 1000)))
      }
    }
    giveUpOld()
    guard abortable == nil, try prepareIdentity(caller) else { return }
    let linger = hurry ? 0 : Int64(options.lingerMilliseconds) * 1000
    let due = lanes.filter { lane in
      lane.retryAt <= now
        && (!lane.sent.isEmpty || !needsBump && (lane.queued.first.map { $0.queuedAt + linger <= now } ?? false))
    }
    if due.isEmpty { return }
    if isInTransaction {
      let fresh = due.filter { !$0.isRegistered }
      if !fresh.isEmpty { spend(cluster.options.costs.addPartitions) }
      guard try register(fresh, caller) else { return }
    }
    // Requests to several partitions travel side by side: the first pays for all.
    var cost = cluster.options.costs.produce
    spend(cost)
    for lane in due where fatal == nil && abortable == nil {
      try produce(lane, caller, cost: cost)
      cost = 0
    }
  }

  private func giveUpOld() {
    let oldest = now - Int64(options.messageTimeoutMilliseconds) * 1000
    for lane in lanes {
      // A batch lives and dies whole.
      if let first = lane.sent.first, first.queuedAt < oldest {
        needsBump = true
        let given = lane.sent
        lane.sent = []
        report(given, lane.place, .messageTimedOut)
      }
      let count = lane.queued.prefix { $0.queuedAt < oldest }.count
      if count > 0 {
        let given = Array(lane.queued.prefix(count))
        lane.queued.removeFirst(count)
        report(given, lane.place, .messageTimedOut)
      }
    }
  }

  /// A producer without transactions gets its identity by itself, and another one after a gap, once
  /// nothing of unknown fate is left that could be stored twice.
  private func prepareIdentity(_ caller: SimulatedCluster.Caller) throws(SimulatedError) -> Bool {
    if options.transactionalID != nil { return identity != nil }
    if identity != nil && !(needsBump && lanes.allSatisfy(\.sent.isEmpty)) { return true }
    let answer = try cluster.request(.initProducerID, caller, cost: cluster.options.costs.other) {
      [cluster] in cluster.transactions.newIdentity()
    }
    guard let answer else {
      noteDisconnect()
      for lane in lanes { lane.retryAt = max(lane.retryAt, now + backoff) }
      return false
    }
    adopt(answer)
    return true
  }

  func adopt(_ identity: TransactionCoordinator.Identity) {
    self.identity = identity
    needsBump = false
    for lane in lanes { lane.nextSequence = 0 }
  }

  private func produce(
    _ lane: Lane, _ caller: SimulatedCluster.Caller, cost: Int64
  ) throws(SimulatedError) {
    guard let identity else { return }
    if lane.sent.isEmpty {
      let count = min(options.batchLimit, lane.queued.count)
      lane.sent = Array(lane.queued.prefix(count))
      lane.queued.removeFirst(count)
    }
    let batch = Batch(
      records: lane.sent.map(\.payload), producerID: identity.id, epoch: identity.epoch,
      baseSequence: lane.nextSequence, isTransactional: isInTransaction)
    let place = lane.place
    let leader = cluster.partition(place)?.leader
    let answer = try cluster.request(.produce, caller, to: leader, cost: cost) { [cluster] in
      cluster.append(batch, to: place)
    }
    // Purged while it was on its way.
    if lane.sent.isEmpty { return }
    switch answer {
    case nil:
      noteDisconnect()
      lane.retryAt = now + backoff
    case .success(let offset):
      let stored = lane.sent
      lane.sent = []
      lane.nextSequence += stored.count
      report(stored, place, nil, from: offset)
    case .failure(let code):
      switch code {
      case .notLeader, .leaderNotAvailable, .unknownTopicOrPartition:
        lane.retryAt = now + max(backoff, 100_000)
      case .invalidProducerEpoch, .producerFenced:
        refuse(lane, code)
        if options.transactionalID != nil { fail(.fenced) } else { needsBump = true }
      case .outOfOrderSequence where options.transactionalID == nil:
        refuse(lane, code)
        fail(code)
      default:
        refuse(lane, code)
        needsBump = true
        if isInTransaction { requireAbort(code, bump: true) }
      }
    }
  }

  private func refuse(_ lane: Lane, _ code: Code) {
    let refused = lane.sent
    lane.sent = []
    report(refused, lane.place, code)
  }
}

extension SimulatedProducer.Lane {
  /// When there is something to do for it.
  fileprivate var dueAt: Int64? {
    (sent.first ?? queued.first).map { max($0.queuedAt, retryAt) }
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
