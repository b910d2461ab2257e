// Reading a log file as records with positions. Two forms, told by the first line:
//  - JSON lines: partition = the file's place among the arguments, offset = line number from 0;
//  - records as `kcat -C -J` prints them: topic, partition, offset, timestamp and key as they were.
// The next chunk is decoded on another thread while the caller applies this one.
import Dispatch
import Events
import Sparse

final class LogCursor {
  let path: String
  /// True for kcat's form.
  let isDump: Bool
  private let file: MappedFile
  private let partition: Int32
  private let topicOf: (String) -> UInt16
  private var reading: Chunk
  private var next: Chunk
  private var offset = 0  // of the byte after `next`
  private var line: Int64 = 0
  private let queue: DispatchQueue
  private var isLoading = false
  private let ready = DispatchSemaphore(value: 0)
  /// Place in the current chunk.
  private(set) var index = 0

  /// A decoded stretch of the file.
  final class Chunk: @unchecked Sendable {
    let batch: EventBatch
    var start = 0
    var end = 0
    var firstLine: Int64 = 0
    /// kcat's form only, per record.
    var positions: [LogPosition] = []
    var keys: [[UInt8]?] = []
    var values: [[UInt8]?] = []
    init(_ limits: EventLimits) { batch = EventBatch(limits: limits) }
  }

  private static let chunkBytes = 1 << 20

  init(
    path: String, partition: Int32, limits: EventLimits, topicOf: @escaping (String) -> UInt16
  ) throws {
    self.path = path
    self.partition = partition
    self.topicOf = topicOf
    file = try MappedFile(path: path)
    reading = Chunk(limits)
    next = Chunk(limits)
    queue = DispatchQueue(label: "affinity.read.\(partition)")
    isDump = LogCursor.looksLikeDump(file.bytes)
    load()
    advanceChunk()
  }

  var totalBytes: Int { file.bytes.count }
  /// Bytes of the file before the current chunk.
  var bytesDone: Int { reading.start }
  var isAtEnd: Bool { index >= reading.batch.count }
  var batch: EventBatch { reading.batch }
  /// Records in the current chunk.
  var chunkCount: Int { reading.batch.count }

  /// Moves past the current record.
  @inline(__always)
  func advance() {
    index &+= 1
    if index >= reading.batch.count { advanceChunk() }
  }

  /// Moves past the whole chunk.
  func skipChunk() { advanceChunk() }

  @inline(__always)
  func position(_ i: Int) -> LogPosition {
    if isDump { return reading.positions[i] }
    return LogPosition(partition: partition, offset: reading.firstLine &+ Int64(i))
  }

  func key(_ i: Int) -> [UInt8]? { isDump ? reading.keys[i] : nil }

  /// The record's value as it stands in the log; nil for a null.
  func value(_ i: Int) -> [UInt8]? {
    if isDump { return reading.values[i] }
    let range = reading.batch.sourceRange(at: i)
    return [UInt8](
      UnsafeRawBufferPointer(
        rebasing: file.bytes[(reading.start + range.lowerBound)..<(reading.start + range.upperBound)]))
  }

  // MARK: chunks

  private func advanceChunk() {
    if isLoading {
      ready.wait()
      isLoading = false
    }
    swap(&reading, &next)
    index = 0
    if reading.batch.count > 0 { load() }
  }

  private func load() {
    isLoading = true
    let chunk = Box(next)
    let box = Box(self)
    queue.async {
      box.value.fill(chunk.value)
      box.value.ready.signal()
    }
  }

