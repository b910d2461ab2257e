// Events per second through decode and Engine.apply on one thread, with a model per million events on another
// as the daemon has it; rows, displacement, refunds and the digest on. Checksum: the rows' digest.
import Dispatch
import Engine
import Events
import Recommender
import Simulator
import Sparse

func benchApply(arguments: [String]) {
  if arguments.first == "--pairs" {
    benchPairUpdates(arguments: Array(arguments.dropFirst()))
    return
  }
  let events = arguments.first.flatMap { Int($0) } ?? 2_000_000
  var shopConfiguration = ShopConfiguration()
  shopConfiguration.events = events
  var shop = Shop(shopConfiguration)
  var lines = ByteWriter(capacity: events * 140)
  shop.next(events, into: &lines)
  var configuration = EngineConfiguration()
  configuration.recommendEnabled = false
  var engine = Engine(configuration)
  let builder = BuilderBox(configuration)
  let queue = DispatchQueue(label: "bench.model")
  var outputs = Outputs()
  let batch = EventBatch()
  var offset = 0
  var number: Int64 = 0
  // Processor time of this thread: beside a busy neighbour it tells more than the clock.
  var (decodeSeconds, applySeconds) = (0.0, 0.0)
  var nextTick: Int64 = 1_000_000
  let start = seconds()
  while offset < lines.count {
    let before = threadSeconds()
    batch.reset()
    offset += batch.decodeLines(
      UnsafeRawBufferPointer(rebasing: lines.bytes[offset...]), budget: 1 << 20, isLast: true)
    let decoded = threadSeconds()
    decodeSeconds += decoded - before
    apply(batch, to: &engine, from: &number, into: &outputs)
    if engine.changedRows > 16_384 {
      let changes = engine.takeChanges()
      queue.async { builder.absorb(changes) }
    }
    if number >= nextTick, let tick = engine.streamTime {
      nextTick += 1_000_000
      let seal = engine.seal(tick: tick)
      queue.async { builder.build(seal) }
    }
    applySeconds += threadSeconds() - decoded
  }
  let applied = seconds() - start
  queue.sync {}
  let total = seconds() - start
  printSizes(engine)
  print(
    "apply \(number) events: \(Int(Double(number) / applied)) events/s to state (by processor time decode \(Int(Double(number) / decodeSeconds))/s, apply \(Int(Double(number) / applySeconds))/s), \(Int(Double(number) / total)) with the last model, \(builder.models) models, slowest tick \(Int(builder.slowest * 1000)) ms of \(builder.pairs) pairs, digest \(engine.digest.hex)"
  )
}

/// Bytes per live row entry, and of the dictionaries.
func printSizes(_ engine: borrowing Engine) {
  let interactions = engine.interactionSizes
  var entries = 0
  var bytes = 0
  for (m, matrix) in interactions.matrices.enumerated() {
    let name = "\(matrix.0.context.name)/\(matrix.0.behaviour.name)"
    let sizes = matrix.1
    print(
      "  matrix \(m) \(name): \(sizes.activeRows) rows, \(sizes.slots) entries, \(sizes.bytes) bytes, \(Double(sizes.bytes * 10 / max(1, sizes.slots)) / 10) per entry")
    entries += sizes.slots
    bytes += sizes.bytes
  }
  let d = interactions.dictionaries
  print(
    "  rows: \(entries) entries, \(Double(bytes * 10 / max(1, entries)) / 10) bytes each; dictionaries: users \(d.users), items \(d.items), sessions \(d.sessions), orders \(d.orders) bytes")
}

final class BuilderBox: @unchecked Sendable {
  private var builder: ModelBuilder
  private(set) var models = 0
  private(set) var slowest = 0.0
  private(set) var pairs = 0

  init(_ configuration: EngineConfiguration) { builder = ModelBuilder(configuration) }
  func absorb(_ batch: ChangeBatch) { builder.absorb(batch) }
  func build(_ seal: Seal) {
    let start = seconds()
    let built = builder.build(seal, parallel: serially)
    slowest = max(slowest, seconds() - start)
    pairs = built.sizes.pairs
    models += 1
  }
}
