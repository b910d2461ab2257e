// The catalogue by its topic: lists per category as replay has them, bad records to the dead letters once;
// and the lines that replay writes of what it rejects.
import Events
import Foundation
import Kafka
import Testing

@Suite(.ownThread) struct CatalogueTests {
  @Test func categoriesAndBadRecords() async throws {
    let folder = try Folder("catalogue")
    let (log, products) = (folder.file("log.jsonl"), folder.file("products.jsonl"))
    try await Program.succeed(
      [
        "simulate", "--events", "6000", "--seed", "8", "--users", "500", "--items", "120", "--start",
        "2024-03-01", "--span", "5d", "--out", log, "--catalogue", products,
      ], in: folder)
    let replay = folder.file("replay")
    try await Program.succeed(
      ["replay", log, "--out", replay, "--ticks", "end", "--final", "--catalogue", products], in: folder)

    let broker = try await Broker(partitions: 3, in: folder)
    let reader = TopicReader(broker)
    let bad: [(key: [UInt8]?, value: [UInt8], reason: String)] = [
      (nil, Array("{\"title\":\"x\"}".utf8), "missing_key"),
      (Array("sku-1".utf8), Array("{\"title\":".utf8), "malformed_json"),
      (Array("sku-1".utf8), Array("[]".utf8), "not_an_object"),
      (Array("sku-1".utf8), Array("{\"title\":7}".utf8), "wrong_type_of_field"),
    ]
    let producer = try Producer(config: ["bootstrap.servers": broker.bootstrap])
    let topic = try producer.topic("shop.catalogue")
    for one in bad {
      let result = one.value.withUnsafeBytes { value in
        one.key.map { key in key.withUnsafeBytes { producer.send(to: topic, key: $0, value: value) } }
          ?? producer.send(to: topic, key: nil, value: value)
      }
      #expect(result == .accepted)
    }
    #expect(producer.flush(deadlineMilliseconds: 20_000) { _ in } == 0)
    try await Program.succeed(["produce", "--catalogue", products, "-b", broker.bootstrap], in: folder)
    try await Program.succeed(["produce", log, "-b", broker.bootstrap], in: folder)
    let daemon = try LiveDaemon(broker, in: folder)
    try await daemon.settle(reader, events: 6000)
    #expect(daemon.metric("catalogue") == (try lines(of: products).count))
    try await daemon.stop()

    // Once more: the catalogue is read anew, its dead letters do not come again.
    try daemon.restart()
    try await eventually(60, "it is back: \(daemon.log.suffix(500))") {
      try daemon.requireRunning()
      return reader.count("affinity.models") == 2 && daemon.metric("models") == 1
    }
    try await daemon.stop()
    try await reader.stop()

    let letters = reader.read("affinity.dead-letters")
    #expect(letters.count == bad.count)
    func header(_ record: Record, _ name: String) -> String? {
      record.headers.first { $0.name == name }.map { String(decoding: $0.value ?? [], as: UTF8.self) }
    }
    for one in bad {
      let letter = letters.first { $0.value == one.value }
      #expect(letter?.key == one.key)
      #expect(letter.flatMap { header($0, "affinity.reason") } == one.reason)
      #expect(letter.flatMap { header($0, "__connect.errors.topic") } == "shop.catalogue")
    }
    let live = Set(reader.table("affinity.popular").values.map { withoutModel($0) })
    let replayed = Set(try lines(of: replay + "/popular.jsonl").map { withoutModel($0) })
    #expect(replayed.count > 4, "a list per category")
    let isEqual = live == replayed
    #expect(isEqual, "popular: \(live.count) live, \(replayed.count) by replay")
  }

  /// A log file of poison among events: replay's dead letters are lines of its schema, in order, with the
  /// reasons of the live daemon; all else is unharmed.
  @Test func replayRejectsByLine() async throws {
    let folder = try Folder("rejects")
    let log = folder.file("log.jsonl")
    try await Program.succeed(
      ["simulate", "--events", "2000", "--start", "2024-03-01", "--span", "5d", "--out", log], in: folder)
    let good = try lines(of: log)
    var bad: [(line: [UInt8], reason: String)] = []
    for kind in Poison.all(good: good[0], maxMessageBytes: 10_000) {
      // Lines know neither headers nor nulls, record times or ends of line.
      guard case .deadLetter(let reason) = kind.fate, kind.headers.isEmpty, let value = kind.value,
        !value.isEmpty, !value.contains(10), reason != "future", !kind.isGiant
      else { continue }
      bad.append((value, reason))
    }
    #expect(bad.count > 35)
    var mixed: [[UInt8]] = []
    for (i, line) in good.enumerated() {
      mixed.append(line)
      if i < bad.count { mixed.append(bad[i].line) }
    }
    let path = folder.file("mixed.jsonl")
    try write(mixed, to: path)
    let clean = try await Program.succeed(
      ["replay", log, "--out", folder.file("clean"), "--ticks", "end", "--json"], in: folder)
    let dirty = try await Program.succeed(
      ["replay", path, "--out", folder.file("dirty"), "--ticks", "end", "--json"], in: folder)
    let (a, b) = (try JSON(clean.output), try JSON(dirty.output))
    #expect(a["digest"]?.string == b["digest"]?.string)
    #expect(a["counts_digest"]?.string == b["counts_digest"]?.string)
    let letters = try lines(of: folder.file("dirty/dead-letters.jsonl"))
    #expect(letters.count == bad.count)
    for (letter, one) in zip(letters, bad) {
      let json = try JSON(String(decoding: letter, as: UTF8.self))
      #expect(json["reason"]?.string == one.reason)
      let value =
        json["value"]?.string.map { Array($0.utf8) }
        ?? json["value_base64"]?.string.flatMap { Data(base64Encoded: $0) }.map { [UInt8]($0) }
      #expect(value == one.line)
    }
    try await expectSchema("dead-letter", folder.file("dirty/dead-letters.jsonl"), in: folder)
    for (schema, name, every) in [
      ("recommendation", "recommendations", 20), ("neighbours", "neighbours", 20), ("rules", "rules", 10),
      ("popular", "popular", 1), ("model", "models", 1), ("metrics", "metrics", 1),
    ] {
      try await expectSchema(schema, folder.file("dirty/\(name).jsonl"), every: every, in: folder)
    }
    let judged = try await Program.run(["validate", path, "--json"], in: folder)
    #expect(judged.status == 1)
    #expect(try JSON(judged.output)["events"]?.number == 2000)
  }
}
