// Stage two of the engine: from seals to models. Owns the counts' side of the state (mirrors of the
// rows, the items' keys and their order, the model before) and nothing of the rows' side, so it can run
// on another thread, or one day in another process.
import Events
import Recommender
import Sparse

/// Sizes of what a model is made of.
public struct ModelSizes: Sendable {
  public var items = 0
  public var pairs = 0
  public var neighbours = 0
  public var baskets = 0
  public var rules = 0
  public init() {}
}

/// A model and the messages that carry it.
public final class BuiltModel: Sendable {
  public let model: Model
  public let seal: SealSummary
  public let sizes: ModelSizes
  /// Neighbours and rules that changed, nulls for those that went away, and the popularity lists.
  public let outputs: Outputs

  init(model: Model, seal: SealSummary, sizes: ModelSizes, outputs: consuming Outputs) {
    self.model = model
    self.seal = seal
    self.sizes = sizes
    self.outputs = outputs
  }
}

/// What the models topic says of the seal.
public struct SealSummary: Sendable {
  public var number: Int
  public var positions: [[Int64]]
  /// As `Engine.gaps`.
  public var gaps: [Int64]
  public var topics: [String]
  public var horizons: [(name: String, horizon: Int64)]
  /// Fingerprint of everything the bytes depend on besides the log.
  public var configuration: String
}

public struct ModelBuilder: ~Copyable {
  public let configuration: EngineConfiguration
  let matrices: [MatrixConfiguration]
  private let fingerprint: String
  private let places: MatrixPlaces
  var counts: CoOccurrence
  var items = Interner()
  var ranks = ItemRanks()
  var last: Model?
  var sequence: Int

  /// - Parameter sequence: number of the last model ever made (its successor is the first one here).
  public init(_ configuration: EngineConfiguration, after sequence: Int = 0) {
    self.configuration = configuration
    matrices = configuration.matrices
    fingerprint = configuration.fingerprint
    places = MatrixPlaces(configuration, matrices: matrices)
    counts = CoOccurrence(
      matrices: matrices, relations: configuration.relationsWithFloor,
      neighbours: configuration.neighbours)
    self.sequence = sequence
  }

  public var bytes: (counts: Int, items: Int) { (counts.bytes, items.bytes + ranks.bytes) }

  /// Takes a batch of changes that came before the next seal.
  public mutating func absorb(_ batch: ChangeBatch) {
    let fresh = batch.newItems
    fresh.keys.withUnsafeBytes { bytes in
      var start = 0
      for (i, id) in fresh.ids.enumerated() {
        let key = UnsafeRawBufferPointer(rebasing: bytes[start..<fresh.ends[i]])
        start = fresh.ends[i]
        let (mine, _) = items.intern(key)
        precondition(mine == id, "stage two gives items the ids of stage one")
      }
    }
    for (m, changes) in batch.changes.enumerated() where isCounted(m) && !changes.rows.isEmpty {
      counts.apply(changes, matrix: m)
    }
  }

  /// The cart and popularity matrices have no counts here.
  func isCounted(_ matrix: Int) -> Bool {
    places.source.contains(matrix) || places.target.contains(matrix) || places.rules == matrix
  }

  /// Makes the model of a seal.
  /// - Parameter parallel: runs parts of a kernel, at once or in turn; the result is the same.
  public mutating func build(_ seal: Seal, parallel: @escaping Parallel) -> BuiltModel {
    // In stage one's order: the batch's new items had their ids before the seal gave any back.
    absorb(seal.batch)
    for id in seal.removedItems { items.remove(id) }
    ranks.update(from: items)
    sequence = seal.sequence ?? sequence + 1

    var tables: [NeighbourTable] = []
    var countsDigest = Fingerprint.zero
    for r in configuration.relations.indices {
      let table = counts.neighbours(relation: r, items: ranks, parallel: parallel)
      countsDigest &+= table.countsDigest
      tables.append(table)
    }
    var rules = last?.rules
    var lists = last?.lists
    var rulesSeal = last?.rulesSeal ?? seal.number
    var rulesSequence = last?.rulesSequence ?? 0
    if seal.minesRules {
      if let matrix = places.rules { rules = mine(matrix, parallel: parallel) }
      if let rows = seal.lists {
        lists = ListModels(
          rows, tick: seal.tick, configuration: configuration, items: ranks, parallel: parallel)
      }
      rulesSeal = seal.number
      rulesSequence = sequence
    } else if rules == nil && lists == nil {
      rulesSeal = seal.number
    }
    let popularity = PopularityLists(
      configuration.popularity, seal: seal, floor: configuration.minUsers
    ).lists(items: items)
    func overall(_ kind: PopularityLists.Kind) -> [PopularItem] {
      popularity.first { $0.kind == kind && $0.path == nil }?.items ?? []
    }
    let model = Model(
      sequence: sequence, tick: seal.tick, seal: seal.number, rulesSeal: rulesSeal,
      rulesSequence: rulesSequence,
      digest: seal.digest, countsDigest: countsDigest, neighbours: tables, rules: rules,
      popular: overall(.popular), trending: overall(.trending),
      popularKeys: popularity.map(\.key), unavailable: seal.catalogue.unavailable, lists: lists,
      trend: configuration.hasFormulas ? TrendModel(seal, configuration, items: ranks) : nil)

    var outputs = Outputs()
    writeNeighbours(model, into: &outputs)
    if seal.minesRules { writeRules(model, into: &outputs) }
    PopularityLists.write(
      popularity, model, items: items, previousKeys: last?.popularKeys ?? [], into: &outputs)
    last = model
    var sizes = ModelSizes()
    sizes.items = seal.itemCount
    sizes.pairs = tables.reduce(0) { $0 + $1.pairs }
    sizes.neighbours = tables.reduce(0) { $0 + $1.neighbourCount }
    sizes.baskets = places.rules.map { counts.activeRows(matrix: $0) } ?? 0
    sizes.rules = rules?.count ?? 0
    let horizons = matrices.indices.map {
      (
        name: "\(matrices[$0].context.name)/\(matrices[$0].behaviour.name)",
        horizon: seal.horizons[$0]
      )
    }
    return BuiltModel(
      model: model,
      seal: SealSummary(
        number: seal.number, positions: seal.positions, gaps: seal.gaps, topics: seal.topics, horizons: horizons,
        configuration: fingerprint),
      sizes: sizes, outputs: outputs)
  }

  // MARK: parts

  private func writeNeighbours(_ model: Model, into outputs: inout Outputs) {
    let names = configuration.relations.map(\.name)
    let now = NeighbourModel(names: names, tables: model.neighbours)
    let before = last.map { NeighbourModel(names: names, tables: $0.neighbours) }
    var id = model.id
    id.withUTF8 { id in
      for change in now.changes(from: before) {
        let start = outputs.writer.count
        outputs.writer.append(bytes: items.key(change.item))
        switch change {
        case .delete: outputs.delete(.neighbours, start: start)
        case .update(let item):
          let keyEnd = outputs.writer.count
          now.encode(
            item, modelID: UnsafeRawBufferPointer(id), items: items, into: &outputs.writer)
          outputs.finish(.neighbours, start: start, keyEnd: keyEnd)
        }
      }
    }
  }
}

extension EngineConfiguration {
  /// The relations with `privacy.min_users` as a floor under every published count.
  var relationsWithFloor: [RelationConfiguration] {
    relations.map {
      var relation = $0
      relation.minBoth = max(relation.minBoth, minUsers)
      return relation
    }
  }
}
