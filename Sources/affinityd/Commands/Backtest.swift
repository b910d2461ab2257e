// `affinityd backtest`: how good a configuration would have been on a log.
import ArgumentParser
import Daemon
import Evaluation
import Foundation
import Recommender

struct BacktestCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backtest",
    abstract: "Tells how good a configuration would have been on a log: numbers with intervals, and pictures.",
    discussion: """
      The daemon's engine reads the log (as `replay` does) and is asked before each event what it would recommend. \
      Without --test every event is first a question, then a lesson. With --test the log is split at a time: one model \
      before, questions after it; with --online models go on being made.
      Beside the configuration's lists there are always the most popular items, the trending ones and the last item's \
      neighbours. Intervals are by bootstrap over customers.
      --protocol runs one of the fixed comparisons with published models instead: their split, ties and counting.
      """)

  @Argument(help: "Logs: JSON lines, or records as kcat -C -J prints them.") var files: [String]
  @OptionGroup var settings: ConfigurationArguments
  @OptionGroup var asked: QuestionArguments
  @Option(help: "What is held back: a share of the events (20%), a duration from the end (30d), or all from a time on.")
  var test: TestPart?
  @Flag(help: "With --test: models go on being made at the ticks.") var online = false
  @Option(help: "Event time between models.") var ticks = DurationArgument(milliseconds: 7 * 86_400_000)
  @Option(help: "One question in so many.") var every = 1
  @Option(help: "Another configuration for the same questions, with a paired test.") var against: String?
  @Option(help: "Catalogue lines; may be given several times.") var catalogue: [String] = []
  @Option(help: "Threads; by default model.threads.") var threads: Int?
  @Option(name: .customLong("protocol"), help: "p1-new, p1-all, p2 or p3.") var qualityProtocol: QualityProtocol?
  @Option(help: "With --protocol p2: hide a random item instead of the last, by this many seeds.") var randomSeeds = 0
  @Option(help: "A page with plots, in one file.") var html: String?
  @Flag(help: "The report as one JSON object.") var json = false

  func validate() throws {
    if every < 1 { throw ValidationError("--every \(every): at least 1") }
    if online && test == nil { throw ValidationError("--online needs --test: without a split models are always made") }
    if asked.hit == .period && test == nil { throw ValidationError("--hit period needs --test") }
    if qualityProtocol != nil && (html != nil || against != nil || test != nil) {
      throw ValidationError("--protocol fixes the split and has no page: leave out --html, --against and --test")
    }
    if randomSeeds != 0 && qualityProtocol != .p2 { throw ValidationError("--random-seeds goes with --protocol p2") }
    if randomSeeds < 0 { throw ValidationError("--random-seeds \(randomSeeds): at least 0") }
  }

  func run() throws {
    let configuration = try settings.load()
    let log = try read(files, configuration, behaviour: asked.behaviour)
    if let qualityProtocol { return try run(qualityProtocol, log, configuration) }
    var options = BacktestOptions()
    options.engine = configuration.engine
    options.catalogues = catalogue
    options.threads = threads ?? configuration.engine.threads
    options.ticks = max(1, ticks.milliseconds)
    options.rules = asked.rules
    options.rules.every = every
    options.seen = asked.seen
    if let test { options.split = .at(test.start(in: log), isOnline: online) }
    let start = Progress.now()
    let result = try run(log, options, "backtest")
    var report = BacktestReport(log, options, configuration: name(settings.file), result: result)
    if let against {
      var other = settings
      other.file = against
      options.engine = try other.load().engine
      let theirs = try run(log, options, "against \(against)")
      report.against = (
        name(against), theirs, result.compared(with: theirs, parallel: Threads.parallel(options.threads))
      )
    }
    report.seconds = Progress.now() - start
    if let html { try write(report.html, to: html) }
    print(json ? report.json : report.text)
    if let html, !json { print("page: \(html)") }
  }

  private func run(_ log: BacktestLog, _ options: BacktestOptions, _ label: String) throws -> BacktestResult {
    let bar = ProgressBar(label)
    defer { bar.clear() }
    return try BacktestRun(log, options).run { bar.show($0, of: $1) }
  }

  private func run(_ kind: QualityProtocol, _ log: BacktestLog, _ configuration: Configuration) throws {
    var options = ProtocolOptions()
    options.kind = kind
    options.engine = configuration.engine
    options.randomSeeds = randomSeeds
    options.threads = threads ?? configuration.engine.threads
    let bar = ProgressBar(kind.rawValue)
    let report = try ProtocolReport(log, options) { bar.show($0, of: $1) }
    bar.clear()
    print(json ? report.json : report.text)
  }

  private func name(_ file: String?) -> String { file.map { ($0 as NSString).lastPathComponent } ?? "the defaults" }
}

