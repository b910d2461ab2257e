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
  /// Per matrix, the stored counts of its relation with itself.
  private let squares: [SquareCounts]
  private var diffs = RowDiffs()
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
    squares = matrices.map { _ in SquareCounts() }
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
    let mirror = mirrors[matrix]
    let square = squares[matrix]
    diffs.removeAll()
    mirror.apply(changes, diffs: &diffs, wantsDiffs: square.isCurrent)
    square.update(diffs, mirror)
    // What a bulk load grew is not kept for the batches that follow.
    if diffs.items.bytes > 1 << 24 { diffs = RowDiffs() }
  }

  /// Rows with an active entry.
  public func activeRows(matrix: Int) -> Int { mirrors[matrix].activeRows }
  /// Active entries.
  public func entries(matrix: Int) -> Int { mirrors[matrix].entries }
  /// Bytes held between ticks.
  public var bytes: Int {
    mirrors.reduce(0) { $0 + $1.bytes } + squares.reduce(0) { $0 + $1.bytes } + diffs.items.bytes
      + diffs.rows.bytes
  }

  /// The active items of one row, ascending; valid until the next `apply`.
  public func row(_ row: UInt32, matrix: Int) -> UnsafeBufferPointer<UInt32> {
    let mirror = mirrors[matrix]
    guard Int(row) < mirror.rowLimit else { return UnsafeBufferPointer(start: nil, count: 0) }
    return mirror.view.row(Int(row))
  }

  /// All non-empty rows, by ascending row id, as one copy. Complexity: O(rows + entries).
  public func rows(matrix: Int) -> RowChanges {
    let mirror = mirrors[matrix]
    var all = RowChanges(rows: [], offsets: [0], items: [])
    all.rows.reserveCapacity(mirror.activeRows)
    all.offsets.reserveCapacity(mirror.activeRows + 1)
    all.items.reserveCapacity(mirror.entries)
    let view = mirror.view
    for row in 0..<view.limit where view.counts[row] > 0 {
      all.rows.append(UInt32(row))
      all.items.append(contentsOf: view.row(row))
      all.offsets.append(all.items.count)
    }
    return all
  }

  /// Rows of the relation with an active entry in either matrix.
  public func contexts(relation: Int) -> Int {
    let a = mirrors[sources[relation]]
    let b = mirrors[targets[relation]]
    if a === b { return a.activeRows }
    let (left, right) = (a.view, b.view)
    let shared = min(left.limit, right.limit)
    var sum = 0
    for row in 0..<shared { sum &+= (left.counts[row] | right.counts[row]) != 0 ? 1 : 0 }
    for row in shared..<left.limit { sum &+= left.counts[row] != 0 ? 1 : 0 }
    for row in shared..<right.limit { sum &+= right.counts[row] != 0 ? 1 : 0 }
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
    if a === b {
      let square = squares[sources[relation]]
      let active = a.columnCounts.reduce(0) { $0 + ($1 > 0 ? 1 : 0) }
      if SquareCounts.suits(a, activeItems: active, work: a.work) {
        if !square.isCurrent { square.rebuild(a, parallel) }
        square.ticked()
        return neighbours(from: square, a, configuration, items, parallel)
      }
      square.drop()
    }
    let columns = Columns(source: a, target: b, items: items.count, parallel)
    let words = digestWords(configuration, items)
    let input = ProductInput(
      items: items.count,
      starts: UnsafePointer(columns.starts.base), places: UnsafePointer(columns.places.base),
      placeCount: columns.places.count,
      costs: UnsafePointer(columns.costs.base), arena: b.view.arena,
      ranks: UnsafePointer(items.rankOf.base), isSymmetric: a === b, k: neighbours,
      sourceWords: keepsDigest ? UnsafePointer(words.source.base) : nil,
      targetWords: keepsDigest
        ? UnsafePointer(a === b ? words.source.base : words.target.base) : nil)
    let built = build(
      input, configuration, a, b, work: columns.work, contexts: contexts(relation: relation),
      parallel)
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

  /// Reads every row of a square. Labels stand for items until the lists are written.
  private func neighbours(
    from square: SquareCounts, _ mirror: RowMirror, _ relation: RelationConfiguration,
    _ items: borrowing ItemRanks, _ parallel: Parallel
  ) -> NeighbourTable {
    let labels = square.labels
    let list = min(neighbours, labels - 1)
    let storage = NeighbourTable.Storage(items: items.count, slots: labels * list)
    for item in 0..<mirror.itemLimit {
      storage.sourceCount[item] = mirror.columnCounts[item]
      storage.targetCount[item] = mirror.columnCounts[item]
    }
    let slots = Vec<UInt32>(repeating: 0, count: items.count)
    let lengths = Vec<UInt32>(repeating: 0, count: items.count)
    let ranks = Vec<UInt32>(repeating: 0, count: labels)
    let labelCounts = Vec<UInt32>(repeating: 0, count: labels)
    var words = Vec<Fingerprint>()
    let tag = Fingerprint(of: relation.name)
    // Slots in order of items, which is the order of the table.
    let order = Vec<UInt32>(repeating: SquareCounts.none, count: items.count)
    for label in 0..<labels {
      let item = Int(square.idOf[label])
      order[item] = UInt32(label)
      ranks[label] = items.rankOf[item]
      labelCounts[label] = mirror.columnCounts[item]
      if keepsDigest {
        words.append(
          CountsDigest.word(items.fingerprint(UInt32(item)), relation: tag, isTarget: false))
      }
    }
    var next = 0
    for item in 0..<items.count where order[item] != SquareCounts.none {
      slots[item] = UInt32(next)
      next += list
    }
    let scoring = Scoring(
      relation, source: labelCounts.base, target: labelCounts.base, count: labels,
      contexts: mirror.activeRows)
    let parts = labels < 64 ? 1 : 16
    let sums = Vec<ProductSums>(repeating: ProductSums(), count: parts)
    let output = ProductOutput(
      slots: UnsafePointer(slots.base), lengths: lengths.base, ids: storage.ids,
      both: storage.both, values: storage.values)
    let (rankBase, wordBase) = (UnsafePointer(ranks.base), UnsafePointer(words.base))
    let keepsDigest = keepsDigest
    let k = neighbours
    scoring.with(relation) { scorer in
      parallel(parts) { part in
        sums[part] = SquareProduct.run(
          square, output, scorer: scorer,
          range: (labels * part / parts)..<(labels * (part + 1) / parts), ranks: rankBase,
          words: keepsDigest ? wordBase : nil, k: k)
      }
    }
    return table(
      relation, storage, slots, lengths, sums, contexts: mirror.activeRows, isSymmetric: true)
  }

  private func table(
    _ relation: RelationConfiguration, _ storage: NeighbourTable.Storage,
    _ slots: borrowing Vec<UInt32>, _ lengths: borrowing Vec<UInt32>,
    _ sums: borrowing Vec<ProductSums>, contexts: Int, isSymmetric: Bool
  ) -> NeighbourTable {
    storage.close(slots: UnsafePointer(slots.base), lengths: UnsafePointer(lengths.base))
    var cells = 0
    var digest = Fingerprint.zero
    for part in 0..<sums.count {
      cells += sums[part].cells
      digest &+= sums[part].digest
    }
    return NeighbourTable(
      measure: relation.measure, shrinkage: relation.shrinkage, contexts: contexts,
      pairs: isSymmetric ? cells / 2 : cells, countsDigest: digest, storage: storage)
  }

  private func build(
    _ input: ProductInput, _ relation: RelationConfiguration, _ a: RowMirror, _ b: RowMirror,
    work: UInt64, contexts: Int, _ parallel: Parallel
  ) -> NeighbourTable {
    let items = input.items
    let parts = items < 64 ? 1 : 32
    let slots = Vec<UInt32>(repeating: 0, count: items)
    let lengths = Vec<UInt32>(repeating: 0, count: items)
    var total = 0
    for item in 0..<items {
      slots[item] = UInt32(clamping: total)
      total += Int(min(input.costs[item], UInt64(min(input.k, items))))
    }
    let storage = NeighbourTable.Storage(items: items, slots: total)
    for item in 0..<a.itemLimit { storage.sourceCount[item] = a.columnCounts[item] }
    for item in 0..<b.itemLimit { storage.targetCount[item] = b.columnCounts[item] }
    let scoring = Scoring(
      relation, source: storage.sourceCount, target: storage.targetCount, count: items,
      contexts: contexts)
    let bounds = RowProduct.split(
      UnsafeBufferPointer(start: input.costs, count: items), total: work, parts: parts)
    let sums = Vec<ProductSums>(repeating: ProductSums(), count: parts)
    let output = ProductOutput(
      slots: UnsafePointer(slots.base), lengths: lengths.base, ids: storage.ids,
      both: storage.both, values: storage.values)
    scoring.with(relation) { scorer in
      parallel(parts) { part in
        sums[part] = RowProduct.run(
          input, output, scorer: scorer, range: bounds[part]..<bounds[part + 1])
      }
    }
    return table(
      relation, storage, slots, lengths, sums, contexts: contexts, isSymmetric: input.isSymmetric)
  }
}

