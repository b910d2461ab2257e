// Any delimited log by a mapping of columns, and the formats that are such logs: RetailRocket's
// events.csv and MovieLens.
import Events
import Sparse

/// What a column of the log means.
public enum ImportField: String, CaseIterable, Sendable {
  case time, type, user, session, order, item, quantity, price, value, currency, id
  case recommendation, ordered, title
}

/// Where a field's value comes from.
public enum ImportColumn: Sendable, Equatable {
  /// A name in the header.
  case named(String)
  /// A place, from 0.
  case at(Int)
  /// The same for every row.
  case constant(String)
}

public struct CSVMapping: Sendable {
  /// One delimiter byte, or two equal ones (MovieLens' "::").
  public var delimiter: String = ","
  public var quoting = RecordReader.Quoting.doubleQuotes
  public var hasHeader = true
  public var columns: [ImportField: ImportColumn] = [:]
  public var timeFormat = TimeFormat.iso
  /// The log's words for types, if they differ from ours.
  public var types: [String: EventType] = [:]

  public init() {}

  /// `user=COLUMN,item=COLUMN,type:=purchase,…`: a column is a header's name, or its number from 1
  /// where there is no header (or no such name).
  public mutating func map(_ text: String) throws(ImportError) {
    for part in text.split(separator: ",", omittingEmptySubsequences: true) {
      guard let equals = part.firstIndex(of: "=") else {
        throw .wrongUse("--map \(part): wanted FIELD=COLUMN or FIELD:=CONSTANT")
      }
      var name = part[..<equals]
      let value = String(part[part.index(after: equals)...])
      let isConstant = name.hasSuffix(":")
      if isConstant { name = name.dropLast() }
      guard let field = ImportField(rawValue: String(name)) else {
        let known = ImportField.allCases.map(\.rawValue).joined(separator: ", ")
        throw .wrongUse("--map \(part): no field \(name); there are \(known)")
      }
      if columns[field] != nil { throw .wrongUse("--map \(part): \(name) is mapped twice") }
      if value.isEmpty { throw .wrongUse("--map \(part): empty") }
      columns[field] = isConstant ? .constant(value) : .named(value)
    }
  }

  /// RetailRocket's events.csv (EVENT-FORMATS §6).
  public static let retailRocket: CSVMapping = {
    var m = CSVMapping()
    m.columns = [
      .time: .named("timestamp"), .user: .named("visitorid"), .type: .named("event"),
      .item: .named("itemid"), .order: .named("transactionid"),
    ]
    m.timeFormat = .milliseconds
    m.types = ["view": .view, "addtocart": .cart, "transaction": .purchase]
    return m
  }()

  /// The three ways MovieLens is published, told by the first line: ratings.csv with its header,
  /// u.data with tabs, ratings.dat with "::".
  public static func movieLens(firstLine: String) -> CSVMapping {
    var m = CSVMapping()
    m.timeFormat = .seconds
    if firstLine.hasPrefix("userId") {
      m.columns = [
        .user: .named("userId"), .item: .named("movieId"), .value: .named("rating"),
        .time: .named("timestamp"),
      ]
    } else {
      m.hasHeader = false
      m.quoting = .none
      m.delimiter = firstLine.contains("::") ? "::" : firstLine.contains("\t") ? "\t" : ","
      m.columns = [.user: .at(0), .item: .at(1), .value: .at(2), .time: .at(3)]
    }
    m.columns[.type] = .constant("rating")
    return m
  }

  /// Types are the sender's own words; these are the ones Amazon's pages and examples use.
  static let personalizeTypes: [String: EventType] = [
    "View": .view, "view": .view, "Click": .click, "click": .click, "Purchase": .purchase,
    "purchase": .purchase, "AddToCart": .cart, "add_to_cart": .cart, "Watch": .view,
    "watch": .view, "Like": .like, "like": .like,
  ]

  /// Amazon Personalize's interactions data set (EVENT-FORMATS §4).
  public static func personalize(hasType: Bool) -> CSVMapping {
    var m = CSVMapping()
    m.columns = [
      .user: .named("USER_ID"), .item: .named("ITEM_ID"), .time: .named("TIMESTAMP"),
      .type: hasType ? .named("EVENT_TYPE") : .constant("view"),
    ]
    m.timeFormat = .seconds
    m.types = personalizeTypes
    return m
  }
}

/// Reads a delimited log into events. Rows that share an order, a type and a time (and user and
/// session) become one event with several items, where the first of them stood.
/// - Parameter progress: told now and then how many bytes of the file are behind us.
public func importCSV(
  _ source: ByteSource, _ mapping: CSVMapping, into log: inout ImportLog,
  progress: (Int) throws -> Void = { _ in }
) throws {
  guard mapping.delimiter.utf8.count == 1 || mapping.delimiter == "::",
    let delimiter = mapping.delimiter.utf8.first, delimiter != 10, delimiter != 13, delimiter != 34
  else { throw ImportError.wrongUse("delimiter \"\(mapping.delimiter)\": one character") }
  // "::" is ":" with an empty field between any two.
  let stride = mapping.delimiter == "::" ? 2 : 1
  var reader = RecordReader(source, delimiter: delimiter, quoting: mapping.quoting)
  let columns = try CSVColumns(mapping, &reader, stride: stride)

  var orders = OrderGroups()
  while try reader.next() {
    log.rows += 1
    if log.rows & 0xffff == 0 { try progress(source.position) }
    if let reason = columns.read(reader, mapping, into: &log, &orders) {
      try log.reject(reason, line: reader.line, reader.text)
    }
  }
  orders.flush(into: &log)
}

