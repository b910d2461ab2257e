// Backtest and tune over simulated logs: figures against a plain twin that drives an engine of its own, the same result
// with any number of threads, nothing from behind a split, a journal that is gone on from.
import Daemon
import Engine
import Evaluation
import Events
import Foundation
import Recommender
import Sparse
import TestSupport
import Testing

@Suite(.serialized) struct BacktestTests {
  static let hour: Int64 = 3_600_000

  static func engine() -> EngineConfiguration {
    var engine = EngineConfiguration()
    engine.rules.minSupport = .init(numerator: 3, denominator: 1)
    for i in engine.relations.indices { engine.relations[i].minBoth = 1 }
    return engine
  }

  static func read(_ files: [String], main: Behaviour? = nil) throws -> BacktestLog {
    try BacktestLog(files, limits: EventLimits(), topic: "shop.events", engine: engine(), main: main)
  }

  static func options(_ split: BacktestSplit = .prequential) -> BacktestOptions {
    var options = BacktestOptions()
    options.engine = engine()
    options.split = split
    options.ticks = 12 * hour
    return options
  }

  /// What a twin finds: per question recall and reciprocal rank at 20, and how many lists each item stood in.
  struct Plain {
    var recall: [Double] = []
    var reciprocal: [Double] = []
    var asked: [Int] = []
    var exposures: [String: Int] = [:]
    var leftOut = 0
  }

  /// Drives an engine event by event; answers by looking through the rest of the log.
  static func twin(_ lines: [String], _ options: BacktestOptions) throws -> Plain {
    var configuration = options.engine
    configuration.recommend.on = []
    var engine = Engine(configuration)
    var builder = ModelBuilder(configuration)
    var outputs = Outputs()
    var answer = Answer(configuration)
    let batch = EventBatch()
    func decode(_ i: Int) -> EventView? {
      batch.reset()
      let bytes = Array(lines[i].utf8)
      if bytes.isEmpty { return nil }
      bytes.withUnsafeBytes { batch.append(value: $0) }
      return batch.event(at: 0)
    }
    let events = lines.indices.map { i in decode(i).map { Event($0) } }
    func asker(_ e: Event) -> String? {
      e.user.isEmpty ? e.session.isEmpty ? nil : "~" + e.session : e.user
    }
    var plain = Plain()
    var number = -1
    for i in lines.indices {
      guard let event = events[i], let view = decode(i) else {
        // An unknown type moves the time.
        if lines[i].contains("wave") { engine.skip(LogPosition(partition: 0, offset: Int64(i)), time: 1) }
        continue
      }
      let before = engine.streamTime
      var tick: Int64?
      switch options.split {
      case .prequential:
        if let before, event.time > before, event.time / options.ticks > before / options.ticks {
          tick = event.time / options.ticks * options.ticks
        }
      case .at(let split, _):
        if engine.model == nil, before != nil, event.time >= split { tick = split }
      }
      if let tick {
        engine.activate(
          builder.build(engine.seal(tick: tick), parallel: { n, f in for p in 0..<n { f(p) } }), into: &outputs)
      }
      let counts = event.type != .erase && (event.type != .rating || event.value != nil) && event.consent
      if counts { number += 1 }
      var isAsked = counts && engine.model != nil && asker(event) != nil
      if [.uncart, .refund, .impression, .erase].contains(event.type) { isAsked = false }
      if event.type == .rating && (event.value ?? 0) < 4 { isAsked = false }
      if case .at(let split, _) = options.split, event.time < split { isAsked = false }
      if isAsked {
        let next = events[i...].first { $0?.type == .purchase && $0?.consent == true && $0.flatMap(asker) == asker(event) }
        let wanted = next.flatMap { $0 }.map { Set($0.items.map(\.id)) } ?? []
        if !wanted.isEmpty, engine.ask(view, into: &answer) {
          let names = (0..<answer.items.count).map { engine.interactions.items.string(answer.items[$0]) }
          let excluded = Set((0..<answer.excluded.count).map { engine.interactions.items.string(answer.excluded[$0]) })
          let left = wanted.subtracting(excluded)
          plain.leftOut += wanted.count - left.count
          if !left.isEmpty {
            plain.recall.append(Double(left.intersection(names).count) / Double(left.count))
            plain.reciprocal.append(names.firstIndex { left.contains($0) }.map { 1 / Double($0 + 1) } ?? 0)
            plain.asked.append(number)
            for name in names { plain.exposures[name, default: 0] += 1 }
          }
        }
      }
      _ = engine.apply(view, at: LogPosition(partition: 0, offset: Int64(i)), clock: 0, into: &outputs)
      outputs.removeAll()
    }
    return plain
  }

