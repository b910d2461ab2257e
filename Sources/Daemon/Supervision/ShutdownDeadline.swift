// The end by the clock: from the first signal on a thread of its own counts `shutdown.timeout`, and where the
// process is still there then, ends it with 75. The loop cannot do that: it may be the one that hangs, in a
// call of librdkafka that does not return.
import Glibc
import Kafka
import Logging
import Synchronization

public final class ShutdownDeadline: Sendable {
  private let limit: Atomic<Int64>

  /// Starts to wait for the signal (`Signals.install` comes first).
  /// - Parameter milliseconds: from the first signal to the end.
  public init(milliseconds: Int64, log: Logger) {
    limit = Atomic(milliseconds)
    startDetached { [self] in
      Signals.waitForStop()
      let start = Process.monotonic
      while Process.monotonic - start < limit.load(ordering: .relaxed) * 1_000_000 { usleep(20_000) }
      // Where the log's file hangs as well, saying so must not keep us.
      startDetached {
        let text =
          "not ended \(DurationText.format(self.limit.load(ordering: .relaxed))) after the signal, the shutdown timeout: left as it is; what is not committed is read again"
        log.critical("\(text)")
        var line = "affinityd: \(text)\n"
        line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
        _exit(75)
      }
      usleep(1_000_000)
      _exit(75)
    }
  }

  public func set(milliseconds: Int64) { limit.store(milliseconds, ordering: .relaxed) }
}
