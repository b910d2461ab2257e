// The table of keys: one line per key says where its value goes, what it may be, its default and
// what it is for. Reading, refusing, help, the README's table and the effective listing all come
// from here. Keys of librdkafka (`kafka.…`) are librdkafka's own table.
import Recommender

struct ConfigurationKey: Sendable {
  /// Dotted, from the root: `rules.min_confidence`.
  var path: String
  var value: ConfigurationValue<Configuration>
  /// As it would be written; the tests hold it against `Configuration()`.
  var defaultText: String
  /// One line.
  var doc: String
  /// The key changes speed or what is logged, but no output.
  var isOnlyForSpeed = false

  static let second: Int64 = 1000
  static let day: Int64 = 86_400_000

  /// In the order of DESIGN §7.
  static let all: [ConfigurationKey] = [
    key("topics.events", .topic(\.topics.events), "shop.events", "events come in here"),
    key("topics.catalogue", .topic(\.topics.catalogue), "shop.catalogue", "products come in here"),
    key(
      "topics.recommendations", .topic(\.topics.recommendations), "affinity.recommendations",
      "lists per user"),
    key(
      "topics.neighbours", .topic(\.topics.neighbours), "affinity.neighbours",
      "neighbours per item"),
    key("topics.rules", .topic(\.topics.rules), "affinity.rules", "rules per antecedent"),
    key(
      "topics.popular", .topic(\.topics.popular), "affinity.popular", "popular and trending items"),
    key("topics.insights", .topic(\.topics.insights), "affinity.insights", "insights per customer"),
    key("topics.models", .topic(\.topics.models), "affinity.models", "one message per model"),
    key(
      "topics.receipts", .topic(\.topics.receipts), "affinity.receipts", "one message per erasure"),
    key(
      "topics.dead_letters", .topic(\.topics.deadLetters), "affinity.dead-letters",
      "what could not be applied, as it came"),
    key(
      "delivery", .choice(of: \.delivery), "exactly_once",
      "outputs and offsets in one transaction, or repeats after a crash"),
    key(
      "state.directory", .text(\.stateDirectory), "/var/lib/affinity",
      "snapshots and the lock; off: neither"),
    key(
      "state.key_file", .text(\.snapshotKeyFile), "none",
      "file with the key that encrypts snapshots (32 bytes, hex or base64); none: AFFINITY_SNAPSHOT_KEY, if set"),
    key(
      "state.snapshot_interval", .duration(\.snapshotInterval, second...day), "5m",
      "time between snapshots", speed: true),
    key(
      "events.max_items", .integer(\.engine.maxItems, 1...1_000_000), "10000",
      "items in one event; more is a dead letter"),
    key(
      "events.max_id_bytes", .integer(\.engine.maxIDBytes, 16...65_536), "1024",
      "bytes of one id; more is a dead letter"),
    key(
      "events.max_bytes", .integer(\.maxMessageBytes, 1024...1_073_741_824), "16777216",
      "bytes of one event; more is a dead letter"),
    key(
      "events.future_tolerance", .duration(\.engine.futureTolerance, 0...365 * day), "5m",
      "how far an event's time may lie after its record's"),
    key(
      "events.like_from", .real(\.engine.likeFrom, -1_000_000...1_000_000), "4",
      "a rating from here up is a like, below it takes the like back"),
    key(
      "events.on_gap", .choice(of: \.onGap), "stop",
      "what to do where retention has removed events that were not read"),
    key(
      "events.on_recreated", .choice(of: \.onRecreated), "stop",
      "what to do where the events topic was made anew or has lost its end"),
    key(
      "events.on_grown", .choice(of: \.onGrown), "stop",
      "what to do where the events topic has got more partitions"),
    key(
      "model.interval", .duration(\.modelInterval, 100...day), "60s", "time between models, live"),
    key(
      "model.neighbours", .integer(\.engine.neighbours, 1...10_000), "50",
      "neighbours per item and relation"),
    key(
      "model.threads", .integer(\.engine.threads, 1...256), "2", "threads that build a model",
      speed: true),
    key("rules.enabled", .flag(\.engine.rulesEnabled), "true", "mine rules at all"),
    key(
      "rules.interval", .duration(\.engine.rules.interval, 0...365 * day), "10m",
      "stream time between minings; ticks between them keep the rules"),
    key(
      "rules.min_support", .decimal(\.engine.rules.minSupport), "0.001",
      "baskets that hold a frequent set"),
    key(
      "rules.min_confidence", .real(\.engine.rules.minConfidence, 0...1), "0.1",
      "least confidence of a rule"),
    key(
      "rules.max_length", .bound(\.engine.rules.maxLength, 2...64, none: 0), "4",
      "items of antecedent and consequent together"),
    key(
      "rules.max_consequent", .integer(\.engine.rules.maxConsequent, 1...63), "1",
      "items of the consequent"),
    key("rules.window", .window(\.engine.rules.window), "365d", "baskets older than this leave"),
    key(
      "rules.max_basket", .bound(\.engine.rules.maxBasket, 2...MatrixConfiguration.maximumHistory, none: 0), "200",
      "items kept of a basket, the row rule's first"),
    key(
      "rules.max_q", .real(\.engine.rules.maxQ, 0...1), "0.05",
      "largest p corrected for false discoveries; 1 keeps every rule"),
    key(
      "rules.prune_redundant", .flag(\.engine.rules.pruneRedundant), "true",
      "leave out rules that a shorter one implies"),
    key(
      "popularity.context", .word(\.engine.popularity.context, { $0.name }), "order",
      "rows that are counted"),
    key(
      "popularity.behaviour", .word(\.engine.popularity.behaviour, { $0.name }), "purchase",
      "entries that are counted"),
    key(
      "popularity.window", .window(\.engine.popularity.window), "365d", "entries older leave"),
    key(
      "popularity.history", .bound(\.engine.popularity.history, 1...MatrixConfiguration.maximumHistory, none: unbounded),
      "200",
      "entries kept per row"),
    key(
      "popularity.half_life", .duration(\.engine.popularity.halfLife, second...36_500 * day), "30d",
      "time in which an entry loses half its weight in popular"),
    key(
      "popularity.trend_half_life",
      .duration(\.engine.popularity.trendHalfLife, second...36_500 * day), "7d",
      "the same for the recent share in trending"),
    key(
      "popularity.top", .integer(\.engine.popularity.top, 1...10_000), "100",
      "items in popular and trending"),
    key(
      "popularity.trend_minimum", .integer(\.engine.popularity.trendMinimum, 1...1_000_000), "5",
      "live entries an item needs to be trending"),
    key("recommend.enabled", .flag(\.engine.recommendEnabled), "true", "publish lists at all"),
    key("recommend.top", .integer(\.engine.recommend.top, 1...200), "20", "items in a list"),
    key(
      "recommend.on", .behaviours(\.engine.recommend.on), "[view, cart, purchase, like]",
      "events after which a user gets a new list"),
    key(
      "recommend.linger", .duration(\.engine.recommend.linger, 0...3600 * second), "250ms",
      "a list waits this long for a later event of the same user"),
    key(
      "recommend.refresh", .duration(\.engine.recommend.refresh, 0...36_500 * day), "30m",
      "users active within this stream time get new lists from a new model"),
    key(
      "recommend.exclude_purchased", .flag(\.engine.recommend.excludePurchased), "true",
      "leave out what the user has bought"),
    key(
      "recommend.recent", .integer(\.engine.recommend.recent, 1...10_000), "50",
      "latest items of a user that are asked for neighbours"),
    key(
      "recommend.recent_half", .real(\.engine.recommend.recentHalf, 0.1...1_000_000), "10",
      "places back at which an item's weight has halved"),
    key(
      "recommend.cart_window", .duration(\.engine.recommend.cartWindow, second...365 * day), "7d",
      "how long an item stays in the cart"),
    key(
      "recommend.weights.rules", .real(\.engine.recommend.rulesWeight, 0...1000), "0.5",
      "weight of rules whose antecedent is in the cart"),
    key(
      "recommend.weights.popularity", .real(\.engine.recommend.popularityWeight, 0...1000), "0.05",
      "weight of popularity, which fills the lists of strangers"),
    key(
      "lists.for_you", .choice(of: \.engine.lists.forYou), "blend",
      "what for_you is made of: neighbours, rules and popularity by weight, or the discover formula"),
    key("lists.buy_again", .flag(\.engine.lists.buyAgain), "false", "also publish buy_again"),
    key("lists.basket", .flag(\.engine.lists.basket), "false", "also publish basket, what completes it"),
    key("lists.next", .flag(\.engine.lists.next), "false", "also publish next, by the nearest sessions"),
    key(
      "lists.gram_half_life", .duration(\.engine.lists.constants.gramHalfLife, second...36_500 * day), "120d",
      "time in which a pair of old purchases loses half its weight in a regression"),
    key(
      "lists.own_half_life", .duration(\.engine.lists.constants.ownHalfLife, second...36_500 * day), "180d",
      "time in which one's own visit loses half its weight"),
    key(
      "lists.trend_floor", .real(\.engine.lists.constants.trendFloor, 0...1000), "0.1",
      "trend of an item that nobody asks for now"),
    key(
      "lists.trend_weight", .real(\.engine.lists.constants.popularityWeight, 0...1000), "0.3",
      "weight of recent popularity beside the regression"),
    key(
      "lists.new_weight", .real(\.engine.lists.constants.newWeight, 0...1000), "0.7",
      "weight of what is new in buy_again"),
    key(
      "lists.discover_lambda", .real(\.engine.lists.constants.discover.lambda, 0.001...1_000_000), "20",
      "ridge of the regression over users, in mean diagonals"),
    key(
      "lists.basket_lambda", .real(\.engine.lists.constants.basket.lambda, 0.001...1_000_000), "1",
      "the same over orders"),
    key(
      "lists.max_items", .integer(\.engine.lists.maxItems, 1...100_000), "20000",
      "items a regression is over, those in most rows"),
    key(
      "lists.session_recent", .integer(\.engine.lists.constants.sessions.recent, 1...100_000), "500",
      "sessions that are looked at for next, the latest of each item, then of all"),
    key(
      "lists.session_neighbours", .integer(\.engine.lists.constants.sessions.neighbours, 1...100_000), "200",
      "nearest sessions that are followed"),
    key(
      "lists.max_sessions", .integer(\.engine.lists.maxSessions, 1...100_000_000), "200000",
      "sessions in the index, the latest"),
    key(
      "privacy.min_users", .integer(\.engine.minUsers, 1...1_000_000), "1",
      "users who must stand behind a published count; 1 is off"),
    key(
      "metrics.interval", .duration(\.metricsInterval, 100...day), "10s",
      "time between lines of the metrics log", speed: true),
    key(
      "metrics.file", .text(\.metricsFile), "-", "the metrics log; - is standard output",
      speed: true),
    key(
      "admin.listen", .listen(\.adminListen), "127.0.0.1:9464",
      "metrics, health and console by HTTP", speed: true),
    key(
      "health.max_lag", .integer(\.health.maxLag, 1...1_000_000_000_000), "100000",
      "records behind the end of the events topic, above which the daemon is not ready", speed: true),
    key(
      "health.max_silence", .duration(\.health.maxSilence, second...day), "30s",
      "time without an answer that is due from the brokers, after which it is not ready", speed: true),
    key(
      "health.watchdog", .duration(\.health.watchdog, second...day), "30s",
      "time without a turn of the loop, after which it is not live", speed: true),
    key("log.file", .text(\.logFile), "-", "the readable log; - is standard error", speed: true),
    key("log.level", .choice(of: \.logLevel), "info", "what is worth a line", speed: true),
    key(
      "shutdown.timeout", .duration(\.shutdownTimeout, second...3600 * second), "25s",
      "from the first signal to the end, whatever hangs", speed: true),
  ]

