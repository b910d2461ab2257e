// The live loop. One thread owns engine and publisher; records are fetched and decoded on another (`Intake`),
// models made on a third.
//
// Rules of the loop:
//  - A batch is applied and its lists published before the next is taken; where the producer's queue is
//    full nothing further is applied.
//  - Until there are snapshots every start reads the log from its beginning. Records below the group's
//    committed offset change rows and make no list; from there on lists are published.
//  - The first model waits until every partition has been read to its end once; then the timer decides.
//    After a restart there is one before that: every partition waits at its committed offset, and the
//    model of what was committed comes into force. So each act behind it has its list again, however old.
//  - Offsets are committed at a cut: waiting lists are made, and once everything published up to there is
//    acknowledged, the positions of the cut go to the group.
//  - A model's record is published before the first list made with it; its other messages follow in
//    portions, lists first.
import Dispatch
import Engine
import Events
import Glibc
import Histogram
import Kafka
import Logging
import Recommender
import Sparse

/// Why the daemon ended other than by request, with a status for supervisors (sysexits).
public struct DaemonFailure: Error, CustomStringConvertible {
  public var description: String
  public var status: Int32
  /// A stop was asked for before anything had begun.
  static let stopped = DaemonFailure(description: "stopped at the start", status: 0)
  static func tryAgain(_ text: String) -> DaemonFailure {
    DaemonFailure(description: text, status: 75)
  }
}

public final class Daemon {
  private(set) var options: DaemonOptions
  let log: Logger
  private let health: Health
  private let board: StatusBoard
  private let reloader: Reloader?
  private var nextReport: Int64 = 0
  private var engine: Engine
  private let worker: ModelWorker
  private let source: any RecordSource
  private let start: () throws(KafkaError) -> Void
  private let publisher: Publisher
  private let metrics: MetricsLog
  private var outputs = Outputs()

  /// Per events partition: below it, records are replayed silently.
  private var committed: [Int32: Int64] = [:]
  /// The same of the catalogue, which is read whole at every start: only its dead letters are not repeated.
  private var committedCatalogue: [Int32: Int64] = [:]
  /// Per catalogue partition: the next offset.
  private var cataloguePositions: [Int32: Int64] = [:]
  private var mine: [TopicPartition] = []
  private var atEnd = Set<TopicPartition>()
  private var isCaughtUp = false

  /// After a restart: partitions still on their way to their committed offset, which is their limit until
  /// there is a model.
  private var isRestoring = false
  private var restoring = Set<TopicPartition>()
  /// Whether some partition waits there.
  private var holds = false
  /// Since when the producer's queue has been full, monotonic ns; 0: it is not.
  private var stalledSince: Int64 = 0
  private var isStalled: Bool { stalledSince > 0 && now() - stalledSince > 1_000_000_000 }

  /// Messages of models not yet published: neighbours, rules, popularity.
  private var backlog: [(built: BuiltModel, next: Int)] = []
  private var nextTick: Int64 = 0
  private var sealedPositions: [[Int64]] = []
  private var nextCommit: Int64 = 0
  private var cut: [PartitionOffset] = []
  var counters = LiveCounters()

