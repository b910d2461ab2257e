// One size of shop, whole: what a million events cost to apply, what a model of it takes, what it holds.
//   affinity-bench scaling USERS ITEMS EVENTS [TICKS]
// One line of JSON. scripts/bench-scaling.py doubles one of the three after the other and draws it.
// Events are generated in portions beside the clock, so the log itself is never in memory.
import Engine
import Events
import Glibc
import Recommender
import Simulator
import Sparse

func benchScaling(arguments: [String]) {
  let numbers = arguments.compactMap { Int($0) }
  guard numbers.count >= 3, numbers.allSatisfy({ $0 > 0 }) else {
    print("usage: scaling USERS ITEMS EVENTS [TICKS]")
    exit(2)
  }
  let (users, items, events) = (numbers[0], numbers[1], numbers[2])
  let ticks = numbers.count > 3 ? numbers[3] : 1
  var shape = ShopConfiguration()
  shape.users = users
  shape.items = items
  shape.events = events
  var shop = Shop(shape)
  var configuration = EngineConfiguration()
  // Rules have a benchmark of their own, whose cost is the threshold's.
  configuration.rulesEnabled = false
  var engine = Engine(configuration)
  var builder = ModelBuilder(configuration)
  var outputs = Outputs()
  let batch = EventBatch()
  var lines = ByteWriter(capacity: 4 << 20)
  var number: Int64 = 0
  var made: Int { Int(number) }
  var nextTick = events / ticks
  var decoding = 0.0
  var applying = 0.0
  var model = 0.0
  var handing = 0.0
  var renewing = 0.0
  var pairs = 0
  while made < events {
    lines.removeAll()
    let portion = min(20_000, events - made, nextTick - made)
    shop.next(portion, into: &lines)
    let spent = feed(lines.bytes, by: batch, to: &engine, from: &number, into: &outputs)
    decoding += spent.decoding
    applying += spent.applying
    outputs.removeAll()
    if engine.changedRows > 16_384 {
      let start = seconds()
      builder.absorb(engine.takeChanges())
      handing += seconds() - start
    }
    if made >= nextTick, let tick = engine.streamTime {
      nextTick = min(events, nextTick + events / ticks)
      engine.flush(into: &outputs)
      let start = seconds()
      let built = builder.build(engine.seal(tick: tick), parallel: serially)
      model = seconds() - start
      pairs = built.sizes.pairs
      engine.activate(built, into: &outputs)
      let renewals = seconds()
      var renewed = 0
      while renewed < 20_000 {
        let count = engine.renew(limit: 256, into: &outputs)
        if count == 0 { break }
        renewed += count
        outputs.removeAll()
      }
      renewing = Double(renewed) / max(1e-9, seconds() - renewals)
      if made < events { engine.flush(into: &outputs) }
      outputs.removeAll()
    }
  }
  var slots = 0
  var rowBytes = 0
  for m in 0..<engine.interactions.matrices.count {
    let sizes = engine.interactions.sizes(matrix: m)
    slots += sizes.slots
    rowBytes += sizes.bytes
  }
  let dictionaries = engine.interactions.dictionaryBytes
  print(
    "{\"users\":\(users),\"items\":\(items),\"events\":\(made),\"decode_seconds\":\(decoding),"
      + "\"apply_seconds\":\(applying),\"handover_seconds\":\(handing),\"model_seconds\":\(model),"
      + "\"lists_per_second\":\(Int(renewing)),\"entries\":\(slots),\"pairs\":\(pairs),"
      + "\"live_users\":\(engine.interactions.users.liveCount),"
      + "\"sessions\":\(engine.interactions.sessionCount),\"orders\":\(engine.interactions.orderCount),"
      + "\"row_bytes\":\(rowBytes),"
      + "\"dictionary_bytes\":\(dictionaries.users + dictionaries.items + dictionaries.sessions + dictionaries.orders),"
      + "\"counts_bytes\":\(builder.bytes.counts),\"audience_bytes\":\(engine.audienceBytes),"
      + "\"peak_bytes\":\(memory("VmHWM") << 10),\"digest\":\"\(engine.digest.hex)\"}")
}
