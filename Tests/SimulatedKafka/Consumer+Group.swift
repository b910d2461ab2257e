// A consumer's place in its group: joining, heartbeats, rebalances, commits, and questions to brokers.

extension SimulatedConsumer {
  /// Joins the group for all topics.
  public func subscribe(
    timeoutMilliseconds: Int = 30_000, _ handler: SimulatedRebalanceHandler
  ) throws(SimulatedError) {
    try process.check()
    precondition(options.group != nil, "subscribing needs a group")
    try requireTopics(timeoutMilliseconds: timeoutMilliseconds)
    self.handler = handler
    phase = .joining
    try join()
    scheduleBeat()
  }

  /// The generation of our membership; nil outside a group.
  public var generation: Int? {
    phase == .none || membershipInGroup.generation < 0 ? nil : membershipInGroup.generation
  }
  public var memberID: String { membershipInGroup.member }

  /// Leaves the group unless we are a static member. Commits nothing.
  public func close() throws(SimulatedError) {
    try process.check()
    guard isOpen else { return }
    isOpen = false
    handler = nil
    if phase != .none && options.instance == nil { try leave() }
    phase = .none
    slots = []
  }

  // MARK: Offsets

  /// Commits for the group and waits for the answer.
  public func commit(
    _ offsets: [LogPlace: StoredOffset], timeoutMilliseconds: Int = 10_000
  ) throws(SimulatedError) {
    try process.check()
    let caller = caller(within: timeoutMilliseconds)
    while true {
      let answer = try sendCommit(offsets, caller)
      switch answer {
      case .some(nil): return
      case nil: break
      case .notCoordinator??, .coordinatorLoading??: break
      case .some(.some(let code)): throw .failure(KafkaFailure(code))
      }
      if now >= caller.deadline {
        throw .timedOut(operation: "commit", milliseconds: timeoutMilliseconds)
      }
      cluster.sleep(microseconds: 100_000, caller: caller)
    }
  }

  /// Commits without waiting; `then` is called inside a later `poll`. nil: it went well.
  public func commit(
    _ offsets: [LogPlace: StoredOffset], then: @escaping (KafkaFailure?) -> Void
  ) throws(SimulatedError) {
    try process.check()
    let answer = try sendCommit(offsets, caller(within: 0))
    switch answer {
    case .some(nil): pendingCommits.append { then(nil) }
    case nil: pendingCommits.append { then(KafkaFailure(.transport)) }
    case .some(.some(let code)): pendingCommits.append { then(KafkaFailure(code)) }
    }
  }

  private func sendCommit(
    _ offsets: [LogPlace: StoredOffset], _ caller: SimulatedCluster.Caller
  ) throws(SimulatedError) -> KafkaCode?? {
    let group = options.group ?? ""
    let membership = membershipInGroup
    // Without a wait it costs the caller nothing.
    let cost = caller.deadline > now ? cluster.options.costs.other : 0
    return try cluster.request(.offsetCommit, caller, cost: cost) { [cluster] in
      cluster.groups.commit(group, membership, offsets)
    }
  }

  /// What the group has committed, in the order asked. Repeats the question while a transaction
  /// with offsets is open or the coordinator is away.
  public func committed(
    _ places: [LogPlace], timeoutMilliseconds: Int = 10_000
  ) throws(SimulatedError) -> [StoredOffset?] {
    try process.check()
    let group = options.group ?? ""
    let answer = try ask(.offsetFetch, "committed offsets", timeoutMilliseconds) {
      [cluster] in cluster.groups.fetch(group, places)
    }
    return answer
  }

  /// Asks the partition's leader. `high` is where a reader's world ends: under `readCommitted` the
  /// last stable offset.
  public func watermarks(
    _ place: LogPlace, timeoutMilliseconds: Int = 5000
  ) throws(SimulatedError) -> LogBounds {
    try process.check()
    let isolation = options.isolation
    return try ask(
      .listOffsets, "watermarks of \(place)", timeoutMilliseconds,
      to: cluster.partition(place)?.leader
    ) { [cluster] in cluster.listOffsets(place, isolation) }
  }

  /// Partition counts, in the order of `topics`.
  @discardableResult
  public func requireTopics(timeoutMilliseconds: Int = 30_000) throws(SimulatedError) -> [Int] {
    try process.check()
    let topics = topics
    return try ask(.metadata, "topics", timeoutMilliseconds) { [cluster] in
      let counts = topics.map { cluster.partitionCount($0) }
      return counts.contains(0) ? .failure(.unknownTopicOrPartition) : .success(counts)
    }
  }

  /// Asks until there is an answer, or an error that does not pass, or no time.
  private func ask<Answer>(
    _ kind: KafkaRequest, _ operation: String, _ milliseconds: Int, to broker: Int? = nil,
    _ effect: @escaping () -> Result<Answer, KafkaCode>
  ) throws(SimulatedError) -> Answer {
    let caller = caller(within: milliseconds)
    while true {
      let answer = try cluster.request(
        kind, caller, to: broker, cost: cluster.options.costs.other, effect)
      if case .success(let value)? = answer { return value }
      if case .failure(let code)? = answer, code.remedy != .retry {
        throw .failure(KafkaFailure(code))
      }
      if now >= caller.deadline {
        if case .failure(.unknownTopicOrPartition)? = answer { throw .unknownTopics(topics) }
        if case .failure(let code)? = answer { throw .failure(KafkaFailure(code)) }
        throw .timedOut(operation: operation, milliseconds: milliseconds)
      }
      cluster.sleep(microseconds: 50_000, caller: caller)
    }
  }

