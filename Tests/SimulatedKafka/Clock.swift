// Virtual time: a number that a driver moves, and what is to happen when it passes certain marks.
//
// Nothing sleeps and nothing else tells the time, so a run is a function of its seed. Events of one
// instant happen in the order in which they were scheduled. An event takes no time itself: only
// calls from outside advance the clock.

public final class VirtualClock {
  /// Microseconds since 1970.
  public private(set) var now: Int64

  private struct Event {
    var time: Int64
    var order: Int
    var action: () -> Void
  }
  /// The next one last.
  private var events: [Event] = []
  private var scheduled = 0
  private(set) var isFiring = false

  public init(now: Int64 = 1_700_000_000_000_000) { self.now = now }

  /// Milliseconds since 1970.
  public var milliseconds: Int64 { now / 1000 }

  /// Runs `action` when the time comes; at the next advance where it has passed already.
  public func schedule(at time: Int64, _ action: @escaping () -> Void) {
    scheduled += 1
    var low = 0
    var high = events.count
    while low < high {
      let middle = (low + high) / 2
      if events[middle].time > time { low = middle + 1 } else { high = middle }
    }
    events.insert(Event(time: time, order: scheduled, action: action), at: low)
  }

  public func schedule(in microseconds: Int64, _ action: @escaping () -> Void) {
    schedule(at: now + microseconds, action)
  }

  /// When the next event is due; nil where nothing is planned.
  public var nextEvent: Int64? { events.last.map { max($0.time, now) } }

  /// Moves to `time`, through all events until then.
  public func advance(to time: Int64) {
    precondition(!isFiring, "an event may not advance the clock")
    while let next = events.last, next.time <= time {
      events.removeLast()
      now = max(now, next.time)
      isFiring = true
      next.action()
      isFiring = false
    }
    now = max(now, time)
  }

  public func advance(by microseconds: Int64) { advance(to: now + microseconds) }
  public func advance(milliseconds: Int) { advance(to: now + Int64(milliseconds) * 1000) }
}
