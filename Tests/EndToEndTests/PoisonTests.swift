// Nothing stops it: every kind of poison by the hundred among good events. Each ends as it must, the good
// ones are all applied, memory stays flat; and what is large costs what the bounds say.
import Events
import Foundation
import Kafka
import Testing

@Suite(.ownThread) struct PoisonTests {
  static let maxMessageBytes = 4_000_000

  /// What was sent, and where it is.
  final class Sent: @unchecked Sendable {
    let producer: Producer
    let topic: ProducerTopic
    private(set) var count = 0
    private(set) var places: [(partition: Int32, offset: Int64)] = []
    private(set) var failures = 0

    init(_ broker: Broker) throws {
      producer = try Producer(
        config: [
          "bootstrap.servers": broker.bootstrap, "message.max.bytes": "8000000", "linger.ms": "2",
        ])
      topic = try producer.topic("shop.events")
      _ = try producer.requireTopics([topic], timeoutMilliseconds: 20_000)
    }

    func send(_ key: [UInt8]?, _ value: [UInt8]?, _ headers: [Header] = []) throws {
      func raw<R>(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
        guard let bytes else { return body(nil) }
        return bytes.withUnsafeBytes { body($0) }
      }
      places.append((-1, -1))
      while true {
        let result = raw(key) { key in
          raw(value) { value in
            producer.send(
              to: topic, key: key, value: value, headers: headers, opaque: UInt64(count))
          }
        }
        switch result {
        case .accepted:
          count += 1
          if count % 500 == 0 { take(0) }
          return
        case .queueFull: take(10)
        default: throw TestFailure(description: "send: \(result)")
        }
      }
    }

    private func take(_ wait: Int) {
      producer.poll(timeoutMilliseconds: wait) { note($0) }
    }

    private func note(_ reports: UnsafeBufferPointer<DeliveryReport>) {
      for report in reports {
        if report.failure != nil { failures += 1 }
        places[Int(report.opaque)] = (report.partition, report.offset)
      }
    }

    func flush() throws {
      let left = producer.flush(deadlineMilliseconds: 20_000) { note($0) }
      if left > 0 || failures > 0 {
        throw TestFailure(description: "\(left) not sent, \(failures) failed")
      }
    }
  }

  @Test("faults 8, 9, 11, 12: every kind of poison, giants, a huge basket and a bot among good events: a dead letter with its reason each, the rest applied")
  func everyKindAmongGoodEvents() async throws {
    let folder = try Folder("poison")
    let simulated = folder.file("simulated.jsonl")
    try await Program.succeed(
      [
        "simulate", "--events", "20000", "--seed", "5", "--users", "2000", "--items", "400", "--start",
        "2024-03-01", "--span", "5d", "--out", simulated,
      ], in: folder)
    let good = try lines(of: simulated)
    let keys = good.map { line -> [UInt8] in
      let event = try? JSON(String(decoding: line, as: UTF8.self))
      let key = event?["user"]?.string ?? event?["session"]?.string ?? event?["order"]?.string ?? ""
      return Array(key.utf8)
    }
    // A line that is a purchase, so that it stands in several matrices.
    let twin = try #require(
      good.first { String(decoding: $0, as: UTF8.self).contains("\"type\":\"purchase\"") })
    let kinds = Poison.all(good: twin, maxMessageBytes: Self.maxMessageBytes)
    #expect(kinds.count > 60)
    let largeBasket = Array(
      ("{\"type\":\"purchase\",\"time\":\"2024-03-04T00:00:00.000Z\",\"user\":\"large\",\"order\":\"o-large\",\"items\":["
        + (0..<10_000).map { "{\"id\":\"sku-\($0 % 5000 + 10_000 * ($0 / 5000))\"}" }.joined(separator: ",")
        + "]}").utf8)
    let botEvents = 300_000
    let start: Int64 = 1_709_251_200_000  // 2024-03-01
    let bot = (0..<botEvents).map { i in
      Array(
        "{\"type\":\"view\",\"time\":\(start + Int64(i) * 1000),\"user\":\"bot\",\"session\":\"b-\(i / 5000)\",\"items\":[{\"id\":\"sku-\(1000 + i % 3000)\"}]}"
          .utf8)
    }
    let clean = folder.file("clean.jsonl")
    try write(good + [largeBasket] + bot, to: clean)
    let replay = try await Program.succeed(
      [
        "replay", clean, "--out", folder.file("replay"), "--ticks", "end", "--json",
        "--set", "rules.min_support=5",
      ],
      in: folder)

