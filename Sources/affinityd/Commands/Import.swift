// `affinityd import FORMAT FILE`: a foreign log as JSON lines, sorted by time.
import ArgumentParser
import Events
import Importers
import Sparse

enum ImportFormat: String, CaseIterable, ExpressibleByArgument {
  case csv, tsv, retailrocket, movielens, personalize, fimi, segment, ga4
  case onlineRetail = "online-retail"
  case googleRetail = "google-retail"
  case personalizeEvents = "personalize-events"
}

struct ImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Turns a foreign log into events: JSON lines sorted by time.",
    discussion: """
      FORMAT is csv or tsv (with --map), retailrocket, movielens (ratings.csv, u.data or ratings.dat), \
      online-retail (UCI), fimi (a basket a line), personalize (an interactions CSV), or JSON lines of segment \
      (e-commerce v2), ga4 (BigQuery export or Measurement Protocol), google-retail (UserEvent) and \
      personalize-events (PutEvents). FILE may be compressed by gzip; - is standard input. \
      Rows that become no event are counted by reason; the counts go to standard error.

      A mapping for csv and tsv names a column for each field, or a constant:
        affinityd import csv orders.csv --time-format 'dd/MM/yyyy HH:mm' \\
          --map 'user=Customer,order=Invoice,item=SKU,time=Date,type:=purchase,quantity=Qty,price=Price'
      Fields: \(ImportField.allCases.map(\.rawValue).joined(separator: ", ")). \
      Wanted are time, type, item and one of user, session and order. Rows of one order, type and time become \
      one event. Times without a zone are UTC.
      """)

  @Argument(help: "One of the formats above.") var format: ImportFormat
  @Argument(help: "The log, plain or gzip; - is standard input.") var file: String

  @Option(help: "Where the events go; - is standard output.") var out = "-"
  @Option(help: "Keep the rejected rows here: JSON lines with line, reason and text.")
  var rejects: String?
  @Option(help: "Write the items' most frequent titles here, as messages of shop.catalogue.")
  var catalogue: String?
  @Flag(help: "The report as JSON (on standard output if the events go elsewhere).") var json =
    false

  @Option(help: "csv, tsv: FIELD=COLUMN or FIELD:=CONSTANT, separated by commas. Repeatable.")
  var map: [String] = []
  @Option(
    help: "csv, tsv: iso, s, ms, us, or a pattern such as 'yyyy-MM-dd HH:mm:ss'.")
  var timeFormat = "iso"
  @Option(help: "csv, tsv: the log's words for types, WORD=TYPE separated by commas.")
  var types: [String] = []
  @Flag(name: .customLong("no-header"), help: "csv, tsv: no header; columns are numbers from 1.")
  var noHeader = false
  @Option(help: "csv: another delimiter, one character.") var delimiter: String?

  @Flag(help: "online-retail: leave cancellations out.") var withoutRefunds = false
  @Flag(help: "online-retail: keep cancellations that match no earlier purchase.")
  var keepUnmatched = false
  @Option(help: "fimi: the first basket's time; each is a second after the one before.")
  var start = TimeArgument(milliseconds: 1_767_225_600_000)

  func validate() throws {
    let isTable = format == .csv || format == .tsv
    if isTable && map.isEmpty { throw ValidationError("import \(format.rawValue) needs --map") }
    if !isTable && !(map.isEmpty && types.isEmpty && !noHeader && delimiter == nil) {
      throw ValidationError("--map, --types, --no-header and --delimiter are for csv and tsv")
    }
    if format != .onlineRetail && (withoutRefunds || keepUnmatched) {
      throw ValidationError("--without-refunds and --keep-unmatched are for online-retail")
    }
    if withoutRefunds && keepUnmatched {
      throw ValidationError("--without-refunds or --keep-unmatched, not both")
    }
  }

  func run() throws {
    do {
      try convert()
    } catch let error as ImportError {
      if case .wrongUse(let text) = error { throw CommandFailure.usage(text) }
      throw CommandFailure.failed(error.description)
    }
  }

  private func convert() throws {
    let kept = try rejects.map { try RejectFile($0) }
    var log = ImportLog(onReject: kept.map { file in { try file.write($0) } })
    let source = try ByteSource(file)
    var progress = Progress("import")
    let report: (Int) throws -> Void = { position in
      progress.update(position, of: source.size, "\(grouped(position >> 20)) MiB")
    }
    switch format {
    case .csv, .tsv: try importCSV(source, try mapping(), into: &log, progress: report)
    case .retailrocket: try importCSV(source, .retailRocket, into: &log, progress: report)
    case .movielens:
      let mapping = CSVMapping.movieLens(firstLine: try firstLine())
      try importCSV(source, mapping, into: &log, progress: report)
    case .personalize:
      let mapping = CSVMapping.personalize(hasType: try firstLine().contains("EVENT_TYPE"))
      try importCSV(source, mapping, into: &log, progress: report)
    case .onlineRetail:
      let refunds: OnlineRetailRefunds =
        withoutRefunds ? .leftOut : keepUnmatched ? .matchedOrKept : .matched
      try importOnlineRetail(source, refunds: refunds, into: &log, progress: report)
    case .fimi:
      try importFIMI(source, start: start.milliseconds, into: &log, progress: report)
    case .segment: try importJSON(source, .segment, into: &log, progress: report)
    case .ga4: try importJSON(source, .ga4, into: &log, progress: report)
    case .googleRetail: try importJSON(source, .googleRetail, into: &log, progress: report)
    case .personalizeEvents: try importJSON(source, .personalize, into: &log, progress: report)
    }
    progress.clear()
    try kept?.close()

    var events = try OutputFile(out)
    try log.forEachLine { line in
      events.buffer.append(bytes: line)
      try events.spill()
    }
    try events.finish()
    if let catalogue {
      var products = try OutputFile(catalogue)
      for (item, title) in log.titles.titles {
        products.buffer.append("{\"item\":")
        products.buffer.append(quoted: item)
        products.buffer.append(",\"title\":")
        products.buffer.append(quoted: title)
        products.buffer.append("}\n")
        try products.spill()
      }
      try products.finish()
    }
    try tell(log)
  }

  private func mapping() throws -> CSVMapping {
    var mapping = CSVMapping()
    mapping.delimiter = format == .tsv ? "\t" : ","
    // Tab-separated files seldom quote, and their texts hold quotes: RFC 4180 is for commas.
    if format == .tsv { mapping.quoting = .none }
    if let delimiter { mapping.delimiter = delimiter == "\\t" ? "\t" : delimiter }
    mapping.hasHeader = !noHeader
    for text in map { try mapping.map(text) }
    guard let format = TimeFormat(timeFormat) else {
      throw CommandFailure.usage(
        "--time-format \(timeFormat): iso, s, ms, us, or a pattern of yyyy MM dd HH mm ss SSS")
    }
    mapping.timeFormat = format
    for part in types.flatMap({ $0.split(separator: ",") }) {
      guard let equals = part.lastIndex(of: "="),
        let kind = EventType(name: String(part[part.index(after: equals)...])), kind != .erase
      else {
        let known = EventType.allCases.filter { $0 != .erase }.map(\.name).joined(separator: ", ")
        throw CommandFailure.usage("--types \(part): WORD=TYPE; there are \(known)")
      }
      mapping.types[String(part[..<equals])] = kind
    }
    return mapping
  }

  /// The file is opened once more for it: which MovieLens this is shows there.
  private func firstLine() throws -> String {
    if file == "-" { throw CommandFailure.usage("import \(format.rawValue) needs a file, not -") }
    var reader = RecordReader(try ByteSource(file), delimiter: 0, quoting: .none)
    return try reader.next() ? String(decoding: reader.text, as: UTF8.self) : ""
  }

  private func tell(_ log: borrowing ImportLog) throws {
    var text = ByteWriter()
    if json {
      text.append("{\"rows\":")
      text.append(log.rows)
      text.append(",\"events\":")
      text.append(log.eventCount)
      text.append(",\"items\":")
      text.append(log.items)
      text.append(",\"anonymous\":")
      text.append(log.anonymousEvents)
      if let range = log.timeRange {
        text.append(",\"first\":")
        text.append(Int(range.lowerBound))
        text.append(",\"last\":")
        text.append(Int(range.upperBound))
      }
      text.append(",\"types\":{")
      for (i, entry) in log.types.enumerated() {
        if i > 0 { text.append(",") }
        text.append(quoted: entry.type.name)
        text.append(":")
        text.append(entry.count)
      }
      text.append("},\"rejected\":{")
      for (i, reject) in log.rejects.enumerated() {
        if i > 0 { text.append(",") }
        text.append(quoted: reject.reason.rawValue)
        text.append(":")
        text.append(reject.count)
      }
      text.append("}}")
      if out == "-" { complain(text.string) } else { print(text.string) }
      return
    }
    var lines = [
      "\(grouped(log.rows)) rows: \(grouped(log.eventCount)) events with \(grouped(log.items)) items"
    ]
    for entry in log.types { lines.append("  \(pad(entry.count)) \(entry.type.name)") }
    if log.anonymousEvents > 0 {
      lines.append("  \(pad(log.anonymousEvents)) of them without a user")
    }
    if let range = log.timeRange {
      lines.append(
        "  from \(EventTime.string(range.lowerBound)) to \(EventTime.string(range.upperBound))")
    }
    lines.append("\(grouped(log.rejectCount)) rows rejected")
    for reject in log.rejects { lines.append("  \(pad(reject.count)) \(reject.reason.rawValue)") }
    complain(lines.joined(separator: "\n"))
  }

  private func pad(_ value: Int) -> String {
    let text = grouped(value)
    return String(repeating: " ", count: max(0, 11 - text.count)) + text
  }
}

/// Rejected rows as JSON lines.
final class RejectFile {
  private var file: OutputFile?

  init(_ path: String) throws { file = try OutputFile(path) }

  func write(_ reject: ImportReject) throws {
    guard file != nil else { return }
    file!.buffer.append("{\"line\":")
    file!.buffer.append(reject.line)
    file!.buffer.append(",\"reason\":")
    file!.buffer.append(quoted: reject.reason.rawValue)
    file!.buffer.append(",\"text\":")
    file!.buffer.append(quoted: reject.text)
    file!.buffer.append("}\n")
    try file!.spill()
  }

  func close() throws {
    if let file = file.take() { try file.finish() }
  }
}
