// `affinityd inspect`, where it is built.
import Foundation
import Snapshots
import Testing

@Suite struct InspectTests {
  /// nil where the executable is not built.
  static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> (
    status: Int32, output: String, complaint: String
  )? {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let program = root.appendingPathComponent(".build/release/affinityd")
    guard FileManager.default.isExecutableFile(atPath: program.path) else {
      print("note: \(program.path) is not built; its tests are left out")
      return nil
    }
    let (output, complaint) = (Pipe(), Pipe())
    let process = Process()
    process.executableURL = program
    process.arguments = ["inspect"] + arguments
    process.environment = ["PATH": "/usr/bin:/bin"].merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = complaint
    try process.run()
    // Small enough for the pipes' buffers: one after the other is no deadlock.
    let texts = [output, complaint].map {
      String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    }
    process.waitUntilExit()
    return (process.terminationStatus, texts[0], texts[1])
  }

  @Test func showsAndChecks() throws {
    try withTemporaryFolder { path in
      let folder = try SnapshotFolder(path)
      for number in 1...2 {
        let sample = Sample(number)
        _ = try folder.write(sample.inputs, metadata: sample.metadata)
      }
      let newest = path + "/snapshot-000000000002"
      guard let good = try Self.run([newest]) else { return }
      #expect(good.status == 0)
      for text in [
        "\(newest): good", "1970-01-01T00:00:00.002Z by affinityd test", "shop.events  0: 2, 1: nothing",
        "rows.items", "m2", "0123456789abcdef",
      ] { #expect(good.output.contains(text), "\(text)") }
      let listed = try #require(try Self.run([path, "--json"]))
      #expect(listed.status == 0)
      let reports = try listed.output.split(separator: "\n").map {
        try JSONDecoder().decode(SnapshotReport.self, from: Data($0.utf8))
      }
      #expect(reports.map(\.metadata) == [Sample(2).metadata, Sample(1).metadata])
      #expect(reports.allSatisfy { $0.good && $0.sections.count == 6 })

      var bytes = try Data(contentsOf: URL(fileURLWithPath: newest))
      bytes[bytes.count - 4096] ^= 1
      try bytes.write(to: URL(fileURLWithPath: newest))
      let bad = try #require(try Self.run([path]))
      #expect(bad.status == 1)
      #expect(bad.output.contains("one: checksum") && bad.output.contains("NOT GOOD"))
      #expect(bad.output.contains("snapshot-000000000001: good"))
      #expect(try Self.run([path + "/none"])?.status == 1)
    }
  }

  @Test func keysOfEncryptedOnes() throws {
    try withTemporaryFolder { path in
      let text = String(repeating: "5", count: 64)
      var settings = SnapshotSettings()
      settings.key = try testKey()
      let folder = try SnapshotFolder(path, settings: settings)
      let sample = Sample(1)
      _ = try folder.write(sample.inputs, metadata: sample.metadata)
      try text.write(toFile: path + "/key", atomically: false, encoding: .utf8)
      chmod(path + "/key", 0o600)
      guard let without = try Self.run([path]) else { return }
      #expect(without.status == 1)
      #expect(without.output.contains("encrypted with key \(try testKey().identifier)"))
      #expect(!without.output.contains("shop.events"))
      let file = try #require(try Self.run([path, "--key-file", path + "/key"]))
      #expect(file.status == 0 && file.output.contains("shop.events"))
      let variable = try #require(
        try Self.run([path], environment: [SnapshotKey.environmentVariable: text]))
      #expect(variable.status == 0 && !variable.output.contains(text))
      chmod(path + "/key", 0o644)
      let open = try #require(try Self.run([path, "--key-file", path + "/key"]))
      #expect(open.status == 2 && open.complaint.contains("chmod o="))
    }
  }
}
