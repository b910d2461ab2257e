// The loop's ports over the simulated cluster, disk and clock. They behave as those over Kafka do
// (`Intake`, `KafkaOutlet`, `ForkedStateKeeper`, `ModelWorker`), but on the loop's thread: what a thread
// would do meanwhile is done some turns later, by the seed.
import Daemon
import Engine
import Events
import Kafka
import SimulatedKafka
import Snapshots
import Sparse
import TestSupport

struct SimulatedClock: LiveClock {
  let clock: VirtualClock
  var monotonic: Int64 { clock.now * 1000 }
  var wall: Int64 { clock.milliseconds }
}

extension KafkaError.Failure {
  init(_ failure: KafkaFailure) {
    self.init(
      code: failure.code.rawValue, name: failure.code.name, message: failure.code.name,
      remedy: KafkaError.Remedy(rawValue: failure.remedy.rawValue) ?? .none)
  }
}

extension KafkaError {
  init(_ error: SimulatedError) {
    switch error {
    case .crashed:
      self = .failure(
        Failure(code: -150, name: "_FATAL", message: "the process has ended", remedy: .fatal))
    case .unknownTopics(let names): self = .unknownTopics(names)
    case .timedOut(let operation, let milliseconds):
      self = .timedOut(operation: operation, milliseconds: milliseconds)
    case .failure(let failure): self = .failure(Failure(failure))
    }
  }
}

/// Over a consumer of the events topic and the catalogue.
final class SimulatedSource: RecordSource {
  private let consumer: SimulatedConsumer
  private let topics: [String]
  private let limits: EventLimits
  private let futureTolerance: Int64
  private var random: SplitMix

  private var ready: [Delivery] = []
  private var batch: RecordBatch
  /// Assigned, and not yet begun: nothing is read.
  private var awaited: [LogPlace] = []
  private var bounds: [Int32: Int64] = [:]
  private var held: [LogPlace: Int64] = [:]
  /// Partitions whose next offset is not there, until their leader has said what is.
  private var lost: [LogPlace: Int64] = [:]
  private let crashes: CrashLog
  /// The decoder of this world dies of it.
  private let poison: [UInt8]?

  init(
    _ process: SimulatedProcess, topics: [String], options: SimulatedConsumerOptions,
    limits: EventLimits, futureTolerance: Int64, crashes: CrashLog, poison: [UInt8]?,
    random: SplitMix
  ) {
    self.crashes = crashes
    self.poison = poison
    consumer = SimulatedConsumer(process, topics: topics, options)
    self.topics = topics
    self.limits = limits
    self.futureTolerance = futureTolerance
    self.random = random
    batch = RecordBatch(limits: limits, futureTolerance: futureTolerance, crashes: crashes)
  }

  var partitionCount: Int {
    topics.reduce(0) { $0 + consumer.process.cluster.partitionCount($1) }
  }

  /// Whose membership offsets in transactions are bound to.
  var member: SimulatedConsumer { consumer }

  func start() throws {
    try consumer.subscribe(
      SimulatedRebalanceHandler(
        assigned: { [unowned self] partitions in
          held = [:]
          bounds = [:]
          lost = [:]
          awaited = partitions.map(\.place)
          consumer.pause(awaited)
          ready.append(
            .assigned(
              partitions.map {
                CommittedOffset(
                  place: place($0.place), offset: $0.committed?.offset,
                  note: $0.committed?.metadata)
              }))
          return partitions.map { _ in .at(0) }
        },
        revoked: { [unowned self] partitions, lost in
          ready.append(
            .revoked(
              partitions.map { PartitionOffset(place($0.place), offset: $0.position) },
              lost: lost))
        }))
  }

  private func place(_ place: LogPlace) -> TopicPartition {
    TopicPartition(topic: topics.firstIndex(of: place.topic) ?? 0, partition: Int(place.partition))
  }
  private func place(_ place: TopicPartition) -> LogPlace {
    LogPlace(topics[Int(place.topic)], place.partition)
  }

  // MARK: the loop's side

