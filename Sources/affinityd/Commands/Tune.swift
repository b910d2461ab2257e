// `affinityd tune`: looks for a better configuration, by backtests.
import ArgumentParser
import Daemon
import Evaluation
import Foundation

struct TuneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune",
    abstract: "Looks for a better configuration by backtests, and says whether it is one.",
    discussion: """
      The end of the log (--test) is held back: nothing of it is read while the search goes on, and it judges the \
      choice once. Before it, folds choose: successive halving over random changes of the given configuration, which \
      takes part itself. Where nothing is better than it beyond doubt, it is what comes out.
      Same seed, same result, with any number of threads. With --journal a search that was stopped goes on.
      """)

  @Argument(help: "Logs: JSON lines, or records as kcat -C -J prints them.") var files: [String]
  @OptionGroup var settings: ConfigurationArguments
  @OptionGroup var asked: QuestionArguments
  @Option(help: "What is held back: a share of the events (20%), a duration from the end (30d), or all from a time on.")
  var test: TestPart?
  @Option(help: "Configurations tried, the given one among them.") var configurations = 50
  @Option(help: "Stretches before what is held back, on which they are compared.") var folds = 3
  @Option(help: "What is to be high: recall, precision, hit_rate, ndcg, mrr or map.") var metric = AccuracyMetric.ndcg
  @Option(help: "Seed of the candidates.") var seed: UInt64 = 1
  @Option(help: "One question in so many.") var every = 1
  @Option(help: "Catalogue lines; may be given several times.") var catalogue: [String] = []
  @Option(help: "Runs side by side; by default one a core.") var threads: Int?
  @Option(help: "A file for results as they come; a search that finds its own goes on from it.") var journal: String?
  @Option(help: "The configuration found, as YAML for `run`.") var out: String?
  @Option(help: "A page on how it did on what was held back.") var html: String?
  @Flag(help: "The report as one JSON object.") var json = false

  func validate() throws {
    if !(2...10_000).contains(configurations) { throw ValidationError("--configurations \(configurations): 2 to 10000") }
    if !(1...20).contains(folds) { throw ValidationError("--folds \(folds): 1 to 20") }
    if every < 1 { throw ValidationError("--every \(every): at least 1") }
  }

  func run() throws {
    let configuration = try settings.load()
    let log = try read(files, configuration, behaviour: asked.behaviour)
    var options = TuneOptions()
    options.backtest.engine = configuration.engine
    options.backtest.catalogues = catalogue
    options.backtest.rules = asked.rules
    options.backtest.rules.every = every
    options.backtest.seen = asked.seen
    options.candidates = configurations
    options.folds = folds
    options.metric = metric
    options.seed = seed
    options.threads = max(1, threads ?? ProcessInfo.processInfo.activeProcessorCount)
    options.journal = journal
    options.outer = test.map { $0.start(in: log) } ?? log.time(atShare: 0.8)
    let start = Progress.now()
    var bar = Progress("tune")
    let search = try TuneRun(log, options) { try changed($0).engine }
    let name = settings.file.map { ($0 as NSString).lastPathComponent } ?? "the defaults"
    var report = try search.run(configuration: name) { state in
      bar.update(state.done, of: state.total, note(state))
    }
    bar.clear()
    report.seconds = Progress.now() - start
    if let out {
      let said = report.outerGain.map { "\(metric.title)@\(report.k) \($0.difference >= 0 ? "+" : "")\(String(format: "%.4f", $0.difference)) over \(name) on what was held back" }
      try write(
        TuneReport.yaml(try changed(report.chosen.changes), found: said ?? "nothing better than \(name)"), to: out)
    }
    if let html { try write(report.outerReport.html, to: html) }
    print(json ? report.json : report.text)
    if let out, out != "-", !json { print("configuration: \(out)") }
    if let html, html != "-", !json { print("page: \(html)") }
  }

  /// The configuration given, with these keys changed.
  private func changed(_ changes: [(key: String, value: String)]) throws -> Configuration {
    var settings = settings
    settings.set += changes.map { "\($0.key)=\($0.value)" }
    return try settings.load()
  }

  private func note(_ state: TuneProgress) -> String {
    guard let best = state.best, let start = state.start else { return "" }
    return "best \(metric.title) \(String(format: "%.4f", best)), given \(String(format: "%.4f", start))"
  }
}

extension AccuracyMetric: ExpressibleByArgument {}
