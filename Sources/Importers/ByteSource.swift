// Bytes of a log file: plain or gzip (told by its first bytes), or standard input for "-".
import CZlib
import Glibc

public enum ImportError: Error, CustomStringConvertible, Equatable {
  case cannotRead(path: String, why: String)
  /// The file is read, but is not what was asked for: a column is missing, say.
  case wrongFormat(String)
  /// The mapping or an option does not make sense.
  case wrongUse(String)

  public var description: String {
    switch self {
    case .cannotRead(let path, let why): "\(path): \(why)"
    case .wrongFormat(let text), .wrongUse(let text): text
    }
  }
}

public final class ByteSource {
  public let path: String
  /// Bytes on disk (compressed, if it is), or 0 where that is not known.
  public let size: Int
  private let file: gzFile

  public init(_ path: String) throws(ImportError) {
    self.path = path
    var status = stat()
    if path != "-" {
      if stat(path, &status) != 0 {
        throw .cannotRead(path: path, why: String(cString: strerror(errno)))
      }
      if status.st_mode & S_IFMT == S_IFDIR { throw .cannotRead(path: path, why: "is a folder") }
    }
    size = path == "-" ? 0 : Int(status.st_size)
    guard let opened = path == "-" ? gzdopen(0, "rb") : gzopen(path, "rb") else {
      throw .cannotRead(path: path, why: String(cString: strerror(errno)))
    }
    file = opened
    gzbuffer(file, 1 << 18)
  }

  deinit { gzclose_r(file) }

  /// Fills from `start`; 0 at the end.
  public func read(into start: UnsafeMutablePointer<UInt8>, _ count: Int) throws(ImportError) -> Int
  {
    let n = gzread(file, start, UInt32(min(count, 1 << 30)))
    if n < 0 {
      var code: Int32 = 0
      let text = gzerror(file, &code).map { String(cString: $0) } ?? "cannot be read"
      throw .cannotRead(path: path, why: code == Z_ERRNO ? String(cString: strerror(errno)) : text)
    }
    if n == 0 {
      // A gzip file that ends in the middle reads as a short one unless asked.
      var code: Int32 = 0
      _ = gzerror(file, &code)
      if code == Z_BUF_ERROR { throw .cannotRead(path: path, why: "ends inside compressed data") }
    }
    return Int(n)
  }

  /// Bytes of `size` behind us.
  public var position: Int { max(0, Int(gzoffset(file))) }
}
