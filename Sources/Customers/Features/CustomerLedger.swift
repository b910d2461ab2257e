// What is known of every customer, kept current with each event: facts under natural keys (Fact.swift), from which the features as
// of any time follow. State is a function of the set of events and the last horizon: repeats add nothing, late events find their
// place, refunds are facts of their own, and an erased customer leaves nothing.
//
// Bounds: facts at or before the horizon leave; a customer keeps the latest `maxFacts` by key (time first), which again is a function
// of the set.
import Sparse

public struct LedgerConfiguration: Hashable, Sendable {
  /// Milliseconds; older facts leave. Nil: none do.
  public var window: Int64?
  /// Facts kept of a customer, the latest.
  public var maxFacts = 8192
  public init(window: Int64? = nil) { self.window = window }
}

public struct CustomerLedger: ~Copyable {
  public let configuration: LedgerConfiguration
  var customers = Interner()
  var items = Interner()
  var arena = FactArena()
  var blocks = Vec<FactArena.Block>()
  /// The latest event with consent withheld; `.min`: none.
  var withheld = Vec<Int64>()
  public private(set) var horizon = Int64.min
  public private(set) var factCount = 0

  public static let day: Int64 = 86_400_000
  /// Hundredths; a line counts no more, so that no sum overflows.
  public static let largestAmount: Int64 = 1 << 40

  public init(_ configuration: LedgerConfiguration = LedgerConfiguration()) { self.configuration = configuration }

  /// Hundredths of price × quantity, halves away from zero, within `largestAmount`.
  public static func amount(price: Double, quantity: Int64) -> Int64 {
    let value = rounded(price * Double(quantity) * 100)
    return value >= Double(largestAmount) ? largestAmount : value > 0 ? Int64(value) : 0
  }

  public var customerCount: Int { customers.liveCount }
  public var bytes: Int { arena.bytes + blocks.bytes + withheld.bytes + customers.bytes + items.bytes }
  public func key(_ customer: UInt32) -> String { customers.string(customer) }
  public func customer(_ key: UnsafeRawBufferPointer) -> UInt32? { customers.find(key) }
  /// The item's dense id, as `snapshot`'s `categories` are indexed.
  public mutating func item(_ key: UnsafeRawBufferPointer) -> UInt32 { items.intern(key).id }

  // MARK: events

  /// A line of an order. `order` identifies it among the customer's orders.
  public mutating func purchase(
    _ user: UnsafeRawBufferPointer, order: Fingerprint, time: Int64, line: Int, item: UnsafeRawBufferPointer,
    amount: Int64
  ) {
    let id = items.intern(item).id
    insert(Fact(.purchase, time: time, order: order.low, line: line, item: id, amount: max(0, amount)), user)
  }

  /// - Parameters:
  ///   - time: the refund's own.
  ///   - amount: hundredths; nil: the order's latest line of that item.
  public mutating func refund(
    _ user: UnsafeRawBufferPointer, order: Fingerprint, time: Int64, line: Int, item: UnsafeRawBufferPointer,
    amount: Int64?
  ) {
    let id = items.intern(item).id
    insert(Fact(.refund, time: time, order: order.low, line: line, item: id, amount: amount.map { max(0, $0) } ?? -1), user)
  }

  public mutating func view(_ user: UnsafeRawBufferPointer, time: Int64, item: UnsafeRawBufferPointer) {
    daily(.view, user, time, item)
  }

  public mutating func cart(_ user: UnsafeRawBufferPointer, time: Int64, item: UnsafeRawBufferPointer) {
    daily(.cart, user, time, item)
  }

  private mutating func daily(
    _ kind: FactKind, _ user: UnsafeRawBufferPointer, _ time: Int64, _ item: UnsafeRawBufferPointer
  ) {
    let id = items.intern(item).id
    insert(Fact(kind, time: CustomerLedger.startOfDay(time), order: items.fingerprint(id).low, item: id), user)
  }

