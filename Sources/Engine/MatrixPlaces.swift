// Which matrices a configuration needs, and where each reader finds its own.
import Recommender

extension EngineConfiguration {
  /// Every matrix of the relations, the rules, popularity, the cart and the purchases that lists leave
  /// out: each once.
  public var matrices: [MatrixConfiguration] {
    var all: [MatrixConfiguration] = []
    func add(_ matrix: MatrixConfiguration) { if !all.contains(matrix) { all.append(matrix) } }
    for relation in relations {
      add(relation.sourceMatrix)
      add(relation.targetMatrix)
    }
    if rulesEnabled { add(rules.matrix) }
    add(popularity.matrix)
    if recommendEnabled {
      add(cartMatrix(.user))
      add(cartMatrix(.session))
      func need(_ context: ContextKind, _ behaviour: Behaviour) {
        if all.contains(where: { $0.context == context && $0.behaviour == behaviour }) { return }
        add(
          MatrixConfiguration(
            context: context, behaviour: behaviour, history: 200, window: 365 * 86_400_000))
      }
      need(.user, .purchase)
      if lists.needsOrders { need(.order, .purchase) }
      if lists.next { need(.session, .view) }
    }
    return all
  }

  func cartMatrix(_ context: ContextKind) -> MatrixConfiguration {
    MatrixConfiguration(
      context: context, behaviour: .cart, history: 50, window: recommend.cartWindow)
  }
}

/// Indexes into the matrices, by use.
struct MatrixPlaces {
  var source: [Int] = []
  var target: [Int] = []
  /// For a relation over users: the session matrix of the same behaviour, for strangers.
  var strangerSource: [Int?] = []
  var rules: Int?
  var userPurchases: Int?
  var orderPurchases: Int?
  var userCart: Int?
  var sessionCart: Int?
  var sessionViews: Int?
  var ofUser: [Int] = []
  var ofSession: [Int] = []

  init(_ configuration: EngineConfiguration, matrices: [MatrixConfiguration]) {
    func place(_ matrix: MatrixConfiguration) -> Int? { matrices.firstIndex(of: matrix) }
    /// The matrix with the longest rows for a context and behaviour.
    func widest(_ context: ContextKind, _ behaviour: Behaviour) -> Int? {
      let candidates = matrices.indices.filter {
        matrices[$0].context == context && matrices[$0].behaviour == behaviour
      }
      return candidates.max { matrices[$0].history < matrices[$1].history }
    }
    for relation in configuration.relations {
      source.append(place(relation.sourceMatrix)!)
      target.append(place(relation.targetMatrix)!)
      strangerSource.append(widest(.session, relation.source))
    }
    rules = configuration.rulesEnabled ? place(configuration.rules.matrix) : nil
    userPurchases = widest(.user, .purchase)
    orderPurchases = widest(.order, .purchase)
    userCart = place(configuration.cartMatrix(.user))
    sessionCart = place(configuration.cartMatrix(.session))
    sessionViews = widest(.session, .view)
    ofUser = matrices.indices.filter { matrices[$0].context == .user }
    ofSession = matrices.indices.filter { matrices[$0].context == .session }
  }
  /// Matrices that the list models are fitted to.
  func ofLists(_ configuration: EngineConfiguration) -> [Int] {
    if !configuration.hasFormulas { return [] }
    let lists = configuration.lists
    return [
      lists.needsDiscover ? userPurchases : nil, lists.needsOrders ? orderPurchases : nil,
      lists.next ? sessionViews : nil,
    ].compactMap { $0 }
  }
}
