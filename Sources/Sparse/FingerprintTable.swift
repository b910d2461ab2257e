// Dense ids for 128-bit fingerprints: rows of contexts whose keys are never written out again
// (sessions and orders). Sixteen bytes a row instead of the key; two keys of one shop meet with
// probability rows² / 2^129.

/// Fingerprints to dense ids. Removed ids are given out again.
public struct FingerprintTable: ~Copyable {
  @usableFromInline var table: Vec<UInt32>  // id + 1; 0 = empty
  @usableFromInline var mask: Int
  @usableFromInline var prints: Vec<Fingerprint>
  @usableFromInline var free: Vec<UInt32>
  public var liveCount: Int

  public init() {
    table = Vec(repeating: 0, count: 64)
    mask = 63
    prints = Vec()
    free = Vec()
    liveCount = 0
  }

  @inlinable public var idLimit: Int { prints.count }
  @inlinable public func fingerprint(_ id: UInt32) -> Fingerprint { prints[Int(id)] }
  public var bytes: Int { table.bytes + prints.bytes + free.bytes }

  @inlinable public func find(_ print: Fingerprint) -> UInt32? {
    var slot = Int(truncatingIfNeeded: print.low) & mask
    while true {
      let entry = table[slot]
      if entry == 0 { return nil }
      if prints[Int(entry) &- 1] == print { return entry &- 1 }
      slot = (slot &+ 1) & mask
    }
  }

  @inlinable public mutating func intern(_ print: Fingerprint) -> (id: UInt32, isNew: Bool) {
    if let id = find(print) { return (id, false) }
    return (insert(print), true)
  }

  public mutating func remove(_ id: UInt32) {
    var slot = Int(truncatingIfNeeded: prints[Int(id)].low) & mask
    while table[slot] != id + 1 { slot = (slot + 1) & mask }
    var hole = slot
    var next = (hole + 1) & mask
    while table[next] != 0 {
      let want = Int(truncatingIfNeeded: prints[Int(table[next]) - 1].low) & mask
      if (next &- want) & mask >= (next &- hole) & mask {
        table[hole] = table[next]
        hole = next
      }
      next = (next + 1) & mask
    }
    table[hole] = 0
    prints[Int(id)] = .zero
    free.append(id)
    liveCount -= 1
  }

  @usableFromInline mutating func insert(_ print: Fingerprint) -> UInt32 {
    if (liveCount + 1) * 2 > table.count {
      let size = table.count * 2
      table = Vec(repeating: 0, count: size)
      mask = size - 1
      var dead = Set<UInt32>()
      for i in 0..<free.count { dead.insert(free[i]) }
      for i in 0..<prints.count where !dead.contains(UInt32(i)) { place(UInt32(i)) }
    }
    let id: UInt32
    if let reused = free.popLast() {
      id = reused
      prints[Int(id)] = print
    } else {
      id = UInt32(prints.count)
      prints.append(print)
    }
    place(id)
    liveCount += 1
    return id
  }

  private mutating func place(_ id: UInt32) {
    var slot = Int(truncatingIfNeeded: prints[Int(id)].low) & mask
    while table[slot] != 0 { slot = (slot + 1) & mask }
    table[slot] = id + 1
  }
}

extension FingerprintTable: @unchecked Sendable {}
