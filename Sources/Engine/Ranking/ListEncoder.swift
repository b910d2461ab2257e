// A list as JSON (schemas/recommendations): what caused it, the items with their scores.
import Events
import Recommender
import Sparse

/// Writes what is not a reason.
struct ListEncoder: ~Copyable {
  /// Names of the input topics, as JSON strings.
  private let topics: [[UInt8]]
  /// Id of the model in force; needs no escapes.
  private var modelID: [UInt8] = []

  init(topics: [String]) {
    self.topics = topics.map { name in
      var w = ByteWriter()
      w.append(quoted: name)
      return [UInt8](w.bytes)
    }
  }

  mutating func prepare(_ model: Model) { modelID = Array(model.id.utf8) }

  /// From the brace to the lists.
  func writeHead(
    isUser: Bool, key: UnsafeRawBufferPointer, cause: Cause, into w: inout ByteWriter
  ) {
    w.append("{\"id\":")
    if cause.isModel {
      w.append("\"")
      modelID.withUnsafeBytes { w.append(bytes: $0) }
      w.append("-")
      // The key's JSON form without its opening quote.
      let quote = w.count
      w.append(quoted: key)
      w.remove(at: quote)
    } else {
      // The topic's without its closing one.
      topics[Int(cause.topic)].withUnsafeBytes { w.append(bytes: $0) }
      w.truncate(to: w.count - 1)
      w.append("-")
      w.append(Int(cause.partition))
      w.append("-")
      w.append(Int(cause.offset))
      w.append("\"")
    }
    if isUser {
      w.append(",\"user\":")
      w.append(quoted: key)
    } else {
      w.append(",\"session\":")
      w.append(quoted: UnsafeRawBufferPointer(rebasing: key.dropFirst()))
    }
    w.append(",\"time\":\"")
    w.appendTime(cause.time)
    w.append("\",\"model\":\"")
    modelID.withUnsafeBytes { w.append(bytes: $0) }
    if cause.isModel {
      w.append("\",\"cause\":{\"model\":\"")
      modelID.withUnsafeBytes { w.append(bytes: $0) }
      w.append("\"}")
    } else {
      w.append("\",\"cause\":{\"topic\":")
      topics[Int(cause.topic)].withUnsafeBytes { w.append(bytes: $0) }
      w.append(",\"partition\":")
      w.append(Int(cause.partition))
      w.append(",\"offset\":")
      w.append(Int(cause.offset))
      w.append("}")
    }
  }

  /// An item up to its reasons.
  @inline(__always)
  func writeEntry(
    _ rank: Int, _ entry: UnsafePointer<Finalist>, key: UnsafeRawBufferPointer, into w: inout ByteWriter
  ) {
    var pen = w.begin(most: key.count &+ 160)
    if rank > 0 { pen.byte(UInt8(ascii: ",")) }
    pen.text("{\"id\":")
    if !pen.quotedPlain(key) {
      w.finish(pen)
      w.append(quoted: key)
      pen = w.begin(most: 160)
    }
    pen.text(",\"rank\":")
    pen.number(UInt32(truncatingIfNeeded: rank &+ 1))
    pen.text(",\"score\":")
    pen.number(entry.pointee.score)
    pen.text(",\"rest\":")
    pen.number(entry.pointee.rest)
    pen.text(",\"reasons\":[")
    w.finish(pen)
  }
}
