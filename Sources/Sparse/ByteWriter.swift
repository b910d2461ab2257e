// Where output bytes are made: one flat buffer, appended to and reset, no strings in between.
import CNumbers

/// A growing buffer of bytes with JSON's primitives.
public struct ByteWriter: ~Copyable {
  @usableFromInline var storage: Vec<UInt8>

  public init(capacity: Int = 256) { storage = Vec(capacity: capacity) }

  @inlinable public var count: Int { storage.count }
  /// The first byte; like `bytes` valid until the next append.
  @inlinable public var base: UnsafePointer<UInt8> { UnsafePointer(storage.base) }
  /// Valid until the next append.
  @inlinable public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(storage.buffer) }
  @inlinable public mutating func removeAll() { storage.removeAll() }
  /// As `removeAll`, and overwrites whatever stood here.
  public mutating func wipe() {
    storage.base.initialize(repeating: 0, count: storage.capacity)
    storage.count = 0
  }
  @inlinable public mutating func truncate(to count: Int) { storage.count = min(count, storage.count) }
  public var string: String { String(decoding: storage.buffer, as: UTF8.self) }

  /// Room for `more` bytes; the pointer at which they go. Follow with `advance`.
  @inlinable public mutating func reserve(_ more: Int) -> UnsafeMutablePointer<UInt8> {
    if storage.count + more > storage.capacity { storage.grow(to: storage.count + more) }
    return storage.base + storage.count
  }
  @inlinable public mutating func advance(_ by: Int) { storage.count += by }

  @inlinable public mutating func append(byte: UInt8) { storage.append(byte) }

  @inlinable @inline(__always) public mutating func append(_ literal: StaticString) {
    // Inlined, the length is a constant and the copy a few moves.
    let count = literal.utf8CodeUnitCount
    reserve(count).update(from: literal.utf8Start, count: count)
    advance(count)
  }

  @inlinable public mutating func append(bytes: UnsafeRawBufferPointer) {
    storage.append(contentsOf: bytes.assumingMemoryBound(to: UInt8.self))
  }

  /// Appends again what stands at `start`.
  @inlinable public mutating func appendOwn(_ start: Int, _ length: Int) {
    let at = reserve(length)
    at.update(from: storage.base + start, count: length)
    advance(length)
  }

  /// Takes out one byte; what is behind it moves up.
  public mutating func remove(at place: Int) {
    precondition(place < count)
    (storage.base + place).update(from: storage.base + (place + 1), count: count - place - 1)
    storage.count -= 1
  }

  @inlinable public mutating func append(text: String) {
    var text = text
    text.withUTF8 { storage.append(contentsOf: $0) }
  }

  @inlinable public mutating func append(_ value: Int) {
    if value < 0 { append(byte: UInt8(ascii: "-")) }
    append(unsigned: UInt64(value.magnitude))
  }

  @inlinable public mutating func append(unsigned value: UInt64) {
    let at = reserve(20)
    if value < 10 {
      at[0] = UInt8(truncatingIfNeeded: 48 &+ value)
      advance(1)
      return
    }
    var digits = 2
    var limit: UInt64 = 100
    while digits < 20 && value >= limit {
      digits &+= 1
      limit = digits == 20 ? UInt64.max : limit &* 10
    }
    var rest = value
    var i = digits &- 1
    while i >= 0 {
      let next = rest / 10
      at[i] = UInt8(truncatingIfNeeded: 48 &+ rest &- next &* 10)
      rest = next
      i &-= 1
    }
    advance(digits)
  }

  /// The shortest text that reads back to the same double. `value` is finite.
  public mutating func append(_ value: Double) {
    precondition(value.isFinite)
    let at = reserve(32)
    let n = at.withMemoryRebound(to: CChar.self, capacity: 32) { affinity_format_double(value, $0) }
    advance(n)
  }

  /// A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
  @inlinable public mutating func append(quoted text: UnsafeRawBufferPointer) {
    let at = reserve(text.count &+ 2)
    at[0] = UInt8(ascii: "\"")
    var i = 0
    let n = text.count
    // Eight bytes at a time while none of them needs escaping or checking.
    while i &+ 8 <= n {
      let word = text.loadUnaligned(fromByteOffset: i, as: UInt64.self)
      if ByteWriter.needsCare(word) { break }
      UnsafeMutableRawPointer(at + (i &+ 1)).storeBytes(of: word, as: UInt64.self)
      i &+= 8
    }
    while i < n {
      let c = text[i]
      if c < 0x20 || c == 0x22 || c == 0x5c || c >= 0x80 { break }
      at[i &+ 1] = c
      i &+= 1
    }
    advance(i &+ 1)
    if i < n { appendSlowly(UnsafeRawBufferPointer(rebasing: text[i...])) }
    append(byte: UInt8(ascii: "\""))
  }

  /// Whether one of the eight bytes is a control character, a quote, a backslash or not ASCII.
  @inlinable @inline(__always) static func needsCare(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    let quotes = word ^ (ones &* 0x22)
    let slashes = word ^ (ones &* 0x5c)
    let low = (word &- ones &* 0x20) & ~word
    let quote = (quotes &- ones) & ~quotes
    let slash = (slashes &- ones) & ~slashes
    return (word | low | quote | slash) & highs != 0
  }

  public mutating func append(quoted text: String) {
    var text = text
    text.withUTF8 { append(quoted: UnsafeRawBufferPointer($0)) }
  }

  @usableFromInline mutating func appendSlowly(_ bytes: UnsafeRawBufferPointer) {
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
      switch scalar {
      case "\"": append("\\\"")
      case "\\": append("\\\\")
      case "\n": append("\\n")
      case "\r": append("\\r")
      case "\t": append("\\t")
      default:
        if scalar.value < 0x20 {
          append("\\u00")
          let hex = Array("0123456789abcdef".utf8)
          append(byte: hex[Int(scalar.value >> 4)])
          append(byte: hex[Int(scalar.value & 15)])
        } else {
          for unit in UTF8.encode(scalar)! { append(byte: unit) }
        }
      }
    }
  }
}