  @Test(arguments: [(UInt64(3), true), (4, false)])
  func figuresEqualTwin(seed: UInt64, isPrequential: Bool) throws {
    let folder = try ReplayTests.Folder()
    let lines = ReplayTests.log(seed: seed)
    let log = try Self.read([try folder.write("log.jsonl", lines)], main: .purchase)
    let options = Self.options(isPrequential ? .prequential : .at(log.time(atShare: 0.6), isOnline: false))
    let result = try BacktestRun(log, options).run()
    let plain = try Self.twin(lines, options)
    #expect(plain.recall.count > 100)
    #expect(result.eventOf.map { Int($0) } == plain.asked)
    #expect(result.leftOut == plain.leftOut)
    let recall = AccuracyMetric.allCases.firstIndex(of: .recall) ?? 0
    let mrr = AccuracyMetric.allCases.firstIndex(of: .mrr) ?? 0
    #expect(result.samples[recall].values == plain.recall)
    #expect(result.samples[mrr].values == plain.reciprocal)
    let lists = try #require(result.systems.first { $0.system == .lists })
    let curve = try #require(lists.recallCurve.last)
    #expect(abs(curve - (Sample(plain.recall).mean ?? 0)) < 1e-12)
    #expect(lists.coverage.map { $0 * Double(log.log.items.liveCount) }.map { $0 + 0.5 > Double(plain.exposures.count) } == true)
    #expect(result.misses.reduce(0) { $0 + $1.count } > 0)
    #expect(abs(result.sources.reduce(0) { $0 + $1.ofListed } - 1) < 1e-9)
    #expect(result.overTime.reduce(0) { $0 + $1.questions } == result.questions)
    #expect(result.byHistory.reduce(0) { $0 + $1.questions } == result.questions)
    #expect(result.byPopularity.reduce(0) { $0 + $1.questions } == result.relevant)
  }

