// The formulas behind the daemon's lists (Recommender/Formulas), with the constants that it ships, as they stand before
// a protocol: no list lengths, no configuration.
import Recommender

extension ActLog {
  /// The training part as the formulas take it.
  /// - Parameter rows: what becomes a row beside the users.
  init(_ training: Training, rows: ContextKind = .order) {
    self.init()
    for line in training.lines {
      let row = rows == .session ? line.session : line.order
      if row == InteractionLog.none && rows == .session { continue }
      append(
        user: line.user == InteractionLog.none ? ActLog.nobody : line.user,
        order: row == InteractionLog.none ? ActLog.nobody : row, item: line.item, time: line.time)
    }
  }
}

/// Users' different items, the latest last.
struct Histories {
  private var rows: [[UInt32]]

  init(_ training: Training) {
    rows = [[UInt32]](repeating: [], count: training.userCount)
    var seen = Set<UInt64>()
    for line in training.lines.reversed() where line.user != InteractionLog.none {
      if seen.insert(UInt64(line.user) << 32 | UInt64(line.item)).inserted { rows[Int(line.user)].append(line.item) }
    }
    for user in rows.indices { rows[user].reverse() }
  }

  subscript(user: UInt32) -> [UInt32] { Int(user) < rows.count ? rows[Int(user)] : [] }
}

/// P1 NEW: something new.
public struct DiscoverScorer: Scorer {
  public let name = "affinity: discover"
  private let constants: FormulaConstants
  private var fitted: (formula: DiscoverFormula, histories: Histories)?

  public init(_ constants: FormulaConstants = FormulaConstants()) { self.constants = constants }

  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    fitted = (
      DiscoverFormula(ActLog(training), constants: constants, parallel: parallel), Histories(training)
    )
  }

  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    guard let fitted else { return }
    fitted.formula.score(history: fitted.histories[question.user], into: &scores)
  }
}

/// P1 ALL: what is bought again, and something new beside it.
public struct BuyAgainScorer: Scorer {
  public let name = "affinity: buy again"
  private let constants: FormulaConstants
  private var fitted: (formula: BuyAgainFormula, histories: Histories)?

  public init(_ constants: FormulaConstants = FormulaConstants()) { self.constants = constants }

  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    fitted = (
      BuyAgainFormula(ActLog(training), constants: constants, parallel: parallel), Histories(training)
    )
  }

  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    guard let fitted else { return }
    fitted.formula.score(user: question.user, history: fitted.histories[question.user], into: &scores)
  }
}

/// P2: what completes a basket, of a stranger or of whoever's basket it is.
public struct BasketScorer: Scorer {
  public enum Knowledge: Sendable { case strangers, customers }
  public let name: String
  private let knowledge: Knowledge
  private let constants: FormulaConstants
  private var formula: BasketFormula?

  public init(_ knowledge: Knowledge, _ constants: FormulaConstants = FormulaConstants()) {
    self.knowledge = knowledge
    self.constants = constants
    name = knowledge == .strangers ? "affinity: basket, everybody a stranger" : "affinity: basket, customers known"
  }

  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    formula = BasketFormula(ActLog(training), constants: constants, parallel: parallel)
  }

  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    let isKnown = knowledge == .customers && question.user != InteractionLog.none
    formula?.score(given: question.given, user: isKnown ? question.user : nil, into: &scores)
  }
}

/// P3: the next click, by the nearest sessions.
public struct NextClickScorer: Scorer {
  public let name = "affinity: next"
  private let constants: FormulaConstants
  private var formula: NextFormula?

  public init(_ constants: FormulaConstants = FormulaConstants()) { self.constants = constants }

  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    formula = NextFormula(ActLog(training, rows: .session), constants: constants)
  }

  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    formula?.score(session: question.given, into: &scores)
  }
}
