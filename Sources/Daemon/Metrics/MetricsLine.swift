// One line of the metrics log: a flat JSON object with stable keys (README, "Reading the metrics log";
// schemas/metrics.schema.json). Counters are totals since the start unless their name says otherwise.
// No user, session or item key ever stands in it.
import Engine
import Events
import Glibc
import Histogram
import Recommender
import Sparse

struct MetricsLine: ~Copyable {
  private var writer = ByteWriter(capacity: 4096)
  private var isFirst = true
  /// The line's numbers, as they stand in it.
  private(set) var samples: [MetricsSample] = []

  init(kind: String, time: Int64) {
    writer.append("{")
    put("schema", 1)
    put("time", EventTime.string(time))
    put("kind", kind)
  }

  mutating func put(_ name: String, _ value: Int) {
    key(name)
    writer.append(value)
    samples.append(MetricsSample(key: name, value: Double(value)))
  }
  mutating func put(_ name: String, _ value: Double) {
    key(name)
    // Three significant decimals are enough for an operator; infinities have no place in JSON.
    let shown = value.isFinite ? (value * 1000).rounded() / 1000 : -1
    writer.append(shown)
    samples.append(MetricsSample(key: name, value: shown))
  }
  mutating func put(_ name: String, _ value: String) {
    key(name)
    writer.append(quoted: value)
  }

  private mutating func key(_ name: String) {
    if !isFirst { writer.append(",") }
    isFirst = false
    writer.append(quoted: name)
    writer.append(":")
  }

  /// The line's bytes, without a newline.
  consuming func finish() -> ByteWriter {
    writer.append("}")
    return writer
  }

  // MARK: what the engine knows

  mutating func put(_ engine: borrowing Engine) {
    if let time = engine.streamTime { put("stream_time", EventTime.string(time)) }
    put("digest", engine.digest.hex)
    put("model", engine.model?.id ?? "none")
    for type in EventType.allCases where engine.eventsByType[Int(type.rawValue)] > 0 {
      put("events.\(type.name)", engine.eventsByType[Int(type.rawValue)])
    }
    for disposition in Disposition.allCases {
      let count = engine.eventsByDisposition[Int(disposition.rawValue)]
      if count > 0 || disposition == .applied { put("outcome.\(disposition.name)", count) }
    }
    let edits = engine.interactions.edits
    put("slots_changed", edits.changed)
    put("slots_repeated", edits.superseded)
    put("slots_displaced", edits.displaced)
    put("slots_evicted", edits.evicted)
    put("slots_too_old", edits.tooOld)
    put("lists_made", engine.listsMade)
    put("causes_overtaken", engine.causesOvertaken)
    put("lists_waiting", engine.pendingCount)
    put("listeners", engine.listenerCount)
    put("users", engine.interactions.users.liveCount)
    put("sessions", engine.interactions.sessionCount)
    put("orders", engine.interactions.orderCount)
    put("items", engine.interactions.items.liveCount)
    put("catalogue", engine.catalogue.count)
    var rowBytes = 0
    var names: [String: Int] = [:]
    for (m, matrix) in engine.interactions.matrices.enumerated() {
      let sizes = engine.interactions.sizes(matrix: m)
      let base = "\(matrix.context.name)_\(matrix.behaviour.name)"
      names[base, default: 0] += 1
      let name = names[base] == 1 ? base : "\(base)_\(names[base] ?? 0)"
      put("rows.\(name)", sizes.activeRows)
      put("entries.\(name)", sizes.activeSlots)
      put("bytes.rows.\(name)", sizes.bytes)
      rowBytes += sizes.bytes
    }
    put("bytes.rows", rowBytes)
    let bytes = engine.interactions.dictionaryBytes
    put("bytes.users", bytes.users)
    put("bytes.items", bytes.items)
    put("bytes.sessions", bytes.sessions)
    put("bytes.orders", bytes.orders)
    put("bytes.listeners", engine.audienceBytes)
  }

  /// Percentiles of a histogram of microseconds, where it has any.
  mutating func put(_ name: String, _ histogram: Histogram<UInt64>) {
    if histogram.totalCount == 0 { return }
    put("\(name)_p50_ms", Double(histogram.valueAtPercentile(50)) / 1000)
    put("\(name)_p99_ms", Double(histogram.valueAtPercentile(99)) / 1000)
    put("\(name)_p999_ms", Double(histogram.valueAtPercentile(99.9)) / 1000)
    put("\(name)_max_ms", Double(histogram.max) / 1000)
  }

  mutating func put(_ sizes: ModelSizes) {
    put("model_items", sizes.items)
    put("model_pairs", sizes.pairs)
    put("model_neighbours", sizes.neighbours)
    put("model_baskets", sizes.baskets)
    put("model_rules", sizes.rules)
  }

  mutating func put(rejects: [Int], unknownTypes: Int) {
    for reason in RejectReason.allCases where rejects[Int(reason.rawValue)] > 0 {
      put("rejected.\(reason.code)", rejects[Int(reason.rawValue)])
    }
    put("rejected", rejects.reduce(0, +))
    put("unknown_types", unknownTypes)
  }
}

enum Process {
  /// Resident bytes of this process.
  static var residentBytes: Int {
    guard let file = fopen("/proc/self/statm", "re") else { return 0 }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 128)
    guard fgets(&buffer, 128, file) != nil else { return 0 }
    let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
  }

  /// Milliseconds since 1970.
  static var wallClock: Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
  }

  /// Nanoseconds of a clock that never steps back.
  static var monotonic: Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
  }
}
