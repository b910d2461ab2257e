// What deploy/ holds must fit the program: the example configuration is good and says the defaults,
// the topics are those the daemon uses.
import Daemon
import Foundation
import Testing

@Suite struct DeployTests {
  static func text(_ name: String) throws -> String {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    return try String(contentsOf: root.appendingPathComponent("deploy/" + name), encoding: .utf8)
  }

  @Test func exampleSaysTheDefaults() throws {
    let example = try Self.text("affinity.yaml")
    #expect(
      try Configuration.load(yaml: example, name: "affinity.yaml") == Configuration())
    // The commented parts are good as well.
    let relations = example.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.hasPrefix("  # relations:") && !line.contains("named")
        || line.hasPrefix("  #   ") ? "  " + line.dropFirst(4) : String(line)
    }.joined(separator: "\n")
    let changed = try Configuration.load(yaml: relations, name: "affinity.yaml")
    #expect(changed.engine.relations.map(\.name) == ["bought_together", "also_viewed"])
  }

  @Test func topicsAreThoseOfTheDaemon() throws {
    let created = try Self.text("topics.sh").split(separator: "\n").compactMap { line in
      line.hasPrefix("create ") ? String(line.split(separator: " ")[1]) : nil
    }
    #expect(created.sorted() == Configuration().topics.all.sorted())
  }

  /// The unit's values by name; each stands there once where it is asked for.
  static func unit(_ name: String) throws -> String {
    let lines = try text("affinityd.service").split(separator: "\n").filter { $0.hasPrefix(name + "=") }
    try #require(lines.count == 1, "\(name): \(lines)")
    return String(lines[0].dropFirst(name.count + 1))
  }

  @Test func unitFitsTheDaemon() throws {
    let stop = try #require(Int64(try Self.unit("TimeoutStopSec")))
    #expect(stop * 1000 > Configuration().shutdownTimeout)
    #expect(try Self.unit("Type") == "notify")
    // A sign of life each half of it, and a turn of the loop in each.
    #expect(try #require(Int64(try Self.unit("WatchdogSec"))) >= 30)
    #expect(try Self.unit("RestartPreventExitStatus").split(separator: " ").contains("78"))
  }

  /// What the unit leaves open to whoever takes the daemon over, by systemd's own measure.
  @Test func unitIsHardened() throws {
    let program = "/usr/bin/systemd-analyze"
    guard FileManager.default.isExecutableFile(atPath: program) else {
      print("note: \(program) is not there; the unit's exposure is not measured")
      return
    }
    let folder = NSTemporaryDirectory() + "affinity-unit-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/affinityd.service"
    try Self.text("affinityd.service").write(toFile: path, atomically: true, encoding: .utf8)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = ["security", "--offline=yes", "--threshold=15", path]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    // Fails above 1.5.
    #expect(process.terminationStatus == 0 && said.contains("Overall exposure level"), "\(said.suffix(300))")
  }

  /// README.md's table of keys is the code's (`make readme`).
  @Test func readmeTable() throws {
    guard let readme = try? Self.text("../README.md") else {
      print("note: no README.md; its table is not compared")
      return
    }
    let begin = try #require(readme.range(of: "<!-- keys -->\n"), "README.md lacks <!-- keys -->")
    let end = try #require(
      readme.range(of: "\n<!-- /keys -->", range: begin.upperBound..<readme.endIndex),
      "README.md's table is empty: make readme")
    #expect(
      String(readme[begin.upperBound..<end.lowerBound]) == Configuration.markdownTable,
      "make readme writes it anew")
  }
}
