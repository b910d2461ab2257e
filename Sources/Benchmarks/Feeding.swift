// Events into an engine, as the daemon's loop puts them there: decoded a batch at a time, their keys looked
// up thirty-two ahead.
import Engine
import Events
import Glibc
import Simulator
import Sparse

/// Applies a decoded batch; `number` is the offset of the next event.
func apply(
  _ batch: EventBatch, to engine: inout Engine, from number: inout Int64,
  into outputs: inout Outputs
) {
  let ahead = 32
  for i in 0..<batch.count {
    if i % ahead == 0 { engine.prepare(batch, i..<min(i + ahead, batch.count)) }
    guard let event = batch.event(at: i) else { continue }
    _ = engine.apply(
      event, at: LogPosition(partition: 0, offset: number), clock: 0, prepared: i % ahead,
      into: &outputs)
    number += 1
  }
}

/// Decodes and applies JSON lines.
/// - Returns: seconds of either.
@discardableResult
func feed(
  _ bytes: UnsafeRawBufferPointer, by batch: EventBatch, to engine: inout Engine,
  from number: inout Int64, into outputs: inout Outputs
) -> (decoding: Double, applying: Double) {
  var spent = (decoding: 0.0, applying: 0.0)
  var offset = 0
  while offset < bytes.count {
    let start = seconds()
    batch.reset()
    offset += batch.decodeLines(
      UnsafeRawBufferPointer(rebasing: bytes[offset...]), budget: 1 << 20, isLast: true)
    let decoded = seconds()
    apply(batch, to: &engine, from: &number, into: &outputs)
    spent.decoding += decoded - start
    spent.applying += seconds() - decoded
  }
  return spent
}

extension Shop {
  /// Appends the next `count` events as lines.
  mutating func next(_ count: Int, into lines: inout ByteWriter) {
    for _ in 0..<count {
      _ = next(into: &lines)
      if lines.bytes.last != UInt8(ascii: "\n") { lines.append("\n") }
    }
  }
}

/// A line of /proc/self/status, KiB: `VmRSS` what is in memory, `VmHWM` the most that was.
func memory(_ key: String) -> Int {
  guard let file = fopen("/proc/self/status", "r") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  while fgets(&line, 256, file) != nil {
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    if text.hasPrefix(key + ":") { return Int(text.filter(\.isNumber)) ?? 0 }
  }
  return 0
}

/// Processor time of this thread, so that a busy machine does not count.
func threadSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
