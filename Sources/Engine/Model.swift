// The model: neighbours, rules and popularity as of one tick. Immutable once made; the engine ranks
// with the one in force.
import Recommender
import Sparse

/// One item of a popularity list.
public struct PopularItem: Sendable, Equatable {
  public var item: UInt32
  /// Live entries.
  public var count: UInt32
  /// Decayed count at the tick.
  public var decayed: Double
  /// `popular`: decayed / the list's largest. `trending`: recent share over long-run share.
  public var score: Double
}

public final class Model: Sendable {
  public let sequence: Int
  /// `m-` and at least six digits.
  public let id: String
  /// τ, ms.
  public let tick: Int64
  /// The seal it was made from (counts from 1), and the one its rules were mined from.
  public let seal: Int
  public let rulesSeal: Int
  /// Number of the model at whose tick the rules were mined; 0 where there are none.
  public let rulesSequence: Int
  /// Digest of the rows at the seal, of the pair counts, and of the rules.
  public let digest: Fingerprint
  public let countsDigest: Fingerprint
  /// One per relation, in configuration order.
  public let neighbours: [NeighbourTable]
  public let rules: RuleSet?
  public let popular: [PopularItem]
  /// The same as flat arrays, for ranking.
  let popularIDs: Vec<UInt32>
  let popularShares: Vec<Double>
  public let trending: [PopularItem]
  /// Keys of the popularity lists that are out.
  let popularKeys: [String]
  /// Items the catalogue says cannot be had, ascending dense ids.
  public let unavailable: Set<UInt32>
  /// Of the lists made by formulas, where there are any: what is fitted, and what is counted at every tick.
  public let lists: ListModels?
  public let trend: TrendModel?

  public init(
    sequence: Int, tick: Int64, seal: Int, rulesSeal: Int, rulesSequence: Int,
    digest: Fingerprint,
    countsDigest: Fingerprint, neighbours: [NeighbourTable], rules: RuleSet?,
    popular: [PopularItem], trending: [PopularItem], popularKeys: [String], unavailable: Set<UInt32>,
    lists: ListModels? = nil, trend: TrendModel? = nil
  ) {
    self.sequence = sequence
    id = Model.name(sequence)
    self.tick = tick
    self.seal = seal
    self.rulesSeal = rulesSeal
    self.rulesSequence = rulesSequence
    self.digest = digest
    self.countsDigest = countsDigest
    self.neighbours = neighbours
    self.rules = rules
    self.popular = popular
    var ids = Vec<UInt32>()
    var shares = Vec<Double>()
    for entry in popular {
      ids.append(entry.item)
      shares.append(entry.score)
    }
    popularIDs = ids
    popularShares = shares
    self.trending = trending
    self.popularKeys = popularKeys
    self.unavailable = unavailable
    self.lists = lists
    self.trend = trend
  }

  public static func name(_ sequence: Int) -> String {
    let digits = String(sequence)
    return "m-" + String(repeating: "0", count: max(0, 6 - digits.utf8.count)) + digits
  }
}
