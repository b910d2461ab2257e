// Where replay's messages go: one file of JSON lines per topic, each message as it would have gone to
// its topic, a null as {"key":…,"deleted":true}; or, with `--final`, the last state of each key.
import Engine
import Sparse

final class ReplaySink {
  let directory: String
  private let isFinal: Bool
  private let skipsRecommendations: Bool
  private var files: [LineFile] = []
  /// With `isFinal`: per topic, key bytes to the last value.
  private var last: [[[UInt8]: [UInt8]]]
  private var scratch = ByteWriter()
  private(set) var counts = [Int](repeating: 0, count: OutputTopic.allCases.count)
  private(set) var deletions = 0

  init(directory: String, isFinal: Bool, skipsRecommendations: Bool) throws {
    self.directory = directory
    self.isFinal = isFinal
    self.skipsRecommendations = skipsRecommendations
    try Folders.create(directory)
    for topic in OutputTopic.allCases {
      files.append(try LineFile(path: directory + "/" + topic.name + ".jsonl"))
    }
    last = OutputTopic.allCases.map { _ in [:] }
  }

  /// Writes the messages and clears the buffer.
  func drain(_ outputs: inout Outputs) throws {
    for i in 0..<outputs.count { try write(outputs, outputs.records[i]) }
    outputs.removeAll()
  }

  func write(all outputs: borrowing Outputs) throws {
    for i in 0..<outputs.count { try write(outputs, outputs.records[i]) }
  }

  private func write(_ outputs: borrowing Outputs, _ record: OutputRecord) throws {
    counts[Int(record.topic.rawValue)] += 1
    if record.isDeletion { deletions += 1 }
    if record.topic == .recommendations && skipsRecommendations { return }
    // Logs keep every message; keyed topics their last one.
    if isFinal && !record.topic.isLog {
      let key = [UInt8](outputs.key(record))
      if record.isDeletion {
        last[Int(record.topic.rawValue)].removeValue(forKey: key)
      } else {
        last[Int(record.topic.rawValue)][key] = [UInt8](outputs.value(record))
      }
      return
    }
    let file = files[Int(record.topic.rawValue)]
    if record.isDeletion {
      scratch.removeAll()
      scratch.append("{\"key\":")
      scratch.append(quoted: outputs.key(record))
      scratch.append(",\"deleted\":true}")
      try file.append(line: scratch.bytes)
    } else {
      try file.append(line: outputs.value(record))
    }
  }

  func finish() throws {
    if isFinal {
      for topic in OutputTopic.allCases {
        let state = last[Int(topic.rawValue)]
        for key in state.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
          guard let value = state[key] else { continue }
          try value.withUnsafeBytes { try files[Int(topic.rawValue)].append(line: $0) }
        }
      }
    }
    for file in files { try file.flush() }
  }
}
