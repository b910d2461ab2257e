// Accidents of the log itself: retention has passed what was to be read next; the events topic was made anew, or has
// lost its end; it has got more partitions. None is passed over in silence (`auto.offset.reset` is `error`): a start looks
// for them (`StartCheck`), while running the consumer tells of them, and `events.on_…` says what is done.
//
// A topic made anew is known by offsets beyond its end and by a fingerprint: a snapshot holds, per partition, timestamp and
// CRC32C of the last record read, which a start reads again. (Topic ids, which would tell, come with librdkafka 2.4.)
import CStorage
import Kafka
import Snapshots

extension SnapshotMetadata.LastRecord {
  /// - Parameter timestamp: -1: none.
  package init(
    timestamp: Int64, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?
  ) {
    let sum = affinity_crc32c(0, key?.baseAddress, key?.count ?? 0)
    self.init(
      timestamp: timestamp, checksum: affinity_crc32c(sum, value?.baseAddress, value?.count ?? 0))
  }
}

/// Records of a partition of the events topic that are gone, never read.
package struct LogGap: Equatable, CustomStringConvertible {
  package var partition: Int32
  package var offsets: Range<Int64>
  package var description: String {
    "partition \(partition) has lost \(offsets.count) records from offset \(offsets.lowerBound) on"
  }
}

/// What has happened, in words that say what can be done about it.
package enum LogAccident {
  case gap(topic: String, [LogGap])
  /// `signs`: what shows it.
  case recreated(topic: String, signs: [String])
  case grown(topic: String, from: Int, to: Int)

  var description: String {
    switch self {
    case .gap(let topic, let gaps):
      "\(topic): retention has removed records before they were read: \(list(gaps.map(\.description)))"
    case .recreated(let topic, let signs):
      "\(topic) is not the log it was: \(list(signs))"
    case .grown(let topic, let from, let to):
      "\(topic) has \(to) partitions and had \(from): users' later events may lie in other partitions than their earlier ones"
    }
  }

  private func list(_ all: [String]) -> String {
    all.count <= 4
      ? all.joined(separator: "; ")
      : all.prefix(3).joined(separator: "; ") + "; and \(all.count - 3) more"
  }

  /// Ends the daemon: a restart changes nothing, somebody has to decide.
  var stop: DaemonFailure {
    let choices =
      switch self {
      case .gap:
        "events.on_gap: continue goes on with what there is and counts the gap; rebuild throws the state away and reads the log from its start"
      case .recreated:
        "events.on_recreated: rebuild throws state, models and committed offsets away and reads everything as new; or give the old log back"
      case .grown:
        "events.on_grown: continue reads the new partitions from their beginning"
      }
    return DaemonFailure(description: "\(description). Nothing was changed. \(choices)", status: 78)
  }

  /// Ends the loop so that the daemon makes its state anew.
  func again(_ rebuild: Rebuild) -> DaemonFailure {
    DaemonFailure(description: "\(description); the state is made anew", status: 75, rebuild: rebuild)
  }
}
