// Dense ids for 128-bit fingerprints: rows of contexts whose keys are never written out again
// (sessions and orders). Sixteen bytes a row instead of the key; two keys of one shop meet with
// probability rows² / 2^129.
//
// State: `table` and `prints`.

/// Fingerprints to dense ids. Removed ids are given out again.
public struct FingerprintTable: ~Copyable {
  @usableFromInline var table: ProbeTable
  /// Per id; of a free id the low word is the next free one.
  @usableFromInline var prints: Vec<Fingerprint>
  var firstFree = UInt32.max
  public internal(set) var liveCount = 0

  public init() {
    table = ProbeTable(size: 64)
    prints = Vec()
  }

  @inlinable public var idLimit: Int { prints.count }
  @inlinable public func fingerprint(_ id: UInt32) -> Fingerprint { prints[Int(id)] }
  public var bytes: Int { table.bytes + prints.bytes }

  @inlinable public func find(_ print: Fingerprint) -> UInt32? {
    table.find(print) { prints[Int($0)] == print }
  }

  @inlinable public mutating func intern(_ print: Fingerprint) -> (id: UInt32, isNew: Bool) {
    if let id = find(print) { return (id, false) }
    return (insert(print), true)
  }

  public mutating func remove(_ id: UInt32) {
    table.remove(id) { prints[Int($0)] }
    prints[Int(id)] = Fingerprint(low: UInt64(firstFree))
    firstFree = id
    liveCount -= 1
  }

  /// Asks the processor for the place where the search for it begins.
  @inlinable @inline(__always)
  public func prefetchHome(_ print: Fingerprint) { table.prefetchHome(print) }

  /// Asks for the fingerprint of the id that it probably has.
  /// - Returns: that id; nil where it is likely new.
  @inlinable @inline(__always)
  public func prefetchEntry(_ print: Fingerprint) -> UInt32? {
    let id = table.find(print) { _ in true }
    if let id { prefetch(prints.base + Int(id)) }
    return id
  }

  @usableFromInline mutating func insert(_ print: Fingerprint) -> UInt32 {
    if table.isFull(liveCount) {
      let prints = prints.base
      table.grow { prints[Int($0)] }
    }
    let id: UInt32
    if firstFree != UInt32.max {
      id = firstFree
      firstFree = UInt32(truncatingIfNeeded: prints[Int(id)].low)
      prints[Int(id)] = print
    } else {
      id = UInt32(prints.count)
      prints.append(print)
    }
    table.insert(id, print)
    liveCount += 1
    return id
  }
}

extension FingerprintTable: @unchecked Sendable {}
