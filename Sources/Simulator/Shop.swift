// A seeded shop. A fixed number of sessions is open at any time; each draw picks one of them, lets
// it do its next thing (look, put into the cart, like, buy, leave) and writes that as one event.
// Structure that a recommender must find is planted: taste groups prefer some categories and one
// style in each; sessions stay in a category; complements and bundles go into the same order;
// a few items are hot for one week. Popularity within a cell is long-tailed.
//
// Times never decrease from line to line, but for lines made late on purpose. Nothing here reads a
// clock: `next(into:)` spreads the configured number of events over the span, `next(at:into:)` is
// told the time.
import Sparse

public struct Shop: ~Copyable {
  /// Where one event stands in the writer.
  public struct Line: Sendable {
    /// The event's bytes, without a line feed.
    public var bytes: Range<Int>
    /// The Kafka key within the writer: the user, or the session of a stranger.
    public var key: Range<Int>
    /// The event's time, milliseconds since 1970.
    public var time: Int64
  }

  public let configuration: ShopConfiguration
  public let catalogue: ShopCatalogue

  struct Session: BitwiseCopyable {
    var user: Int32  // -1 = stranger
    var number: UInt32
    var last: Int32  // item looked at last, -1 = none
    var category: Int16
    var style: Int16
    var steps: UInt8  // left to do
    var cart: UInt8  // items in it
    var group: UInt8
  }
  struct OrderLine: BitwiseCopyable {
    var item: Int32
    var quantity: Int32
  }
  struct Refund: BitwiseCopyable {
    var due: Int64
    var ordered: Int64
    var order: UInt32
    var user: Int32
    var item: Int32
  }
  static let cartLimit = 8

  var random: SplitMix
  var clock: Int64
  var drawn = 0
  var eventNumber = 0
  var sessionNumber: UInt32 = 0
  var orderNumber: UInt32 = 0

  var sessions: Vec<Session>
  var carts: Vec<Int32>
  /// The slot that goes on, where sessions come one after another; else -1.
  var onlySlot: Int

  /// The order being written; with one item per event, `orderAt` is its next line.
  var order: Vec<OrderLine>
  var orderAt = 0
  var orderUser: Int32 = -1
  var orderSession: UInt32 = 0
  var orderTime: Int64 = 0
  /// A binary heap, the earliest due first.
  var refunds: Vec<Refund>

  /// By group: four preferred categories; by group and category: the preferred style.
  var groupCategories: Vec<Int16>
  var groupStyles: Vec<Int16>
  /// By user of the film shape: bits of the films that are rated already.
  var rated: Vec<UInt64>

  var week = Int64.min
  var hot: Vec<Int32>
  static let hotCount = 8

  var dateText: DateText
  /// The last 64 lines, for duplicates.
  var recent: [[UInt8]] = []
  var recentKeys: [(Range<Int>, Int64)] = []
  var recentAt = 0

  public init(_ configuration: ShopConfiguration) {
    self.configuration = configuration
    catalogue = ShopCatalogue(configuration)
    random = SplitMix(seed: configuration.seed)
    clock = configuration.start
    let perMinute = Double(configuration.events) / Double(max(1, configuration.span)) * 60_000
    // A session of about six events that lasts ten minutes.
    let open = configuration.openSessions ?? Int(min(4096, max(1, perMinute * 10 / 6)))
    sessions = Vec(capacity: open)
    carts = Vec(repeating: -1, count: open * Shop.cartLimit)
    onlySlot = open == 1 ? 0 : -1
    order = Vec(capacity: 32)
    refunds = Vec()
    hot = Vec(repeating: 0, count: Shop.hotCount)
    dateText = DateText()

    let groups = max(1, min(255, configuration.groups))
    let categories = catalogue.categoryCount
    groupCategories = Vec(capacity: groups * 4)
    groupStyles = Vec(capacity: groups * categories)
    var tastes = SplitMix(seed: configuration.seed ^ 0x7461_7374_6573)
    for group in 0..<groups {
      var order = Array(0..<categories)
      for i in stride(from: categories - 1, to: 0, by: -1) { order.swapAt(i, tastes.below(i + 1)) }
      // The first preference goes round, so that no category is nobody's.
      if let at = order.firstIndex(of: group % categories) { order.swapAt(0, at) }
      for k in 0..<4 { groupCategories.append(Int16(order[k % categories])) }
      for _ in 0..<categories { groupStyles.append(Int16(tastes.below(catalogue.styleCount))) }
    }
    let cells = configuration.users.multipliedReportingOverflow(by: catalogue.count)
    let words =
      configuration.shape == .film && !cells.overflow && cells.partialValue <= 1 << 31
      ? (cells.partialValue + 63) / 64 : 0
    rated = Vec(repeating: 0, count: words)
    for slot in 0..<open {
      sessions.append(
        Session(
          user: -1, number: 0, last: -1, category: 0, style: 0, steps: 0, cart: 0, group: 0))
      startSession(slot)
    }
  }

