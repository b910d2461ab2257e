// Ticks as a live daemon had them: the records of its models topic say at which offsets each model was sealed
// and at which it came into force (DESIGN §5). Replay takes every partition up to the one vector, seals, goes on to
// the other, activates: so every id has the bytes it had live. Nothing lingers here: lists that live were
// overtaken come out as well.
import Events
import Foundation
import Sparse

/// One record of the models topic.
package struct RecordedModel: Sendable, Equatable {
  package var number: Int
  /// τ, ms.
  package var tick: Int64
  /// Next offset per partition of the events topic.
  package var offsets: [Int32: Int64]
  package var activation: [Int32: Int64]
  /// The model at whose tick its rules were mined; nil where it has none or the record does not say.
  package var rulesFrom: Int?
  /// See `EngineConfiguration.fingerprint`; empty in records of before.
  package var configuration = ""
  /// Of the rows at the seal; empty where the record does not say.
  package var digest = ""

  /// - Returns: nil where that is no record of a model with offsets and activation of `topic`.
  package init?(_ json: JSON, topic: String) {
    guard let id = json["model"]?.string, let sequence = RecordedModel.number(id),
      let tick = json["tick"]?.string.flatMap({ EventTime.parse($0) }),
      let offsets = RecordedModel.vector(json["offsets"], topic),
      let activation = RecordedModel.vector(json["activation"], topic)
    else { return nil }
    number = sequence
    self.tick = tick
    self.offsets = offsets
    self.activation = activation
    rulesFrom = json["rules_from"]?.string.flatMap { RecordedModel.number($0) }
    configuration = json["configuration"]?.string ?? ""
    digest = json["digest"]?.string ?? ""
  }

  /// 123 of `m-000123`.
  static func number(_ id: String) -> Int? {
    guard id.hasPrefix("m-") else { return nil }
    return Int(id.dropFirst(2))
  }

  private static func vector(_ json: JSON?, _ topic: String) -> [Int32: Int64]? {
    guard case .object(let topics) = json else { return nil }
    guard let of = topics.first(where: { $0.key == topic })?.value else { return [:] }
    guard case .object(let partitions) = of else { return nil }
    var result: [Int32: Int64] = [:]
    for one in partitions {
      guard let partition = Int32(one.key), let offset = one.value.number.flatMap({ Int64(exactly: $0) })
      else { return nil }
      result[partition] = offset
    }
    return result
  }
}

public struct RecordedTicksError: InputError {
  public var description: String
}

enum RecordedTicks {
  /// The models of a file in order of their numbers.
  static func read(_ path: String, topic: String) throws -> [RecordedModel] {
    let file = try MappedFile(path: path)
    var models: [RecordedModel] = []
    var number = 0
    for line in file.bytes.split(separator: UInt8(ascii: "\n")) {
      number += 1
      let bytes = UnsafeRawBufferPointer(rebasing: line)
      func fault(_ what: String) -> RecordedTicksError {
        RecordedTicksError(description: "\(path):\(number): \(what)")
      }
      guard var json = try? JSON(bytes) else { throw fault("not JSON") }
      // A dump of the topic: the record is the payload.
      if let payload = json["payload"]?.string, json["topic"] != nil {
        guard let inner = try? JSON(payload) else { throw fault("the payload is not JSON") }
        json = inner
      }
      guard let model = RecordedModel(json, topic: topic) else {
        throw fault("not a record of the models topic with offsets and activation of \(topic)")
      }
      models.append(model)
    }
    models.sort { $0.number < $1.number }
    // At least once: a repeat says the same again.
    models = models.enumerated().filter { $0.offset == 0 || models[$0.offset - 1] != $0.element }
      .map(\.element)
    for (a, b) in zip(models, models.dropFirst()) {
      let goesBack = a.activation.contains { (b.offsets[$0.key] ?? 0) < $0.value }
      if a.number == b.number || goesBack {
        throw RecordedTicksError(
          description:
            "\(path): \(b.number) does not follow \(a.number): a restart without a snapshot lies between them; give the models of one run"
        )
      }
    }
    return models
  }
}

/// Every record of the logs by partition and offset, decoded when it is asked for.
final class PartitionedLog {
  private struct Place {
    var offset: Int64
    var cursor: Int
    var record: Int
  }
  private var places: [Int32: [Place]] = [:]
  private var next: [Int32: Int] = [:]
  private var partitions: [Int32] = []
  /// Per cursor and record.
  private var kept: [[(position: LogPosition, key: [UInt8]?, value: [UInt8]?)]] = []

  init(_ cursors: [LogCursor]) {
    for (c, cursor) in cursors.enumerated() {
      var records: [(position: LogPosition, key: [UInt8]?, value: [UInt8]?)] = []
      while !cursor.isAtEnd {
        for i in 0..<cursor.chunkCount {
          let position = cursor.position(i)
          places[position.partition, default: []].append(
            Place(offset: position.offset, cursor: c, record: records.count))
          records.append((position, cursor.key(i), cursor.value(i)))
        }
        cursor.skipChunk()
      }
      kept.append(records)
    }
    partitions = places.keys.sorted()
    for partition in partitions {
      places[partition]?.sort { $0.offset < $1.offset }
      next[partition] = 0
    }
  }

  var count: Int { kept.reduce(0) { $0 + $1.count } }

  /// The records below `vector` not yet taken, partition by partition; all of them where it is nil.
  func take(
    below vector: [Int32: Int64]?,
    _ body: (LogPosition, _ key: [UInt8]?, _ value: [UInt8]?) throws -> Void
  ) rethrows {
    for partition in partitions {
      guard let list = places[partition] else { continue }
      let limit = vector.map { $0[partition] ?? 0 } ?? .max
      var at = next[partition] ?? 0
      while at < list.count && list[at].offset < limit {
        let record = kept[list[at].cursor][list[at].record]
        try body(record.position, record.key, record.value)
        at += 1
      }
      next[partition] = at
    }
  }
}
