// Dense ids for byte strings. Open addressing with linear probing over (hash tag, id) pairs; keys
// stand end to end in one arena. An id that is removed is given out again; its bytes leave the
// arena when a third of it is garbage.

/// Byte strings to dense ids and back. Ids count from 0 in order of first appearance; removed ids are reused.
public struct Interner: ~Copyable {
  /// Probe table: high half = tag (upper bits of the hash), low half = id + 1; 0 = empty.
  @usableFromInline var table: Vec<UInt64>
  @usableFromInline var mask: Int
  /// Per id.
  @usableFromInline var fingerprints: Vec<Fingerprint>
  @usableFromInline var offsets: Vec<UInt64>
  @usableFromInline var lengths: Vec<UInt32>  // UInt32.max = free
  @usableFromInline var prefixes: Vec<UInt64>
  @usableFromInline var arena: Vec<UInt8>
  @usableFromInline var free: Vec<UInt32>
  @usableFromInline var garbage: Int
  /// Live ids.
  public var liveCount: Int

  public init(expecting count: Int = 16) {
    var size = 32
    while size < count * 2 { size *= 2 }
    table = Vec(repeating: 0, count: size)
    mask = size - 1
    fingerprints = Vec()
    offsets = Vec()
    lengths = Vec()
    prefixes = Vec()
    arena = Vec()
    free = Vec()
    garbage = 0
    liveCount = 0
  }

  /// One more than the highest id ever given out.
  @inlinable public var idLimit: Int { lengths.count }

  /// The id of the key, given out now if it is new.
  @inlinable public mutating func intern(_ key: UnsafeRawBufferPointer) -> (id: UInt32, isNew: Bool) {
    let print = Fingerprint(of: key)
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

  /// The key's bytes; valid until the next `intern` or `remove`.
  @inlinable public func key(_ id: UInt32) -> UnsafeRawBufferPointer {
    let i = Int(id)
    return UnsafeRawBufferPointer(start: arena.base + Int(offsets[i]), count: Int(lengths[i]))
  }

  @inlinable public func fingerprint(_ id: UInt32) -> Fingerprint { fingerprints[Int(id)] }

  @inlinable public func isLive(_ id: UInt32) -> Bool {
    Int(id) < lengths.count && lengths[Int(id)] != UInt32.max
  }

  /// Whether the key of `a` sorts before the key of `b`, as bytes.
  @inlinable public func precedes(_ a: UInt32, _ b: UInt32) -> Bool {
    let pa = prefixes[Int(a)]
    let pb = prefixes[Int(b)]
    if pa != pb { return pa < pb }
    return comesBefore(key(a), key(b))
  }

  public func string(_ id: UInt32) -> String { String(decoding: key(id), as: UTF8.self) }

  public mutating func remove(_ id: UInt32) {
    precondition(isLive(id))
    let i = Int(id)
    var slot = home(fingerprints[i])
    while table[slot] & 0xffff_ffff != UInt64(id) + 1 { slot = (slot + 1) & mask }
    // Backward shift: pull later entries of the run into the hole.
    var hole = slot
    var next = (hole + 1) & mask
    while table[next] != 0 {
      let other = UInt32(truncatingIfNeeded: table[next]) - 1
      let want = home(fingerprints[Int(other)])
      if (next &- want) & mask >= (next &- hole) & mask {
        table[hole] = table[next]
        hole = next
      }
      next = (next + 1) & mask
    }
    table[hole] = 0
    garbage += Int(lengths[i])
    (arena.base + Int(offsets[i])).update(repeating: 0, count: Int(lengths[i]))
    lengths[i] = UInt32.max
    fingerprints[i] = .zero
    prefixes[i] = 0
    free.append(id)
    liveCount -= 1
    if garbage > 4096 && garbage > arena.count / 3 { compact() }
  }

  /// Bytes held.
  public var bytes: Int {
    table.bytes + fingerprints.bytes + offsets.bytes + lengths.bytes + prefixes.bytes + arena.bytes
      + free.bytes
  }

  // MARK: inside

  @inlinable func home(_ print: Fingerprint) -> Int { Int(truncatingIfNeeded: print.low) & mask }

  @inlinable func find(_ key: UnsafeRawBufferPointer, _ print: Fingerprint) -> UInt32? {
    let tag = print.high & 0xffff_ffff_0000_0000
    var slot = home(print)
    while true {
      let entry = table[slot]
      if entry == 0 { return nil }
      if entry & 0xffff_ffff_0000_0000 == tag {
        let id = UInt32(truncatingIfNeeded: entry) &- 1
        if fingerprints[Int(id)] == print && sameBytes(self.key(id), key) { return id }
      }
      slot = (slot &+ 1) & mask
    }
  }

  @usableFromInline mutating func insert(
    _ key: UnsafeRawBufferPointer, _ print: Fingerprint
  ) -> UInt32 {
    if (liveCount + 1) * 2 > table.count { resize() }
    let id: UInt32
    let offset = UInt64(arena.count)
    arena.append(contentsOf: key.assumingMemoryBound(to: UInt8.self))
    if let reused = free.popLast() {
      id = reused
      fingerprints[Int(id)] = print
      offsets[Int(id)] = offset
      lengths[Int(id)] = UInt32(key.count)
      prefixes[Int(id)] = prefix(key)
    } else {
      id = UInt32(lengths.count)
      fingerprints.append(print)
      offsets.append(offset)
      lengths.append(UInt32(key.count))
      prefixes.append(prefix(key))
    }
    place(id, print)
    liveCount += 1
    return id
  }

  private mutating func place(_ id: UInt32, _ print: Fingerprint) {
    var slot = home(print)
    while table[slot] != 0 { slot = (slot + 1) & mask }
    table[slot] = (print.high & 0xffff_ffff_0000_0000) | (UInt64(id) + 1)
  }

  private mutating func resize() {
    let size = table.count * 2
    table = Vec(repeating: 0, count: size)
    mask = size - 1
    for i in 0..<lengths.count where lengths[i] != UInt32.max {
      place(UInt32(i), fingerprints[i])
    }
  }

  private mutating func compact() {
    var fresh = Vec<UInt8>(capacity: arena.count - garbage)
    for i in 0..<lengths.count where lengths[i] != UInt32.max {
      let start = UInt64(fresh.count)
      fresh.append(
        contentsOf: UnsafeBufferPointer(start: arena.base + Int(offsets[i]), count: Int(lengths[i])))
      offsets[i] = start
    }
    arena = fresh
    garbage = 0
  }
}

extension Interner: @unchecked Sendable {}

/// The first eight bytes, big endian, so that integer order is byte order.
@inlinable public func prefix(_ key: UnsafeRawBufferPointer) -> UInt64 {
  if key.count >= 8 { return UInt64(bigEndian: key.loadUnaligned(as: UInt64.self)) }
  var word: UInt64 = 0
  for i in 0..<key.count { word |= UInt64(key[i]) &<< UInt64(56 &- 8 &* i) }
  return word
}

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
