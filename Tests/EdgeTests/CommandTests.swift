// The executable's edges: exit status, what goes to which stream, the same bytes twice. Runs what
// `make test` has built; says so and passes where there is none.
import Foundation
import Testing

@Suite struct CommandTests {
  struct Outcome {
    var status: Int32
    var output: String
    var complaint: String
  }

  /// nil where the executable is not built.
  static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Outcome? {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let program = root.appendingPathComponent(".build/release/affinityd")
    guard FileManager.default.isExecutableFile(atPath: program.path) else {
      print("note: \(program.path) is not built; its tests are left out")
      return nil
    }
    let files = ["out", "err"].map {
      URL(fileURLWithPath: NSTemporaryDirectory() + "affinity-\($0)-\(UUID().uuidString)")
    }
    defer { for file in files { try? FileManager.default.removeItem(at: file) } }
    for file in files { try Data().write(to: file) }
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    process.environment = ["PATH": "/usr/bin:/bin"].merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: files[0])
    process.standardError = try FileHandle(forWritingTo: files[1])
    try process.run()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, output: try String(contentsOf: files[0], encoding: .utf8),
      complaint: try String(contentsOf: files[1], encoding: .utf8))
  }

  @Test func helpEverywhere() throws {
    guard let all = try Self.run(["--help"]) else { return }
    #expect(all.status == 0)
    #expect(all.complaint.isEmpty)
    for command in ["simulate", "import", "validate", "replay"] {
      #expect(all.output.contains(command))
      let help = try #require(try Self.run([command, "--help"]))
      #expect(help.status == 0)
      #expect(help.output.contains("USAGE: affinityd \(command)"))
    }
  }

  @Test(arguments: [
    ["nonsense"], ["simulate", "--events", "many"], ["simulate", "--late", "2"],
    ["simulate", "--nope"],
    ["import"], ["import", "xml", "/dev/null"], ["import", "csv", "/dev/null"],
    ["import", "fimi", "/dev/null", "--without-refunds"],
    ["import", "csv", "/dev/null", "--map", "colour=x"],
    ["validate", "--model.interval", "5"], ["validate", "--set", "x"],
    ["validate", "--colour.of", "red"],
    ["validate", "--config", "/nowhere/affinity.yaml"],
  ])
  func wrongUseIsTwo(arguments: [String]) throws {
    guard let outcome = try Self.run(arguments) else { return }
    #expect(outcome.status == 2, "\(arguments): \(outcome.complaint)")
    #expect(outcome.output.isEmpty)
    #expect(!outcome.complaint.isEmpty)
  }

  @Test(arguments: [
    ["import", "fimi", "/nowhere/basket.dat"], ["validate", "/nowhere/log.jsonl"],
    ["simulate", "--events", "5", "--out", "/nowhere/log.jsonl"],
    ["import", "online-retail", "/dev/null"],
  ])
  func failureIsOne(arguments: [String]) throws {
    guard let outcome = try Self.run(arguments) else { return }
    #expect(outcome.status == 1, "\(arguments): \(outcome.complaint)")
    #expect(!outcome.complaint.isEmpty)
  }

  @Test func simulateValidate() throws {
    let path = NSTemporaryDirectory() + "affinity-simulate-\(UUID().uuidString)"
    defer { unlink(path) }
    guard let one = try Self.run(["simulate", "--events", "2000", "--seed", "9"]) else { return }
    #expect(one.status == 0)
    #expect(one.complaint.isEmpty)
    #expect(one.output.utf8.filter { $0 == 10 }.count == 2000)
    #expect(
      try Self.run(["simulate", "--events", "2000", "--seed", "9", "--out", path])?.output == "")
    #expect(try String(contentsOfFile: path, encoding: .utf8) == one.output)
    let valid = try #require(try Self.run(["validate", "--json", path]))
    #expect(valid.status == 0)
    #expect(valid.output.contains("\"events\":2000,"))
    #expect(valid.output.contains("\"rejected\":{}"))
    try (one.output + "{}\n").write(toFile: path, atomically: true, encoding: .utf8)
    #expect(try Self.run(["validate", path])?.status == 1)
  }

  @Test func importWritesEventsAndReport() throws {
    let path = NSTemporaryDirectory() + "affinity-import-\(UUID().uuidString)"
    defer { for name in [path, path + ".rejects", path + ".titles"] { unlink(name) } }
    try "t,u,i,n\n5,ann,a,Apple\n1,ann,b,Bread\nx,bob,a,Apple\n".write(
      toFile: path, atomically: true, encoding: .utf8)
    guard
      let outcome = try Self.run([
        "import", "csv", path, "--map", "time=t,user=u,item=i,type:=view,title=n", "--time-format",
        "s",
        "--rejects", path + ".rejects", "--catalogue", path + ".titles",
      ])
    else { return }
    #expect(outcome.status == 0)
    #expect(
      outcome.output == """
        {"type":"view","time":"1970-01-01T00:00:01.000Z","user":"ann","items":[{"id":"b"}]}
        {"type":"view","time":"1970-01-01T00:00:05.000Z","user":"ann","items":[{"id":"a"}]}

        """)
    #expect(outcome.complaint.contains("1 bad_time"))
    #expect(
      try String(contentsOfFile: path + ".rejects", encoding: .utf8)
        == "{\"line\":4,\"reason\":\"bad_time\",\"text\":\"x,bob,a,Apple\"}\n")
    #expect(
      try String(contentsOfFile: path + ".titles", encoding: .utf8)
        == "{\"item\":\"a\",\"title\":\"Apple\"}\n{\"item\":\"b\",\"title\":\"Bread\"}\n")
  }

  @Test func configurationThroughEveryDoor() throws {
    let path = NSTemporaryDirectory() + "affinity-\(UUID().uuidString).yaml"
    defer { unlink(path) }
    try "model: {interval: 1s}\nrules: {min_confidence: 1.4}\n".write(
      toFile: path, atomically: true, encoding: .utf8)
    guard
      let bad = try Self.run(
        ["validate", "--config", path, "--model.neighbours=0", "--set", "rules.max_q=2"],
        environment: ["AFFINITY_METRICS__INTERVAL": "1"])
    else { return }
    #expect(bad.status == 2)
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    #expect(
      bad.complaint == """
        affinityd: 4 faults in the configuration
        \(name):2: rules.min_confidence 1.4: at most 1
        AFFINITY_METRICS__INTERVAL: metrics.interval 1: a duration needs a unit: 1ms, 1s, 1m, 1h or 1d
        --model.neighbours: model.neighbours 0: at least 1
        --rules.max_q: rules.max_q 2: at most 1

        """)
    let good = try #require(
      try Self.run(
        ["validate", "--effective", "--model.interval", "2s", "--delivery", "at_least_once"],
        environment: ["AFFINITY_KAFKA__SASL_PASSWORD": "hunter2"]))
    #expect(good.status == 0)
    #expect(good.output.contains("interval: 2s"))
    #expect(good.output.contains("delivery: at_least_once"))
    #expect(!good.output.contains("hunter2"))
  }
}