    let broker = try await Broker(partitions: 8, in: folder)
    let reader = TopicReader(broker, topics: ["affinity.models", "affinity.dead-letters"])
    let daemon = try LiveDaemon(
      broker, in: folder, kafka: ["message.max.bytes": "\(Self.maxMessageBytes)"],
      settings: ["rules.min_support": "5"])
    let sent = try Sent(broker)
    var poisoned: [(kind: Int, at: Int)] = []

    // Too old is what lies before the horizon, and only ticks move that: so first a model.
    for i in 0..<1000 { try sent.send(keys[i], good[i]) }
    try sent.flush()
    try await daemon.settle(reader, events: sent.count)

    /// All good events, with poison among them. The broker forgets what nobody has read: giants wait.
    func pass() async throws {
      var next = 0
      let small = kinds.indices.filter { !kinds[$0].isGiant }
      let giants = kinds.indices.filter { kinds[$0].isGiant }
      for i in good.indices {
        try sent.send(keys[i], good[i])
        if i % 2 == 0 {
          // 10,000 of some 60 kinds: each more than a hundred times.
          let kind = small[next % small.count]
          next += 1
          poisoned.append((kind, sent.count))
          try sent.send(kinds[kind].key, kinds[kind].value, kinds[kind].headers)
        }
        if i % 1000 == 999 {
          try sent.flush()
          try await eventually(60, "the daemon keeps up: \(daemon.log.suffix(500))") {
            try daemon.requireRunning()
            return daemon.metric("events_total") >= sent.count - 3000
          }
        }
      }
      for kind in giants + giants + giants {
        poisoned.append((kind, sent.count))
        try sent.send(kinds[kind].key, kinds[kind].value, kinds[kind].headers)
        try sent.flush()
        try await eventually(30, "the daemon has \(kinds[kind].name)") {
          try daemon.requireRunning()
          return daemon.metric("events_total") == sent.count
        }
      }
      try await daemon.settle(reader, events: sent.count)
    }

    try await pass()
    let before = daemon.metric("bytes.resident")
    try await pass()
    let after = daemon.metric("bytes.resident")
    print("poison: resident \(before >> 20) MiB after one pass, \(after >> 20) MiB after another")
    #expect(after - before < 64 << 20, "resident before \(before), after the second pass \(after)")

    // What is large: the basket, and a user who never rests.
    try sent.send(Array("large".utf8), largeBasket)
    for (i, line) in bot.enumerated() {
      try sent.send(Array("bot".utf8), line)
      if i % 10_000 == 9999 {
        try sent.flush()
        try await eventually(60, "the daemon keeps up with the bot") {
          try daemon.requireRunning()
          return daemon.metric("events_total") >= sent.count - 15_000
        }
      }
    }
    try sent.flush()
    try await daemon.settle(reader, events: sent.count)
    let grown = daemon.metric("bytes.resident")
    print("bot: resident \(grown >> 20) MiB after \(botEvents) events of one user")
    #expect(grown - after < 64 << 20, "resident before the bot \(after), after it \(grown)")
    let metrics = try #require(daemon.metrics)
    // Rows of at most 200 slots, whatever a user does.
    #expect(metrics["slots_evicted"]?.number ?? 0 > Double(botEvents) - 2000)
    #expect(metrics["entries.user_view"]?.number ?? .infinity < 200 * 2100)

    // Every one of them ended as it must.
    var expected: [String: Int] = [:]
    for one in poisoned {
      switch kinds[one.kind].fate {
      case .deadLetter(let reason), .stub(let reason): expected["rejected.\(reason)", default: 0] += 1
      case .counted(let name): expected[name, default: 0] += 1
      case .applied: break
      }
    }
    for (name, count) in expected.sorted(by: { $0.key < $1.key }) {
      #expect(metrics[name]?.number == Double(count), "\(name)")
    }
    let counted = expected.filter { !$0.key.hasPrefix("rejected.") }.values.reduce(0, +)
    let rejected = expected.filter { $0.key.hasPrefix("rejected.") }.values.reduce(0, +)
    #expect(metrics["rejected"]?.number == Double(rejected))
    #expect(metrics["outcome.applied"]?.number == Double(sent.count - counted - rejected))
    #expect(metrics["messages_too_large"]?.number == 0)

