// The smallest read-process-write job: copies `in` to `out`, partition by partition. What kills it
// and what starts it again is in `CopyJobTests.swift`.

import SimulatedKafka

struct CopyJob {
  enum Mode: Sendable {
    /// Records and offsets in one transaction.
    case transactions
    /// Records, then offsets: what has happened between is repeated.
    case recordsThenOffsets
    /// Offsets, then records: what has not happened is lost.
    case offsetsThenRecords
  }

  let process: SimulatedProcess
  let mode: Mode

  /// Runs until `isDone` says so between two batches, or until it dies or can go no further.
  func run(until isDone: () -> Bool) throws {
    var producer = try makeProducer()
    let consumer = SimulatedConsumer(
      process, topics: ["in"], SimulatedConsumerOptions(group: "copy"))
    try consumer.subscribe(
      SimulatedRebalanceHandler(
        assigned: { $0.map { $0.committed.map { .at($0.offset) } ?? .beginning } },
        revoked: { _, _ in }))
    while !isDone() {
      let batch = try consumer.poll(maxMessages: 5, timeoutMilliseconds: 100)
      if batch.records.isEmpty { continue }
      var offsets: [LogPlace: StoredOffset] = [:]
      for (place, position) in consumer.assignment where position >= 0 {
        offsets[place] = StoredOffset(position)
      }
      switch mode {
      case .transactions:
        // A connection has broken: an EndTxn may still be on its way (KAFKA §3.5).
        if !producer.takeEvents().isEmpty { producer = try makeProducer() }
        try producer.beginTransaction()
        try send(batch.records, producer)
        try producer.sendOffsets(offsets, of: consumer)
        try producer.commitTransaction()
      case .recordsThenOffsets:
        try send(batch.records, producer)
        guard try producer.flush(timeoutMilliseconds: 60_000) == 0 else { return }
        try consumer.commit(offsets)
      case .offsetsThenRecords:
        try consumer.commit(offsets)
        try send(batch.records, producer)
        guard try producer.flush(timeoutMilliseconds: 60_000) == 0 else { return }
      }
    }
    try consumer.close()
  }

  private func send(_ records: [SimulatedRecord], _ producer: SimulatedProducer) throws {
    for record in records {
      _ = producer.send(
        to: "out", partition: record.place.partition, key: record.key, value: record.value)
    }
  }

  private func makeProducer() throws -> SimulatedProducer {
    var options = SimulatedProducerOptions()
    if mode == .transactions { options.transactionalID = "copy" }
    let producer = SimulatedProducer(process, options)
    if mode == .transactions { try producer.initTransactions() }
    return producer
  }
}

/// One life of the job after another on the same cluster, until all input is copied.
struct CopyRun {
  static let recordCount = 24
  let cluster: SimulatedCluster
  /// What readers of committed records see, partition by partition.
  private(set) var output: [[String]] = []
  private(set) var steps = 0
  private(set) var lives = 0

  /// - Parameter crash: of the first life, then of the next, and so on; later ones live.
  init(
    seed: UInt64, _ mode: CopyJob.Mode, crashes: [CrashPlan] = [], faults: FaultPlan? = nil,
    options: ClusterOptions = ClusterOptions()
  ) throws {
    cluster = SimulatedCluster(seed: seed, options: options)
    cluster.createTopic("in", partitions: 2)
    cluster.createTopic("out", partitions: 2)
    for i in 0..<Self.recordCount {
      cluster.write(LogPlace("in", Int32(i % 2)), key: bytes("k\(i)"), value: bytes("\(i)"))
    }
    cluster.faults.plan = faults
    let ends = Int64(Self.recordCount / 2)
    let deadline = cluster.clock.now + 3600 * 1_000_000
    func isDone() -> Bool {
      (0..<2).allSatisfy { cluster.committed("copy", LogPlace("in", $0))?.offset == ends }
    }
    while !isDone() && cluster.clock.now < deadline {
      let process = cluster.makeProcess("copy \(lives)")
      if lives < crashes.count { process.crashPlan = crashes[lives] }
      lives += 1
      do {
        try CopyJob(process: process, mode: mode).run {
          isDone() || cluster.clock.now >= deadline
        }
      } catch is SimulatedError {
        // Dead, or with a producer that is of no more use: another one takes over.
        process.kill()
      }
      steps = max(steps, process.steps)
    }
    // What is still on its way arrives, and what is open is timed out.
    cluster.faults.plan = nil
    cluster.clock.advance(milliseconds: 60_000)
    var auditor = LogAuditor(cluster, topic: "out")
    auditor.advance()
    output = auditor.records.map { $0.map(\.text) }
  }

  /// In order, each once.
  static let expected = (0..<2).map { partition in
    (0..<recordCount).filter { $0 % 2 == partition }.map { "\($0)" }
  }
  var isExact: Bool { output == Self.expected }
  /// So far as it goes.
  var isExactUntilItHangs: Bool {
    zip(output, Self.expected).allSatisfy { $0 == Array($1.prefix($0.count)) }
  }
  var repeated: Int { output.reduce(0) { $0 + $1.count - Set($1).count } }
  var lost: Int { Self.recordCount - output.reduce(0) { $0 + Set($1).count } }
}
