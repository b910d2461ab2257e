// One world by one seed: brokers, a disk, a clock, a shop's log, and a daemon that lives in it several times.
// A life begins as `Daemon.init` does: the folder, the producer's name, the models on record, the newest good
// snapshot, the group; then the loop turns until the life's end.
import Daemon
import Engine
import Events
import Kafka
import Logging
import SimulatedKafka
import Snapshots
import Sparse
import Synchronization
import TestSupport

final class Lines: LogHandler, @unchecked Sendable {
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.debug
  private let lines = Mutex<[String]>([])
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }
  func log(event: LogEvent) { lines.withLock { $0.append("\(event.level) \(event.message)") } }
  var all: [String] { lines.withLock { $0 } }
}

/// How a life ends, where it is not ended by something else before.
enum LifeEnd {
  /// At a request of its clients.
  case crash(CrashPlan)
  /// In a call of its disk.
  case disk(call: Int)
  /// After so much time.
  case kill(milliseconds: Int)
  case drain(milliseconds: Int)
  /// When everything is said, or drained then.
  case quiet(drains: Bool)
}

struct WorldFault: Error, CustomStringConvertible { var description: String }

final class SimulatedWorld {
  struct Settings {
    var exactlyOnce = true
    var partitions = 2
    var malformed = true
    var shortWrites = false
    /// Chance in a million that something happens to a request.
    var faults = 0
    var cluster = ClusterOptions()
    var modelInterval: Int64 = 700
    var snapshotInterval: Int64 = 1500
    var producer = SimulatedProducerOptions()
    var onGap = Configuration.OnGap.stop
    var onRecreated = Configuration.OnRecreated.stop
    var onGrown = Configuration.OnGrown.stop
    init() {}
  }

  let seed: UInt64
  let settings: Settings
  let cluster: SimulatedCluster
  let disk: SimulatedDisk
  /// Policies may change from life to life.
  var options: DaemonOptions
  let lines = Lines()
  private let log: Logger
  private var random: SplitMix
  private var shop: ShopLog
  private(set) var written: [[ShopLog.Record]]
  private var waiting = 0
  private var auditor: LogAuditor

  // What has happened.
  private(set) var lives = 0
  private(set) var snapshots = 0
  private(set) var restored = 0
  private(set) var snapshotFailures = 0
  private(set) var endings: [String: Int] = [:]
  /// What the last life ended of, where it ended by itself.
  private(set) var failure: DaemonFailure?
  /// What happens outside while a life's loop rests, once, so many milliseconds after its beginning.
  var interlude: (at: Int, act: () throws -> Void)?
  private(set) var messagesTooLarge = 0
  /// Records that no life has read: gone before, or of a log before.
  private(set) var lost: [Range<Int>]
  /// Models of a log, or a state, before.
  private var era = 0
  /// Messages of before, per topic and partition.
  private var before: [[Int]] = []
  /// Shared with the file of the state's folder that says which record is at work on.
  private let crashPage: UnsafeMutableRawPointer
  /// The value of a record that kills the decoder.
  private var poison: [UInt8]?
  /// Steps of the last life: of its clients, and of its disk.
  private(set) var steps = (requests: 0, disk: 0)

  private static let topicNames = TopicNames()
  private static var inputs: [String] { [topicNames.events, topicNames.catalogue] }
  private static var outputs: [String] {
    OutputTopic.allCases.map {
      switch $0 {
      case .recommendations: topicNames.recommendations
      case .neighbours: topicNames.neighbours
      case .rules: topicNames.rules
      case .popular: topicNames.popular
      case .models: topicNames.models
      case .receipts: topicNames.receipts
      case .deadLetters: topicNames.deadLetters
      }
    }
  }

