// How the shell runs the parts of a core kernel at once.
import Dispatch
import Recommender

public enum Threads {
  /// Runs parts on up to `count` threads (the caller's among them). The kernels' results do not depend on it.
  public static func parallel(_ count: Int) -> Parallel {
    if count <= 1 {
      return { parts, body in for part in 0..<parts { body(part) } }
    }
    return { parts, body in
      if parts <= 1 {
        for part in 0..<parts { body(part) }
        return
      }
      withoutActuallyEscaping(body) { body in
        let box = Unchecked(body)
        let workers = min(count, parts)
        let next = Counter()
        DispatchQueue.concurrentPerform(iterations: workers) { _ in
          while true {
            let part = next.take()
            if part >= parts { return }
            box.value(part)
          }
        }
      }
    }
  }

  private struct Unchecked<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
  }
}
