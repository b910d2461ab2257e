// Puts the questions and judges the answers. Its driver feeds the engine and calls, for every event that the log took,
// in the log's order: `question(before:)`; where there is one, `ask`; then the engine's `apply`; then `learn`. At a
// tick it calls `refresh`.
import Engine
import Events
import Recommender
import Sparse

public final class BacktestJudge {
  let log: InteractionLog
  let plan: QuestionPlan
  public let rules: BacktestRules
  private var standing: Standing
  private var answer: Answer
  private var tally: BacktestTally
  /// The relation that the last item is asked in.
  private let lastItemRelation: Int?
  private var turn = 0
  private var hasAsked: [Bool]
  private var mark: [UInt32]
  private var markNumber: UInt32 = 0
  private var list: [UInt32] = []
  /// The log's item by the engine's id, where it was asked for since the last seal.
  private var ownIDs: [UInt32] = []

  public init(
    _ log: InteractionLog, _ rules: BacktestRules, main: Behaviour, configuration: EngineConfiguration
  ) {
    self.log = log
    self.rules = rules
    plan = QuestionPlan(log, rules, main: main)
    standing = Standing(log)
    answer = Answer(configuration)
    tally = BacktestTally(log, plan, sources: answer.sources)
    let relations = configuration.relations
    func isMain(_ r: Int) -> Bool { relations[r].target == main }
    lastItemRelation =
      relations.indices.first { isMain($0) && relations[$0].source == main && relations[$0].context == .user }
      ?? relations.indices.first { isMain($0) } ?? relations.indices.first
    hasAsked = [Bool](repeating: false, count: rules.hit == .period ? log.askerLimit : 0)
    mark = [UInt32](repeating: 0, count: log.items.idLimit)
  }

  /// The items to be guessed before event `e`, nil where nothing is asked.
  public func question(before e: Int) -> [UInt32]? {
    if !plan.isQuestion(e) { return nil }
    if rules.hit == .period, let asker = log.asker(of: log.events[e]) {
      if hasAsked[asker] { return nil }
      hasAsked[asker] = true
    }
    turn += 1
    if (turn - 1) % rules.every != 0 { return nil }
    let answers = plan.answers(e)
    return answers.isEmpty ? nil : answers
  }

  /// Puts the question of event `e`, whose view is `event`, and judges the lists.
  public func ask(_ e: Int, _ event: EventView, _ answers: [UInt32], _ engine: inout Engine) {
    guard let asker = log.asker(of: log.events[e]) else { return }
    guard engine.ask(event, given: plan.given(e), into: &answer) else {
      tally.withoutModel += 1
      return
    }
    // What must not be recommended is no answer either.
    markNumber += 1
    for i in 0..<answer.excluded.count {
      if let item = own(answer.excluded[i], engine) { mark[Int(item)] = markNumber }
    }
    let excluded = markNumber
    let relevant = answers.filter { mark[Int($0)] != excluded }
    tally.leftOut += answers.count - relevant.count
    if relevant.isEmpty { return }

    let k = rules.ks[rules.ks.count - 1]
    let question = tally.begin(
      event: e, asker: asker, time: log.events[e].time, relevant: relevant, standing: standing)
    list.removeAll(keepingCapacity: true)
    for rank in 0..<min(k, answer.items.count) {
      list.append(own(answer.items[rank], engine) ?? InteractionLog.none)
    }
    tally.judge(.lists, list, question, standing: standing)
    if rules.isBrief { return tally.end(question) }
    tally.attribute(answer, list)
    for item in relevant where !list.prefix(rules.mainK).contains(item) {
      tally.miss(why(item, engine))
    }
    fill(standing.popular, k, excluded)
    tally.judge(.popular, list, question, standing: standing)
    fill(standing.trending, k, excluded)
    tally.judge(.trending, list, question, standing: standing)
    fillNeighbours(of: standing.lastItem[asker], k, excluded, engine)
    tally.judge(.lastItem, list, question, standing: standing)
    tally.end(question)
  }

  /// Event `e` has happened.
  public func learn(_ e: Int) {
    let event = log.events[e]
    if !event.isPositive { return }
    let asker = event.behaviour == plan.main ? log.asker(of: event) : nil
    for item in log.items(of: event) {
      standing.see(item)
      if let asker { standing.learn(asker, item, at: event.time) }
    }
  }

  /// The engine may have given ids back: after an erasure; a model says so itself.
  public func forgetIDs() { ownIDs.removeAll(keepingCapacity: true) }

  /// A model comes into force.
  public func refresh(at time: Int64) {
    forgetIDs()
    standing.refresh(at: time)
    tally.models += 1
  }

  public func result(parallel: @escaping Parallel) -> BacktestResult {
    tally.result(standing: standing, parallel: parallel)
  }

  // MARK: inside

  private func own(_ item: UInt32, _ engine: borrowing Engine) -> UInt32? {
    let place = Int(item)
    if place >= ownIDs.count {
      ownIDs += [UInt32](repeating: InteractionLog.none, count: engine.interactions.items.idLimit - ownIDs.count)
    }
    if ownIDs[place] == InteractionLog.none {
      ownIDs[place] =
        log.items.find(engine.interactions.items.key(item), engine.interactions.items.fingerprint(item))
        ?? InteractionLog.none
    }
    return ownIDs[place] == InteractionLog.none ? nil : ownIDs[place]
  }

  private func theirs(_ item: UInt32, _ engine: borrowing Engine) -> UInt32? {
    engine.interactions.items.find(log.items.key(item), log.items.fingerprint(item))
  }

  /// The first k of a list that are not excluded.
  private func fill(_ ranked: [UInt32], _ k: Int, _ excluded: UInt32) {
    list.removeAll(keepingCapacity: true)
    for item in ranked where mark[Int(item)] != excluded {
      list.append(item)
      if list.count == k { return }
    }
  }

  private func fillNeighbours(of item: UInt32, _ k: Int, _ excluded: UInt32, _ engine: borrowing Engine) {
    list.removeAll(keepingCapacity: true)
    guard item != InteractionLog.none, let model = engine.model, let relation = lastItemRelation,
      let id = theirs(item, engine)
    else { return }
    let table = model.neighbours[relation]
    for place in table.range(id) {
      guard let other = own(table.ids[place], engine), mark[Int(other)] != excluded else { continue }
      list.append(other)
      if list.count == k { return }
    }
  }

  private func why(_ item: UInt32, _ engine: borrowing Engine) -> MissReason {
    guard standing.isKnown[Int(item)] else { return .newItem }
    guard let id = theirs(item, engine) else { return .forgotten }
    if engine.model?.unavailable.contains(id) ?? false { return .unavailable }
    return answer.isProposed(id) ? .rankedBelow : .notProposed
  }
}

/// Why an item that was wanted is not in the list.
public enum MissReason: Int, CaseIterable, Sendable {
  /// Nobody had done anything with it yet.
  case newItem
  /// It was known once, and left every window.
  case forgotten
  /// The catalogue says it cannot be had.
  case unavailable
  /// No source knew a reason for it.
  case notProposed
  /// Proposed, but others scored higher.
  case rankedBelow

  public var text: String {
    switch self {
    case .newItem: "new to the log"
    case .forgotten: "left every window"
    case .unavailable: "not available"
    case .notProposed: "no source proposed it"
    case .rankedBelow: "ranked below the list"
    }
  }
  public var name: String {
    switch self {
    case .newItem: "new_item"
    case .forgotten: "forgotten"
    case .unavailable: "unavailable"
    case .notProposed: "not_proposed"
    case .rankedBelow: "ranked_below"
    }
  }
}
