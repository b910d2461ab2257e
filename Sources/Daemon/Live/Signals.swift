// Signals as flags that the loop reads.
import Glibc
import Synchronization

public enum Signals {
  private static let stops = Atomic<Int>(0)
  private static let reloads = Atomic<Int>(0)
  /// Rung by the first stop: a semaphore is what a signal handler may touch.
  private nonisolated(unsafe) static let bell: UnsafeMutablePointer<sem_t> = {
    let bell = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    sem_init(bell, 0, 0)
    return bell
  }()

  /// SIGTERM and SIGINT ask for the end (a second one ends at once), SIGHUP for fresh log files and the
  /// configuration anew.
  public static func install() {
    _ = bell
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
    sem_post(bell)
  }

  /// Asks for the end as SIGTERM does (the demo's clock, tests).
  public static func requestStop() { stops.wrappingAdd(1, ordering: .relaxed) }
  /// Waits for the first signal that asks for the end.
  static func waitForStop() { while sem_wait(bell) != 0 {} }
  public static var isStopRequested: Bool { stops.load(ordering: .relaxed) > 0 }
  static var reloadCount: Int { reloads.load(ordering: .relaxed) }
}
