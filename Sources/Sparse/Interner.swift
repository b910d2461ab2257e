// Dense ids for byte strings. An id's fingerprint, length and key stand in one cache line, so finding a known
// key touches two: this and the probe table's. Keys above 40 bytes stand end to end in an arena. An id that is
// removed is given out again; long keys leave the arena when a third of it is garbage.
//
// State: `table`, `entries`, `arena`; the rest follows from them or is a few words.

/// Byte strings to dense ids and back. Ids count from 0 in order of first appearance; removed ids are reused.
public struct Interner: ~Copyable {
  /// One cache line per id.
  @usableFromInline struct Entry: BitwiseCopyable {
    @usableFromInline var print = Fingerprint.zero
    @usableFromInline var length: UInt32 = 0  // UInt32.max = free
    @usableFromInline var nextFree: UInt32 = 0
    /// The key, padded with zeros; of a longer key the first eight bytes, then its place in the arena.
    @usableFromInline var words: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)

    @inlinable init() {}
    @usableFromInline static let keyOffset = 24
  }
  @usableFromInline static let inlineBytes = 40

  @usableFromInline var table: ProbeTable
  @usableFromInline var entries: Vec<Entry>
  @usableFromInline var arena: Vec<UInt8>
  var firstFree = UInt32.max
  var garbage = 0
  /// Live ids.
  public internal(set) var liveCount = 0

  public init(expecting count: Int = 16) {
    var size = 32
    while size * 3 < count * 4 { size *= 2 }
    table = ProbeTable(size: size)
    entries = Vec()
    arena = Vec()
  }

  /// One more than the highest id ever given out.
  @inlinable public var idLimit: Int { entries.count }

  /// The id of the key, given out now if it is new.
  @inlinable public mutating func intern(_ key: UnsafeRawBufferPointer) -> (id: UInt32, isNew: Bool) {
    intern(key, Fingerprint(of: key))
  }

  /// The same for a key whose fingerprint is known.
  @inlinable public mutating func intern(
    _ key: UnsafeRawBufferPointer, _ print: Fingerprint
  ) -> (id: UInt32, isNew: Bool) {
    if let id = find(key, print) { return (id, false) }
    return (insert(key, print), true)
  }

  @inlinable public func find(_ key: UnsafeRawBufferPointer) -> UInt32? {
    find(key, Fingerprint(of: key))
  }

  @inlinable public func find(_ text: String) -> UInt32? {
    var text = text
    return text.withUTF8 { bytes in find(UnsafeRawBufferPointer(bytes)) }
  }

  @inlinable public func find(_ key: UnsafeRawBufferPointer, _ print: Fingerprint) -> UInt32? {
    table.find(print) { isKey(key, print, of: $0) }
  }

  /// The key's bytes; valid until the next `intern` or `remove`.
  @inlinable public func key(_ id: UInt32) -> UnsafeRawBufferPointer {
    let entry = entries.base + Int(id)
    let length = Int(entry.pointee.length)
    let start =
      length <= 40
      ? UnsafeRawPointer(entry) + 24
      : UnsafeRawPointer(arena.base + Int(truncatingIfNeeded: entry.pointee.words.1))
    return UnsafeRawBufferPointer(start: start, count: length)
  }

  @inlinable public func fingerprint(_ id: UInt32) -> Fingerprint { entries[Int(id)].print }

  @inlinable public func isLive(_ id: UInt32) -> Bool {
    Int(id) < entries.count && entries[Int(id)].length != UInt32.max
  }

  /// Whether the key of `a` sorts before the key of `b`, as bytes.
  @inlinable public func precedes(_ a: UInt32, _ b: UInt32) -> Bool {
    let pa = UInt64(bigEndian: entries.base[Int(a)].words.0)
    let pb = UInt64(bigEndian: entries.base[Int(b)].words.0)
    if pa != pb { return pa < pb }
    return comesBefore(key(a), key(b))
  }

  public func string(_ id: UInt32) -> String { String(decoding: key(id), as: UTF8.self) }

  public mutating func remove(_ id: UInt32) {
    precondition(isLive(id))
    let entry = entries.base + Int(id)
    table.remove(id) { entries[Int($0)].print }
    let length = Int(entry.pointee.length)
    if length > Interner.inlineBytes {
      garbage += length
      (arena.base + Int(entry.pointee.words.1)).update(repeating: 0, count: length)
    }
    entry.pointee = Entry()
    entry.pointee.length = UInt32.max
    entry.pointee.nextFree = firstFree
    firstFree = id
    liveCount -= 1
    if garbage > 4096 && garbage > arena.count / 3 { compact() }
  }

  /// Bytes held.
  public var bytes: Int { table.bytes + entries.bytes + arena.bytes }

  // MARK: ahead of time

  /// Asks the processor for the place where the key's search begins.
  @inlinable @inline(__always)
  public func prefetchHome(_ print: Fingerprint) { table.prefetchHome(print) }

  /// Whether the id's key is this one.
  @inlinable @inline(__always)
  public func isKey(_ key: UnsafeRawBufferPointer, _ print: Fingerprint, of id: UInt32) -> Bool {
    entries[Int(id)].print == print && sameBytes(self.key(id), key)
  }

  /// Asks for the line of the id that the key probably has.
  /// - Returns: that id; nil where the key is likely new.
  @inlinable @inline(__always)
  public func prefetchEntry(_ print: Fingerprint) -> UInt32? {
    let id = table.find(print) { _ in true }
    if let id { prefetch(entries.base + Int(id)) }
    return id
  }

  // MARK: inside

  @usableFromInline mutating func insert(
    _ key: UnsafeRawBufferPointer, _ print: Fingerprint
  ) -> UInt32 {
    if table.isFull(liveCount) {
      let entries = entries.base
      table.grow { entries[Int($0)].print }
    }
    let id: UInt32
    if firstFree != UInt32.max {
      id = firstFree
      firstFree = entries[Int(id)].nextFree
    } else {
      id = UInt32(entries.count)
      entries.append(Entry())
    }
    var entry = Entry()
    entry.print = print
    entry.length = UInt32(key.count)
    if key.count > Interner.inlineBytes {
      entry.words.0 = key.loadUnaligned(as: UInt64.self)
      entry.words.1 = UInt64(arena.count)
      arena.append(contentsOf: key.assumingMemoryBound(to: UInt8.self))
    } else {
      withUnsafeMutableBytes(of: &entry.words) { $0.copyMemory(from: key) }
    }
    entries[Int(id)] = entry
    table.insert(id, print)
    liveCount += 1
    return id
  }

  private mutating func compact() {
    var fresh = Vec<UInt8>(capacity: arena.count - garbage)
    for i in 0..<entries.count {
      let length = entries[i].length
      if length == UInt32.max || length <= UInt32(Interner.inlineBytes) { continue }
      let start = UInt64(fresh.count)
      fresh.append(
        contentsOf: UnsafeBufferPointer(
          start: arena.base + Int(entries[i].words.1), count: Int(length)))
      entries.base[i].words.1 = start
    }
    arena = fresh
    garbage = 0
  }
}

extension Interner: @unchecked Sendable {}

@inlinable public func sameBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  if a.count != b.count { return false }
  var i = 0
  let n = a.count
  while i &+ 8 <= n {
    if a.loadUnaligned(fromByteOffset: i, as: UInt64.self)
      != b.loadUnaligned(fromByteOffset: i, as: UInt64.self)
    {
      return false
    }
    i &+= 8
  }
  while i < n {
    if a[i] != b[i] { return false }
    i &+= 1
  }
  return true
}

/// Byte order, a shorter string before its extensions.
@inlinable public func comesBefore(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  let n = min(a.count, b.count)
  var i = 0
  while i < n {
    if a[i] != b[i] { return a[i] < b[i] }
    i &+= 1
  }
  return a.count < b.count
}
