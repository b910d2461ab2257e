// Asking for a list without a cause: what backtests do. The same rows, model and ranker as a published list's, but
// values come out instead of bytes, and nothing changes.
import Events
import Recommender
import Sparse

/// A list as values. Items are the engine's ids, which are given back at seals: read them before the next one.
public struct Answer: ~Copyable {
  /// Names of the sources of contributions: the relations, then rules, then popularity.
  public let sources: [String]
  /// The best first.
  public private(set) var items = Vec<UInt32>()
  public private(set) var scores = Vec<Double>()
  /// Items that must not be in the list: bought, in the basket, just acted upon.
  public internal(set) var excluded = Vec<UInt32>()
  /// Per rank and source, what it brought to the score.
  private var contributions = Vec<Double>()
  /// Per item: the number of the last answer for which a source proposed it.
  private var proposed = Vec<UInt32>()
  /// Per item: its rank from 1 in this answer, 0 where it has none.
  private var ranks = Vec<UInt32>()
  private var number: UInt32 = 0

  public init(_ configuration: EngineConfiguration) {
    sources = configuration.relations.map(\.name) + ["rules", "popularity"]
  }

  public func contribution(rank: Int, source: Int) -> Double { contributions[rank * sources.count + source] }

  /// Whether any source proposed it, excluded or not.
  public func isProposed(_ item: UInt32) -> Bool {
    Int(item) < proposed.count && proposed[Int(item)] == number
  }

  mutating func begin(itemLimit: Int) {
    for i in 0..<items.count { ranks[Int(items[i])] = 0 }
    items.removeAll()
    scores.removeAll()
    excluded.removeAll()
    contributions.removeAll()
    proposed.extend(to: itemLimit, with: 0)
    ranks.extend(to: itemLimit, with: 0)
    if number == .max {
      for i in 0..<proposed.count { proposed[i] = 0 }
      number = 0
    }
    number += 1
  }

  mutating func append(_ item: UInt32, score: Double) {
    items.append(item)
    scores.append(score)
    ranks[Int(item)] = UInt32(items.count)
    contributions.extend(to: items.count * sources.count, with: 0)
  }

  /// Adds what a run brought to the items of the list.
  mutating func attribute(_ run: Run) {
    let source =
      switch run.source {
      case SourceKind.rules: sources.count - 2
      case SourceKind.popularity: sources.count - 1
      default: Int(run.source)
      }
    for k in 0..<Int(run.count) {
      let item = Int(run.ids[k])
      proposed[item] = number
      let rank = Int(ranks[item])
      if rank > 0 {
        let cell = (rank - 1) * sources.count + source
        contributions[cell] = contributions[cell] + run.values[k] * run.weight
      }
    }
  }
}

extension Engine {
  /// The list for whoever does this, just before it is done, by the model in force. An order that has begun is the
  /// basket, else the cart is.
  /// - Parameter given: so many of the event's items stand in the basket already; nil: only what the rows say.
  /// - Returns: false where no model is in force.
  public mutating func ask(_ event: EventView, given: Int? = nil, into answer: inout Answer) -> Bool {
    guard let model else { return false }
    let isUser = event.user.count > 0
    let scene = Scene(
      isUser: isUser, userRow: isUser ? interactions.users.find(event.user) : nil,
      sessionRow: sessionPrint(event).flatMap { interactions.sessionRow($0) },
      orderRow: orderPrint(event).flatMap { interactions.orderRow($0) }, time: event.time)
    let basket = given.map { count in
      event.items.prefix(count).reversed().compactMap { interactions.items.find($0.id) }
    }
    ranker.answer(scene, given: basket, model: model, interactions: interactions, into: &answer)
    return true
  }
}