  /// What a question's list says is what the daemon publishes from the same rows and model.
  @Test func asksWhatIsPublished() throws {
    let lines = ReplayTests.log(seed: 8)
    var configuration = Self.engine()
    configuration.recommend.linger = 0
    var engine = Engine(configuration)
    var builder = ModelBuilder(configuration)
    var outputs = Outputs()
    var answer = Answer(configuration)
    let batch = EventBatch()
    var compared = 0
    for (i, line) in lines.enumerated() {
      let bytes = Array(line.utf8)
      if bytes.isEmpty { continue }
      batch.reset()
      bytes.withUnsafeBytes { batch.append(value: $0) }
      guard let event = batch.event(at: 0), event.type != .erase else { continue }
      if i == lines.count / 2, let time = engine.streamTime {
        engine.flush(into: &outputs)
        engine.activate(
          builder.build(engine.seal(tick: time), parallel: { n, f in for p in 0..<n { f(p) } }), into: &outputs)
        while engine.renew(limit: 100, into: &outputs) > 0 {}
      }
      outputs.removeAll()
      _ = engine.apply(event, at: LogPosition(partition: 0, offset: Int64(i)), clock: event.time, into: &outputs)
      guard outputs.count == 1, outputs.records[0].topic == .recommendations else { continue }
      let text = String(decoding: outputs.value(outputs.records[0]), as: UTF8.self)
      guard engine.ask(event, into: &answer) else { continue }
      let said = (0..<answer.items.count).map { rank in
        var sum = 0.0
        for source in answer.sources.indices { sum += answer.contribution(rank: rank, source: source) }
        #expect(abs(sum - answer.scores[rank]) < 1e-9)
        var w = ByteWriter()
        w.append("{\"id\":")
        w.append(quoted: engine.interactions.items.key(answer.items[rank]))
        w.append(text: ",\"rank\":\(rank + 1),\"score\":")
        w.append(answer.scores[rank])
        w.append(",")
        return w.string
      }
      for entry in said { #expect(text.contains(entry)) }
      #expect(text.components(separatedBy: "\"rank\":").count - 1 == said.count)
      compared += 1
    }
    #expect(compared > 200)
  }

  @Test func sameWithAnyThreadsAndFiles() throws {
    let folder = try ReplayTests.Folder()
    let lines = ReplayTests.log(seed: 5).filter { $0.contains("\"time\"") && $0.contains("user") }
    let one = try Self.read([try folder.write("log.jsonl", lines)])
    var options = Self.options(.at(one.time(atShare: 0.5), isOnline: true))
    options.rules.hit = .nextEvent
    func report(_ threads: Int) throws -> String {
      options.threads = threads
      return BacktestReport(one, options, configuration: "x", result: try BacktestRun(one, options).run()).json
    }
    let first = try report(1)
    #expect(try report(4) == first)
    let parsed = try #require(PlainJSON(first))
    guard case .object = parsed else { return }
    let other = try BacktestRun(one, options).run()
    let same = other.compared(with: other, parallel: { n, f in for p in 0..<n { f(p) } })
    #expect(same.allSatisfy { $0?.difference == 0 && $0?.permutationP == 1 })
  }

  /// A basket's second half is asked for with the first given, and a period once a customer.
  @Test func otherQuestions() throws {
    let folder = try ReplayTests.Folder()
    let log = try Self.read([try folder.write("log.jsonl", ReplayTests.log(seed: 6))], main: .purchase)
    var options = Self.options(.at(log.time(atShare: 0.5), isOnline: false))
    options.rules.hit = .basket
    let baskets = try BacktestRun(log, options).run()
    for (q, e) in baskets.eventOf.enumerated() {
      let event = log.log.events[Int(e)]
      #expect(event.behaviour == .purchase && event.lineCount >= 2, "question \(q)")
    }
    #expect(baskets.questions > 10)
    options.rules.hit = .period
    let period = try BacktestRun(log, options).run()
    #expect(period.questions == period.askers)
    #expect(period.questions > 10)
  }

  /// A search reads nothing behind the split: other ends of the log, same choice. And it goes on from its journal.
  @Test func searchesInside() throws {
    let folder = try ReplayTests.Folder()
    let lines = ReplayTests.log(seed: 7).filter { $0.contains("\"time\"") }
    let log = try Self.read([try folder.write("log.jsonl", lines)], main: .purchase)
    let base = Self.engine()
    func search(_ log: BacktestLog, _ journal: String?, threads: Int = 2) throws -> TuneReport {
      var options = TuneOptions()
      options.backtest = Self.options()
      options.candidates = 6
      options.folds = 2
      options.outer = log.times.upperBound - 24 * Self.hour
      options.threads = threads
      options.journal = journal
      return try TuneRun(log, options) { changes in
        var engine = base
        for (key, value) in changes {
          switch key {
          case "model.neighbours": engine.neighbours = Int(value) ?? 50
          case "recommend.weights.popularity": engine.recommend.popularityWeight = Double(value) ?? 0
          case "recommend.recent": engine.recommend.recent = Int(value) ?? 50
          case "model.relations.also_bought.weight": engine.relations[1].weight = Double(value) ?? 0
          default: break
          }
        }
        return engine
      }.run(configuration: "x") { _ in }
    }
    let journal = folder.path + "/journal"
    let first = try search(log, journal)
    let again = try search(log, journal, threads: 1)
    #expect(again.resumed == first.runs && again.runs == 0)
    #expect(first.resumed == 0 && first.runs >= 6 + 2)
    func inside(_ report: TuneReport) -> [String] {
      report.trials.map { "\($0.candidate.text) \($0.scores)" } + [report.chosen.text]
    }
    #expect(inside(again) == inside(first))
    #expect(inside(try search(log, nil)) == inside(first))
    #expect(PlainJSON(first.json) != nil)

    // The end of the log turned upside down.
    let cut = EventTime.string(log.times.upperBound - 24 * Self.hour)
    func time(_ line: String) -> String? {
      line.range(of: "\"time\":\"").map { String(line[$0.upperBound...].prefix(cut.count)) }
    }
    let other = try Self.read(
      [try folder.write("other.jsonl", lines.map { line in
        guard let at = time(line), at >= cut, line.contains("\"purchase\"") else { return line }
        return line.replacingOccurrences(of: "\"items\":[{\"id\":\"", with: "\"items\":[{\"id\":\"other-")
      })], main: .purchase)
    #expect(inside(try search(other, nil)) == inside(first))
    #expect(throws: BacktestError.self) { try search(other, journal) }
  }
}
