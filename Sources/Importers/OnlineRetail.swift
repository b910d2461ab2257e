// UCI "Online Retail" (D. Chen 2012): invoice lines of a gift shop, to purchases and refunds.
//
// - Lines of one invoice at one minute are one `purchase` with a line each; an invoice that was
//   written over several minutes is several events with the same order id.
// - A line counts where quantity and price are above zero. Stock corrections (quantity not above
//   zero, or nothing charged) are rejected.
// - A line without a customer keeps its order, without a user: it feeds the baskets, and no user row.
// - An invoice whose number starts with C is a cancellation. It names no original, so each of its
//   lines goes to the customer's latest strictly earlier purchase of that stock code: a `refund`
//   whose `order` is that invoice and whose `ordered` is that purchase's time. Any quantity undoes
//   the item, for a row is binary. Several cancellations may hit the same purchase; undoing twice
//   is undoing once.
// - Times have no zone and are read as UTC.
import Events
import Sparse

public enum OnlineRetailRefunds: Sendable {
  case matched
  /// Those without an earlier purchase stay in the log, with the cancellation's own number as order.
  case matchedOrKept
  /// Cancellations are left out (and counted).
  case leftOut
}

public func importOnlineRetail(
  _ source: ByteSource, refunds: OnlineRetailRefunds, into log: inout ImportLog,
  progress: (Int) throws -> Void = { _ in }
) throws {
  var reader = RecordReader(source)
  let columns = try OnlineRetailColumns(&reader)
  var orders = OrderGroups()
  var purchases = PurchaseHistory()
  var cancellations = Vec<Cancellation>()
  // Lines of cancellations as they stand in the file, for the rejects.
  var texts = ByteWriter()

  while try reader.next() {
    log.rows += 1
    if log.rows & 0xffff == 0 { try progress(source.position) }
    let row: OnlineRetailRow
    switch columns.read(reader) {
    case .failure(let reason):
      try log.reject(reason.reason, line: reader.line, reader.text)
      continue
    case .success(let accepted): row = accepted
    }
    if !row.isCancellation {
      let reason: ImportReason? =
        row.quantity <= 0
        ? .nonPositiveQuantity : row.price < 0 ? .negativePrice : row.price == 0 ? .zeroPrice : nil
      if let reason {
        try log.reject(reason, line: reader.line, reader.text)
        continue
      }
      var event = ImportedEvent(type: .purchase, time: row.time)
      event.order = row.invoice
      event.user = row.customer
      event.currency = OnlineRetailColumns.pounds
      orders.add(
        event, EventItem(id: row.stockCode, quantity: Int64(row.quantity), price: row.price))
      log.titles.count(row.stockCode, row.description)
      if !row.customer.isEmpty { purchases.add(row) }
      continue
    }
    let reason: ImportReason? =
      refunds == .leftOut
      ? .refundLeftOut
      : row.customer.isEmpty
        ? .refundWithoutCustomer
        : row.quantity >= 0
          ? .refundQuantity : row.price < 0 ? .negativePrice : row.price == 0 ? .zeroPrice : nil
    if let reason {
      try log.reject(reason, line: reader.line, reader.text)
      continue
    }
    cancellations.append(
      Cancellation(
        pair: purchases.pair(row), invoice: purchases.text(row.invoice),
        customer: purchases.text(row.customer), item: purchases.text(row.stockCode),
        time: row.time, quantity: -row.quantity, price: row.price, line: reader.line,
        start: texts.count, count: reader.text.count))
    texts.append(bytes: reader.text)
  }
  orders.flush(into: &log)

  // The file is by time already, but nothing says that it must be: match when all is read.
  var refunded = OrderGroups()
  purchases.sort()
  for i in 0..<cancellations.count {
    let c = cancellations[i]
    let found = purchases.latest(c.pair, before: c.time)
    if found == nil && refunds != .matchedOrKept {
      try log.reject(
        .refundWithoutPurchase, line: c.line,
        UnsafeRawBufferPointer(rebasing: texts.bytes[c.start..<c.start + c.count]))
      continue
    }
    var event = ImportedEvent(type: .refund, time: c.time)
    event.id = purchases.key(c.invoice)
    event.user = purchases.key(c.customer)
    event.order = purchases.key(found?.invoice ?? c.invoice)
    event.ordered = found?.time
    event.currency = OnlineRetailColumns.pounds
    refunded.add(
      event, EventItem(id: purchases.key(c.item), quantity: Int64(c.quantity), price: c.price))
  }
  refunded.flush(into: &log)
}

private struct Cancellation: BitwiseCopyable {
  var pair: UInt32
  var invoice: UInt32
  var customer: UInt32
  var item: UInt32
  var time: Int64
  var quantity: Int
  var price: Double
  var line: Int
  var start: Int
  var count: Int
}

