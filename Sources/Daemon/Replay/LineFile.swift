// Buffered writing of lines, with errors that name the file.
import Glibc

final class LineFile {
  let path: String
  private let descriptor: Int32
  private var buffer: UnsafeMutableRawPointer
  private var count = 0
  private static let capacity = 1 << 20
  private(set) var lines = 0
  private(set) var bytes = 0

  init(path: String) throws(FileError) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    if descriptor < 0 { throw FileError(path: path, action: "create", code: errno) }
    buffer = .allocate(byteCount: LineFile.capacity, alignment: 64)
  }

  deinit {
    buffer.deallocate()
    Glibc.close(descriptor)
  }

  func append(line: UnsafeRawBufferPointer) throws(FileError) {
    try put(line)
    try withNewline { (newline) throws(FileError) in try put(newline) }
    lines += 1
  }

  private func withNewline(_ body: (UnsafeRawBufferPointer) throws(FileError) -> Void)
    throws(FileError)
  {
    let literal: StaticString = "\n"
    try body(UnsafeRawBufferPointer(start: literal.utf8Start, count: 1))
  }

  private func put(_ data: UnsafeRawBufferPointer) throws(FileError) {
    guard let base = data.baseAddress else { return }
    bytes += data.count
    if data.count > LineFile.capacity - count { try flush() }
    if data.count > LineFile.capacity {
      try write(base, data.count)
      return
    }
    (buffer + count).copyMemory(from: base, byteCount: data.count)
    count += data.count
  }

  func flush() throws(FileError) {
    try write(UnsafeRawPointer(buffer), count)
    count = 0
  }

  private func write(_ start: UnsafeRawPointer, _ size: Int) throws(FileError) {
    var done = 0
    while done < size {
      let wrote = Glibc.write(descriptor, start + done, size - done)
      if wrote < 0 {
        if errno == EINTR { continue }
        throw FileError(path: path, action: "write", code: errno)
      }
      done += wrote
    }
  }
}
