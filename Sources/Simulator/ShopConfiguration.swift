// What a simulated shop looks like. The same configuration gives the same bytes on every machine:
// the generator is SplitMix and all arithmetic is on integers or on IEEE doubles without libm.

/// The kind of log that is made.
public enum ShopShape: String, CaseIterable, Sendable {
  /// Sessions of views, carts and likes that end in orders of a few items; refunds; strangers.
  case shop
  /// `rating` events of users on films: a dense matrix, no sessions, no orders, no item rated twice.
  case film
  /// Orders of many items, most of them bought before.
  case grocer
}

public struct ShopConfiguration: Sendable {
  public var seed: UInt64 = 1
  public var shape = ShopShape.shop
  /// Events that fill `span`; more may be drawn, and go on at the same rate.
  public var events = 100_000
  public var users = 20_000
  public var items = 2_000
  /// Latent taste groups. A user belongs to one by three quarters and to another by the rest.
  public var groups = 12
  /// Milliseconds since 1970 of the first event.
  public var start: Int64 = ShopConfiguration.defaultEnd - 30 * 86_400_000
  /// Milliseconds from the first event to the last.
  public var span: Int64 = 30 * 86_400_000
  /// One line per item: an order of three items becomes three events with one order id, a
  /// millisecond apart.
  public var oneItemPerEvent = false
  /// Share of sessions without a user.
  public var anonymousShare = 0.1
  /// Share of orders of which one item comes back, one to ten times `refundAfter` later.
  public var refundShare = 0.03
  public var refundAfter: Int64 = 86_400_000
  /// Share of events whose time lies up to `lateBy` before their place in the log.
  public var lateShare = 0.0
  public var lateBy: Int64 = 3_600_000
  /// Share of lines that repeat one of the 64 before them, byte for byte.
  public var duplicateShare = 0.0
  /// Sessions that are open at the same time; nil: what makes a session last about ten minutes.
  public var openSessions: Int?

  /// 2026-03-01T00:00:00Z, where a simulated log ends unless told otherwise.
  public static let defaultEnd: Int64 = 1_772_323_200_000

  public init(shape: ShopShape = .shop) {
    self.shape = shape
    switch shape {
    case .shop: break
    case .film: (users, items, groups) = (6_040, 3_706, 18)
    case .grocer: (users, items, groups) = (5_000, 5_000, 10)
    }
  }
}
