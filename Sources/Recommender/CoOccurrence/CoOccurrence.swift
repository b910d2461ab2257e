// Stage two of the engine: item co-occurrence, exact whenever it is read. It owns a mirror of every
// matrix, kept current from the sealed changes of stage one, and makes neighbours at a tick.
//
// A pair's count is not kept from event to event: rows turn over many times between ticks, and
// recomputing AᵀB from the rows at the tick is cheaper than following each event (PAIR-COUNTS §1).
import Sparse

/// Runs `body(0)` … `body(parts - 1)`, in any order or at once, and returns when all are done.
public typealias Parallel = (_ parts: Int, _ body: (_ part: Int) -> Void) -> Void

/// Mirrors of the matrices, and the neighbours made of them. Used by one worker at a time.
public struct CoOccurrence: ~Copyable {
  public let relations: [RelationConfiguration]
  /// K: neighbours kept per item and relation.
  public let neighbours: Int
  /// Whether tables carry the digest of all counts (about 2 ns a pair).
  public var keepsDigest = true

  private let mirrors: [RowMirror]
  private let sources: [Int]
  private let targets: [Int]

  /// Each relation refers to its matrices by equality; `matrices` holds each of them once.
  public init(
    matrices: [MatrixConfiguration], relations: [RelationConfiguration], neighbours: Int
  ) {
    precondition(neighbours > 0)
    self.relations = relations
    self.neighbours = neighbours
    mirrors = matrices.map { _ in RowMirror() }
    func place(_ matrix: MatrixConfiguration) -> Int {
      guard let found = matrices.firstIndex(of: matrix) else {
        preconditionFailure("a relation's matrix is not among the matrices")
      }
      return found
    }
    sources = relations.map { place($0.sourceMatrix) }
    targets = relations.map { place($0.targetMatrix) }
  }

  /// Takes the changed rows of one matrix. A row without items is gone.
  /// Complexity: O(old and new entries of those rows).
  public mutating func apply(_ changes: RowChanges, matrix: Int) {
    mirrors[matrix].apply(changes)
  }

  /// Rows with an active entry.
  public func activeRows(matrix: Int) -> Int { mirrors[matrix].activeRows }
  /// Active entries.
  public func entries(matrix: Int) -> Int { mirrors[matrix].entries }
  /// Bytes held between ticks.
  public var bytes: Int { mirrors.reduce(0) { $0 + $1.bytes } }

  /// The active items of one row, ascending; valid until the next `apply`.
  public func row(_ row: UInt32, matrix: Int) -> UnsafeBufferPointer<UInt32> {
    let mirror = mirrors[matrix]
    guard Int(row) < mirror.rowLimit else { return UnsafeBufferPointer(start: nil, count: 0) }
    return mirror.row(Int(row))
  }

  /// All non-empty rows, by ascending row id, as one copy. Complexity: O(rows + entries).
  public func rows(matrix: Int) -> RowChanges {
    let mirror = mirrors[matrix]
    var all = RowChanges(rows: [], offsets: [0], items: [])
    all.rows.reserveCapacity(mirror.activeRows)
    all.offsets.reserveCapacity(mirror.activeRows + 1)
    all.items.reserveCapacity(mirror.entries)
    for row in 0..<mirror.rowLimit where mirror.counts[row] > 0 {
      all.rows.append(UInt32(row))
      all.items.append(contentsOf: mirror.row(row))
      all.offsets.append(all.items.count)
    }
    return all
  }

  /// Rows of the relation with an active entry in either matrix.
  public func contexts(relation: Int) -> Int {
    let a = mirrors[sources[relation]]
    let b = mirrors[targets[relation]]
    if a === b { return a.activeRows }
    let shared = min(a.rowLimit, b.rowLimit)
    var sum = 0
    for row in 0..<shared { sum &+= (a.counts[row] | b.counts[row]) != 0 ? 1 : 0 }
    for row in shared..<a.rowLimit { sum &+= a.counts[row] != 0 ? 1 : 0 }
    for row in shared..<b.rowLimit { sum &+= b.counts[row] != 0 ? 1 : 0 }
    return sum
  }

  /// The relation's neighbours by the rows as they are now. The result does not depend on how
  /// `parallel` runs its parts.
  /// - Parameter items: knows every item that occurs in the rows.
  public mutating func neighbours(
    relation: Int, items: borrowing ItemRanks, parallel: Parallel
  ) -> NeighbourTable {
    let configuration = relations[relation]
    let a = mirrors[sources[relation]]
    let b = mirrors[targets[relation]]
    precondition(items.count >= max(a.itemLimit, b.itemLimit), "an item without a key")
    let columns = Columns(of: a)
    let words = digestWords(configuration, items)
    let input = ProductInput(
      items: items.count,
      columnStarts: UnsafePointer(columns.starts.base), columnRows: UnsafePointer(columns.rows.base),
      columnLimit: a.itemLimit,
      arena: UnsafePointer(b.arena.base), offsets: UnsafePointer(b.offsets.base),
      counts: UnsafePointer(b.counts.base), rowLimit: b.rowLimit,
      ranks: UnsafePointer(items.rankOf.base),
      isSymmetric: a === b,
      minBoth: UInt32(clamping: max(1, configuration.minBoth)), k: neighbours,
      sourceWords: keepsDigest ? UnsafePointer(words.source.base) : nil,
      targetWords: keepsDigest
        ? UnsafePointer(a === b ? words.source.base : words.target.base) : nil)
    let built = build(
      input, configuration, a, b, contexts: contexts(relation: relation), parallel)
    _ = consume columns
    _ = consume words
    return built
  }