  /// The next event, at the configured rate.
  public mutating func next(into writer: inout ByteWriter) -> Line {
    let c = configuration
    let planned =
      c.start &+ Int64(Double(c.span) * (Double(drawn) / Double(max(1, c.events))))
    if onlySlot >= 0 && c.shape == .shop && sessions[0].number != 0 && isGoingOn(0) {
      // Sessions one after another: short pauses inside, the rest of the time between them.
      clock = clock &+ 2_000 &+ Int64(random.below(60_000))
    } else {
      clock = max(clock, planned)
    }
    drawn &+= 1
    return next(at: clock, into: &writer)
  }

  /// The next event, happening at `time`; times must not decrease.
  public mutating func next(at time: Int64, into writer: inout ByteWriter) -> Line {
    let c = configuration
    if c.duplicateShare > 0 {
      if !recent.isEmpty && random.unit() < c.duplicateShare { return again(into: &writer) }
      let line = fresh(at: time, into: &writer)
      remember(line, writer)
      return line
    }
    return fresh(at: time, into: &writer)
  }

  /// The items that are hot in the week of `time` (weeks since 1970).
  public mutating func trending(at time: Int64) -> [Int] {
    turnWeek(time)
    return (0..<Shop.hotCount).map { Int(hot[$0]) }
  }

  /// The taste group of a user: three quarters of what they do.
  public func group(ofUser user: Int) -> Int { Int(tastes(user).0) }

  // MARK: - What happens next

  private mutating func fresh(at now: Int64, into writer: inout ByteWriter) -> Line {
    if orderAt < order.count {
      // Each line of an order a millisecond after the one before: money is kept by (order, time, line).
      orderTime &+= 1
      clock = max(clock, orderTime)
      let line = writePurchase(orderAt..<(orderAt &+ 1), into: &writer)
      orderAt &+= 1
      return line
    }
    var time = now
    if configuration.lateShare > 0 && random.unit() < configuration.lateShare {
      time = time &- Int64(random.below(Int(max(1, configuration.lateBy))))
    }
    if refunds.count > 0 && refunds[0].due <= now { return writeRefund(at: time, into: &writer) }
    turnWeek(now)
    switch configuration.shape {
    case .shop: return goOn(slot: onlySlot >= 0 ? 0 : random.below(sessions.count), time, &writer)
    case .film: return rate(at: time, &writer)
    case .grocer:
      shopForGroceries(at: time)
      return writeOrder(into: &writer)
    }
  }

  private func isGoingOn(_ slot: Int) -> Bool {
    sessions[slot].steps > 0 || sessions[slot].cart > 0
  }

  /// One step of a session. Steps that come to nothing (a cart with nothing to add) look instead.
  private mutating func goOn(slot: Int, _ time: Int64, _ writer: inout ByteWriter) -> Line {
    var s = sessions[slot]
    if s.steps == 0 {
      if s.cart > 0 {
        checkOut(s, slot, at: time)
        startSession(slot)
        return writeOrder(into: &writer)
      }
      startSession(slot)
      s = sessions[slot]
    }
    s.steps &-= 1
    // Whoever leaves without buying leaves the cart, too.
    defer { if s.steps == 0 && s.cart > 0 && random.unit() >= 0.6 { sessions[slot].cart = 0 } }
    let bits = random.next()
    let act = Int(((bits >> 32) &* 1000) >> 32)
    let base = slot &* Shop.cartLimit
    if s.last >= 0 {
      if act < 220 && Int(s.cart) < Shop.cartLimit && !isInCart(base, s.cart, s.last) {
        carts[base &+ Int(s.cart)] = s.last
        s.cart &+= 1
        sessions[slot] = s
        return write("cart", s, item: s.last, at: time, into: &writer)
      }
      if act < 255 {
        sessions[slot] = s
        return write("like", s, item: s.last, at: time, into: &writer)
      }
      if act < 265 && s.cart > 0 {
        s.cart &-= 1
        sessions[slot] = s
        return write("uncart", s, item: carts[base &+ Int(s.cart)], at: time, into: &writer)
      }
      if act < 275 {
        sessions[slot] = s
        return writeImpression(s, at: time, into: &writer)
      }
    }
    // Half of those who look at the first part of a pair look at the other one next.
    let wanted = s.last >= 0 ? catalogue.complement[Int(s.last)] : -1
    let item =
      wanted >= 0 && bits & 1 == 0
      ? wanted : drawItem(category: Int(s.category), style: Int(s.style))
    s.last = item
    sessions[slot] = s
    if act >= 985 { return write("click", s, item: item, at: time, into: &writer) }
    return write("view", s, item: item, at: time, into: &writer)
  }

