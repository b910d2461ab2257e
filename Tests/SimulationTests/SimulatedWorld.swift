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
    init() {}
  }

  let seed: UInt64
  let settings: Settings
  let cluster: SimulatedCluster
  let disk: SimulatedDisk
  let options: DaemonOptions
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
    self.options = options
    let lines = lines
    log = Logger(label: "affinity") { _ in lines }
    for topic in Self.inputs { cluster.createTopic(topic, partitions: topic == options.topics.events ? settings.partitions : 1) }
    for topic in Self.outputs { cluster.createTopic(topic, partitions: topic == options.topics.models ? 1 : 2) }
    written = [[ShopLog.Record]](repeating: [], count: settings.partitions)
    auditor = LogAuditor(cluster, topic: options.topics.models)
  }

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
      if !process.isDead { log.error("life ends: \(error)") }
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
    let source = SimulatedSource(
      process, topics: Self.inputs, options: consumer, limits: options.limits,
      futureTolerance: options.engine.futureTolerance, random: SplitMix(seed: random.next()))
    var producer = SimulatedProducerOptions()
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
        clock: SimulatedClock(clock: cluster.clock))
    }
    if let snapshot = found.snapshot {
      restored += 1
      let reader = StateReader(snapshot)
      let engine = try Engine(options.engine, topics: Self.inputs, restoring: reader)
      maker = InlineMaker(
        try ModelBuilder(options.engine, after: last, of: engine, restoring: reader),
        longest: longest, random: SplitMix(seed: random.next()))
      loop = LiveLoop(
        options, engine: engine, ports: ports(maker), recorded: recorded, log: log)
    } else {
      maker = InlineMaker(
        ModelBuilder(options.engine, after: last), longest: longest,
        random: SplitMix(seed: random.next()))
      loop = LiveLoop(
        options, engine: Engine(options.engine, topics: Self.inputs), ports: ports(maker),
        recorded: recorded, log: log)
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
    for partition in 0..<Int32(settings.partitions) {
      let place = LogPlace(options.topics.events, partition)
      let end = Int64(written[Int(partition)].count)
      if cluster.committed("affinity", place)?.offset ?? 0 != end { return false }
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

  /// Waits until open transactions are decided, and judges everything that was said.
  func verdict() -> (verdict: Verdict, replay: PlainReplay, models: Int, faults: [String]) {
    cluster.faults.plan = nil
    cluster.clock.advance(milliseconds: 120_000)
    let models = models()
    let replay = PlainReplay(
      options.engine, topics: Self.inputs, log: written, models: models)
    var seen: [[[Said]]] = []
    var letters: [[UInt8]: Int] = [:]
    var faults: [String] = []
    for (i, topic) in Self.outputs.enumerated() {
      var auditor = LogAuditor(cluster, topic: topic)
      auditor.advance()
      if auditor.undecided > 0 { faults.append("\(topic): \(auditor.undecided) undecided records") }
      seen.append(
        auditor.records.map { part in
          part.map { Said(key: $0.keyBytes ?? [], value: $0.valueBytes) }
        })
      if i == OutputTopic.deadLetters.rawValue {
        for record in auditor.records.joined() { letters[record.valueBytes ?? [], default: 0] += 1 }
      }
    }
    let verdict = Verdict(exactlyOnce: settings.exactlyOnce, seen: seen, replay: replay)
    let wrong = written.joined().filter { !$0.isEvent }
    var wanted: [[UInt8]: Int] = [:]
    for one in wrong { wanted[one.value, default: 0] += 1 }
    for (value, count) in wanted {
      let letters = letters[value] ?? 0
      if letters < count || settings.exactlyOnce && letters > count {
        faults.append("\(letters) dead letters instead of \(count)")
      }
    }
    if letters.count != wanted.count { faults.append("dead letters of records that are none") }
    for line in lines.all where line.contains(ShopLog.userPrefix) {
      faults.append("a customer in the log: \(line)")
    }
    return (verdict, replay, models.count, faults)
  }
}