  public init(
    _ options: DaemonOptions, log: Logger, metrics: ReopenableFile, clientLog: ClientLog,
    health: Health = Health(), board: StatusBoard = StatusBoard(), reloader: Reloader? = nil
  ) throws {
    self.options = options
    self.log = log
    self.health = health
    self.board = board
    self.reloader = reloader
    let observer = ClientObserver(log: { clientLog.take($0) })
    let consumerObserver = ClientObserver(
      log: { clientLog.take($0) },
      statistics: { health.took(statistics: $0, at: Process.monotonic) })
    var consumerConfig = options.kafka
    consumerConfig["enable.partition.eof"] = "true"
    let consumer: Consumer
    do throws(KafkaError) {
      consumer = try Consumer(
        config: consumerConfig, topics: [options.topics.events, options.topics.catalogue],
        observer: consumerObserver)
      publisher = try Publisher(options, observer: observer)
    } catch {
      throw DaemonFailure(description: "\(error)", status: error.isSettings ? 78 : 75)
    }
    let sequence: Int
    do throws(KafkaError) {
      try Daemon.waitForTopics(options, consumer, publisher, health)
      sequence = try LastModel.sequence(options, observer: observer)
    } catch {
      if Signals.isStopRequested { throw DaemonFailure.stopped }
      if error.isDenied {
        throw DaemonFailure(description: "the broker refuses us: \(error)", status: 69)
      }
      throw DaemonFailure.tryAgain(
        "kafka.bootstrap.servers \(options.kafka["bootstrap.servers"] ?? "unset"): \(error), after \(options.topicTimeout / 1000) s")
    }
    engine = Engine(options.engine, topics: [options.topics.events, options.topics.catalogue])
    worker = ModelWorker(options.engine, after: sequence, threads: options.engine.threads)
    let intake = Intake(
      consumer, limits: options.limits, futureTolerance: options.engine.futureTolerance,
      warn: { log.warning("consumer: \($0)") })
    source = intake
    start = { () throws(KafkaError) in
      try intake.start(timeoutMilliseconds: Int(options.topicTimeout))
    }
    self.metrics = MetricsLog(metrics, interval: options.metricsInterval, board: board)
    if sequence > 0 { log.info("models so far: \(sequence)") }
  }

  /// Asks for all topics in short turns, so that a stop that comes meanwhile is heard.
  private static func waitForTopics(
    _ options: DaemonOptions, _ consumer: Consumer, _ publisher: Publisher, _ health: Health
  ) throws(KafkaError) {
    let deadline = Process.monotonic + options.topicTimeout * 1_000_000
    while true {
      health.turned(at: Process.monotonic)
      do throws(KafkaError) {
        try publisher.requireTopics(timeoutMilliseconds: 1000)
        _ = try consumer.requireTopics(timeoutMilliseconds: 1000)
        return
      } catch {
        if error.isDenied || error.isFatal || Signals.isStopRequested
          || Process.monotonic > deadline
        {
          throw error
        }
      }
    }
  }

  // MARK: running

  /// Runs until a stop is asked for. Returns after the drain.
  public func run() throws {
    do throws(KafkaError) { try start() } catch { throw DaemonFailure.tryAgain("\(error)") }
    log.info("reading \(options.topics.events) as group \(options.kafka["group.id"] ?? "")")
    do {
      try loop()
      try drain()
    } catch {
      // Who takes over need not wait for the session's end.
      if !hasLeft { _ = source.finish(committing: [], deadlineMilliseconds: 5000) }
      throw error
    }
  }

  private func loop() throws {
    nextCommit = now() + options.commitInterval * 1_000_000
    var reloads = Signals.reloadCount
    while !Signals.isStopRequested {
      try turn()
      if Signals.reloadCount != reloads {
        reloads = Signals.reloadCount
        reload()
      }
    }
  }

  /// SIGHUP: log files opened anew, and what can change while running taken from the configuration.
  private func reload() {
    health.reloading(at: now())
    metrics.file.reopen()
    LogFile.reopenAll()
    log.info("log files opened anew")
    if let configuration = reloader?.reload() {
      options.modelInterval = configuration.modelInterval
      nextTick = min(nextTick, now() + options.modelInterval * 1_000_000)
      options.shutdownTimeout = configuration.shutdownTimeout
      engine.linger = configuration.engine.recommend.linger
      metrics.set(interval: configuration.metricsInterval)
    }
    health.reloaded()
  }

  /// Tells health that the loop turns, and a few times a second how it is.
  private func reportHealth() {
    let now = now()
    health.turned(at: now)
    if now < nextReport { return }
    nextReport = now + 250_000_000
    var report = LoopReport()
    report.phase =
      mine.isEmpty ? .connecting : isRestoring ? .restoring : isCaughtUp ? .running : .catchingUp
    if isRestoring {
      for (partition, end) in committed {
        let known = engine.positions[0]
        let at = Int(partition) < known.count ? known[Int(partition)] : 0
        report.restored.done += Int(max(0, min(at, end)))
        report.restored.total += Int(end)
      }
    }
    report.hasModel = engine.model != nil
    report.awaitsFirstEvent = isCaughtUp && engine.streamTime == nil
    report.isPaused = isStalled || holds
    report.records = counters.records
    report.acknowledged = publisher.acknowledged
    report.outstanding = publisher.outstanding
    for place in mine where place.topic == 0 {
      report.lags.append((place.partition, Int(lag(place))))
    }
    health.report(report, at: now)
  }

