// What the loop counts besides the engine.
import Engine
import Events

struct LiveCounters {
  var records = 0
  /// Monotonic ns; 0 before the first record.
  var firstRecordAt: Int64 = 0
  /// When the last record had been applied.
  var lastRecordAt: Int64 = 0
  var bytes = 0
  var catalogueRecords = 0
  var unknownTypes = 0
  var rejects = [Int](repeating: 0, count: RejectReason.allCases.count)
  var offsetsOutOfRange = 0
  var models = 0
  var tickSeconds = 0.0
  var tickSecondsMax = 0.0
  var sizes = ModelSizes()
  var builderBytes = (counts: 0, items: 0)
  /// Longest stop of ingestion at a tick since the last metrics line, and the seal's part of it.
  var pauseMilliseconds = 0.0
  var sealMilliseconds = 0.0
  var stalls = 0
  var commits = 0
  var snapshots = 0
  var snapshotFailures = 0
  /// Longest stop of ingestion for a snapshot.
  var snapshotPauseMilliseconds = 0.0
  var turns = 0
}
