// Transactions as librdkafka 2.0 makes them: the order of calls, what is repeated inside, and which
// errors ask for an abort or for a new producer (rdkafka_txnmgr.c).
//
// A call that ran out of time throws `timedOut`: made again it goes on where it was. An error with
// the remedy `abort` leaves only `abortTransaction`; with `fatal`, only a new producer.

extension SimulatedProducer {
  /// Registers the transactional id, shuts out older producers and ends their open transaction.
  public func initTransactions(timeoutMilliseconds: Int = 30_000) throws(SimulatedError) {
    try checkUsable(.none, .ready)
    if transaction == .ready { return }
    let caller = caller(within: timeoutMilliseconds)
    try initialise(caller, held: nil, "init of transactions", timeoutMilliseconds)
    transaction = .ready
  }

  public func beginTransaction() throws(SimulatedError) {
    try checkUsable(.ready)
    transaction = .open
    abortable = nil
    participants = 0
    registerAt = 0
    for lane in lanes { lane.isRegistered = false }
  }

  /// Adds offsets of the consumer's group. They are refused where its membership is not current.
  public func sendOffsets(
    _ offsets: [LogPlace: StoredOffset], of consumer: SimulatedConsumer,
    timeoutMilliseconds: Int = 10_000
  ) throws(SimulatedError) {
    try checkUsable(.open)
    if let abortable { throw .failure(abortable) }
    if offsets.isEmpty { return }
    guard let group = consumer.options.group, let name = options.transactionalID, let identity
    else { throw .failure(KafkaFailure(.wrongState)) }
    let membership = consumer.membershipInGroup
    let caller = caller(within: timeoutMilliseconds)
    let costs = cluster.options.costs
    participants += 1
    while true {
      let answer = try cluster.request(.addOffsets, caller, cost: costs.addOffsets) { [cluster] in
        cluster.transactions.add(name, identity, group: group)
      }
      if try step(answer, caller, backoff: backoff) { break }
    }
    while true {
      let answer = try cluster.request(.transactionOffsets, caller, cost: costs.transactionOffsets)
      {
        [cluster] in cluster.groups.commit(group, membership, offsets, by: identity)
      }
      // librdkafka waits half a second before it asks again.
      if try step(answer, caller, backoff: 500_000) { break }
    }
  }

  /// Waits until everything sent is stored, then commits.
  public func commitTransaction(timeoutMilliseconds: Int = 30_000) throws(SimulatedError) {
    try checkUsable(.open, .flushing, .committing)
    let caller = caller(within: timeoutMilliseconds)
    if isInTransaction {
      transaction = .flushing
      if abortable == nil { try flush(caller) }
      if let fatal { throw .failure(fatal) }
      if let abortable { throw .failure(abortable) }
      if lanes.contains(where: { $0.count > 0 }) {
        throw .timedOut(operation: "flush before commit", milliseconds: timeoutMilliseconds)
      }
      transaction = .committing
    }
    if participants > 0 { try end(commits: true, caller, timeoutMilliseconds) }
    transaction = .ready
  }

  /// Gives up what is outstanding (its reports follow, as errors), then aborts.
  public func abortTransaction(timeoutMilliseconds: Int = 30_000) throws(SimulatedError) {
    try checkUsable(.open, .flushing, .committing, .aborting)
    let caller = caller(within: timeoutMilliseconds)
    // A commit that has begun can be given up only where it has failed.
    if (transaction == .committing || transaction == .flushing) && abortable == nil {
      throw .failure(KafkaFailure(.wrongState))
    }
    transaction = .aborting
    purge()
    if participants > 0 {
      try end(commits: false, caller, timeoutMilliseconds)
      participants = 0
    }
    // What was given up left gaps in the sequences: a newer epoch begins them again (KIP-360).
    if needsBump {
      try initialise(caller, held: identity, "abort of a transaction", timeoutMilliseconds)
    }
    abortable = nil
    transaction = .ready
  }

  // MARK: Inside

  private func checkUsable(_ states: TransactionState...) throws(SimulatedError) {
    try process.check()
    if let fatal { throw .failure(fatal) }
    guard isOpen, options.transactionalID != nil, states.contains(transaction) else {
      throw .failure(KafkaFailure(.wrongState))
    }
  }

