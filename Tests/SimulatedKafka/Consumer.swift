// A consumer: batches of records, events, rebalances inside `poll`, explicit starts.
//
// Mimics the wrapper over librdkafka (`Sources/Kafka/Consumer*.swift`): `auto.offset.reset=error`,
// eager rebalancing, starts given with the assignment, positions that follow the records handed
// out. Topics are known by name only, so that a topic made anew is not noticed by itself. There is
// no prefetching. Membership and offsets: `Consumer+Group.swift`.

public struct SimulatedConsumerOptions {
  public var group: String?
  /// Makes a static member.
  public var instance: String?
  public var isolation = Isolation.readCommitted
  public var sessionTimeoutMilliseconds = 45_000
  public var heartbeatMilliseconds = 3000
  public var maxPollMilliseconds = 300_000
  public var socketTimeoutMilliseconds = 10_000
  public var tellsEndOfPartition = false
  public init(group: String? = nil) { self.group = group }
}

public enum SimulatedEvent: Equatable {
  case endOfPartition(LogPlace, offset: Int64)
  /// Retention has passed the offset, or the topic was made anew. Nothing comes from the partition
  /// until it is assigned again.
  case offsetOutOfRange(LogPlace, offset: Int64)
  case maxPollExceeded
  case partitionFailed(LogPlace, KafkaFailure)
  case failed(KafkaFailure)
}

public struct SimulatedBatch {
  public var records: [SimulatedRecord] = []
  public var events: [SimulatedEvent] = []
  public var isEmpty: Bool { records.isEmpty && events.isEmpty }
}

/// What the owner does in a rebalance; called inside `poll`.
public struct SimulatedRebalanceHandler {
  /// Partitions, ordered, with what the group has committed. Returns a start for each.
  public var assigned: ([(place: LogPlace, committed: StoredOffset?)]) -> [LogStart]
  /// All go away; each with our position (-1: nothing read yet). Unless lost they are ours until
  /// this returns, and offsets can be committed.
  public var revoked: ([(place: LogPlace, position: Int64)], _ lost: Bool) -> Void
  public init(
    assigned: @escaping ([(place: LogPlace, committed: StoredOffset?)]) -> [LogStart],
    revoked: @escaping ([(place: LogPlace, position: Int64)], _ lost: Bool) -> Void
  ) {
    self.assigned = assigned
    self.revoked = revoked
  }
}

public final class SimulatedConsumer {
  public let process: SimulatedProcess
  public let options: SimulatedConsumerOptions
  public let topics: [String]
  public internal(set) var fatal: KafkaFailure?

  struct Slot {
    var place: LogPlace
    var start: LogStart
    /// Of the next record by what was handed out; -1 while unknown.
    var position: Int64
    /// Where to read on: past control and aborted records too. nil until the start is looked up.
    var next: Int64?
    /// The end that was told last.
    var toldEnd: Int64 = -1
    /// The offset was out of range, or the partition is not there.
    var isStuck = false
    /// High watermark of the latest answer.
    var cached: LogBounds?
  }
  /// Ordered by place.
  var slots: [Slot] = []
  /// Pauses outlive an assignment, as in librdkafka.
  private var paused: Set<LogPlace> = []
  private var turn = 0
  var events: [SimulatedEvent] = []
  var isOpen = true
  private var isWoken = false
  /// When a broker that did not answer is asked again.
  private var retryAt: [Int64]

  // Membership.
  enum Phase { case none, joining, stable }
  enum Rebalance {
    case revoke(lost: Bool)
    case assign([LogPlace])
  }
  var phase = Phase.none
  var membershipInGroup = GroupCoordinator.Membership()
  var handler: SimulatedRebalanceHandler?
  var rebalances: [Rebalance] = []
  var lastHeartbeat: Int64 = 0
  var lastPoll: Int64 = 0
  var pendingCommits: [() -> Void] = []

  public init(
    _ process: SimulatedProcess, topics: [String],
    _ options: SimulatedConsumerOptions = SimulatedConsumerOptions()
  ) {
    self.process = process
    self.topics = topics
    self.options = options
    membershipInGroup.instance = options.instance
    lastPoll = process.cluster.clock.now
    retryAt = [Int64](repeating: 0, count: process.cluster.options.brokers)
  }