/// What is asked, for `backtest` and `tune`.
struct QuestionArguments: ParsableArguments {
  @Option(help: "What must be in the list: next-event, next-purchase, basket (the second half of one), or period (all the customer does after the split).")
  var hit = HitRule.nextPurchase
  @Option(help: "Answers count up to this long after the question.") var horizon: DurationArgument?
  @Option(name: .customLong("k"), help: "Lengths of lists, ascending; the last is the one of plots and tests.")
  var lengths = LengthsArgument(ks: [5, 10, 20])
  @Option(help: "Items the customer has bought: configured (recommend.exclude_purchased), excluded, or included.")
  var seen = SeenItems.configured
  @Option(help: "What is to be predicted: view, cart, purchase, like, impression or click; by default what the log is mainly about.")
  var behaviour: BehaviourArgument?

  var rules: BacktestRules {
    var rules = BacktestRules()
    rules.hit = hit
    rules.horizon = horizon?.milliseconds
    rules.ks = lengths.ks
    rules.mainK = lengths.ks[lengths.ks.count - 1]
    return rules
  }
}

/// Reads the log, with a bar.
func read(_ files: [String], _ configuration: Configuration, behaviour: BehaviourArgument?) throws -> BacktestLog {
  let bar = ProgressBar("read")
  defer { bar.clear() }
  return try BacktestLog(
    files, limits: configuration.eventLimits, topic: configuration.topics.events, engine: configuration.engine,
    main: behaviour?.behaviour, progress: { bar.show($0, of: $1) })
}

func write(_ text: String, to path: String) throws {
  var file = try OutputFile(path)
  file.buffer.append(text: text)
  try file.finish()
}

/// `20%`, `30d` or a time.
struct TestPart: ExpressibleByArgument {
  private enum Kind { case share(Double), last(Int64), from(Int64) }
  private let kind: Kind

  init?(argument: String) {
    if argument.hasSuffix("%") {
      guard let value = Double(argument.dropLast()), value > 0, value < 100 else { return nil }
      kind = .share(value / 100)
    } else if let duration = DurationArgument(argument: argument), duration.milliseconds > 0 {
      kind = .last(duration.milliseconds)
    } else if let time = TimeArgument(argument: argument) {
      kind = .from(time.milliseconds)
    } else {
      return nil
    }
  }

  func start(in log: BacktestLog) -> Int64 {
    switch kind {
    case .share(let share): log.time(atShare: 1 - share)
    case .last(let duration): log.times.upperBound - duration
    case .from(let time): time
    }
  }
}

/// `5,10,20`.
struct LengthsArgument: ExpressibleByArgument {
  var ks: [Int]
  init(ks: [Int]) { self.ks = ks }
  init?(argument: String) {
    ks = argument.split(separator: ",").compactMap { Int($0) }
    let isRising = zip(ks, ks.dropFirst()).allSatisfy { $0 < $1 }
    if ks.isEmpty || ks.count != argument.split(separator: ",").count || !isRising || ks[0] < 1 || ks[ks.count - 1] > 200 {
      return nil
    }
  }
  var defaultValueDescription: String { ks.map(String.init).joined(separator: ",") }
}

struct BehaviourArgument: ExpressibleByArgument {
  var behaviour: Behaviour
  init?(argument: String) {
    guard let found = Behaviour(name: argument) else { return nil }
    behaviour = found
  }
}

extension QualityProtocol: ExpressibleByArgument {}
extension HitRule: ExpressibleByArgument {}
extension SeenItems: ExpressibleByArgument {}
