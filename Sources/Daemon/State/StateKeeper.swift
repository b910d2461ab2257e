// The state on disk: taken at a cut, written beside running ingestion, put in place when the cut's offsets are
// committed. So a snapshot never lies ahead of what the group has committed.
//
// The writer is a copy of the process (fork): it sees the state of the instant of the cut, whatever the loop
// does meanwhile, and costs the loop the copy of the page tables. It ends when the daemon does.
import CStorage
import Engine
import Events
import Glibc
import Kafka
import Snapshots
import Sparse

/// Called by the loop's thread only.
package protocol StateKeeper: AnyObject {
  /// Begins to write what the sections refer to. One at a time.
  func begin(_ state: borrowing StateWriter, _ metadata: SnapshotMetadata)
  /// What became of it: nil while it is being written.
  func outcome() -> Result<Void, SnapshotFailure>?
  /// Puts the written one in place.
  func publish() throws(SnapshotFailure) -> KeptState
  /// Forgets the one begun, written or not.
  func discard()
}

package struct SnapshotFailure: Error, CustomStringConvertible {
  package var description: String
  package init(description: String) { self.description = description }
}

package struct KeptState {
  package var path: String
  /// What older ones could not be removed.
  package var warnings: [String]
  package init(path: String, warnings: [String]) {
    self.path = path
    self.warnings = warnings
  }
}

extension StateWriter {
  /// As inputs of a snapshot; a section of several parts becomes as many, numbered.
  package var inputs: [SnapshotInput] {
    var inputs: [SnapshotInput] = []
    for section in sections {
      if section.parts.count == 1 {
        inputs.append(
          SnapshotInput(section.name, elementSize: section.stride, bytes: section.parts[0]))
        continue
      }
      for (i, part) in section.parts.enumerated() {
        inputs.append(
          SnapshotInput("\(section.name).\(i)", elementSize: section.stride, bytes: part))
      }
    }
    return inputs
  }
}

extension StateReader {
  package init(_ snapshot: Snapshot) {
    var sections: [String: Section] = [:]
    for section in snapshot.sections {
      sections[section.name] = Section(stride: section.elementSize, bytes: section.bytes)
    }
    self.init(sections)
  }
}

extension SnapshotMetadata {
  /// What `inspect` shows of an engine's state, and what a start knows the log by.
  /// - Parameters:
  ///   - partitions: of the events topic, as far as known.
  ///   - marks: of the last records read.
  package init(
    of engine: borrowing Engine, partitions: Int = 0,
    marks: [TopicPartition: RecordMark] = [:], software: String, created: Int64
  ) {
    self.init()
    self.software = software
    self.created = created
    configuration = engine.configuration.fingerprint
    digest = engine.digest.hex
    model = engine.model?.id
    topics = engine.topics.enumerated().map { index, name in
      let positions = engine.positions[index]
      let count = max(positions.count, index == 0 ? partitions : 0)
      return Topic(
        name: name,
        partitions: (0..<count).map { p in
          let next = p < positions.count ? positions[p] : -1
          let mark = marks[TopicPartition(topic: index, partition: p)]
          return Partition(next: next, last: mark?.offset == next - 1 ? mark?.record : nil)
        })
    }
    matrices = engine.matrixSummaries.map { Matrix(name: $0.name, horizon: $0.horizon) }
    sizes = engine.sizes.map { Size(name: $0.name, count: $0.count) }
  }
}

/// Snapshots in a folder, each written by a copy of the process.
package final class ForkedStateKeeper: StateKeeper {
  private let folder: SnapshotFolder
  private var child: (process: Int32, sequence: UInt64, started: Int64)?
  private var written: UInt64?
  /// A copy that takes longer is ended.
  private let patience: Int64

  package init(_ folder: SnapshotFolder, patience: Int64 = 600_000_000_000) {
    self.folder = folder
    self.patience = patience
  }

  package func begin(_ state: borrowing StateWriter, _ metadata: SnapshotMetadata) {
    discard()
    let sequence = folder.nextSequence()
    let inputs = state.inputs
    let start = Process.monotonic
    let process = affinity_fork_writer()
    if process == 0 {
      folder.leaveLock()
      do throws(SnapshotError) {
        _ = try folder.prepare(inputs, metadata: metadata, sequence: sequence)
        _exit(0)
      } catch {
        // EX_IOERR, or the disk is full: that is all the loop can be told.
        if case .disk(let fault) = error, fault.isFull { _exit(28) }
        _exit(74)
      }
    }
    child = process < 0 ? (-1, sequence, start) : (process, sequence, start)
  }

  package func outcome() -> Result<Void, SnapshotFailure>? {
    if written != nil { return .success(()) }
    guard let (process, sequence, started) = child else { return nil }
    if process < 0 {
      child = nil
      return .failure(SnapshotFailure(description: "no process to write it"))
    }
    var status: Int32 = 0
    if affinity_reap(process, &status) == 0 {
      if Process.monotonic - started < patience { return nil }
      kill(process, SIGKILL)
      while affinity_reap(process, &status) == 0 { usleep(1000) }
    }
    child = nil
    if status == 0 {
      written = sequence
      return .success(())
    }
    folder.discard(sequence)
    return .failure(
      SnapshotFailure(
        description: status == 28
          ? "the disk is full"
          : status > 128 ? "its process was ended by signal \(status - 128)" : "the disk failed"))
  }

  package func publish() throws(SnapshotFailure) -> KeptState {
    guard let sequence = written else { throw SnapshotFailure(description: "none is written") }
    written = nil
    do throws(SnapshotError) {
      let put = try folder.publish(sequence)
      return KeptState(path: put.path, warnings: put.notRemoved.map(\.description))
    } catch {
      throw SnapshotFailure(description: "\(error)")
    }
  }

  package func discard() {
    if let (process, sequence, _) = child {
      if process > 0 {
        kill(process, SIGKILL)
        var status: Int32 = 0
        while affinity_reap(process, &status) == 0 { usleep(1000) }
      }
      folder.discard(sequence)
      child = nil
    }
    if let sequence = written {
      folder.discard(sequence)
      written = nil
    }
  }

  deinit { discard() }
}