  init(seed: UInt64, _ settings: Settings = Settings()) {
    self.seed = seed
    self.settings = settings
    random = SplitMix(seed: seed &* 0x9e37_79b9 &+ 1)
    var clusterOptions = settings.cluster
    clusterOptions.initialRebalanceDelayMilliseconds = 100
    clusterOptions.timeoutCheckMilliseconds = 1000
    cluster = SimulatedCluster(seed: random.next(), options: clusterOptions)
    if settings.faults > 0 {
      var plan = FaultPlan(perMillion: settings.faults)
      plan.longestMilliseconds = 2000
      cluster.faults.plan = plan
    }
    disk = SimulatedDisk(seed: random.next())
    disk.shortWrites = settings.shortWrites
    shop = ShopLog(
      seed: random.next(), partitions: settings.partitions, malformed: settings.malformed)
    var options = DaemonOptions()
    options.engine = shop.configuration()
    options.kafka["group.id"] = "affinity"
    options.delivery = settings.exactlyOnce ? .exactlyOnce : .atLeastOnce
    options.modelInterval = settings.modelInterval
    options.snapshotInterval = settings.snapshotInterval
    options.commitInterval = settings.exactlyOnce ? [20, 100][random.below(2)] : 300
    options.stateDirectory = "/state"
    options.onGap = settings.onGap
    options.onRecreated = settings.onRecreated
    options.onGrown = settings.onGrown
    self.options = options
    let lines = lines
    log = Logger(label: "affinity") { _ in lines }
    for topic in Self.inputs { cluster.createTopic(topic, partitions: topic == options.topics.events ? settings.partitions : 1) }
    for topic in Self.outputs { cluster.createTopic(topic, partitions: topic == options.topics.models ? 1 : 2) }
    crashPage = .allocate(byteCount: CrashLog.byteCount, alignment: 16)
    crashPage.initializeMemory(as: UInt8.self, repeating: 0, count: CrashLog.byteCount)
    written = [[ShopLog.Record]](repeating: [], count: settings.partitions)
    lost = [Range<Int>](repeating: 0..<0, count: settings.partitions)
    auditor = LogAuditor(cluster, topic: options.topics.models)
  }

  deinit { crashPage.deallocate() }

  func draw(_ limit: Int) -> Int { random.below(limit) }

  /// Records that the shop will write in the next milliseconds.
  func expect(_ count: Int, within milliseconds: Int, after: Int = 0) {
    let times = (0..<count).map { _ in after + random.below(max(1, milliseconds)) }.sorted()
    write(shop.records(count), times)
  }

  /// One that is no event, at once.
  func expectMalformed() {
    write(
      [
        ShopLog.Record(
          partition: 0, key: [], value: Array("no event".utf8), timestamp: 1_772_000_000_000,
          isEvent: false)
      ], [0])
  }

  /// One that kills the decoder, after so many milliseconds.
  func expectPoison(after milliseconds: Int) {
    let value = Array("a poison".utf8)
    poison = value
    write(
      [
        ShopLog.Record(
          partition: Int32(draw(settings.partitions)), key: [], value: value,
          timestamp: 1_772_000_000_000, isEvent: false)
      ], [milliseconds])
  }

  // MARK: the log's accidents

  private func place(_ partition: Int) -> LogPlace {
    LogPlace(options.topics.events, Int32(partition))
  }

  /// Retention leaves so many records of every partition; what nobody has read is lost.
  func retain(_ count: Int) {
    for partition in written.indices {
      let end = written[partition].count
      let low = max(0, end - count)
      let read = Int(cluster.committed("affinity", place(partition))?.offset ?? 0)
      cluster.removeRecords(place(partition), before: Int64(low))
      if low > read { lost[partition] = read..<low }
    }
  }

  /// A partition of which nothing was read has a beginning, not a gap.
  var lostCount: Int { lost.filter { $0.lowerBound > 0 }.reduce(0) { $0 + $1.count } }

  /// In so many milliseconds, when nothing waits: records come and all but a few are gone at once.
  func expectLoss(of count: Int, leaving rest: Int, in milliseconds: Int) {
    write(shop.records(count), [Int](repeating: milliseconds, count: count))
    cluster.clock.schedule(in: Int64(milliseconds) * 1000) { [unowned self] in retain(rest) }
  }

  /// The events topic is made anew, with nothing in it.
  func recreate() {
    cluster.createTopic(options.topics.events, partitions: written.count)
    written = written.map { _ in [] }
    lost = lost.map { _ in 0..<0 }
  }

  /// Partitions are added, and users' later events lie where the new number puts them.
  func grow(to count: Int) {
    cluster.growTopic(options.topics.events, to: count)
    while written.count < count {
      written.append([])
      lost.append(0..<0)
    }
    shop.partitions = count
  }

