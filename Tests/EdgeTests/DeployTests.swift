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

  @Test func unitWaitsLongEnough() throws {
    let line = try #require(
      try Self.text("affinityd.service").split(separator: "\n")
        .first { $0.hasPrefix("TimeoutStopSec=") })
    let seconds = try #require(Int64(line.dropFirst("TimeoutStopSec=".count)))
    #expect(seconds * 1000 > Configuration().shutdownTimeout)
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