  private func initialise(
    _ caller: SimulatedCluster.Caller, held: TransactionCoordinator.Identity?, _ operation: String,
    _ milliseconds: Int
  ) throws(SimulatedError) {
    let name = options.transactionalID ?? ""
    let timeout = Int64(options.transactionTimeoutMilliseconds) * 1000
    while true {
      let answer = try cluster.request(
        .initProducerID, caller, cost: cluster.options.costs.initProducerID
      ) { [cluster] in cluster.transactions.initialise(name, timeout: timeout, held: held) }
      switch answer {
      case .success(let identity)?: return adopt(identity)
      case .failure(.concurrentTransactions)?, .failure(.notCoordinator)?: break
      case .failure(let code)?:
        fail(code == .producerFenced || code == .invalidProducerEpoch ? .fenced : code)
        throw .failure(KafkaFailure(fatal?.code ?? code, .fatal))
      case nil: noteDisconnect()
      }
      if now >= caller.deadline {
        throw .timedOut(operation: operation, milliseconds: milliseconds)
      }
      cluster.sleep(microseconds: max(backoff, 20_000), caller: caller)
    }
  }

  /// AddPartitionsToTxn for partitions that are new in this transaction.
  /// - Returns: false where it must be asked again later.
  func register(_ fresh: [Lane], _ caller: SimulatedCluster.Caller) throws(SimulatedError) -> Bool {
    if fresh.isEmpty { return true }
    guard registerAt <= now, let name = options.transactionalID, let identity else { return false }
    participants += 1
    let places = fresh.map(\.place)
    let answer = try cluster.request(
      .addPartitions, caller, cost: cluster.options.costs.addPartitions
    ) { [cluster] in cluster.transactions.add(name, identity, partitions: places) }
    switch answer {
    case .some(nil):
      for lane in fresh { lane.isRegistered = true }
      return true
    case .concurrentTransactions??: registerAt = now + 20_000
    case .notCoordinator??, .unknownTopicOrPartition??: registerAt = now + max(backoff, 100_000)
    case .invalidProducerIDMapping??: requireAbort(.invalidProducerIDMapping, bump: true)
    case .some(.some(let code)): fail(normalised(code))
    case nil:
      noteDisconnect()
      registerAt = now + backoff
    }
    for lane in lanes where lane.count > 0 { lane.retryAt = max(lane.retryAt, registerAt) }
    return false
  }

  private func normalised(_ code: KafkaCode) -> KafkaCode {
    code == .producerFenced || code == .invalidProducerEpoch ? .fenced : code
  }

  /// Judges an answer to a request that adds offsets.
  /// - Returns: whether it is done; false after the wait before the next attempt.
  private func step(
    _ answer: KafkaCode??, _ caller: SimulatedCluster.Caller, backoff: Int64
  ) throws(SimulatedError) -> Bool {
    switch answer {
    case .some(nil): return true
    case nil: noteDisconnect()
    case .concurrentTransactions??, .notCoordinator??, .coordinatorLoading??: break
    case .producerFenced??, .invalidProducerEpoch??, .invalidTransactionState??:
      fail(normalised(answer.flatMap { $0 } ?? .fenced))
      throw .failure(fatal ?? KafkaFailure(.fenced, .fatal))
    case .some(.some(let code)):
      requireAbort(code, bump: code == .invalidProducerIDMapping)
      throw .failure(KafkaFailure(code, .abort))
    }
    if now >= caller.deadline {
      requireAbort(.timedOut)
      throw .failure(KafkaFailure(.timedOut, .abort))
    }
    cluster.sleep(microseconds: backoff, caller: caller)
    return false
  }

  private func end(
    commits: Bool, _ caller: SimulatedCluster.Caller, _ milliseconds: Int
  ) throws(SimulatedError) {
    guard let name = options.transactionalID, let identity else { return }
    while true {
      let answer = try cluster.request(
        .endTransaction, caller, cost: cluster.options.costs.endTransaction
      ) { [cluster] in cluster.transactions.end(name, identity, commits: commits) }
      switch answer {
      case .some(nil): return
      case nil: noteDisconnect()
      case .concurrentTransactions??, .notCoordinator??: break
      case .invalidProducerIDMapping?? where commits:
        requireAbort(.invalidProducerIDMapping, bump: true)
        throw .failure(KafkaFailure(.invalidProducerIDMapping, .abort))
      case .some(.some(let code)):
        fail(normalised(code))
        throw .failure(KafkaFailure(normalised(code), .fatal))
      }
      if now >= caller.deadline {
        throw .timedOut(
          operation: commits ? "commit of a transaction" : "abort of a transaction",
          milliseconds: milliseconds)
      }
      cluster.sleep(microseconds: backoff, caller: caller)
    }
  }
}
