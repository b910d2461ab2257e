// Dictionaries as sections: ids stay what they were, those given back too, so that two copies of one
// dictionary go on giving out the same ids.

extension Interner {
  public func save(into state: inout StateWriter) {
    state.put("numbers", numbers: Int64(firstFree), Int64(garbage), Int64(liveCount))
    state.put("table", table.slots)
    state.put("entries", entries)
    state.put("arena", arena)
  }

  public init(restoring state: StateReader) throws(StateError) {
    self.init()
    let numbers = try state.numbers("numbers", count: 3)
    firstFree = UInt32(truncatingIfNeeded: numbers[0])
    garbage = Int(numbers[1])
    liveCount = Int(numbers[2])
    table = try ProbeTable(restoring: state, atLeast: 32, ids: liveCount)
    entries = try state.vec("entries")
    arena = try state.vec("arena")
    guard liveCount <= entries.count, firstFree == .max || Int(firstFree) < entries.count
    else { throw StateError("a dictionary whose columns do not fit together") }
  }
}

extension FingerprintTable {
  public func save(into state: inout StateWriter) {
    state.put("numbers", numbers: Int64(firstFree), Int64(liveCount))
    state.put("table", table.slots)
    state.put("prints", prints)
  }

  public init(restoring state: StateReader) throws(StateError) {
    self.init()
    let numbers = try state.numbers("numbers", count: 2)
    firstFree = UInt32(truncatingIfNeeded: numbers[0])
    liveCount = Int(numbers[1])
    table = try ProbeTable(restoring: state, atLeast: 64, ids: liveCount)
    prints = try state.vec("prints")
    guard liveCount <= prints.count, firstFree == .max || Int(firstFree) < prints.count
    else { throw StateError("a table of fingerprints whose columns do not fit together") }
  }
}

extension ProbeTable {
  init(restoring state: StateReader, atLeast size: Int, ids: Int) throws(StateError) {
    let slots: Vec<UInt64> = try state.vec("table")
    // A power of two, and an empty slot ends every search.
    guard slots.count >= size, slots.count > ids, slots.count & (slots.count - 1) == 0 else {
      throw StateError("a probe table of \(slots.count) slots for \(ids) ids")
    }
    self.init(slots: slots)
  }
}
