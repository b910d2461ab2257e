// Forgetting one user of a state of ten million events: ordinary users of a simulated shop, and one with a hundred
// thousand orders. Checksum: the rows' digest at the end.
import Engine
import Events
import Recommender
import Simulator
import Sparse

func benchErase(arguments: [String]) {
  let events = arguments.first.flatMap { Int($0) } ?? 10_000_000
  var shopConfiguration = ShopConfiguration()
  shopConfiguration.events = events
  var shop = Shop(shopConfiguration)
  var engine = Engine(EngineConfiguration())
  var outputs = Outputs()
  let batch = EventBatch()
  var lines = ByteWriter(capacity: 4 << 20)
  var offset: Int64 = 0
  func apply() {
    feed(lines.bytes, by: batch, to: &engine, from: &offset, into: &outputs)
    lines.removeAll()
    _ = engine.takeChanges()
  }
  for n in 0..<events {
    shop.next(1, into: &lines)
    if n % 16_384 == 16_383 { apply() }
  }
  apply()
  // The heaviest that can be: rows are bounded, sessions and orders by the window alone.
  var random = SplitMix(seed: 1)
  var heavy = Event(type: .purchase, time: engine.streamTime ?? 0, user: "heavy")
  for n in 0..<100_000 {
    heavy.session = "s\(n)"
    heavy.order = "o\(n)"
    heavy.items = (0..<3).map { _ in Event.Item(id: "sku-\(random.below(5000))") }
    heavy.append(to: &lines)
    lines.append("\n")
    if n % 4096 == 4095 { apply() }
  }
  apply()
  var slots = 0
  for m in engine.interactions.matrices.indices { slots += engine.interactions.sizes(matrix: m).slots }
  print(
    "erase: \(offset) events, \(slots) entries, \(engine.interactions.users.liveCount) users, \(engine.interactions.sessionCount) sessions, \(engine.interactions.orderCount) orders, \(engine.listenerCount) listeners"
  )

  func erase(_ user: String) -> Double {
    let bytes = Array(user.utf8)
    let start = seconds()
    bytes.withUnsafeBytes {
      engine.erase(user: $0, at: LogPosition(partition: 0, offset: offset), into: &outputs)
    }
    let took = seconds() - start
    offset += 1
    outputs.removeAll()
    return took
  }
  let heaviest = erase("heavy")
  var names: [String] = []
  for id in 0..<UInt32(engine.interactions.users.idLimit)
  where names.count < 20_000 && engine.interactions.users.isLive(id) {
    names.append(engine.interactions.users.string(id))
  }
  let times = names.map(erase).sorted()
  func micros(_ value: Double) -> Int { Int(value * 1e6) }
  print(
    "erase: \(times.count) users, median \(micros(times[times.count / 2])) µs, p99 \(micros(times[times.count * 99 / 100])) µs, most \(micros(times[times.count - 1])) µs; a user of 100,000 sessions and orders \(micros(heaviest)) µs; digest \(engine.digest.hex)"
  )
}
