// Dense ids for 128-bit fingerprints: rows of contexts whose keys are never written out again
// (sessions and orders). Sixteen bytes a row instead of the key; two keys of one shop meet with
// probability rows² / 2^129.
//
// State: `table` (8 bytes a slot: hash tag and id, at most three quarters full) and `prints`.

/// Fingerprints to dense ids. Removed ids are given out again.
public struct FingerprintTable: ~Copyable {
  /// High half = tag, low half = id + 1; 0 = empty.
  @usableFromInline var table: Vec<UInt64>
  @usableFromInline var mask: Int
  /// Per id; of a free id the low word is the next free one.
  @usableFromInline var prints: Vec<Fingerprint>
  var firstFree = UInt32.max
  public internal(set) var liveCount = 0

  public init() {
    table = Vec(repeating: 0, count: 64)
    mask = 63
    prints = Vec()
  }

  @inlinable public var idLimit: Int { prints.count }
  @inlinable public func fingerprint(_ id: UInt32) -> Fingerprint { prints[Int(id)] }
  public var bytes: Int { table.bytes + prints.bytes }

  @inlinable public func find(_ print: Fingerprint) -> UInt32? {
    let tag = print.high & 0xffff_ffff_0000_0000
    var slot = home(print)
    while true {
      let entry = table[slot]
      if entry == 0 { return nil }
      if entry & 0xffff_ffff_0000_0000 == tag {
        let id = UInt32(truncatingIfNeeded: entry) &- 1
        if prints[Int(id)] == print { return id }
      }
      slot = (slot &+ 1) & mask
    }
  }

  @inlinable public mutating func intern(_ print: Fingerprint) -> (id: UInt32, isNew: Bool) {
    if let id = find(print) { return (id, false) }
    return (insert(print), true)
  }

  public mutating func remove(_ id: UInt32) {
    var hole = home(prints[Int(id)])
    while table[hole] & 0xffff_ffff != UInt64(id) + 1 { hole = (hole + 1) & mask }
    var next = (hole + 1) & mask
    while table[next] != 0 {
      let want = home(prints[Int(truncatingIfNeeded: table[next] & 0xffff_ffff) - 1])
      if (next &- want) & mask >= (next &- hole) & mask {
        table[hole] = table[next]
        hole = next
      }
      next = (next + 1) & mask
    }
    table[hole] = 0
    prints[Int(id)] = Fingerprint(low: UInt64(firstFree))
    firstFree = id
    liveCount -= 1
  }

  /// Asks the processor for the place where the search for it begins.
  @inlinable @inline(__always)
  public func prefetchHome(_ print: Fingerprint) { prefetch(table.base + home(print)) }

  /// Asks for the fingerprint of the id that it probably has.
  /// - Returns: that id; nil where it is likely new.
  @inlinable @inline(__always)
  public func prefetchEntry(_ print: Fingerprint) -> UInt32? {
    let tag = print.high & 0xffff_ffff_0000_0000
    var slot = home(print)
    while table[slot] != 0 {
      if table[slot] & 0xffff_ffff_0000_0000 == tag {
        let id = UInt32(truncatingIfNeeded: table[slot]) &- 1
        prefetch(prints.base + Int(id))
        return id
      }
      slot = (slot &+ 1) & mask
    }
    return nil
  }

  @inlinable func home(_ print: Fingerprint) -> Int { Int(truncatingIfNeeded: print.low) & mask }

  @usableFromInline mutating func insert(_ print: Fingerprint) -> UInt32 {
    if (liveCount + 1) * 4 > table.count * 3 { resize() }
    let id: UInt32
    if firstFree != UInt32.max {
      id = firstFree
      firstFree = UInt32(truncatingIfNeeded: prints[Int(id)].low)
      prints[Int(id)] = print
    } else {
      id = UInt32(prints.count)
      prints.append(print)
    }
    place(UInt64(id) + 1, print)
    liveCount += 1
    return id
  }

  private func place(_ mark: UInt64, _ print: Fingerprint) {
    var slot = home(print)
    while table[slot] != 0 { slot = (slot + 1) & mask }
    table[slot] = (print.high & 0xffff_ffff_0000_0000) | mark
  }

  private mutating func resize() {
    var old = Vec<UInt64>(repeating: 0, count: table.count * 2)
    swap(&old, &table)
    mask = table.count - 1
    for i in 0..<old.count where old[i] != 0 {
      let mark = old[i] & 0xffff_ffff
      place(mark, prints[Int(mark) - 1])
    }
  }
}

extension FingerprintTable: @unchecked Sendable {}
