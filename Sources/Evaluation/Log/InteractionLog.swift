// A log in columns: what backtests and protocols know of it. Ids are dense, in order of first appearance, and never
// given back; 40 bytes an event and 4 a line.
import Engine
import Events
import Recommender
import Sparse

/// One event. Contexts that it has none of are `InteractionLog.none`.
public struct LoggedEvent: BitwiseCopyable, Sendable {
  public var time: Int64
  public var user: UInt32
  public var session: UInt32
  public var order: UInt32
  public var firstLine: UInt32
  public var lineCount: UInt32
  /// What was done; a rating that is a like is one.
  public var behaviour: Behaviour
  /// False: the undoing of it (uncart, refund, a rating that takes a like back).
  public var isPositive: Bool
}

/// One item of an event.
public struct Line: BitwiseCopyable, Sendable, Equatable {
  public var user: UInt32
  public var session: UInt32
  public var order: UInt32
  public var item: UInt32
  public var time: Int64
  public init(user: UInt32, session: UInt32, order: UInt32, item: UInt32, time: Int64) {
    self.user = user
    self.session = session
    self.order = order
    self.item = item
    self.time = time
  }
}

/// Filled once, then only read.
public final class InteractionLog: @unchecked Sendable {
  public static let none = UInt32.max

  public private(set) var users = Interner()
  public private(set) var items = Interner()
  private var sessions = FingerprintTable()
  private var orders = FingerprintTable()
  /// In the order in which they were appended.
  public private(set) var events: Vec<LoggedEvent>
  /// Items of all events.
  public private(set) var lines: Vec<UInt32>
  private let likeFrom: Double

  /// - Parameter likeFrom: a rating from here up is a like.
  public init(likeFrom: Double) {
    self.likeFrom = likeFrom
    events = Vec()
    lines = Vec()
  }

  public var sessionCount: Int { sessions.idLimit }
  public var orderCount: Int { orders.idLimit }

  /// Sessions and orders are known by (user, id), as the engine knows them: without an id a session is the user's UTC
  /// day, an order (user or session, time).
  /// - Returns: false where the event says nothing about items (an erasure, a rating without a value, no consent).
  @discardableResult
  public func append(_ event: EventView) -> Bool {
    guard InteractionLog.takes(event), var (behaviour, isPositive) = Engine.meaning(of: event.type) else {
      return false
    }
    if event.type == .rating, let value = event.value {
      isPositive = value >= likeFrom
      behaviour = .like
    }
    let user = event.user.count > 0 ? users.intern(event.user).id : InteractionLog.none
    let session = sessionPrint(event).map { sessions.intern($0).id }
    let order = orderPrint(event, behaviour).map { orders.intern($0).id }
    events.append(
      LoggedEvent(
        time: event.time, user: user, session: session ?? InteractionLog.none,
        order: order ?? InteractionLog.none, firstLine: UInt32(truncatingIfNeeded: lines.count),
        lineCount: UInt32(truncatingIfNeeded: event.items.count), behaviour: behaviour, isPositive: isPositive))
    for i in 0..<event.items.count { lines.append(items.intern(event.items[i].id).id) }
    return true
  }

  /// Whether `append` takes it.
  public static func takes(_ event: EventView) -> Bool {
    event.consent && event.type != .erase && (event.type != .rating || event.value != nil)
  }

  public func items(of event: LoggedEvent) -> UnsafeBufferPointer<UInt32> {
    UnsafeBufferPointer(
      rebasing: lines.buffer[Int(event.firstLine)..<Int(event.firstLine) + Int(event.lineCount)])
  }

  /// The lines of all events that did this, by time; at one time in the order of the log.
  public func lines(of behaviour: Behaviour) -> [Line] {
    var found: [Line] = []
    var isSorted = true
    for i in 0..<events.count where events[i].behaviour == behaviour && events[i].isPositive {
      let event = events[i]
      if let last = found.last, last.time > event.time { isSorted = false }
      for item in items(of: event) {
        found.append(
          Line(user: event.user, session: event.session, order: event.order, item: item, time: event.time))
      }
    }
    if isSorted { return found }
    return found.enumerated().sorted {
      $0.element.time != $1.element.time ? $0.element.time < $1.element.time : $0.offset < $1.offset
    }.map(\.element)
  }

  /// What the log is about: purchases where it has any, else likes, clicks, views, carts, impressions.
  public var mainBehaviour: Behaviour? {
    var counts = [Int](repeating: 0, count: Behaviour.allCases.count)
    for i in 0..<events.count where events[i].isPositive { counts[Int(events[i].behaviour.rawValue)] += 1 }
    return [Behaviour.purchase, .like, .click, .view, .cart, .impression].first { counts[Int($0.rawValue)] > 0 }
  }

  private func sessionPrint(_ event: EventView) -> Fingerprint? {
    let user = event.user.count > 0 ? Fingerprint(of: event.user) : .zero
    if event.session.count > 0 { return Fingerprint(user, Fingerprint(of: event.session), 0, 0) }
    if event.user.count == 0 { return nil }
    return Fingerprint(user, .zero, 1, UInt64(bitPattern: event.time / 86_400_000))
  }

  private func orderPrint(_ event: EventView, _ behaviour: Behaviour) -> Fingerprint? {
    let owner = event.user.count > 0 ? event.user : event.session
    if event.order.count > 0 {
      let user = event.user.count > 0 ? Fingerprint(of: event.user) : .zero
      return Fingerprint(user, Fingerprint(of: event.order), 2, 0)
    }
    if behaviour != .purchase || owner.count == 0 { return nil }
    return Fingerprint(
      Fingerprint(of: owner), .zero, 3, UInt64(bitPattern: event.ordered ?? event.time))
  }
}
