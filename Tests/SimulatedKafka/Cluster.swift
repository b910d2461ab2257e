// The brokers: topics, coordinators, and the road to them.
//
// Everything is in this process and on one thread. A client's request is a closure over what would
// travel on the wire; `request` moves the clock by what it costs, lets faults have it, and runs it
// at most where Kafka would. The same seed and the same calls give the same world.

import Sparse

public struct ClusterOptions {
  public var brokers = 3
  /// A broker's bound for one message (`message.max.bytes`).
  public var maxMessageBytes = 1_000_000
  /// Wait of a new group for more members (`group.initial.rebalance.delay.ms`).
  public var initialRebalanceDelayMilliseconds = 3000
  /// How often the coordinator looks for transactions that have timed out.
  public var timeoutCheckMilliseconds = 10_000
  /// KIP-890, first part (brokers from 3.6, for offsets from 3.7): a partition asks the coordinator
  /// before it lets a transaction begin there. Without it a request that arrives after the end of
  /// its transaction leaves records or offsets undecided, perhaps for ever ("hanging"). Off, as the
  /// brokers behave that need the defences.
  public var verifiesTransactions = false
  public var costs = Costs()
  public init() {}

  /// Microseconds. With these a transaction with offsets takes 16 ms, and back to back 40 ms where
  /// clients wait 10 ms after CONCURRENT_TRANSACTIONS and 118 ms where they wait 100. Measured with
  /// Kafka 3.3.2 and librdkafka 2.0.2: 17, 37 and 114.
  public struct Costs {
    public var produce: Int64 = 4000
    public var fetch: Int64 = 500
    public var addPartitions: Int64 = 3000
    public var addOffsets: Int64 = 2000
    public var transactionOffsets: Int64 = 8000
    public var endTransaction: Int64 = 6000
    public var initProducerID: Int64 = 50_000
    public var other: Int64 = 1000
    /// From the decision until the first and the last marker stand in their partitions.
    public var markers: ClosedRange<Int64> = 1000...8000
    /// From the decision until the coordinator takes the next transaction.
    public var completion: Int64 = 17_000
    public init() {}
  }
}

public final class SimulatedCluster {
  public let clock: VirtualClock
  public let options: ClusterOptions
  public let faults = Faults()
  public let seed: UInt64
  var random: SplitMix

  final class Topic {
    let name: String
    /// Another one after a topic was deleted and made again.
    let id: Int
    var partitions: [Partition]
    var maxMessageBytes: Int
    init(name: String, id: Int, partitions: [Partition], maxMessageBytes: Int) {
      self.name = name
      self.id = id
      self.partitions = partitions
      self.maxMessageBytes = maxMessageBytes
    }
  }
  private(set) var topics: [String: Topic] = [:]
  private var topicsMade = 0
  private(set) var transactions: TransactionCoordinator! = nil
  private(set) var groups: GroupCoordinator! = nil

  private var brokerDownUntil: [Int64]
  private var stalledUntil: Int64 = 0

  public init(seed: UInt64, options: ClusterOptions = ClusterOptions()) {
    self.seed = seed
    self.options = options
    clock = VirtualClock()
    random = SplitMix(seed: seed)
    brokerDownUntil = [Int64](repeating: 0, count: options.brokers)
    groups = GroupCoordinator(self)
    transactions = TransactionCoordinator(self)
  }

  public func makeProcess(_ name: String) -> SimulatedProcess { SimulatedProcess(name, self) }

  func draw(_ limit: Int) -> Int { random.below(limit) }

  // MARK: Topics

  /// Makes a topic with empty partitions. One that was there is gone with its records.
  public func createTopic(_ name: String, partitions: Int, maxMessageBytes: Int? = nil) {
    if topics[name] != nil { deleteTopic(name) }
    topicsMade += 1
    topics[name] = Topic(
      name: name, id: topicsMade, partitions: makePartitions(name, 0..<partitions),
      maxMessageBytes: maxMessageBytes ?? options.maxMessageBytes)
  }

  /// Deletes a topic, and what groups have committed for it.
  public func deleteTopic(_ name: String) {
    topics[name] = nil
    groups.forget(topic: name)
  }

  /// Members of groups hear of it when their metadata are next refreshed (a minute at most).
  public func growTopic(_ name: String, to count: Int) {
    guard let topic = topics[name], topic.partitions.count < count else { return }
    topic.partitions += makePartitions(name, topic.partitions.count..<count)
    clock.schedule(in: 60_000_000) { [unowned self] in groups.topicHasChanged(name) }
  }

