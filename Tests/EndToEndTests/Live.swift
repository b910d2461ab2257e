// What the flows share: an embedded broker, a daemon with its files, and an outside consumer that reads
// along from the first record, since the broker keeps only 5 MiB a partition.
import Events
import Foundation
import Kafka
import Synchronization
import Testing

/// `affinityd broker` as a process.
final class Broker: Sendable {
  let program: Program
  let bootstrap: String
  let partitions: Int

  init(partitions: Int, in folder: Folder) async throws {
    self.partitions = partitions
    let file = folder.file("bootstrap")
    let program = try Program(
      ["broker", "--partitions", "\(partitions)", "--bootstrap-file", file], in: folder)
    var text = ""
    try await eventually(30, "the broker listens") {
      text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
      return text.hasSuffix("\n")
    }
    self.program = program
    bootstrap = text.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// What the group has committed, by partition; nil where nothing is.
  func committed(group: String = "affinity") throws -> [Int64?] {
    let consumer = try Consumer(
      config: ["bootstrap.servers": bootstrap, "group.id": group], topics: ["shop.events"])
    defer { _ = consumer.close(deadlineMilliseconds: 2000) }
    return try consumer.committed(
      (0..<partitions).map { TopicPartition(topic: 0, partition: $0) }
    ).map(\.offset)
  }
}

/// `affinityd run` with a configuration file, its logs, and what its metrics say.
final class LiveDaemon: @unchecked Sendable {
  let folder: Folder
  let configuration: String
  let metricsPath: String
  let logPath: String
  private(set) var program: Program

  /// - Parameters:
  ///   - kafka: properties over those every test needs.
  ///   - settings: keys over those of the file below.
  init(
    _ broker: Broker, in folder: Folder, name: String = "daemon", kafka: [String: String] = [:],
    settings: [String: String] = [:]
  ) throws {
    self.folder = folder
    metricsPath = folder.file("\(name)-metrics.jsonl")
    logPath = folder.file("\(name).log")
    configuration = folder.file("\(name).yaml")
    var properties = [
      "bootstrap.servers": broker.bootstrap, "group.id": "affinity", "session.timeout.ms": "6000",
      "linger.ms": "5",
    ]
    properties.merge(kafka) { $1 }
    var text = "kafka:\n"
    for name in properties.keys.sorted() { text += "  \(name): \"\(properties[name] ?? "")\"\n" }
    text += """
      delivery: at_least_once
      state: {directory: "\(folder.file("\(name)-state"))"}
      model: {interval: 500ms}
      rules: {interval: 0s}
      metrics: {interval: 200ms, file: "\(metricsPath)"}
      log: {file: "\(logPath)"}
      admin: {listen: "off"}

      """
    try text.write(toFile: configuration, atomically: true, encoding: .utf8)
    arguments =
      ["run", "--config", configuration]
      + settings.keys.sorted().flatMap { ["--set", "\($0)=\(settings[$0] ?? "")"] }
    program = try Program(arguments, in: folder)
  }

  private let arguments: [String]

  /// A new process with the same configuration and files.
  func restart() throws {
    isRestarted = true
    program = try Program(arguments, in: folder)
  }
  private var isRestarted = false

  /// The last whole line of the metrics log.
  var metrics: JSON? {
    guard let text = try? String(contentsOfFile: metricsPath, encoding: .utf8),
      let end = text.lastIndex(of: "\n")
    else { return nil }
    let whole = text[..<end]
    let line = whole[(whole.lastIndex(of: "\n").map { whole.index(after: $0) } ?? whole.startIndex)...]
    return try? JSON(String(line))
  }

  func metric(_ name: String) -> Int { Int(metrics?[name]?.number ?? -1) }

  var log: String { (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? "" }

  /// SIGTERM, and the drain's good end.
  func stop(
    within seconds: Double = 40, sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    program.signal(SIGTERM)
    let outcome = try await program.end(within: seconds)
    try #require(
      outcome.status == 0, "\(outcome.complaint) \(log.suffix(1000))",
      sourceLocation: sourceLocation)
  }

  func requireRunning(sourceLocation: SourceLocation = #_sourceLocation) throws {
    try #require(
      program.isRunning, "the daemon ended: \(program.complaint) \(log.suffix(2000))",
      sourceLocation: sourceLocation)
  }

  /// Waits until a model is announced that was made from `events` records, and all that belongs to it is out.
  func settle(_ reader: TopicReader, events: Int, within seconds: Double = 60) async throws {
    try await eventually(
      seconds,
      "a model of \(events) events; metrics \(self.metric("events_total")), last model \(reader.last("affinity.models").map { String(decoding: $0.value ?? [], as: UTF8.self) } ?? "none"); log \(self.log.suffix(1500))"
    ) {
      try requireRunning()
      guard let last = reader.last("affinity.models")?.json else { return false }
      return total(last["offsets"]) == events
    }
    let model = reader.last("affinity.models")?.keyText
    try await eventually(
      seconds, "all of \(model ?? "") is out: \(self.metrics.map { "\($0)" } ?? "")"
    ) {
      try requireRunning()
      guard let line = metrics, line["model"]?.string == model else { return false }
      // A restart from a snapshot has read only what came after it.
      return (isRestarted || line["events_total"]?.number ?? 0 >= Double(events))
        && ["messages_waiting", "renewals_waiting", "lists_waiting", "messages_in_flight"].allSatisfy {
          line[$0]?.number == 0
        }
    }
  }
}