  var cluster: SimulatedCluster { process.cluster }
  var now: Int64 { cluster.clock.now }

  // MARK: Reading

  /// Reads what is there, at most `maxMessages`; where nothing is there waits for the first record
  /// or event. Acts on a rebalance first (calls the handler).
  public func poll(
    maxMessages: Int, timeoutMilliseconds: Int
  ) throws(SimulatedError) -> SimulatedBatch {
    try process.check()
    lastPoll = now
    let caller = caller(within: timeoutMilliseconds)
    while true {
      try serveGroup()
      var batch = SimulatedBatch()
      if rebalances.isEmpty && fatal == nil { try fetch(maxMessages, caller, into: &batch) }
      batch.events = events
      events = []
      if !batch.isEmpty || isWoken || now >= caller.deadline {
        isWoken = false
        if batch.isEmpty { try serveGroup() }
        return batch
      }
      let retry = retryAt.lazy.filter { $0 > self.now }.min() ?? .max
      cluster.sleep(until: min(caller.deadline, retry))
      try process.check()
      lastPoll = now
    }
  }

  /// Ends a waiting `poll`, or the next one: to be called from an event of the clock.
  public func wake() { isWoken = true }

  private func fetch(
    _ limit: Int, _ caller: SimulatedCluster.Caller, into batch: inout SimulatedBatch
  ) throws(SimulatedError) {
    try findStarts(caller)
    turn += 1
    let order = slots.indices.map { ($0 + turn) % max(1, slots.count) }
    let ready = order.filter { isReady(slots[$0]) }
    var cost = cluster.options.costs.fetch
    for broker in 0..<cluster.options.brokers {
      let asked = ready.filter { cluster.partition(slots[$0].place)?.leader == broker }
      if asked.isEmpty || batch.records.count >= limit || retryAt[broker] > now { continue }
      let wanted = asked.map { (place: slots[$0].place, offset: slots[$0].next ?? 0) }
      let room = limit - batch.records.count
      let isolation = options.isolation
      let answer = try cluster.request(.fetch, caller, to: broker, cost: cost) { [cluster] in
        cluster.fetch(wanted, atMost: room, isolation)
      }
      cost = 0
      guard let answer else {
        // Told once, until it answers again.
        if retryAt[broker] == 0 { events.append(.failed(KafkaFailure(.transport))) }
        retryAt[broker] = now + 100_000
        continue
      }
      retryAt[broker] = 0
      for (i, result) in zip(asked, answer) { take(result, for: i, into: &batch) }
    }
    for i in ready where cluster.partition(slots[i].place) == nil {
      slots[i].isStuck = true
      events.append(.partitionFailed(slots[i].place, KafkaFailure(.unknownTopicOrPartition)))
    }
  }

  /// Whether a fetch would tell something about it now.
  private func isReady(_ slot: Slot) -> Bool {
    guard !slot.isStuck, !paused.contains(slot.place), let next = slot.next else { return false }
    guard let partition = cluster.partition(slot.place) else { return true }
    if partition.leaderlessUntil > now { return false }
    let end = partition.readable(options.isolation)
    return next < partition.logStart || next > partition.logEnd || next < end
      || options.tellsEndOfPartition && next == end && slot.toldEnd != end
  }

  private func take(
    _ result: Result<SimulatedCluster.FetchAnswer, KafkaCode>, for i: Int,
    into batch: inout SimulatedBatch
  ) {
    guard slots.indices.contains(i) else { return }
    let place = slots[i].place
    switch result {
    case .failure(.offsetOutOfRange):
      slots[i].isStuck = true
      events.append(.offsetOutOfRange(place, offset: slots[i].next ?? -1))
    case .failure: break
    case .success(let answer):
      slots[i].cached = answer.bounds
      slots[i].next = answer.fetched.next
      if let last = answer.fetched.records.last { slots[i].position = last.offset + 1 }
      batch.records += answer.fetched.records
      if options.tellsEndOfPartition && answer.fetched.next == answer.end
        && slots[i].toldEnd != answer.end
      {
        slots[i].toldEnd = answer.end
        if slots[i].position < 0 { slots[i].position = answer.end }
        events.append(.endOfPartition(place, offset: answer.end))
      }
    }
  }