  private struct Box<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
  }

  private func fill(_ chunk: Chunk) {
    chunk.batch.reset()
    chunk.start = offset
    chunk.firstLine = line
    let rest = UnsafeRawBufferPointer(rebasing: file.bytes[offset...])
    if isDump {
      offset += fillDump(chunk, rest)
    } else {
      offset += chunk.batch.decodeLines(rest, budget: LogCursor.chunkBytes, isLast: true)
    }
    line += Int64(chunk.batch.count)
    chunk.end = offset
  }

  private static func looksLikeDump(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let end = bytes.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
    guard end > 0, let record = try? JSON(UnsafeRawBufferPointer(rebasing: bytes[..<end])) else {
      return false
    }
    return record["topic"]?.string != nil && record["partition"]?.number != nil
      && record["offset"]?.number != nil && record["payload"] != nil && record["type"] == nil
  }

  private func fillDump(_ chunk: Chunk, _ bytes: UnsafeRawBufferPointer) -> Int {
    chunk.positions.removeAll(keepingCapacity: true)
    chunk.keys.removeAll(keepingCapacity: true)
    chunk.values.removeAll(keepingCapacity: true)
    var start = 0
    // Until there is a record: a chunk without one would end the file.
    while start < bytes.count && (start < LogCursor.chunkBytes || chunk.batch.count == 0) {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
      let length = rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.count
      appendDumped(UnsafeRawBufferPointer(rebasing: rest[..<length]), to: chunk)
      start += length + 1
    }
    return min(start, bytes.count)
  }

  private func appendDumped(_ line: UnsafeRawBufferPointer, to chunk: Chunk) {
    if line.count == 0 { return }
    guard let record = try? JSON(line), let topic = record["topic"]?.string,
      let partition = integer(record["partition"]).flatMap({ Int32(exactly: $0) }),
      let offset = integer(record["offset"]), partition >= 0, offset >= 0
    else {
      // Not a record: its bytes are decoded as an event would be, and rejected.
      chunk.batch.append(value: line)
      chunk.positions.append(LogPosition(partition: self.partition, offset: -1))
      chunk.keys.append(nil)
      chunk.values.append([UInt8](line))
      return
    }
    chunk.positions.append(
      LogPosition(
        topic: topicOf(topic), partition: partition, offset: offset,
        timestamp: integer(record["ts"]) ?? -1))
    chunk.keys.append(record["key"]?.string.map { [UInt8]($0.utf8) })
    var contentType: [UInt8] = []
    // kcat prints headers as name, value, name, value, …
    if let headers = record["headers"]?.array {
      for i in stride(from: 0, to: headers.count - 1, by: 2)
      where headers[i].string?.lowercased() == "content-type" {
        contentType = [UInt8]((headers[i + 1].string ?? "").utf8)
      }
    }
    let payload = record["payload"]?.string.map { [UInt8]($0.utf8) }
    chunk.values.append(payload)
    contentType.withUnsafeBytes { type in
      if let payload {
        payload.withUnsafeBytes {
          // An empty array has no base address; an empty message is not a null.
          chunk.batch.append(
            value: $0.baseAddress == nil
              ? UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: 1), count: 0) : $0,
            contentType: type.count > 0 ? type : nil)
        }
      } else {
        chunk.batch.append(value: UnsafeRawBufferPointer(start: nil, count: 0))
      }
    }
  }

  private func integer(_ json: JSON?) -> Int64? {
    guard case .number(_, let text) = json else { return nil }
    return Int64(text)
  }

  deinit { if isLoading { ready.wait() } }
}

extension [LogCursor] {
  /// Records by event time, then file, then line; a record without a time has that of the one before it.
  /// - Parameters:
  ///   - progress: called now and then with the bytes done of all, and at the end.
  ///   - body: false ends it.
  func forEachMerged(
    progress: (Int, Int) throws -> Void, _ body: (LogCursor, Int) throws -> Bool
  ) rethrows {
    let total = reduce(0) { $0 + $1.totalBytes }
    var times = [Int64](repeating: .min, count: count)
    func look(_ c: Int) {
      if !self[c].isAtEnd, let time = self[c].batch.time(at: self[c].index) { times[c] = time }
    }
    for c in indices { look(c) }
    var taken = 0
    while true {
      var best = -1
      for c in indices where !self[c].isAtEnd {
        if best < 0 || times[c] < times[best] { best = c }
      }
      if best < 0 { break }
      if !(try body(self[best], self[best].index)) { return }
      self[best].advance()
      look(best)
      taken += 1
      if taken % 8192 == 0 { try progress(reduce(0) { $0 + $1.bytesDone }, total) }
    }
    try progress(total, total)
  }
}
