// `affinityd insights`: customer analysis of a log as of a time.
import ArgumentParser
import Customers
import Daemon
import Sparse

struct InsightsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "insights",
    abstract: "Segments, purchase probabilities and expected values of a log's customers, and why.",
    discussion: """
      FILE holds JSON lines or records as `kcat -C -J` prints them. Models are trained on the log's own past: features as of a horizon \
      before TIME, what customers did in the horizon after it, never a look ahead. A model that is worse than its \
      baseline is not published, and the reason is. Same input, same bytes, with any number of threads.
      """)

  @Argument(help: "Logs.") var files: [String]
  @Option(name: .customLong("as-of"), help: "The time to look from: only events before it count. By default just after the last event.")
  var asOf: TimeArgument?
  @Option(help: "How far predictions look ahead.") var horizon = DurationArgument(milliseconds: 90 * CustomerLedger.day)
  @Option(help: "Fewest and most segments: 3-8.") var segments = RangeArgument(range: 3...8)
  @Option(name: .customLong("segments-by"), help: "How their number is chosen: silhouette or gap.")
  var segmentsBy = ClusterCount.Choice.silhouette
  @Option(help: "Seed of the clustering.") var seed: UInt64 = 1
  @Option(help: "Catalogue lines ({\"item\":…,\"category\":…}); may be given several times.")
  var catalogue: [String] = []
  @Flag(help: "Everything as one JSON object.") var json = false
  @Flag(help: "One line a customer, comma separated.") var csv = false
  @Flag(help: "A page with segments, calibration and trees drawn.") var html = false
  @Option(help: "Where it goes; standard output by default.") var out: String?
  @Option(help: "Threads; changes no output. By default model.threads.") var threads: Int?
  @OptionGroup var settings: ConfigurationArguments

  func validate() throws {
    if [json, csv, html].filter({ $0 }).count > 1 { throw ValidationError("one of --json, --csv and --html") }
    if horizon.milliseconds < CustomerLedger.day || horizon.milliseconds > 3650 * CustomerLedger.day {
      throw ValidationError("--horizon: 1d to 3650d")
    }
  }

  func run() throws {
    let configuration = try settings.load()
    var options = InsightOptions()
    options.files = files
    options.catalogues = catalogue
    options.asOf = asOf?.milliseconds
    options.limits = configuration.eventLimits
    options.futureTolerance = configuration.engine.futureTolerance
    options.threads = threads ?? configuration.engine.threads
    options.settings.horizon = horizon.milliseconds
    options.settings.segments = segments.range
    options.settings.segmentsBy = segmentsBy
    options.settings.seed = seed
    let bar = ProgressBar("insights")
    defer { bar.clear() }
    let run = try InsightRun(options) { bar.show($0, of: $1) }
    bar.clear()
    var file = try OutputFile(out)
    try write(run, &file)
    try file.finish()
    if run.rejected > 0 {
      complain("\(grouped(run.rejected)) of \(grouped(run.records)) records are no events: affinityd validate tells why")
    }
    if run.currencies.count > 1 {
      complain("amounts in \(run.currencies.joined(separator: ", ")) are not converted")
    }
  }
}

extension InsightsCommand {
  private func write(_ run: InsightRun, _ file: inout OutputFile) throws {
    if json {
      try run.writeJSON {
        file.buffer.append(bytes: $0)
        try file.spill()
      }
    } else if csv {
      try run.writeCSV {
        file.buffer.append(bytes: $0)
        try file.spill()
      }
    } else {
      file.buffer.append(text: html ? run.page : run.text + "\n")
    }
  }
}

/// `3-8`, or one number.
struct RangeArgument: ExpressibleByArgument {
  var range: ClosedRange<Int>

  init(range: ClosedRange<Int>) { self.range = range }
  init?(argument: String) {
    let parts = argument.split(separator: "-").compactMap { Int($0) }
    guard let low = parts.first, let high = parts.last, parts.count <= 2, low >= 1, low <= high, high <= 64 else {
      return nil
    }
    range = low...high
  }
  var defaultValueDescription: String { "\(range.lowerBound)-\(range.upperBound)" }
}

extension ClusterCount.Choice: ExpressibleByArgument {}