  /// One turn of the loop.
  private func turn() throws {
    let isBusy = try take()
    try releaseDue()
    try handOver()
    try advanceModels()
    try publishBacklog()
    try commitIfDue()
    try serve(wait: 0)
    emitMetrics()
    if isBusy { counters.turns += 1 }
  }

  /// How long the loop may wait for records: until the next list is due, at most 100 ms; hardly while
  /// there is something to publish or to hear of.
  private var patience: Int {
    if !backlog.isEmpty || engine.renewalCount > 0 || worker.outstanding > 0
      || publisher.outstanding > 0
    {
      return 1
    }
    var wait: Int64 = 100
    if let due = engine.nextDeadline { wait = min(wait, max(0, due - now() / 1_000_000)) }
    return Int(wait)
  }

  private func now() -> Int64 { Process.monotonic }

  // MARK: taking records

  /// Takes one delivery and does what it asks for. Returns whether there was one.
  private func take() throws -> Bool {
    guard let delivery = try source.next(waitMilliseconds: patience) else { return false }
    switch delivery {
    case .records(let batch):
      try apply(batch)
      for notice in batch.notices { try handle(notice) }
      source.recycle(batch)
    case .assigned(let partitions): assigned(partitions)
    case .revoked(let partitions, let lost): revoked(partitions, lost: lost)
    case .committed(.success): counters.commits += 1
    case .committed(.failure(let error)): log.warning("commit: \(error)")
    }
    return true
  }

  private func apply(_ batch: RecordBatch) throws {
    if batch.count == 0 { return }
    if counters.firstRecordAt == 0 { counters.firstRecordAt = batch.receivedAt }
    let clock = batch.receivedAt / 1_000_000
    var other = 0
    let ahead = 32
    for i in 0..<batch.count {
      if i % ahead == 0 { engine.prepare(batch.events, i..<min(i + ahead, batch.count)) }
      let place = batch.places[i]
      let position = LogPosition(
        topic: UInt16(place.topic), partition: place.partition, offset: place.offset,
        timestamp: place.timestamp)
      if other < batch.others.count && batch.others[other].index == i {
        try take(batch.others[other], position)
        other += 1
        continue
      }
      guard let event = batch.events.event(at: i) else {
        counters.unknownTypes += 1
        engine.skip(position)
        continue
      }
      engine.isSilent = position.offset < committed[position.partition] ?? 0
      _ = engine.apply(
        event, at: position, clock: clock, receivedAt: batch.receivedAt, prepared: i % ahead,
        into: &outputs)
      if outputs.byteCount > 1 << 16 { try publishOutputs() }
    }
    counters.records += batch.count
    counters.bytes += batch.bytes
  }

  private func take(_ record: RecordBatch.Other, _ position: LogPosition) throws {
    switch record.kind {
    case .rejected(let rejection): try reject(record, position, rejection)
    case .erasure: engine.countErasure(at: position)
    case .catalogue:
      counters.catalogueRecords += 1
      cataloguePositions[position.partition] = position.offset + 1
      let fault = (record.key ?? []).withUnsafeBytes { key in
        guard let value = record.value else {
          return engine.takeCatalogue(key: key, value: nil, limits: options.limits)
        }
        return value.withUnsafeBytes {
          engine.takeCatalogue(key: key, value: $0, limits: options.limits)
        }
      }
      if let fault { try reject(record, position, fault) }
    }
  }

  /// To the dead-letter topic, unless it went there before the restart.
  private func reject(
    _ record: RecordBatch.Other, _ position: LogPosition, _ rejection: Rejection
  ) throws {
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
    while !publisher.publish(letter, connector: options.kafka["group.id"] ?? "affinity") {
      try stall()
    }
    log.debug("dead letter: \(rejection.reason.code)")
  }

