// Short hands for the tests: a cluster with clients, and text for bytes.

import Glibc
import SimulatedKafka
import Sparse
import Testing

struct World {
  let cluster: SimulatedCluster
  let process: SimulatedProcess

  init(
    _ options: ClusterOptions = ClusterOptions(), seed: UInt64 = 1, partitions: Int = 1
  ) {
    cluster = SimulatedCluster(seed: seed, options: options)
    cluster.createTopic("in", partitions: partitions)
    cluster.createTopic("out", partitions: partitions)
    process = cluster.makeProcess("test")
  }

  func place(_ partition: Int32 = 0, of topic: String = "out") -> LogPlace {
    LogPlace(topic, partition)
  }

  func producer(_ id: String? = "t", _ change: (inout SimulatedProducerOptions) -> Void = { _ in })
    -> SimulatedProducer
  {
    var options = SimulatedProducerOptions()
    options.transactionalID = id
    change(&options)
    return SimulatedProducer(process, options)
  }

  /// A transactional producer that is ready to begin.
  func transactional(
    _ id: String = "t", _ change: (inout SimulatedProducerOptions) -> Void = { _ in }
  )
    throws -> SimulatedProducer
  {
    let producer = producer(id, change)
    try producer.initTransactions()
    return producer
  }

  func consumer(
    _ topics: [String] = ["out"], group: String? = nil, in process: SimulatedProcess? = nil,
    _ change: (inout SimulatedConsumerOptions) -> Void = { _ in }
  ) -> SimulatedConsumer {
    var options = SimulatedConsumerOptions(group: group)
    change(&options)
    return SimulatedConsumer(process ?? self.process, topics: topics, options)
  }

  /// A reader of one partition from its beginning.
  func reader(
    _ topic: String = "out", partition: Int32 = 0, from start: LogStart = .beginning,
    _ change: (inout SimulatedConsumerOptions) -> Void = { _ in }
  ) throws -> SimulatedConsumer {
    let consumer = consumer([topic], change)
    try consumer.assign([(LogPlace(topic, partition), start)])
    return consumer
  }

  func wait(milliseconds: Int) { cluster.clock.advance(milliseconds: milliseconds) }

  /// Milliseconds of virtual time that something takes.
  func time(_ body: () throws -> Void) rethrows -> Int {
    let start = cluster.clock.now
    try body()
    return Int((cluster.clock.now - start) / 1000)
  }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

extension SimulatedProducer {
  @discardableResult
  func send(_ text: String, to topic: String = "out", _ partition: Int32 = 0) -> SimulatedSendResult
  {
    send(to: topic, partition: partition, key: nil, value: bytes(text))
  }
}

extension SimulatedConsumer {
  /// Reads until nothing has come for a while.
  func readAll(milliseconds: Int = 200) throws -> [String] {
    var found: [String] = []
    while true {
      let batch = try poll(maxMessages: 100, timeoutMilliseconds: milliseconds)
      if batch.isEmpty { return found }
      found += batch.records.map(\.text)
    }
  }
}

/// The code a call ends with; nil where it goes well.
func code(_ body: () throws -> Void) -> KafkaCode? {
  do {
    try body()
    return nil
  } catch let error as SimulatedError { return error.code } catch { return nil }
}

func remedy(_ body: () throws -> Void) -> KafkaRemedy? {
  do {
    try body()
    return nil
  } catch let error as SimulatedError { return error.remedy } catch { return nil }
}

/// Runs a test over seeds 1 to `count`, or over those of the environment: `AFFINITY_SEEDS=5000`
/// takes others, `AFFINITY_SEED=17` one alone. A failure names its seed.
/// - Returns: whether at least `count` were run, so that what should have happened must have.
func forEachSeed(
  _ count: Int, _ body: (UInt64, inout SplitMix) throws -> Void
) throws -> Bool {
  func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }
  var seeds = 1...UInt64(count)
  if let more = number("AFFINITY_SEEDS"), more > 0 { seeds = 1...more }
  if let one = number("AFFINITY_SEED") { seeds = one...one }
  for seed in seeds {
    var random = SplitMix(seed: seed &* 0x9e37_79b9)
    do { try body(seed, &random) } catch { Issue.record("seed \(seed): \(error)") }
  }
  return seeds.count >= count
}
