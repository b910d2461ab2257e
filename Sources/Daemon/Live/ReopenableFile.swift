// A log file that survives rotation: append mode, opened anew on SIGHUP, one write a line. Where the
// disk is full or the pipe closed, lines are dropped and counted; nothing waits and nothing ends.
import Glibc
import Synchronization

public final class ReopenableFile: Sendable {
  public let path: String
  private let descriptor: Mutex<Int32>
  private let droppedLines = Atomic<Int>(0)

  /// "-" is standard output, "stderr" standard error.
  public init(path: String) throws(FileError) {
    self.path = path
    descriptor = Mutex(try ReopenableFile.open(path))
  }

  private static func open(_ path: String) throws(FileError) -> Int32 {
    if path == "-" { return 1 }
    if path == "stderr" { return 2 }
    let fresh = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    if fresh < 0 { throw FileError(path: path, action: "open", code: errno) }
    return fresh
  }

  public var dropped: Int { droppedLines.load(ordering: .relaxed) }

  /// Writes the bytes and a newline as one write.
  public func write(line: UnsafeRawBufferPointer) {
    var whole = [UInt8](line)
    whole.append(UInt8(ascii: "\n"))
    let ok = whole.withUnsafeBytes { bytes in
      descriptor.withLock { descriptor in
        var done = 0
        while done < bytes.count {
          let wrote = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
          if wrote < 0 && errno == EINTR { continue }
          if wrote <= 0 { return false }
          done += wrote
        }
        return true
      }
    }
    if !ok { droppedLines.wrappingAdd(1, ordering: .relaxed) }
  }

  /// Opens the path anew; the old file stays in use where that fails.
  public func reopen() {
    guard path != "-", path != "stderr", let fresh = try? ReopenableFile.open(path) else { return }
    descriptor.withLock { current in
      close(current)
      current = fresh
    }
  }
}
