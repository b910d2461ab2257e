// A log file that survives rotation: append mode, opened anew on SIGHUP, one write a line. Where the
// disk is full, the pipe closed or its reader asleep, lines are dropped and counted; nothing waits and nothing
// ends. A line of which a part is out is finished before the next: none is torn.
import Glibc
import Synchronization

public final class ReopenableFile: Sendable {
  public let path: String
  private struct Target {
    var descriptor: Int32
    /// A pipe, socket or terminal: what can make a writer wait.
    var isStream: Bool
    /// Of the last line, what the stream had no room for.
    var rest: [UInt8] = []

    init(_ descriptor: Int32) {
      self.descriptor = descriptor
      var status = stat()
      isStream = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT != S_IFREG
    }
  }
  private let target: Mutex<Target>
  private let droppedLines = Atomic<Int>(0)
  /// A stream that is ready to be written takes so much without waiting (PIPE_BUF).
  private static let chunk = 4096

  /// "-" is standard output, "stderr" standard error.
  public init(path: String) throws(FileError) {
    self.path = path
    target = Mutex(Target(try ReopenableFile.open(path)))
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
    let ok = target.withLock { target in
      if !target.rest.isEmpty {
        let done = ReopenableFile.put(target.rest, target)
        target.rest.removeFirst(done)
        if !target.rest.isEmpty { return false }
      }
      let done = ReopenableFile.put(whole, target)
      if target.isStream && done > 0 { target.rest = Array(whole[done...]) }
      return done == whole.count || !target.rest.isEmpty
    }
    if !ok { droppedLines.wrappingAdd(1, ordering: .relaxed) }
  }

  /// - Returns: bytes written, without waiting.
  private static func put(_ bytes: [UInt8], _ target: Target) -> Int {
    bytes.withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        var wanted = bytes.count - done
        if target.isStream {
          var state = pollfd(fd: target.descriptor, events: Int16(POLLOUT), revents: 0)
          if poll(&state, 1, 0) <= 0 { return done }
          wanted = min(wanted, chunk)
        }
        let wrote = Glibc.write(target.descriptor, bytes.baseAddress! + done, wanted)
        if wrote < 0 && errno == EINTR { continue }
        if wrote <= 0 { return done }
        done += wrote
      }
      return done
    }
  }

  /// Opens the path anew; the old file stays in use where that fails.
  public func reopen() {
    guard path != "-", path != "stderr", let fresh = try? ReopenableFile.open(path) else { return }
    target.withLock { current in
      close(current.descriptor)
      current = Target(fresh)
    }
  }
}
