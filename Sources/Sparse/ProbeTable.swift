// What the dictionaries find their ids by: open addressing with linear probing over (hash tag, id) pairs of
// 8 bytes, at most three quarters full. Keys and their fingerprints are the owner's.

@usableFromInline struct ProbeTable: ~Copyable {
  /// High half = tag (upper bits of the fingerprint), low half = id + 1; 0 = empty.
  @usableFromInline private(set) var slots: Vec<UInt64>
  @usableFromInline private(set) var mask: Int

  /// - Parameter size: slots, a power of two.
  init(size: Int) {
    slots = Vec(repeating: 0, count: size)
    mask = size - 1
  }

  /// As saved.
  init(slots saved: consuming Vec<UInt64>) {
    mask = saved.count - 1
    slots = saved
  }

  var bytes: Int { slots.bytes }
  /// Whether one more than `count` ids would be too many.
  @inlinable func isFull(_ count: Int) -> Bool { (count + 1) * 4 > slots.count * 3 }

  @inlinable func home(_ print: Fingerprint) -> Int { Int(truncatingIfNeeded: print.low) & mask }
  @inlinable static func tag(_ print: Fingerprint) -> UInt64 { print.high & 0xffff_ffff_0000_0000 }
  @inlinable static func id(_ slot: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: slot) &- 1 }

  /// The first id with the fingerprint's tag that is the one sought.
  @inlinable @inline(__always)
  func find(_ print: Fingerprint, where isSought: (UInt32) -> Bool) -> UInt32? {
    let tag = ProbeTable.tag(print)
    var at = home(print)
    while true {
      let slot = slots[at]
      if slot == 0 { return nil }
      if slot & 0xffff_ffff_0000_0000 == tag && isSought(ProbeTable.id(slot)) {
        return ProbeTable.id(slot)
      }
      at = (at &+ 1) & mask
    }
  }

  /// Asks the processor for the place where the search begins.
  @inlinable @inline(__always)
  func prefetchHome(_ print: Fingerprint) { prefetch(slots.base + home(print)) }

  /// There must be room (`isFull`).
  func insert(_ id: UInt32, _ print: Fingerprint) { place(UInt64(id) + 1, print) }

  private func place(_ mark: UInt64, _ print: Fingerprint) {
    var at = home(print)
    while slots[at] != 0 { at = (at + 1) & mask }
    slots[at] = ProbeTable.tag(print) | mark
  }

  /// - Parameter printOf: of the ids that are in the table.
  func remove(_ id: UInt32, printOf: (UInt32) -> Fingerprint) {
    var hole = home(printOf(id))
    while slots[hole] & 0xffff_ffff != UInt64(id) + 1 { hole = (hole + 1) & mask }
    // Backward shift: later entries of the run are pulled into the hole.
    var next = (hole + 1) & mask
    while slots[next] != 0 {
      let want = home(printOf(ProbeTable.id(slots[next])))
      if (next &- want) & mask >= (next &- hole) & mask {
        slots[hole] = slots[next]
        hole = next
      }
      next = (next + 1) & mask
    }
    slots[hole] = 0
  }

  /// Twice the slots.
  mutating func grow(printOf: (UInt32) -> Fingerprint) {
    var old = Vec<UInt64>(repeating: 0, count: slots.count * 2)
    swap(&old, &slots)
    mask = slots.count - 1
    for i in 0..<old.count where old[i] != 0 {
      place(old[i] & 0xffff_ffff, printOf(ProbeTable.id(old[i])))
    }
  }
}
