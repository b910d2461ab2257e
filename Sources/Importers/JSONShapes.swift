// The shapes: Segment, Google Analytics 4, Google Retail, Amazon Personalize. Names are theirs, the
// mapping is EVENT-FORMATS §8. Events of theirs that concern no item are `not_an_item_event`.
import Events

// MARK: - Segment e-commerce v2

private let segmentTypes: [String: EventType] = [
  "Product Viewed": .view, "Viewed Product": .view,
  "Product Clicked": .view, "Clicked Product": .view,
  "Product Added": .cart, "Added Product": .cart, "Wishlist Product Added to Cart": .cart,
  "Product Removed": .uncart, "Removed Product": .uncart,
  "Order Completed": .purchase, "Completed Order": .purchase,
  "Order Refunded": .refund, "Refunded Order": .refund,
  "Order Cancelled": .refund, "Cancelled Order": .refund,
  "Product Added to Wishlist": .like, "Added Product to Wishlist": .like,
  "Product Reviewed": .rating, "Reviewed Product": .rating,
  "Product List Viewed": .impression, "Viewed Product List": .impression,
  "Viewed Product Category": .impression,
]

func segmentEvent(_ call: JSONObject, _ orders: inout KnownOrders) -> JSONOutcome {
  let kind = call.text("type")
  guard kind.isEmpty || kind == "track", let type = segmentTypes[call.text("event")] else {
    return JSONRefusal.because(.notAnItemEvent)
  }
  guard
    let time = call.time(.milliseconds, "timestamp", "originalTimestamp", "sentAt", "receivedAt")
  else { return JSONRefusal.because(.badTime) }
  let properties = call.object("properties") ?? JSONObject([:])
  var event = Event(type: type, time: time, user: call.text("userId"))
  event.id = call.text("messageId")
  event.currency = properties.text("currency")
  if type == .purchase || type == .refund { event.order = properties.text("order_id", "orderId") }
  if type == .rating { event.value = properties.number("rating") }
  if type == .impression { event.recommendation = properties.text("list_id") }
  // The properties of a call about one product are the product's.
  var products = properties.objects("products") ?? []
  if products.isEmpty && !properties.text("product_id", "sku").isEmpty { products = [properties] }
  switch jsonItems(
    products,
    {
      jsonItem(
        id: $0.text("product_id", "sku"), quantity: $0.number("quantity"), price: $0.number("price")
      )
    })
  {
  case .success(let items): event.items = items
  case .failure(let why): return .failure(why)
  }
  return finish(event, visitor: call.text("anonymousId"), &orders)
}

// MARK: - Google Analytics 4

private let ga4Types: [String: EventType] = [
  "view_item": .view, "select_item": .view, "add_to_cart": .cart, "remove_from_cart": .uncart,
  "purchase": .purchase, "refund": .refund, "add_to_wishlist": .like, "view_item_list": .impression,
]

func ga4Events(_ object: JSONObject, _ orders: inout KnownOrders) -> [JSONOutcome] {
  if let events = object.objects("events") {
    // A body of the Measurement Protocol.
    return events.map { event in
      let parameters = event.object("params") ?? JSONObject([:])
      return ga4Event(
        name: event.text("name"),
        time: event.time(.microseconds, "timestamp_micros")
          ?? object.time(.microseconds, "timestamp_micros"),
        user: object.text("user_id"), visitor: object.text("client_id"),
        session: parameters.text("session_id", "ga_session_id"),
        order: parameters.text("transaction_id"), currency: parameters.text("currency"),
        list: parameters.text("item_list_id"), items: parameters.objects("items") ?? [], &orders)
    }
  }
  // A row of the BigQuery export: parameters are an array of keys and typed values.
  var parameters: [String: String] = [:]
  for parameter in object.objects("event_params") ?? [] {
    guard let value = parameter.object("value") else { continue }
    parameters[parameter.text("key")] = value.text(
      "string_value", "int_value", "double_value", "float_value")
  }
  let order = object.object("ecommerce")?.text("transaction_id") ?? ""
  let time = object.time(.microseconds, "event_timestamp")
  return [
    ga4Event(
      name: object.text("event_name"), time: time, user: object.text("user_id"),
      visitor: object.text("user_pseudo_id"), session: parameters["ga_session_id"] ?? "",
      order: order.isEmpty ? parameters["transaction_id"] ?? "" : order,
      currency: parameters["currency"] ?? "", list: parameters["item_list_id"] ?? "",
      items: object.objects("items") ?? [], &orders)
  ]
}

