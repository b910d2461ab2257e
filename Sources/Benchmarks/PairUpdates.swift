// Effective pair updates per second through Engine.apply, and exact ticks: a stream of purchases in time
// order with repeats and 2 % refunds, decoded beforehand; rows, displacement, refunds and the digest on; one
// relation (also_bought, cosine); a tick per million events, made on a second thread as the daemon does.
//
// An effective update is one that a counter touched by every event would make: for an event that brings
// an item into its row, the number of the row's other active items; for an item displaced or undone, the
// same once more. They are counted beforehand by a plain model of the rows, whose active entries must be
// the engine's at the end.
//
// "apply" is by processor time of the applying thread, "with models" by the clock until the last model is made.
//
// Ticks are timed apart, nothing else running, on two threads: taking the changed rows, and counts and
// lists of the model. ns are per distinct pair at that tick.
import Dispatch
import Engine
import Events
import Glibc
import Recommender
import Sparse

/// `apply --pairs [--shape NAME] [--history N] [--events N]`
func benchPairUpdates(arguments: [String]) {
  var shapes = StreamShape.all
  var histories = [50, 200]
  var events = 3_000_000
  var at = 0
  func next() -> String {
    at += 1
    return at < arguments.count ? arguments[at] : ""
  }
  while at < arguments.count {
    switch arguments[at] {
    case "--shape":
      let name = next()
      shapes = shapes.filter { $0.name == name }
    case "--history": histories = [Int(next()) ?? 50]
    case "--events": events = Int(next()) ?? events
    default:
      print("unknown: \(arguments[at])")
      return
    }
    at += 1
  }
  print(
    "shape history events updates | apply M/s, with models M/s, updates M/s",
    "| pairs, tick ms (of it taking changes), ns a pair, bytes a pair | digest")
  for shape in shapes {
    for history in histories { run(shape, history: history, events: events) }
  }
}

/// What a stream looks like.
struct StreamShape {
  var name: String
  var users: Int
  var items: Int
  /// Of the users' activity (log-normal), and of the items' popularity (power law).
  var spread: Double
  var skew: Double
  /// Share of purchases of something the user bought before.
  var repeats: Double

  static let all = [
    StreamShape(
      name: "online-retail", users: 4338, items: 3665, spread: 1.0, skew: 0.7, repeats: 0.25),
    StreamShape(name: "film", users: 6039, items: 3628, spread: 1.0, skew: 0.75, repeats: 0),
    StreamShape(name: "grocer", users: 4965, items: 4997, spread: 0.85, skew: 0.6, repeats: 0.6),
    StreamShape(
      name: "check-in", users: 29_858, items: 40_981, spread: 0.8, skew: 0.55, repeats: 0.4),
    StreamShape(
      name: "zipf", users: 200_000, items: 200_000, spread: 0.8, skew: 1, repeats: 0.1),
  ]
}

private func run(_ shape: StreamShape, history: Int, events: Int) {
  var stream = Stream(shape, history: history)
  var batches: [EventBatch] = []
  var lines = ByteWriter(capacity: 1 << 22)
  var left = events
  while left > 0 {
    lines.removeAll()
    for _ in 0..<min(left, 1 << 15) { stream.next(into: &lines) }
    left -= min(left, 1 << 15)
    let batch = EventBatch()
    _ = batch.decodeLines(lines.bytes, budget: .max, isLast: true)
    batches.append(batch)
  }

  var relation = RelationConfiguration(name: "also_bought")
  relation.history = history
  var configuration = EngineConfiguration()
  configuration.relations = [relation]
  configuration.recommendEnabled = false
  configuration.rulesEnabled = false
  configuration.popularity.context = .user
  configuration.popularity.history = history
  var engine = Engine(configuration)
  let builder = BuilderBox(configuration)
  let queue = DispatchQueue(label: "bench.model")
  var outputs = Outputs()
  var number: Int64 = 0
  var nextTick: Int64 = 1_000_000
  // The same changes again for the timed ticks.
  var changes: [(batch: ChangeBatch, isTick: Bool)] = []
  let start = seconds()
  let processorStart = threadSeconds()
  for batch in batches {
    apply(batch, to: &engine, from: &number, into: &outputs)
    if number >= nextTick, let tick = engine.streamTime {
      nextTick += 1_000_000
      let seal = engine.seal(tick: tick)
      changes.append((seal.batch, true))
      queue.async { builder.build(seal) }
    } else if engine.changedRows > 16_384 {
      let some = engine.takeChanges()
      changes.append((some, false))
      queue.async { builder.absorb(some) }
    }
  }
  let applied = threadSeconds() - processorStart
  queue.sync {}
  let total = seconds() - start
  let active = engine.interactions.sizes(matrix: 0).activeSlots
  precondition(number == events && active == stream.active, "the rows differ from the plain model")
  let ticks = timeTicks(relation, configuration.neighbours, changes)
  print(
    shape.name, history, events, stream.updates, "|", show(Double(events) / applied / 1e6, 2),
    show(Double(events) / total / 1e6, 2), show(Double(stream.updates) / total / 1e6, 0), "|",
    ticks.pairs, show(ticks.seconds * 1e3, 1), "(\(show(ticks.taking * 1e3, 1)))",
    show(ticks.seconds * 1e9 / Double(max(ticks.pairs, 1)), 1),
    show(Double(ticks.bytes) / Double(max(ticks.pairs, 1)), 2), "|", engine.digest.hex)
}

