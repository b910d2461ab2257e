// Lists and models of the loop: what is due is made, what is made goes into the publisher's line.
import Engine
import Recommender
import Sparse

extension LiveLoop {
  // MARK: lists

  func releaseDue() throws(DaemonFailure) {
    // In portions, so that what is made is on its way while the rest is made.
    while engine.release(dueBy: now() / 1_000_000, limit: 256, into: &outputs) > 0 {
      try publishOutputs()
    }
    if engine.renewalCount > 0 { engine.renew(limit: renewalPortion, into: &outputs) }
    if engine.silentCount > 0 && !restoration.isUnderWay { engine.listen(limit: 128) }
    try publishOutputs()
  }

  /// Commits wait for renewals where they are transactions, and readers wait for commits.
  private var renewalPortion: Int { publisher.outlet.isTransactional ? 1024 : 128 }

  /// Every list that an act has caused is made, in portions.
  func makeWaitingLists() throws(DaemonFailure) {
    while engine.release(dueBy: .max, limit: 256, into: &outputs) > 0 { try publishOutputs() }
    while engine.renew(limit: 256, into: &outputs) > 0 { try publishOutputs() }
    try publishOutputs()
  }

  /// Puts what the engine has said into the line, and sends what can be sent.
  func publishOutputs() throws(DaemonFailure) {
    if outputs.count == 0 { return }
    publisher.take(&outputs)
    try publishing(publisher.advance)
    while publisher.isVeryLong && !isRevocationHeld { try stall() }
  }

  /// The line is longer than what may be held: wait for room, keep the metrics. The source keeps the group.
  private func stall() throws(DaemonFailure) {
    counters.stalls += 1
    try serve(wait: 10)
    try commitIfAcknowledged()
    try hearCommit()
    emitMetrics()
    if now() > stopDeadline {
      throw DaemonFailure.tryAgain("the broker takes nothing; given up at the shutdown timeout")
    }
  }

  // MARK: models

  /// Changed rows go to the model's maker in portions, so that a seal has little left to copy.
  func handOver() throws(DaemonFailure) {
    if engine.changedRows > 16_384 && maker.backlogRows < 262_144 {
      maker.absorb(engine.takeChanges())
    }
  }

  func advanceModels() throws(DaemonFailure) {
    if restoration.isUnderWay {
      if !mine.isEmpty { try restore() }
      return
    }
    if !isCaughtUp {
      guard !mine.isEmpty && mine.allSatisfy({ atEnd.contains($0) }) else { return }
      isCaughtUp = true
      let seconds = Double(counters.lastRecordAt - counters.firstRecordAt) / 1e9
      log.info(
        "caught up: \(counters.records) records in \((seconds * 1000).rounded() / 1000) s\(seconds > 0 ? " (\(Int(Double(counters.records) / seconds))/s)" : ""), rows digest \(engine.digest.hex)")
      if nextTick == 0 { nextTick = now() }
    }
    // What the run before has said behind the committed offsets was said with its models: ours come into
    // force only behind all of that.
    if let finished = maker.take() { try activate(finished) }
    // A model first renews everybody's list, in portions, before the next one is made.
    guard maker.outstanding == 0, backlog == nil, engine.renewalCount == 0, engine.silentCount == 0,
      cut == nil, now() >= nextTick, let tick = engine.streamTime
    else { return }
    if engine.positions == sealedPositions {
      nextTick = now() + options.modelInterval * 1_000_000
      return
    }
    try makeModel(tick: tick, number: lastNumber + 1)
  }

  /// Seals, and asks for the model. Lists behind the seal are sent once it is noted with a commit.
  private func makeModel(tick: Int64, number: Int) throws(DaemonFailure) {
    nextTick = now() + options.modelInterval * 1_000_000
    let begin = now()
    try makeWaitingLists()
    let sealed = now()
    seal(tick: tick, number: number)
    if engine.model != nil { try beginCut(noting: true) }
    counters.sealMilliseconds = max(counters.sealMilliseconds, milliseconds(since: sealed))
    counters.pauseMilliseconds = max(counters.pauseMilliseconds, milliseconds(since: begin))
  }

  /// - Parameter digest: of the rows from which the model of that number was made before.
  /// - Returns: false where it cannot be made again: the model has a number of its own then.
  @discardableResult
  private func seal(tick: Int64, number: Int, expecting digest: String? = nil) -> Bool {
    var seal = engine.seal(tick: tick, sequence: number)
    var number = number
    let isAsBefore = digest == nil || digest == seal.digest.hex
    if !isAsBefore {
      log.warning(
        "\(Model.name(number)) cannot be made again: the rows are not those it was made from (digest \(seal.digest.hex), on record \(digest ?? "")); a new one is made of what there is")
      number = lastNumber + 1
      seal.sequence = number
    }
    lastNumber = max(lastNumber, number)
    sealedPositions = seal.positions
    var offsets: EventVector = [:]
    for (partition, offset) in seal.positions[0].enumerated() where offset >= 0 {
      offsets[Int32(partition)] = offset
    }
    lastSeal = SealNote(number: number, tick: tick, offsets: offsets)
    maker.build(seal)
    return isAsBefore
  }