  static let byPath: [String: ConfigurationKey] = Dictionary(
    uniqueKeysWithValues: all.map { ($0.path, $0) })

  /// "All slots": more than any row holds.
  static let unbounded = MatrixConfiguration.maximumHistory

  private static func key(
    _ path: String, _ value: ConfigurationValue<Configuration>, _ text: String, _ doc: String,
    speed: Bool = false
  ) -> ConfigurationKey {
    ConfigurationKey(
      path: path, value: value, defaultText: text, doc: doc, isOnlyForSpeed: speed)
  }
}

/// A field of `model.relations.<name>`.
struct RelationField: Sendable {
  var name: String
  var value: ConfigurationValue<RelationConfiguration>
  var defaultText: String
  var doc: String

  static let all: [RelationField] = [
    RelationField(
      name: "context", value: .word(\.context, { $0.name }), defaultText: "user",
      doc: "the set in which items meet"),
    RelationField(
      name: "source", value: .word(\.source, { $0.name }), defaultText: "purchase",
      doc: "what was done to the item that has the neighbours"),
    RelationField(
      name: "target", value: .word(\.target, { $0.name }), defaultText: "purchase",
      doc: "what was done to the neighbour"),
    RelationField(
      name: "measure", value: .word(\.measure, { $0.name }), defaultText: "cosine",
      doc: "how alike two items are"),
    RelationField(
      name: "history", value: .bound(\.history, 1...MatrixConfiguration.maximumHistory, none: ConfigurationKey.unbounded),
      defaultText: "200", doc: "entries kept per row, the latest"),
    RelationField(
      name: "window", value: .window(\.window), defaultText: "365d", doc: "older entries leave"),
    RelationField(
      name: "min_both", value: .integer(\.minBoth, 1...1_000_000), defaultText: "2",
      doc: "rows that two neighbours share at least"),
    RelationField(
      name: "shrinkage", value: .real(\.shrinkage, 0...1_000_000), defaultText: "0",
      doc: "s: a value is multiplied by both / (both + s)"),
    RelationField(
      name: "weight", value: .real(\.weight, 0...1000), defaultText: "1",
      doc: "weight of these neighbours in the lists; 0 leaves them out"),
  ]

  static let byName: [String: RelationField] = Dictionary(
    uniqueKeysWithValues: all.map { ($0.name, $0) })
}
