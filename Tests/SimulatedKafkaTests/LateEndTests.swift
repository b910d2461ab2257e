// Fault 30, Jepsen's hole: a commit whose first EndTxn is held back, whose retry passes, and which
// then ends the next transaction half way (brokers before KIP-890's second part).

import SimulatedKafka
import Testing

@Suite struct LateEndTests {
  enum Defence: Sendable { case none, newProducerAfterTrouble }

  /// Transactions of two records each, the odd ones aborted; before every even one's commit the
  /// first EndTxn is held for five seconds and released into the odd one.
  /// - Returns: rounds of which one record is visible and the other is not, or which were aborted
  ///   and are visible; and rounds that were committed and are not whole.
  func run(rounds: Int, _ defence: Defence) throws -> (torn: Int, lost: Int) {
    let world = World(partitions: 2)
    var producer = try world.transactional()
    var committed: Set<Int> = []
    for round in 0..<rounds {
      let isHeld = round % 2 == 0
      if defence == .newProducerAfterTrouble && !producer.takeEvents().isEmpty {
        producer = try world.transactional()
      }
      do {
        try producer.beginTransaction()
        producer.send("\(round)", 0)
        _ = try producer.flush(timeoutMilliseconds: 1000)
        if isHeld {
          world.cluster.faults.order(.delayed(milliseconds: 5000), on: .endTransaction)
        } else {
          world.wait(milliseconds: 6000)
        }
        producer.send("\(round)", 1)
        _ = try producer.flush(timeoutMilliseconds: 1000)
        if isHeld {
          try producer.commitTransaction()
          committed.insert(round)
        } else {
          try producer.abortTransaction()
        }
      } catch {
        producer = try world.transactional()
      }
    }
    _ = try world.transactional()
    world.wait(milliseconds: 60_000)
    var auditor = LogAuditor(world.cluster, topic: "out")
    auditor.advance()
    let seen = auditor.records.map { Set($0.map(\.text)) }
    var (torn, lost) = (0, 0)
    for round in 0..<rounds {
      let count = seen.filter { $0.contains("\(round)") }.count
      if count == 1 || count == 2 && !committed.contains(round) { torn += 1 }
      if count < 2 && committed.contains(round) { lost += 1 }
    }
    return (torn, lost)
  }

  @Test func aLateEndTearsTheNextTransaction() throws {
    #expect(try run(rounds: 100, .none).torn > 0)
  }

  /// KAFKA §3.5 (2): a new producer (so a newer epoch) wherever a retry may have happened.
  @Test func aNewProducerAfterTroubleIsSafe() throws {
    let result = try run(rounds: 1000, .newProducerAfterTrouble)
    #expect(result.torn == 0 && result.lost == 0)
  }
}
