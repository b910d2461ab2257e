// The live loop: records in, lists and models out, a cut now and then. One thread owns engine and publisher;
// records come decoded (`RecordSource`), models are made elsewhere (`ModelMaker`), messages leave through an
// `Outlet`, the state goes to a `StateKeeper`. It knows no Kafka, file or clock but through these, so that a
// simulated world drives the very same loop.
//
// Rules of the loop:
//  - A batch is applied and its lists put into the publisher's line before the next is taken; where the line
//    is long nothing further is applied.
//  - A start begins at the snapshot's offsets, or the log's. Records below the group's committed offsets change
//    rows and say nothing, for the run before has said it; from there on everything is said.
//  - What the run before has had of ticks is had again at the same offsets (`Timeline`), so the same causes have
//    the same lists. New ticks come once every partition was read to its end; then the timer decides.
//  - A commit is a cut: waiting lists are made, and once everything before it is acknowledged the positions
//    of the cut are committed; exactly once: in one transaction with the messages.
//  - A seal moves horizons and so changes lists: what comes behind it is sent when the seal is noted with a
//    commit. A model's record goes out, acknowledged, before the first list made with it.
import Engine
import Events
import Kafka
import Logging
import Recommender
import Sparse

/// Makes models from seals, elsewhere.
package protocol ModelMaker: AnyObject {
  func absorb(_ batch: ChangeBatch)
  func build(_ seal: Seal)
  /// The next finished model, if any.
  func take() -> ModelWorker.Finished?
  /// Models asked for and not yet taken.
  var outstanding: Int { get }
  /// Changed rows handed over and not yet absorbed.
  var backlogRows: Int { get }
}

/// What the loop asks the time of. Nanoseconds that never go back, and milliseconds since 1970.
package protocol LiveClock {
  var monotonic: Int64 { get }
  var wall: Int64 { get }
}

/// The system's.
struct SystemClock: LiveClock {
  var monotonic: Int64 { Process.monotonic }
  var wall: Int64 { Process.wallClock }
}

/// Everything the loop has to do with.
package struct LivePorts {
  package var source: any RecordSource
  package var outlet: any Outlet
  package var maker: any ModelMaker
  /// nil: no snapshots are written.
  package var keeper: (any StateKeeper)?
  package var clock: any LiveClock
  /// nil: which record the loop is at work on is noted nowhere.
  package var crashes: CrashLog?

  package init(
    source: any RecordSource, outlet: any Outlet, maker: any ModelMaker,
    keeper: (any StateKeeper)?, clock: any LiveClock, crashes: CrashLog? = nil
  ) {
    self.crashes = crashes
    self.source = source
    self.outlet = outlet
    self.maker = maker
    self.keeper = keeper
    self.clock = clock
  }
}

