// A state of ten million events and fifty million stored pairs: what a snapshot of it costs the loop that goes on,
// and how long a new process takes to serve from it.
//   affinity-bench restart [EVENTS] [USERS] [ITEMS] [FOLDER]
// The snapshot is written as the daemon does it, by a copy of the process, while events are applied and their
// lists made, each act by itself: the longest wait for a list is told with and without. The new process is this
// program again: it maps and checks the file, makes both stages, and makes a list. Checksum: the rows' digest, on both sides.
import Daemon
import Engine
import Events
import Glibc
import Recommender
import Simulator
import Snapshots
import Sparse

private typealias Waits = [Double]

func benchRestart(arguments: [String]) {
  if arguments.count == 3, arguments[0] == "--serve", let start = Double(arguments[2]) {
    return serve(arguments[1], since: start)
  }
  let numbers = arguments.compactMap { Int($0) }
  var shape = ShopConfiguration()
  shape.events = numbers.count > 0 ? numbers[0] : 10_000_000
  shape.users = numbers.count > 1 ? numbers[1] : 600_000
  shape.items = numbers.count > 2 ? numbers[2] : 100_000
  let folder = arguments.count > 3 ? arguments[3] : "/tmp/affinity-bench-restart"
  var shop = Shop(shape)
  let configuration = restartConfiguration
  var engine = Engine(configuration, topics: restartTopics)
  var builder = ModelBuilder(configuration)
  var outputs = Outputs()
  let batch = EventBatch()
  var lines = ByteWriter(capacity: 4 << 20)
  var number: Int64 = 0
  while number < Int64(shape.events) {
    lines.removeAll()
    shop.next(min(20_000, shape.events - Int(number)), into: &lines)
    feed(lines.bytes, by: batch, to: &engine, from: &number, into: &outputs)
    if engine.changedRows > 16_384 { builder.absorb(engine.takeChanges()) }
  }
  let parallel = Threads.parallel(2)
  let begin = seconds()
  let built = builder.build(engine.seal(tick: engine.streamTime ?? 0), parallel: parallel)
  let pairs = built.sizes.pairs
  engine.activate(built, into: &outputs)
  while engine.renew(limit: 4096, into: &outputs) > 0 { outputs.removeAll() }
  outputs.removeAll()
  builder.absorb(engine.takeChanges())
  let entries = engine.sizes.first { $0.name == "entries" }?.count ?? 0
  let neighbours = engine.sizes.first { $0.name == "neighbours" }?.count ?? 0
  print(
    "restart: \(number) events, \(entries) entries, \(pairs) pairs counted, \(neighbours) neighbours; "
      + "the model in \(milliseconds(seconds() - begin)) ms; \(memory("VmRSS") >> 10) MiB resident")

  /// Applies acts one by one, as the loop does where they come singly. Returns the waits for their lists, sorted, ms.
  func live(for duration: Double, until isOver: () -> Bool) -> Waits {
    var waits: [Double] = []
    let end = seconds() + duration
    while seconds() < end && !isOver() {
      lines.removeAll()
      shop.next(64, into: &lines)
      batch.reset()
      _ = batch.decodeLines(lines.bytes, budget: 1 << 20, isLast: true)
      for i in 0..<batch.count {
        guard let event = batch.event(at: i) else { continue }
        let start = seconds()
        _ = engine.apply(event, at: LogPosition(partition: 0, offset: number), clock: 0, into: &outputs)
        engine.flush(into: &outputs)
        waits.append((seconds() - start) * 1000)
        number += 1
      }
      outputs.removeAll()
    }
    waits.sort()
    return waits
  }
  func tell(_ what: String, _ waits: Waits) {
    func at(_ share: Double) -> Double { (waits[Int(Double(waits.count - 1) * share)] * 100).rounded() / 100 }
    print(
      "restart: \(what): \(waits.count) acts, list after p99 \(at(0.99)) ms, p99.99 \(at(0.9999)) ms, longest \(at(1)) ms; \(waits.count { $0 > 20 }) above 20 ms"
    )
  }
  tell("no snapshot", live(for: 3) { false })

  do {
    var settings = SnapshotSettings()
    settings.keep = 1
    let keeper = ForkedStateKeeper(try SnapshotFolder(folder, settings: settings))
    builder.absorb(engine.takeChanges())
    let digest = engine.digest.hex
    let start = seconds()
    var state = StateWriter()
    engine.save(into: &state)
    let bytes = state.byteCount
    var rowBytes = 0
    for section in state.sections where section.name.hasPrefix("interactions.") { rowBytes += section.byteCount }
    var modelBytes = 0
    for section in state.sections where section.name.hasPrefix("model.neighbours") { modelBytes += section.byteCount }
    keeper.begin(state, SnapshotMetadata(of: engine, software: "affinity-bench", created: 0))
    let pause = seconds() - start
    var outcome: Result<Void, SnapshotFailure>?
    let beside = live(for: 120) {
      outcome = keeper.outcome()
      return outcome != nil
    }
    let took = seconds() - start
    tell("beside the snapshot", beside)
    guard let outcome else { return print("restart: no snapshot within 120 s") }
    try outcome.get()
    _ = try keeper.publish()
    print(
      "restart: snapshot of \(bytes >> 20) MiB in \(milliseconds(took)) ms; the loop stood for \(milliseconds(pause)) ms (asked: with the longest list at most 20); "
        + "\(rowBytes / shape.events) bytes an event, \(perThousand(rowBytes, entries)) an entry, \(perThousand(modelBytes, neighbours)) a neighbour kept, "
        + "\(perThousand(bytes, pairs)) of the whole a pair; digest \(digest)")
  } catch {
    print("restart: \(error)")
    exit(1)
  }
  // Here the folder's lock is given up.
  start(["restart", "--serve", folder, "\(seconds())"])
}

