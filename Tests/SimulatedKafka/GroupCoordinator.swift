// The group coordinator: members, generations, assignments, and the offsets of groups.
//
// Eager rebalancing with the `range` assignor (which here the coordinator runs instead of one of
// the members). Static members: KIP-345. Offsets inside transactions: KIP-98; they are refused when
// the consumer's membership is no longer current: KIP-447.

final class GroupCoordinator {
  /// A member's place in its group, as it travels with commits.
  struct Membership: Equatable {
    var member = ""
    var generation = -1
    var instance: String?
  }

  private final class Member {
    let id: String
    let instance: String?
    let topics: [String]
    let sessionTimeout: Int64
    let rebalanceTimeout: Int64
    var lastHeartbeat: Int64 = 0
    /// Waits for the generation that is being made.
    var hasJoined = true
    var assignment: [LogPlace] = []
    init(
      id: String, instance: String?, topics: [String], sessionTimeout: Int64,
      rebalanceTimeout: Int64
    ) {
      self.id = id
      self.instance = instance
      self.topics = topics
      self.sessionTimeout = sessionTimeout
      self.rebalanceTimeout = rebalanceTimeout
    }
    /// The order of the `range` assignor: static members by their instance.
    var rank: String { instance ?? id }
  }

  private final class Group {
    let name: String
    var generation = 0
    var members: [Member] = []
    /// nil where it is stable or empty; else when those who have not joined are left out.
    var deadline: Int64?
    /// Not before then: a new group waits for more members.
    var earliest: Int64 = 0
    var offsets: [LogPlace: StoredOffset] = [:]
    var pending: [Int64: [LogPlace: StoredOffset]] = [:]
    var producerEpochs: [Int64: Int16] = [:]
    init(_ name: String) { self.name = name }
  }

  private unowned let cluster: SimulatedCluster
  private var groups: [String: Group] = [:]
  private var membersMade = 0
  /// NOT_COORDINATOR until then.
  var awayUntil: Int64 = 0

  init(_ cluster: SimulatedCluster) { self.cluster = cluster }

  var names: [String] { groups.keys.sorted() }
  private var now: Int64 { cluster.clock.now }
  private var isAway: Bool { awayUntil > now }

  private func group(_ name: String) -> Group {
    if let group = groups[name] { return group }
    let group = Group(name)
    groups[name] = group
    return group
  }

  // MARK: Membership

  /// JoinGroup. The answer to a real one comes when the generation is made: see `sync`.
  func join(
    _ name: String, member: String, instance: String?, topics: [String], sessionTimeout: Int64,
    rebalanceTimeout: Int64
  ) -> Result<String, KafkaCode> {
    if isAway { return .failure(.notCoordinator) }
    let group = group(name)
    func make(_ id: String) -> Member {
      let fresh = Member(
        id: id, instance: instance, topics: topics, sessionTimeout: sessionTimeout,
        rebalanceTimeout: rebalanceTimeout)
      fresh.lastHeartbeat = now
      watch(fresh, in: group)
      return fresh
    }
    if !member.isEmpty {
      guard let i = group.members.firstIndex(where: { $0.id == member }) else {
        let isReplaced = instance != nil && group.members.contains { $0.instance == instance }
        return .failure(isReplaced ? .fencedInstance : .unknownMember)
      }
      group.members[i].lastHeartbeat = now
      prepare(group)
      group.members[i].hasJoined = true
      completeIfReady(group)
      return .success(member)
    }
    membersMade += 1
    let id = "\(instance ?? "member")-\(membersMade)"
    if let instance, let i = group.members.firstIndex(where: { $0.instance == instance }) {
      // A static member has come back: it takes its place, and nobody else need know.
      let fresh = make(id)
      let old = group.members[i]
      group.members[i] = fresh
      if group.deadline == nil && old.topics == topics {
        fresh.assignment = old.assignment
        fresh.hasJoined = false
      } else {
        prepare(group)
        fresh.hasJoined = true
        completeIfReady(group)
      }
      return .success(id)
    }
    if group.members.isEmpty {
      group.earliest = now + Int64(cluster.options.initialRebalanceDelayMilliseconds) * 1000
    }
    prepare(group)
    group.members.append(make(id))
    completeIfReady(group)
    return .success(id)
  }

  /// What a joined member has; nil while the generation is still being made.
  func sync(_ name: String, member: String) -> Result<
    (generation: Int, places: [LogPlace]), KafkaCode
  >? {
    guard let group = groups[name], let found = group.members.first(where: { $0.id == member })
    else { return .failure(.unknownMember) }
    if group.deadline != nil || found.hasJoined { return nil }
    return .success((group.generation, found.assignment))
  }

  func heartbeat(_ name: String, _ membership: Membership) -> KafkaCode? {
    if isAway { return .notCoordinator }
    guard let group = groups[name] else { return .unknownMember }
    switch find(membership, in: group) {
    case .failure(let code): return code
    case .success(let member):
      member?.lastHeartbeat = now
      return group.deadline == nil ? nil : .rebalanceInProgress
    }
  }

  func leave(_ name: String, member: String) -> KafkaCode? {
    if isAway { return .notCoordinator }
    guard let group = groups[name], group.members.contains(where: { $0.id == member }) else {
      return .unknownMember
    }
    remove(member, from: group)
    return nil
  }

  func rebalance(_ name: String) {
    guard let group = groups[name], !group.members.isEmpty else { return }
    prepare(group)
  }

