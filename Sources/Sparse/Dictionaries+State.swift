// Dictionaries as sections: ids stay what they were, those given back too, so that two copies of one
// dictionary go on giving out the same ids.

extension Interner {
  public func save(into state: inout StateWriter) {
    state.put("numbers", numbers: Int64(firstFree), Int64(garbage), Int64(liveCount))
    state.put("table", table)
    state.put("entries", entries)
    state.put("arena", arena)
  }

  public init(restoring state: StateReader) throws(StateError) {
    self.init()
    let numbers = try state.numbers("numbers", count: 3)
    firstFree = UInt32(truncatingIfNeeded: numbers[0])
    garbage = Int(numbers[1])
    liveCount = Int(numbers[2])
    table = try state.vec("table")
    mask = table.count - 1
    entries = try state.vec("entries")
    arena = try state.vec("arena")
    guard table.count >= 32, table.count & mask == 0, liveCount <= entries.count,
      liveCount < table.count, firstFree == .max || Int(firstFree) < entries.count
    else { throw StateError("a dictionary whose columns do not fit together") }
  }
}

extension FingerprintTable {
  public func save(into state: inout StateWriter) {
    state.put("numbers", numbers: Int64(firstFree), Int64(liveCount))
    state.put("table", table)
    state.put("prints", prints)
  }

  public init(restoring state: StateReader) throws(StateError) {
    self.init()
    let numbers = try state.numbers("numbers", count: 2)
    firstFree = UInt32(truncatingIfNeeded: numbers[0])
    liveCount = Int(numbers[1])
    table = try state.vec("table")
    mask = table.count - 1
    prints = try state.vec("prints")
    guard table.count >= 64, table.count & mask == 0, liveCount <= prints.count,
      liveCount < table.count, firstFree == .max || Int(firstFree) < prints.count
    else { throw StateError("a table of fingerprints whose columns do not fit together") }
  }
}
