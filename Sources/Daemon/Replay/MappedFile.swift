// A log file as bytes: mapped where it is a plain file, read whole where it cannot be mapped (a pipe).
import Glibc

public struct FileError: InputError {
  public var path: String
  public var action: String
  public var code: Int32
  public init(path: String, action: String, code: Int32) {
    self.path = path
    self.action = action
    self.code = code
  }
  public var description: String { "\(path): cannot \(action): \(String(cString: strerror(code)))" }
}

public final class MappedFile: @unchecked Sendable {
  public let bytes: UnsafeRawBufferPointer
  private let isMapped: Bool

  public init(path: String) throws(FileError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw FileError(path: path, action: "open", code: errno) }
    defer { close(descriptor) }
    var info = stat()
    if fstat(descriptor, &info) != 0 { throw FileError(path: path, action: "stat", code: errno) }
    if info.st_mode & S_IFMT == S_IFDIR {
      throw FileError(path: path, action: "read", code: EISDIR)
    }
    if info.st_mode & S_IFMT == S_IFREG {
      isMapped = true
      if info.st_size == 0 {
        bytes = UnsafeRawBufferPointer(start: nil, count: 0)
        return
      }
      let mapped = mmap(nil, Int(info.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0)
      guard let mapped, mapped != MAP_FAILED else {
        throw FileError(path: path, action: "map", code: errno)
      }
      madvise(mapped, Int(info.st_size), MADV_SEQUENTIAL)
      bytes = UnsafeRawBufferPointer(start: mapped, count: Int(info.st_size))
      return
    }
    isMapped = false
    var capacity = 1 << 20
    var count = 0
    var buffer = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
    while true {
      if count == capacity {
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity * 2, alignment: 64)
        larger.copyMemory(from: buffer, byteCount: count)
        buffer.deallocate()
        buffer = larger
        capacity *= 2
      }
      let got = read(descriptor, buffer + count, capacity - count)
      if got < 0 {
        if errno == EINTR { continue }
        let code = errno
        buffer.deallocate()
        throw FileError(path: path, action: "read", code: code)
      }
      if got == 0 { break }
      count += got
    }
    bytes = UnsafeRawBufferPointer(start: buffer, count: count)
  }

  deinit {
    guard let base = bytes.baseAddress else { return }
    if isMapped {
      munmap(UnsafeMutableRawPointer(mutating: base), bytes.count)
    } else {
      base.deallocate()
    }
  }
}
