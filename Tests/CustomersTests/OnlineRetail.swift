// The real shop's log, by the definition of the published figures and as events.
import Customers
import Engine
import Events
import Foundation
import Importers
import Sparse

let day: Int64 = 86_400_000

/// shared/data, or nil, said aloud, where it is not there.
func sharedFile(_ name: String) -> String? {
  let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  let shared = ProcessInfo.processInfo.environment["AFFINITY_SHARED"] ?? root.path + "/../shared"
  let path = shared + "/data/" + name
  if FileManager.default.fileExists(atPath: path) { return path }
  print("\(path) is not there: skipped")
  return nil
}

/// Midnight of a date, UTC.
func midnight(_ date: String) -> Int64 { TimeFormat.iso.parse(date) ?? 0 }

/// A customer's rows: known customer, invoice not C…, price × quantity > 0; and the cancellations.
struct RetailRows {
  struct Row {
    var invoice: String
    var item: String
    var time: Int64
    var value: Double
  }
  var bought: [Int: [Row]] = [:]
  var cancelled: [Int: [Row]] = [:]

  init(_ path: String) throws {
    var reader = RecordReader(try ByteSource(path))
    _ = try reader.next()
    while try reader.next() {
      func text(_ i: Int) -> String { String(decoding: reader.field(i), as: UTF8.self) }
      guard let customer = Double(text(6)), let quantity = Double(text(3)), let price = Double(text(5)),
        let time = TimeFormat.iso.parse(text(4))
      else { continue }
      let row = Row(invoice: text(0), item: text(1), time: time, value: quantity * price)
      if row.invoice.hasPrefix("C") {
        cancelled[Int(customer), default: []].append(row)
      } else if row.value > 0 {
        bought[Int(customer), default: []].append(row)
      }
    }
  }

  /// The eleven features and both labels as of `start`, customers by number.
  func examples(_ start: Int64) -> (ids: [Int], table: Table, labels: [UInt8], targets: [Double]) {
    let ids = bought.keys.filter { id in bought[id]?.contains { $0.time < start } ?? false }.sorted()
    let table = Table(rows: ids.count, columns: 11)
    var labels: [UInt8] = []
    var targets: [Double] = []
    for (i, id) in ids.enumerated() {
      let all = bought[id] ?? []
      let rows = all.filter { $0.time < start }
      let recent = rows.filter { $0.time >= start - 90 * day }
      let times = rows.map(\.time)
      func age(_ time: Int64?) -> Double { Double(start - (time ?? start)) / Double(day) }
      let (recency, tenure) = (age(times.max()), age(times.min()))
      let orders = Double(Set(rows.map(\.invoice)).count)
      let value = rows.reduce(0) { $0 + $1.value }
      let cancels = Set((cancelled[id] ?? []).filter { $0.time < start }.map(\.invoice))
      let features = [
        recency, log1p(orders), log1p(value), tenure, log1p(Double(Set(rows.map(\.item)).count)),
        log1p(Double(rows.count)), log1p(value / orders), (tenure - recency) / max(orders - 1, 1),
        log1p(recent.reduce(0) { $0 + $1.value }), log1p(Double(Set(recent.map(\.invoice)).count)),
        log1p(Double(cancels.count)),
      ]
      for (c, x) in features.enumerated() { table[i, c] = x }
      let after = all.filter { $0.time >= start && $0.time < start + 90 * day }
      labels.append(after.isEmpty ? 0 : 1)
      targets.append(log1p(after.reduce(0) { $0 + $1.value }))
    }
    return (ids, table, labels, targets)
  }
}

/// The log's events, imported, through the ledger.
func retailLedger(_ path: String) throws -> CustomerLedger {
  var log = ImportLog()
  try importOnlineRetail(try ByteSource(path), refunds: .matched, into: &log)
  var ledger = CustomerLedger()
  let batch = EventBatch()
  log.forEachLine { line in
    batch.reset()
    batch.append(value: line)
    if let event = batch.event(at: 0) { ledger.take(event) }
  }
  return ledger
}
