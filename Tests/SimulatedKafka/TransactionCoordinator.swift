// The transaction coordinator: who holds a transactional id, and how its transactions end.
//
// States and answers are those of Kafka's TransactionCoordinator and TransactionMetadata before
// KIP-890's second part (an EndTxn carries no number of its own, so that a late one may end the next
// transaction): KIP-98, KIP-360 (a producer asks for a newer epoch of its own id), KIP-588 (a
// transaction that times out bumps the epoch).

final class TransactionCoordinator {
  enum State { case empty, ongoing, prepareCommit, prepareAbort, completeCommit, completeAbort }

  struct Identity: Equatable {
    var id: Int64
    var epoch: Int16
  }

  private final class Entry {
    let name: String
    var identity: Identity
    var timeout: Int64
    var state = State.empty
    var partitions: [LogPlace] = []
    var groups: [String] = []
    var startedAt: Int64 = 0
    init(name: String, identity: Identity, timeout: Int64) {
      self.name = name
      self.identity = identity
      self.timeout = timeout
    }
  }

  private unowned let cluster: SimulatedCluster
  private var entries: [String: Entry] = [:]
  private var producers = 0
  /// NOT_COORDINATOR until then.
  var awayUntil: Int64 = 0

  init(_ cluster: SimulatedCluster) {
    self.cluster = cluster
    scheduleTimeoutCheck()
  }

  /// A producer id without a transactional id.
  func newIdentity() -> Identity {
    producers += 1
    return Identity(id: Int64(1000 + producers), epoch: 0)
  }

  /// InitProducerId. Shuts out earlier holders; an open transaction is aborted first.
  /// - Parameter held: set where the holder itself wants a newer epoch.
  func initialise(_ name: String, timeout: Int64, held: Identity?) -> Result<Identity, KafkaCode> {
    if awayUntil > cluster.clock.now { return .failure(.notCoordinator) }
    guard let entry = entries[name] else {
      let identity = newIdentity()
      entries[name] = Entry(name: name, identity: identity, timeout: timeout)
      return .success(identity)
    }
    if let held, held != entry.identity { return .failure(.producerFenced) }
    switch entry.state {
    case .prepareCommit, .prepareAbort: return .failure(.concurrentTransactions)
    case .ongoing:
      fence(entry)
      return .failure(.concurrentTransactions)
    case .empty, .completeCommit, .completeAbort:
      if entry.identity.epoch == Int16.max {
        entry.identity = newIdentity()
      } else {
        entry.identity.epoch += 1
      }
      entry.state = .empty
      entry.timeout = timeout
      return .success(entry.identity)
    }
  }

  /// AddPartitionsToTxn and AddOffsetsToTxn.
  func add(
    _ name: String, _ identity: Identity, partitions: [LogPlace] = [], group: String? = nil
  ) -> KafkaCode? {
    switch lookUp(name, identity) {
    case .failure(let code): return code
    case .success(let entry):
      if partitions.contains(where: { cluster.partition($0) == nil }) {
        return .unknownTopicOrPartition
      }
      switch entry.state {
      case .prepareCommit, .prepareAbort: return .concurrentTransactions
      case .ongoing: break
      case .empty, .completeCommit, .completeAbort:
        entry.state = .ongoing
        entry.partitions = []
        entry.groups = []
        entry.startedAt = cluster.clock.now
      }
      for place in partitions where !entry.partitions.contains(place) {
        entry.partitions.append(place)
      }
      if let group, !entry.groups.contains(group) { entry.groups.append(group) }
      return nil
    }
  }

  /// EndTxn. Decides; the markers follow, and only then is the next transaction taken.
  func end(_ name: String, _ identity: Identity, commits: Bool) -> KafkaCode? {
    switch lookUp(name, identity) {
    case .failure(let code): return code
    case .success(let entry):
      switch (entry.state, commits) {
      case (.ongoing, _):
        decide(entry, commits: commits)
        return nil
      case (.completeCommit, true), (.completeAbort, false): return nil
      case (.prepareCommit, true), (.prepareAbort, false): return .concurrentTransactions
      default: return .invalidTransactionState
      }
    }
  }

  /// Whether a partition, or a group, belongs to the producer's open transaction (KIP-890, first
  /// part).
  func isOpen(_ identity: Identity, _ place: LogPlace) -> Bool {
    ongoing(identity)?.partitions.contains(place) ?? false
  }
  func isOpen(_ identity: Identity, group: String) -> Bool {
    ongoing(identity)?.groups.contains(group) ?? false
  }

  // MARK: Inside

  private func ongoing(_ identity: Identity) -> Entry? {
    entries.values.first { $0.identity == identity && $0.state == .ongoing }
  }

  private func lookUp(_ name: String, _ identity: Identity) -> Result<Entry, KafkaCode> {
    if awayUntil > cluster.clock.now { return .failure(.notCoordinator) }
    guard let entry = entries[name], entry.identity.id == identity.id else {
      return .failure(.invalidProducerIDMapping)
    }
    return entry.identity.epoch == identity.epoch ? .success(entry) : .failure(.producerFenced)
  }

  private func fence(_ entry: Entry) {
    if entry.identity.epoch < Int16.max { entry.identity.epoch += 1 }
    decide(entry, commits: false)
  }

  private func decide(_ entry: Entry, commits: Bool) {
    let costs = cluster.options.costs
    entry.state = commits ? .prepareCommit : .prepareAbort
    let earliest = cluster.clock.now + costs.completion
    var missing = entry.partitions.count + entry.groups.count
    let identity = entry.identity
    func written() {
      missing -= 1
      if missing > 0 { return }
      cluster.clock.schedule(at: max(earliest, cluster.clock.now)) {
        entry.state = commits ? .completeCommit : .completeAbort
        entry.partitions = []
        entry.groups = []
      }
    }
    // A partition without a leader has its marker later, and readers of others see theirs before.
    func mark(_ place: LogPlace) {
      if cluster.hasLeader(place) == false {
        cluster.clock.schedule(in: 20_000) { mark(place) }
        return
      }
      cluster.partition(place)?.mark(identity.id, epoch: identity.epoch, commits: commits)
      written()
    }
    func delay() -> Int64 {
      costs.markers.lowerBound
        + Int64(cluster.draw(Int(costs.markers.upperBound - costs.markers.lowerBound) + 1))
    }
    for place in entry.partitions { cluster.clock.schedule(in: delay()) { mark(place) } }
    for group in entry.groups {
      cluster.clock.schedule(in: delay()) { [unowned cluster] in
        cluster.groups.mark(group, identity, commits: commits)
        written()
      }
    }
    if missing == 0 {
      missing = 1
      written()
    }
  }

  private func scheduleTimeoutCheck() {
    cluster.clock.schedule(in: Int64(cluster.options.timeoutCheckMilliseconds) * 1000) {
      [weak self] in
      guard let self else { return }
      for name in entries.keys.sorted() {
        guard let entry = entries[name], entry.state == .ongoing,
          entry.startedAt + entry.timeout <= cluster.clock.now
        else { continue }
        fence(entry)
      }
      scheduleTimeoutCheck()
    }
  }
}
