// Cuts, commits and snapshots of the loop, and its end.
import Engine
import Kafka
import Snapshots
import Sparse

/// A place in the line of messages, with the offsets that are committed when everything before it is out.
struct Cut {
  var offsets: [PartitionOffset]
  var events: EventVector
  /// The offsets are on their way to the group.
  var isCommitting = false
  /// What comes behind it waits for its commit.
  var isNoted = false
  /// As noted with the offsets.
  var openMessages: SealNote.OpenMessages?
}

enum SnapshotState {
  case none
  /// Being written; put in place once its cut is committed.
  case writing(cutIsCommitted: Bool, started: Int64)
}

extension LiveLoop {
  // MARK: commits

  func commitIfDue() throws(DaemonFailure) {
    try commitIfAcknowledged()
    // Before the first model no list has been published: those records stay uncommitted, unless a dead letter
    // among them has begun a transaction. Renewals belong to the model's coming into force, whose record must
    // not be committed without them.
    guard now() >= nextCommit || publisher.wantsCut || needsSnapshot, cut == nil,
      engine.renewalCount == 0,
      engine.model != nil || publisher.outlet.isTransactional && !publisher.isEmpty,
      !mine.isEmpty, !restoration.isUnderWay
    else { return }
    nextCommit = now() + options.commitInterval * 1_000_000
    try makeWaitingLists()
    try beginCut(noting: false)
  }

  /// - Parameter noting: a seal was just made; what comes behind it waits for this commit.
  func beginCut(noting: Bool) throws(DaemonFailure) {
    precondition(cut == nil)
    let mine = Set(mine)
    var next = Cut(offsets: [], events: [:], isNoted: noting)
    let seal = lastSeal
    let open = openMessages
    next.openMessages = open
    let mustNote = noting || open != notedMessages
    for (partition, offset) in engine.positions[0].enumerated() where offset >= 0 {
      let partition = Int32(partition)
      let place = TopicPartition(topic: 0, partition: partition)
      guard mine.contains(place), offset > committed[partition] ?? 0 || mustNote else { continue }
      // After a restart we may still be behind what the run before has committed; that never goes back.
      let offset = max(offset, committed[partition] ?? 0)
      let note = SealNote.text(seal, era: era, for: partition, open: open)
      next.offsets.append(PartitionOffset(place, offset: offset, note: note))
      next.events[partition] = offset
    }
    for place in mine where place.topic == 1 {
      if let offset = cataloguePositions[place.partition],
        offset > committedCatalogue[place.partition] ?? 0
      {
        next.offsets.append(PartitionOffset(place, offset: offset))
      }
    }
    // Where nothing has come for a while, the newest snapshot may still be of before.
    if next.offsets.isEmpty && publisher.isEmpty && !needsSnapshot { return }
    cut = next
    publisher.beginCut()
    if noting { publisher.takeBarrier(needsCommit: true) }
    beginSnapshotIfDue()
  }

  /// The model whose messages are not all sent at the cut.
  private var openMessages: SealNote.OpenMessages? {
    if let backlog {
      return SealNote.OpenMessages(model: backlog.built.model.sequence, sent: backlog.next)
    }
    guard maker.outstanding > 0, let lastSeal else { return nil }
    return SealNote.OpenMessages(model: lastSeal.number, sent: SealNote.OpenMessages.notInForce)
  }

  /// Commits a cut once everything before it is acknowledged.
  func commitIfAcknowledged() throws(DaemonFailure) {
    guard let offsets = cut?.offsets else { return }
    if publisher.isCommitting {
      return try publishing { () throws(Publisher.Failure) in
        if try publisher.takeCommit() { committedCut() }
      }
    }
    guard publisher.isCutDone, cut?.isCommitting == false, !mine.isEmpty else { return }
    if publisher.outlet.isTransactional {
      return try publishing { () throws(Publisher.Failure) in try publisher.beginCommit(offsets) }
    }
    if offsets.isEmpty { return committedCut() }
    cut?.isCommitting = true
    source.commit(offsets)
  }

  /// The group's answer, where commits are no transactions.
  func tookCommit(_ result: Result<Void, KafkaError>) throws(DaemonFailure) {
    guard let current = cut, current.isCommitting else { return }
    switch result {
    case .success: committedCut()
    case .failure(let error):
      log.warning("commit: \(error)")
      // What waits for it cannot be sent without: once more.
      if current.isNoted { cut?.isCommitting = false } else { forgetCut() }
    }
  }

  private func committedCut() {
    guard let done = cut else { return }
    counters.commits += 1
    for (partition, offset) in done.events { committed[partition] = offset }
    for one in done.offsets where one.place.topic == 1 {
      committedCatalogue[one.place.partition] = one.offset
    }
    notedMessages = done.openMessages
    publisher.endCut()
    cut = nil
    if case .writing(_, let started) = snapshot {
      snapshot = .writing(cutIsCommitted: true, started: started)
    }
  }

