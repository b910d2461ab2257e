// What a backtest adds up while it goes on: a column per system, k and metric, and the sums behind the plots.
import Engine
import Recommender
import Sparse

/// A question that is being judged.
struct JudgedQuestion {
  var number: Int
  var asker: UInt32
  var relevant: [UInt32]
  /// Places in the plots.
  var time: Int
  var history: Int
  /// Of the asker's own items: how many had each, and how many are in each band.
  var ownHolders: [Int]
  var ownBands: [Int]
}

struct BacktestTally {
  private let rules: BacktestRules
  private let main: Behaviour
  private let sources: [String]
  /// Of a list that is judged.
  private let longest: Int

  var withoutModel = 0
  var leftOut = 0
  var models = 0
  private var wantedItems = 0
  private var coldQuestions = 0
  private var coldItems = 0
  private var events: [UInt32] = []
  private var askers: [UInt32] = []
  private var lastAsker: [UInt32: Int] = [:]
  /// By system, then k, then metric.
  private var accuracy: [[[Sample]]]
  /// By system: novelty, popularity bias, calibration.
  private var properties: [[Sample]]
  private var exposures: [[Int]]
  /// By system and rank: Σ 1 / relevant over hits there.
  private var curve: [[Double]]
  private var times: [Cell]
  private var histories: [Cell]
  private let timeOrigin: Int64
  private let timeStep: Int64
  private var wanted: [Int]
  private var found: [[Int]]
  private var listed: [Double]
  private var hit: [Double]
  private var misses = [Int](repeating: 0, count: MissReason.allCases.count)
  private var isWanted: [Bool]
  /// Lists of a sample of the questions, by system, for the diversity of their items.
  private var sampled: [[[UInt32]]]
  private var sampling = SplitMix(seed: 1)
  private static let sampleSize = 200
  private static let timeCells = 40
  private static let historyEnds = [0, 2, 5, 10, 20, 50, 100, 200, Int.max]

  /// Sums of one segment.
  private struct Cell {
    var questions = 0
    var ndcg = [Double](repeating: 0, count: JudgedSystem.allCases.count)
    var hitRate = [Double](repeating: 0, count: JudgedSystem.allCases.count)
  }

  init(_ log: InteractionLog, _ plan: QuestionPlan, sources: [String]) {
    rules = plan.rules
    main = plan.main
    self.sources = sources
    longest = plan.rules.ks[plan.rules.ks.count - 1]
    let systems = JudgedSystem.allCases.count
    let items = log.items.idLimit
    accuracy = [[[Sample]]](
      repeating: [[Sample]](
        repeating: [Sample](repeating: Sample(), count: AccuracyMetric.allCases.count), count: plan.rules.ks.count),
      count: systems)
    properties = [[Sample]](repeating: [Sample](repeating: Sample(), count: 3), count: systems)
    exposures = [[Int]](repeating: [Int](repeating: 0, count: items), count: systems)
    curve = [[Double]](repeating: [Double](repeating: 0, count: longest), count: systems)
    times = [Cell](repeating: Cell(), count: BacktestTally.timeCells)
    histories = [Cell](repeating: Cell(), count: BacktestTally.historyEnds.count)
    var (first, last) = (Int64.max, Int64.min)
    for e in 0..<log.events.count {
      first = min(first, log.events[e].time)
      last = max(last, min(log.events[e].time, plan.rules.end ?? .max))
    }
    if first > last { (first, last) = (0, 0) }
    timeOrigin = max(first, plan.start)
    timeStep = max(1, (last - timeOrigin) / Int64(BacktestTally.timeCells) + 1)
    wanted = [Int](repeating: 0, count: items)
    found = [[Int]](repeating: [Int](repeating: 0, count: items), count: systems)
    listed = [Double](repeating: 0, count: sources.count)
    hit = [Double](repeating: 0, count: sources.count)
    isWanted = [Bool](repeating: false, count: items)
    sampled = [[[UInt32]]](repeating: [], count: systems)
  }

  // MARK: a question

  /// - Parameter relevant: at least one.
  mutating func begin(
    event: Int, asker: Int, time: Int64, relevant: [UInt32], standing: Standing
  ) -> JudgedQuestion {
    let number = events.count
    events.append(UInt32(event))
    // Askers are numbered as they come, so that those who asked nothing take no part.
    let cluster = lastAsker[UInt32(asker)] ?? lastAsker.count
    lastAsker[UInt32(asker)] = cluster
    askers.append(UInt32(cluster))
    wantedItems += relevant.count
    let own = standing.own[asker].count
    if own == 0 { coldQuestions += 1 }
    for item in relevant {
      isWanted[Int(item)] = true
      wanted[Int(item)] += 1
      if !standing.isKnown[Int(item)] { coldItems += 1 }
    }
    let cell = Int(max(0, min(Int64(BacktestTally.timeCells - 1), (time - timeOrigin) / timeStep)))
    let history = BacktestTally.historyEnds.firstIndex { own <= $0 } ?? 0
    times[cell].questions += 1
    histories[history].questions += 1
    if sampled[0].count < BacktestTally.sampleSize {
      for system in sampled.indices { sampled[system].append([]) }
      sampleAt = sampled[0].count - 1
    } else {
      let at = sampling.below(number + 1)
      sampleAt = at < BacktestTally.sampleSize ? at : nil
    }
    var bands = [0, 0, 0]
    for item in standing.own[asker] { bands[Int(standing.band[Int(item)])] += 1 }
    return JudgedQuestion(
      number: number, asker: UInt32(asker), relevant: relevant, time: cell, history: history,
      ownHolders: standing.own[asker].map { standing.holders[Int($0)] }, ownBands: bands)
  }
  /// Place of this question's lists in the sample, if it is drawn.
  private var sampleAt: Int?