  /// Looks up what "beginning" and "end" mean.
  private func findStarts(_ caller: SimulatedCluster.Caller) throws(SimulatedError) {
    for i in slots.indices where slots[i].next == nil && !slots[i].isStuck {
      let place = slots[i].place
      let isolation = options.isolation
      let answer = try cluster.request(
        .listOffsets, caller, to: cluster.partition(place)?.leader,
        cost: cluster.options.costs.other
      ) { [cluster] in cluster.listOffsets(place, isolation) }
      switch answer {
      case .success(let bounds)?: slots[i].next = slots[i].start == .end ? bounds.high : bounds.low
      case .failure(.unknownTopicOrPartition)?:
        slots[i].isStuck = true
        events.append(.partitionFailed(place, KafkaFailure(.unknownTopicOrPartition)))
      case .failure?, nil: break
      }
    }
  }

  // MARK: Assignment

  /// Reads these partitions, without a group. Replaces what was assigned before.
  public func assign(_ partitions: [(place: LogPlace, start: LogStart)]) throws(SimulatedError) {
    try process.check()
    slots = partitions.sorted { $0.place < $1.place }.map { place, start in
      if case .at(let offset) = start {
        return Slot(place: place, start: start, position: max(0, offset), next: max(0, offset))
      }
      return Slot(place: place, start: start, position: -1, next: nil)
    }
  }

  /// Starts these anew, as after `offsetOutOfRange`; all others go on at their positions.
  public func restart(_ partitions: [(place: LogPlace, start: LogStart)]) throws(SimulatedError) {
    let all = slots.map { slot in
      (
        place: slot.place,
        start: partitions.first { $0.place == slot.place }?.start
          ?? (slot.position >= 0 ? .at(slot.position) : slot.start)
      )
    }
    try assign(all)
  }

  /// What is assigned, ordered, each with the offset of the next record (-1: not known yet).
  public var assignment: [(place: LogPlace, position: Int64)] {
    slots.map { ($0.place, $0.position) }
  }

  public func position(_ place: LogPlace) -> Int64? {
    slots.first { $0.place == place }.flatMap { $0.position < 0 ? nil : $0.position }
  }

  /// Stops fetching of these. Keep polling.
  public func pause(_ places: [LogPlace]) { paused.formUnion(places) }
  public func resume(_ places: [LogPlace]) { paused.subtract(places) }

  /// By the latest answer about it; nil before the first.
  public func cachedWatermarks(_ place: LogPlace) -> LogBounds? {
    slots.first { $0.place == place }?.cached
  }

  // MARK: Inside

  func caller(within milliseconds: Int) -> SimulatedCluster.Caller {
    SimulatedCluster.Caller(
      process: process, socketTimeout: Int64(options.socketTimeoutMilliseconds) * 1000,
      deadline: now + Int64(milliseconds) * 1000)
  }
}

extension SimulatedCluster {
  struct FetchAnswer {
    var fetched: Partition.Fetched
    /// Where the reader's world ends.
    var end: Int64
    var bounds: LogBounds
  }

  func fetch(
    _ wanted: [(place: LogPlace, offset: Int64)], atMost limit: Int, _ isolation: Isolation
  ) -> [Result<FetchAnswer, KafkaCode>] {
    var room = limit
    return wanted.map { place, offset in
      guard let partition = partition(place) else { return .failure(.unknownTopicOrPartition) }
      if partition.leaderlessUntil > clock.now { return .failure(.notLeader) }
      return partition.fetch(from: offset, atMost: room, isolation).map { fetched in
        room -= fetched.records.count
        return FetchAnswer(
          fetched: fetched, end: partition.readable(isolation),
          bounds: LogBounds(low: partition.logStart, high: partition.highWatermark))
      }
    }
  }

  func listOffsets(_ place: LogPlace, _ isolation: Isolation) -> Result<LogBounds, KafkaCode> {
    guard let partition = partition(place) else { return .failure(.unknownTopicOrPartition) }
    if partition.leaderlessUntil > clock.now { return .failure(.notLeader) }
    return .success(LogBounds(low: partition.logStart, high: partition.readable(isolation)))
  }
}
