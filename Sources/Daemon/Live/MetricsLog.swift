// The metrics log of the live daemon: a line at a fixed interval.
import Engine
import Events
import Kafka

final class MetricsLog {
  let file: ReopenableFile
  private let board: StatusBoard
  private var interval: Int64
  private var next: Int64
  private var last: Int64
  private let started: Int64
  private var lastRecords = 0
  private var lastPublished = 0
  private var lastLists = 0

  /// - Parameter interval: milliseconds.
  init(_ file: ReopenableFile, interval: Int64, board: StatusBoard) {
    self.file = file
    self.board = board
    self.interval = interval * 1_000_000
    started = Process.monotonic
    last = started
    next = started + self.interval
  }

  func set(interval milliseconds: Int64) {
    interval = milliseconds * 1_000_000
    next = min(next, Process.monotonic + interval)
  }

  func isDue(now: Int64) -> Bool { now >= next }

  func emit(
    now: Int64, engine: borrowing Engine, counters: LiveCounters, publisher: Publisher, lag: Int64,
    isCaughtUp: Bool, backlog: Int, workerRows: Int, isConfigurationGood: Bool
  ) {
    let seconds = max(1e-9, Double(now - last) / 1e9)
    next = now + interval
    last = now
    let time = Process.wallClock
    var line = MetricsLine(kind: "run", time: time)
    line.put("uptime_seconds", Double(now - started) / 1e9)
    line.put("interval_seconds", seconds)
    line.put("events_total", counters.records - counters.catalogueRecords)
    line.put("events_per_second", Double(counters.records - lastRecords) / seconds)
    let published = publisher.published.reduce(0, +)
    line.put("messages_per_second", Double(published - lastPublished) / seconds)
    line.put("lists_per_second", Double(engine.listsMade - lastLists) / seconds)
    lastRecords = counters.records
    lastPublished = published
    lastLists = engine.listsMade
    line.put("lag_records", Int(lag))
    line.put("caught_up", isCaughtUp ? 1 : 0)
    line.put("latency_count", Int(publisher.latency.totalCount))
    line.put("latency", publisher.latency)
    line.put("handover", publisher.handover)
    publisher.latency.reset()
    publisher.handover.reset()
    line.put(engine)
    line.put("catalogue_records", counters.catalogueRecords)
    line.put(rejects: counters.rejects, unknownTypes: counters.unknownTypes)
    for topic in OutputTopic.allCases {
      line.put("messages.\(topic.name)", publisher.published[Int(topic.rawValue)])
    }
    line.put("messages_acknowledged", publisher.acknowledged)
    line.put("messages_in_flight", publisher.outstanding)
    line.put("messages_too_large", publisher.tooLarge)
    line.put("dead_letters_shortened", publisher.lettersShortened)
    line.put("messages_waiting", backlog)
    line.put("renewals_waiting", engine.renewalCount)
    line.put("models", counters.models)
    line.put("tick_seconds", counters.tickSeconds)
    line.put("tick_seconds_max", counters.tickSecondsMax)
    line.put("pause_ms_max", counters.pauseMilliseconds)
    line.put("seal_ms_max", counters.sealMilliseconds)
    line.put(counters.sizes)
    line.put("bytes.counts", counters.builderBytes.counts)
    line.put("builder_rows_waiting", workerRows)
    line.put("commits", counters.commits)
    line.put("transactions_aborted", publisher.aborted)
    line.put("producers_renewed", publisher.renewed)
    line.put("snapshots", counters.snapshots)
    line.put("snapshot_failures", counters.snapshotFailures)
    line.put("snapshot_pause_ms_max", counters.snapshotPauseMilliseconds)
    line.put("stalls", counters.stalls)
    line.put("offsets_out_of_range", counters.offsetsOutOfRange)
    line.put("gap_records", Int(engine.gaps.reduce(0, +)))
    for (partition, count) in engine.gaps.enumerated() where count > 0 {
      line.put("gap_records.\(partition)", Int(count))
    }
    line.put("metrics_lines_dropped", file.dropped)
    line.put("bytes.resident", Process.residentBytes)
    line.put("config_last_reload_successful", isConfigurationGood ? 1 : 0)
    let samples = line.samples
    let bytes = line.finish()
    file.write(line: bytes.bytes)
    board.publish(line: [UInt8](bytes.bytes), samples: samples, time: time)
  }
}
