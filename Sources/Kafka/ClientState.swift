// What librdkafka's callbacks write to, and the lifetime of a handle.
//
// Callbacks run inside the owner's calls (poll and the like), so on the owner's thread; only while
// a client is being closed do they run on the closing thread, and then they keep their hands off
// everything but the log.

import CRdKafka
import Glibc
import Synchronization

/// One line of librdkafka's log.
public struct LogLine: Sendable, Equatable {
  /// As in syslog: 0 emergency … 3 error, 4 warning, 5 notice, 6 information, 7 debug.
  public var level: Int
  /// librdkafka's word for the place, such as `FAIL` or `REQTMOUT`.
  public var facility: String
  public var message: String
}

/// Where a client's log and statistics go. Both closures may run on the owner's thread (inside
/// poll) or, while closing, on another.
public struct ClientObserver: Sendable {
  public var log: @Sendable (LogLine) -> Void
  /// librdkafka's statistics as JSON, every `statistics.interval.ms` (5000 when this is set and
  /// the property is not). The bytes are valid during the call.
  public var statistics: (@Sendable (UnsafeRawBufferPointer) -> Void)?

  public init(
    log: @escaping @Sendable (LogLine) -> Void = { _ in },
    statistics: (@Sendable (UnsafeRawBufferPointer) -> Void)? = nil
  ) {
    self.log = log
    self.statistics = statistics
  }

  var extraProperties: [String: String] {
    statistics == nil ? [:] : ["statistics.interval.ms": "5000"]
  }
}

/// How a close ended.
public enum CloseResult: Sendable, Equatable {
  case closed
  /// The deadline passed; the client is left behind (its threads go on), so that the process can
  /// end. librdkafka 2.0 is known to hang here after brokers have come and gone.
  case abandoned
}

final class ClientState: @unchecked Sendable {
  let observer: ClientObserver
  /// Set before closing starts: callbacks then leave the owner's fields alone.
  let closing = Atomic<Bool>(false)
  let closed = Atomic<Bool>(false)
  /// Batches that still hold messages of the client.
  let batchesOut = Atomic<Int>(0)

  // Owner's thread only.
  var events: [ConsumerEvent] = []
  var rebalances: [PendingRebalance] = []
  /// Yielded when a rebalance arrives, so that a waiting poll returns.
  var queue: OpaquePointer?
  /// Errors of the client as a whole since they were last taken (consumer).
  var topicIndex: [String: Int32] = [:]

  init(observer: ClientObserver) { self.observer = observer }

  static func from(_ opaque: UnsafeMutableRawPointer?) -> ClientState? {
    opaque.map { Unmanaged<ClientState>.fromOpaque($0).takeUnretainedValue() }
  }

  func log(_ level: Int32, _ facility: UnsafePointer<CChar>?, _ text: UnsafePointer<CChar>?) {
    observer.log(
      LogLine(
        level: Int(level), facility: facility.map { String(cString: $0) } ?? "",
        message: text.map { String(cString: $0) } ?? ""))
  }
}

struct PendingRebalance {
  enum Kind { case assign, revoke }
  var kind: Kind
  var lost: Bool
  var partitions: [TopicPartition]
}

/// Starts a thread that nobody waits for.
/// - Returns: false where there is none to be had; nothing was started then.
@discardableResult
package func startDetached(_ work: @escaping @Sendable () -> Void) -> Bool {
  final class Job: Sendable {
    let work: @Sendable () -> Void
    init(_ work: @escaping @Sendable () -> Void) { self.work = work }
  }
  let job = Unmanaged.passRetained(Job(work))
  var thread = pthread_t()
  let status = pthread_create(
    &thread, nil,
    { raw in
      if let raw { Unmanaged<Job>.fromOpaque(raw).takeRetainedValue().work() }
      return nil
    }, job.toOpaque())
  if status != 0 {
    job.release()
    return false
  }
  pthread_detach(thread)
  return true
}

/// Runs `work` on a thread of its own and waits for it, but no longer than the deadline.
/// - Returns: whether it ended in time. `work` may go on after that.
func runDetached(milliseconds: Int, _ work: @escaping @Sendable () -> Void) -> Bool {
  final class Flag: Sendable { let isSet = Atomic<Bool>(false) }
  let done = Flag()
  let started = startDetached {
    work()
    done.isSet.store(true, ordering: .releasing)
  }
  let deadline = Deadline(milliseconds: milliseconds)
  while started && !done.isSet.load(ordering: .acquiring) {
    if deadline.remaining == 0 { return false }
    usleep(1000)
  }
  return started
}

/// A moment on the monotonic clock.
struct Deadline {
  private let end: Int
  init(milliseconds: Int) { end = Deadline.now() &+ max(0, min(milliseconds, 1 << 40)) }
  /// Milliseconds left, at least 0.
  var remaining: Int { max(0, end - Deadline.now()) }
  /// The same in the width of librdkafka's timeouts.
  var remaining32: Int32 { Int32(clamping: remaining) }
  static func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
  }
}

func usleepMilliseconds(_ milliseconds: Int) { usleep(UInt32(clamping: milliseconds * 1000)) }
