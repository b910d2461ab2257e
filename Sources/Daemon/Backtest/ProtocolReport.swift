// A protocol over a log: the peers in plain form, ours beside them, every figure with its interval and the gain over
// each peer. As a table, or as one JSON object (schemas/protocol.schema.json).
import Engine
import Evaluation
import Recommender
import Sparse

public struct ProtocolOptions: Sendable {
  public var kind = QualityProtocol.p1New
  public var engine = EngineConfiguration()
  /// P2: instead of the last item of a basket a random one is hidden, so many times over.
  public var randomSeeds = 0
  public var threads = 2
  public init() {}
}

public struct ProtocolReport: Sendable {
  public struct Model: Sendable {
    public var name: String
    public var isOurs: Bool
    /// Why it could not take part.
    public var obstacle: String?
    /// By metric of the protocol.
    public var figures: [Estimate] = []
    /// Ours: against each peer that took part, at the protocol's first metric for lists.
    public var gains: [(peer: String, comparison: PairedComparison)] = []
    fileprivate var samples: [Sample] = []
  }

  public var kind: QualityProtocol
  public var randomSeeds: Int
  public var trainingLines: Int
  public var trainingRows: Int
  public var items: Int
  public var questions: Int
  public var models: [Model]

  /// What gains are told in: what the protocol's page compares by.
  public static func mainMetric(_ kind: QualityProtocol) -> AccuracyMetric {
    switch kind {
    case .p1New, .p1All: .ndcg
    case .p2: .hitRate
    case .p3: .mrr
    }
  }

  public init(
    _ log: BacktestLog, _ options: ProtocolOptions, progress: (Int, Int) -> Void = { _, _ in }
  ) throws {
    let parallel = Threads.parallel(options.threads)
    let lines = log.log.lines(of: log.main)
    kind = options.kind
    randomSeeds = options.kind == .p2 ? options.randomSeeds : 0
    let hidden: [HiddenItem] = randomSeeds == 0 ? [.last] : (0..<randomSeeds).map { .random(seed: UInt64($0)) }
    var tasks: [ProtocolTask] = []
    for one in hidden {
      guard let task = ProtocolTask(options.kind, lines, hidden: one, parallel: parallel) else {
        throw BacktestError(description: "\(log.files.joined(separator: ", ")): too little in it for \(options.kind.rawValue)")
      }
      tasks.append(task)
    }
    trainingLines = tasks[0].training.lines.count
    trainingRows = tasks[0].training.rows.count
    items = tasks[0].training.itemCount
    questions = tasks[0].questions.count

    let peers = Peers.all(for: kind)
    let ours = OurScorers.all(for: kind, options.engine)
    var models: [Model] = []
    // One asker's questions under several seeds are one asker's.
    let clusters = tasks.flatMap { $0.questions.map(\.asker) }
    let clusterCount = tasks[0].askerCount
    let scorers = peers.map { ($0, false) } + ours.map { ($0, true) }
    for (place, (scorer, isOurs)) in scorers.enumerated() {
      progress(place, scorers.count)
      var model = Model(name: scorer.name, isOurs: isOurs)
      model.obstacle = scorer.obstacle(tasks[0].training)
      if model.obstacle == nil {
        model.samples = ProtocolReport.judge(scorer, tasks, parallel)
        let intervals = Bootstrap().intervals(
          of: model.samples, clusters: clusters, clusterCount: clusterCount, parallel: parallel)
        model.figures = zip(model.samples, intervals).map { Estimate(mean: $0.mean ?? 0, interval: $1) }
      }
      models.append(model)
    }
    progress(scorers.count, scorers.count)
    let main = kind.metrics.firstIndex(of: ProtocolReport.mainMetric(kind)) ?? 0
    for m in models.indices where models[m].isOurs && models[m].obstacle == nil {
      for peer in models where !peer.isOurs && peer.obstacle == nil {
        if let comparison = PairedComparison(
          models[m].samples[main], peer.samples[main], clusters: clusters, clusterCount: clusterCount,
          bootstrap: Bootstrap(), parallel: parallel)
        {
          models[m].gains.append((peer.name, comparison))
        }
      }
    }
    self.models = models
  }

