import Sparse

extension DecayedCounts {
  func save(into state: inout StateWriter) {
    state.put("numbers", numbers: halfLife, landmark)
    state.put("sums", sums)
  }

  init(halfLife: Int64, restoring state: StateReader) throws(StateError) {
    self.init(halfLife: halfLife)
    let numbers = try state.numbers("numbers", count: 2)
    guard numbers[0] == halfLife else { throw StateError("counts of another half-life") }
    landmark = numbers[1]
    sums = try state.vec("sums")
  }
}
