// What a symmetric relation keeps from one tick to the next where the catalogue is too wide for a square
// of counts: the lists themselves, a few more pairs than are published, and a bound on all others.
//
// Of item i's pairs the K best stand in the last table and up to `spare` more here. No other pair of
// i has a quick score (Scorers.swift) above `floors[i]`, with one allowance: scores also rise when the
// partner's number of rows falls. `references[j]` is the most rows j had since all its pairs were last
// offered to the lists; no score rose by more than weight(rows now) / weight(reference), and where that
// passes `KeptLists.drift` all pairs of j are offered again (ListRenewal.swift).
//
// That needs a measure whose order within a list follows from the pair's count and the partner's rows alone:
// cosine, lift, conditional and count, shrunk or not.
// 8 bytes a spare pair, 25 an item; nothing is stored per pair that is far from every list.
import Sparse

final class KeptLists {
  /// Pairs kept beyond the K published.
  static let spare = 16
  /// Pairs that a list made from the rows has beyond K, where there are so many.
  static let margin = 8
  /// By how much quick scores may have risen unseen.
  static let drift: Float = 1.01

  /// Whether table, spares and pending changes together say what the rows are now.
  private(set) var isCurrent = false
  private(set) var table: NeighbourTable?
  var spareIDs = Vec<UInt32>()
  var spareBoth = Vec<UInt32>()
  var spareLengths = Vec<UInt8>()
  var floors = Vec<Float>()
  var references = Vec<UInt32>()
  /// Words of the counts' digest by which the last table's was made; empty without a digest.
  var words = Vec<Fingerprint>()
  /// Net changes of rows since the last tick.
  private(set) var pending = RowDiffs()
  private var limit: UInt64 = 0

  var bytes: Int {
    spareIDs.bytes + spareBoth.bytes + spareLengths.bytes + floors.bytes + references.bytes
      + words.bytes + pending.items.bytes + pending.rows.bytes
  }

  static func suits(_ relation: RelationConfiguration) -> Bool {
    switch relation.measure {
    case .cosine, .lift, .conditional, .count: relation.isSymmetric
    case .jaccard, .llr: false
    }
  }

  /// Room for the spares of `items` items.
  func extend(to items: Int) {
    spareIDs.extend(to: items * KeptLists.spare, with: 0)
    spareBoth.extend(to: items * KeptLists.spare, with: 0)
    spareLengths.extend(to: items, with: 0)
    floors.extend(to: items, with: 0)
    references.extend(to: items, with: 0)
  }

  var spares: ProductOutput.Spares {
    ProductOutput.Spares(
      ids: spareIDs.base, both: spareBoth.base, lengths: spareLengths.base, floors: floors.base)
  }

  /// Moves the references to a tick's numbers of rows, and marks the items all of whose pairs must be
  /// offered. Returns by how much other scores may have risen.
  func refer(
    to counts: UnsafePointer<UInt32>, _ items: Int, _ measure: Measure,
    _ isOffered: UnsafeMutablePointer<UInt8>
  ) -> Float {
    var drift: Float = 1
    for item in 0..<items {
      let (now, most) = (counts[item], references[item])
      if now >= most || now == 0 {
        references[item] = now
        continue
      }
      let rise = ScoringFacts.weight(measure, count: now) / ScoringFacts.weight(measure, count: most)
      if rise > KeptLists.drift {
        isOffered[item] = 1
        references[item] = now
      } else {
        drift = max(drift, rise)
      }
    }
    return drift
  }

  /// Takes net changes of rows, or leaves it to a recount at the tick where they are too many.
  func take(_ diffs: borrowing RowDiffs) {
    guard isCurrent else { return }
    if pending.pairs + diffs.pairs > limit {
      drop()
      return
    }
    pending.append(contentsOf: diffs)
  }

  /// The lists of a tick: spares and floors are written, and `table` is what is published.
  func adopt(_ table: NeighbourTable, words: consuming Vec<Fingerprint>, limit: UInt64) {
    self.table = table
    self.words = words
    self.limit = limit
    isCurrent = true
    pending.removeAll()
    if pending.items.bytes > 1 << 24 { pending = RowDiffs() }
  }

  /// Forgets the lists.
  func drop() {
    if !isCurrent { return }
    isCurrent = false
    table = nil
    pending = RowDiffs()
    words = Vec()
  }
}