  private func makePartitions(_ name: String, _ range: Range<Int>) -> [Partition] {
    range.map { Partition(LogPlace(name, Int32($0)), leader: $0 % options.brokers) }
  }

  public func partitionCount(_ topic: String) -> Int { topics[topic]?.partitions.count ?? 0 }
  /// nil where there is no such topic now.
  public func topicID(_ topic: String) -> Int? { topics[topic]?.id }

  func partition(_ place: LogPlace) -> Partition? {
    guard let topic = topics[place.topic], topic.partitions.indices.contains(Int(place.partition))
    else { return nil }
    return topic.partitions[Int(place.partition)]
  }

  /// Produce, at the broker that leads the partition.
  func append(_ batch: Batch, to place: LogPlace) -> Result<Int64, KafkaCode> {
    guard let partition = partition(place), let topic = topics[place.topic] else {
      return .failure(.unknownTopicOrPartition)
    }
    if partition.leaderlessUntil > clock.now { return .failure(.notLeader) }
    if batch.records.contains(where: { $0.size > topic.maxMessageBytes }) {
      return .failure(.messageTooLarge)
    }
    if options.verifiesTransactions && batch.isTransactional && !partition.isOpen(batch.producerID)
      && !transactions.isOpen(.init(id: batch.producerID, epoch: batch.epoch), place)
    {
      return .failure(.invalidTransactionState)
    }
    return partition.append(batch)
  }

  // MARK: Looking in from outside (no request, no time)

  public func bounds(_ place: LogPlace) -> LogBounds? {
    partition(place).map { LogBounds(low: $0.logStart, high: $0.highWatermark) }
  }
  public func lastStableOffset(_ place: LogPlace) -> Int64? { partition(place)?.lastStableOffset }
  /// What stands in a partition from an offset on, control records and aborted ones too.
  public func rawLog(_ place: LogPlace, from offset: Int64) -> ArraySlice<LogEntry> {
    guard let partition = partition(place) else { return [] }
    return partition.entries[partition.index(of: offset)...]
  }
  public func committed(_ group: String, _ place: LogPlace) -> StoredOffset? {
    groups.stored(group, place)
  }
  /// Retention or DeleteRecords: what lies before the offset is gone.
  public func removeRecords(_ place: LogPlace, before offset: Int64) {
    partition(place)?.removeRecords(before: offset)
  }
  public func compact(_ place: LogPlace) { partition(place)?.compact() }

  /// Writes a record at once and outside all faults: input for what is tested.
  @discardableResult
  public func write(
    _ place: LogPlace, key: [UInt8]? = nil, value: [UInt8]?, headers: [LogHeader] = [],
    timestamp: Int64? = nil
  ) -> Int64 {
    guard let partition = partition(place) else { return -1 }
    let payload = withBytes(key) { key in
      withBytes(value) { value in
        Payload(
          key: key, value: value, headers: headers, timestamp: timestamp ?? clock.milliseconds)
      }
    }
    return (try? partition.append(Batch(records: [payload])).get()) ?? -1
  }

  // MARK: Trouble, by order of a test

  /// One broker, or all of them (nil), cannot be reached for a while.
  public func takeDown(broker: Int? = nil, milliseconds: Int) {
    faults.count("brokerDown")
    let until = clock.now + Int64(milliseconds) * 1000
    for i in brokerDownUntil.indices where broker == nil || broker == i {
      brokerDownUntil[i] = max(brokerDownUntil[i], until)
    }
  }

  /// Another broker leads the partition, after a while in which nobody does.
  public func moveLeader(_ place: LogPlace, milliseconds: Int) {
    guard let partition = partition(place) else { return }
    faults.count("leaderMove")
    partition.leader = (partition.leader + 1) % options.brokers
    partition.leaderlessUntil = max(
      partition.leaderlessUntil, clock.now + Int64(milliseconds) * 1000)
  }

  /// All partitions of a topic are without a leader for a while.
  public func makeUnavailable(topic: String, milliseconds: Int) {
    for partition in topics[topic]?.partitions ?? [] {
      moveLeader(partition.place, milliseconds: milliseconds)
    }
  }

  /// The coordinators of groups and transactions move: NOT_COORDINATOR for a while.
  public func moveCoordinators(milliseconds: Int) {
    faults.count("coordinatorMove")
    let until = clock.now + Int64(milliseconds) * 1000
    groups.awayUntil = max(groups.awayUntil, until)
    transactions.awayUntil = max(transactions.awayUntil, until)
  }

