// The words of the house: contexts, behaviours, measures, relations.

/// The set in which items meet. A row belongs to one of these.
public enum ContextKind: UInt8, CaseIterable, Sendable, Hashable, BitwiseCopyable {
  case user = 0
  case session = 1
  case order = 2

  public var name: String {
    switch self {
    case .user: "user"
    case .session: "session"
    case .order: "order"
    }
  }
  public init?(name: String) {
    guard let found = ContextKind.allCases.first(where: { $0.name == name }) else { return nil }
    self = found
  }
}

/// What was done to an item.
public enum Behaviour: UInt8, CaseIterable, Sendable, Hashable, BitwiseCopyable {
  case view = 0
  case cart = 1
  case purchase = 2
  case like = 3
  case impression = 4
  case click = 5

  public var name: String {
    switch self {
    case .view: "view"
    case .cart: "cart"
    case .purchase: "purchase"
    case .like: "like"
    case .impression: "impression"
    case .click: "click"
    }
  }
  public init?(name: String) {
    guard let found = Behaviour.allCases.first(where: { $0.name == name }) else { return nil }
    self = found
  }
}

/// How alike two items are, from four integers (MATHS §1, §2, `Measures`).
public enum Measure: UInt8, CaseIterable, Sendable, Hashable {
  case cosine, jaccard, lift, llr, conditional, count

  public var name: String {
    switch self {
    case .cosine: "cosine"
    case .jaccard: "jaccard"
    case .lift: "lift"
    case .llr: "llr"
    case .conditional: "conditional"
    case .count: "count"
    }
  }
  public init?(name: String) {
    guard let found = Measure.allCases.first(where: { $0.name == name }) else { return nil }
    self = found
  }

  /// Whether the value depends on the number of contexts.
  public var usesContexts: Bool { self == .lift || self == .llr }
}

/// One sparse binary matrix A(context, behaviour), with its bounds. Two relations with equal
/// matrices share one.
public struct MatrixConfiguration: Hashable, Sendable {
  public var context: ContextKind
  public var behaviour: Behaviour
  /// Slots kept per row, the most recent ones: 1 to `maximumHistory`.
  public var history: Int
  /// The bound where a configuration asks for none.
  public static let maximumHistory = 65_535
  /// Milliseconds before the last tick's time that entries live; nil keeps everything.
  public var window: Int64?

  public init(context: ContextKind, behaviour: Behaviour, history: Int, window: Int64?) {
    self.context = context
    self.behaviour = behaviour
    self.history = history
    self.window = window
  }
}

/// A named pair of matrices over one context whose co-occurrence is counted: C = AᵀB.
public struct RelationConfiguration: Hashable, Sendable {
  public var name: String
  public var context: ContextKind = .user
  public var source: Behaviour = .purchase
  public var target: Behaviour = .purchase
  public var measure: Measure = .cosine
  /// Slots kept per row.
  public var history = 200
  /// Milliseconds; nil keeps everything.
  public var window: Int64? = 365 * 86_400_000
  /// Pairs that share fewer contexts are no neighbours.
  public var minBoth = 2
  /// s: a value is multiplied by both / (both + s).
  public var shrinkage = 0.0
  /// Weight of this relation's neighbours in `for_you`; 0 leaves them out.
  public var weight = 1.0

  public init(name: String) { self.name = name }

  public var sourceMatrix: MatrixConfiguration {
    MatrixConfiguration(context: context, behaviour: source, history: history, window: window)
  }
  public var targetMatrix: MatrixConfiguration {
    MatrixConfiguration(context: context, behaviour: target, history: history, window: window)
  }
  public var isSymmetric: Bool { source == target }

  /// The relations that are on when the configuration names none (DESIGN §2).
  public static let defaults: [RelationConfiguration] = {
    var together = RelationConfiguration(name: "bought_together")
    together.context = .order
    together.measure = .llr
    var also = RelationConfiguration(name: "also_bought")
    also.context = .user
    var viewed = RelationConfiguration(name: "also_viewed")
    viewed.context = .session
    viewed.source = .view
    viewed.target = .view
    var then = RelationConfiguration(name: "viewed_then_bought")
    then.source = .view
    then.measure = .conditional
    return [together, also, viewed, then]
  }()
}