  private func isInCart(_ base: Int, _ count: UInt8, _ item: Int32) -> Bool {
    for i in 0..<Int(count) where carts[base &+ i] == item { return true }
    return false
  }

  /// A new session in the slot: who comes, and what for.
  private mutating func startSession(_ slot: Int) {
    sessionNumber &+= 1
    var user: Int32 = -1
    let who: Int
    if random.unit() < configuration.anonymousShare {
      who = random.below(max(1, configuration.users))
    } else {
      who = drawUser()
      user = Int32(who)
    }
    let (group, category, style) = drawInterest(of: who)
    let steps = Shop.sessionLengths[Int(random.next() >> 60)]
    sessions[slot] = Session(
      user: user, number: sessionNumber, last: -1, category: category, style: style,
      steps: steps, cart: 0, group: group)
  }

  static let sessionLengths: [UInt8] = [2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 11, 13, 17, 24]

  /// Some users come often: the square of a uniform draw.
  private mutating func drawUser() -> Int {
    let u = random.unit()
    return min(configuration.users - 1, Int(u * u * Double(configuration.users)))
  }

  private func tastes(_ user: Int) -> (UInt64, UInt64) {
    var mix = SplitMix(seed: configuration.seed ^ UInt64(truncatingIfNeeded: user) &* 0x9e37_79b9)
    let bits = mix.next()
    let groups = UInt64(max(1, min(255, configuration.groups)))
    return (((bits >> 32) &* groups) >> 32, ((bits & 0xffff_ffff) &* groups) >> 32)
  }

  private mutating func drawInterest(of user: Int) -> (group: UInt8, category: Int16, style: Int16)
  {
    let bits = random.next()
    let (first, second) = tastes(user)
    let group = Int(bits & 3 == 0 ? second : first)
    let which = Int((bits >> 8) & 15)
    let category: Int
    if which >= 14 {
      category = Int(((bits >> 32) &* UInt64(catalogue.categoryCount)) >> 32)
    } else {
      // Four preferred categories, by 6, 4, 2 and 2 of 14.
      category = Int(
        groupCategories[group &* 4 &+ (which < 6 ? 0 : which < 10 ? 1 : which < 12 ? 2 : 3)])
    }
    let style =
      (bits >> 16) & 7 < 6
      ? groupStyles[group &* catalogue.categoryCount &+ category]
      : Int16((bits >> 20) % UInt64(catalogue.styleCount))
    return (UInt8(group), Int16(category), style)
  }

  /// Mostly from the cell at hand, sometimes its category, sometimes what is hot this week.
  private mutating func drawItem(category: Int, style: Int) -> Int32 {
    let bits = random.next()
    let which = bits & 31
    if which == 0 { return hot[Int((bits >> 8) & 7)] }
    let cells = category &* catalogue.styleCount
    if which < 6 {
      let other = Int((bits >> 8) & 0xff) % catalogue.styleCount
      return catalogue.draw(cell: cells &+ other, random.next())
    }
    return catalogue.draw(cell: cells &+ style, random.next())
  }

  /// The cart becomes an order; complements and bundles join it.
  private mutating func checkOut(_ s: Session, _ slot: Int, at time: Int64) {
    order.removeAll()
    for i in 0..<Int(s.cart) { put(carts[slot &* Shop.cartLimit &+ i]) }
    addComplements()
    finishOrder(user: s.user, session: s.number, at: time)
  }

