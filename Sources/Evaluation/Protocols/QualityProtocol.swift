// The protocols under which recommenders are compared: what is training, what is a question, how lists are made and
// counted. Ties go to the lower code (the item that came first), only scores above 0 are listed, 20 items a list.
import Recommender
import Sparse

public enum QualityProtocol: String, CaseIterable, Sendable {
  /// Next items of a user; what the user has is neither candidate nor relevant.
  case p1New = "p1-new"
  /// Next items of a user; nothing excluded.
  case p1All = "p1-all"
  /// Completing a basket.
  case p2
  /// Next click in a session.
  case p3

  public static let top = 20

  public var title: String {
    switch self {
    case .p1New: "next items of a user, new ones"
    case .p1All: "next items of a user, all"
    case .p2: "completing a basket"
    case .p3: "next click in a session"
    }
  }

  /// In what the models of this protocol see items meet.
  public var context: ContextKind {
    switch self {
    case .p1New, .p1All: .user
    case .p2: .order
    case .p3: .session
    }
  }

  /// What a report shows, in this order.
  public var metrics: [AccuracyMetric] {
    switch self {
    case .p1New, .p1All: [.recall, .ndcg, .mrr, .hitRate]
    case .p2, .p3: [.hitRate, .mrr, .ndcg]
    }
  }
}

/// Which item of a test basket is to be guessed.
public enum HiddenItem: Sendable, Equatable {
  case last
  /// A random one, by this seed.
  case random(seed: UInt64)
}

/// A protocol's split: the training part and the questions.
public struct ProtocolTask: Sendable {
  public let kind: QualityProtocol
  public let training: Training
  public let questions: [Question]

  /// - Parameter lines: by time (`InteractionLog.lines(of:)`).
  /// - Returns: nil where there is no training part or no question.
  public init?(
    _ kind: QualityProtocol, _ lines: [Line], hidden: HiddenItem = .last, parallel: @escaping Parallel
  ) {
    let split: (training: Training, questions: [Question])
    switch kind {
    case .p1New: split = NextItems.split(lines, isNew: true, parallel: parallel)
    case .p1All: split = NextItems.split(lines, isNew: false, parallel: parallel)
    case .p2: split = BasketCompletion.split(lines, hidden: hidden, parallel: parallel)
    case .p3: split = NextClick.split(lines, parallel: parallel)
    }
    if split.training.lines.isEmpty || split.questions.isEmpty { return nil }
    self.kind = kind
    training = split.training
    questions = split.questions
  }

  /// Askers among the questions: their numbers are below it.
  public var askerCount: Int { questions.reduce(0) { max($0, Int($1.asker) + 1) } }

  /// Fits the model and puts every question to it.
  /// - Returns: per metric of the protocol, the questions' values.
  public func judge(_ scorer: inout some Scorer, parallel: @escaping Parallel) -> [Sample] {
    scorer.fit(training, parallel: parallel)
    return ask(&scorer)
  }

  /// Puts every question to a model that is fitted to the same training part.
  public func ask(_ scorer: inout some Scorer) -> [Sample] {
    var samples = kind.metrics.map { _ in Sample() }
    var scores = [Double](repeating: 0, count: training.itemCount)
    var list = TopList(QualityProtocol.top)
    var isRelevant = [Bool](repeating: false, count: training.itemCount)
    for question in questions {
      for i in scores.indices { scores[i] = 0 }
      scorer.score(question, training, into: &scores)
      for item in question.excluded { scores[Int(item)] = 0 }
      for item in question.relevant { isRelevant[Int(item)] = true }
      for i in scores.indices where scores[i] > 0 { list.offer(UInt32(i), scores[i]) }
      let judged = JudgedList(
        hits: list.take().map { isRelevant[Int($0.code)] }, relevant: question.relevant.count)
      for (m, metric) in kind.metrics.enumerated() {
        samples[m].values.append(metric.value(judged, at: QualityProtocol.top))
      }
      for item in question.relevant { isRelevant[Int(item)] = false }
    }
    return samples
  }
}