/// Records in an offset vector of the models topic.
func total(_ vector: JSON?, topic: String = "shop.events") -> Int {
  guard case .object(let partitions) = vector?[topic] else { return 0 }
  return partitions.reduce(0) { $0 + Int($1.value.number ?? 0) }
}

/// A record as an outside consumer has it.
struct Record: Sendable {
  var partition: Int32
  var offset: Int64
  var timestamp: Int64
  var key: [UInt8]?
  var value: [UInt8]?
  var headers: [Header]

  var keyText: String { String(decoding: key ?? [], as: UTF8.self) }
  /// The id of a recommendation: its first member.
  var id: String? {
    guard let value, value.starts(with: "{\"id\":\"".utf8) else { return nil }
    return String(decoding: value.dropFirst(7).prefix { $0 != 0x22 }, as: UTF8.self)
  }
  var json: JSON? { value.flatMap { try? JSON(String(decoding: $0, as: UTF8.self)) } }
}

/// Reads whole topics on a thread of its own, from their beginning.
final class TopicReader: Sendable {
  private let records: Mutex<[[Record]]>
  private let complaints = Mutex<[String]>([])
  private let isStopped = Atomic<Bool>(false)
  private let isDone = Atomic<Bool>(false)
  let topics: [String]

  static let outputs = [
    "affinity.recommendations", "affinity.neighbours", "affinity.rules", "affinity.popular",
    "affinity.models", "affinity.dead-letters",
  ]

  init(_ broker: Broker, topics: [String] = TopicReader.outputs) {
    self.topics = topics
    records = Mutex(topics.map { _ in [] })
    let (bootstrap, partitions) = (broker.bootstrap, broker.partitions)
    Thread.detachNewThread { [self] in
      do {
        let consumer = try Consumer(
          config: [
            "bootstrap.servers": bootstrap, "fetch.wait.max.ms": "20",
            "fetch.message.max.bytes": "8388608",
          ], topics: topics)
        var starts: [PartitionStart] = []
        for topic in topics.indices {
          for partition in 0..<partitions {
            starts.append(
              PartitionStart(TopicPartition(topic: topic, partition: partition), .at(0)))
          }
        }
        try consumer.assign(starts)
        while !isStopped.load(ordering: .acquiring) {
          let batch = try consumer.poll(maxMessages: 5000, timeoutMilliseconds: 50)
          for event in batch.events {
            if case .offsetOutOfRange(let place, let offset, _) = event {
              complaints.withLock { $0.append("lost from \(place) at \(offset ?? -1)") }
            }
          }
          var fresh: [(Int, Record)] = []
          for message in batch.messages {
            fresh.append(
              (
                Int(message.topic),
                Record(
                  partition: message.partition, offset: message.offset,
                  timestamp: message.timestamp ?? -1, key: message.key.map { [UInt8]($0) },
                  value: message.value.map { [UInt8]($0) }, headers: message.copyHeaders())
              ))
          }
          if !fresh.isEmpty {
            records.withLock { all in for (topic, record) in fresh { all[topic].append(record) } }
          }
        }
        _ = consumer.close(deadlineMilliseconds: 3000)
      } catch { complaints.withLock { $0.append("\(error)") } }
      isDone.store(true, ordering: .releasing)
    }
  }
  deinit { isStopped.store(true, ordering: .releasing) }

  private func index(_ topic: String) -> Int { topics.firstIndex(of: topic) ?? 0 }
  func read(_ topic: String) -> [Record] { records.withLock { $0[index(topic)] } }
  func count(_ topic: String) -> Int { records.withLock { $0[index(topic)].count } }
  func last(_ topic: String) -> Record? { records.withLock { $0[index(topic)].last } }
  var total: Int { records.withLock { $0.reduce(0) { $0 + $1.count } } }

  /// Stops reading; what could not be read is a failure. Records then stand by partition and offset
  /// without a gap.
  func stop(sourceLocation: SourceLocation = #_sourceLocation) async throws {
    isStopped.store(true, ordering: .releasing)
    try await eventually(10, "the reader stops") { isDone.load(ordering: .acquiring) }
    let said = complaints.withLock { $0 }
    #expect(said.isEmpty, "\(said)", sourceLocation: sourceLocation)
    let gaps = records.withLock { all in
      all.map { records in
        var next: [Int32: Int64] = [:]
        return records.count { record in
          defer { next[record.partition] = record.offset + 1 }
          return record.offset != next[record.partition] ?? 0
        }
      }
    }
    #expect(gaps.allSatisfy { $0 == 0 }, "the broker dropped records the reader had not had", sourceLocation: sourceLocation)
  }

