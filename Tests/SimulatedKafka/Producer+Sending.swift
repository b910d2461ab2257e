// What a producer does with its queues: gives up what is too old, registers partitions, sends batches
// and judges the answers. Runs inside calls that wait, where requests take time, and inside events,
// where only the answers do.

extension SimulatedProducer {
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
  func pump(_ caller: SimulatedCluster.Caller, hurry: Bool) throws(SimulatedError) {
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
        && (!lane.sent.isEmpty
          || !needsBump && (lane.queued.first.map { $0.queuedAt + linger <= now } ?? false))
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

  private func refuse(_ lane: Lane, _ code: KafkaCode) {
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
