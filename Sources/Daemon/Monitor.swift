// A mutex with two conditions, on the monotonic clock: what a bounded hand-over between two threads needs.
import Glibc

final class Monitor: @unchecked Sendable {
  enum Condition: Int { case arrived, freed }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let conditions = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 2)

  init() {
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    for i in 0..<2 { pthread_cond_init(conditions + i, &attributes) }
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    for i in 0..<2 { pthread_cond_destroy(conditions + i) }
    pthread_mutex_destroy(mutex)
    conditions.deallocate()
    mutex.deallocate()
  }

  func with<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result
  {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }

  /// Inside `with`: waits until it is signalled or the clock has reached `deadline` (monotonic ns).
  /// - Returns: false at the deadline.
  func wait(_ condition: Condition, until deadline: Int64) -> Bool {
    var time = timespec(
      tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
    return pthread_cond_timedwait(conditions + condition.rawValue, mutex, &time) != ETIMEDOUT
  }

  func signal(_ condition: Condition) { pthread_cond_signal(conditions + condition.rawValue) }
}