private let restartTopics = ["shop.events", "shop.catalogue"]
private var restartConfiguration: EngineConfiguration {
  var configuration = EngineConfiguration()
  // Rules have a benchmark of their own.
  configuration.rulesEnabled = false
  return configuration
}

/// In the new process: from its start to the first list.
private func serve(_ folder: String, since start: Double) {
  do {
    let configuration = restartConfiguration
    let parallel = Threads.parallel(2)
    let began = seconds()
    let found = try SnapshotFolder(folder).restore(parallel: { parallel($0, $1) })
    guard let snapshot = found.snapshot else {
      print("restart: not restored: \(found.damaged)")
      exit(1)
    }
    let checked = seconds()
    let reader = StateReader(snapshot)
    var engine = try Engine(configuration, topics: restartTopics, restoring: reader)
    let first = seconds()
    let builder = try ModelBuilder(configuration, after: 1, of: engine, restoring: reader)
    let second = seconds()
    var shop = Shop(ShopConfiguration())
    var lines = ByteWriter()
    shop.next(1, into: &lines)
    var outputs = Outputs()
    let batch = EventBatch()
    let digest = engine.digest.hex
    var number: Int64 = 1 << 40
    feed(lines.bytes, by: batch, to: &engine, from: &number, into: &outputs)
    engine.flush(into: &outputs)
    let served = seconds()
    let bytes = snapshot.sections.reduce(0) { $0 + $1.byteCount }
    let asked = 1 + Double(bytes) / 1e9
    print(
      "restart: served after \(milliseconds(served - start)) ms (asked: \(milliseconds(asked))): process \(milliseconds(began - start)), "
        + "map and check \(milliseconds(checked - began)), stage one \(milliseconds(first - checked)), stage two \(milliseconds(second - first)), "
        + "a list \(milliseconds(served - second)); \(outputs.count) messages, stage two \(builder.bytes.counts >> 20) MiB, digest \(digest)")
  } catch {
    print("restart: \(error)")
    exit(1)
  }
}

/// This program takes this one's place, so that both need not be in memory.
private func start(_ arguments: [String]) {
  fflush(nil)
  var words = ([CommandLine.arguments[0]] + arguments).map { strdup($0) }
  words.append(nil)
  execv("/proc/self/exe", words)
  print("restart: not started anew: \(String(cString: strerror(errno)))")
  exit(1)
}

private func milliseconds(_ seconds: Double) -> Double { (seconds * 1e5).rounded() / 100 }
private func perThousand(_ bytes: Int, _ count: Int) -> Double {
  (Double(bytes) / Double(max(1, count)) * 100).rounded() / 100
}
