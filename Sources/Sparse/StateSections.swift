// What a snapshot holds of a structure, told in core terms: named runs of plain values. A structure puts
// its flat arrays as they stand in memory and takes them back with one copy each; files, checksums
// and versions are the shell's.
//
// Byte order and widths are the machine's (little endian, 64 bits); the shell's header says so.

/// A saved structure cannot be had back.
public struct StateError: Error, CustomStringConvertible {
  public var description: String
  public init(_ description: String) { self.description = description }
}

/// Collects sections. What is put is referred to, not copied: write it out before it changes.
public struct StateWriter: ~Copyable {
  public struct Section {
    public var name: String
    /// Bytes of one element.
    public var stride: Int
    /// The section's bytes, in order.
    public var parts: [UnsafeRawBufferPointer]
    public var byteCount: Int { parts.reduce(0) { $0 + $1.count } }
  }

  public private(set) var sections: [Section] = []
  private var prefix = ""
  /// Copies of small values made on the way.
  private var copies: [UnsafeMutableRawBufferPointer] = []

  public init() {}

  deinit { for copy in copies { copy.deallocate() } }

  public var byteCount: Int { sections.reduce(0) { $0 + $1.byteCount } }

  /// Everything put in `body` is named `name.…`.
  public mutating func group(_ name: String, _ body: (inout StateWriter) -> Void) {
    let outer = prefix
    prefix += name + "."
    body(&self)
    prefix = outer
  }

  public mutating func put<Element>(_ name: String, _ vec: borrowing Vec<Element>) {
    put(
      name, stride: MemoryLayout<Element>.stride,
      parts: [UnsafeRawBufferPointer(start: vec.base, count: vec.count * MemoryLayout<Element>.stride)])
  }

  public mutating func put<Element: BitwiseCopyable>(
    _ name: String, _ buffer: UnsafeBufferPointer<Element>
  ) {
    put(name, stride: MemoryLayout<Element>.stride, parts: [UnsafeRawBufferPointer(buffer)])
  }

  public mutating func put(_ name: String, stride: Int, parts: [UnsafeRawBufferPointer]) {
    sections.append(Section(name: prefix + name, stride: stride, parts: parts))
  }

  /// Copies the values.
  public mutating func put<Element: BitwiseCopyable>(_ name: String, copying values: [Element]) {
    let copy = UnsafeMutableRawBufferPointer.allocate(
      byteCount: values.count * MemoryLayout<Element>.stride, alignment: 16)
    values.withUnsafeBytes { copy.copyMemory(from: $0) }
    copies.append(copy)
    put(name, stride: MemoryLayout<Element>.stride, parts: [UnsafeRawBufferPointer(copy)])
  }

  /// A few numbers; read them back in the same order.
  public mutating func put(_ name: String, numbers: Int64...) { put(name, copying: numbers) }

  /// Strings end to end, with where each ends.
  public mutating func put(_ name: String, strings: [String]) {
    var bytes: [UInt8] = []
    var ends: [Int64] = []
    for string in strings {
      bytes.append(contentsOf: string.utf8)
      ends.append(Int64(bytes.count))
    }
    put(name + ".bytes", copying: bytes)
    put(name + ".ends", copying: ends)
  }
}

/// Sections by name. Their bytes stay valid as long as their owner says.
public struct StateReader {
  public struct Section {
    public var stride: Int
    public var bytes: UnsafeRawBufferPointer
    public init(stride: Int, bytes: UnsafeRawBufferPointer) {
      self.stride = stride
      self.bytes = bytes
    }
  }
  private let sections: [String: Section]
  private var prefix = ""

  public init(_ sections: [String: Section]) { self.sections = sections }

  /// The sections named `name.…`.
  public func group(_ name: String) -> StateReader {
    var inner = self
    inner.prefix += name + "."
    return inner
  }

  public func has(_ name: String) -> Bool { sections[prefix + name] != nil }

  /// The section's bytes as they stand: elements of `stride` bytes.
  public func bytes(_ name: String, stride: Int) throws(StateError) -> UnsafeRawBufferPointer {
    guard let section = sections[prefix + name] else {
      throw StateError("section \(prefix)\(name) is missing")
    }
    guard section.stride == stride, section.bytes.count % stride == 0 else {
      throw StateError("section \(prefix)\(name): elements of \(section.stride) bytes, not \(stride)")
    }
    return section.bytes
  }

  /// A copy of the section.
  public func vec<Element: BitwiseCopyable>(_ name: String) throws(StateError) -> Vec<Element> {
    let bytes = try bytes(name, stride: MemoryLayout<Element>.stride)
    let count = bytes.count / MemoryLayout<Element>.stride
    var vec = Vec<Element>(capacity: count)
    vec.count = count
    UnsafeMutableRawBufferPointer(vec.mutableBuffer).copyMemory(from: bytes)
    return vec
  }

  public func array<Element: BitwiseCopyable>(_ name: String, of type: Element.Type = Element.self)
    throws(StateError) -> [Element]
  {
    let vec: Vec<Element> = try vec(name)
    return Array(vec.buffer)
  }

  /// Exactly `count` numbers.
  public func numbers(_ name: String, count: Int) throws(StateError) -> [Int64] {
    let numbers = try array(name, of: Int64.self)
    guard numbers.count == count else {
      throw StateError("section \(prefix)\(name): \(numbers.count) numbers, not \(count)")
    }
    return numbers
  }

  public func strings(_ name: String) throws(StateError) -> [String] {
    let bytes = try array(name + ".bytes", of: UInt8.self)
    var strings: [String] = []
    var start = 0
    for end in try array(name + ".ends", of: Int64.self) {
      guard end >= Int64(start), end <= Int64(bytes.count) else {
        throw StateError("section \(prefix)\(name): a string ends where none can")
      }
      strings.append(String(decoding: bytes[start..<Int(end)], as: UTF8.self))
      start = Int(end)
    }
    return strings
  }
}