  func next(waitMilliseconds: Int) throws(DaemonFailure) -> Delivery? {
    // A turn takes time, or nothing would ever be due.
    consumer.process.cluster.clock.advance(by: Int64(20 + random.below(200)))
    if ready.isEmpty {
      do throws(SimulatedError) { try poll(waitMilliseconds) } catch {
        throw .tryAgain("\(KafkaError(error))")
      }
    }
    if ready.isEmpty { return nil }
    let first = ready.removeFirst()
    // Its thread is ahead of the loop: limits may change while a batch is on its way.
    if ready.isEmpty && !bounds.isEmpty && random.below(3) == 0, case .records = first {
      do throws(SimulatedError) { try poll(0) } catch { throw .tryAgain("\(KafkaError(error))") }
    }
    return first
  }

  private func poll(_ milliseconds: Int) throws(SimulatedError) {
    let polled = try consumer.poll(
      maxMessages: 1 + random.below(40), timeoutMilliseconds: milliseconds)
    for record in polled.records {
      let place = place(record.place)
      if place.topic == 0, let bound = bounds[place.partition], record.offset >= bound {
        if held[record.place] == nil {
          held[record.place] = record.offset
          batch.notices.append(.limitReached(place, limit: bound))
          consumer.pause([record.place])
        }
        continue
      }
      try dieOfPoison(record, place)
      if batch.isEmpty { batch.receivedAt = consumer.process.cluster.clock.now * 1000 }
      batch.append(
        RecordBatch.Place(
          offset: record.offset, timestamp: record.timestamp, partition: place.partition,
          topic: place.topic),
        key: record.key, value: record.value, contentType: nil,
        headers: { record.headers.map { Header($0.name, $0.value) } })
      batch.mark(record.key, record.value)
    }
    for one in polled.events {
      if case .offsetOutOfRange(let place, let offset) = one {
        lost[place] = offset
      } else {
        batch.notices.append(.client(event(one)))
      }
    }
    for one in lost.keys.sorted() {
      guard let bounds = try? consumer.watermarks(one, timeoutMilliseconds: 1000) else { continue }
      batch.notices.append(
        .outOfRange(
          place(one), offset: lost.removeValue(forKey: one) ?? 0,
          Watermarks(low: bounds.low, high: bounds.high)))
    }
    if !batch.isEmpty {
      ready.append(.records(batch))
      batch = RecordBatch(limits: limits, futureTolerance: futureTolerance, crashes: crashes)
    }
  }

  private func dieOfPoison(_ record: SimulatedRecord, _ place: TopicPartition) throws(SimulatedError) {
    guard poison != nil, record.valueBytes == poison,
      !crashes.skipped.contains(
        .init(topic: place.topic, partition: place.partition, offset: record.offset))
    else { return }
    crashes.decoding(
      .init(topic: place.topic, partition: place.partition, offset: record.offset))
    consumer.process.kill()
    throw .crashed(.init(step: 0))
  }

  private func event(_ event: SimulatedEvent) -> ConsumerEvent {
    switch event {
    case .endOfPartition(let one, let offset): .endOfPartition(place(one), offset: offset)
    case .offsetOutOfRange(let one, let offset):
      .offsetOutOfRange(place(one), offset: offset, message: "out of range")
    case .maxPollExceeded: .maxPollExceeded(message: "max.poll.interval.ms")
    case .partitionFailed(let one, let failure): .partitionFailed(place(one), .init(failure))
    case .failed(let failure): .failed(.init(failure))
    }
  }

  func recycle(_ batch: RecordBatch) {
    batch.removeAll()
    if self.batch.isEmpty { self.batch = batch }
  }

  func begin(_ plans: [PartitionPlan]) {
    precondition(plans.count == awaited.count, "a plan is needed for every partition")
    var starts: [(place: LogPlace, start: LogStart)] = []
    for (one, plan) in zip(awaited, plans) {
      starts.append((one, start(plan.start)))
      if one.topic == topics[0] { bounds[one.partition] = plan.limit }
    }
    try? consumer.restart(starts)
    consumer.resume(awaited)
    awaited = []
  }

  private func start(_ start: StartOffset) -> LogStart {
    switch start {
    case .beginning: .beginning
    case .end: .end
    case .at(let offset): .at(offset)
    }
  }

  func release() {}

