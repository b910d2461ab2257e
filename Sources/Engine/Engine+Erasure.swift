// Erasure: a barrier in log position. What the engine took of the user before is forgotten at once; a later
// event starts a new customer. Anonymous traffic belongs to nobody and stays.
//
// What is forgotten: the rows, sessions and orders with their keys (`Interactions.erase`); the listener with the
// lists that wait for it; scratch that may hold the key. What is said: null under the user's key on every topic that
// has it as key, and a receipt without it. The model in force still counts the user until the next one.
//
// The digest equals at once that of the same log with the user's earlier records and the erasure replaced by
// records of an unknown type at the same partition, offset and time. The models sealed from then on are equal too, but for
// rules kept from before; where erased baskets stood in them, the next seal mines anew, outside the usual turn.
import Events
import Recommender
import Sparse

extension Engine {
  /// A null value under the user's key: an erasure. `user` is not empty (`EventBatch.fault(inErasureKey:)`).
  /// It has no time of its own: stream time stays.
  public mutating func erase(
    user: UnsafeRawBufferPointer, at position: LogPosition, into outputs: inout Outputs
  ) {
    note(position)
    let time = position.timestamp >= 0 ? position.timestamp : streamTime ?? 0
    erase(
      user, request: UnsafeRawBufferPointer(start: nil, count: 0), time: time, at: position,
      into: &outputs)
    eventsByDisposition[Int(Disposition.erasure.rawValue)] &+= 1
  }

  /// - Parameter request: the request's id; empty: topic, partition and offset are.
  mutating func erase(
    _ user: UnsafeRawBufferPointer, request: UnsafeRawBufferPointer, time: Int64,
    at position: LogPosition, into outputs: inout Outputs
  ) {
    let before = digest
    let print = Fingerprint(of: user)
    let erased = interactions.erase(user: user, print)
    forgetPreparedIDs()
    var lists = 0
    if let listener = listenerID(user: user, print, false) { lists = audience.forget(listener) }
    if minedMatrices.contains(where: { erased.matrices[$0].rows > 0 }) { hasErasedBaskets = true }
    keyScratch.wipe()
    if isSilent { return }
    for topic in OutputTopic.keyedByUser {
      let start = outputs.writer.count
      outputs.writer.append(bytes: user)
      outputs.delete(topic, start: start)
    }
    let topic = Int(position.topic)
    let receipt = Receipt(
      time: time, position: position, topic: topic < topics.count ? topics[topic] : "", erased: erased,
      baskets: places.rules.map { erased.matrices[$0].activeRows } ?? 0, lists: lists,
      before: before, after: digest)
    receipt.write(request: request, matrices: interactions.matrices, into: &outputs)
  }
}

/// What an erasure removed (schemas/receipt.schema.json).
private struct Receipt {
  var time: Int64
  var position: LogPosition
  var topic: String
  var erased: Erased
  var baskets: Int
  var lists: Int
  var before: Fingerprint
  var after: Fingerprint

  /// Appends the message: key the request, value the receipt.
  func write(
    request: UnsafeRawBufferPointer, matrices: [MatrixConfiguration], into outputs: inout Outputs
  ) {
    let name =
      request.count > 0
      ? String(decoding: request, as: UTF8.self)
      : "\(topic)-\(position.partition)-\(position.offset)"
    let start = outputs.writer.count
    outputs.writer.append(text: name)
    let keyEnd = outputs.writer.count
    outputs.writer.append("{\"request\":")
    outputs.writer.append(quoted: name)
    outputs.writer.append(",\"time\":")
    outputs.writer.append(quotedTime: time)
    outputs.writer.append(",\"cause\":{\"topic\":")
    outputs.writer.append(quoted: topic)
    outputs.writer.append(",\"partition\":")
    outputs.writer.append(Int(position.partition))
    outputs.writer.append(",\"offset\":")
    outputs.writer.append(Int(position.offset))
    outputs.writer.append("},\"removed\":{\"rows\":")
    outputs.writer.append(erased.rows)
    outputs.writer.append(",\"entries\":")
    outputs.writer.append(erased.entries)
    outputs.writer.append(",\"sessions\":")
    outputs.writer.append(erased.sessions)
    outputs.writer.append(",\"orders\":")
    outputs.writer.append(erased.orders)
    outputs.writer.append(",\"baskets\":")
    outputs.writer.append(baskets)
    outputs.writer.append(",\"lists\":")
    outputs.writer.append(lists)
    outputs.writer.append("},\"entries\":{")
    writeEntries(matrices, into: &outputs.writer)
    outputs.writer.append("},\"digest_before\":\"")
    outputs.writer.append(text: before.hex)
    outputs.writer.append("\",\"digest_after\":\"")
    outputs.writer.append(text: after.hex)
    outputs.writer.append("\"}")
    outputs.finish(.receipts, start: start, keyEnd: keyEnd)
  }

  /// Entries by context and behaviour, over the matrices of each.
  private func writeEntries(_ matrices: [MatrixConfiguration], into w: inout ByteWriter) {
    var isFirst = true
    for context in ContextKind.allCases {
      for behaviour in Behaviour.allCases {
        var entries = 0
        for m in matrices.indices
        where matrices[m].context == context && matrices[m].behaviour == behaviour {
          entries += erased.matrices[m].entries
        }
        if entries == 0 { continue }
        if !isFirst { w.append(",") }
        isFirst = false
        w.append(quoted: "\(context.name)/\(behaviour.name)")
        w.append(":")
        w.append(entries)
      }
    }
  }
}