  private func handle(_ notice: Notice) throws {
    let event: ConsumerEvent
    switch notice {
    case .limitReached(let place):
      restoring.remove(place)
      holds = true
      return
    case .client(let told): event = told
    }
    switch event {
    case .endOfPartition(let place, _):
      atEnd.insert(place)
      restoring.remove(place)
    case .offsetOutOfRange(let place, let offset, _):
      // Reading again what the rows hold already changes nothing (natural keys), so the beginning is safe;
      // what retention has removed meanwhile is gone, and is said.
      log.error(
        "\(topicName(place)) partition \(place.partition): offset \(offset ?? -1) is not there any more; reading from the earliest record")
      counters.offsetsOutOfRange += 1
      source.restartAtBeginning(place)
    case .maxPollExceeded(let message): log.error("\(message)")
    case .partitionFailed(let place, let failure):
      log.warning("\(topicName(place)) partition \(place.partition): \(failure.message)")
    case .failed(let failure):
      if failure.remedy == .fatal { throw DaemonFailure.tryAgain(failure.message) }
      log.warning("\(failure.name): \(failure.message)")
    }
  }

  // MARK: partitions

  private func topicName(_ place: TopicPartition) -> String {
    place.topic == 0 ? options.topics.events : options.topics.catalogue
  }

  private func assigned(_ partitions: [CommittedOffset]) {
    mine = partitions.map(\.place)
    holds = false
    atEnd = []
    isCaughtUp = false
    let events = partitions.filter { $0.place.topic == 0 }
    let behind = events.reduce(Int64(0)) { $0 + ($1.offset ?? 0) }
    isRestoring = engine.model == nil && behind > 0
    restoring = isRestoring ? Set(events.map(\.place)) : []
    var plans: [PartitionPlan] = []
    for one in partitions {
      let partition = Int(one.place.partition)
      let known = engine.positions[Int(one.place.topic)]
      var plan = PartitionPlan(start: .beginning)
      if partition < known.count && known[partition] >= 0 { plan.start = .at(known[partition]) }
      if one.place.topic == 0 {
        committed[one.place.partition] = one.offset ?? 0
        if isRestoring { plan.limit = one.offset ?? 0 }
      } else {
        committedCatalogue[one.place.partition] = one.offset ?? 0
      }
      plans.append(plan)
    }
    log.info(
      "assigned \(events.count) partitions of \(options.topics.events)\(behind > 0 ? ", \(behind) records committed before" : "")")
    source.begin(plans)
  }

  private func revoked(_ partitions: [PartitionOffset], lost: Bool) {
    log.info("\(partitions.count) partitions \(lost ? "lost" : "revoked")")
    mine = []
    atEnd = []
    publisher.endCut()
    cut = []
    source.release()
  }

  /// The model of what was committed is in force (or nothing was there): everything goes on.
  private func endRestoring() {
    isRestoring = false
    holds = false
    atEnd = []
    source.liftLimits()
  }

  // MARK: lists and models

  private func releaseDue() throws {
    // In portions, so that what is made is on its way while the rest is made.
    while engine.release(dueBy: now() / 1_000_000, limit: 256, into: &outputs) > 0 {
      try publishOutputs()
    }
    if engine.renewalCount > 0 {
      engine.renew(limit: 128, into: &outputs)
    }
    try publishOutputs()
  }

  /// Every list that an act has caused is made and handed to the producer, in portions: however many
  /// there are, no more than one portion is held here.
  private func makeWaitingLists() throws {
    while engine.release(dueBy: .max, limit: 256, into: &outputs) > 0 { try publishOutputs() }
    try publishOutputs()
  }

  /// Changed rows go to the model's thread in portions, so that a seal has little left to copy.
  private func handOver() throws {
    if engine.changedRows > 16_384 && worker.backlogRows < 262_144 {
      worker.absorb(engine.takeChanges())
    }
  }