  func limit(_ limits: [Int32: Int64]) {
    let starts = held.filter { bounds[$0.key.partition] != limits[$0.key.partition] }
      .sorted { $0.key < $1.key }
    bounds = limits
    for start in starts { held[start.key] = nil }
    if starts.isEmpty { return }
    try? consumer.restart(starts.map { ($0.key, .at($0.value)) })
    consumer.resume(starts.map(\.key))
  }

  func restart(_ one: TopicPartition, at start: StartOffset) {
    try? consumer.restart([(place(one), self.start(start))])
  }

  func commit(_ offsets: [PartitionOffset]) {
    do throws(SimulatedError) {
      try consumer.commit(stored(offsets)) { [unowned self] failure in
        ready.append(
          .committed(failure.map { .failure(.failure(.init($0))) } ?? .success(())))
      }
    } catch { ready.append(.committed(.failure(KafkaError(error)))) }
  }

  func stored(_ offsets: [PartitionOffset]) -> [LogPlace: StoredOffset] {
    Dictionary(
      uniqueKeysWithValues: offsets.map {
        (place($0.place), StoredOffset($0.offset, metadata: $0.note ?? ""))
      })
  }

  func end(of one: TopicPartition) -> Int64? { consumer.cachedWatermarks(place(one))?.high }

  func finish(committing offsets: [PartitionOffset], deadlineMilliseconds: Int)
    -> (isClosed: Bool, commit: Result<Void, KafkaError>)
  {
    var commit: Result<Void, KafkaError> = .success(())
    if !offsets.isEmpty {
      do throws(SimulatedError) {
        try consumer.commit(
          stored(offsets), timeoutMilliseconds: min(5000, deadlineMilliseconds))
      } catch { commit = .failure(KafkaError(error)) }
    }
    do { try consumer.close() } catch { return (false, commit) }
    return (true, commit)
  }
}

/// Looks at the log as a start does.
struct SimulatedLooker: LogLooker {
  let process: SimulatedProcess
  let topics: [String]

  func look(_ next: [[Int64]]) throws(KafkaError) -> [[PartitionLook]] {
    do throws(SimulatedError) { return try read(next) } catch { throw KafkaError(error) }
  }

  private func read(_ next: [[Int64]]) throws(SimulatedError) -> [[PartitionLook]] {
    let member = SimulatedConsumer(process, topics: topics, .init(group: "affinity"))
    var reading = SimulatedConsumerOptions()
    reading.tellsEndOfPartition = true
    let reader = SimulatedConsumer(process, topics: topics, reading)
    var looks: [[PartitionLook]] = []
    for (t, count) in try member.requireTopics().enumerated() {
      let places = (0..<count).map { LogPlace(topics[t], Int32($0)) }
      let committed = try member.committed(places, timeoutMilliseconds: 30_000)
      looks.append([])
      for (p, place) in places.enumerated() {
        let bounds = try reader.watermarks(place, timeoutMilliseconds: 30_000)
        var look = PartitionLook(
          low: bounds.low, high: bounds.high, committed: committed[p]?.offset)
        let wanted = p < next[t].count ? next[t][p] : -1
        if wanted > bounds.low && wanted <= bounds.high {
          try reader.assign([(place, .at(wanted - 1))])
          var polled = try reader.poll(maxMessages: 1, timeoutMilliseconds: 500)
          while polled.isEmpty { polled = try reader.poll(maxMessages: 1, timeoutMilliseconds: 500) }
          if let record = polled.records.first, record.offset == wanted - 1 {
            look.last = .init(timestamp: record.timestamp, key: record.key, value: record.value)
          }
        }
        looks[t].append(look)
      }
    }
    return looks
  }

  func reset(_ offsets: [PartitionOffset]) throws(KafkaError) {
    let member = SimulatedConsumer(process, topics: topics, .init(group: "affinity"))
    let stored = Dictionary(
      uniqueKeysWithValues: offsets.map {
        (LogPlace(topics[0], $0.place.partition), StoredOffset($0.offset, metadata: $0.note ?? ""))
      })
    let deadline = process.cluster.clock.now + 60_000_000
    while true {
      do throws(SimulatedError) { return try member.commit(stored) } catch {
        if process.isDead || process.cluster.clock.now > deadline { throw KafkaError(error) }
        process.cluster.clock.advance(milliseconds: 100)
      }
    }
  }
}

