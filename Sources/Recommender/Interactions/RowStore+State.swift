// A row store as sections. Changed rows must have been handed over before: the other stage's mirror is
// made anew from all rows (`allRows`).
import Sparse

extension RowStore {
  func save(into state: inout StateWriter) {
    precondition(dirty.count == 0, "changes are handed over before a snapshot")
    state.put(
      "numbers", numbers: Int64(history), configuration.window ?? -1, horizon, Int64(activeRows),
      Int64(slots), Int64(activeSlots), Int64(arena.freeWords))
    state.put("headers", headers)
    state.put("minima", minima)
    state.put("words", arena.words)
    state.put("heads", arena.heads)
  }

  init(_ configuration: MatrixConfiguration, restoring state: StateReader) throws(StateError) {
    self.init(configuration)
    let numbers = try state.numbers("numbers", count: 7)
    guard numbers[0] == Int64(history), numbers[1] == configuration.window ?? -1 else {
      throw StateError("rows of another history or window")
    }
    horizon = numbers[2]
    activeRows = Int(numbers[3])
    slots = Int(numbers[4])
    activeSlots = Int(numbers[5])
    arena.freeWords = Int(numbers[6])
    headers = try state.vec("headers")
    minima = try state.vec("minima")
    arena.words = try state.vec("words")
    let heads: Vec<UInt64> = try state.vec("heads")
    guard heads.count == arena.heads.count else { throw StateError("an arena of other classes") }
    arena.heads = heads
    for row in 0..<headers.count where headers[row].sizeClass > 0 {
      let header = headers[row]
      guard Int(header.sizeClass) < SlotArena.capacities.count, header.format <= SlotBlock.full,
        Int(header.count) <= arena.capacity(header.sizeClass),
        Int(header.place) + arena.words(header.sizeClass, header.format) <= arena.words.count
      else { throw StateError("a row outside of the arena") }
    }
  }

  /// Every row that has an active item, as if all had just changed.
  func allRows() -> RowChanges {
    var changes = RowChanges(rows: [], offsets: [0], items: [])
    changes.rows.reserveCapacity(activeRows)
    changes.offsets.reserveCapacity(activeRows + 1)
    changes.items.reserveCapacity(activeSlots)
    for row in 0..<headers.count where headers[row].active > 0 {
      let (ids, stamps) = slots(of: UInt32(row))
      for k in 0..<ids.count where Stamp.isActive(stamps[k]) { changes.items.append(ids[k]) }
      changes.rows.append(UInt32(row))
      changes.offsets.append(changes.items.count)
    }
    return changes
  }
}

extension RowLinks {
  func save(into state: inout StateWriter) {
    state.put("links", links)
    state.put("heads", heads)
  }

  init(restoring state: StateReader) throws(StateError) {
    self.init()
    links = try state.vec("links")
    heads = try state.vec("heads")
  }
}