  private func advanceModels() throws {
    if let finished = worker.take() {
      try activate(finished)
      if isRestoring { endRestoring() }
    }
    if isRestoring {
      guard restoring.isEmpty, !mine.isEmpty, worker.outstanding == 0 else { return }
      guard let tick = engine.streamTime else { return endRestoring() }
      log.info("at the committed offsets: \(counters.records) records, rows digest \(engine.digest.hex)")
      return try makeModel(tick: tick)
    }
    if !isCaughtUp {
      if !mine.isEmpty && mine.allSatisfy({ atEnd.contains($0) }) {
        isCaughtUp = true
        let seconds = counters.firstRecordAt > 0 ? Double(now() - counters.firstRecordAt) / 1e9 : 0
        log.info(
          "caught up: \(counters.records) records in \((seconds * 1000).rounded() / 1000) s\(seconds > 0 ? " (\(Int(Double(counters.records) / seconds))/s)" : ""), rows digest \(engine.digest.hex)")
        if nextTick == 0 { nextTick = now() }
      }
    }
    // A model first renews everybody's list, in portions, before the next one is made.
    guard isCaughtUp, worker.outstanding == 0, backlog.isEmpty, engine.renewalCount == 0,
      now() >= nextTick, let tick = engine.streamTime
    else { return }
    if engine.positions == sealedPositions {
      nextTick = now() + options.modelInterval * 1_000_000
      return
    }
    try makeModel(tick: tick)
  }

  private func makeModel(tick: Int64) throws {
    nextTick = now() + options.modelInterval * 1_000_000
    let begin = now()
    try makeWaitingLists()
    let sealed = now()
    let seal = engine.seal(tick: tick)
    sealedPositions = seal.positions
    worker.build(seal)
    counters.sealMilliseconds = max(counters.sealMilliseconds, milliseconds(since: sealed))
    counters.pauseMilliseconds = max(counters.pauseMilliseconds, milliseconds(since: begin))
  }

  private func activate(_ finished: ModelWorker.Finished) throws {
    let begin = now()
    try makeWaitingLists()
    engine.activate(finished.built, into: &outputs)
    try publishOutputs()
    backlog.append((finished.built, 0))
    counters.models += 1
    counters.tickSeconds = finished.seconds
    counters.tickSecondsMax = max(counters.tickSecondsMax, finished.seconds)
    counters.sizes = finished.built.sizes
    counters.builderBytes = finished.bytes
    counters.pauseMilliseconds = max(counters.pauseMilliseconds, milliseconds(since: begin))
    let sizes = finished.built.sizes
    board.note(
      StatusBoard.ModelNote(
        id: finished.built.model.id, time: Process.wallClock, seconds: finished.seconds,
        items: sizes.items, pairs: sizes.pairs, baskets: sizes.baskets, rules: sizes.rules))
    let wanted = options.engine.rules.maxLength
    if let rules = finished.built.model.rules, wanted > 0, rules.maxLength > 0,
      rules.maxLength < wanted
    {
      log.warning(
        "rules: too many frequent itemsets, so rules of at most \(rules.maxLength) items (rules.max_length \(wanted)); raise rules.min_support")
    }
    log.info(
      "\(finished.built.model.id): \(sizes.items) items, \(sizes.pairs) pairs, \(sizes.rules) rules in \(Int(finished.seconds * 1000)) ms; \(finished.built.outputs.count) messages")
  }

  private func milliseconds(since start: Int64) -> Double { Double(now() - start) / 1e6 }

  // MARK: publishing

  /// Publishes what the engine has said, all of it; waits where the queue is full.
  private func publishOutputs() throws {
    if outputs.count == 0 { return }
    var next = 0
    while true {
      next = publisher.publish(outputs, from: next)
      if next == outputs.count { break }
      try stall()
    }
    outputs.removeAll()
  }

  /// A model's own messages, as far as the queue takes them.
  private func publishBacklog() throws {
    guard let first = backlog.first else { return }
    let next = publisher.publish(first.built.outputs, from: first.next, limit: 2_000)
    if next == first.built.outputs.count {
      backlog.removeFirst()
    } else {
      backlog[0].next = next
    }
  }

  /// The producer's queue is full: wait for room, keep the metrics. The intake keeps the group.
  private func stall() throws {
    counters.stalls += 1
    if stalledSince == 0 { stalledSince = now() }
    try serve(wait: 10)
    emitMetrics()
    if Signals.isStopRequested && now() > stopDeadline {
      throw DaemonFailure.tryAgain("the broker takes nothing; given up at the shutdown timeout")
    }
  }

  /// Takes delivery reports, waiting at most `wait` ms.
  private func serve(wait: Int) throws {
    if wait == 0 { stalledSince = 0 }
    reportHealth()
    do throws(Publisher.Failure) { try publisher.poll(timeoutMilliseconds: wait) } catch {
      throw DaemonFailure.tryAgain("\(error)")
    }
    for event in publisher.producer.takeEvents() {
      log.warning("producer: \(event.name): \(event.message)")
    }
  }