/// Over a producer, plain or transactional.
final class SimulatedOutlet: Outlet {
  let isTransactional: Bool
  private let process: SimulatedProcess
  private let options: SimulatedProducerOptions
  private let topics: [String]
  private let source: SimulatedSource
  private var producer: SimulatedProducer
  private var random: SplitMix
  /// Asked for, and made some turns later.
  private var commit: (offsets: [PartitionOffset], turns: Int)?

  init(
    _ process: SimulatedProcess, options: SimulatedProducerOptions, topics: [String],
    source: SimulatedSource, random: SplitMix
  ) {
    self.process = process
    self.options = options
    self.topics = topics
    self.source = source
    self.random = random
    isTransactional = options.transactionalID != nil
    producer = SimulatedProducer(process, options)
  }

  private func attempt<Result>(
    _ body: () throws(SimulatedError) -> Result
  ) throws(KafkaError) -> Result {
    do throws(SimulatedError) { return try body() } catch { throw KafkaError(error) }
  }

  func open(timeoutMilliseconds: Int) throws(KafkaError) {
    guard isTransactional else { return }
    try attempt { () throws(SimulatedError) in
      try producer.initTransactions(timeoutMilliseconds: timeoutMilliseconds)
    }
  }

  func renew() throws(KafkaError) {
    producer.close()
    producer = SimulatedProducer(process, options)
  }

  func send(
    _ topic: OutputTopic, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?,
    headers: [Header], timestamp: Int64?, opaque: UInt64
  ) -> SendResult {
    precondition(commit == nil, "nothing is sent while a commit is on its way")
    switch producer.send(
      to: topics[Int(topic.rawValue)], key: key, value: value,
      headers: headers.map { LogHeader($0.name, $0.value) }, timestamp: timestamp, opaque: opaque)
    {
    case .accepted: return .accepted
    case .queueFull: return .queueFull
    case .tooLarge: return .tooLarge
    case .failed(let failure): return .failed(.init(failure))
    }
  }

  func poll(waitMilliseconds: Int, onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void) {
    // A dead process is told by `fatalError`.
    if let reports = try? producer.poll(timeoutMilliseconds: waitMilliseconds) {
      pass(reports, onReports)
    }
  }

  private func pass(
    _ reports: [SimulatedReport], _ onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void
  ) {
    if reports.isEmpty { return }
    reports.map {
      DeliveryReport(
        opaque: $0.opaque, partition: $0.place.partition, offset: $0.offset,
        code: $0.code?.rawValue ?? 0)
    }.withUnsafeBufferPointer(onReports)
  }

  var outstanding: Int { producer.outstanding }
  var isCommitting: Bool { commit != nil }
  var fatalError: KafkaError? {
    if let crash = process.crash { return KafkaError(.crashed(crash)) }
    return producer.fatal.map { .failure(.init($0)) }
  }
  func takeEvents() -> [KafkaError.Failure] { producer.takeEvents().map { .init($0) } }

  func begin() throws(KafkaError) {
    try attempt { () throws(SimulatedError) in try producer.beginTransaction() }
  }

  func beginCommit(_ offsets: [PartitionOffset]) {
    precondition(commit == nil)
    commit = (offsets, random.below(4))
  }

  func takeCommitOutcome() -> Result<Void, KafkaError>? {
    guard let (offsets, turns) = commit else { return nil }
    if turns > 0 {
      commit = (offsets, turns - 1)
      return nil
    }
    commit = nil
    let deadline = process.cluster.clock.now + 60_000_000
    func again(_ body: () throws(SimulatedError) -> Void) throws(SimulatedError) {
      while true {
        do throws(SimulatedError) { return try body() } catch {
          guard KafkaError(error).isRetriable, process.cluster.clock.now < deadline else {
            throw error
          }
        }
      }
    }
    var outcome: Result<Void, KafkaError> = .success(())
    do throws(SimulatedError) {
      if !offsets.isEmpty {
        try again { () throws(SimulatedError) in
          try producer.sendOffsets(source.stored(offsets), of: source.member)
        }
      }
      try again { () throws(SimulatedError) in try producer.commitTransaction() }
    } catch {
      outcome = .failure(KafkaError(error))
    }
    return outcome
  }

