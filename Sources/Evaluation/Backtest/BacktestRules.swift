// What a backtest asks, and what counts as an answer.
import Recommender

/// What must be in the list for a hit.
public enum HitRule: String, CaseIterable, Sendable {
  /// The items of the event the question is put before.
  case nextEvent = "next-event"
  /// The items of the asker's next event of the main behaviour (this one, if it is one).
  case nextPurchase = "next-purchase"
  /// The second half of a basket whose first half (rounded up) is given.
  case basket
  /// Everything the asker does of the main behaviour from here on; each asker is a question once.
  case period
}

public struct BacktestRules: Sendable {
  public var hit = HitRule.nextPurchase
  /// Questions are put at events from this time on, ms; nil: from the first model on.
  public var start: Int64?
  /// Answers count up to this long after the question, ms; nil: to the end of the log.
  public var horizon: Int64?
  /// Events from this time on do not exist for this backtest, ms; nil: none is left out.
  public var end: Int64?
  /// One question in so many.
  public var every = 1
  /// List lengths that are reported, ascending; the last is how long lists are judged.
  public var ks = [5, 10, 20]
  /// The one that intervals, plots and comparisons are of; one of `ks`.
  public var mainK = 20
  /// Only the samples of the lists: no baselines, intervals or plots. For a search, which asks for nothing else.
  public var isBrief = false
  public init() {}
}

/// The lists that are judged side by side.
public enum JudgedSystem: Int, CaseIterable, Sendable {
  /// What the configuration recommends.
  case lists
  case popular, trending, lastItem

  public var name: String {
    switch self {
    case .lists: "lists"
    case .popular: "most popular"
    case .trending: "trending"
    case .lastItem: "last item's neighbours"
    }
  }
}

/// Which events are questions, and what their answers are: a function of the log and the rules.
struct QuestionPlan {
  let rules: BacktestRules
  let main: Behaviour
  let start: Int64
  private let log: InteractionLog
  /// Per event: the asker's next event of the main behaviour, this one included, or none.
  private var nextMain: [UInt32]
  /// Per event: the asker's next event after it, or none.
  private var next: [UInt32]

  init(_ log: InteractionLog, _ rules: BacktestRules, main: Behaviour) {
    self.log = log
    self.rules = rules
    self.main = main
    start = rules.start ?? .min
    let none = InteractionLog.none
    nextMain = [UInt32](repeating: none, count: log.events.count)
    next = nextMain
    var last = [UInt32](repeating: none, count: log.askerLimit)
    var lastMain = last
    for e in stride(from: log.events.count - 1, through: 0, by: -1) {
      let event = log.events[e]
      guard let asker = log.asker(of: event), event.time < rules.end ?? .max else { continue }
      if event.behaviour == main && event.isPositive { lastMain[asker] = UInt32(e) }
      nextMain[e] = lastMain[asker]
      next[e] = last[asker]
      last[asker] = UInt32(e)
    }
  }

  /// Whether a question is put before the event (its turn among `every` aside).
  func isQuestion(_ e: Int) -> Bool {
    let event = log.events[e]
    if event.time < start || !event.isPositive || event.behaviour == .impression { return false }
    if log.asker(of: event) == nil { return false }
    switch rules.hit {
    case .nextEvent, .nextPurchase, .period: return true
    case .basket: return event.behaviour == main && event.lineCount >= 2
    }
  }

  /// The items that are to be guessed, each once. Empty: no question after all.
  func answers(_ e: Int) -> [UInt32] {
    let event = log.events[e]
    let (bound, overflow) = event.time.addingReportingOverflow(rules.horizon ?? .max)
    let until = overflow ? .max : bound
    switch rules.hit {
    case .nextEvent: return distinct(log.items(of: event)[...])
    case .nextPurchase:
      let found = nextMain[e]
      if found == InteractionLog.none || log.events[Int(found)].time > until { return [] }
      return distinct(log.items(of: log.events[Int(found)])[...])
    case .basket:
      let items = log.items(of: event)
      let given = Set(items[..<givenCount(e)])
      return distinct(items[givenCount(e)...]).filter { !given.contains($0) }
    case .period:
      var found: [UInt32] = []
      var at = UInt32(e)
      while at != InteractionLog.none, log.events[Int(at)].time <= until {
        let later = log.events[Int(at)]
        if later.behaviour == main && later.isPositive { found.append(contentsOf: log.items(of: later)) }
        at = next[Int(at)]
      }
      return distinct(found[...])
    }
  }

  /// Items of the event that are in the basket when the question is put; nil where the rows alone say.
  func given(_ e: Int) -> Int? { rules.hit == .basket ? givenCount(e) : nil }

  private func givenCount(_ e: Int) -> Int { (Int(log.events[e].lineCount) + 1) / 2 }

  private func distinct(_ items: some Collection<UInt32>) -> [UInt32] {
    var found: [UInt32] = []
    found.reserveCapacity(items.count)
    if items.count <= 16 {
      for item in items where !found.contains(item) { found.append(item) }
      return found
    }
    var seen = Set<UInt32>()
    for item in items where seen.insert(item).inserted { found.append(item) }
    return found
  }
}

extension InteractionLog {
  /// Who would see a list: the user, else the session. Numbers below `askerLimit`.
  func asker(of event: LoggedEvent) -> Int? {
    if event.user != InteractionLog.none { return Int(event.user) }
    return event.session == InteractionLog.none ? nil : users.idLimit + Int(event.session)
  }
  var askerLimit: Int { users.idLimit + sessionCount }
}
