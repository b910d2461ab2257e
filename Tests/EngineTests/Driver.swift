// Drives the engine as replay does, with both stages in turn, and keeps every message.
import Engine
import Events
import Recommender
import Sparse
import TestSupport

struct Sent: Hashable {
  var topic: OutputTopic
  var key: String
  /// nil: a null.
  var value: String?
}

final class Driver {
  var engine: Engine
  var builder: ModelBuilder
  var outputs = Outputs()
  var sent: [Sent] = []
  var built: BuiltModel?
  /// The driver's clock: the highest event time.
  var clock: Int64 = .min
  private let batch = EventBatch()

  init(_ configuration: EngineConfiguration) {
    engine = Engine(configuration)
    builder = ModelBuilder(configuration)
  }

  @discardableResult
  func apply(_ event: Event, partition: Int32 = 0, offset: Int64) -> Disposition? {
    var writer = ByteWriter()
    event.append(to: &writer)
    batch.reset()
    guard case .event(let view) = batch.decode(value: writer.bytes) else { return nil }
    clock = max(clock, event.time)
    engine.release(dueBy: clock, into: &outputs)
    let disposition = engine.apply(
      view, at: LogPosition(partition: partition, offset: offset), clock: clock, into: &outputs)
    collect()
    return disposition
  }

  /// A record of an unknown type.
  func skip(time: Int64?, partition: Int32 = 0, offset: Int64) {
    clock = max(clock, time ?? .min)
    engine.release(dueBy: clock, into: &outputs)
    engine.skip(LogPosition(partition: partition, offset: offset), time: time)
    collect()
  }

  /// A null value under the user's key.
  func erase(_ user: String, partition: Int32 = 0, offset: Int64, timestamp: Int64 = -1) {
    Array(user.utf8).withUnsafeBytes {
      engine.erase(
        user: $0,
        at: LogPosition(partition: partition, offset: offset, timestamp: timestamp), into: &outputs)
    }
    collect()
  }

  /// Flush, seal, build, activate, renew.
  func tick(_ time: Int64) { put(make(time)) }

  func make(_ time: Int64) -> BuiltModel {
    engine.flush(into: &outputs)
    collect()
    return builder.build(engine.seal(tick: time)) { parts, body in
      for part in 0..<parts { body(part) }
    }
  }

  func put(_ built: BuiltModel) {
    engine.activate(built, into: &outputs)
    collect()
    collect(built.outputs)
    while engine.renew(limit: 7, into: &outputs) > 0 {}
    collect()
    self.built = built
  }

  /// Writes the state out and goes on from what was written.
  func restart() throws {
    flush()
    builder.absorb(engine.takeChanges())
    var state = StateWriter()
    engine.save(into: &state)
    let reader = StateReader(
      Dictionary(
        uniqueKeysWithValues: state.sections.map { section in
          var bytes: [UInt8] = []
          for part in section.parts { bytes.append(contentsOf: part) }
          let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
          copy.copyBytes(from: bytes)
          written.append(copy)
          return (
            section.name,
            StateReader.Section(stride: section.stride, bytes: UnsafeRawBufferPointer(copy))
          )
        }))
    let configuration = engine.configuration
    engine = try Engine(configuration, topics: engine.topics, restoring: reader)
    builder = try ModelBuilder(
      configuration, after: engine.model?.sequence ?? 0, of: engine, restoring: reader)
    for copy in written { copy.deallocate() }
    written.removeAll()
  }
  private var written: [UnsafeMutableRawBufferPointer] = []

  func flush() {
    engine.flush(into: &outputs)
    collect()
  }

  private func collect() {
    collect(outputs)
    outputs.removeAll()
  }

  private func collect(_ outputs: borrowing Outputs) {
    for i in 0..<outputs.count {
      let record = outputs.records[i]
      sent.append(
        Sent(
          topic: record.topic, key: String(decoding: outputs.key(record), as: UTF8.self),
          value: record.isDeletion ? nil : String(decoding: outputs.value(record), as: UTF8.self)))
    }
  }

  /// The last value of each key of a topic; nulls remove.
  func folded(_ topic: OutputTopic) -> [String: String] {
    var state: [String: String] = [:]
    for message in sent where message.topic == topic { state[message.key] = message.value }
    return state
  }

  func item(_ id: UInt32) -> String { engine.interactions.items.string(id) }
}