  private mutating func addComplements() {
    let count = order.count
    for i in 0..<count {
      let other = catalogue.complement[Int(order[i].item)]
      if other >= 0 && random.unit() < ShopCatalogue.complementOdds { put(other) }
    }
    // One order in twenty is a bundle, or the beginning of one.
    if catalogue.bundles.count > 0 && random.below(20) == 0 {
      let bundle = catalogue.bundles[random.below(catalogue.bundles.count)]
      let part = random.below(4)
      if part != 0 { put(Int32(bundle.first)) }
      if part != 1 { put(Int32(bundle.second)) }
      if part > 1 && random.unit() < 0.8 { put(Int32(bundle.consequent)) }
    }
  }

  private mutating func put(_ item: Int32) {
    for i in 0..<order.count where order[i].item == item { return }
    let quantity = random.next() >> 61
    order.append(OrderLine(item: item, quantity: quantity == 0 ? 2 : quantity == 1 ? 3 : 1))
  }

  private mutating func finishOrder(user: Int32, session: UInt32, at time: Int64) {
    orderNumber &+= 1
    orderUser = user
    orderSession = session
    orderTime = time
    orderAt = 0
    if user >= 0 && random.unit() < configuration.refundShare {
      let least = Int(max(1, configuration.refundAfter))
      let wait = least &+ random.below(9 &* least)
      let line = random.below(order.count)
      push(
        Refund(
          due: time &+ Int64(wait),
          ordered: configuration.oneItemPerEvent ? time &+ Int64(line) : time,
          order: orderNumber, user: user, item: order[line].item))
    }
  }

  /// An order of 3 to 18 items: two thirds the user's staples, the rest new.
  private mutating func shopForGroceries(at time: Int64) {
    let user = drawUser()
    order.removeAll()
    let size = 3 + random.below(8) + random.below(8)
    for _ in 0..<size {
      if random.below(3) < 2 {
        // Staple k of the user is fixed by a hash; low k are bought more often.
        let k = min(random.below(40), random.below(40))
        var fixed = SplitMix(
          seed: configuration.seed ^ UInt64(truncatingIfNeeded: user &* 64 &+ k) &* 0xd134_2543)
        let (first, second) = tastes(user)
        let bits = fixed.next()
        let group = Int(bits & 3 == 0 ? second : first)
        let category = Int((bits >> 8) % UInt64(catalogue.categoryCount))
        let style = Int(groupStyles[group &* catalogue.categoryCount &+ category])
        put(catalogue.draw(cell: category &* catalogue.styleCount &+ style, fixed.next()))
      } else {
        let (_, category, style) = drawInterest(of: user)
        put(drawItem(category: Int(category), style: Int(style)))
      }
    }
    addComplements()
    finishOrder(user: Int32(user), session: 0, at: time)
  }

  /// A film the user has not rated: liked (4 and up) where it is to their group's taste.
  private mutating func rate(at time: Int64, _ writer: inout ByteWriter) -> Line {
    var user = 0
    var item: Int32 = 0
    var fits = false
    for _ in 0..<32 {
      user = drawUser()
      let (group, category, style) = drawInterest(of: user)
      item = drawItem(category: Int(category), style: Int(style))
      fits = groupStyles[Int(group) &* catalogue.categoryCount &+ Int(category)] == style
      if rated.count == 0 { break }
      let bit = user &* catalogue.count &+ Int(item)
      let word = rated[bit >> 6]
      if word >> UInt64(bit & 63) & 1 == 0 {
        rated[bit >> 6] = word | (1 << UInt64(bit & 63))
        break
      }
    }
    let bits = random.next()
    let value = 1 + Int(bits & 1) + Int((bits >> 1) & 1) + (fits ? 2 : Int((bits >> 2) & 1))
    return writeRating(user: Int32(user), item: item, value: value, at: time, into: &writer)
  }

  private mutating func turnWeek(_ time: Int64) {
    let now = time / (7 * 86_400_000)
    if now == week { return }
    week = now
    var mix = SplitMix(seed: configuration.seed ^ UInt64(bitPattern: now) &* 0xa076_1d64)
    for i in 0..<Shop.hotCount { hot[i] = Int32(mix.below(catalogue.count)) }
  }
}
