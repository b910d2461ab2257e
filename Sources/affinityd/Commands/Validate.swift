// `affinityd validate`: is this log good, is this configuration good.
import ArgumentParser
import Daemon
import Events

struct ValidateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "validate",
    abstract: "Tells the quality of a log, or all that is wrong with a configuration.",
    discussion: """
      With FILE: counts by type and by reject reason, time span, users, items and orders, duplicates, and how far \
      out of order the log is. Exit status 1 if anything is rejected.
      Without: checks the configuration of file, environment and flags. Exit status 2 if anything is wrong.
      """)

  @OptionGroup var settings: ConfigurationArguments
  @Argument(help: "Logs: JSON lines, or records as kcat -C -J prints them.") var files: [String] =
    []
  @Flag(help: "The log's quality as one JSON object.") var json = false
  @Flag(help: "Print the configuration in force, secrets left out.") var effective = false
  @Flag(help: "List every key of the configuration.") var keys = false
  @Flag(name: .customLong("print-table"), help: "The same as the README's table.")
  var printTable = false

  func run() throws {
    if keys || printTable {
      print(printTable ? Configuration.markdownTable : Configuration.keyHelp)
      return
    }
    let configuration = try settings.load()
    if effective {
      print(configuration.effectiveText, terminator: "")
    } else if files.isEmpty {
      print("\(settings.file ?? "the configuration"): good")
    }
    if files.isEmpty { return }

    let bar = ProgressBar("validate")
    var quality = LogQuality()
    try quality.read(
      files, limits: configuration.eventLimits, futureTolerance: configuration.engine.futureTolerance
    ) { bar.show($0, of: $1) }
    bar.clear()
    if json { print(quality.json) } else { tell(quality) }
    if quality.rejected > 0 { throw ExitCode(1) }
  }

  private func tell(_ q: borrowing LogQuality) {
    func row(_ value: Int, _ label: String) {
      let text = grouped(value)
      print(String(repeating: " ", count: max(1, 14 - text.count)) + text + "  " + label)
    }
    func share(_ value: Int) -> String {
      let tenths = q.events == 0 ? 0 : (value * 1000 + q.events / 2) / q.events
      return "\(tenths / 10).\(tenths % 10) %"
    }
    row(q.records, "records")
    row(q.events, "events")
    for type in EventType.allCases where q.typeCounts[Int(type.rawValue)] > 0 {
      row(q.typeCounts[Int(type.rawValue)], "  \(type.name)")
    }
    row(q.rejected, "rejected")
    for reason in RejectReason.allCases where q.rejectCounts[Int(reason.rawValue)] > 0 {
      row(q.rejectCounts[Int(reason.rawValue)], "  \(reason.code)")
    }
    if q.unknownTypes > 0 { row(q.unknownTypes, "of an unknown type, passed over") }
    if q.nulls > 0 { row(q.nulls, "null values (erasures)") }
    row(q.users, "users")
    row(q.anonymous, "events without a user (\(share(q.anonymous)))")
    row(q.sessions, "sessions")
    row(q.orders, "orders")
    row(
      q.items, "items, in \(grouped(q.itemLines)) lines; largest event \(grouped(q.largestEvent))")
    row(q.duplicates, "duplicates (\(share(q.duplicates)))")
    row(
      q.outOfOrder,
      "out of order (\(share(q.outOfOrder)))"
        + (q.outOfOrder > 0 ? ", by \(DurationText.rounded(q.largestDelay)) at most" : ""))
    if q.purchasesWithoutOrder > 0 { row(q.purchasesWithoutOrder, "purchases without an order") }
    if q.refundsWithoutOrder > 0 {
      row(q.refundsWithoutOrder, "refunds of orders that are not in the log")
    }
    if let range = q.timeRange {
      print("from \(EventTime.string(range.lowerBound)) to \(EventTime.string(range.upperBound))")
    }
    for example in q.examples { print(example) }
    if q.rejected > q.examples.count {
      print("… and \(grouped(q.rejected - q.examples.count)) more")
    }
  }
}