    try await eventually(30, "the reader has \(rejected) dead letters") {
      reader.count("affinity.dead-letters") >= rejected
    }
    try await daemon.stop()
    try await reader.stop()

    // The good ones are all applied, and nothing else is.
    let summary = try JSON(replay.output)
    let digest = try #require(summary["digest"]?.string)
    #expect(daemon.metrics?["digest"]?.string == digest)
    let isSaid = daemon.log.contains("stopped: \(sent.count) records read, rows digest \(digest)")
    #expect(isSaid)
    let model = try #require(reader.last("affinity.models")?.json)
    #expect(model["digest"]?.string == digest)
    #expect(model["counts_digest"] == summary["counts_digest"])

    check(reader.read("affinity.dead-letters"), poisoned, kinds, sent, rejected)
    try await expectSchema("metrics", daemon.metricsPath, in: folder)
  }

  /// Each letter as it came: key, value and headers, and what the connector's convention adds.
  private func check(
    _ letters: [Record], _ poisoned: [(kind: Int, at: Int)], _ kinds: [Poison], _ sent: Sent, _ count: Int
  ) {
    #expect(letters.count == count)
    var byPlace: [String: Record] = [:]
    for letter in letters {
      let texts = Dictionary(
        letter.headers.map { ($0.name, String(decoding: $0.value ?? [], as: UTF8.self)) }
      ) { $1 }
      let place = "\(texts["__connect.errors.partition"] ?? "")-\(texts["__connect.errors.offset"] ?? "")"
      #expect(byPlace[place] == nil, "twice: \(place)")
      byPlace[place] = letter
    }
    var faults: [String] = []
    for one in poisoned {
      let kind = kinds[one.kind]
      let (partition, offset) = sent.places[one.at]
      let letter = byPlace["\(partition)-\(offset)"]
      func fault(_ text: String) { faults.append("\(kind.name) at \(partition)-\(offset): \(text)") }
      guard case .deadLetter(let reason) = kind.fate else {
        if case .stub(let reason) = kind.fate { checkStub(letter, kind, reason, fault) } else if letter != nil { fault("a dead letter") }
        continue
      }
      guard let letter else {
        fault("no dead letter")
        continue
      }
      if letter.key != kind.key { fault("another key") }
      if letter.value != kind.value { fault("another value") }
      if Array(letter.headers.prefix(kind.headers.count)) != kind.headers { fault("other headers") }
      let ours = letter.headers.dropFirst(kind.headers.count)
      func text(_ name: String) -> String? {
        ours.first { $0.name == name }.map { String(decoding: $0.value ?? [], as: UTF8.self) }
      }
      if text("affinity.reason") != reason { fault("reason \(text("affinity.reason") ?? "none"), not \(reason)") }
      let wanted = [
        ("topic", "shop.events"), ("connector.name", "affinity"), ("task.id", "0"), ("stage", "VALUE_CONVERTER"),
        ("exception.class.name", "affinity.events.Rejection"),
      ]
      for (name, value) in wanted where text("__connect.errors.\(name)") != value {
        fault("\(name) is \(text("__connect.errors.\(name)") ?? "missing")")
      }
      if text("__connect.errors.exception.message")?.hasPrefix("shop.events[\(partition)]@\(offset): ") != true {
        fault("message \(text("__connect.errors.exception.message") ?? "none")")
      }
    }
    #expect(faults.isEmpty, "\(faults.count): \(faults.prefix(12))")
  }

  private func checkStub(
    _ letter: Record?, _ kind: Poison, _ reason: String, _ fault: (String) -> Void
  ) {
    guard let letter, let value = kind.value else { return fault("no dead letter") }
    func text(_ name: String) -> String? {
      letter.headers.first { $0.name == name }.map { String(decoding: $0.value ?? [], as: UTF8.self) }
    }
    if letter.key != kind.key { fault("another key") }
    if letter.value != Array(value.prefix(4096)) { fault("not its first 4096 bytes") }
    if text("affinity.reason") != reason { fault("reason \(text("affinity.reason") ?? "none")") }
    if text("affinity.value.bytes") != "\(value.count)" { fault("bytes \(text("affinity.value.bytes") ?? "")") }
    if text("affinity.value.murmur3")?.count != 32 { fault("no fingerprint") }
  }
}
