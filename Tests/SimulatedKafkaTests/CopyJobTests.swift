// Exactly-once, proved on the smallest job: killed before and after every step, under random faults,
// and asleep at any step; and the same job without transactions, to show that the proof can fail.

import SimulatedKafka
import Testing

@Suite struct CopyJobTests {
  @Test func killedAtEveryStepItCopiesEveryRecordOnce() throws {
    let undisturbed = try CopyRun(seed: 1, .transactions)
    #expect(undisturbed.isExact && undisturbed.lives == 1)
    #expect(undisturbed.steps > 20)
    var deaths = 0
    for step in 1...undisturbed.steps {
      for plan in [CrashPlan.before(step), .after(step)] {
        let run = try CopyRun(seed: 1, .transactions, crashes: [plan])
        #expect(run.isExact, "\(plan): \(run.output)")
        deaths += run.lives - 1
      }
    }
    // The last steps come when all is done.
    #expect(deaths >= 2 * undisturbed.steps - 10)
  }

  @Test(arguments: [CopyJob.Mode.recordsThenOffsets, .offsetsThenRecords])
  func withoutTransactionsItDoesNot(_ mode: CopyJob.Mode) throws {
    let undisturbed = try CopyRun(seed: 1, mode)
    #expect(undisturbed.isExact)
    var (repeated, lost) = (0, 0)
    for step in 1...undisturbed.steps {
      for plan in [CrashPlan.before(step), .after(step)] {
        let run = try CopyRun(seed: 1, mode, crashes: [plan])
        repeated += run.repeated
        lost += run.lost
      }
    }
    if mode == .recordsThenOffsets {
      #expect(repeated > 0 && lost == 0)
    } else {
      #expect(lost > 0 && repeated == 0)
    }
  }

  /// Lost, late and repeated requests, brokers and coordinators that go away, rebalances, and three
  /// deaths at random steps. Brokers that do not verify transactions may leave one hanging, at which
  /// readers stop; what they have seen is right.
  @Test func underRandomFaultsItCopiesEveryRecordOnce() throws {
    var happened: [String: Int] = [:]
    var (lives, hanging) = (0, 0)
    let isWhole = try forEachSeed(1000) { seed, random in
      let crashes = (0..<3).map { _ in
        random.below(2) == 0
          ? CrashPlan.before(1 + random.below(60)) : CrashPlan.after(1 + random.below(60))
      }
      var options = ClusterOptions()
      options.verifiesTransactions = seed % 2 == 0
      let run = try CopyRun(
        seed: seed, .transactions, crashes: crashes, faults: FaultPlan(perMillion: 20_000),
        options: options)
      #expect(
        run.isExact || !options.verifiesTransactions && run.isExactUntilItHangs,
        "seed \(seed), \(crashes): \(run.output)")
      if !run.isExact { hanging += 1 }
      happened.merge(run.cluster.faults.happened, uniquingKeysWith: +)
      lives += run.lives
    }
    guard isWhole else { return }
    #expect(hanging * 100 < lives)
    for kind in [
      "lostRequest", "lostReply", "duplicate", "delayed", "brokerDown", "leaderMove",
      "coordinatorMove", "stall", "rebalance",
    ] {
      #expect(happened[kind, default: 0] > 0, "\(kind) never happened")
    }
    #expect(lives > 2000)
  }

  /// Fault 7 at every step: the job falls asleep for longer than its session and its transaction,
  /// another one does the work, and the first wakes up where it was.
  @Test func asleepAtEveryStepItWritesNothingMore() throws {
    let steps = try CopyRun(seed: 1, .transactions).steps
    for step in 1...steps {
      for moment in [SimulatedProcess.Moment.before, .after] {
        let cluster = SimulatedCluster(seed: 1)
        cluster.createTopic("in", partitions: 2)
        cluster.createTopic("out", partitions: 2)
        for i in 0..<CopyRun.recordCount {
          cluster.write(LogPlace("in", Int32(i % 2)), value: bytes("\(i)"))
        }
        func isDone() -> Bool {
          (0..<2).allSatisfy {
            cluster.committed("copy", LogPlace("in", $0))?.offset
              == Int64(CopyRun.recordCount / 2)
          }
        }
        let sleeper = cluster.makeProcess("sleeper")
        sleeper.onStep = { number, _, at in
          guard number == step && at == moment else { return }
          sleeper.freeze(milliseconds: 3_600_000)
          let heir = cluster.makeProcess("heir")
          do {
            try CopyJob(process: heir, mode: .transactions).run(until: isDone)
          } catch { Issue.record("\(error)") }
          heir.kill()
          sleeper.freeze(milliseconds: 0)
        }
        do {
          try CopyJob(process: sleeper, mode: .transactions).run(until: isDone)
        } catch is SimulatedError {
          sleeper.kill()
        }
        cluster.clock.advance(milliseconds: 60_000)
        var auditor = LogAuditor(cluster, topic: "out")
        auditor.advance()
        #expect(
          auditor.records.map { $0.map(\.text) } == CopyRun.expected,
          "asleep \(moment) step \(step)")
      }
    }
  }
}