  private func activate(_ finished: ModelWorker.Finished) throws(DaemonFailure) {
    let begin = now()
    engine.isSilent = false
    try makeWaitingLists()
    engine.activate(finished.built, into: &outputs)
    try publishOutputs()
    publisher.takeBarrier()
    backlog = (finished.built, 0)
    note(finished)
    counters.pauseMilliseconds = max(counters.pauseMilliseconds, milliseconds(since: begin))
  }

  private func note(_ finished: ModelWorker.Finished) {
    let (built, sizes) = (finished.built, finished.built.sizes)
    counters.models += 1
    counters.tickSeconds = finished.seconds
    counters.tickSecondsMax = max(counters.tickSecondsMax, finished.seconds)
    counters.sizes = sizes
    counters.builderBytes = finished.bytes
    board.note(
      StatusBoard.ModelNote(
        id: built.model.id, time: clock.wall, seconds: finished.seconds,
        items: sizes.items, pairs: sizes.pairs, baskets: sizes.baskets, rules: sizes.rules))
    let wanted = options.engine.rules.maxLength
    if let rules = built.model.rules, wanted > 0, rules.maxLength > 0, rules.maxLength < wanted {
      log.warning(
        "rules: too many frequent itemsets, so rules of at most \(rules.maxLength) items (rules.max_length \(wanted)); raise rules.min_support")
    }
    log.info(
      "\(built.model.id): \(sizes.items) items, \(sizes.pairs) pairs, \(sizes.rules) rules in \(Int(finished.seconds * 1000)) ms; \(built.outputs.count) messages")
  }

  private func milliseconds(since start: Int64) -> Double { Double(now() - start) / 1e6 }

  /// A model's own messages, in portions behind the lists.
  func publishBacklog() throws(DaemonFailure) {
    guard let (built, next) = backlog, publisher.isIdle, !publisher.isCutting else { return }
    let end = min(next + 2_000, built.outputs.count)
    publisher.take(built, next..<end)
    backlog = end == built.outputs.count ? nil : (built, end)
    try publishing(publisher.advance)
  }

  // MARK: restoring

  /// Does the steps that are due.
  private func restore() throws(DaemonFailure) {
    while let step = restoration.due(engine.positions[0]) {
      var isAsBefore = true
      switch step.action {
      case .seal(let number, let tick, let digest):
        // A model that comes into force in silence renews every list: nobody asks for those before it.
        if restoration.renewsInSilence { engine.forgetSilentLists() }
        try makeWaitingLists()
        engine.listen(limit: .max)
        isAsBefore = seal(tick: tick, number: number, expecting: digest)
      case .activate(let number):
        guard let finished = maker.take() else { return }
        precondition(finished.built.model.sequence == number)
        if restoration.isSilent(step) {
          try activateSilently(finished)
        } else {
          try activate(finished)
        }
      case .make:
        if maker.outstanding > 0 {
          guard let finished = maker.take() else { return }
          engine.listen(limit: .max)
          try activate(finished)
          break
        }
        if let tick = engine.streamTime, sealedPositions.isEmpty {
          log.info(
            "at the committed offsets: \(counters.records) records, rows digest \(engine.digest.hex)")
          try makeWaitingLists()
          engine.listen(limit: .max)
          seal(tick: tick, number: lastNumber + 1)
          return
        }
      }
      let before = restoration.limits
      if isAsBefore { restoration.finish() } else { restoration.abandon() }
      let limits = restoration.limits
      waiting = waiting.filter { before[$0.partition] == limits[$0.partition] }
      source.limit(limits)
      if !restoration.isUnderWay {
        nextTick = now() + options.modelInterval * 1_000_000
        log.info("restored: rows digest \(engine.digest.hex), \(engine.model?.id ?? "no model")")
      }
    }
  }

  /// The model was put in force by the run before, and what it had to say is said, but for the messages that
  /// had not been sent with the last commit.
  private func activateSilently(_ finished: ModelWorker.Finished) throws(DaemonFailure) {
    engine.isSilent = true
    engine.forgetSilentLists()
    engine.activate(finished.built, into: &outputs)
    outputs.removeAll()
    note(finished)
    if let open = notedMessages, open.model == finished.built.model.sequence, open.sent >= 0 {
      backlog = (finished.built, min(open.sent, finished.built.outputs.count))
    }
  }
}
