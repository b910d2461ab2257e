// `affinityd replay`: the engine over a log, without Kafka.
import ArgumentParser
import Daemon
import Engine

struct ReplayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Runs the engine over a log, without Kafka, and writes each output topic as JSON lines.",
    discussion: """
      FILE holds JSON lines (partition = its place here, offset = line number) or records as `kcat -C -J` prints \
      them. Several files are merged by event time, then file, then line. Same input, same bytes, with any number \
      of threads; only metrics.jsonl holds durations.
      """)

  @Argument(help: "Logs.") var files: [String]
  @Option(help: "Folder for recommendations.jsonl, neighbours.jsonl, rules.jsonl, popular.jsonl, models.jsonl, dead-letters.jsonl, receipts.jsonl and metrics.jsonl.")
  var out: String
  @Option(help: "When models are made: a duration of event time, `end` (one, after the last event), or `recorded:FILE` (as the records of the models topic in FILE say).")
  var ticks: TicksArgument = TicksArgument(ticks: .every(86_400_000))
  @Flag(help: "Only the last state of each key, sorted by key, nulls left out.") var final = false
  @Flag(inversion: .prefixedNo, help: "Make recommendation lists.") var recommendations = true
  @Option(help: "Catalogue lines ({\"item\":…,\"title\":…}); may be given several times.")
  var catalogue: [String] = []
  @Option(help: "Threads that build models; by default model.threads.") var threads: Int?
  @OptionGroup var settings: ConfigurationArguments
  @Flag(help: "The summary as one JSON object.") var json = false

  func run() throws {
    let configuration = try settings.load()
    var options = ReplayOptions()
    options.engine = configuration.engine
    options.limits = configuration.eventLimits
    options.eventsTopic = configuration.topics.events
    options.files = files
    options.directory = out
    options.ticks = ticks.ticks
    options.isFinal = final
    options.writesRecommendations = recommendations
    options.catalogues = catalogue
    options.threads = threads ?? configuration.engine.threads
    let bar = ProgressBar("replay")
    defer { bar.clear() }
    let replay = try Replay(options) { done, total in bar.show(done, of: total) }
    let summary = try replay.run()
    bar.clear()
    print(json ? summary.json : summary.text(out))
  }
}

/// `1d`, `6h`, or `end`.
struct TicksArgument: ExpressibleByArgument {
  var ticks: ReplayTicks

  init(ticks: ReplayTicks) { self.ticks = ticks }
  init?(argument: String) {
    if argument == "end" {
      ticks = .end
      return
    }
    if argument.hasPrefix("recorded:"), argument.count > 9 {
      ticks = .recorded(String(argument.dropFirst(9)))
      return
    }
    guard let duration = DurationArgument(argument: argument), duration.milliseconds > 0 else {
      return nil
    }
    ticks = .every(duration.milliseconds)
  }
  var defaultValueDescription: String {
    switch ticks {
    case .end: "end"
    case .recorded(let path): "recorded:\(path)"
    case .every(let ms): DurationArgument(milliseconds: ms).defaultValueDescription
    }
  }
}
