// The cluster against a much simpler model: a list of records in the order they were sent, each with
// the transaction it belongs to, and what became of that.

import SimulatedKafka
import Sparse
import Testing

@Suite struct DifferentialTests {
  final class Transaction {
    enum Outcome { case open, committed, aborted, unknown }
    var outcome = Outcome.open
    var offset: Int64?
  }

  struct Model {
    var log: [[(value: String, transaction: Transaction?)]]
    var stored: Int64?

    /// What a reader of committed records sees: until the first open transaction.
    func visible(_ partition: Int) -> [String] {
      log[partition].prefix { $0.transaction?.outcome != .open }
        .filter { $0.transaction.map { $0.outcome == .committed } ?? true }.map(\.value)
    }
  }

  /// A transactional id with the client that holds it now.
  struct Holder {
    var producer: SimulatedProducer
    var open: Transaction?
  }

  @Test func readersSeeWhatTheModelSays() throws {
    var (commits, aborts, fences, held) = (0, 0, 0, 0)
    let isWhole = try forEachSeed(1000) { seed, random in
      let world = World(seed: seed, partitions: 2)
      let place = world.place(of: "in")
      let offsets = world.consumer(["in"], group: "g")
      var model = Model(log: [[], []])
      var holders = try (0..<3).map { i in
        Holder(
          producer: try world.transactional("t\(i)") {
            $0.transactionTimeoutMilliseconds = 3_600_000
          })
      }
      let plain = world.producer(nil)
      let readers = try (0..<2).map { try world.reader(partition: Int32($0)) }
      var read: [[String]] = [[], []]
      var auditor = LogAuditor(world.cluster, topic: "out")
      var sent = 0
      for _ in 0..<40 {
        let i = random.below(holders.count)
        switch random.below(12) {
        case 0...4:
          if holders[i].open == nil {
            try holders[i].producer.beginTransaction()
            holders[i].open = Transaction()
          }
          let partition = random.below(2)
          sent += 1
          holders[i].producer.send("\(sent)", Int32(partition))
          #expect(try holders[i].producer.flush(timeoutMilliseconds: 10_000) == 0)
          model.log[partition].append(("\(sent)", holders[i].open))
        case 5:
          let partition = random.below(2)
          sent += 1
          plain.send("\(sent)", Int32(partition))
          #expect(try plain.flush(timeoutMilliseconds: 10_000) == 0)
          model.log[partition].append(("\(sent)", nil))
        case 6:
          // One at a time: the broker would let the last to commit win.
          guard let open = holders[i].open, !holders.contains(where: { $0.open?.offset != nil })
          else { continue }
          sent += 1
          open.offset = Int64(sent)
          try holders[i].producer.sendOffsets([place: StoredOffset(Int64(sent))], of: offsets)
        case 7, 8:
          guard let open = holders[i].open else { continue }
          try holders[i].producer.commitTransaction()
          open.outcome = .committed
          model.stored = open.offset ?? model.stored
          holders[i].open = nil
          commits += 1
        case 9:
          guard let open = holders[i].open else { continue }
          try holders[i].producer.abortTransaction()
          open.outcome = .aborted
          holders[i].open = nil
          aborts += 1
        case 10:
          let old = holders[i].producer
          holders[i].producer = try world.transactional("t\(i)") {
            $0.transactionTimeoutMilliseconds = 3_600_000
          }
          if let open = holders[i].open {
            open.outcome = .aborted
            holders[i].open = nil
            #expect(remedy { try old.commitTransaction() } == .fatal, "seed \(seed)")
            fences += 1
          }
        default: break
        }
        // Until all markers are written.
        world.wait(milliseconds: 20)
        auditor.advance()
        for partition in 0..<2 {
          let batch = try readers[partition].poll(maxMessages: 1000, timeoutMilliseconds: 0)
          read[partition] += batch.records.map(\.text)
          let expected = model.visible(partition)
          if read[partition] != expected
            || auditor.records[partition].map(\.text) != expected
          {
            Issue.record(
              "seed \(seed), partition \(partition): \(read[partition]) instead of \(expected)")
            return
          }
          if model.log[partition].contains(where: { $0.transaction?.outcome == .open }) {
            held += 1
          }
        }
        #expect(world.cluster.committed("g", place)?.offset == model.stored, "seed \(seed)")
      }
    }
    guard isWhole else { return }
    #expect(commits > 1000 && aborts > 500 && fences > 200 && held > 1000)
  }

  /// Under faults: what a client was told holds, and what it was not told is whole or nothing.
  @Test func whatClientsAreToldIsTrue() throws {
    var (committed, unknown) = (0, 0)
    let isWhole = try forEachSeed(1000) { seed, random in
      let world = World(seed: seed, partitions: 2)
      var plan = FaultPlan(perMillion: 30_000)
      // A late EndTxn is another matter: LateEndTests.
      plan.delayed = 0
      world.cluster.faults.plan = plan
      var transactions: [Transaction] = []
      var holders: [SimulatedProducer?] = [nil, nil]
      for number in 0..<12 {
        let i = random.below(2)
        let transaction = Transaction()
        transactions.append(transaction)
        do {
          let producer = try holders[i] ?? world.transactional("t\(i)")
          holders[i] = producer
          try producer.beginTransaction()
          for partition in 0..<Int32(2) { producer.send("\(number)", partition) }
          if random.below(4) == 0 {
            world.wait(milliseconds: random.below(50))
            try producer.abortTransaction()
            transaction.outcome = .aborted
          } else {
            transaction.outcome = .unknown
            // Some give up waiting, and never learn.
            try producer.commitTransaction(
              timeoutMilliseconds: random.below(6) == 0 ? 10 : 30_000)
            transaction.outcome = .committed
          }
        } catch let error as SimulatedError {
          if error.remedy == .abort { transaction.outcome = .aborted }
          if transaction.outcome == .open { transaction.outcome = .aborted }
          holders[i] = nil
        }
      }
      world.cluster.faults.plan = nil
      world.wait(milliseconds: 120_000)
      var auditor = LogAuditor(world.cluster, topic: "out")
      auditor.advance()
      #expect(auditor.undecided == 0, "seed \(seed)")
      for (number, transaction) in transactions.enumerated() {
        let counts = auditor.records.map { $0.filter { $0.text == "\(number)" }.count }
        let isRight =
          switch transaction.outcome {
          case .committed: counts == [1, 1]
          case .aborted, .open: counts == [0, 0]
          case .unknown: counts == [0, 0] || counts == [1, 1]
          }
        if transaction.outcome == .committed { committed += 1 }
        if transaction.outcome == .unknown { unknown += 1 }
        #expect(isRight, "seed \(seed), transaction \(number), \(transaction.outcome): \(counts)")
      }
    }
    guard isWhole else { return }
    #expect(committed > 5000 && unknown > 0, "\(committed) committed, \(unknown) unknown")
  }
}
