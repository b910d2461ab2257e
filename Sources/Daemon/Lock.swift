// A mutex over a closure, for state that two threads share.
import Synchronization

final class Lock: Sendable {
  private let mutex = Mutex<Void>(())
  func with<Result>(_ body: () throws -> Result) rethrows -> Result {
    try mutex.withLock { _ in Boxed(try body()) }.value
  }
  private struct Boxed<Value>: @unchecked Sendable { let value: Value; init(_ v: Value) { value = v } }
}
