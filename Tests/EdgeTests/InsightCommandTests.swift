// `affinityd insights` from the outside: the same bytes with any number of threads, every customer's message against its schema, the page, the
// table, and what is wrong use.
import Foundation
import TestSupport
import Testing

@Suite struct InsightCommandTests {
  let folder = NSTemporaryDirectory() + "affinity-insights-\(UUID().uuidString)"

  private func run(_ arguments: [String]) throws -> CommandTests.Outcome? { try CommandTests.run(arguments) }

  @Test func insightsOfASimulatedShop() throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let log = folder + "/log.jsonl"
    guard let made = try run(["simulate", "--events", "60000", "--seed", "5", "--out", log]) else { return }
    #expect(made.status == 0)
    let base = ["insights", log, "--horizon", "7d"]
    let one = try #require(try run(base + ["--json", "--threads", "1"]))
    let two = try #require(try run(base + ["--json", "--threads", "2"]))
    #expect(one.status == 0 && one.output == two.output)
    let json = try #require(PlainJSON(one.output))
    let customers = try #require(json["customers"]?.array)
    #expect(customers.count > 100)
    #expect(json["segments"]?.array?.reduce(0) { $0 + ($1["customers"]?.int ?? 0) } == customers.count)
    #expect(json["model"]?["scored"]?.int == customers.count)
    // As lines, against the schema.
    let lines = one.output.split(separator: "\n").filter { $0.hasPrefix("{\"user\"") }
      .map { $0.hasSuffix(",") ? String($0.dropLast()) : $0.hasSuffix("]}") ? String($0.dropLast(2)) : String($0) }
    #expect(lines.count == customers.count)
    let path = folder + "/insights.jsonl"
    try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(fileURLWithPath: path))
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let check = Process()
    check.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
    check.arguments = [root + "/scripts/check-schemas.py", "--every", "7", root + "/schemas/insight.schema.json", path]
    check.standardOutput = FileHandle.nullDevice
    try check.run()
    check.waitUntilExit()
    #expect(check.terminationStatus == 0)

    let csv = try #require(try run(base + ["--csv"]))
    let rows = csv.output.split(separator: "\n")
    #expect(rows.count == customers.count + 1 && rows[0].hasPrefix("user,segment,rfm,probability"))
    #expect(rows[1].split(separator: ",", omittingEmptySubsequences: false).count >= 13)
    let page = try #require(try run(base + ["--html"]))
    #expect(page.output.contains("<h2>Segments</h2>") && page.output.hasSuffix("</html>\n"))
    let text = try #require(try run(base))
    #expect(text.status == 0 && text.output.contains("\(customers.count) customers as of"))
    // Earlier, with fewer customers, and never from what came after.
    let early = try #require(try run(base + ["--json", "--as-of", "1970-01-01"]))
    #expect(early.status == 0 && PlainJSON(early.output)?["customers"]?.array?.isEmpty == true)
  }

  @Test(arguments: [
    (["insights", "/dev/null", "--json", "--csv"], 2), (["insights", "/dev/null", "--segments", "9-3"], 2),
    (["insights", "/dev/null", "--horizon", "1h"], 2), (["insights", "/dev/null", "--as-of", "yesterday"], 2),
    (["insights", "/dev/null"], 1), (["insights", "/nowhere"], 1),
  ] as [([String], Int32)])
  func wrongUse(_ arguments: [String], _ status: Int32) throws {
    guard let outcome = try run(arguments) else { return }
    #expect(outcome.status == status, "\(arguments)")
    #expect(outcome.output.isEmpty && !outcome.complaint.isEmpty)
  }
}
