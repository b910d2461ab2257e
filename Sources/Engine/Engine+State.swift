// The whole state as sections, between two turns of the driver: no list waits, no model is under way.
// Stage two is made anew from stage one's rows and the model in force, so nothing of it is saved: its
// mirror of the rows costs a copy, and the counts are recomputed at the next tick as at any other.
import Events
import Recommender
import Sparse

extension Engine {
  /// Refers to the state; write it out before the next act. New items and changed rows must have been
  /// taken (`takeChanges`), lists made (`flush`).
  public func save(into state: inout StateWriter) {
    precondition(
      audience.pendingCount == 0 && audience.renewalCount == 0 && audience.quietCount == 0,
      "lists wait")
    state.put(
      "engine", numbers: Int64(topics.count), streamTime ?? .min, lastRulesTick ?? .min,
      hasErasedBaskets ? 1 : 0)
    for (t, offsets) in positions.enumerated() { state.put("positions.\(t)", copying: offsets) }
    if !gaps.isEmpty { state.put("gaps", copying: gaps) }
    state.put("topics", strings: topics)
    state.group("interactions") { interactions.save(into: &$0) }
    state.group("audience") { audience.save(into: &$0) }
    state.group("catalogue") { catalogue.save(into: &$0) }
    if let model { state.group("model") { model.save(into: &$0) } }
  }

  /// - Throws: what does not fit; the sections of another configuration of the matrices do not.
  public init(
    _ configuration: EngineConfiguration, topics: [String], restoring state: StateReader
  ) throws(StateError) {
    self.init(configuration, topics: topics)
    guard try state.strings("topics") == topics else { throw StateError("state of other topics") }
    let numbers = try state.numbers("engine", count: 4)
    streamTime = numbers[1] == .min ? nil : numbers[1]
    lastRulesTick = numbers[2] == .min ? nil : numbers[2]
    hasErasedBaskets = numbers[3] != 0
    positions = []
    for t in topics.indices { positions.append(try state.array("positions.\(t)")) }
    if state.has("gaps") { gaps = try state.array("gaps") }
    interactions = try Interactions(
      matrices: configuration.matrices, popularity: configuration.popularity,
      restoring: state.group("interactions"))
    audience = try Audience(restoring: state.group("audience"))
    catalogue = try Catalogue(restoring: state.group("catalogue"))
    if state.has("model.numbers") {
      let saved = try Model(restoring: state.group("model"))
      guard saved.neighbours.count == configuration.relations.count else {
        throw StateError("a model of other relations")
      }
      model = saved
    }
  }
}

extension Engine {
  /// Names of the matrices, each with its horizon (ms; -1: none).
  public var matrixSummaries: [(name: String, horizon: Int64)] {
    interactions.matrices.indices.map { m in
      let matrix = interactions.matrices[m]
      return (
        "\(matrix.context.name)/\(matrix.behaviour.name)", interactions.horizon(matrix: m)
      )
    }
  }

  /// What a person wants to know of the state's size.
  public var sizes: [(name: String, count: Int)] {
    var slots = 0
    for m in interactions.matrices.indices { slots += interactions.sizes(matrix: m).slots }
    return [
      ("users", interactions.users.liveCount), ("items", interactions.items.liveCount),
      ("sessions", interactions.sessionCount), ("orders", interactions.orderCount),
      ("entries", slots), ("listeners", listenerCount), ("catalogue", catalogue.count),
      ("neighbours", model?.neighbours.reduce(0) { $0 + $1.neighbourCount } ?? 0),
      ("rules", model?.rules?.count ?? 0),
    ]
  }
}

extension ModelBuilder {
  /// Stage two of a restored engine.
  /// - Parameter sequence: number of the last model ever made.
  public init(
    _ configuration: EngineConfiguration, after sequence: Int, of engine: borrowing Engine,
    restoring state: StateReader
  ) throws(StateError) {
    self.init(configuration, after: max(sequence, engine.model?.sequence ?? 0))
    items = try Interner(restoring: state.group("interactions").group("items"))
    last = engine.model
    for m in matrices.indices where isCounted(m) {
      counts.apply(engine.interactions.allRows(matrix: m), matrix: m)
    }
  }
}

extension Audience {
  func save(into state: inout StateWriter) {
    state.group("keys") { keys.save(into: &$0) }
    state.put("listeners", listeners)
  }

  init(restoring state: StateReader) throws(StateError) {
    self.init()
    keys = try Interner(restoring: state.group("keys"))
    listeners = try state.vec("listeners")
    guard listeners.count >= keys.idLimit else { throw StateError("listeners without a place") }
  }
}

extension Catalogue {
  func save(into state: inout StateWriter) {
    let ids = entries.keys.sorted()
    state.put("ids", copying: ids)
    state.put("categories", copying: ids.map { entries[$0]?.category ?? -1 })
    state.put("available", copying: ids.map { entries[$0]?.isAvailable == false ? UInt8(0) : 1 })
    state.put("titles", strings: ids.map { entries[$0]?.title ?? "" })
    state.put("paths", strings: paths)
  }

  init(restoring state: StateReader) throws(StateError) {
    self.init()
    let ids = try state.array("ids", of: UInt32.self)
    let categories = try state.array("categories", of: Int32.self)
    let available = try state.array("available", of: UInt8.self)
    let titles = try state.strings("titles")
    paths = try state.strings("paths")
    guard categories.count == ids.count, available.count == ids.count, titles.count == ids.count,
      categories.allSatisfy({ $0 >= -1 && $0 < Int32(paths.count) })
    else { throw StateError("a catalogue whose columns do not fit together") }
    for (index, path) in paths.enumerated() { pathIndex[path] = Int32(index) }
    for (i, id) in ids.enumerated() {
      entries[id] = Entry(
        title: titles[i], category: categories[i], isAvailable: available[i] != 0)
    }
  }
}
