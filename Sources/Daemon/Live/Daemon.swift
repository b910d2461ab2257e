// The daemon over Kafka: clients, the state's folder and what a start finds in it, then the loop.
//
// Order of a start: the folder's lock; the broker's topics; the producer's name, which ends what a dead
// predecessor has left open (before the group's offsets are asked for); the models on record; the newest
// good snapshot; then the group.
import Engine
import Events
import Glibc
import Kafka
import Logging
import Snapshots
import Sparse

/// Why the daemon ended other than by request, with a status for supervisors (sysexits).
public struct DaemonFailure: Error, CustomStringConvertible {
  public var description: String
  public var status: Int32
  /// The daemon is to be made again in this process, and throws away so much.
  public var rebuild = Rebuild.none
  /// A stop was asked for before anything had begun.
  static let stopped = DaemonFailure(description: "stopped at the start", status: 0)
  package static func tryAgain(_ text: String) -> DaemonFailure {
    DaemonFailure(description: text, status: 75)
  }
}

public final class Daemon {
  private let options: DaemonOptions
  private let log: Logger
  private let health: Health
  private let metrics: MetricsLog
  private let reloader: Reloader?
  private let intake: Intake
  private let loop: LiveLoop

  public init(
    _ options: DaemonOptions, log: Logger, metrics: ReopenableFile, clientLog: ClientLog,
    health: Health = Health(), board: StatusBoard = StatusBoard(), reloader: Reloader? = nil
  ) throws {
    var options = options
    self.log = log
    self.health = health
    self.reloader = reloader
    let folder = try Daemon.openFolder(options, log)
    let crashes = folder.flatMap { Daemon.openCrashLog($0.path, options, log) }
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
    } catch {
      throw DaemonFailure(description: "\(error)", status: error.isSettings ? 78 : 75)
    }
    let outlet: KafkaOutlet
    let recorded: [RecordedModel]
    do throws(KafkaError) {
      _ = try Daemon.patiently(options, health) { () throws(KafkaError) in
        try consumer.requireTopics(timeoutMilliseconds: 1000)
      }
      if options.delivery == .exactlyOnce && consumer.isEmbeddedBroker {
        log.warning(
          "delivery: exactly_once is more than the embedded broker knows; running at_least_once: after a crash messages may repeat, with the same ids and bytes")
        options.delivery = .atLeastOnce
      }
      let isTransactional = options.delivery == .exactlyOnce
      if isTransactional {
        // Readers wait for commits as they wait for the linger; one takes some 20 ms.
        options.commitInterval = min(100, max(20, options.engine.recommend.linger))
      }
      outlet = try KafkaOutlet(
        options,
        transactional: isTransactional ? (options.kafka["group.id"] ?? "affinity") : nil,
        consumer: consumer, observer: observer)
      try Daemon.patiently(options, health) { () throws(KafkaError) in
        try outlet.requireTopics(timeoutMilliseconds: 1000)
      }
      try outlet.open(timeoutMilliseconds: Int(options.topicTimeout))
      recorded = try ModelLog.read(options, observer: observer)
    } catch {
      if Signals.isStopRequested { throw DaemonFailure.stopped }
      if error.isDenied {
        throw DaemonFailure(description: "the broker refuses us: \(error)", status: 69)
      }
      if error.isSettings { throw DaemonFailure(description: "\(error)", status: 78) }
      throw DaemonFailure.tryAgain(
        "kafka.bootstrap.servers \(options.kafka["bootstrap.servers"] ?? "unset"): \(error), after \(options.topicTimeout / 1000) s")
    }
    let last = recorded.map(\.number).max() ?? 0
    if last > 0 { log.info("models so far: \(last)") }
    let state = try Daemon.restore(
      options, folder, KafkaLogLooker(options: options, consumer: consumer, observer: observer),
      after: last, log)
    intake = Intake(
      consumer, limits: options.limits, futureTolerance: options.engine.futureTolerance,
      crashes: crashes,
      warn: { log.warning("consumer: \($0)") })
    self.metrics = MetricsLog(metrics, interval: options.metricsInterval, board: board)
    self.options = options
    let engine = state.takeEngine()
    loop = LiveLoop(
      options, engine: engine,
      ports: LivePorts(
        source: intake, outlet: outlet, maker: state.maker,
        keeper: folder.map { ForkedStateKeeper($0) }, clock: SystemClock(), crashes: crashes),
      recorded: recorded, plan: state.plan, log: log, health: health, board: board)
    loop.metrics = self.metrics
    loop.isConfigurationGood = { reloader?.lastSucceeded ?? true }
  }

  /// The state's folder, locked; nil where none is wanted.
  private static func openFolder(
    _ options: DaemonOptions, _ log: Logger
  ) throws -> SnapshotFolder? {
    guard let path = options.stateDirectory else {
      log.warning("state.directory: off: no snapshots, every start reads the log from its beginning")
      return nil
    }
    var settings = SnapshotSettings()
    do throws(SnapshotError) {
      if let file = options.snapshotKeyFile {
        settings.key = try SnapshotKey(file: file)
      } else {
        settings.key = try SnapshotKey.fromEnvironment()
      }
      return try SnapshotFolder(path, settings: settings)
    } catch {
      switch error {
      case .locked: throw DaemonFailure(description: "\(error)", status: 73)
      case .disk:
        throw DaemonFailure(description: "state.directory \(path): \(error)", status: 73)
      default: throw DaemonFailure(description: "\(error)", status: 78)
      }
    }
  }

  private static func openCrashLog(
    _ folder: String, _ options: DaemonOptions, _ log: Logger
  ) -> CrashLog? {
    let (crashes, fault) = CrashLog.open(folder: folder)
    guard let crashes else {
      log.warning("\(fault): a record that ends the process would not be known again")
      return nil
    }
    for one in crashes.condemned {
      let topic = one.topic == 0 ? options.topics.events : options.topics.catalogue
      log.error(
        "the process has died at \(topic) partition \(one.partition) offset \(one.offset) \(CrashLog.patience) times in a row: passed over, it goes to the dead letters")
    }
    return crashes
  }

  /// What a start begins with.
  private final class State {
    private var engine: Engine?
    let maker: ModelWorker
    let plan: StartPlan
    init(_ engine: consuming Engine, _ maker: ModelWorker, _ plan: StartPlan) {
      self.engine = consume engine
      self.maker = maker
      self.plan = plan
    }
    func takeEngine() -> Engine {
      guard let engine = engine.take() else { fatalError("the engine is taken once") }
      return engine
    }
  }

  private static func restore(
    _ options: DaemonOptions, _ folder: SnapshotFolder?, _ looker: KafkaLogLooker,
    after number: Int, _ log: Logger
  ) throws -> State {
    let topics = [options.topics.events, options.topics.catalogue]
    let threads = options.engine.threads
    let snapshot = try folder.flatMap { try newest($0, options, log) }
    let plan: StartPlan
    do {
      plan = try StartCheck.run(
        options, known: snapshot?.metadata.topics ?? [], lastModel: number, looker: looker, log: log,
        removeSnapshots: { () throws(SnapshotError) in try folder?.removeAll() })
    } catch let error as KafkaError {
      if Signals.isStopRequested { throw DaemonFailure.stopped }
      throw DaemonFailure.tryAgain("looking at the log: \(error)")
    } catch let error as SnapshotError {
      throw DaemonFailure(description: "\(error)", status: 73)
    }
    func fresh() -> State {
      State(
        Engine(options.engine, topics: topics),
        ModelWorker(options.engine, after: number, threads: threads), plan)
    }
    guard plan.rebuild == .none else { return fresh() }
    guard let snapshot else {
      if folder != nil { log.info("no snapshot: the log is read from its beginning") }
      return fresh()
    }
    let start = Process.monotonic
    do throws(StateError) {
      let reader = StateReader(snapshot)
      let engine = try Engine(options.engine, topics: topics, restoring: reader)
      let builder = try ModelBuilder(options.engine, after: number, of: engine, restoring: reader)
      log.info(
        "restored \(snapshot.path) in \((Process.monotonic - start) / 1_000_000) ms: \(engine.model?.id ?? "no model"), rows digest \(engine.digest.hex)")
      return State(engine, ModelWorker(builder, threads: threads), plan)
    } catch {
      log.warning("snapshot \(snapshot.path) is of no use: \(error); the log is read from its beginning")
      return fresh()
    }
  }

  /// The newest good snapshot that was made with these settings.
  private static func newest(
    _ folder: SnapshotFolder, _ options: DaemonOptions, _ log: Logger
  ) throws(DaemonFailure) -> Snapshot? {
    let threads = options.engine.threads
    let start = Process.monotonic
    let found: SnapshotRestore
    do throws(SnapshotError) {
      found = try folder.restore(parallel: { Threads.parallel(threads)($0, $1) })
    } catch {
      // Of a later version, or its key is missing: not ours to pass over.
      throw DaemonFailure(description: "\(error)", status: 78)
    }
    for one in found.damaged { log.error("snapshot \(one.path) is passed over: \(one.fault)") }
    guard let snapshot = found.snapshot else { return nil }
    guard snapshot.metadata.configuration == options.engine.fingerprint else {
      log.warning("snapshot \(snapshot.path) is of no use: it was made with other settings")
      return nil
    }
    log.info("snapshot \(snapshot.path) is good, read in \((Process.monotonic - start) / 1_000_000) ms")
    return snapshot
  }

  /// Asks again in short turns, so that a stop that comes meanwhile is heard.
  private static func patiently<Answer>(
    _ options: DaemonOptions, _ health: Health, _ body: () throws(KafkaError) -> Answer
  ) throws(KafkaError) -> Answer {
    let deadline = Process.monotonic + options.topicTimeout * 1_000_000
    while true {
      health.turned(at: Process.monotonic)
      do throws(KafkaError) { return try body() } catch {
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
    do throws(KafkaError) {
      try intake.start(timeoutMilliseconds: Int(options.topicTimeout))
    } catch { throw DaemonFailure.tryAgain("\(error)") }
    log.info("reading \(options.topics.events) as group \(options.kafka["group.id"] ?? "")")
    do {
      var reloads = Signals.reloadCount
      while !Signals.isStopRequested {
        try loop.turn()
        if Signals.reloadCount != reloads {
          reloads = Signals.reloadCount
          reload()
        }
      }
      try loop.drain()
    } catch {
      loop.leave()
      throw error
    }
  }

  /// SIGHUP: log files opened anew, and what can change while running taken from the configuration.
  private func reload() {
    health.reloading(at: Process.monotonic)
    metrics.file.reopen()
    LogFile.reopenAll()
    log.info("log files opened anew")
    if let configuration = reloader?.reload() { loop.take(configuration) }
    health.reloaded()
  }
}
