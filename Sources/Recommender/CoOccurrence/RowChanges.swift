// The seam between the two stages: what stage one (rows of my users) hands to stage two (counts of my
// items). In one process it is handed over in memory; apart, it is what would travel.

/// Rows of one matrix whose set of active items changed since the last seal, with that set as it is now.
public struct RowChanges: Sendable {
  /// Dense row ids, each once.
  public var rows: [UInt32]
  /// `rows.count + 1` places in `items`.
  public var offsets: [Int]
  /// Active items of each row; no order is promised.
  public var items: [UInt32]

  public init(rows: [UInt32], offsets: [Int], items: [UInt32]) {
    self.rows = rows
    self.offsets = offsets
    self.items = items
  }
}