  /// A compacted topic as its reader has it in the end: last value per key, nulls left out.
  func table(_ topic: String) -> [[UInt8]: [UInt8]] {
    var state: [[UInt8]: [UInt8]] = [:]
    for record in read(topic) { state[record.key ?? []] = record.value }
    return state
  }

  /// The topic's values as JSON lines, a null as replay writes it.
  func dump(_ topic: String, to path: String) throws {
    try write(
      read(topic).map { record in
        if let value = record.value { return value }
        return Array("{\"key\":\"\",\"deleted\":true}".utf8)
      }, to: path)
  }
}

extension TopicReader {
  /// The topic as `kcat -C -J` prints it, in the order it was read: what replay reads with its places.
  func dumpLikeKcat(_ topic: String, to path: String) throws {
    func quoted(_ bytes: [UInt8]?) -> String {
      guard let bytes else { return "null" }
      var text = "\""
      for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
        switch scalar {
        case "\"": text += "\\\""
        case "\\": text += "\\\\"
        case _ where scalar.value < 32: text += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
        default: text.unicodeScalars.append(scalar)
        }
      }
      return text + "\""
    }
    try write(
      read(topic).map { record in
        Array(
          "{\"topic\":\"\(topic)\",\"partition\":\(record.partition),\"offset\":\(record.offset),\"tstype\":\"create\",\"ts\":\(record.timestamp),\"key\":\(quoted(record.key)),\"payload\":\(quoted(record.value))}"
            .utf8)
      }, to: path)
  }
}

/// A message without what names its model: the id of a renewed list, its model, its cause and time.
func withoutModel(_ value: [UInt8]) -> [UInt8] {
  var text = String(decoding: value, as: UTF8.self)
  if let range = text.firstRange(of: ",\"model\":\"m-") {
    let end = text[range.upperBound...].firstIndex(of: "\"") ?? text.endIndex
    text.removeSubrange(range.lowerBound...end)
  }
  return Array(text.utf8)
}

/// Items and scores of a message's lists: what makes a list another one. Evidence that moves without them
/// (the number of contexts, say) renews no list.
func scores(_ value: [UInt8]) -> String {
  guard let json = try? JSON(String(decoding: value, as: UTF8.self)),
    case .object(let lists) = json["lists"]
  else { return "unreadable" }
  return lists.map { list in
    let items = (list.value.array ?? []).map {
      "\($0["id"]?.string ?? "?") \($0["score"]?.number ?? -1) \($0["rest"]?.number ?? -1)"
    }
    return "\(list.key): " + items.joined(separator: ", ")
  }.joined(separator: "; ")
}

/// A replay's file of a keyed topic in its final state, by the member that is the key.
func finalTable(_ path: String, key: (JSON) -> String?) throws -> [[UInt8]: [UInt8]] {
  var table: [[UInt8]: [UInt8]] = [:]
  for line in try lines(of: path) {
    guard let json = try? JSON(String(decoding: line, as: UTF8.self)), let key = key(json) else {
      throw TestFailure(description: "\(path): no key in \(String(decoding: line.prefix(200), as: UTF8.self))")
    }
    table[Array(key.utf8)] = line
  }
  return table
}

/// Both tables alike; says the first difference.
func expectEqual(
  _ what: String, _ live: [[UInt8]: String], _ replay: [[UInt8]: String],
  sourceLocation: SourceLocation = #_sourceLocation
) {
  var differences: [String] = []
  for key in Set(live.keys).union(replay.keys) where live[key] != replay[key] {
    if differences.count < 2 {
      let (a, b) = (live[key] ?? "nothing", replay[key] ?? "nothing")
      let at = zip(a, b).prefix { $0 == $1 }.count
      func around(_ text: String) -> Substring { text.dropFirst(max(0, at - 60)).prefix(160) }
      differences.append("\(String(decoding: key, as: UTF8.self)): live …\(around(a)) replay …\(around(b))")
    } else {
      differences.append("")
    }
  }
  #expect(
    differences.isEmpty,
    "\(what): \(differences.count) of \(replay.count) differ: \(differences.prefix(2))",
    sourceLocation: sourceLocation)
}

/// Holds a file of messages against its schema.
func expectSchema(
  _ schema: String, _ path: String, every: Int = 1, in folder: Folder,
  sourceLocation: SourceLocation = #_sourceLocation
) async throws {
  let root = Program.root
  let outcome = try await Program(
    [
      root + "/scripts/check-schemas.py", "--every", "\(every)",
      root + "/schemas/\(schema).schema.json", path,
    ], in: folder, name: "check", program: "/usr/bin/python3"
  ).end(within: 120)
  #expect(
    outcome.status == 0, "\(schema): \(outcome.complaint.prefix(3000))",
    sourceLocation: sourceLocation)
}
