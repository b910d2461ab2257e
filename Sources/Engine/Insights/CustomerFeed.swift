// Events to the customer ledger: which acts of whom count as what.
import Customers
import Events
import Sparse

extension CustomerLedger {
  /// Takes one event of a user; anonymous traffic belongs to nobody. A purchase or refund without an order is the order of its time
  /// (a refund: of `ordered`), as in the rows.
  public mutating func take(_ event: EventView) {
    if event.user.isEmpty { return }
    if event.type == .erase { return erase(event.user) }
    if !event.consent { return withhold(event.user, time: event.time) }
    switch event.type {
    case .purchase, .refund:
      let own = event.type == .refund ? event.ordered ?? event.time : event.time
      let order =
        event.order.isEmpty
        ? Fingerprint(.zero, .zero, UInt64(bitPattern: own), 1) : Fingerprint(of: event.order)
      for line in event.items.indices {
        let item = event.items[line]
        let amount = CustomerLedger.amount(price: item.price, quantity: item.quantity)
        if event.type == .purchase {
          purchase(event.user, order: order, time: event.time, line: line, item: item.id, amount: amount)
        } else {
          refund(
            event.user, order: order, time: event.time, line: line, item: item.id,
            amount: item.hasPrice ? amount : nil)
        }
      }
    case .view: for item in event.items { view(event.user, time: event.time, item: item.id) }
    case .cart: for item in event.items { cart(event.user, time: event.time, item: item.id) }
    case .uncart, .like, .rating, .impression, .click, .erase: return
    }
  }
}