  /// From here on everything is judged as of a run that begins now, with what the log has.
  func beginAnew() {
    era = models().last?.number ?? 0
    before = Self.outputs.map { topic in
      var auditor = LogAuditor(cluster, topic: topic)
      auditor.advance()
      return auditor.records.map(\.count)
    }
    lost = written.indices.map { 0..<Int(cluster.bounds(place($0))?.low ?? 0) }
  }

  private func write(_ records: [ShopLog.Record], _ times: [Int]) {
    waiting += records.count
    for (record, time) in zip(records, times) {
      cluster.clock.schedule(in: Int64(time) * 1000) { [unowned self] in
        cluster.write(
          LogPlace(options.topics.events, record.partition), key: record.key, value: record.value,
          timestamp: record.timestamp)
        written[Int(record.partition)].append(record)
        waiting -= 1
      }
    }
  }

  // MARK: a life

  /// - Parameter failing: a call of the disk, and the errno with which it fails.
  func live(_ end: LifeEnd, failing: (call: Int, code: Int32)? = nil) throws {
    lives += 1
    let committed = written.indices.map {
      cluster.committed("affinity", LogPlace(options.topics.events, Int32($0)))
        .map { "\($0.offset) (\($0.metadata))" } ?? "nothing"
    }
    log.debug("life \(lives), until \(end); committed: \(committed.joined(separator: ", "))")
    let process = cluster.makeProcess("life \(lives)")
    disk.fail(call: failing?.call ?? 0, failing.map { .error($0.code) })
    switch end {
    case .crash(let plan): process.crashPlan = plan
    case .disk(let call): disk.fail(call: call, .kill)
    default: break
    }
    do {
      try run(process, end)
      count("\(end)".prefix { $0 != "(" }.description)
    } catch let error as WorldFault {
      throw error
    } catch {
      count(process.isDead ? "crash" : "failure")
      failure = process.isDead ? nil : error as? DaemonFailure
      if !process.isDead { log.error("life ends: \(error)") }
      // As `affinityd run` does.
      options.rebuild = failure?.rebuild ?? .none
    }
    steps = (process.steps, disk.calls)
    process.kill()
    disk.crash(random.below(2) == 0 ? .powerCut : .process)
  }

  private func count(_ ending: String) { endings[ending, default: 0] += 1 }

  private func run(_ process: SimulatedProcess, _ end: LifeEnd) throws {
    let folder: SnapshotFolder
    do { folder = try SnapshotFolder(options.stateDirectory ?? "", disk: disk) } catch {
      process.kill()
      throw error
    }
    var consumer = SimulatedConsumerOptions(group: "affinity")
    consumer.sessionTimeoutMilliseconds = 6000
    consumer.heartbeatMilliseconds = 1000
    consumer.tellsEndOfPartition = true
    let crashes = CrashLog(page: crashPage)
    let source = SimulatedSource(
      process, topics: Self.inputs, options: consumer, limits: options.limits,
      futureTolerance: options.engine.futureTolerance, crashes: crashes, poison: poison, random: SplitMix(seed: random.next()))
    var producer = settings.producer
    producer.transactionalID = settings.exactlyOnce ? "affinity" : nil
    let outlet = SimulatedOutlet(
      process, options: producer, topics: Self.outputs, source: source,
      random: SplitMix(seed: random.next()))
    try outlet.open(timeoutMilliseconds: 30_000)
    let recorded = try readModels(process)
    let keeper = SimulatedKeeper(folder, process, random: SplitMix(seed: random.next()))
    defer {
      snapshots += keeper.published
      snapshotFailures += keeper.failures
    }
    let maker: InlineMaker
    let loop: LiveLoop
    let found: SnapshotRestore
    do { found = try folder.restore() } catch {
      process.kill()
      throw error
    }
    // Read while the disk's process died.
    let isDead = found.damaged.contains { one in
      if case .unreadable(let fault) = one.fault { fault.code == SimulatedDisk.dead } else { false }
    }
    if isDead {
      process.kill()
      throw DaemonFailure.tryAgain("the process has ended")
    }
    if !found.damaged.isEmpty {
      throw WorldFault(description: "seed \(seed), life \(lives): a snapshot that was put in place is damaged: \(found.damaged)")
    }
    let last = recorded.map(\.number).max() ?? 0
    let longest = 1 + random.below(40)
    func ports(_ maker: InlineMaker) -> LivePorts {
      LivePorts(
        source: source, outlet: outlet, maker: maker, keeper: keeper,
        clock: SimulatedClock(clock: cluster.clock), crashes: crashes)
    }
    let plan = try StartCheck.run(
      options, known: found.snapshot?.metadata.topics ?? [], lastModel: last,
      looker: SimulatedLooker(process: process, topics: Self.inputs), log: log,
      removeSnapshots: { () throws(SnapshotError) in try folder.removeAll() })
    options.rebuild = .none
    if let snapshot = found.snapshot, plan.rebuild == .none {
      restored += 1
      let reader = StateReader(snapshot)
      let engine = try Engine(options.engine, topics: Self.inputs, restoring: reader)
      maker = InlineMaker(
        try ModelBuilder(options.engine, after: last, of: engine, restoring: reader),
        longest: longest, random: SplitMix(seed: random.next()))
      loop = LiveLoop(
        options, engine: engine, ports: ports(maker), recorded: recorded, plan: plan, log: log)
    } else {
      maker = InlineMaker(
        ModelBuilder(options.engine, after: last), longest: longest,
        random: SplitMix(seed: random.next()))
      loop = LiveLoop(
        options, engine: Engine(options.engine, topics: Self.inputs), ports: ports(maker),
        recorded: recorded, plan: plan, log: log)
    }
    try source.start()
    do { try turn(loop, process, outlet, maker, end) } catch {
      if !process.isDead && !(error is WorldFault) { loop.leave() }
      throw error
    }
  }

