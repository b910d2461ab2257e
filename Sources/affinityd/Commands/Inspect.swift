// `affinityd inspect`: what is in a snapshot, and whether it is whole.
import ArgumentParser
import Daemon
import Events
import Foundation
import Snapshots

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Shows what is in a snapshot and checks every byte of it.",
    discussion: """
      PLACE is a snapshot, or the folder that holds them (state.directory): then all in it, newest first. A daemon \
      may be at work there.
      Tells when and by what it was written, the digest of the state, the next offset per topic and partition, \
      the horizons of the matrices, the model in force, sizes, and the sections with their checksums. Damage is told \
      with the section it is in.
      An encrypted snapshot needs its key: 32 bytes as 64 hexadecimal digits or base64, in a file that others \
      cannot read (--key-file) or in the environment variable \(SnapshotKey.environmentVariable).
      Exit status 1 if any is damaged, of a later format, or encrypted with a key that was not given, and where there \
      is none.
      docs/SNAPSHOTS.md describes the format.
      """)

  @Argument(help: "A snapshot, or a folder of snapshots.") var place: String
  @Option(help: "File with the key; may be given several times.") var keyFile: [String] = []
  @Flag(help: "One JSON object per snapshot, one per line.") var json = false

  func run() throws {
    var reader = SnapshotReader(disk: PosixDisk(), keys: try keys())
    reader.parallel = Threads.parallel(ProcessInfo.processInfo.activeProcessorCount)
    var isFolder: ObjCBool = false
    _ = FileManager.default.fileExists(atPath: place, isDirectory: &isFolder)
    var paths = [place]
    if isFolder.boolValue {
      do { paths = try SnapshotFolder.snapshots(in: place) } catch {
        throw CommandFailure.failed("\(error)")
      }
      if paths.isEmpty { throw CommandFailure.failed("\(place): no snapshot in this folder") }
    }
    var damaged = 0
    for path in paths {
      let examination = reader.examine(path)
      if isFolder.boolValue, case .unreadable(let error) = examination.faults.first,
        error.code == ENOENT
      {
        continue  // the daemon has just removed it
      }
      if examination.snapshot == nil { damaged += 1 }
      let report = SnapshotReport(examination)
      if json { try printJSON(report) } else { tell(report) }
    }
    if damaged > 0 { throw ExitCode(1) }
  }

  private func keys() throws -> [SnapshotKey] {
    do {
      var keys = try keyFile.map { try SnapshotKey(file: $0) }
      if let key = try SnapshotKey.fromEnvironment() { keys.append(key) }
      return keys
    } catch let error as SnapshotError { throw CommandFailure.usage("\(error)") }
  }

  private func printJSON(_ report: SnapshotReport) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    print(String(decoding: try encoder.encode(report), as: UTF8.self))
  }

  private func tell(_ report: SnapshotReport) {
    func line(_ label: String, _ text: String) {
      print("  " + label + String(repeating: " ", count: max(1, 15 - label.utf8.count)) + text)
    }
    print("\(report.file): \(report.good ? "good" : "NOT GOOD")")
    for fault in report.faults { line("fault", fault) }
    var size = "\(grouped(report.bytes)) bytes"
    if let format = report.format { size += ", format \(format)" }
    if let sequence = report.sequence { size += ", number \(sequence)" }
    line("file", size)
    if let key = report.encryptedWith { line("encrypted", "AES-256-GCM, key \(key)") }
    if let metadata = report.metadata { tell(metadata, line) }
    if !report.sections.isEmpty {
      let width = report.sections.map(\.name.utf8.count).max() ?? 0
      print("  sections: name, bytes, elements × size, CRC32C")
      for section in report.sections {
        let name = section.name + String(repeating: " ", count: width - section.name.utf8.count)
        let bytes = grouped(section.bytes)
        print(
          "    \(name) " + String(repeating: " ", count: max(0, 16 - bytes.utf8.count)) + bytes
            + "  \(grouped(section.bytes / section.elementSize)) × \(section.elementSize)"
            + "  \(section.checksum)")
      }
    }
  }

  private func time(_ milliseconds: Int64) -> String {
    EventTime.range.contains(milliseconds)
      ? EventTime.string(milliseconds) : "\(milliseconds) ms since 1970"
  }

  private func tell(_ metadata: SnapshotMetadata, _ line: (String, String) -> Void) {
    line("written", "\(time(metadata.created)) by \(metadata.software)")
    line("digest", metadata.digest)
    line("configuration", metadata.configuration)
    if let cluster = metadata.cluster { line("cluster", cluster) }
    line("model", metadata.model ?? "none yet")
    for topic in metadata.topics {
      let offsets = topic.partitions.enumerated().map {
        "\($0): " + ($1.next < 0 ? "nothing" : "\($1.next)")
      }
      line("next offsets", "\(topic.name)  " + offsets.joined(separator: ", "))
    }
    for matrix in metadata.matrices {
      let horizon = matrix.horizon < 0 ? "none" : time(matrix.horizon)
      line("horizon", "\(matrix.name)  \(horizon)")
    }
    for size in metadata.sizes { line("size", "\(grouped(size.count)) \(size.name)") }
  }
}