  /// The tasks one after another, fitted once: they share their training part.
  private static func judge(
    _ scorer: any Scorer, _ tasks: [ProtocolTask], _ parallel: @escaping Parallel
  ) -> [Sample] {
    func all(_ scorer: some Scorer) -> [Sample] {
      var scorer = scorer
      scorer.fit(tasks[0].training, parallel: parallel)
      var samples = tasks[0].kind.metrics.map { _ in Sample() }
      for task in tasks {
        for (m, sample) in task.ask(&scorer).enumerated() { samples[m].values += sample.values }
      }
      return samples
    }
    return all(scorer)
  }

  // MARK: reports

  public var text: String {
    var lines = [
      "\(kind.rawValue), \(kind.title)" + (randomSeeds > 0 ? ", a random item hidden, \(randomSeeds) seeds" : ""),
      "training: \(grouped(trainingLines)) lines, \(grouped(trainingRows)) \(kind.context.name)s, \(grouped(items)) items; \(grouped(questions)) questions",
      "",
    ]
    let width = (models.map(\.name.count).max() ?? 0) + 2
    let k = QualityProtocol.top
    lines.append(pad("", width) + kind.metrics.map { pad("\($0.title)@\(k)", -20) }.joined())
    for model in models {
      if let obstacle = model.obstacle {
        lines.append(pad(model.name, width) + "  left out: " + obstacle)
        continue
      }
      let figures = model.figures.map { figure in
        pad(
          fixed(figure.mean, 4) + (figure.interval.map { " \(fixed($0.low, 3))–\(fixed($0.high, 3))" } ?? ""), -20)
      }
      lines.append(pad(model.name, width) + figures.joined())
    }
    for model in models where model.isOurs && !model.gains.isEmpty {
      lines.append("")
      lines.append("\(model.name), \(ProtocolReport.mainMetric(kind).title) against")
      for (peer, c) in model.gains {
        lines.append(
          "  " + pad(peer, width)
            + "\(c.difference >= 0 ? "+" : "")\(fixed(c.difference, 4)) (\(fixed(c.interval.low, 4)) to \(fixed(c.interval.high, 4))), permutation p \(probability(c.permutationP))"
        )
      }
    }
    return lines.joined(separator: "\n")
  }

  public var json: String {
    var w = ByteWriter()
    w.append(text: "{\"kind\":\"protocol\",\"protocol\":\"\(kind.rawValue)\",\"k\":\(QualityProtocol.top)")
    w.put("random_seeds", randomSeeds)
    w.put("training_lines", trainingLines)
    w.put("training_rows", trainingRows)
    w.put("items", items)
    w.put("questions", questions)
    w.append(",\"models\":[")
    for (i, model) in models.enumerated() {
      w.append(i > 0 ? ",{\"name\":" : "{\"name\":")
      w.append(quoted: model.name)
      w.append(text: ",\"ours\":\(model.isOurs)")
      if let obstacle = model.obstacle {
        w.append(",\"left_out\":")
        w.append(quoted: obstacle)
      }
      for (m, figure) in model.figures.enumerated() {
        w.append(text: ",\"\(kind.metrics[m].rawValue)\":")
        w.put(figure)
      }
      if !model.gains.isEmpty {
        w.append(text: ",\"gains\":{\"metric\":\"\(ProtocolReport.mainMetric(kind).rawValue)\",\"against\":[")
        for (g, gain) in model.gains.enumerated() {
          w.append(g > 0 ? ",{\"peer\":" : "{\"peer\":")
          w.append(quoted: gain.peer)
          w.append(",\"gain\":")
          w.put(gain.comparison)
          w.append("}")
        }
        w.append("]}")
      }
      w.append("}")
    }
    w.append("]}")
    return String(decoding: w.bytes, as: UTF8.self)
  }
}