  /// - Parameter list: the best first; what the log does not know is `InteractionLog.none`.
  mutating func judge(
    _ system: JudgedSystem, _ list: [UInt32], _ question: JudgedQuestion, standing: Standing
  ) {
    let s = system.rawValue
    var judged = JudgedList(hits: [], relevant: question.relevant.count)
    judged.hits.reserveCapacity(list.count)
    let share = 1 / Double(question.relevant.count)
    for (rank, item) in list.enumerated() {
      let isHit = item != InteractionLog.none && isWanted[Int(item)]
      judged.hits.append(isHit)
      if isHit { curve[s][rank] += share }
    }
    for (place, k) in rules.ks.enumerated() {
      for (m, metric) in AccuracyMetric.allCases.enumerated() {
        let value = metric.value(judged, at: k)
        accuracy[s][place][m].values.append(value)
        if k != rules.mainK { continue }
        if metric == .ndcg {
          times[question.time].ndcg[s] += value
          histories[question.history].ndcg[s] += value
        } else if metric == .hitRate {
          times[question.time].hitRate[s] += value
          histories[question.history].hitRate[s] += value
        }
      }
    }
    let shown = list.prefix(rules.mainK).filter { $0 != InteractionLog.none }
    for item in shown {
      exposures[s][Int(item)] += 1
      if isWanted[Int(item)] { found[s][Int(item)] += 1 }
    }
    judgeProperties(s, shown, question, standing)
    if let sampleAt { sampled[s][sampleAt] = shown }
  }

  private mutating func judgeProperties(
    _ s: Int, _ shown: [UInt32], _ question: JudgedQuestion, _ standing: Standing
  ) {
    let holders = shown.map { standing.holders[Int($0)] }
    var bands = [0, 0, 0]
    for item in shown { bands[Int(standing.band[Int(item)])] += 1 }
    properties[s][0].values.append(Novelty.value(holders: holders, users: standing.askers) ?? .nan)
    properties[s][1].values.append(
      PopularityBias.value(listHolders: holders, ownHolders: question.ownHolders) ?? .nan)
    properties[s][2].values.append(Calibration.value(own: question.ownBands, list: bands) ?? .nan)
  }

  /// Whose reasons the list stands on.
  mutating func attribute(_ answer: borrowing Answer, _ list: [UInt32]) {
    for (rank, item) in list.prefix(rules.mainK).enumerated() {
      let isHit = item != InteractionLog.none && isWanted[Int(item)]
      for source in sources.indices {
        let part = answer.contribution(rank: rank, source: source)
        listed[source] += part
        if isHit { hit[source] += part }
      }
    }
  }

  mutating func miss(_ reason: MissReason) { misses[reason.rawValue] += 1 }

  mutating func end(_ question: JudgedQuestion) {
    for item in question.relevant { isWanted[Int(item)] = false }
  }

  // MARK: the end

