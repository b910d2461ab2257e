// Everything the engine is told before the first event. Validated by whoever fills it (Daemon's
// configuration does, with file and key); the engine only asserts.
import Recommender
import Sparse

public struct EngineConfiguration: Hashable, Sendable {
  public var relations: [RelationConfiguration] = RelationConfiguration.defaults
  /// K: neighbours kept per item and relation.
  public var neighbours = 50
  public var rules = RulesConfiguration()
  public var rulesEnabled = true
  public var popularity = PopularityConfiguration()
  public var recommend = RecommendConfiguration()
  public var recommendEnabled = true
  public var lists = ListsConfiguration()
  /// Items in one event; more is a dead letter.
  public var maxItems = 10_000
  /// Bytes of one id; more is a dead letter.
  public var maxIDBytes = 1024
  /// Milliseconds an event's time may lie after its record's timestamp.
  public var futureTolerance: Int64 = 300_000
  /// A rating at or above counts as `like`, below as its undoing.
  public var likeFrom = 4.0
  /// Users who must stand behind a published count or reason; 1 = off.
  public var minUsers = 1
  /// Threads that build a model (the result does not depend on it).
  public var threads = 2

  public init() {}

  /// Whether lists are made by formulas.
  var hasFormulas: Bool { recommendEnabled && lists.isOn }

  /// Of everything that outputs depend on: two runs with the same one, over the same log with the same
  /// ticks, say the same.
  public var fingerprint: String {
    var same = self
    same.threads = 0
    same.recommend.linger = 0
    return Fingerprint(of: String(describing: same)).hex
  }
}