  func forgetCut() {
    publisher.endCut()
    cut = nil
    if case .writing(false, _) = snapshot {
      keeper?.discard()
      snapshot = .none
    }
  }

  // MARK: snapshots

  /// Whether one would be taken at a cut made now: no model is under way.
  private var isSnapshotDue: Bool {
    guard keeper != nil, case .none = snapshot else { return false }
    return now() >= nextSnapshot && maker.outstanding == 0 && backlog == nil
      && engine.renewalCount == 0 && engine.silentCount == 0
  }

  /// One is due, and the newest is of other offsets.
  private var needsSnapshot: Bool { isSnapshotDue && engine.positions != keptPositions }

  /// At a cut: nothing waits, so the state is what the cut's offsets say.
  private func beginSnapshotIfDue() {
    guard let keeper, isSnapshotDue, engine.pendingCount == 0 else { return }
    let begin = now()
    nextSnapshot = begin + options.snapshotInterval * 1_000_000
    maker.absorb(engine.takeChanges())
    var state = StateWriter()
    engine.save(into: &state)
    keeper.begin(
      state,
      SnapshotMetadata(
        of: engine, partitions: knownPartitions ?? 0, marks: marks, software: DaemonOptions.software,
        created: clock.wall))
    snapshot = .writing(cutIsCommitted: false, started: begin)
    beganPositions = engine.positions
    counters.snapshotPauseMilliseconds = max(
      counters.snapshotPauseMilliseconds, Double(now() - begin) / 1e6)
  }

  /// Puts a snapshot in place once it is written and its cut is committed.
  func keepState() throws(DaemonFailure) {
    guard let keeper, case .writing(let cutIsCommitted, let started) = snapshot else { return }
    guard let outcome = keeper.outcome() else { return }
    do throws(SnapshotFailure) {
      try outcome.get()
      guard cutIsCommitted else { return }
      let kept = try keeper.publish()
      snapshot = .none
      keptPositions = beganPositions
      counters.snapshots += 1
      log.info(
        "snapshot \(kept.path) in \((now() - started) / 1_000_000) ms, \(counters.snapshotPauseMilliseconds.rounded()) ms of them at rest")
      for warning in kept.warnings { log.warning("snapshot: \(warning)") }
    } catch {
      snapshot = .none
      counters.snapshotFailures += 1
      log.error("snapshot: \(error); the ones before are as they were, and the next is tried in time")
    }
  }

  // MARK: the end

  /// Makes and publishes what waits, commits, writes a last snapshot, leaves the group; not longer than
  /// the shutdown timeout.
  package func drain() throws(DaemonFailure) {
    health.stopping()
    // A little before the time at which `ShutdownDeadline` ends the process: we know better what is missing.
    stopDeadline = now() + options.shutdownTimeout * 900_000
    log.info("stopping: lists that wait are made, then offsets committed")
    if !restoration.isUnderWay && engine.model != nil && !mine.isEmpty {
      // A model under way is had again by the next run: its seal is noted.
      try finishCut()
      try makeWaitingLists()
      while backlog != nil {
        try publishBacklog()
        try wait()
      }
      nextSnapshot = 0
      try beginCut(noting: false)
      try finishCut()
      while case .writing = snapshot {
        try keepState()
        try wait()
      }
    }
    emitMetrics(force: true)
    let left = max(100, Int((stopDeadline - now()) / 1_000_000))
    noteLeft()
    let end = source.finish(committing: [], deadlineMilliseconds: min(left, 10_000))
    if !end.isClosed {
      log.warning("the consumer did not close in time; left to the session timeout")
    }
    publisher.outlet.close(deadlineMilliseconds: 1000)
    log.info("stopped: \(counters.records) records read, rows digest \(engine.digest.hex)")
  }

  /// Waits for the commit of the cut there is.
  private func finishCut() throws(DaemonFailure) {
    while cut != nil {
      try commitIfAcknowledged()
      if cut == nil { break }
      // Answers come among the deliveries; records that come with them are left to the next run.
      switch try source.next(waitMilliseconds: 1) {
      case .committed(let result): try tookCommit(result)
      case .records(let batch): source.recycle(batch)
      case .revoked: forgetCut()
      case .assigned, nil: break
      }
      try wait()
    }
  }

  private func wait() throws(DaemonFailure) {
    try serve(wait: 5)
    emitMetrics()
    if now() > stopDeadline {
      throw DaemonFailure.tryAgain(
        "\(publisher.outstanding) messages not acknowledged at the shutdown timeout; offsets not committed")
    }
  }
}