/// Association rules over the order baskets.
public struct RulesConfiguration: Hashable, Sendable {
  /// Stream milliseconds between two minings; ticks in between keep the rules.
  public var interval: Int64 = 600_000
  /// Below 1: a fraction of the baskets, kept as the decimal that was written (`numerator / denominator`);
  /// from 1 up: a count (denominator 1).
  public var minSupport = Decimal(numerator: 1, denominator: 1000)
  public var minConfidence = 0.1
  /// Items of antecedent and consequent together; 0 = no bound.
  public var maxLength = 4
  /// Items in the consequent.
  public var maxConsequent = 1
  public var window: Int64? = 365 * 86_400_000
  /// Items kept of a basket (the row rule's first); 0 = all.
  public var maxBasket = 200
  /// Rules whose false-discovery-corrected p is above it are left out.
  public var maxQ = 0.05
  public var pruneRedundant = true
  public init() {}

  /// A non-negative decimal, exact.
  public struct Decimal: Hashable, Sendable {
    public var numerator: UInt64
    public var denominator: UInt64
    public init(numerator: UInt64, denominator: UInt64) {
      self.numerator = numerator
      self.denominator = denominator
    }
  }

  /// The least count of baskets a frequent itemset has: ceil(fraction × baskets), at least 1.
  public func minimumCount(baskets: Int) -> Int {
    if minSupport.denominator == 1 || minSupport.numerator >= minSupport.denominator {
      return max(1, Int(minSupport.numerator / minSupport.denominator))
    }
    let (high, low) = minSupport.numerator.multipliedFullWidth(by: UInt64(baskets))
    let (quotient, remainder) = minSupport.denominator.dividingFullWidth((high, low))
    return max(1, Int(quotient) + (remainder > 0 ? 1 : 0))
  }

  public var matrix: MatrixConfiguration {
    MatrixConfiguration(
      context: .order, behaviour: .purchase, history: maxBasket == 0 ? MatrixConfiguration.maximumHistory : maxBasket,
      window: window)
  }
}

/// Popularity and trend by forward decay.
public struct PopularityConfiguration: Hashable, Sendable {
  /// What is counted: entries of these matrices, each with a weight.
  public var context: ContextKind = .order
  public var behaviour: Behaviour = .purchase
  public var window: Int64? = 365 * 86_400_000
  public var history = 200
  /// Milliseconds in which an entry loses half its weight, for `popular`.
  public var halfLife: Int64 = 30 * 86_400_000
  /// The same for the recent share in `trending`.
  public var trendHalfLife: Int64 = 7 * 86_400_000
  /// Items in each list.
  public var top = 100
  /// An item with fewer live entries is not called trending.
  public var trendMinimum = 5
  public init() {}
  public var matrix: MatrixConfiguration {
    MatrixConfiguration(context: context, behaviour: behaviour, history: history, window: window)
  }
}

/// What becomes of the candidates: the lists of `affinity.recommendations`.
public struct RecommendConfiguration: Hashable, Sendable {
  /// Items in a list.
  public var top = 20
  /// Behaviours that make a list (the cause).
  public var on: [Behaviour] = [.view, .cart, .purchase, .like]
  /// Milliseconds a cause waits for a later one of the same user.
  public var linger: Int64 = 250
  /// Milliseconds of stream time in which a user counts as active, for renewal by a new model.
  public var refresh: Int64 = 30 * 60_000
  public var excludePurchased = true
  /// Items of a row that are asked for their neighbours, the most recent ones.
  public var recent = 50
  /// Places back in the row at which an item's weight has halved.
  public var recentHalf = 10.0
  /// Weight of rules whose antecedent is in the basket or cart.
  public var rulesWeight = 0.5
  /// Weight of popularity: it fills the lists of strangers.
  public var popularityWeight = 0.05
  /// Milliseconds an item stays in the cart.
  public var cartWindow: Int64 = 7 * 86_400_000
  public init() {}
}

/// What `for_you` is made of.
public enum ForYou: String, CaseIterable, Hashable, Sendable {
  /// Neighbours per relation, rules and popularity, by their weights.
  case blend
  /// The discover formula (`Formulas/`).
  case discover
}

/// The lists made by formulas from models of their own, which are fitted where rules are mined.
public struct ListsConfiguration: Hashable, Sendable {
  public var forYou = ForYou.blend
  public var buyAgain = false
  public var basket = false
  public var next = false
  public var constants: FormulaConstants = {
    var constants = FormulaConstants()
    constants.discover.kept = 200
    constants.basket.kept = 200
    return constants
  }()
  /// Items a regression is over: those in most rows.
  public var maxItems = 20_000
  /// Sessions in the index, the latest.
  public var maxSessions = 200_000
  public init() {}

  public var needsDiscover: Bool { forYou == .discover || buyAgain }
  public var needsOrders: Bool { buyAgain || basket }
  /// Whether any list is made by a formula.
  public var isOn: Bool { needsDiscover || basket || next }
}