package final class LiveLoop {
  var options: DaemonOptions
  let log: Logger
  var engine: Engine
  let source: any RecordSource
  let maker: any ModelMaker
  let publisher: Publisher
  let clock: any LiveClock
  private let crashes: CrashLog?
  var outputs = Outputs()
  var counters = LiveCounters()

  /// Deliveries that came while the answer to a commit was waited for.
  private var held: [Delivery] = []
  private(set) var isRevocationHeld = false

  /// Partitions that are ours, and those read to their end.
  var mine: [TopicPartition] = []
  var atEnd = Set<TopicPartition>()
  /// Those that wait at a limit.
  var waiting = Set<TopicPartition>()
  /// Every partition was read to its end once: new ticks are had.
  var isCaughtUp = false

  /// Offsets the group has committed, events and catalogue. Below them the run before has said everything.
  var committed: EventVector = [:]
  var committedCatalogue: EventVector = [:]
  /// Per catalogue partition: the next offset.
  var cataloguePositions: EventVector = [:]

  // Restoring.
  private let recorded: [RecordedModel]
  private let restored: Int?
  private var hasBegun = false
  private var catalogueAnew: [Int32]
  /// Models up to this number are of another log, which this one has replaced.
  private(set) var era = 0
  /// Of the events topic; nil before the first assignment.
  private(set) var knownPartitions: Int?
  /// The last record read of each partition, by which a snapshot knows the log.
  private(set) var marks: [TopicPartition: RecordMark] = [:]
  var restoration = Restoration()

  // Models.
  /// Messages of the model in force that are not yet in the publisher's line.
  var backlog: (built: BuiltModel, next: Int)?
  /// The last seal: what is noted with every commit.
  var lastSeal: SealNote?
  var lastNumber: Int
  var nextTick: Int64 = 0
  var sealedPositions: [[Int64]] = []
  /// What the last commit noted of a model's messages.
  var notedMessages: SealNote.OpenMessages?

  // Commits and snapshots.
  var nextCommit: Int64
  var cut: Cut?
  var keeper: (any StateKeeper)?
  var nextSnapshot: Int64
  var snapshot = SnapshotState.none
  /// Of the newest snapshot, and of the one being written.
  var keptPositions: [[Int64]]
  var beganPositions: [[Int64]] = []

  // Watching.
  let health: Health
  let board: StatusBoard
  var metrics: MetricsLog?
  var isConfigurationGood: () -> Bool = { true }
  var nextReport: Int64 = 0
  var stopDeadline: Int64 = .max
  private(set) var hasLeft = false

  /// - Parameters:
  ///   - engine: new, or as it was in a snapshot.
  ///   - recorded: the models topic's last records.
  ///   - plan: what the start has found of the log.
  package init(
    _ options: DaemonOptions, engine: consuming Engine, ports: LivePorts,
    recorded: [RecordedModel], plan: StartPlan = StartPlan(), log: Logger, health: Health = Health(),
    board: StatusBoard = StatusBoard()
  ) {
    self.options = options
    self.log = log
    self.health = health
    self.board = board
    self.recorded = recorded
    restored = engine.model?.sequence ?? (engine.streamTime == nil ? nil : 0)
    lastNumber = max(engine.model?.sequence ?? 0, recorded.map(\.number).max() ?? 0)
    keptPositions = restored == nil ? [] : engine.positions
    for (place, record) in plan.marks {
      let positions = engine.positions[Int(place.topic)]
      guard Int(place.partition) < positions.count else { continue }
      marks[place] = RecordMark(offset: positions[Int(place.partition)] - 1, record: record)
    }
    for gap in plan.gaps {
      engine.passGap(
        partition: gap.partition, count: Int64(gap.offsets.count), next: gap.offsets.upperBound)
    }
    for partition in plan.catalogueAnew { engine.forgetPosition(topic: 1, partition: partition) }
    catalogueAnew = plan.catalogueAnew
    knownPartitions = plan.partitions
    self.engine = engine
    source = ports.source
    maker = ports.maker
    keeper = ports.keeper
    clock = ports.clock
    crashes = ports.crashes
    publisher = Publisher(ports.outlet, names: options.topics, clock: ports.clock)
    nextCommit = ports.clock.monotonic + options.commitInterval * 1_000_000
    nextSnapshot = ports.clock.monotonic + options.snapshotInterval * 1_000_000
  }

  func now() -> Int64 { clock.monotonic }

  package var isRunning: Bool { isCaughtUp && !restoration.isUnderWay }
  package var messagesTooLarge: Int { publisher.tooLarge }

  // MARK: a turn

  /// One turn: whatever has come and whatever is due.
  package func turn() throws(DaemonFailure) {
    if try take() { counters.turns += 1 }
    try releaseDue()
    try handOver()
    try advanceModels()
    try publishBacklog()
    try commitIfDue()
    try keepState()
    try serve(wait: 0)
    emitMetrics()
  }

  /// How long the loop may wait for records: until the next list is due, at most 100 ms; hardly while
  /// there is something to publish or to hear of.
  private var patience: Int {
    if backlog != nil || engine.renewalCount > 0 || engine.silentCount > 0 || maker.outstanding > 0
      || publisher.outstanding > 0 || !publisher.isIdle || publisher.isCommitting
    {
      return 1
    }
    var wait: Int64 = 100
    let now = now()
    if let due = engine.nextDeadline { wait = min(wait, max(0, due - now / 1_000_000)) }
    if cut == nil && engine.model != nil && !mine.isEmpty && !restoration.isUnderWay {
      wait = min(wait, max(0, (nextCommit - now) / 1_000_000))
    }
    return Int(wait)
  }

  // MARK: taking records

  /// Takes one delivery and does what it asks for. Returns whether there was one.
  private func take() throws(DaemonFailure) -> Bool {
    if publisher.isLong {
      try hearCommit()
      if !isRevocationHeld { return false }
    }
    let next = held.isEmpty ? try source.next(waitMilliseconds: patience) : held.removeFirst()
    guard let delivery = next else { return false }
    switch delivery {
    case .records(let batch):
      try apply(batch)
      for notice in batch.notices { try handle(notice) }
      source.recycle(batch)
    case .assigned(let partitions): try assigned(partitions)
    case .revoked(let partitions, let lost): revoked(partitions, lost: lost)
    case .committed(let result): try tookCommit(result)
    }
    return true
  }

  /// What is in the line may wait for the answer to a commit, which comes among the records: looks for it, and
  /// keeps the others in their order. The source has only so many batches.
  func hearCommit() throws(DaemonFailure) {
    while cut?.isCommitting == true, let delivery = try source.next(waitMilliseconds: 0) {
      switch delivery {
      case .committed(let result): try tookCommit(result)
      case .revoked:
        // No answer comes any more, and the group waits for ours.
        cut?.isCommitting = false
        isRevocationHeld = true
        held.append(delivery)
      case .records, .assigned: held.append(delivery)
      }
    }
  }

  private func apply(_ batch: RecordBatch) throws(DaemonFailure) {
    if batch.count == 0 { return }
    if counters.firstRecordAt == 0 { counters.firstRecordAt = batch.receivedAt }
    // One at a time where the last run died at a record, so that no other is taken for it.
    let ahead = crashes?.isSuspicious ?? false ? 1 : 32
    defer { crashes?.restFromApplying() }
    var other = 0
    var i = 0
    while i < batch.count {
      crashes?.applying(CrashLog.Record(batch.places[i]))
      if i % ahead == 0 { engine.prepare(batch.events, i..<min(i + ahead, batch.count)) }
      if other < batch.others.count && batch.others[other].index == i {
        take(batch.others[other], batch.places[i].position)
        other += 1
        i += 1
        continue
      }
      var end = min(i - i % ahead + ahead, batch.count)
      if other < batch.others.count { end = min(end, batch.others[other].index) }
      i = applyEvents(batch, i..<end, preparedFrom: i - i % ahead, to: &engine, into: &outputs)
      if outputs.byteCount > 1 << 16 {
        crashes?.restFromApplying()
        try publishOutputs()
      }
    }
    for (place, mark) in batch.marks { marks[place] = mark }
    counters.lastRecordAt = now()
    counters.records += batch.count
    counters.bytes += batch.bytes
  }

  /// Applies events until there is something to publish. The engine is a parameter, so that its being ours alone is
  /// not looked at for every event.
  /// - Returns: the place behind the last one applied.
  private func applyEvents(
    _ batch: RecordBatch, _ range: Range<Int>, preparedFrom first: Int, to engine: inout Engine,
    into outputs: inout Outputs
  ) -> Int {
    let (events, places) = (batch.events, batch.places.base)
    let clock = batch.receivedAt / 1_000_000
    // Records of a partition come in runs. What is committed meanwhile lies below what is applied.
    var run: (partition: Int32, committed: Int64) = (-1, 0)
    let crashes = crashes
    for i in range {
      let place = places[i]
      crashes?.applying(CrashLog.Record(place))
      guard let event = events.event(at: i) else {
        counters.unknownTypes += 1
        let time = events.time(at: i)
        let isFuture = LogPosition.isFuture(
          time ?? .min, recordTimestamp: place.timestamp, tolerance: options.engine.futureTolerance)
        engine.skip(place.position, time: isFuture ? nil : time)
        continue
      }
      if place.partition != run.partition {
        run = (place.partition, committed[place.partition] ?? 0)
      }
      engine.isSilent = place.offset < run.committed
      _ = engine.apply(
        event, at: place.position, clock: clock, receivedAt: batch.receivedAt,
        prepared: i &- first, into: &outputs)
      if outputs.byteCount > 1 << 16 { return i &+ 1 }
    }
    return range.upperBound
  }

  private func take(_ record: RecordBatch.Other, _ position: LogPosition) {
    if position.topic == 1 { cataloguePositions[position.partition] = position.offset + 1 }
    switch record.kind {
    case .rejected(let rejection): reject(record, position, rejection)
    case .erasure:
      engine.isSilent = position.offset < committed[position.partition] ?? 0
      (record.key ?? []).withUnsafeBytes { engine.erase(user: $0, at: position, into: &outputs) }
    case .catalogue:
      counters.catalogueRecords += 1
      let fault = (record.key ?? []).withUnsafeBytes { key in
        guard let value = record.value else {
          return engine.takeCatalogue(key: key, value: nil, limits: options.limits)
        }
        return value.withUnsafeBytes {
          engine.takeCatalogue(key: key, value: $0, limits: options.limits)
        }
      }
      if let fault { reject(record, position, fault) }
    }
  }

  /// To the dead-letter topic, unless it went there before the restart.
  private func reject(_ record: RecordBatch.Other, _ position: LogPosition, _ rejection: Rejection) {
    counters.rejects[Int(rejection.reason.rawValue)] += 1
    engine.skip(position)
    let known = position.topic == 0 ? committed : committedCatalogue
    if position.offset < known[position.partition] ?? 0 { return }
    let letter = DeadLetter(
      topic: position.topic == 0 ? options.topics.events : options.topics.catalogue,
      partition: position.partition, offset: position.offset, timestamp: position.timestamp,
      key: record.key, value: record.value,
      headers: record.headers.map { MessageHeader(key: $0.name, value: $0.value) },
      rejection: rejection)
    publisher.take(letter, connector: options.kafka["group.id"] ?? "affinity")
    log.debug("dead letter: \(rejection.reason.code)")
  }

  private func handle(_ notice: Notice) throws(DaemonFailure) {
    let event: ConsumerEvent
    switch notice {
    case .limitReached(let place, let limit):
      // One of before may be on its way still.
      if restoration.limit(place.partition) != limit { return }
      waiting.insert(place)
      return restoration.reached(place)
    case .outOfRange(let place, let offset, let bounds):
      return try meet(outOfRange: place, offset, bounds)
    case .client(let told): event = told
    }
    switch event {
    case .endOfPartition(let place, _):
      // Fetched to its end, but of what lies behind its limit nothing is taken yet.
      if waiting.contains(place) { return }
      atEnd.insert(place)
      restoration.reached(place)
    case .offsetOutOfRange: break  // Told with the bounds.
    case .maxPollExceeded(let message): log.error("\(message)")
    case .partitionFailed(let place, let failure):
      // A start looks whether it has come back as the same.
      if place.topic == 0 && failure.isUnknownTopic {
        throw .tryAgain("\(topicName(place)) partition \(place.partition) is gone: \(failure.message)")
      }
      log.warning("\(topicName(place)) partition \(place.partition): \(failure.message)")
    case .failed(let failure):
      if failure.remedy == .fatal { throw DaemonFailure.tryAgain(failure.message) }
      log.warning("\(failure.name): \(failure.message)")
    }
  }

  // MARK: the log's accidents

  /// What was to be read next is not there.
  private func meet(
    outOfRange place: TopicPartition, _ offset: Int64, _ bounds: Watermarks
  ) throws(DaemonFailure) {
    counters.offsetsOutOfRange += 1
    if place.topic != 0 {
      // A table: from its beginning it says everything that it has to say.
      log.warning(
        "\(topicName(place)) partition \(place.partition): offset \(offset) is not there; reading from the earliest record")
      engine.forgetPosition(topic: Int(place.topic), partition: place.partition)
      cataloguePositions[place.partition] = nil
      committedCatalogue[place.partition] = 0
      return source.restart(place, at: .beginning)
    }
    let positions = engine.positions[0]
    let known = Int(place.partition) < positions.count ? positions[Int(place.partition)] : 0
    let next = max(offset, known)
    if next < bounds.low {
      let gap = LogGap(partition: place.partition, offsets: next..<bounds.low)
      let accident = LogAccident.gap(topic: topicName(place), [gap])
      switch options.onGap {
      case .stop: throw accident.stop
      case .rebuild: throw accident.again(.state)
      case .continue:
        log.error("\(accident.description); going on behind them")
        engine.passGap(
          partition: place.partition, count: Int64(gap.offsets.count), next: bounds.low)
        source.restart(place, at: .at(bounds.low))
      }
    } else if next > bounds.high {
      let accident = LogAccident.recreated(
        topic: topicName(place),
        signs: ["partition \(place.partition) ends at offset \(bounds.high) and was read up to \(next)"])
      switch options.onRecreated {
      case .stop: throw accident.stop
      case .rebuild: throw accident.again(.everything)
      }
    } else {
      source.restart(place, at: .at(next))
    }
  }

  private func noteGrowth(_ count: Int) throws(DaemonFailure) {
    if let known = knownPartitions, count > known {
      let accident = LogAccident.grown(topic: options.topics.events, from: known, to: count)
      switch options.onGrown {
      case .stop: throw accident.stop
      case .continue: log.warning("\(accident.description)")
      }
    }
    knownPartitions = max(knownPartitions ?? 0, count)
  }

  // MARK: partitions

  private func topicName(_ place: TopicPartition) -> String {
    place.topic == 0 ? options.topics.events : options.topics.catalogue
  }

  private func assigned(_ partitions: [CommittedOffset]) throws(DaemonFailure) {
    atEnd = []
    waiting = []
    isCaughtUp = false
    if partitions.count < source.partitionCount {
      // The rows of some would be without those of the others, and no tick could be had again.
      log.warning(
        "\(partitions.count) of \(source.partitionCount) partitions are ours, the group has another member, perhaps one that has just died; waiting for the others")
      mine = []
      return source.begin(partitions.map { _ in PartitionPlan(start: .beginning, limit: 0) })
    }
    mine = partitions.map(\.place)
    let events = partitions.filter { $0.place.topic == 0 }
    try noteGrowth(events.count)
    for one in partitions {
      if one.place.topic == 0 {
        committed[one.place.partition] = one.offset ?? 0
      } else {
        let isAnew = catalogueAnew.contains(one.place.partition)
        committedCatalogue[one.place.partition] = isAnew ? 0 : one.offset ?? 0
      }
    }
    catalogueAnew = []
    let behind = events.reduce(Int64(0)) { $0 + ($1.offset ?? 0) }
    log.info(
      "assigned \(events.count) partitions of \(options.topics.events)\(behind > 0 ? ", \(behind) records committed before" : "")")
    if !hasBegun {
      hasBegun = true
      beginRestoring(events)
    }
    restoration.await(events.map(\.place))
    source.begin(
      partitions.map { one in
        let known = engine.positions[Int(one.place.topic)]
        let partition = Int(one.place.partition)
        var plan = PartitionPlan(start: .beginning)
        if partition < known.count && known[partition] >= 0 { plan.start = .at(known[partition]) }
        if one.place.topic == 0 { plan.limit = restoration.limit(one.place.partition) }
        return plan
      })
  }

  private func beginRestoring(_ events: [CommittedOffset]) {
    let notes = Dictionary(uniqueKeysWithValues: events.map { ($0.place.partition, $0.note) })
    let note = SealNote(notes: notes, committed: committed)
    era = SealNote.era(notes.values)
    let timeline = Timeline(
      records: recorded.filter { $0.number > era }, restored: restored, committed: committed, seal: note,
      configuration: options.engine.fingerprint)
    lastSeal = note
    notedMessages = note?.openMessages
    lastNumber = max(lastNumber, note?.number ?? 0, era)
    restoration = Restoration(
      timeline, committed: committed, hasModel: engine.model != nil || restored != nil)
    if restoration.isUnderWay { log.info("\(restoration)") }
  }

  private func revoked(_ partitions: [PartitionOffset], lost: Bool) {
    log.info("\(partitions.count) partitions \(lost ? "lost" : "revoked")")
    mine = []
    atEnd = []
    waiting = []
    isCaughtUp = false
    isRevocationHeld = false
    // A cut stays: its offsets are committed when everything is ours again.
    cut?.isCommitting = false
    source.release()
  }

  // MARK: watching

  /// Takes delivery reports, waiting at most `wait` ms, and sends on.
  func serve(wait: Int) throws(DaemonFailure) {
    reportHealth()
    try publishing { () throws(Publisher.Failure) in
      try publisher.advance()
      try publisher.poll(timeoutMilliseconds: wait)
    }
    for event in publisher.takeEvents() {
      log.warning("producer: \(event.name): \(event.message)")
    }
  }

  /// What the publisher cannot get over, a new start can.
  func publishing(_ body: () throws(Publisher.Failure) -> Void) throws(DaemonFailure) {
    do throws(Publisher.Failure) { try body() } catch { throw DaemonFailure.tryAgain("\(error)") }
  }

  /// Tells health that the loop turns, and a few times a second how it is.
  private func reportHealth() {
    let now = now()
    health.turned(at: now)
    if now < nextReport { return }
    nextReport = now + 250_000_000
    var report = LoopReport()
    report.phase =
      mine.isEmpty
      ? .connecting : restoration.isUnderWay ? .restoring : isCaughtUp ? .running : .catchingUp
    let known = engine.positions[0]
    if restoration.isUnderWay {
      for (partition, end) in committed {
        let at = Int(partition) < known.count ? known[Int(partition)] : 0
        report.restored.done += Int(max(0, min(at, end)))
        report.restored.total += Int(end)
      }
    }
    report.hasModel = engine.model != nil
    report.awaitsFirstEvent = isCaughtUp && engine.streamTime == nil
    report.isPaused = publisher.isLong || restoration.isUnderWay
    report.records = counters.records
    report.acknowledged = publisher.acknowledged
    report.outstanding = publisher.outstanding
    for place in mine where place.topic == 0 {
      report.lags.append((place.partition, Int(lag(of: place))))
    }
    health.report(report, at: now)
  }

  private func lag(of place: TopicPartition) -> Int64 {
    let positions = engine.positions[0]
    let position =
      Int(place.partition) < positions.count ? max(0, positions[Int(place.partition)]) : 0
    return source.end(of: place).map { max(0, $0 - position) } ?? 0
  }

  func emitMetrics(force: Bool = false) {
    guard let metrics, metrics.isDue(now: now()) || force else { return }
    var lag: Int64 = 0
    for place in mine where place.topic == 0 { lag += self.lag(of: place) }
    metrics.emit(
      now: now(), engine: engine, counters: counters, publisher: publisher, lag: lag,
      isCaughtUp: isCaughtUp, backlog: backlog.map { $0.built.outputs.count - $0.next } ?? 0,
      workerRows: maker.backlogRows, isConfigurationGood: isConfigurationGood())
    counters.pauseMilliseconds = 0
    counters.sealMilliseconds = 0
  }

  /// What can change while running.
  func take(_ configuration: Configuration) {
    options.modelInterval = configuration.modelInterval
    nextTick = min(nextTick, now() + options.modelInterval * 1_000_000)
    options.shutdownTimeout = configuration.shutdownTimeout
    engine.linger = configuration.engine.recommend.linger
    metrics?.set(interval: configuration.metricsInterval)
  }

  /// Leaves the group where `drain` has not: who takes over need not wait for the session's end.
  package func leave() {
    if hasLeft { return }
    hasLeft = true
    _ = source.finish(committing: [], deadlineMilliseconds: 5000)
    keeper?.discard()
  }

  func noteLeft() { hasLeft = true }
}
