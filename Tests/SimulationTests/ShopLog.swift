// A small shop's log, by a seed: a few customers and items, so that everybody's lists are full and change;
// late, repeated and refunded events, anonymous sessions, and now and then a record that is no event.
// Every record lies in the partition of its customer, so lists do not depend on how partitions interleave.
import Engine
import Events
import Recommender
import Sparse

struct ShopLog {
  struct Record {
    var partition: Int32
    var key: [UInt8]
    var value: [UInt8]
    var timestamp: Int64
    var isEvent = true
  }
  /// What no line of a log may hold.
  static let userPrefix = "customer-"

  private var random: SplitMix
  private var now: Int64 = 1_772_000_000_000
  private var past: [(event: Event, partition: Int32)] = []
  var partitions: Int
  private let users: Int
  private let items: Int
  private let step: Int64
  private let malformed: Bool

  init(seed: UInt64, partitions: Int, malformed: Bool) {
    random = SplitMix(seed: seed)
    self.partitions = partitions
    self.malformed = malformed
    users = 2 + random.below(9)
    items = 4 + random.below(10)
    step = [1_000, 600_000, 7_200_000][random.below(3)]
  }

  /// A configuration whose bounds bind.
  mutating func configuration() -> EngineConfiguration {
    var c = EngineConfiguration()
    for i in c.relations.indices {
      c.relations[i].history = 2 + random.below(8)
      c.relations[i].minBoth = 1 + random.below(2)
      c.relations[i].window = random.below(2) == 0 ? nil : step * Int64(20 + random.below(100))
    }
    c.neighbours = 1 + random.below(5)
    c.rules.minSupport = .init(numerator: UInt64(1 + random.below(3)), denominator: 1)
    c.rules.maxQ = 1
    c.rules.interval = random.below(2) == 0 ? 0 : step * Int64(random.below(60))
    c.rules.window = random.below(2) == 0 ? nil : step * Int64(20 + random.below(100))
    c.popularity.window = random.below(2) == 0 ? nil : step * Int64(20 + random.below(100))
    c.popularity.halfLife = step * 30
    c.popularity.trendHalfLife = step * 10
    c.popularity.trendMinimum = 1
    c.popularity.top = 5
    c.recommend.top = 1 + random.below(4)
    c.recommend.linger = 0
    c.recommend.refresh = step * Int64(random.below(60))
    c.recommend.cartWindow = step * Int64(1 + random.below(40))
    c.threads = 1
    return c
  }

  mutating func records(_ count: Int) -> [Record] { (0..<count).map { record($0) } }

  private mutating func record(_ index: Int) -> Record {
    now += Int64(random.below(4)) * step
    if malformed && random.below(40) == 0 {
      return Record(
        partition: Int32(random.below(partitions)), key: [],
        value: Array("{\"type\":\"view\",\"number\":\(index)".utf8), timestamp: now, isEvent: false)
    }
    var (event, partition) = fresh(index)
    if !past.isEmpty && random.below(10) == 0 { (event, partition) = past[random.below(past.count)] }
    past.append((event, partition))
    var writer = ByteWriter(capacity: 256)
    event.append(to: &writer)
    return Record(
      partition: partition, key: Array(event.user.utf8), value: Array(writer.bytes),
      timestamp: max(now, event.time))
  }

  private mutating func fresh(_ index: Int) -> (Event, Int32) {
    let types: [EventType] = [
      .view, .view, .view, .cart, .uncart, .purchase, .purchase, .refund, .like, .rating, .click,
    ]
    var event = Event(type: types[random.below(types.count)], time: now)
    if random.below(4) == 0 { event.time -= Int64(random.below(25)) * step }
    let who = random.below(users)
    if random.below(6) == 0 {
      event.session = "visit-\(who)"
    } else {
      event.user = "\(ShopLog.userPrefix)\(who)"
      if random.below(2) == 0 { event.session = "s-\(who)-\(random.below(3))" }
      if event.type == .purchase || event.type == .refund, random.below(2) == 0 {
        event.order = "o-\(who)-\(random.below(3))"
      }
    }
    let count = event.type == .purchase ? 1 + random.below(4) : 1
    event.items = (0..<count).map { _ in Event.Item(id: "item-\(random.below(items))") }
    if event.type == .rating { event.value = Double(random.below(6)) }
    if event.type == .refund { event.ordered = event.time - Int64(random.below(5)) * step }
    if event.type == .purchase && random.below(4) == 0 { event.id = "e-\(index)" }
    return (event, Int32(who % partitions))
  }
}