  /// Consent was withheld: the customer is neither scored nor trained on while that event is in the window.
  public mutating func withhold(_ user: UnsafeRawBufferPointer, time: Int64) {
    if time <= horizon { return }
    let customer = open(user)
    withheld[Int(customer)] = max(withheld[Int(customer)], time)
  }

  /// Forgets the customer; a later event starts a new one.
  public mutating func erase(_ user: UnsafeRawBufferPointer) {
    if let customer = customers.find(user) { close(customer) }
  }

  /// Facts at or before `tick` less the window leave, and customers without any.
  public mutating func expire(tick: Int64) {
    guard let window = configuration.window else { return }
    let (limit, overflow) = tick.subtractingReportingOverflow(window)
    if overflow || limit <= horizon { return }
    horizon = limit
    for id in 0..<UInt32(blocks.count) where customers.isLive(id) {
      let block = blocks[Int(id)]
      let facts = arena.at(block)
      var gone = 0
      while gone < Int(block.count) && facts[gone].time <= limit { gone += 1 }
      if gone > 0 {
        facts.update(from: facts + gone, count: Int(block.count) - gone)
        blocks.base[Int(id)].count -= UInt32(gone)
        factCount -= gone
      }
      if withheld[Int(id)] <= limit { withheld[Int(id)] = .min }
      if blocks[Int(id)].count == 0 && withheld[Int(id)] == .min { close(id) }
    }
  }

  static func startOfDay(_ time: Int64) -> Int64 {
    let rest = time % day
    return time - (rest < 0 ? rest + day : rest)
  }

  // MARK: inside

  private mutating func open(_ user: UnsafeRawBufferPointer) -> UInt32 {
    let (id, _) = customers.intern(user)
    blocks.extend(to: Int(id) + 1, with: FactArena.Block())
    withheld.extend(to: Int(id) + 1, with: .min)
    return id
  }

  private mutating func close(_ id: UInt32) {
    factCount -= Int(blocks[Int(id)].count)
    arena.release(blocks[Int(id)])
    blocks[Int(id)] = FactArena.Block()
    withheld[Int(id)] = .min
    customers.remove(id)
  }

  private mutating func insert(_ fact: Fact, _ user: UnsafeRawBufferPointer) {
    if user.isEmpty || fact.time <= horizon { return }
    let id = Int(open(user))
    let block = blocks[id]
    let facts = arena.at(block)
    var (low, high) = (0, Int(block.count))
    // Most events are the latest.
    if high > 0 && facts[high - 1].precedes(fact) { low = high }
    while low < high {
      let middle = (low + high) / 2
      if facts[middle].precedes(fact) { low = middle + 1 } else { high = middle }
    }
    if low < Int(block.count) && facts[low].hasKey(of: fact) {
      if replaces(fact, facts[low]) { facts[low] = fact }
      return
    }
    if Int(block.count) >= configuration.maxFacts {
      // The earliest goes, which may be this one.
      if low == 0 { return }
      facts.update(from: facts + 1, count: low - 1)
      facts[low - 1] = fact
      return
    }
    arena.grow(&blocks.base[id])
    let grown = arena.at(blocks[id])
    (grown + low + 1).update(from: grown + low, count: Int(block.count) - low)
    grown[low] = fact
    blocks.base[id].count += 1
    factCount += 1
  }

  private func replaces(_ new: Fact, _ old: Fact) -> Bool {
    if new.amount != old.amount { return new.amount > old.amount }
    let (a, b) = (items.fingerprint(new.item), items.fingerprint(old.item))
    return a.high != b.high ? a.high > b.high : a.low > b.low
  }

  func facts(_ customer: UInt32) -> UnsafeBufferPointer<Fact> {
    let block = blocks[Int(customer)]
    return UnsafeBufferPointer(start: arena.at(block), count: Int(block.count))
  }
}

extension CustomerLedger: @unchecked Sendable {}
