// What a list is made from: the rows of its listener, the basket, and what must not be recommended.
import Recommender
import Sparse

/// The rows a list is made from, found once.
struct Scene: BitwiseCopyable {
  var isUser: Bool
  var userRow: UInt32?
  var sessionRow: UInt32?
  var orderRow: UInt32?
  var time: Int64

  init(isUser: Bool, userRow: UInt32?, sessionRow: UInt32?, orderRow: UInt32?, time: Int64) {
    self.isUser = isUser
    self.userRow = userRow
    self.sessionRow = sessionRow
    self.orderRow = orderRow
    self.time = time
  }

  init(
    isUser: Bool, key: UnsafeRawBufferPointer, listener: Listener, cause: Cause,
    interactions: borrowing Interactions
  ) {
    self.isUser = isUser
    userRow = isUser ? interactions.users.find(key) : nil
    sessionRow = listener.hasSession ? interactions.sessionRow(listener.session) : nil
    orderRow = cause.hasOrder && !cause.isModel ? interactions.orderRow(cause.order) : nil
    time = cause.time
  }
}

/// A list from which items can be left out.
protocol Excluding: ~Copyable {
  mutating func exclude(_ item: UInt32)
}

/// Finds in a scene's rows what the configuration asks for.
struct SceneReader {
  private let places: MatrixPlaces
  private let recent: Int
  private let cartWindow: Int64
  private let excludePurchased: Bool

  init(_ configuration: EngineConfiguration, places: MatrixPlaces) {
    self.places = places
    recent = configuration.recommend.recent
    cartWindow = configuration.recommend.cartWindow
    excludePurchased = configuration.recommend.excludePurchased
  }

  /// The order of the cause, newest first; where it has none, the cart.
  /// - Returns: whether items came at different times: then their order says something.
  @discardableResult
  func fillBasket(
    _ basket: inout Vec<UInt32>, _ scene: Scene, _ interactions: borrowing Interactions
  ) -> Bool {
    basket.removeAll()
    var first: Int64?
    var isOrdered = false
    func note(_ time: Int64) { if let first { isOrdered = isOrdered || time != first } else { first = time } }
    if let row = scene.orderRow, let matrix = places.orderPurchases {
      let (items, stamps) = interactions.slots(matrix: matrix, row: row)
      var k = items.count - 1
      while k >= 0 && basket.count < recent {
        if Stamp.isActive(stamps[k]) {
          basket.append(items[k])
          note(Stamp.time(stamps[k]))
        }
        k -= 1
      }
      if basket.count > 0 { return isOrdered }
    }
    let cart: (matrix: Int?, row: UInt32?) =
      scene.isUser ? (places.userCart, scene.userRow) : (places.sessionCart, scene.sessionRow)
    guard let matrix = cart.matrix, let row = cart.row else { return false }
    let (items, stamps) = interactions.slots(matrix: matrix, row: row)
    var k = items.count - 1
    while k >= 0 && basket.count < recent {
      let time = Stamp.time(stamps[k])
      if Stamp.isActive(stamps[k]), time > scene.time &- cartWindow,
        !isBought(items[k], since: time, scene, interactions)
      {
        basket.append(items[k])
        note(time)
      }
      k -= 1
    }
    return isOrdered
  }

  /// Whether the item was bought at or after it was put into the cart.
  private func isBought(
    _ item: UInt32, since: Int64, _ scene: Scene, _ interactions: borrowing Interactions
  ) -> Bool {
    guard let matrix = places.userPurchases, let row = scene.userRow else { return false }
    let (items, stamps) = interactions.slots(matrix: matrix, row: row)
    var k = items.count - 1
    while k >= 0 && Stamp.time(stamps[k]) >= since {
      if items[k] == item { return true }
      k -= 1
    }
    return false
  }

  /// Leaves out what is bought, in the basket or just acted upon.
  func exclude<List: Excluding & ~Copyable>(
    _ scene: Scene, basket: borrowing Vec<UInt32>, purchased: Bool = true,
    _ interactions: borrowing Interactions, from candidates: inout List
  ) {
    if excludePurchased && purchased, let matrix = places.userPurchases, let row = scene.userRow {
      let (items, stamps) = interactions.slots(matrix: matrix, row: row)
      for k in 0..<items.count where Stamp.isActive(stamps[k]) { candidates.exclude(items[k]) }
    }
    for i in 0..<basket.count { candidates.exclude(basket[i]) }
    if let row = scene.userRow {
      for matrix in places.ofUser {
        excludeCurrent(matrix, row, scene.time, interactions, &candidates)
      }
    }
    if let row = scene.sessionRow {
      for matrix in places.ofSession {
        excludeCurrent(matrix, row, scene.time, interactions, &candidates)
      }
    }
  }

  private func excludeCurrent<List: Excluding & ~Copyable>(
    _ matrix: Int, _ row: UInt32, _ time: Int64, _ interactions: borrowing Interactions,
    _ candidates: inout List
  ) {
    let (items, stamps) = interactions.slots(matrix: matrix, row: row)
    var k = items.count - 1
    while k >= 0 && Stamp.time(stamps[k]) >= time {
      if Stamp.time(stamps[k]) == time { candidates.exclude(items[k]) }
      k -= 1
    }
  }
}
