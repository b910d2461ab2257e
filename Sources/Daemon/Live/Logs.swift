// The readable log: one line a message, `2026-03-01T10:15:30.123Z info affinityd: text`, to standard error or a
// file that is opened anew on SIGHUP. No user, session or item key is ever logged.
import Events
import Kafka
import Logging
import Synchronization

public struct LogFile: LogHandler {
  private let file: ReopenableFile
  private let label: String
  private let threshold: LogThreshold
  public var metadata: Logger.Metadata = [:]
  public var logLevel: Logger.Level {
    get { threshold.level }
    nonmutating set { threshold.level = newValue }
  }

  private static let open = Mutex<[ReopenableFile]>([])

  public init(label: String, file: ReopenableFile, level: Logger.Level) {
    self.init(label: label, file: file, threshold: LogThreshold(level))
  }

  public init(label: String, file: ReopenableFile, threshold: LogThreshold) {
    self.label = label
    self.file = file
    self.threshold = threshold
    LogFile.open.withLock { $0.append(file) }
  }

  static func reopenAll() {
    let files = open.withLock { $0 }
    for file in files { file.reopen() }
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    var line = "\(EventTime.string(Process.wallClock)) \(event.level) \(label): \(event.message)"
    let all = metadata.merging(event.metadata ?? [:]) { $1 }
    for (key, value) in all.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(value)" }
    line.withUTF8 { file.write(line: UnsafeRawBufferPointer($0)) }
  }
}

/// What is worth a line, shared by all copies of a logger so that a reload can change it.
public final class LogThreshold: Sendable {
  private let index: Atomic<Int>

  init(_ level: Logger.Level) { index = Atomic(LogThreshold.index(of: level)) }
  /// By the name of the configuration, which are swift-log's.
  public convenience init(_ level: Configuration.LogLevel) {
    self.init(Logger.Level(rawValue: level.rawValue) ?? .info)
  }

  public var level: Logger.Level {
    get { Logger.Level.allCases[index.load(ordering: .relaxed)] }
    set { index.store(LogThreshold.index(of: newValue), ordering: .relaxed) }
  }
  public func set(_ level: Configuration.LogLevel) {
    self.level = Logger.Level(rawValue: level.rawValue) ?? .info
  }

  private static func index(of level: Logger.Level) -> Int {
    Logger.Level.allCases.firstIndex(of: level) ?? 0
  }
}

/// librdkafka's own lines: kept to one of a kind per ten seconds, since an outage repeats them.
public final class ClientLog: Sendable {
  private let logger: Logger
  private let recent = Mutex<[String: (time: Int64, skipped: Int)]>([:])

  public init(_ logger: Logger) { self.logger = logger }

  func take(_ line: LogLine) {
    let now = Process.monotonic
    let skipped: Int? = recent.withLock { recent in
      if let last = recent[line.facility], now - last.time < 10_000_000_000 {
        recent[line.facility] = (last.time, last.skipped + 1)
        return nil
      }
      if recent.count > 256 { recent.removeAll() }
      let before = recent[line.facility]?.skipped ?? 0
      recent[line.facility] = (now, 0)
      return before
    }
    guard let skipped else { return }
    let text = "librdkafka \(line.facility): \(line.message)\(skipped > 0 ? " (\(skipped) alike not shown)" : "")"
    switch line.level {
    case ...3: logger.error("\(text)")
    case 4: logger.warning("\(text)")
    case 5, 6: logger.info("\(text)")
    default: logger.debug("\(text)")
    }
  }
}