  // MARK: inside

  private struct Words: ~Copyable {
    var source = Vec<Fingerprint>()
    var target = Vec<Fingerprint>()
  }

  private func digestWords(
    _ relation: RelationConfiguration, _ items: borrowing ItemRanks
  ) -> Words {
    var words = Words()
    if !keepsDigest { return words }
    let tag = Fingerprint(of: relation.name)
    for id in 0..<items.count {
      let print = items.fingerprint(UInt32(id))
      words.source.append(CountsDigest.word(print, relation: tag, isTarget: false))
      if !relation.isSymmetric {
        words.target.append(CountsDigest.word(print, relation: tag, isTarget: true))
      }
    }
    return words
  }

  private func build(
    _ input: ProductInput, _ relation: RelationConfiguration, _ a: RowMirror, _ b: RowMirror,
    contexts: Int, _ parallel: Parallel
  ) -> NeighbourTable {
    let items = input.items
    let parts = items < 64 ? 1 : 32
    let costs = Vec<UInt64>(repeating: 0, count: items)
    parallel(parts) { part in
      for item in (items * part / parts)..<(items * (part + 1) / parts) {
        costs[item] = UInt64(input.cost(item))
      }
    }
    let slots = Vec<UInt32>(repeating: 0, count: items)
    let lengths = Vec<UInt32>(repeating: 0, count: items)
    let weights = Vec<Float>(repeating: 0, count: items)
    var total = 0
    var work: UInt64 = 0
    for item in 0..<items {
      slots[item] = UInt32(clamping: total)
      total += Int(min(costs[item], UInt64(input.k)))
      work += costs[item]
    }
    let storage = NeighbourTable.Storage(items: items, slots: total)
    for item in 0..<a.itemLimit { storage.sourceCount[item] = a.columnCounts[item] }
    for item in 0..<b.itemLimit { storage.targetCount[item] = b.columnCounts[item] }
    for item in 0..<items {
      weights[item] = ScoringFacts.weight(relation.measure, count: storage.targetCount[item])
    }
    let bounds = RowProduct.split(costs.buffer, total: work, parts: parts)
    let sums = Vec<ProductSums>(repeating: ProductSums(), count: parts)
    let facts = ScoringFacts(
      measure: relation.measure, sourceCount: UnsafePointer(storage.sourceCount),
      targetCount: UnsafePointer(storage.targetCount), weights: UnsafePointer(weights.base),
      contexts: contexts, shrinkage: relation.shrinkage)
    let output = ProductOutput(
      slots: UnsafePointer(slots.base), lengths: lengths.base, ids: storage.ids,
      both: storage.both, values: storage.values)
    let costBase = UnsafePointer(costs.base)
    func run<S: Scorer>(_ scorer: S) {
      parallel(parts) { part in
        sums[part] = RowProduct.run(
          input, output, scorer: scorer, range: bounds[part]..<bounds[part + 1], costs: costBase)
      }
    }
    switch (relation.measure, relation.shrinkage > 0) {
    case (.llr, _): run(AssociationScorer(facts))
    case (.jaccard, _): run(JaccardScorer(facts))
    case (_, true): run(ShrunkScorer(facts))
    case (_, false): run(LinearScorer(facts))
    }
    storage.close(slots: UnsafePointer(slots.base), lengths: UnsafePointer(lengths.base))
    var pairs = 0
    var digest = Fingerprint.zero
    for part in 0..<parts {
      pairs += sums[part].pairs
      digest &+= sums[part].digest
    }
    return NeighbourTable(
      measure: relation.measure, shrinkage: relation.shrinkage, contexts: contexts, pairs: pairs,
      countsDigest: digest, storage: storage)
  }
}

extension CoOccurrence: @unchecked Sendable {}

extension RowProduct {
  /// Item ranges of about equal work: `parts` + 1 ascending bounds.
  static func split(_ costs: UnsafeBufferPointer<UInt64>, total: UInt64, parts: Int) -> [Int] {
    var bounds = [0]
    var sum: UInt64 = 0
    // An item costs something even where nothing is met.
    let all = total + UInt64(costs.count)
    for item in costs.indices {
      if bounds.count < parts && sum * UInt64(parts) >= all * UInt64(bounds.count) {
        bounds.append(item)
      }
      sum += costs[item] + 1
    }
    while bounds.count < parts + 1 { bounds.append(costs.count) }
    return bounds
  }
}

extension CoOccurrence {
  /// Whether the mirrors are whole; for tests. Complexity: O(entries).
  public func checkInvariants() -> Bool { mirrors.allSatisfy { $0.checkInvariants() } }
}