private func show(_ x: Double, _ digits: Int) -> String {
  let scale = pow(10, Double(digits))
  return "\((x * scale).rounded() / scale)"
}

/// The median of the ticks after the first, which counts from scratch, and the last one's sizes.
private func timeTicks(
  _ relation: RelationConfiguration, _ k: Int, _ changes: [(batch: ChangeBatch, isTick: Bool)]
) -> (seconds: Double, taking: Double, pairs: Int, bytes: Int) {
  var counts = CoOccurrence(
    matrices: [relation.sourceMatrix], relations: [relation], neighbours: k)
  var items = Interner()
  var ranks = ItemRanks()
  var perPair: [(all: Double, taking: Double)] = []
  var pairs = 0
  var spent = 0.0
  for (batch, isTick) in changes {
    batch.newItems.keys.withUnsafeBytes { bytes in
      var start = 0
      for end in batch.newItems.ends {
        _ = items.intern(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        start = end
      }
    }
    spent += timed { counts.apply(batch.changes[0], matrix: 0) }
    if !isTick { continue }
    ranks.update(from: items)
    let taking = spent
    spent += timed {
      pairs = counts.neighbours(relation: 0, items: ranks, parallel: inParts(2)).pairs
    }
    perPair.append((spent / Double(max(pairs, 1)), taking / Double(max(pairs, 1))))
    spent = 0
  }
  perPair.removeFirst(perPair.count > 1 ? 1 : 0)
  let middle = perPair.sorted { $0.all < $1.all }[perPair.count / 2]
  return (middle.all * Double(pairs), middle.taking * Double(pairs), pairs, counts.pairBytes)
}

private func timed(_ body: () -> Void) -> Double {
  let start = seconds()
  body()
  return seconds() - start
}

/// Events, and the plain model of the rows they make.
private struct Stream: ~Copyable {
  struct Slot {
    var item: UInt32
    var time: Int64
    var isActive: Bool
  }

  let shape: StreamShape
  let history: Int
  var random = SplitMix(seed: 88_172_645_463_325_252)
  /// Cumulative activity of the users.
  var activity: [Double] = []
  /// Per user: slots, oldest first.
  var rows: [[Slot]]
  var clock: Int64 = 1_700_000_000_000
  var updates = 0
  var active = 0

  init(_ shape: StreamShape, history: Int) {
    self.shape = shape
    self.history = history
    rows = Array(repeating: [], count: shape.users)
    var sum = 0.0
    for _ in 0..<shape.users {
      let normal = (-2 * log(1 - random.unit())).squareRoot() * cos(2 * .pi * random.unit())
      sum += exp(shape.spread * normal)
      activity.append(sum)
    }
  }

  mutating func user() -> Int {
    let want = random.unit() * activity[activity.count - 1]
    var (low, high) = (0, activity.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if activity[middle] < want { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Half of what a user buys is of one of 50 tastes, each a shuffled copy of the popularity order.
  mutating func item(_ user: Int) -> UInt32 {
    let unit = random.unit()
    let n = Double(shape.items)
    var place =
      shape.skew == 1 ? Int(pow(n, unit)) - 1 : Int(n * pow(unit, 1 / (1 - shape.skew)))
    place = min(shape.items - 1, place)
    if random.below(2) == 0 {
      place = (place &* 7919 &+ (user % 50) &* 104_729) % shape.items
    }
    return UInt32(place)
  }

  mutating func next(into lines: inout ByteWriter) {
    clock += 1
    let user = user()
    if random.below(50) == 0, !rows[user].isEmpty {
      let at = random.below(rows[user].count)
      if rows[user][at].isActive {
        rows[user][at].isActive = false
        active -= 1
        updates += rows[user].count { $0.isActive }
        write("refund", user, rows[user][at].item, ordered: rows[user][at].time, &lines)
        return
      }
    }
    var item: UInt32
    if random.unit() < shape.repeats, !rows[user].isEmpty {
      item = rows[user][random.below(rows[user].count)].item
    } else {
      item = self.item(user)
      if shape.repeats == 0 {
        // Nobody rates a film twice, as far as the row remembers.
        for _ in 0..<50 where rows[user].contains(where: { $0.item == item }) {
          item = self.item(user)
        }
      }
    }
    buy(user, item)
    write("purchase", user, item, ordered: nil, &lines)
  }

  private mutating func buy(_ user: Int, _ item: UInt32) {
    if let at = rows[user].firstIndex(where: { $0.item == item }) {
      let old = rows[user].remove(at: at)
      if !old.isActive {
        updates += rows[user].count { $0.isActive }
        active += 1
      }
    } else {
      if rows[user].count == history {
        let gone = rows[user].removeFirst()
        if gone.isActive {
          active -= 1
          updates += rows[user].count { $0.isActive }
        }
      }
      updates += rows[user].count { $0.isActive }
      active += 1
    }
    rows[user].append(Slot(item: item, time: clock, isActive: true))
  }

  private func write(
    _ type: StaticString, _ user: Int, _ item: UInt32, ordered: Int64?, _ lines: inout ByteWriter
  ) {
    lines.append("{\"type\":\"")
    lines.append(type)
    lines.append("\",\"time\":")
    lines.append(Int(clock))
    lines.append(",\"user\":\"u-")
    lines.append(user)
    lines.append("\",\"items\":[{\"id\":\"sku-")
    lines.append(1_000_000 + Int(item))
    lines.append("\"}]")
    if let ordered {
      lines.append(",\"ordered\":")
      lines.append(Int(ordered))
    }
    lines.append("}\n")
  }
}
