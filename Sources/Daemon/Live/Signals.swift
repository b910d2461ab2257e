// Signals as flags that the loop reads.
import Glibc
import Synchronization

public enum Signals {
  private static let stops = Atomic<Int>(0)
  private static let reloads = Atomic<Int>(0)

  /// SIGTERM and SIGINT ask for the end (a second one ends at once), SIGHUP for fresh log files.
  public static func install() {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGTERM) { _ in Signals.noteStop() }
    signal(SIGINT) { _ in Signals.noteStop() }
    signal(SIGHUP) { _ in Signals.reloads.wrappingAdd(1, ordering: .relaxed) }
    // Who starts us may have blocked them (a thread of a pool has), and a mask is inherited.
    var ours = sigset_t()
    sigemptyset(&ours)
    for number in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&ours, number) }
    pthread_sigmask(SIG_UNBLOCK, &ours, nil)
  }

  private static func noteStop() {
    if stops.wrappingAdd(1, ordering: .relaxed).oldValue >= 1 { _exit(130) }
  }

  /// Asks for the end as SIGTERM does (the demo's clock, tests).
  public static func requestStop() { stops.wrappingAdd(1, ordering: .relaxed) }
  public static var isStopRequested: Bool { stops.load(ordering: .relaxed) > 0 }
  static var reloadCount: Int { reloads.load(ordering: .relaxed) }
}
