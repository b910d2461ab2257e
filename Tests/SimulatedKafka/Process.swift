// A process of the simulated world: what dies together, and where it can die.
//
// Every request of its clients, and every step its owner declares (`step`), is numbered. A crash
// plan ends the process just before or just after the effect of one of them. From then on nothing
// it calls has any effect, so that whatever its code does with the error, it is dead.

/// Where a process ends.
public enum CrashPlan: Equatable, Sendable {
  case never
  /// Before the K-th step has its effect (steps count from 1).
  case before(Int)
  /// After it, before anybody has heard of it.
  case after(Int)
}

public final class SimulatedProcess {
  public enum Moment { case before, after }

  public let name: String
  public let cluster: SimulatedCluster
  /// Steps begun so far.
  public private(set) var steps = 0
  public var crashPlan = CrashPlan.never
  /// Set where it is dead.
  public private(set) var crash: SimulatedCrash?
  public var isDead: Bool { crash != nil }
  /// Called around every step, outside any other call of this process: a test may let others act
  /// here, and so put this process to sleep at any place.
  public var onStep: ((_ step: Int, _ what: String, Moment) -> Void)?

  private var frozenUntil: Int64 = 0

  init(_ name: String, _ cluster: SimulatedCluster) {
    self.name = name
    self.cluster = cluster
  }

  /// `kill -9`, now. What is on its way to a broker arrives all the same.
  public func kill() { if crash == nil { crash = SimulatedCrash(step: steps) } }

  /// SIGSTOP: until then its background (heartbeats, sending) rests. The driver must not call it.
  public func freeze(milliseconds: Int) {
    frozenUntil = cluster.clock.now + Int64(milliseconds) * 1000
  }

  var isFrozen: Bool { frozenUntil > cluster.clock.now }
  /// Whether threads of its own can do something now.
  var isRunning: Bool { !isDead && !isFrozen }

  /// A step with an effect outside the clients (a disk's write, say), numbered with theirs.
  public func step<T>(_ what: String, _ effect: () -> T) throws(SimulatedError) -> T {
    try enter(what)
    let result = effect()
    try leave(what)
    return result
  }

  func check() throws(SimulatedError) { if let crash { throw .crashed(crash) } }

  func enter(_ what: String) throws(SimulatedError) {
    try check()
    steps += 1
    if !cluster.clock.isFiring { onStep?(steps, what, .before) }
    if crashPlan == .before(steps) { kill() }
    try check()
  }

  func leave(_ what: String) throws(SimulatedError) {
    if !cluster.clock.isFiring { onStep?(steps, what, .after) }
    if crashPlan == .after(steps) { kill() }
    try check()
  }
}
