// Rows with the times of their entries, copied out: what the models are fitted to that weigh entries by
// their age.

/// Row r's entries stand at `offsets[r]..<offsets[r + 1]`: different items, each with its latest time (ms).
public struct TimedRows: Sendable {
  public var offsets: [Int] = [0]
  public var items: [UInt32] = []
  public var times: [Int64] = []

  public init() {}
  public var count: Int { offsets.count - 1 }
  public var isEmpty: Bool { count == 0 }
  @inline(__always)
  func range(_ row: Int) -> Range<Int> { offsets[row]..<offsets[row + 1] }

  public mutating func append(_ item: UInt32, _ time: Int64) {
    items.append(item)
    times.append(time)
  }
  /// Ends the row; without entries there is none.
  public mutating func endRow() {
    if items.count > offsets[offsets.count - 1] { offsets.append(items.count) }
  }
}
