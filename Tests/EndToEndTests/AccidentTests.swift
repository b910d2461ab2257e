// What a start finds of accidents: a record at which the process has died before, and a log that is another one.
import Foundation
import Kafka
import Testing

@Suite(.ownThread) struct AccidentTests {
  /// As a run leaves it that has died at the record for the third time (`CrashLog.swift`).
  private func pageOfThirdDeath(partition: UInt64, offset: UInt64) -> Data {
    var words = [UInt64](repeating: 0, count: 512)
    words[0] = 0x3130_6b72_6f77_7461
    let place = 1 << 63 | partition
    words[1] = place
    words[2] = offset
    words[5] = place
    words[6] = offset
    words[7] = 2
    return words.withUnsafeBytes { Data($0) }
  }

  @Test("fault 29: a record at which the process has died three times goes to the dead letters, all others are applied")
  func diedThreeTimes() async throws {
    let folder = try Folder("crash")
    let log = folder.file("log.jsonl")
    try await Program.succeed(
      ["simulate", "--events", "300", "--seed", "5", "--users", "40", "--items", "30", "--out", log],
      in: folder)
    let broker = try await Broker(partitions: 1, in: folder)
    let reader = TopicReader(broker, topics: TopicReader.outputs + ["shop.events"])
    try await Program.succeed(["produce", log, "-b", broker.bootstrap], in: folder)
    let state = folder.file("daemon-state")
    try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
    try pageOfThirdDeath(partition: 0, offset: 123).write(
      to: URL(fileURLWithPath: state + "/at-work"))
    let daemon = try LiveDaemon(broker, in: folder, settings: RestartTests.settings)
    try await daemon.settle(reader, events: 300)
    #expect(daemon.metric("rejected.crash") == 1)
    #expect(daemon.log.contains("partition 0 offset 123 3 times in a row"))
    try await daemon.stop()
    try await reader.stop()
    let letters = reader.read("affinity.dead-letters")
    #expect(letters.count == 1)
    let letter = try #require(letters.first)
    #expect(letter.value == reader.read("shop.events")[123].value)
    #expect(letter.headers.contains(Header("affinity.reason", "crash")))
  }

  @Test("fault 17: another log under the same name and folder: 78 and what can be done; rebuilt, all of it is said")
  func anotherLog() async throws {
    let folder = try Folder("another")
    func produce(_ seed: String, _ events: String, _ broker: Broker) async throws {
      let log = folder.file("log-\(seed).jsonl")
      try await Program.succeed(
        ["simulate", "--events", events, "--seed", seed, "--users", "40", "--items", "30", "--out", log],
        in: folder)
      try await Program.succeed(["produce", log, "-b", broker.bootstrap], in: folder)
    }
    do {
      let broker = try await Broker(partitions: 2, in: folder)
      let reader = TopicReader(broker)
      try await produce("5", "300", broker)
      let daemon = try LiveDaemon(broker, in: folder, settings: RestartTests.settings)
      try await daemon.settle(reader, events: 300)
      try await daemon.stop()
      try await reader.stop()
      broker.program.signal(SIGKILL)
      _ = try await broker.program.end()
    }
    try FileManager.default.removeItem(atPath: folder.file("bootstrap"))
    let broker = try await Broker(partitions: 2, in: folder)
    let reader = TopicReader(broker)
    try await produce("6", "900", broker)
    let stopped = try LiveDaemon(broker, in: folder, settings: RestartTests.settings)
    let outcome = try await stopped.program.end(within: 40)
    #expect(outcome.status == 78, "\(stopped.log.suffix(1000))")
    #expect(stopped.log.contains("shop.events is not the log it was: the record at offset"))
    #expect(stopped.log.contains("events.on_recreated: rebuild"))
    let daemon = try LiveDaemon(
      broker, in: folder,
      settings: RestartTests.settings.merging(["events.on_recreated": "rebuild"]) { $1 })
    try await daemon.settle(reader, events: 900)
    #expect(daemon.log.contains("the state is made anew, and everything in the log is said"))
    try await daemon.stop()
    try await reader.stop()
    // As at a first start: a list for everybody from the first model.
    #expect(Set(reader.read("affinity.recommendations").map(\.key)).count >= 40)
  }
}
