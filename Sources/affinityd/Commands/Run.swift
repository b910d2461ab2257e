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
      Every start reads the log from its beginning, silently up to the group's committed offsets, and publishes \
      from there. SIGTERM or SIGINT: makes the lists that wait, commits, leaves the group; a second one ends at \
      once. SIGHUP opens the log files anew.
      Exit status: 0 stopped as asked, 78 the configuration is wrong, 75 try again (the broker refuses or is away), \
      73 a file cannot be opened.
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
    let level = Logger.Level(rawValue: configuration.logLevel.rawValue) ?? .info
    let logger = Logger(label: "affinityd") { LogFile(label: $0, file: logFile, level: level) }
    logger.info("affinityd with librdkafka \(Kafka.Settings.library)")
    if configuration.delivery == .exactlyOnce {
      // Said, not hidden: transactions come with snapshots. Repeats after a crash have the same id.
      logger.warning(
        "delivery: exactly_once is not built yet; running at_least_once: after a crash messages may repeat, with the same ids")
    }
    do {
      let daemon = try Daemon(
        DaemonOptions(configuration), log: logger, metrics: metrics,
        clientLog: ClientLog(logger))
      try daemon.run()
    } catch let failure as DaemonFailure {
      if failure.status == 0 {
        logger.info("\(failure)")
        return
      }
      logger.critical("\(failure)")
      throw CommandFailure(message: "\(failure)", status: failure.status)
    }
  }
}
