// The file system as it is.
import CStorage
import Glibc

public struct PosixDisk: Disk {
  public init() {}

  public func makeFolder(_ path: String) throws(DiskError) {
    var place = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      let parent = place.isEmpty ? "." : place
      place += (place.isEmpty || place.hasSuffix("/") ? "" : "/") + part
      if mkdir(place, 0o700) == 0 {
        try syncFolder(parent)
      } else if errno != EEXIST {
        throw DiskError(.makeFolder, place, code: errno)
      }
    }
  }

  public func create(_ path: String) throws(DiskError) -> any DiskFile {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    if descriptor < 0 { throw DiskError(.create, path, code: errno) }
    return PosixFile(path: path, descriptor: descriptor)
  }

  public func rename(_ from: String, to: String) throws(DiskError) {
    if Glibc.rename(from, to) != 0 { throw DiskError(.rename, to, code: errno) }
  }

  public func syncFolder(_ path: String) throws(DiskError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 { throw DiskError(.syncFolder, path, code: errno) }
    defer { close(descriptor) }
    if fsync(descriptor) != 0 { throw DiskError(.syncFolder, path, code: errno) }
  }

  public func list(_ folder: String) throws(DiskError) -> [String] {
    guard let stream = opendir(folder) else { throw DiskError(.list, folder, code: errno) }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        if errno != 0 { throw DiskError(.list, folder, code: errno) }
        return names
      }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
  }

  public func remove(_ path: String) throws(DiskError) {
    if unlink(path) != 0 { throw DiskError(.remove, path, code: errno) }
  }

  public func map(_ path: String) throws(DiskError) -> DiskMemory {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw DiskError(.map, path, code: errno) }
    defer { close(descriptor) }
    var info = stat()
    if fstat(descriptor, &info) != 0 { throw DiskError(.map, path, code: errno) }
    if info.st_mode & S_IFMT != S_IFREG {
      throw DiskError(.map, path, code: info.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL)
    }
    if info.st_size == 0 { return try DiskMemory(zeros: 0) }
    return try DiskMemory(mapping: descriptor, count: Int(info.st_size), path: path)
  }

  public func lock(_ path: String) throws(DiskError) -> DiskLock {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    if descriptor < 0 { throw DiskError(.lock, path, code: errno) }
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = errno
      defer { close(descriptor) }
      if code != EWOULDBLOCK { throw DiskError(.lock, path, code: code) }
      var text = [UInt8](repeating: 0, count: 32)
      let n = pread(descriptor, &text, text.count, 0)
      return .held(by: Int(String(decoding: text.prefix(max(0, n)).prefix { $0 > 32 }, as: UTF8.self)))
    }
    // Who has it is said for people; the lock does not depend on it.
    var text = "\(getpid())\n"
    _ = ftruncate(descriptor, 0)
    _ = text.withUTF8 { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    return .taken(HeldLock(descriptor: descriptor))
  }
}

private final class HeldLock: ForkableLock {
  private var descriptor: Int32
  init(descriptor: Int32) { self.descriptor = descriptor }
  deinit { leave() }

  func leave() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
  }
}

private final class PosixFile: DiskFile {
  let path: String
  private var descriptor: Int32
  private var written = 0

  init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }
  deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

  func reserve(_ bytes: Int) throws(DiskError) {
    let code = affinity_reserve(descriptor, Int64(bytes))
    if code != 0 { throw DiskError(.reserve, path, code: code) }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(DiskError) -> Int {
    while true {
      let n = Glibc.write(descriptor, bytes.baseAddress, bytes.count)
      if n > 0 {
        // Begin to write back at once: the sync at the end then finds little left to wait for.
        affinity_begin_writeback(descriptor, Int64(written), Int64(n))
        written += n
        return n
      }
      if n < 0 && errno == EINTR { continue }
      throw DiskError(.write, path, code: n < 0 ? errno : EIO)
    }
  }

  func sync() throws(DiskError) {
    if fsync(descriptor) != 0 { throw DiskError(.sync, path, code: errno) }
  }

  func close() throws(DiskError) {
    let old = descriptor
    descriptor = -1
    // Linux closes the descriptor also where it says EINTR.
    if Glibc.close(old) != 0 && errno != EINTR { throw DiskError(.close, path, code: errno) }
  }
}