  private func turn(
    _ loop: LiveLoop, _ process: SimulatedProcess, _ outlet: SimulatedOutlet, _ maker: InlineMaker,
    _ end: LifeEnd
  ) throws {
    let start = cluster.clock.now
    var quietSince: Int64?
    while true {
      try loop.turn()
      if process.isDead { throw DaemonFailure.tryAgain("the process has ended") }
      let age = (cluster.clock.now - start) / 1000
      messagesTooLarge = loop.messagesTooLarge
      if let (at, act) = interlude, age >= at {
        interlude = nil
        try act()
      }
      switch end {
      case .kill(let milliseconds) where age >= milliseconds: return
      case .drain(let milliseconds) where age >= milliseconds: return try loop.drain()
      default: break
      }
      if isQuiet(loop, outlet, maker) {
        let since = quietSince ?? cluster.clock.now
        quietSince = since
        if cluster.clock.now - since > 1_500_000 {
          if case .quiet(let drains) = end {
            if drains { try loop.drain() }
            return
          }
          // Nothing is left in which it could die.
          if cluster.clock.now - since > 4_000_000 { return }
        }
      } else {
        quietSince = nil
      }
      if age > 600_000 {
        throw WorldFault(description: "seed \(seed), life \(lives): not quiet after ten minutes; \(lines.all.suffix(5))")
      }
    }
  }

  private func isQuiet(_ loop: LiveLoop, _ outlet: SimulatedOutlet, _ maker: InlineMaker) -> Bool {
    guard waiting == 0, loop.isRunning, maker.outstanding == 0, outlet.outstanding == 0,
      !outlet.isCommitting
    else { return false }
    for partition in written.indices {
      let end = Int64(written[partition].count)
      if cluster.committed("affinity", place(partition))?.offset ?? 0 != end { return false }
    }
    guard let last = models().last else { return false }
    return written.indices.allSatisfy {
      last.offsets[Int32($0)] ?? 0 == Int64(written[$0].count)
    }
  }

  /// The tail of the models topic, as a start reads it.
  private func readModels(_ process: SimulatedProcess) throws -> [RecordedModel] {
    var reading = SimulatedConsumerOptions()
    reading.tellsEndOfPartition = true
    let place = LogPlace(options.topics.models, 0)
    let reader = SimulatedConsumer(process, topics: [place.topic], reading)
    try reader.assign([(place, .beginning)])
    var found: [RecordedModel] = []
    let deadline = cluster.clock.now + 30_000_000
    while true {
      let polled = try reader.poll(maxMessages: 1000, timeoutMilliseconds: 200)
      found += polled.records.compactMap(recorded)
      if polled.events.contains(where: { if case .endOfPartition = $0 { true } else { false } }) {
        break
      }
      if cluster.clock.now > deadline {
        throw SimulatedError.timedOut(operation: "reading the models topic", milliseconds: 30_000)
      }
    }
    try reader.close()
    return found
  }

