import Sparse

extension NeighbourTable {
  package func save(into state: inout StateWriter) {
    state.put(
      "numbers", numbers: Int64(measure.rawValue), Int64(bitPattern: shrinkage.bitPattern),
      Int64(contexts), Int64(pairs), Int64(bitPattern: countsDigest.low),
      Int64(bitPattern: countsDigest.high))
    state.put("starts", starts)
    state.put("ids", ids)
    state.put("both", both)
    state.put("values", values)
    state.put("source", sourceCount)
    state.put("target", targetCount)
  }

  package init(restoring state: StateReader) throws(StateError) {
    let numbers = try state.numbers("numbers", count: 6)
    guard let measure = Measure(rawValue: UInt8(truncatingIfNeeded: numbers[0])) else {
      throw StateError("neighbours of an unknown measure")
    }
    let starts: Vec<UInt32> = try state.vec("starts")
    let ids: Vec<UInt32> = try state.vec("ids")
    let both: Vec<UInt32> = try state.vec("both")
    let values: Vec<Double> = try state.vec("values")
    let source: Vec<UInt32> = try state.vec("source")
    let target: Vec<UInt32> = try state.vec("target")
    let items = starts.count - 1
    guard items >= 0, source.count == items, target.count == items, both.count == ids.count,
      values.count == ids.count, Int(starts[items]) == ids.count
    else { throw StateError("neighbours whose columns do not fit together") }
    let storage = Storage(items: items, slots: ids.count)
    storage.starts.update(from: starts.base, count: items + 1)
    storage.ids.update(from: ids.base, count: ids.count)
    storage.both.update(from: both.base, count: ids.count)
    storage.values.update(from: values.base, count: ids.count)
    storage.sourceCount.update(from: source.base, count: items)
    storage.targetCount.update(from: target.base, count: items)
    self.init(
      measure: measure, shrinkage: Double(bitPattern: UInt64(bitPattern: numbers[1])),
      contexts: Int(numbers[2]), pairs: Int(numbers[3]),
      countsDigest: Fingerprint(
        low: UInt64(bitPattern: numbers[4]), high: UInt64(bitPattern: numbers[5])),
      storage: storage)
  }
}
