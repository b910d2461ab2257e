// Ranked lists per second from memory: every user has 50 purchases, every item 50 neighbours; a cause per user,
// a list of 20 with its evidence as encoded JSON. The causes are applied first and wait out their linger; the lists
// are timed, and beside them the causes. Checksum: the hash of all bytes.
import Engine
import Events
import Glibc
import Recommender
import Sparse

func benchRanking(arguments: [String]) {
  let sizes = arguments.first.map { [Int($0) ?? 5_000] } ?? [5_000, 250_000]
  let rounds = arguments.count > 1 ? Int(arguments[1]) ?? 5 : 5
  for items in sizes { rank(items: items, users: items > 50_000 ? 60_000 : 10_000, rounds: rounds) }
}

private func rank(items: Int, users: Int, rounds: Int) {
  var configuration = EngineConfiguration()
  configuration.recommend.linger = 1
  configuration.recommend.refresh = 0
  configuration.rulesEnabled = false
  var random = SplitMix(seed: 7)
  var lines = ByteWriter(capacity: 1 << 20)
  // Long-tailed popularity in taste groups, so that neighbours are many.
  let groups = max(1, items / 500)
  for user in 0..<users {
    let group = random.below(groups)
    for place in 0..<50 {
      let unit = random.unit()
      let item = group * 500 + Int(unit * unit * 499)
      lines.append("{\"type\":\"purchase\",\"time\":")
      lines.append(1_700_000_000_000 + user * 50 + place)
      lines.append(",\"user\":\"u-")
      lines.append(user)
      lines.append("\",\"order\":\"o-")
      lines.append(user * 10 + place / 5)
      lines.append("\",\"items\":[{\"id\":\"sku-")
      lines.append(item)
      lines.append("\"}]}\n")
    }
  }
  var engine = Engine(configuration)
  var builder = ModelBuilder(configuration)
  var outputs = Outputs()
  let batch = EventBatch()
  var number: Int64 = 0
  feed(lines.bytes, by: batch, to: &engine, from: &number, into: &outputs)
  let seal = engine.seal(tick: engine.streamTime ?? 0)
  let built = builder.build(seal, parallel: serially)
  engine.activate(built, into: &outputs)
  while engine.renew(limit: 10_000, into: &outputs) > 0 { outputs.removeAll() }
  outputs.removeAll()

  var causes = ByteWriter(capacity: 1 << 20)
  for user in 0..<users {
    causes.append("{\"type\":\"like\",\"time\":")
    causes.append(1_800_000_000_000)
    causes.append(",\"user\":\"u-")
    causes.append(user)
    causes.append("\",\"items\":[{\"id\":\"sku-1\"}]}\n")
  }
  var times: [Double] = []
  var causeTimes: [Double] = []
  var made = Made()
  number = 9_000_000
  for _ in 0..<rounds {
    var start = threadSeconds()
    feed(causes.bytes, by: batch, to: &engine, from: &number, into: &outputs)
    causeTimes.append(threadSeconds() - start)
    start = threadSeconds()
    made = makeLists(&engine, &outputs)
    times.append(threadSeconds() - start)
  }
  let time = median(times)
  let rate = Int(Double(made.lists) / time)
  let withCauses = Int(Double(made.lists) / (time + median(causeTimes)))
  print(
    "ranking \(items) items: \(rate) lists/s of processor time (\(withCauses) with decoding and applying their causes), \(made.bytes / max(1, made.lists)) bytes each, \(Int(Double(made.bytes) / time / 1e6)) MB/s, \(built.sizes.neighbours / max(1, built.sizes.items)) neighbours an item, checksum \(made.checksum.hex)"
  )
}

private struct Made {
  var lists = 0
  var bytes = 0
  var checksum = Fingerprint.zero
}

/// Every list that waits, sixteen at a time, as a publisher would take them.
private func makeLists(_ engine: inout Engine, _ outputs: inout Outputs) -> Made {
  var made = Made()
  while engine.release(dueBy: .max, limit: 16, into: &outputs) > 0 {
    made.lists += outputs.count
    made.bytes += outputs.byteCount
    made.checksum &+= Fingerprint(
      of: UnsafeRawBufferPointer(rebasing: outputs.writer.bytes.prefix(4096)))
    outputs.removeAll()
  }
  return made
}

/// Parts in turn, on the caller's thread.
func serially(_ parts: Int, _ body: (Int) -> Void) { for part in 0..<parts { body(part) } }
