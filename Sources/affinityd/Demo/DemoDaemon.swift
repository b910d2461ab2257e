// The daemon as the demo runs it: the same as `run`, with quick models, on a thread of its own.
import Daemon
import Foundation
import Logging
import Synchronization

final class DemoDaemon: @unchecked Sendable {
  private let daemon: Daemon
  private let finished = DispatchSemaphore(value: 0)
  private let ended = Atomic<Bool>(false)
  private var failure: (any Error)?

  init(broker: String, folder: String) throws {
    var options = DaemonOptions()
    // The embedded broker keeps five megabytes a partition: who stops the show for a while must not end it.
    options.onGap = .continue
    options.kafka = [
      "bootstrap.servers": broker, "group.id": "affinity-demo", "session.timeout.ms": "6000",
      "linger.ms": "5",
    ]
    options.modelInterval = 3_000
    options.engine.rules.interval = 0
    options.engine.recommend.refresh = 600_000
    options.metricsInterval = 1_000
    options.metricsFile = folder + "/metrics.jsonl"
    let logFile = try ReopenableFile(path: folder + "/daemon.log")
    let logger = Logger(label: "affinityd") { label in
      LogFile(label: label, file: logFile, level: .info)
    }
    daemon = try Daemon(
      options, log: logger, metrics: try ReopenableFile(path: options.metricsFile),
      clientLog: ClientLog(logger))
  }

  var hasEnded: Bool { ended.load(ordering: .acquiring) }

  func start() {
    Thread.detachNewThread { [self] in
      do { try daemon.run() } catch { failure = error }
      ended.store(true, ordering: .releasing)
      finished.signal()
    }
  }

  /// Waits for the daemon's drain; throws what ended it.
  func join() throws {
    finished.wait()
    if let failure { throw CommandFailure.failed("\(failure)") }
  }
}
