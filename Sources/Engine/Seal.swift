// What crosses from stage one to stage two: values, no shared state.
import Recommender
import Sparse

/// Items that are new and rows that changed, per matrix. Batches are absorbed in order.
public struct ChangeBatch: Sendable {
  public var newItems: NewItems
  public var changes: [RowChanges]
}

/// The cut at a tick.
public struct Seal: Sendable {
  /// Counts from 1.
  public var number: Int
  /// The model's number where it is given: a tick that was had before. nil: the next one.
  public var sequence: Int?
  /// τ, ms.
  public var tick: Int64
  /// Next offset per topic and partition (-1: nothing seen), and the topics' names.
  public var positions: [[Int64]]
  public var topics: [String]
  /// Per matrix: entries at or before are gone; -1 = none.
  public var horizons: [Int64]
  /// Digest of the rows.
  public var digest: Fingerprint
  /// As `Engine.gaps`.
  public var gaps: [Int64]
  /// Items that nothing holds any more: forget their ids after taking `batch`, whose new items had
  /// theirs before these were given back.
  public var removedItems: [UInt32]
  public var batch: ChangeBatch
  /// Items that a slot or the catalogue holds.
  public var itemCount: Int
  public var popularity: PopularitySeal
  public var catalogue: CatalogueSeal
  /// Whether rules are mined and list models fitted at this tick, or those of before kept.
  public var minesRules: Bool
  /// Where list models are fitted: what to.
  public var lists: ListSeal?
}

/// Copies of the rows that the models of the formulas' lists are fitted to.
public struct ListSeal: Sendable {
  public var users = TimedRows()
  public var orders = TimedRows()
  public var visits: [VisitCounts] = []
  public var sessions = SessionLog()
}
