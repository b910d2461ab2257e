// The record of the models topic: what a model was made from and where it came into force.
import Events
import Sparse

extension BuiltModel {
  /// Appends the record. Offsets are the next ones to read, per topic and partition.
  func writeRecord(activation: [[Int64]], topics: [String], into outputs: inout Outputs) {
    let start = outputs.writer.count
    outputs.writer.append(text: model.id)
    let keyEnd = outputs.writer.count
    outputs.writer.append("{\"model\":")
    outputs.writer.append(quoted: model.id)
    outputs.writer.append(",\"tick\":\"")
    outputs.writer.appendTime(model.tick)
    outputs.writer.append("\",\"offsets\":")
    write(seal.positions, seal.topics, into: &outputs.writer)
    outputs.writer.append(",\"horizons\":{")
    var names = Set<String>()
    var isFirst = true
    for (name, horizon) in seal.horizons where horizon >= 0 {
      // Matrices of one name that differ in history or window get a number.
      var unique = name
      var number = 2
      while !names.insert(unique).inserted {
        unique = "\(name)#\(number)"
        number += 1
      }
      if !isFirst { outputs.writer.append(",") }
      isFirst = false
      outputs.writer.append(quoted: unique)
      outputs.writer.append(":\"")
      outputs.writer.appendTime(horizon)
      outputs.writer.append("\"")
    }
    outputs.writer.append("},\"activation\":")
    write(activation, topics, into: &outputs.writer)
    if seal.gaps.contains(where: { $0 > 0 }), let events = seal.topics.first {
      outputs.writer.append(",\"gap\":")
      write([seal.gaps.map { $0 > 0 ? $0 : -1 }], [events], into: &outputs.writer)
    }
    outputs.writer.append(",\"digest\":\"")
    outputs.writer.append(text: model.digest.hex)
    outputs.writer.append("\",\"counts_digest\":\"")
    outputs.writer.append(text: model.countsDigest.hex)
    outputs.writer.append("\",\"configuration\":\"")
    outputs.writer.append(text: seal.configuration)
    if model.rulesSequence > 0 {
      outputs.writer.append("\",\"rules_from\":\"")
      outputs.writer.append(text: Model.name(model.rulesSequence))
    }
    outputs.writer.append("\",\"sizes\":{\"items\":")
    outputs.writer.append(sizes.items)
    outputs.writer.append(",\"pairs\":")
    outputs.writer.append(sizes.pairs)
    outputs.writer.append(",\"neighbours\":")
    outputs.writer.append(sizes.neighbours)
    outputs.writer.append(",\"baskets\":")
    outputs.writer.append(sizes.baskets)
    outputs.writer.append(",\"rules\":")
    outputs.writer.append(sizes.rules)
    outputs.writer.append("}}")
    outputs.finish(.models, start: start, keyEnd: keyEnd)
  }

  private func write(_ positions: [[Int64]], _ topics: [String], into w: inout ByteWriter) {
    w.append("{")
    var isFirst = true
    for (t, partitions) in positions.enumerated() where partitions.contains(where: { $0 >= 0 }) {
      if !isFirst { w.append(",") }
      isFirst = false
      w.append(quoted: topics[t])
      w.append(":{")
      var isFirstPartition = true
      for (p, offset) in partitions.enumerated() where offset >= 0 {
        w.append(isFirstPartition ? "\"" : ",\"")
        isFirstPartition = false
        w.append(p)
        w.append("\":")
        w.append(Int(offset))
      }
      w.append("}")
    }
    w.append("}")
  }
}