  // MARK: Rebalancing

  /// What a poll does first: looks for the new generation, hands out what has come.
  func serveGroup() throws(SimulatedError) {
    if !pendingCommits.isEmpty {
      let done = pendingCommits
      pendingCommits = []
      for call in done { call() }
    }
    guard phase != .none else { return }
    noteSession()
    lookForGeneration()
    while let next = rebalances.first {
      switch next {
      case .revoke(let lost):
        let held = assignment
        slots = []
        if !held.isEmpty { handler?.revoked(held, lost) }
        try process.check()
        if lost { membershipInGroup.member = "" }
        if lost { membershipInGroup.generation = -1 }
        phase = .joining
        rebalances.removeFirst()
        try join()
      case .assign(let places):
        let committed =
          places.isEmpty ? [] : try self.committed(places, timeoutMilliseconds: 30_000)
        // The rebalance may have gone on meanwhile.
        let chosen = places.isEmpty ? [] : handler?.assigned(Array(zip(places, committed))) ?? []
        try process.check()
        precondition(chosen.count == places.count, "a start is needed for every partition")
        try assign(Array(zip(places, chosen)))
        rebalances.removeFirst()
      }
    }
  }

  private func lookForGeneration() {
    guard phase == .joining, !membershipInGroup.member.isEmpty, let group = options.group else {
      return
    }
    switch cluster.groups.sync(group, member: membershipInGroup.member) {
    case nil: lastHeartbeat = now
    case .success(let (generation, places))?:
      membershipInGroup.generation = generation
      phase = .stable
      lastHeartbeat = now
      rebalances.append(.assign(places))
    case .failure?:
      membershipInGroup.member = ""
      membershipInGroup.generation = -1
    }
  }

  /// JoinGroup, once; a beat tries again.
  private func join() throws(SimulatedError) {
    guard let group = options.group, isOpen, fatal == nil else { return }
    let member = membershipInGroup.member
    let (instance, topics) = (options.instance, topics)
    let session = Int64(options.sessionTimeoutMilliseconds) * 1000
    let rebalance = Int64(options.maxPollMilliseconds) * 1000
    let answer = try cluster.request(
      .joinGroup, caller(within: options.socketTimeoutMilliseconds),
      cost: cluster.options.costs.other
    ) { [cluster] in
      cluster.groups.join(
        group, member: member, instance: instance, topics: topics, sessionTimeout: session,
        rebalanceTimeout: rebalance)
    }
    switch answer {
    case .success(let id)?:
      membershipInGroup.member = id
      lastHeartbeat = now
    case .failure(.fencedInstance)?: beFenced()
    case .failure(.unknownMember)?: membershipInGroup.member = ""
    case .failure?, nil: break
    }
  }

  private func leave() throws(SimulatedError) {
    guard let group = options.group, !membershipInGroup.member.isEmpty else { return }
    let member = membershipInGroup.member
    _ = try cluster.request(.leaveGroup, caller(within: 5000), cost: cluster.options.costs.other) {
      [cluster] in cluster.groups.leave(group, member: member)
    }
    membershipInGroup.member = ""
    membershipInGroup.generation = -1
  }

  private func beFenced() {
    fatal = KafkaFailure(.fencedInstance, .fatal)
    events.append(.failed(KafkaFailure(.fencedInstance, .fatal)))
  }

  private func revoke(lost: Bool) {
    if lost {
      // Told once, whatever was still to be told; nothing of it is ours.
      rebalances = [.revoke(lost: true)]
    } else if rebalances.isEmpty {
      rebalances = [.revoke(lost: false)]
    }
  }

  /// The client sees by itself that its session is over.
  private func noteSession() {
    if phase == .stable && now - lastHeartbeat >= Int64(options.sessionTimeoutMilliseconds) * 1000 {
      lastHeartbeat = now
      revoke(lost: true)
    }
  }

  private func scheduleBeat() {
    cluster.clock.schedule(in: Int64(options.heartbeatMilliseconds) * 1000) { [weak self] in
      guard let self, isOpen, !process.isDead, fatal == nil else { return }
      if !process.isFrozen { try? beat() }
      if !process.isDead { scheduleBeat() }
    }
  }

  /// What the heartbeat thread does; runs inside an event.
  private func beat() throws(SimulatedError) {
    guard let group = options.group else { return }
    if phase == .joining {
      if membershipInGroup.member.isEmpty && rebalances.isEmpty { try join() }
      lookForGeneration()
      return
    }
    guard phase == .stable else { return }
    if now - lastPoll > Int64(options.maxPollMilliseconds) * 1000 {
      if case .revoke(lost: true)? = rebalances.first { return }
      events.append(.maxPollExceeded)
      revoke(lost: true)
      return try leave()
    }
    noteSession()
    let membership = membershipInGroup
    let answer = try cluster.request(.heartbeat, caller(within: 0), cost: 0) { [cluster] in
      cluster.groups.heartbeat(group, membership)
    }
    switch answer {
    case .some(nil): lastHeartbeat = now
    case .rebalanceInProgress??:
      lastHeartbeat = now
      revoke(lost: false)
    case .fencedInstance??: beFenced()
    case .illegalGeneration??, .unknownMember??: revoke(lost: true)
    default: break
    }
  }
}
