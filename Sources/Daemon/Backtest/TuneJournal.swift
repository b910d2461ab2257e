// Results of a search as they come, one JSON object a line. The first line says what the search is; a journal of another
// search is refused. A line that was cut off by a crash is passed over.
import Events
import Foundation
import Sparse

struct TuneJournal {
  struct Result: Equatable {
    var candidate: Int
    var fold: Int
    var score: Double
  }

  private let file: FileHandle
  /// What the journal held already.
  let results: [Result]

  init(_ path: String, header: String) throws {
    var results: [Result] = []
    let first = "{\"kind\":\"tune\",\"search\":\"\(header)\"}"
    let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    if text.isEmpty {
      try Data((first + "\n").utf8).write(to: URL(fileURLWithPath: path))
    } else {
      let lines = text.split(separator: "\n")
      guard lines.first.map(String.init) == first else {
        throw BacktestError(
          description: "\(path): the journal of another search (other log, configuration, question or seed); remove it or name another")
      }
      results = lines.dropFirst().compactMap { TuneJournal.read(String($0)) }
    }
    guard let file = FileHandle(forWritingAtPath: path) else {
      throw BacktestError(description: "\(path): cannot be written")
    }
    try file.seekToEnd()
    // Behind a line that was cut off.
    if !text.isEmpty && text.last != "\n" { try file.write(contentsOf: Data("\n".utf8)) }
    self.file = file
    self.results = results
  }

  func append(_ result: Result) throws {
    var w = ByteWriter()
    w.append(text: "{\"candidate\":\(result.candidate),\"fold\":\(result.fold),\"score\":")
    w.append(result.score)
    w.append("}\n")
    try file.write(contentsOf: Data(w.bytes))
  }

  private static func read(_ line: String) -> Result? {
    let bytes = Array(line.utf8)
    return bytes.withUnsafeBytes { bytes -> Result? in
      guard let json = try? JSON(bytes), let candidate = json["candidate"]?.number, let fold = json["fold"]?.number,
        let score = json["score"]?.number, let c = Int(exactly: candidate), let f = Int(exactly: fold), c >= 0, f >= 0
      else { return nil }
      return Result(candidate: c, fold: f, score: score)
    }
  }
}
