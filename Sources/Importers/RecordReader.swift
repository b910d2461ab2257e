// Records of delimited text, streaming: RFC 4180 (quotes, doubled quotes, CRLF, line feeds inside
// quotes), with any one-byte delimiter, or plain splitting where quotes mean nothing.
//
// One flat buffer holds the record at hand and what was read after it. Fields are ranges of that
// buffer; only a field with doubled quotes is copied (into `scratch`). All are valid until `next`.
// As in Python's csv module, text after a closing quote is kept as it stands. A quote that is never
// closed spoils its own line only: reading goes on after that line.
import Sparse

public struct RecordReader: ~Copyable {
  public enum Quoting: Sendable {
    /// RFC 4180.
    case doubleQuotes
    /// A quote is a character like any other.
    case none
  }

  /// A record longer than this is malformed.
  public static let recordLimit = 1 << 20

  public let source: ByteSource
  let delimiter: UInt8
  let quoting: Quoting
  private var buffer: Vec<UInt8>
  private var start = 0
  private var atEnd = false
  private var isFirst = true
  private struct Field: BitwiseCopyable {
    var start: Int
    var count: Int
    var isCopied: Bool
  }
  private var fields: Vec<Field>
  private var scratch: Vec<UInt8>
  private var raw = 0..<0
  private var nextLine = 1

  /// The line the record begins on, from 1.
  public private(set) var line = 1
  /// Whether a quote was never closed, or the record is too long; it then has no fields.
  public private(set) var isMalformed = false

  public init(_ source: ByteSource, delimiter: UInt8 = 44, quoting: Quoting = .doubleQuotes) {
    self.source = source
    self.delimiter = delimiter
    self.quoting = quoting
    buffer = Vec(capacity: 1 << 20)
    fields = Vec(capacity: 64)
    scratch = Vec()
  }

  public var fieldCount: Int { fields.count }

  /// Empty where the record has no such field.
  @inline(__always)
  public func field(_ index: Int) -> UnsafeRawBufferPointer {
    if index < 0 || index >= fields.count { return UnsafeRawBufferPointer(start: nil, count: 0) }
    let f = fields[index]
    return UnsafeRawBufferPointer(
      start: (f.isCopied ? scratch.base : buffer.base) + f.start, count: f.count)
  }

  /// The record as it stands in the file, without its line end.
  public var text: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: buffer.base + raw.lowerBound, count: raw.count)
  }

  /// Goes to the next record; lines without a character are passed over. False at the end.
  public mutating func next() throws(ImportError) -> Bool {
    while true {
      if isFirst {
        isFirst = false
        while buffer.count < 3 && !atEnd { try refill() }
        if buffer.count >= 3 && buffer[0] == 0xef && buffer[1] == 0xbb && buffer[2] == 0xbf {
          start = 3
        }
      }
      line = nextLine
      isMalformed = false
      var end = parse()
      while end == nil && !atEnd && buffer.count - start <= RecordReader.recordLimit {
        try refill()
        end = parse()
      }
      if start >= buffer.count { return false }
      if let end {
        let isEmpty = raw.isEmpty
        start = end
        if isEmpty { continue }
        return true
      }
      // A quote without an end, or a record without bound: the line alone.
      isMalformed = true
      fields.removeAll()
      var at = start
      while true {
        while at < buffer.count && buffer[at] != 10 { at += 1 }
        if at < buffer.count || atEnd { break }
        if at - start > RecordReader.recordLimit {
          // Let go of what is too long to keep.
          start = at
        }
        let kept = at - start
        try refill()
        at = start + kept
      }
      raw = start..<min(at, start + RecordReader.recordLimit)
      start = min(at + 1, buffer.count)
      nextLine = line + 1
      return true
    }
  }

  private mutating func refill() throws(ImportError) {
    let kept = buffer.count - start
    if start > 0 {
      buffer.base.update(from: buffer.base + start, count: kept)
      buffer.count = kept
      start = 0
    }
    if buffer.capacity - buffer.count < 1 << 19 { buffer.grow(to: buffer.count + 1 << 20) }
    let n = try source.read(into: buffer.base + buffer.count, buffer.capacity - buffer.count)
    buffer.count += n
    if n == 0 { atEnd = true }
  }

  /// Splits the record at `start`. Returns where the next one begins, or nil where this one has no
  /// end in the buffer (and the file may go on).
  private mutating func parse() -> Int? {
    fields.removeAll()
    scratch.removeAll()
    let text = buffer.base
    let end = buffer.count
    var at = start
    var lines = 1
    while true {
      var from = at
      var isCopied = false
      var count = 0
      if quoting == .doubleQuotes && at < end && text[at] == 34 {
        from = at + 1
        at = from
        while true {
          while at < end && text[at] != 34 {
            if text[at] == 10 { lines += 1 }
            at += 1
          }
          if at >= end { return nil }  // no closing quote yet
          if at + 1 >= end && !atEnd { return nil }
          let piece = at - from
          if at + 1 < end && text[at + 1] == 34 {
            // A doubled quote: the field goes on in `scratch`.
            if !isCopied {
              isCopied = true
              count = 0
            }
            scratch.append(contentsOf: UnsafeBufferPointer(start: text + from, count: piece + 1))
            count += piece + 1
            at += 2
            from = at
            continue
          }
          at += 1
          // Text between the closing quote and the delimiter stays.
          let rest = at
          while at < end && text[at] != delimiter && text[at] != 10 { at += 1 }
          if at >= end && !atEnd { return nil }
          var tail = at - rest
          if tail > 0 && text[at - 1] == 13 && (at >= end || text[at] == 10) { tail -= 1 }
          if isCopied || tail > 0 {
            if !isCopied {
              isCopied = true
              count = 0
            }
            scratch.append(contentsOf: UnsafeBufferPointer(start: text + from, count: piece))
            scratch.append(contentsOf: UnsafeBufferPointer(start: text + rest, count: tail))
            count += piece + tail
            from = scratch.count - count
          } else {
            count = piece
          }
          break
        }
      } else {
        while at < end && text[at] != delimiter && text[at] != 10 { at += 1 }
        if at >= end && !atEnd { return nil }
        count = at - from
        if count > 0 && text[at - 1] == 13 && (at >= end || text[at] == 10) { count -= 1 }
      }
      fields.append(Field(start: from, count: count, isCopied: isCopied))
      if at >= end || text[at] == 10 {
        var last = at
        if last > start && text[last - 1] == 13 { last -= 1 }
        raw = start..<last
        nextLine = line + lines
        return min(at + 1, end)
      }
      at += 1
    }
  }
}