private struct OnlineRetailRow {
  var invoice: UnsafeRawBufferPointer
  var stockCode: UnsafeRawBufferPointer
  var description: UnsafeRawBufferPointer
  var customer: UnsafeRawBufferPointer
  var time: Int64
  var quantity: Int
  var price: Double
  var isCancellation: Bool { invoice[0] | 32 == 99 }
}

private struct RowFailure: Error {
  var reason: ImportReason
}

private struct OnlineRetailColumns {
  /// The file does not name its currency; the shop is British.
  static let poundsText: StaticString = "GBP"
  static var pounds: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: poundsText.utf8Start, count: poundsText.utf8CodeUnitCount)
  }
  static let names = [
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID",
  ]
  private var places: [Int] = []
  private let slashes: TimeFormat?

  init(_ reader: inout RecordReader) throws {
    guard try reader.next() else { throw ImportError.wrongFormat("\(reader.source.path): empty") }
    var header: [String] = []
    for i in 0..<reader.fieldCount {
      header.append(String(decoding: trim(reader.field(i)), as: UTF8.self))
    }
    // The same shop's second data set ("Online Retail II") says Invoice, Price and Customer ID.
    let other = ["UnitPrice": "Price", "InvoiceNo": "Invoice", "CustomerID": "Customer ID"]
    for name in OnlineRetailColumns.names {
      let place = header.firstIndex(of: name) ?? other[name].flatMap { header.firstIndex(of: $0) }
      guard let place else {
        throw ImportError.wrongFormat(
          "\(reader.source.path): no column \"\(name)\"; the header has \(header.joined(separator: ", "))"
        )
      }
      places.append(place)
    }
    slashes = TimeFormat("M/d/yyyy H:mm")
  }

  func read(_ reader: borrowing RecordReader) -> Result<OnlineRetailRow, RowFailure> {
    func fail(_ reason: ImportReason) -> Result<OnlineRetailRow, RowFailure> {
      .failure(RowFailure(reason: reason))
    }
    if reader.isMalformed { return fail(.malformed) }
    if reader.fieldCount <= places[5] { return fail(.tooFewFields) }
    func text(_ i: Int) -> UnsafeRawBufferPointer { trim(reader.field(places[i])) }
    let invoice = text(0)
    let stockCode = text(1)
    if invoice.isEmpty { return fail(.missingUser) }
    if stockCode.isEmpty { return fail(.missingItem) }
    guard let quantity = parseWhole(text(3)) else { return fail(.badQuantity) }
    guard let time = TimeFormat.iso.parse(text(4)) ?? slashes?.parse(text(4)) else {
      return fail(.badTime)
    }
    guard let price = parseNumber(text(5)) else { return fail(.badPrice) }
    return .success(
      OnlineRetailRow(
        invoice: invoice, stockCode: stockCode, description: reader.field(places[2]),
        customer: OnlineRetailColumns.whole(text(6)), time: time, quantity: quantity, price: price))
  }

  /// "17850.0", as a spreadsheet writes the number 17850, is customer 17850.
  static func whole(_ text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    var end = text.count
    while end > 0 && text[end - 1] == 48 { end -= 1 }
    guard end > 1, end < text.count, text[end - 1] == 46 else { return text }
    return UnsafeRawBufferPointer(rebasing: text[..<(end - 1)])
  }
}

/// When each (customer, stock code) was bought, and on which invoice.
private struct PurchaseHistory: ~Copyable {
  struct Purchase {
    var time: Int64
    var invoice: UInt32
  }
  private var texts = Interner(expecting: 1 << 15)
  private var pairs = Interner(expecting: 1 << 18)
  private var purchases: [[Purchase]] = []

  mutating func text(_ bytes: UnsafeRawBufferPointer) -> UInt32 { texts.intern(bytes).id }
  func key(_ id: UInt32) -> UnsafeRawBufferPointer { texts.key(id) }

  mutating func pair(_ row: OnlineRetailRow) -> UInt32 {
    var key = (text(row.customer), text(row.stockCode))
    let id = withUnsafeBytes(of: &key) { pairs.intern($0).id }
    while purchases.count <= Int(id) { purchases.append([]) }
    return id
  }

  mutating func add(_ row: OnlineRetailRow) {
    let at = pair(row)
    let invoice = text(row.invoice)
    purchases[Int(at)].append(Purchase(time: row.time, invoice: invoice))
  }

  /// By time; at one time the later row last.
  mutating func sort() {
    for i in purchases.indices where purchases[i].count > 1 {
      let order = purchases[i].enumerated().sorted { a, b in
        a.element.time != b.element.time
          ? a.element.time < b.element.time : a.offset < b.offset
      }
      purchases[i] = order.map(\.element)
    }
  }

  func latest(_ pair: UInt32, before time: Int64) -> Purchase? {
    purchases[Int(pair)].last { $0.time < time }
  }
}