  func abort(onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void) throws(KafkaError) {
    try attempt { () throws(SimulatedError) in try producer.abortTransaction() }
    pass(producer.takeReports(), onReports)
  }

  func close(deadlineMilliseconds: Int) { producer.close() }
}

/// Makes a model at once and hands it out some turns later.
final class InlineMaker: ModelMaker {
  private var builder: ModelBuilder
  private var finished: [(model: ModelWorker.Finished, turns: Int)] = []
  private var random: SplitMix
  private let longest: Int

  init(_ builder: consuming ModelBuilder, longest: Int, random: SplitMix) {
    self.builder = builder
    self.longest = longest
    self.random = random
  }

  func absorb(_ batch: ChangeBatch) { builder.absorb(batch) }

  func build(_ seal: Seal) {
    let built = builder.build(seal) { parts, body in for part in 0..<parts { body(part) } }
    finished.append(
      (.init(built: built, seconds: 0, bytes: builder.bytes), random.below(longest)))
  }

  func take() -> ModelWorker.Finished? {
    guard let first = finished.first else { return nil }
    if first.turns > 0 {
      finished[0].turns -= 1
      return nil
    }
    return finished.removeFirst().model
  }

  var outstanding: Int { finished.count }
  var backlogRows: Int { 0 }
}

/// Snapshots on the simulated disk, written some turns after they were begun from what was there then,
/// as a copy of the process sees it.
final class SimulatedKeeper: StateKeeper {
  private let folder: SnapshotFolder
  private let process: SimulatedProcess
  private var random: SplitMix
  private var begun: (sections: [Section], metadata: SnapshotMetadata, turns: Int)?
  private var written: UInt64?
  private(set) var published = 0
  private(set) var failures = 0

  private struct Section {
    var name: String
    var stride: Int
    var bytes: [UInt8]
  }

  init(_ folder: SnapshotFolder, _ process: SimulatedProcess, random: SplitMix) {
    self.folder = folder
    self.process = process
    self.random = random
  }

  func begin(_ state: borrowing StateWriter, _ metadata: SnapshotMetadata) {
    discard()
    let sections = state.inputs.map {
      Section(name: $0.name, stride: $0.elementSize, bytes: Array($0.bytes))
    }
    begun = (sections, metadata, random.below(12))
  }

  func outcome() -> Result<Void, SnapshotFailure>? {
    if written != nil { return .success(()) }
    guard let (sections, metadata, turns) = begun else { return nil }
    if turns > 0 {
      begun?.turns -= 1
      return nil
    }
    begun = nil
    let memory = sections.map { section in
      let copy = UnsafeMutableRawBufferPointer.allocate(
        byteCount: section.bytes.count, alignment: 16)
      copy.copyBytes(from: section.bytes)
      return copy
    }
    defer { for one in memory { one.deallocate() } }
    let inputs = zip(sections, memory).map {
      SnapshotInput($0.name, elementSize: $0.stride, bytes: UnsafeRawBufferPointer($1))
    }
    let sequence = folder.nextSequence()
    do throws(SnapshotError) {
      _ = try folder.prepare(inputs, metadata: metadata, sequence: sequence)
      written = sequence
      return .success(())
    } catch {
      let failure = note(error)
      if !process.isDead { folder.discard(sequence) }
      return .failure(failure)
    }
  }

  func publish() throws(SnapshotFailure) -> KeptState {
    guard let sequence = written else { throw SnapshotFailure(description: "none is written") }
    written = nil
    do throws(SnapshotError) {
      let put = try folder.publish(sequence)
      published += 1
      return KeptState(path: put.path, warnings: put.notRemoved.map(\.description))
    } catch { throw note(error) }
  }

  /// The process dies with its disk's call.
  private func note(_ error: SnapshotError) -> SnapshotFailure {
    failures += 1
    if case .disk(let fault) = error, fault.code == SimulatedDisk.dead { process.kill() }
    return SnapshotFailure(description: "\(error)")
  }

  func discard() {
    begun = nil
    if let sequence = written { folder.discard(sequence) }
    written = nil
  }
}