  /// Connections stay open and carry nothing for a while. What was sent meanwhile arrives then.
  public func stall(milliseconds: Int) {
    faults.count("stall")
    stalledUntil = max(stalledUntil, clock.now + Int64(milliseconds) * 1000)
  }

  /// The members of a group must join anew.
  public func rebalance(_ group: String) {
    faults.count("rebalance")
    groups.rebalance(group)
  }

  private func disturb() {
    guard let plan = faults.plan else { return }
    let length = 1 + draw(max(1, plan.longestMilliseconds))
    if draw(1_000_000) < plan.brokerDown {
      takeDown(broker: draw(2) == 0 ? nil : draw(options.brokers), milliseconds: length)
    }
    if draw(1_000_000) < plan.leaderMove {
      let all = topics.values.flatMap { $0.partitions.map(\.place) }.sorted()
      if !all.isEmpty { moveLeader(all[draw(all.count)], milliseconds: length) }
    }
    if draw(1_000_000) < plan.coordinatorMove { moveCoordinators(milliseconds: length) }
    if draw(1_000_000) < plan.stall { stall(milliseconds: length) }
    if draw(1_000_000) < plan.rebalance {
      let all = groups.names
      if !all.isEmpty { rebalance(all[draw(all.count)]) }
    }
  }

  // MARK: The road

  /// How a client asks: who, and how long it waits for an answer.
  struct Caller {
    var process: SimulatedProcess
    var socketTimeout: Int64
    /// No later than this; a call's own deadline.
    var deadline = Int64.max
  }

  /// Sends a request and waits for the answer; from inside an event it takes no time.
  /// - Parameters:
  ///   - broker: where it goes; nil: whichever is up.
  ///   - effect: what happens at the broker. May run later, or twice: captures values, not clients.
  /// - Returns: nil where the client has seen a broken connection or nothing at all.
  func request<Answer>(
    _ kind: KafkaRequest, _ caller: Caller, to broker: Int? = nil, cost: Int64,
    _ effect: @escaping () -> Answer
  ) throws(SimulatedError) -> Answer? {
    try caller.process.enter(kind.rawValue)
    disturb()
    let fault = faults.decide(kind) { self.draw($0) }
    let isForeground = !clock.isFiring
    let patience = min(caller.deadline, clock.now + caller.socketTimeout)
    func wait(_ microseconds: Int64) {
      guard isForeground else { return }
      clock.advance(to: max(clock.now, min(patience, clock.now + microseconds)))
    }
    let down = broker.map { brokerDownUntil[$0] } ?? brokerDownUntil.min() ?? 0
    if down > clock.now {
      wait(1000)
      try caller.process.leave(kind.rawValue)
      return nil
    }
    if stalledUntil > clock.now {
      wait(stalledUntil - clock.now)
      if stalledUntil > clock.now {
        clock.schedule(at: stalledUntil) { _ = effect() }
        try caller.process.leave(kind.rawValue)
        return nil
      }
    }
    wait(cost / 2)
    var answer: Answer?
    switch fault {
    case nil: answer = effect()
    case .duplicate:
      _ = effect()
      answer = effect()
    case .lostReply: _ = effect()
    case .lostRequest: break
    case .delayed(let milliseconds):
      clock.schedule(in: Int64(milliseconds) * 1000) { _ = effect() }
    }
    try caller.process.leave(kind.rawValue)
    if answer == nil {
      // A broken connection shows at once, or only by silence.
      wait(faults.plan != nil && draw(4) == 0 ? caller.socketTimeout : 5000)
    } else {
      wait(cost - cost / 2)
    }
    return answer
  }

  /// Lets time pass until something may have changed, at most until `deadline`.
  func sleep(until deadline: Int64) {
    guard !clock.isFiring else { return }
    clock.advance(to: max(clock.now, min(deadline, clock.nextEvent ?? deadline)))
  }

  func sleep(microseconds: Int64, caller: Caller) {
    guard !clock.isFiring else { return }
    clock.advance(to: max(clock.now, min(caller.deadline, clock.now + microseconds)))
  }

  /// Whether the partition's leader takes requests now; nil where there is no such partition.
  func hasLeader(_ place: LogPlace) -> Bool? {
    partition(place).map { $0.leaderlessUntil <= clock.now }
  }
}

func withBytes<T>(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> T) -> T {
  guard let bytes else { return body(nil) }
  return bytes.withUnsafeBytes { body($0) }
}