  // MARK: commits

  private func commitIfDue() throws {
    if publisher.isCutDone && !cut.isEmpty {
      let offsets = cut
      cut = []
      publisher.endCut()
      source.commit(offsets)
    }
    guard now() >= nextCommit, cut.isEmpty, backlog.isEmpty else { return }
    nextCommit = now() + options.commitInterval * 1_000_000
    // Renewals need not be waited for: the first model after a restart renews every list anew.
    try makeWaitingLists()
    // Before the first model nothing has been published for these records: they stay uncommitted.
    guard engine.model != nil else { return }
    beginCut()
  }

  private func beginCut() {
    cut = []
    let mine = Set(mine)
    for (partition, offset) in engine.positions[0].enumerated() where offset >= 0 {
      let place = TopicPartition(topic: 0, partition: partition)
      if mine.contains(place) && offset > committed[Int32(partition)] ?? 0 {
        cut.append(PartitionOffset(place, offset: offset))
      }
    }
    for place in mine where place.topic == 1 {
      if let offset = cataloguePositions[place.partition],
        offset > committedCatalogue[place.partition] ?? 0
      {
        cut.append(PartitionOffset(place, offset: offset))
      }
    }
    publisher.beginCut()
  }

  // MARK: the end

  private var stopDeadline: Int64 = .max
  private var hasLeft = false

  /// Makes and publishes what waits, commits, leaves the group; not longer than the shutdown timeout.
  private func drain() throws {
    health.stopping()
    // A little before the time at which `ShutdownDeadline` ends the process: we know better what is missing.
    stopDeadline = now() + options.shutdownTimeout * 900_000
    log.info("stopping: lists that wait are made, then offsets committed")
    try makeWaitingLists()
    while engine.renew(limit: 256, into: &outputs) > 0 { try publishOutputs() }
    while let first = backlog.first {
      let next = publisher.publish(first.built.outputs, from: first.next)
      if next == first.built.outputs.count {
        backlog.removeFirst()
      } else {
        backlog[0].next = next
        try stall()
      }
    }
    beginCut()
    while publisher.outstanding > 0 && now() < stopDeadline { try serve(wait: 50) }
    if publisher.outstanding > 0 {
      throw DaemonFailure.tryAgain(
        "\(publisher.outstanding) messages not acknowledged at the shutdown timeout; offsets not committed")
    }
    emitMetrics(force: true)
    let left = max(100, Int((stopDeadline - now()) / 1_000_000))
    hasLeft = true
    let end = source.finish(
      committing: engine.model != nil ? cut : [], deadlineMilliseconds: min(left, 10_000))
    if case .failure(let error) = end.commit { log.warning("commit: \(error)") }
    if !end.isClosed {
      log.warning("the consumer did not close in time; left to the session timeout")
    }
    _ = publisher.producer.close(deadlineMilliseconds: 1000)
    log.info("stopped: \(counters.records) records read, rows digest \(engine.digest.hex)")
  }

  // MARK: metrics

  /// Records of the events topic behind its end, as far as both are known.
  private func lag(_ place: TopicPartition) -> Int64 {
    let positions = engine.positions[0]
    guard Int(place.partition) < positions.count, positions[Int(place.partition)] >= 0,
      let end = source.end(of: place)
    else { return 0 }
    return max(0, end - positions[Int(place.partition)])
  }

  private func emitMetrics(force: Bool = false) {
    guard metrics.isDue(now: now()) || force else { return }
    let lag = mine.reduce(0) { $0 + ($1.topic == 0 ? self.lag($1) : 0) }
    metrics.emit(
      now: now(), engine: engine, counters: counters, publisher: publisher, lag: lag,
      isCaughtUp: isCaughtUp, backlog: backlog.reduce(0) { $0 + $1.built.outputs.count - $1.next },
      workerRows: worker.backlogRows, isConfigurationGood: reloader?.lastSucceeded ?? true)
    counters.pauseMilliseconds = 0
    counters.sealMilliseconds = 0
  }
}
