// What snapshots need of a file system, as a protocol, so that the tests can put a disk under it that
// loses power, fills up and fails at any call (Tests/TestSupport/SimulatedDisk.swift).
import Glibc

/// A call that failed. `code` is errno.
public struct DiskError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Operation: String, Hashable, Sendable {
    case makeFolder = "make folder"
    case create, reserve, write, sync, close, rename
    case syncFolder = "sync folder"
    case list, remove, map, read, lock
  }
  public var operation: Operation
  public var path: String
  public var code: Int32

  public init(_ operation: Operation, _ path: String, code: Int32) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  /// No space left, or a quota reached.
  public var isFull: Bool { code == ENOSPC || code == EDQUOT }

  public var description: String {
    "\(path): cannot \(operation.rawValue): \(String(cString: strerror(code)))"
  }
}

/// A file being written from its start on. Closed when it is let go.
public protocol DiskFile: AnyObject {
  /// Takes room for the whole file, so that a full disk says so before anything is written.
  func reserve(_ bytes: Int) throws(DiskError)
  /// Appends; returns how many bytes were taken, 1 or more.
  func write(_ bytes: UnsafeRawBufferPointer) throws(DiskError) -> Int
  /// Makes what was written durable. After an error the file's content is lost, whatever a second
  /// call would say: the system has marked the pages clean.
  func sync() throws(DiskError)
  /// Closed afterwards, also where it throws.
  func close() throws(DiskError)
}

/// A lock that a forked process has too.
protocol ForkableLock: AnyObject {
  /// Gives up this process's part in it.
  func leave()
}

public enum DiskLock {
  /// Held until the object is let go.
  case taken(AnyObject)
  /// Another process has it; its id where it said so.
  case held(by: Int?)
}

public protocol Disk: Sendable {
  /// Makes a folder and those it lies in, where missing, durably.
  func makeFolder(_ path: String) throws(DiskError)
  /// A new file, readable by its owner alone; fails where the name is taken.
  func create(_ path: String) throws(DiskError) -> any DiskFile
  /// Atomic. Durable once the folder is synced.
  func rename(_ from: String, to: String) throws(DiskError)
  func syncFolder(_ path: String) throws(DiskError)
  /// Names in a folder, in any order.
  func list(_ folder: String) throws(DiskError) -> [String]
  func remove(_ path: String) throws(DiskError)
  /// The whole file as private memory: writing to it does not reach the file.
  func map(_ path: String) throws(DiskError) -> DiskMemory
  func lock(_ path: String) throws(DiskError) -> DiskLock
}

/// Page-aligned writable memory, given back when it is let go: a private mapping of a file, or zeros.
public final class DiskMemory: @unchecked Sendable {
  public let base: UnsafeMutableRawPointer
  /// Bytes.
  public let count: Int
  /// The file behind it; nil for plain memory.
  let file: String?

  /// Zeros, in huge pages where the system has them.
  public init(zeros count: Int) throws(DiskError) {
    let pages = mmap(
      nil, max(count, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let pages, pages != MAP_FAILED else { throw DiskError(.map, "memory", code: errno) }
    madvise(pages, max(count, 1), MADV_HUGEPAGE)
    base = pages
    self.count = count
    file = nil
  }

  /// A private mapping of an open file. Not reserved: only pages that are written to cost memory.
  init(mapping descriptor: Int32, count: Int, path: String) throws(DiskError) {
    let pages = mmap(
      nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0)
    guard let pages, pages != MAP_FAILED else { throw DiskError(.map, path, code: errno) }
    base = pages
    self.count = count
    file = path
  }

  deinit { munmap(base, max(count, 1)) }

  public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// Brings a page-aligned range in from the file. What the disk cannot read is an error here; met in
  /// passing it would be SIGBUS. Linux before 5.14 does not know the call: then nothing happens.
  func load(_ from: Int, _ count: Int) throws(DiskError) {
    guard let file, count > 0 else { return }
    let populateRead: Int32 = 22
    while madvise(base + from, count, populateRead) != 0 {
      if errno == EINTR || errno == EAGAIN { continue }
      if errno == EINVAL { return }
      throw DiskError(.read, file, code: errno == EFAULT ? EIO : errno)
    }
  }
}