/// Owns the tables that the scorers of one tick read.
private struct Scoring: ~Copyable {
  private let weights: Vec<Float>
  private let logs: Vec<Double>
  private let columns: Vec<Double>
  let facts: ScoringFacts

  /// Counts of sources and targets; the pointers live as long as the scorers are used.
  init(
    _ relation: RelationConfiguration, source: UnsafeMutablePointer<UInt32>,
    target: UnsafeMutablePointer<UInt32>, count items: Int, contexts: Int
  ) {
    weights = Vec(repeating: 0, count: items)
    var largest: UInt32 = 0
    for item in 0..<items {
      weights[item] = ScoringFacts.weight(relation.measure, count: target[item])
      largest = max(largest, max(source[item], target[item]))
    }
    if relation.measure == .llr {
      logs = AssociationScorer.logTable(limit: min(Int(largest), 1 << 20))
      columns = Vec(repeating: 0, count: items)
      let total = Measures.xLogX(contexts)
      for item in 0..<items {
        let count = Int(target[item])
        columns[item] = total - (Measures.xLogX(count) + Measures.xLogX(contexts - count))
      }
    } else {
      logs = Vec()
      columns = Vec()
    }
    facts = ScoringFacts(
      measure: relation.measure, sourceCount: UnsafePointer(source),
      targetCount: UnsafePointer(target), weights: UnsafePointer(weights.base),
      contexts: contexts, shrinkage: relation.shrinkage,
      minBoth: UInt32(clamping: max(1, relation.minBoth)))
  }

  /// Hands over the scorer of the relation's measure, chosen once.
  func with(_ relation: RelationConfiguration, _ body: (any Scorer) -> Void) {
    switch (relation.measure, relation.shrinkage > 0) {
    case (.llr, _):
      body(
        AssociationScorer(
          facts, table: UnsafePointer(logs.base), tableSize: logs.count,
          columns: UnsafePointer(columns.base)))
    case (.jaccard, _): body(JaccardScorer(facts))
    case (_, true): body(ShrunkScorer(facts))
    case (_, false): body(LinearScorer(facts))
    }
  }
}

extension CoOccurrence: @unchecked Sendable {}

extension CoOccurrence {
  /// Whether the mirrors are whole; for tests. Complexity: O(entries).
  public func checkInvariants() -> Bool { mirrors.allSatisfy { $0.checkInvariants() } }
}
