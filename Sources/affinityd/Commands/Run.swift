// `affinityd run`: the daemon.
import ArgumentParser
import Daemon
import Foundation
import Kafka
import Logging

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "The daemon: reads the events topic, keeps the counts, publishes recommendations.",
    discussion: """
      A start takes the newest good snapshot from state.directory, or reads the log from its beginning, silently \
      up to the group's committed offsets, and publishes from there. SIGTERM or SIGINT: makes the lists that wait, commits, leaves the group, within \
      shutdown.timeout; a second one ends at once. SIGHUP opens the log files anew and takes from the \
      configuration what can change while running; a bad configuration is logged and changes nothing.
      Health, metrics and a console are on admin.listen. Under systemd (Type=notify) it says when it is \
      ready, and feeds the watchdog.
      Exit status (sysexits): 0 stopped as asked; 64 wrong use; 69 the broker refuses us (credentials, access \
      rights); 73 a file cannot be opened, or another daemon has state.directory; 75 try again (the broker is away, or what hung was ended at \
      shutdown.timeout); 78 the configuration is wrong, or the log has had an accident and \
      events.on_gap, on_recreated or on_grown says stop; 130 ended at once by a second signal.
      The keys of the configuration: affinityd validate --keys
      """)

  @OptionGroup var settings: ConfigurationArguments

  func run() throws {
    let configuration = try settings.load(status: 78)
    Signals.install()
    let logFile: ReopenableFile
    let metrics: ReopenableFile
    do throws(FileError) {
      logFile = try ReopenableFile(
        path: configuration.logFile == "-" ? "stderr" : configuration.logFile)
      metrics = try ReopenableFile(path: configuration.metricsFile)
    } catch {
      throw CommandFailure(message: "\(error)", status: 73)
    }
    let threshold = LogThreshold(configuration.logLevel)
    let logger = Logger(label: "affinityd") { LogFile(label: $0, file: logFile, threshold: threshold) }
    let deadline = ShutdownDeadline(milliseconds: configuration.shutdownTimeout, log: logger)
    logger.info("affinityd with librdkafka \(Kafka.Settings.library)")
    let health = Health(
      configuration.health, manager: ServiceManager(ProcessInfo.processInfo.environment))
    let watch = HealthWatch(health, log: logger)
    defer { watch.end() }
    let board = StatusBoard()
    let admin = listen(configuration, health, board, logger)
    defer { admin?.stop() }
    let reloader = Reloader(
      configuration, log: logger,
      load: { [settings] () throws(ConfigurationProblems) in try settings.read() },
      apply: { fresh in
        threshold.set(fresh.logLevel)
        health.set(fresh.health)
        deadline.set(milliseconds: fresh.shutdownTimeout)
      })
    var options = DaemonOptions(configuration)
    while true {
      do {
        let daemon = try Daemon(
          options, log: logger, metrics: metrics, clientLog: ClientLog(logger), health: health,
          board: board, reloader: reloader)
        return try daemon.run()
      } catch let failure as DaemonFailure {
        if failure.rebuild != .none && !Signals.isStopRequested {
          logger.warning("\(failure)")
          options.rebuild = failure.rebuild
          continue
        }
        if failure.status == 0 {
          logger.info("\(failure)")
          return
        }
        logger.critical("\(failure)")
        throw CommandFailure(message: "\(failure)", status: failure.status)
      }
    }
  }

  /// The admin port. Where it cannot be had the daemon runs without: recommendations matter more than the
  /// pages about them, and probes will tell.
  private func listen(
    _ configuration: Configuration, _ health: Health, _ board: StatusBoard, _ logger: Logger
  ) -> AdminServer? {
    guard let listen = configuration.adminListen else { return nil }
    let pages = AdminPages(
      health: health, board: board, eventsTopic: configuration.topics.events,
      group: configuration.kafka["group.id"] ?? "")
    do throws(AdminFailure) {
      let server = try AdminServer(listen, pages: pages)
      logger.info("admin port on \(server.address)")
      return server
    } catch {
      logger.error("\(error); going on without metrics, health and console by HTTP")
      return nil
    }
  }
}