  func topicHasChanged(_ topic: String) {
    for name in names {
      if let group = groups[name], group.members.contains(where: { $0.topics.contains(topic) }) {
        prepare(group)
      }
    }
  }

  private func find(_ membership: Membership, in group: Group) -> Result<Member?, KafkaCode> {
    if let member = group.members.first(where: { $0.id == membership.member }) {
      return membership.generation == group.generation
        ? .success(member) : .failure(.illegalGeneration)
    }
    if let instance = membership.instance,
      group.members.contains(where: { $0.instance == instance })
    {
      return .failure(.fencedInstance)
    }
    // Who is no member may commit for a group that has none.
    if membership.member.isEmpty && membership.generation < 0 && group.members.isEmpty {
      return .success(nil)
    }
    return .failure(.unknownMember)
  }

  private func watch(_ member: Member, in group: Group) {
    cluster.clock.schedule(at: member.lastHeartbeat + member.sessionTimeout) { [weak self] in
      guard let self, group.members.contains(where: { $0 === member }) else { return }
      // Who waits for a generation is held by that.
      if group.deadline != nil && member.hasJoined { member.lastHeartbeat = now }
      if member.lastHeartbeat + member.sessionTimeout <= now {
        remove(member.id, from: group)
      } else {
        watch(member, in: group)
      }
    }
  }

  private func remove(_ id: String, from group: Group) {
    group.members.removeAll { $0.id == id }
    prepare(group)
    completeIfReady(group)
  }

  private func prepare(_ group: Group) {
    guard group.deadline == nil else { return }
    for member in group.members { member.hasJoined = false }
    let longest = group.members.map(\.rebalanceTimeout).max() ?? 0
    let deadline = max(now + longest, group.earliest)
    group.deadline = deadline
    for time in [group.earliest, deadline] where time >= now {
      cluster.clock.schedule(at: time) { [weak self] in self?.completeIfReady(group) }
    }
  }

  private func completeIfReady(_ group: Group) {
    guard let deadline = group.deadline, now >= group.earliest else { return }
    if now >= deadline { group.members.removeAll { !$0.hasJoined } }
    guard group.members.allSatisfy(\.hasJoined) else { return }
    group.deadline = nil
    group.generation += 1
    for member in group.members {
      member.hasJoined = false
      member.lastHeartbeat = now
      member.assignment = []
    }
    assign(group)
  }

  /// `range`: every topic's partitions in runs, over the members in their order.
  private func assign(_ group: Group) {
    let topics = Set(group.members.flatMap(\.topics)).sorted()
    for topic in topics {
      let takers = group.members.filter { $0.topics.contains(topic) }.sorted { $0.rank < $1.rank }
      let count = cluster.partitionCount(topic)
      var next = 0
      for (i, member) in takers.enumerated() {
        let share = count / takers.count + (i < count % takers.count ? 1 : 0)
        member.assignment += (next..<next + share).map { LogPlace(topic, Int32($0)) }
        next += share
      }
    }
  }

  // MARK: Offsets

  func commit(_ name: String, _ membership: Membership, _ offsets: [LogPlace: StoredOffset])
    -> KafkaCode?
  {
    if isAway { return .notCoordinator }
    let group = group(name)
    if case .failure(let code) = find(membership, in: group) { return code }
    for (place, offset) in offsets { group.offsets[place] = offset }
    return nil
  }

  /// OffsetFetch that wants stable offsets (KIP-447).
  func fetch(_ name: String, _ places: [LogPlace]) -> Result<[StoredOffset?], KafkaCode> {
    if isAway { return .failure(.notCoordinator) }
    guard let group = groups[name] else { return .success(places.map { _ in nil }) }
    if group.pending.values.contains(where: { held in places.contains { held[$0] != nil } }) {
      return .failure(.unstableOffsetCommit)
    }
    return .success(places.map { group.offsets[$0] })
  }

  /// TxnOffsetCommit: kept aside until the transaction is decided.
  func commit(
    _ name: String, _ membership: Membership, _ offsets: [LogPlace: StoredOffset],
    by producer: TransactionCoordinator.Identity
  ) -> KafkaCode? {
    if isAway { return .notCoordinator }
    let group = group(name)
    if case .failure(let code) = find(membership, in: group) { return code }
    if producer.epoch < group.producerEpochs[producer.id] ?? -1 { return .invalidProducerEpoch }
    if cluster.options.verifiesTransactions
      && !cluster.transactions.isOpen(producer, group: name)
    {
      return .invalidTransactionState
    }
    group.producerEpochs[producer.id] = producer.epoch
    for (place, offset) in offsets { group.pending[producer.id, default: [:]][place] = offset }
    return nil
  }

  /// The marker of a transaction in the group's own log.
  func mark(_ name: String, _ producer: TransactionCoordinator.Identity, commits: Bool) {
    let group = group(name)
    group.producerEpochs[producer.id] = max(
      group.producerEpochs[producer.id] ?? -1, producer.epoch)
    guard let held = group.pending.removeValue(forKey: producer.id), commits else { return }
    for (place, offset) in held { group.offsets[place] = offset }
  }

  func stored(_ name: String, _ place: LogPlace) -> StoredOffset? { groups[name]?.offsets[place] }

  func forget(topic: String) {
    for group in groups.values {
      for place in group.offsets.keys where place.topic == topic { group.offsets[place] = nil }
      for producer in group.pending.keys {
        for place in (group.pending[producer] ?? [:]).keys where place.topic == topic {
          group.pending[producer]?[place] = nil
        }
      }
    }
  }
}