  func result(standing: Standing, parallel: @escaping Parallel) -> BacktestResult {
    let clusters = lastAsker.count
    let mainPlace = rules.ks.firstIndex(of: rules.mainK) ?? rules.ks.count - 1
    let bootstrap = Bootstrap()
    let holders = holderLists(standing)
    let judged = rules.isBrief ? [] : JudgedSystem.allCases
    let systems = judged.map { system -> SystemResult in
      let s = system.rawValue
      let diversity = Sample(
        sampled[s].map { list in
          IntraListDiversity.value(holders: list.map { holders[Int($0)] ?? [] }) ?? .nan
        })
      let all = accuracy[s].flatMap { $0 } + properties[s]
      let intervals = bootstrap.intervals(
        of: all, clusters: askers, clusterCount: clusters, parallel: parallel)
      func estimate(_ column: Int) -> Estimate? {
        all[column].mean.map { Estimate(mean: $0, interval: intervals[column]) }
      }
      let width = AccuracyMetric.allCases.count
      let first = rules.ks.count * width
      var sum = 0.0
      return SystemResult(
        system: system,
        accuracy: rules.ks.indices.map { place in
          (0..<width).map { estimate(place * width + $0) ?? Estimate(mean: 0) }
        },
        recallCurve: curve[s].map { part in
          sum += part
          return sum / Double(max(1, events.count))
        },
        coverage: Coverage.value(exposures: known(exposures[s], standing)),
        gini: Gini.value(exposures: known(exposures[s], standing)),
        novelty: estimate(first), diversity: diversity.mean.map { mean in
          let interval = bootstrap.intervals(
            of: [diversity], clusters: diversity.values.indices.map { UInt32($0) },
            clusterCount: diversity.values.count, parallel: parallel)
          return Estimate(mean: mean, interval: interval[0])
        },
        popularityBias: estimate(first + 1), calibration: estimate(first + 2))
    }
    let lists = accuracy[JudgedSystem.lists.rawValue][mainPlace]
    let comparisons = judged.filter { $0 != .lists }.compactMap { system -> BaselineComparison? in
      func compare(_ metric: AccuracyMetric) -> PairedComparison? {
        let m = AccuracyMetric.allCases.firstIndex(of: metric) ?? 0
        return PairedComparison(
          lists[m], accuracy[system.rawValue][mainPlace][m], clusters: askers, clusterCount: clusters,
          bootstrap: bootstrap, parallel: parallel)
      }
      guard let ndcg = compare(.ndcg), let hitRate = compare(.hitRate) else { return nil }
      return BaselineComparison(system: system, ndcg: ndcg, hitRate: hitRate)
    }
    return BacktestResult(
      rules: rules, main: main, questions: events.count, askers: clusters, relevant: wantedItems, leftOut: leftOut,
      withoutModel: withoutModel, models: models, systems: systems, comparisons: comparisons,
      overTime: times.indices.map { segment(times[$0], String(timeOrigin + Int64($0) * timeStep)) },
      byHistory: histories.indices.map { segment(histories[$0], historyLabel($0)) },
      byPopularity: tenths(standing), coldQuestions: coldQuestions, coldItems: coldItems, sources: shares(),
      misses: MissReason.allCases.map { ($0, misses[$0.rawValue]) }, eventOf: events, askerOf: askers,
      askerCount: clusters, samples: lists)
  }

  private func segment(_ cell: Cell, _ label: String) -> Segment {
    let n = Double(max(1, cell.questions))
    return Segment(
      label: label, questions: cell.questions, ndcg: cell.ndcg.map { $0 / n }, hitRate: cell.hitRate.map { $0 / n })
  }

  private func historyLabel(_ place: Int) -> String {
    let ends = BacktestTally.historyEnds
    if place == 0 { return "0" }
    if ends[place] == .max { return "over \(ends[place - 1])" }
    return "\(ends[place - 1] + 1)–\(ends[place])"
  }

  /// Exposures of the items that the log has shown so far.
  private func known(_ exposures: [Int], _ standing: Standing) -> [Int] {
    exposures.indices.filter { standing.isKnown[$0] || exposures[$0] > 0 }.map { exposures[$0] }
  }

  /// Ten groups of about as many wanted items each, the most popular first.
  private func tenths(_ standing: Standing) -> [Segment] {
    let order = wanted.indices.filter { wanted[$0] > 0 }.sorted {
      standing.holders[$0] != standing.holders[$1] ? standing.holders[$0] > standing.holders[$1] : $0 < $1
    }
    let total = order.reduce(0) { $0 + wanted[$1] }
    let groups = min(10, order.count)
    var segments: [Segment] = []
    var at = 0
    var sum = 0
    for group in 0..<groups {
      var count = 0
      var hits = [Double](repeating: 0, count: found.count)
      let first = at
      while at < order.count && (sum < total * (group + 1) / groups || count == 0) {
        count += wanted[order[at]]
        sum += wanted[order[at]]
        for s in found.indices { hits[s] += Double(found[s][order[at]]) }
        at += 1
      }
      if count == 0 { break }
      let (most, least) = (standing.holders[order[first]], standing.holders[order[at - 1]])
      let recall = hits.map { $0 / Double(count) }
      segments.append(
        Segment(label: most == least ? "\(most)" : "\(least)–\(most)", questions: count, ndcg: recall, hitRate: recall))
    }
    return segments
  }

  private func shares() -> [SourceShare] {
    let (all, hits) = (listed.reduce(0, +), hit.reduce(0, +))
    return sources.indices.map {
      SourceShare(
        source: sources[$0], ofListed: all > 0 ? listed[$0] / all : 0, ofHits: hits > 0 ? hit[$0] / hits : 0)
    }
  }

  /// Of the sampled lists' items: who had them in the whole log, ascending.
  private func holderLists(_ standing: Standing) -> [Int: [UInt32]] {
    var lists: [Int: [UInt32]] = [:]
    for system in sampled { for list in system { for item in list { lists[Int(item)] = [] } } }
    for (asker, own) in standing.own.enumerated() {
      for item in own { lists[Int(item)]?.append(UInt32(asker)) }
    }
    return lists
  }
}
