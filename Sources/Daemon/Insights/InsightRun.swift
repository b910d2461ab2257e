// Customer analysis of a log as of a time, without Kafka: every event goes to the ledger in the order of replay (event time, then file,
// then line; that order matters to erasures alone), then one `Insights` is made.
import Customers
import Engine
import Events
import Foundation
import Sparse

public struct InsightOptions: Sendable {
  public var files: [String] = []
  public var catalogues: [String] = []
  /// Nil: just after the last event.
  public var asOf: Int64?
  public var settings = InsightSettings()
  public var limits = EventLimits()
  public var futureTolerance: Int64 = 300_000
  public var threads = 2
  public init() {}
}

public struct InsightError: InputError {
  public var description: String
}

public final class InsightRun {
  public let insights: Insights
  public private(set) var records = 0
  public private(set) var rejected = 0
  /// More than one: amounts are not converted.
  public let currencies: [String]
  private let ledger: CustomerLedger

  public init(_ options: InsightOptions, progress: (Int, Int) -> Void = { _, _ in }) throws {
    var ledger = CustomerLedger()
    let cursors = try options.files.enumerated().map { place, path in
      try LogCursor(path: path, partition: Int32(place), limits: options.limits, topicOf: { _ in 0 })
    }
    let total = cursors.reduce(0) { $0 + $1.totalBytes }
    var times = [Int64](repeating: .min, count: cursors.count)
    func look(_ c: Int) {
      if !cursors[c].isAtEnd, let time = cursors[c].batch.time(at: cursors[c].index) { times[c] = time }
    }
    for c in cursors.indices { look(c) }
    var last: Int64?
    var seen: Set<String> = []
    var (records, rejected) = (0, 0)
    while let c = cursors.indices.filter({ !cursors[$0].isAtEnd }).min(by: { times[$0] < times[$1] }) {
      let cursor = cursors[c]
      records += 1
      if records % 65_536 == 0 { progress(cursors.reduce(0) { $0 + $1.bytesDone }, total) }
      let position = cursor.position(cursor.index)
      if let event = cursor.batch.event(at: cursor.index) {
        if event.isFuture(recordTimestamp: position.timestamp, tolerance: options.futureTolerance) {
          rejected += 1
        } else {
          ledger.take(event)
          last = max(last ?? event.time, event.time)
          if event.type == .purchase && !event.currency.isEmpty && seen.count < 100 {
            seen.insert(String(decoding: event.currency, as: UTF8.self))
          }
        }
      } else {
        switch cursor.batch[cursor.index] {
        case .erasure:
          cursor.key(cursor.index)?.withUnsafeBytes { user in
            if cursor.batch.fault(inErasureKey: user) == nil { ledger.erase(user) } else { rejected += 1 }
          }
        case .rejected: rejected += 1
        case .event, .unknownType: break
        }
      }
      cursor.advance()
      look(c)
    }
    progress(total, total)
    guard let last else { throw InsightError(description: "\(options.files.joined(separator: ", ")): no events") }
    self.records = records
    self.rejected = rejected
    currencies = seen.sorted()
    let categories = try InsightRun.categories(options, &ledger)
    insights = Insights(
      ledger, asOf: options.asOf ?? last + 1, options.settings, categories: categories,
      parallel: Threads.parallel(options.threads))
    self.ledger = ledger
  }

  /// Per item id the number of its category path; -1 where the catalogue has none.
  private static func categories(_ options: InsightOptions, _ ledger: inout CustomerLedger) throws -> [Int32] {
    var paths: [String: Int32] = [:]
    var result: [Int32] = []
    for path in options.catalogues {
      try CatalogueFile.forEach(path) { key, value in
        try key.withUnsafeBytes { key in
          let item = Int(ledger.item(key))
          while result.count <= item { result.append(-1) }
          let value = value ?? UnsafeRawBufferPointer(start: nil, count: 0)
          switch CatalogueEntry.decode(key: key, value: value, limits: options.limits) {
          case .rejected(let fault): throw CatalogueFileError(description: "\(path): \(fault.message)")
          case .gone: result[item] = -1
          case .entry(let entry):
            if entry.category.isEmpty {
              result[item] = -1
            } else {
              let next = Int32(paths.count)
              result[item] = paths[entry.category.joined(separator: " > "), default: next]
              paths[entry.category.joined(separator: " > ")] = result[item]
            }
          }
        }
      }
    }
    return result
  }

  public func user(row: Int) -> String { ledger.key(insights.table.customers[row]) }

  /// Calls `body` with each customer, sorted by key.
  public func forEachCustomer(_ body: (_ user: String, CustomerInsight) throws -> Void) rethrows {
    for row in insights.table.customers.indices { try body(user(row: row), insights.insight(row: row)) }
  }

  // MARK: rules in words

  /// What explains buying.
  public var purchaseRules: [String] {
    guard let tree = insights.tree else { return [] }
    return ruleTexts(tree, features: Feature.allCases) { rule in
      "\(rule.rows) customers, \(percent(Double(rule.counts[1]) / Double(max(1, rule.rows)))) bought"
    }
  }

  /// What tells the segments apart.
  public var segmentRules: [String] {
    guard let segmentation = insights.segmentation else { return [] }
    return ruleTexts(segmentation.tree, features: Segmentation.features) { rule in
      let best = rule.counts.indices.max { rule.counts[$0] < rule.counts[$1] } ?? 0
      let name = best < segmentation.profiles.count ? segmentation.profiles[best].name : ""
      return "\(name) (\(percent(Double(rule.counts[best]) / Double(max(1, rule.rows)))) of \(rule.rows))"
    }
  }
}
