// Where subcommands write: a file or standard output, by large writes; complaints and progress go
// to standard error.
import Glibc
import Sparse

/// An end with a message and an exit status (1 failed, 2 wrong use, and sysexits in `run`).
struct CommandFailure: Error {
  var message: String
  var status: Int32

  static func failed(_ message: String) -> CommandFailure {
    CommandFailure(message: message, status: 1)
  }
  static func usage(_ message: String) -> CommandFailure {
    CommandFailure(message: message, status: 2)
  }
  /// The reader went away (`affinityd … | head`): nothing to say.
  static let closedPipe = CommandFailure(message: "", status: 1)

  func report() { if !message.isEmpty { complain("affinityd: " + message) } }
}

func complain(_ text: String) {
  var text = text + "\n"
  text.withUTF8 { bytes in _ = write(2, bytes.baseAddress, bytes.count) }
}

/// What errno says.
func systemError(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

/// A file being written, or standard output for "-". Bytes gather in `buffer`; call `spill` now and
/// then and `finish` at the end.
struct OutputFile: ~Copyable {
  let path: String
  private let descriptor: Int32
  var buffer = ByteWriter(capacity: 1 << 18)
  private(set) var written = 0

  init(_ path: String?) throws {
    let path = path ?? "-"
    self.path = path
    if path == "-" {
      descriptor = 1
    } else {
      descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
      if descriptor < 0 { throw CommandFailure.failed("\(path): \(systemError())") }
    }
  }

  /// Writes the buffer out once it is large.
  mutating func spill() throws { if buffer.count >= 1 << 18 - 4096 { try flush() } }

  mutating func flush() throws {
    let bytes = buffer.bytes
    var at = 0
    while at < bytes.count {
      guard let base = bytes.baseAddress else { break }
      let n = write(descriptor, base + at, bytes.count - at)
      if n < 0 {
        if errno == EINTR { continue }
        if errno == EPIPE { throw CommandFailure.closedPipe }
        throw CommandFailure.failed("\(path): \(systemError())")
      }
      at += n
    }
    written += bytes.count
    buffer.removeAll()
  }

  /// Flushes and closes.
  consuming func finish() throws {
    try flush()
    if descriptor != 1 && close(descriptor) != 0 {
      throw CommandFailure.failed("\(path): \(systemError())")
    }
  }
}

/// A line of progress on standard error, redrawn ten times a second, where that is a terminal.
struct Progress {
  private let label: String
  private let isShown: Bool
  private var lastDrawn = 0.0
  private let started: Double

  init(_ label: String) {
    self.label = label
    isShown = isatty(2) == 1
    started = Progress.now()
  }

  static func now() -> Double {
    var t = timespec()
    clock_gettime(CLOCK_MONOTONIC, &t)
    return Double(t.tv_sec) + Double(t.tv_nsec) * 1e-9
  }

  /// `done` of `total` (0 = unknown), and what else is to be said.
  mutating func update(_ done: Int, of total: Int, _ note: @autoclosure () -> String = "") {
    if !isShown { return }
    let now = Progress.now()
    if now - lastDrawn < 0.1 { return }
    lastDrawn = now
    var text = "\r\u{1b}[K\(label) "
    if total > 0 {
      let share = min(1, Double(done) / Double(total))
      let filled = Int(share * 24)
      text += String(repeating: "█", count: filled) + String(repeating: "·", count: 24 - filled)
      text += " \(Int(share * 100)) %"
    }
    let rate = Double(done) / max(1e-9, now - started)
    text += " \(note())"
    if total > 0 && done > 0 && done < total {
      text += ", \(Int(Double(total - done) / rate) + 1) s left"
    }
    text.withUTF8 { bytes in _ = write(2, bytes.baseAddress, bytes.count) }
  }

  /// Takes the line away again.
  func clear() {
    if !isShown || lastDrawn == 0 { return }
    var text = "\r\u{1b}[K"
    text.withUTF8 { bytes in _ = write(2, bytes.baseAddress, bytes.count) }
  }
}