private func ga4Event(
  name: String, time: Int64?, user: String, visitor: String, session: String, order: String,
  currency: String, list: String, items: [JSONObject], _ orders: inout KnownOrders
) -> JSONOutcome {
  guard let type = ga4Types[name] else { return JSONRefusal.because(.notAnItemEvent) }
  guard let time else { return JSONRefusal.because(.badTime) }
  var event = Event(type: type, time: time, user: user)
  event.currency = currency
  if type == .purchase || type == .refund { event.order = order }
  if type == .impression { event.recommendation = list }
  // ga_session_id counts seconds: only with the visitor does it name one session.
  if !session.isEmpty { event.session = visitor.isEmpty ? session : "\(visitor).\(session)" }
  switch jsonItems(
    items,
    {
      jsonItem(
        id: $0.text("item_id", "item_name"), quantity: $0.number("quantity"),
        price: $0.number("price"))
    })
  {
  case .success(let items): event.items = items
  case .failure(let why): return .failure(why)
  }
  return finish(event, visitor: visitor, &orders)
}

// MARK: - Google Retail

private let googleRetailTypes: [String: EventType] = [
  "detail-page-view": .view, "add-to-cart": .cart, "remove-from-cart": .uncart,
  "purchase-complete": .purchase,
]

func googleRetailEvent(_ object: JSONObject, _ orders: inout KnownOrders) -> JSONOutcome {
  guard let type = googleRetailTypes[object.text("eventType", "event_type")] else {
    return JSONRefusal.because(.notAnItemEvent)
  }
  guard let time = object.time(.milliseconds, "eventTime", "event_time") else {
    return JSONRefusal.because(.badTime)
  }
  var event = Event(
    type: type, time: time,
    user: object.object("userInfo", "user_info")?.text("userId", "user_id") ?? "")
  event.session = object.text("sessionId", "session_id")
  if let transaction = object.object("purchaseTransaction", "purchase_transaction"),
    type == .purchase
  {
    event.order = transaction.text("id")
    event.currency = transaction.text("currencyCode", "currency_code")
  }
  switch jsonItems(
    object.objects("productDetails", "product_details") ?? [],
    { detail in
      let product = detail.object("product") ?? JSONObject([:])
      // A full name ends in …/branches/0/products/ID.
      let name = product.text("name").split(separator: "/").last.map(String.init) ?? ""
      let id = product.text("id")
      return jsonItem(
        id: id.isEmpty ? name : id, quantity: detail.number("quantity"),
        price: product.object("priceInfo", "price_info")?.number("price"))
    })
  {
  case .success(let items): event.items = items
  case .failure(let why): return .failure(why)
  }
  return finish(event, visitor: object.text("visitorId", "visitor_id"), &orders)
}

// MARK: - Amazon Personalize

/// Purchases of one request that name the same order at the same time are one event.
func personalizeEvents(_ request: JSONObject) -> [JSONOutcome] {
  var outcomes: [JSONOutcome] = []
  for outcome in personalizeEntries(request) {
    if case .success(let next) = outcome, next.type == .purchase, !next.order.isEmpty,
      case .success(var last)? = outcomes.last, last.type == .purchase, last.order == next.order,
      last.time == next.time
    {
      last.items += next.items
      outcomes[outcomes.count - 1] = .success(last)
    } else {
      outcomes.append(outcome)
    }
  }
  return outcomes
}

private func personalizeEntries(_ request: JSONObject) -> [JSONOutcome] {
  (request.objects("eventList", "EventList") ?? []).map { entry in
    guard let type = CSVMapping.personalizeTypes[entry.text("eventType")] else {
      return JSONRefusal.because(.unknownType)
    }
    guard let time = entry.time(.seconds, "sentAt") else { return JSONRefusal.because(.badTime) }
    var event = Event(type: type, time: time, user: request.text("userId"))
    event.session = request.text("sessionId")
    event.id = entry.text("eventId")
    event.recommendation = entry.text("recommendationId")
    // One item an event; what order it belongs to is the sender's own property.
    let properties = entry.embedded("properties") ?? JSONObject([:])
    if type == .purchase { event.order = properties.text("orderId", "order_id", "order") }
    switch jsonItem(
      id: entry.text("itemId"), quantity: properties.number("quantity"),
      price: properties.number("price"))
    {
    case .success(let item): event.items = [item]
    case .failure(let why): return .failure(why)
    }
    if event.user.isEmpty && event.session.isEmpty { return JSONRefusal.because(.missingUser) }
    return .success(event)
  }
}
