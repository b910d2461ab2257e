// A long life in short: simulated events through `Engine.apply` with windows a tenth of the log, so that
// everything that comes also goes, and a model per million events. What is held must not grow once the first
// windows are full. Arguments: events, users, items.
import Dispatch
import Engine
import Events
import Glibc
import Recommender
import Simulator
import Sparse

func benchSoak(arguments: [String]) {
  let numbers = arguments.compactMap { Int($0) }
  let events = numbers.first ?? 100_000_000
  var shopConfiguration = ShopConfiguration()
  shopConfiguration.events = events
  shopConfiguration.users = numbers.count > 1 ? numbers[1] : 200_000
  shopConfiguration.items = numbers.count > 2 ? numbers[2] : 2_000
  shopConfiguration.span = Int64(300 * 86_400_000)
  shopConfiguration.start = ShopConfiguration.defaultEnd - shopConfiguration.span
  var shop = Shop(shopConfiguration)

  var configuration = EngineConfiguration()
  let window = shopConfiguration.span / 10
  for i in configuration.relations.indices { configuration.relations[i].window = window }
  configuration.rules.window = window
  configuration.rules.interval = window
  configuration.popularity.window = window
  configuration.recommend.cartWindow = min(configuration.recommend.cartWindow, window)
  var engine = Engine(configuration)
  // Listeners come and go, but no list is made: that is another benchmark.
  engine.isSilent = true
  let builder = SoakBuilder(configuration)
  let queue = DispatchQueue(label: "bench.model")
  var outputs = Outputs()
  let batch = EventBatch()
  var lines = ByteWriter(capacity: 1 << 21)
  var number: Int64 = 0
  let tickEvery = min(1_000_000, max(1, events / 100))
  let printEvery = tickEvery * 5
  var nextTick = tickEvery
  var nextPrint = printEvery
  let start = seconds()
  while number < events {
    lines.removeAll()
    while lines.count < 1 << 20 { shop.next(1, into: &lines) }
    feed(lines.bytes, by: batch, to: &engine, from: &number, into: &outputs)
    if engine.changedRows > 16_384 {
      let changes = engine.takeChanges()
      queue.async { builder.absorb(changes) }
    }
    if number >= nextTick, let tick = engine.streamTime {
      nextTick += tickEvery
      queue.sync {}
      if let built = builder.take() {
        engine.activate(built, into: &outputs)
        while engine.renew(limit: 10_000, into: &outputs) > 0 { outputs.removeAll() }
      }
      outputs.removeAll()
      let seal = engine.seal(tick: tick)
      queue.async { builder.build(seal) }
    }
    if number >= nextPrint {
      nextPrint += printEvery
      let sizes = engine.interactionSizes
      let entries = sizes.matrices.reduce(0) { $0 + $1.1.slots }
      let rows = sizes.matrices.reduce(0) { $0 + $1.1.bytes }
      let d = sizes.dictionaries
      print(
        "\(number / 1000) k events, \(Int(seconds() - start)) s: resident \(memory("VmRSS") >> 10) MB; \(entries) entries in \(rows >> 20) MB, dictionaries \((d.users + d.items + d.sessions + d.orders) >> 20) MB, listeners \(engine.audienceBytes >> 20) MB, \(builder.pairs) pairs, counts \(builder.bytes >> 20) MB")
      fflush(nil)
    }
  }
  queue.sync {}
  print("soak: \(number) events in \(Int(seconds() - start)) s, digest \(engine.digest.hex)")
  printSizes(engine)
}

private final class SoakBuilder: @unchecked Sendable {
  private var builder: ModelBuilder
  private var built: BuiltModel?
  private(set) var pairs = 0
  private(set) var bytes = 0

  init(_ configuration: EngineConfiguration) { builder = ModelBuilder(configuration) }
  func absorb(_ batch: ChangeBatch) { builder.absorb(batch) }
  func build(_ seal: Seal) {
    let made = builder.build(seal, parallel: serially)
    pairs = made.sizes.pairs
    bytes = builder.bytes.counts + builder.bytes.items
    built = made
  }
  func take() -> BuiltModel? {
    defer { built = nil }
    return built
  }
}
