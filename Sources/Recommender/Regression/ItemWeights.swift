// B of an item regression: what an item in a history says of another, by source item. Immutable and flat, shared by
// reference.
//
// Weights are rounded once, to millionths: they stand in messages as they are, and what a fit's last digits are
// does not show.
import Sparse

public final class ItemWeights: Sendable {
  /// Source i's targets stand at `starts[i]..<starts[i + 1]`, in the order of the fit; ids from `itemCount` on have none.
  let starts: Vec<UInt32>
  let targets: Vec<UInt32>
  let values: Vec<Double>

  public var itemCount: Int { starts.count - 1 }
  public var count: Int { targets.count }
  public var bytes: Int { starts.bytes + targets.bytes + values.bytes }

  init(starts: consuming Vec<UInt32>, targets: consuming Vec<UInt32>, values: consuming Vec<Double>) {
    self.starts = starts
    self.targets = targets
    self.values = values
  }

  /// A column's weights: of its target, from these sources.
  struct Column {
    var sources: [UInt32] = []
    var weights: [Double] = []
  }

  /// - Parameter columns: by place of the target in `items`; sources are places too.
  convenience init(columns: [Column], items: [UInt32]) {
    let limit = items.max().map { Int($0) + 1 } ?? 0
    let starts = Vec<UInt32>(repeating: 0, count: limit + 1)
    var total = 0
    for column in columns {
      for source in column.sources { starts[Int(items[Int(source)]) + 1] += 1 }
      total += column.sources.count
    }
    for i in 0..<limit { starts[i + 1] += starts[i] }
    let targets = Vec<UInt32>(repeating: 0, count: total)
    let values = Vec<Double>(repeating: 0, count: total)
    var next = Vec<UInt32>()
    next.append(contentsOf: starts.buffer)
    for (place, column) in columns.enumerated() {
      for (k, source) in column.sources.enumerated() {
        let item = Int(items[Int(source)])
        targets[Int(next[item])] = items[place]
        values[Int(next[item])] = column.weights[k]
        next[item] += 1
      }
    }
    self.init(starts: starts, targets: targets, values: values)
  }

  /// The targets of a source, with the weights.
  @inline(__always)
  public func row(_ item: UInt32) -> (targets: UnsafeBufferPointer<UInt32>, values: UnsafeBufferPointer<Double>) {
    guard Int(item) < itemCount else { return (.init(start: nil, count: 0), .init(start: nil, count: 0)) }
    let start = Int(starts[Int(item)])
    let count = Int(starts[Int(item) + 1]) - start
    return (
      UnsafeBufferPointer(start: targets.base + start, count: count),
      UnsafeBufferPointer(start: values.base + start, count: count)
    )
  }

  /// B of two items; 0 where it was left out.
  public func weight(of source: UInt32, on target: UInt32) -> Double {
    let (targets, values) = row(source)
    return targets.firstIndex(of: target).map { values[$0] } ?? 0
  }

  /// sums[j] += weight · B_ij for all j.
  @inline(__always)
  public func add(_ item: UInt32, weight: Double, to sums: inout [Double]) {
    let (targets, values) = row(item)
    for k in 0..<targets.count { sums[Int(targets[k])] += weight * values[k] }
  }

  @inline(__always)
  static func rounded(_ weight: Double) -> Double { (weight * 1e6).rounded(.toNearestOrEven) / 1e6 }
}

extension ItemWeights {
  public func save(into state: inout StateWriter) {
    state.put("starts", starts)
    state.put("targets", targets)
    state.put("values", values)
  }

  public convenience init(restoring state: StateReader) throws(StateError) {
    let starts: Vec<UInt32> = try state.vec("starts")
    let targets: Vec<UInt32> = try state.vec("targets")
    let values: Vec<Double> = try state.vec("values")
    guard starts.count > 0, starts[0] == 0, Int(starts[starts.count - 1]) == targets.count,
      targets.count == values.count
    else { throw StateError("item weights whose parts do not fit together") }
    for i in 1..<max(1, starts.count) where starts[i] < starts[i - 1] {
      throw StateError("item weights out of order")
    }
    for k in 0..<targets.count where targets[k] >= 1 << 31 { throw StateError("a weight of no item") }
    self.init(starts: starts, targets: targets, values: values)
  }
}