  private func recorded(_ record: SimulatedRecord) -> RecordedModel? {
    guard let value = record.value, let json = try? JSON(value) else { return nil }
    return RecordedModel(json, topic: options.topics.events)
  }

  // MARK: looking in from outside

  private var known: [RecordedModel] = []

  /// Each model on record once, as the last record of its number says it, in order.
  func models() -> [RecordedModel] {
    for record in auditor.advance() {
      guard let model = recorded(record) else { continue }
      known.removeAll { $0.number == model.number }
      known.append(model)
    }
    known.sort { $0.number < $1.number }
    return known
  }

  /// Offsets of the events topic that the group has committed.
  var committed: [Int64] {
    written.indices.map { cluster.committed("affinity", place($0))?.offset ?? 0 }
  }

  /// Lost records by the last model's record.
  var gapOnRecord: Int {
    var auditor = LogAuditor(cluster, topic: options.topics.models)
    guard let value = auditor.advance().last?.value, let json = try? JSON(value),
      case .object(let partitions) = json["gap"]?[options.topics.events]
    else { return 0 }
    return partitions.reduce(0) { $0 + Int($1.value.number ?? 0) }
  }

  /// What readers have of each output topic.
  func readable() -> [Int] {
    Self.outputs.map { topic in
      var auditor = LogAuditor(cluster, topic: topic)
      auditor.advance()
      return auditor.records.reduce(0) { $0 + $1.count }
    }
  }

  /// Lists that were said more than once.
  var repeatedIDs: Int {
    var auditor = LogAuditor(cluster, topic: options.topics.recommendations)
    var ids: [String: Int] = [:]
    for record in auditor.advance() {
      guard let value = record.value, let id = (try? JSON(value))?["id"]?.string else { continue }
      ids[id, default: 0] += 1
    }
    return ids.values.filter { $0 > 1 }.count
  }

  /// Waits until open transactions are decided, and judges everything that was said.
  func verdict() -> (verdict: Verdict, replay: PlainReplay, models: Int, faults: [String]) {
    cluster.faults.plan = nil
    cluster.clock.advance(milliseconds: 120_000)
    let models = models().filter { $0.number > era }
    let replay = PlainReplay(
      options.engine, topics: Self.inputs, log: written, lost: lost, models: models)
    var seen: [[[Said]]] = []
    var letters: [[UInt8]: Int] = [:]
    var faults: [String] = []
    for (i, topic) in Self.outputs.enumerated() {
      var auditor = LogAuditor(cluster, topic: topic)
      auditor.advance()
      if auditor.undecided > 0 { faults.append("\(topic): \(auditor.undecided) undecided records") }
      seen.append(
        auditor.records.enumerated().map { p, part in
          part.dropFirst(before.isEmpty ? 0 : before[i][p]).map { Said(key: $0.keyBytes ?? [], value: $0.valueBytes) }
        })
      if i == OutputTopic.deadLetters.rawValue {
        for record in auditor.records.joined() { letters[record.valueBytes ?? [], default: 0] += 1 }
      }
    }
    let verdict = Verdict(exactlyOnce: settings.exactlyOnce, seen: seen, replay: replay)
    for line in lines.all where line.contains(ShopLog.userPrefix) {
      faults.append("a customer in the log: \(line)")
    }
    if !before.isEmpty { return (verdict, replay, models.count, faults) }
    let wrong = written.enumerated().flatMap { p, log in
      log.indices.filter { !lost[p].contains($0) && !log[$0].isEvent }.map { log[$0] }
    }
    var wanted: [[UInt8]: Int] = [:]
    for one in wrong { wanted[one.value, default: 0] += 1 }
    for (value, count) in wanted {
      let letters = letters[value] ?? 0
      if letters < count || settings.exactlyOnce && letters > count {
        faults.append("\(letters) dead letters instead of \(count)")
      }
    }
    if letters.count != wanted.count { faults.append("dead letters of records that are none") }
    return (verdict, replay, models.count, faults)
  }
}
