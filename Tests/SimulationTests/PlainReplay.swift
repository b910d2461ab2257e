// What should have been said: the log replayed plainly, without interruption, with the ticks of the models
// topic. And what was said, as an independent reader of committed records sees it, held against that.
import Daemon
import Engine
import Events
import Kafka
import SimulatedKafka
import Sparse

/// A message of an output topic. `value` nil: a deletion.
struct Said: Hashable {
  var key: [UInt8]
  var value: [UInt8]?

  var text: String {
    "\(String(decoding: key, as: UTF8.self)): \(value.map { String(decoding: $0.prefix(300), as: UTF8.self) } ?? "null")"
  }
}

final class PlainReplay {
  private(set) var said = [[Said]](repeating: [], count: OutputTopic.allCases.count)
  private(set) var digest = Fingerprint.zero
  private(set) var lists = 0

  /// - Parameters:
  ///   - log: per partition, every record's value.
  ///   - lost: per partition, records that nobody has read.
  init(
    _ configuration: EngineConfiguration, topics: [String], log: [[ShopLog.Record]],
    lost: [Range<Int>], models: [RecordedModel]
  ) {
    var engine = Engine(configuration, topics: topics)
    var builder = ModelBuilder(configuration)
    var outputs = Outputs()
    let batch = EventBatch()
    var next = [Int](repeating: 0, count: log.count)

    func take(below vector: [Int32: Int64]?, _ engine: inout Engine, _ outputs: inout Outputs) {
      for partition in log.indices {
        let end = vector.map { Int($0[Int32(partition)] ?? 0) } ?? log[partition].count
        while next[partition] < end {
          if lost[partition].contains(next[partition]) {
            let range = lost[partition]
            // A log that begins there has no gap.
            if range.lowerBound > 0 {
              engine.passGap(
                partition: Int32(partition), count: Int64(range.count),
                next: Int64(range.upperBound))
            }
            next[partition] = range.upperBound
            continue
          }
          let record = log[partition][next[partition]]
          let position = LogPosition(
            partition: Int32(partition), offset: Int64(next[partition]), timestamp: record.timestamp)
          next[partition] += 1
          batch.reset()
          record.value.withUnsafeBytes { batch.append(value: $0) }
          if let event = batch.event(at: 0) {
            _ = engine.apply(event, at: position, clock: 0, into: &outputs)
          } else {
            engine.skip(position)
          }
        }
      }
      engine.flush(into: &outputs)
    }

    for model in models {
      take(below: model.offsets, &engine, &outputs)
      let seal = engine.seal(tick: model.tick, sequence: model.number)
      let built = builder.build(seal) { parts, body in for part in 0..<parts { body(part) } }
      take(below: model.activation, &engine, &outputs)
      engine.activate(built, into: &outputs)
      outputs.append(built.outputs, range: 0..<built.outputs.count)
      engine.renew(limit: .max, into: &outputs)
    }
    take(below: nil, &engine, &outputs)
    digest = engine.digest
    lists = engine.listsMade
    for i in 0..<outputs.count {
      let record = outputs.records[i]
      said[Int(record.topic.rawValue)].append(
        Said(
          key: Array(outputs.key(record)),
          value: record.isDeletion ? nil : Array(outputs.value(record))))
    }
  }
}

/// What of the messages is not as it should be; empty: nothing.
struct Verdict {
  private(set) var faults: [String] = []
  /// Renewals that a later act had made needless, messages, and repeats among them.
  private(set) var overtaken = 0
  private(set) var messages = 0
  private(set) var repeats = 0

  /// - Parameter seen: per topic and partition, in the order of their offsets.
  init(exactlyOnce: Bool, seen: [[[Said]]], replay: PlainReplay) {
    for topic in OutputTopic.allCases where topic != .deadLetters {
      let parts = seen[Int(topic.rawValue)]
      let expected = replay.said[Int(topic.rawValue)]
      let all = parts.flatMap { $0 }
      messages += all.count
      var counts: [Said: Int] = [:]
      for one in all { counts[one, default: 0] += 1 }
      var wanted: [Said: Int] = [:]
      for one in expected { wanted[one, default: 0] += 1 }
      for one in all where wanted[one] == nil { fault(topic, "not to be said", one) }
      for (one, count) in counts where count > wanted[one] ?? .max {
        repeats += count - (wanted[one] ?? 0)
        if exactlyOnce { fault(topic, "said \(count) times", one) }
      }
      if exactlyOnce {
        for (one, count) in wanted where counts[one] ?? count < count {
          fault(topic, "said too rarely", one)
        }
      }
      lookForMissing(topic, expected, counts)
      compareTables(topic, parts, expected)
    }
  }

  private mutating func fault(_ topic: OutputTopic, _ what: String, _ one: Said) {
    if faults.count < 6 { faults.append("\(topic.name) \(what): \(one.text)") }
  }

  private mutating func lookForMissing(
    _ topic: OutputTopic, _ expected: [Said], _ counts: [Said: Int]
  ) {
    // From the end: the next list of each listener.
    var later: [[UInt8]: (isRenewal: Bool, model: String)] = [:]
    for one in expected.reversed() {
      let list = topic == .recommendations ? one.list : nil
      if counts[one] == nil {
        // Between a model's coming into force and a listener's renewal he has acted: that list takes its place.
        if let list, list.isRenewal, let next = later[one.key], !next.isRenewal,
          next.model == list.model
        {
          overtaken += 1
        } else {
          fault(topic, "never said", one)
        }
      }
      later[one.key] = list
    }
  }

  /// What a reader of the compacted topic ends with.
  private mutating func compareTables(_ topic: OutputTopic, _ parts: [[Said]], _ expected: [Said]) {
    var table: [[UInt8]: [UInt8]] = [:]
    for part in parts { for one in part { table[one.key] = one.value } }
    var wanted: [[UInt8]: [UInt8]] = [:]
    for one in expected { wanted[one.key] = one.value }
    if table == wanted { return }
    for key in Set(table.keys).union(wanted.keys).sorted(by: { $0.lexicographicallyPrecedes($1) })
    where table[key] != wanted[key] {
      fault(topic, "ends as", Said(key: key, value: table[key]))
      fault(topic, "instead of", Said(key: key, value: wanted[key]))
    }
  }
}

extension Said {
  /// Of a list: whether a model or an act was its cause, and the model it was made with.
  fileprivate var list: (isRenewal: Bool, model: String)? {
    guard let value, let json = value.withUnsafeBytes({ try? JSON($0) }),
      let model = json["model"]?.string
    else { return nil }
    return (json["cause"]?["model"] != nil, model)
  }
}
