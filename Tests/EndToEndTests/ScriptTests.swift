// Two proofs that are scripts, for they drive the daemon from outside with means of their own: exactly once against
// a broker that is given, and faults of the disk under strace. Here they run briefly; each says itself how to run it long.
import Foundation
import Testing

@Suite(.ownThread) struct ScriptTests {
  /// A read_committed consumer sees each message once while the daemon is killed.
  @Test func exactlyOnceOnAnIndependentBroker() async throws {
    guard let brokers = ProcessInfo.processInfo.environment["AFFINITY_TEST_BROKERS"] else {
      print("note: AFFINITY_TEST_BROKERS is not set; scripts/exactly-once.py was not run")
      return
    }
    let outcome = try await run("exactly-once.py", ["--brokers", brokers, "--kills", "5"], within: 300)
    #expect(outcome.status == 0, "\(outcome.output.suffix(3000)) \(outcome.complaint.suffix(1000))")
    #expect(outcome.output.contains("exactly once: HOLDS"))
  }

  /// A snapshot's calls are killed and failed: the ones before stay good, and the daemon goes on.
  @Test func faultsOfTheSnapshotPath() async throws {
    let outcome = try await run(
      "snapshot-faults.py", ["--every", "200", "--calls", "fallocate,write,fsync"], within: 180)
    if outcome.status == 77 {
      print("note: scripts/snapshot-faults.py was not run: \(outcome.complaint.suffix(200))")
      return
    }
    #expect(outcome.status == 0, "\(outcome.output.suffix(3000)) \(outcome.complaint.suffix(1000))")
    #expect(outcome.output.contains("HOLDS"))
  }

  private func run(
    _ script: String, _ arguments: [String], within seconds: Double
  ) async throws -> Outcome {
    let folder = try Folder("script")
    return try await Program(
      ["\(Program.root)/scripts/\(script)", "--binary", Program.path] + arguments, in: folder,
      name: script, program: "/usr/bin/python3",
      // The client's packages are installed once, not into each folder.
      environment: ProcessInfo.processInfo.environment
    ).end(within: seconds)
  }
}