/// The mapping resolved against a file's header.
private struct CSVColumns: ~Copyable {
  enum Source {
    case none
    case at(Int)
    case constant(Range<Int>)
  }
  private var sources: [Source] = []
  private var constants = ByteWriter()
  /// A row must have this many fields: up to the last of time, type, item and the ids mapped.
  private var needed = 0

  init(_ mapping: CSVMapping, _ reader: inout RecordReader, stride: Int) throws {
    var header: [String] = []
    if mapping.hasHeader {
      guard try reader.next() else { throw ImportError.wrongFormat("\(reader.source.path): empty") }
      for i in Swift.stride(from: 0, to: reader.fieldCount, by: stride) {
        header.append(String(decoding: trim(reader.field(i)), as: UTF8.self))
      }
    }
    var missing: [String] = []
    for field in ImportField.allCases {
      switch mapping.columns[field] {
      case nil: sources.append(.none)
      case .constant(let text):
        let start = constants.count
        constants.append(text: text)
        sources.append(.constant(start..<constants.count))
      case .at(let place): sources.append(.at(place * stride))
      case .named(let name):
        if let place = header.firstIndex(of: name) {
          sources.append(.at(place * stride))
        } else if let number = Int(name), number >= 1,
          !mapping.hasHeader || number <= header.count
        {
          sources.append(.at((number - 1) * stride))
        } else {
          missing.append(name)
          sources.append(.none)
        }
      }
      if case .at(let place) = sources[sources.count - 1], field != .title {
        needed = max(needed, place + 1)
      }
    }
    if !missing.isEmpty {
      let names = missing.map { "\"\($0)\"" }.joined(separator: ", ")
      throw ImportError.wrongFormat(
        mapping.hasHeader
          ? "\(reader.source.path): no column \(names); the header has \(header.joined(separator: ", "))"
          : "\(names): columns are numbers where there is no header")
    }
    func has(_ field: ImportField) -> Bool { mapping.columns[field] != nil }
    var lacking: [String] = []
    for field in [ImportField.time, .type, .item] where !has(field) {
      lacking.append(field.rawValue)
    }
    if !has(.user) && !has(.session) && !has(.order) { lacking.append("user, session or order") }
    if !lacking.isEmpty {
      throw ImportError.wrongUse("--map lacks \(lacking.joined(separator: ", "))")
    }
  }

  /// The field's text without surrounding spaces, empty where there is none.
  private func text(_ field: ImportField, _ reader: borrowing RecordReader)
    -> UnsafeRawBufferPointer
  {
    switch sources[field.index] {
    case .none: .absent
    case .at(let place): trim(reader.field(place))
    case .constant(let range): UnsafeRawBufferPointer(rebasing: constants.bytes[range])
    }
  }

  /// Takes the row in, or says why not.
  func read(
    _ reader: borrowing RecordReader, _ mapping: CSVMapping, into log: inout ImportLog,
    _ orders: inout OrderGroups
  ) -> ImportReason? {
    if reader.isMalformed { return .malformed }
    // The last fields may be left off where they are empty anyway (an order id, say).
    if reader.fieldCount < needed
      && (text(.item, reader).isEmpty || text(.time, reader).isEmpty)
    {
      return .tooFewFields
    }
    let word = text(.type, reader)
    let type: EventType
    if let mapped = mapping.types[String(decoding: word, as: UTF8.self)] {
      type = mapped
    } else if mapping.types.isEmpty,
      let known = EventType(name: String(decoding: word, as: UTF8.self)), known != .erase
    {
      type = known
    } else {
      return .unknownType
    }
    guard let time = mapping.timeFormat.parse(text(.time, reader)) else { return .badTime }
    let item = text(.item, reader)
    if item.isEmpty { return .missingItem }
    var event = ImportedEvent(type: type, time: time)
    event.user = text(.user, reader)
    event.session = text(.session, reader)
    event.order = text(.order, reader)
    if event.user.isEmpty && event.session.isEmpty && event.order.isEmpty { return .missingUser }
    event.id = text(.id, reader)
    event.currency = text(.currency, reader)
    event.recommendation = text(.recommendation, reader)
    var amount: Int64 = 1
    var cost: Double?
    let quantity = text(.quantity, reader)
    if !quantity.isEmpty {
      guard let n = parseWhole(quantity) else { return .badQuantity }
      if n < 1 { return .nonPositiveQuantity }
      amount = Int64(n)
    }
    let price = text(.price, reader)
    if !price.isEmpty {
      guard let p = parseNumber(price) else { return .badPrice }
      if p < 0 { return .negativePrice }
      cost = p
    }
    let value = text(.value, reader)
    if !value.isEmpty {
      guard let v = parseNumber(value) else { return .badValue }
      event.value = v
    } else if type == .rating {
      return .badValue
    }
    let ordered = text(.ordered, reader)
    if !ordered.isEmpty {
      guard let t = mapping.timeFormat.parse(ordered) else { return .badTime }
      event.ordered = t
    }
    log.titles.count(item, text(.title, reader))
    let line = EventItem(id: item, quantity: amount, price: cost)
    if event.order.isEmpty {
      log.append(event, item: line)
    } else {
      orders.add(event, line)
    }
    return nil
  }
}

extension ImportField {
  fileprivate var index: Int {
    switch self {
    case .time: 0
    case .type: 1
    case .user: 2
    case .session: 3
    case .order: 4
    case .item: 5
    case .quantity: 6
    case .price: 7
    case .value: 8
    case .currency: 9
    case .id: 10
    case .recommendation: 11
    case .ordered: 12
    case .title: 13
    }
  }
}
