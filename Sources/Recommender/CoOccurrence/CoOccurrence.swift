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
  /// Per relation.
  private let lists: [KeptLists]
  /// How counts are brought current whatever it costs; for tests.
  package var way: Way?
  private var diffs = RowDiffs()
  private let sources: [Int]
  private let targets: [Int]

  /// How often lists were renewed; for tests.
  package private(set) var renewals = 0

  package enum Way { case square, renewal, recount }

  /// Each relation refers to its matrices by equality; `matrices` holds each of them once.
  public init(
    matrices: [MatrixConfiguration], relations: [RelationConfiguration], neighbours: Int
  ) {
    precondition(neighbours > 0)
    self.relations = relations
    self.neighbours = neighbours
    mirrors = matrices.map { _ in RowMirror() }
    squares = matrices.map { _ in SquareCounts() }
    lists = relations.map { _ in KeptLists() }
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
    let isKept = relations.indices.contains { sources[$0] == matrix && lists[$0].isCurrent }
    mirror.apply(changes, diffs: &diffs, wantsDiffs: square.isCurrent || isKept)
    square.update(diffs, mirror)
    for r in relations.indices where sources[r] == matrix { lists[r].take(diffs) }
    // What a bulk load grew is not kept for the batches that follow.
    if diffs.items.bytes > 1 << 24 { diffs = RowDiffs() }
  }

  /// Rows with an active entry.
  public func activeRows(matrix: Int) -> Int { mirrors[matrix].activeRows }
  /// Active entries.
  public func entries(matrix: Int) -> Int { mirrors[matrix].entries }
  /// Bytes held between ticks.
  public var bytes: Int {
    mirrors.reduce(0) { $0 + $1.bytes } + squares.reduce(0) { $0 + $1.bytes }
      + lists.reduce(0) { $0 + $1.bytes } + diffs.items.bytes + diffs.rows.bytes
  }

  /// Bytes held between ticks for pairs: stored counts, and lists with what renews them.
  public var pairBytes: Int {
    squares.reduce(0) { $0 + $1.bytes } + lists.reduce(0) { $0 + $1.bytes }
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
    let lists = lists[relation]
    if a === b {
      let square = squares[sources[relation]]
      let active = a.columnCounts.reduce(0) { $0 + ($1 > 0 ? 1 : 0) }
      if way == .square || way == nil && SquareCounts.suits(a, activeItems: active, work: a.work) {
        lists.drop()
        if !square.isCurrent { square.rebuild(a, parallel) }
        square.ticked()
        return neighbours(from: square, a, configuration, items, parallel)
      }
      square.drop()
      if let table = renewed(relation, a, items, parallel) {
        renewals += 1
        return table
      }
    }
    return recounted(relation, a, b, items, parallel)
  }

  // MARK: inside

  /// Counts every pair of the rows.
  private func recounted(
    _ relation: Int, _ a: RowMirror, _ b: RowMirror, _ items: borrowing ItemRanks,
    _ parallel: Parallel
  ) -> NeighbourTable {
    let configuration = relations[relation]
    let lists = lists[relation]
    let columns = Columns(source: a, target: b, items: items.count, parallel)
    let words = digestWords(configuration, items)
    let isKept = KeptLists.suits(configuration) && way != .recount
    if isKept { lists.extend(to: items.count) }
    let input = ProductInput(
      items: items.count,
      starts: UnsafePointer(columns.starts.base), places: UnsafePointer(columns.places.base),
      placeCount: columns.places.count, areHeaders: a !== b,
      costs: UnsafePointer(columns.costs.base), arena: b.view.arena,
      ranks: UnsafePointer(items.rankOf.base), isSymmetric: a === b, k: neighbours,
      sourceWords: keepsDigest ? UnsafePointer(words.source.base) : nil,
      targetWords: keepsDigest
        ? UnsafePointer(a === b ? words.source.base : words.target.base) : nil)
    let built = build(
      input, configuration, a, b, work: columns.work, contexts: contexts(relation: relation),
      spares: isKept ? lists.spares : nil, parallel)
    if isKept {
      for item in 0..<items.count { lists.references[item] = built.targetCount[item] }
      lists.adopt(built, words: words.source, limit: way == .renewal ? .max : a.work / 16)
    }
    return built
  }

  /// The lists of the last tick brought current, where there are any and that costs less than counting
  /// every pair again.
  private func renewed(
    _ relation: Int, _ mirror: RowMirror, _ items: borrowing ItemRanks, _ parallel: Parallel
  ) -> NeighbourTable? {
    let configuration = relations[relation]
    let lists = lists[relation]
    guard way != .recount, lists.isCurrent, let old = lists.table,
      keepsDigest == (lists.words.count > 0)
    else { return nil }
    let count = items.count
    lists.extend(to: count)
    let counts = Vec<UInt32>(repeating: 0, count: count)
    for item in 0..<mirror.itemLimit { counts[item] = mirror.columnCounts[item] }
    let before = Vec<UInt32>(repeating: 0, count: count)
    let hasMoved = Vec<UInt8>(repeating: 0, count: count)
    for item in 0..<old.itemCount { before[item] = old.targetCount[item] }
    for item in 0..<count { hasMoved[item] = counts[item] == before[item] ? 0 : 1 }
    let deltas = PairDeltas(lists.pending, counts: counts.base, items: count)
    let isOffered = Vec<UInt8>(repeating: 0, count: count)
    let drift = lists.refer(to: counts.base, count, configuration.measure, isOffered.base)
    let met = mirror.work / UInt64(max(mirror.entries, 1)) + 1
    var cost: UInt64 = UInt64(deltas.moves.count) * 8
    for item in 0..<count {
      let rows = UInt64(counts[item])
      if isOffered[item] != 0 {
        cost += rows * met * 2
      } else if deltas.starts[item + 1] > deltas.starts[item] {
        cost += min(rows * met, rows + deltas.probes[item])
      }
    }
    if way == nil && cost > mirror.work { return nil }
    let columns = Columns(source: mirror, target: mirror, items: count, ofHeaders: true, parallel)
    let words = digestWords(configuration, items)
    // A pair that went may have gone with its items' keys.
    lists.words.extend(to: count, with: .zero)
    let contexts = mirror.activeRows
    let input = RenewalInput(
      items: count, k: neighbours, arena: mirror.view.arena, arenaCount: mirror.arenaCount, counts: counts.base, hasMoved: hasMoved.base,
      ranks: items.rankOf.base, columnStarts: columns.starts.base, columns: columns.places.base,
      columnCount: columns.places.count, met: met, moveStarts: deltas.starts.base,
      moves: deltas.moves.base, probes: deltas.probes.base, isOffered: isOffered.base,
      drift: drift, isRescored: configuration.measure.usesContexts && contexts != old.contexts,
      oldWords: keepsDigest ? UnsafePointer(lists.words.base) : nil,
      newWords: keepsDigest ? UnsafePointer(words.source.base) : nil)
    let scoring = Scoring(
      configuration, source: counts.base, target: counts.base, count: count, contexts: contexts)
    let earlier = Scoring(
      configuration, source: before.base, target: before.base, count: count,
      contexts: old.contexts)
    let parts = count < 64 ? 1 : 8
    let found = (0..<parts).map { _ in RenewedPart() }
    scoring.withSeparable(configuration) { scorer in
      ListRenewal.countAll(
        input, floors: lists.floors.base, scorer: scorer, earlier: earlier.facts, found, parallel)
    }
    let offers = SortedOffers(found, lists: count)
    let slots = Vec<UInt32>(repeating: 0, count: count)
    let lengths = Vec<UInt32>(repeating: 0, count: count)
    var total = 0
    for item in 0..<count {
      slots[item] = UInt32(clamping: total)
      let known =
        old.range(UInt32(item)).count + Int(lists.spareLengths[item])
        + Int(offers.starts[item + 1] - offers.starts[item])
      total += min(neighbours, lists.floors[item] > 0 ? neighbours : known)
    }
    let storage = NeighbourTable.Storage(items: count, slots: total)
    storage.sourceCount.update(from: counts.base, count: count)
    storage.targetCount.update(from: counts.base, count: count)
    let spares = lists.spares
    let output = ProductOutput(
      slots: UnsafePointer(slots.base), lengths: lengths.base, ids: storage.ids,
      both: storage.both, values: storage.values, spares: spares)
    scoring.withSeparable(configuration) { scorer in
      parallel(parts) { part in
        ListRenewal.renew(
          input, old, offers, output, spares, scorer: scorer,
          range: (count * part / parts)..<(count * (part + 1) / parts), into: found[part])
      }
    }
    var stale: [Int] = []
    for part in found {
      for s in 0..<part.stale.count { stale.append(Int(part.stale[s])) }
    }
    let product = ProductInput(
      items: count, starts: UnsafePointer(columns.starts.base),
      places: UnsafePointer(columns.places.base), placeCount: columns.places.count,
      areHeaders: true, costs: UnsafePointer(columns.costs.base), arena: mirror.view.arena,
      ranks: UnsafePointer(items.rankOf.base), isSymmetric: true, k: neighbours)
    if !stale.isEmpty {
      let parts = min(parts, stale.count)
      scoring.withSeparable(configuration) { scorer in
        parallel(parts) { part in
          _ = RowProduct.run(
            product, output, scorer: scorer,
            items: stride(from: part, to: stale.count, by: parts).lazy.map { stale[$0] })
        }
      }
    }
    storage.close(slots: UnsafePointer(slots.base), lengths: UnsafePointer(lengths.base))
    var digest = old.countsDigest
    var pairs = old.pairs
    for part in found {
      digest &+= part.digest
      pairs += part.pairs
    }
    let table = NeighbourTable(
      measure: configuration.measure, shrinkage: configuration.shrinkage, contexts: contexts,
      pairs: pairs, countsDigest: digest, storage: storage)
    lists.adopt(table, words: words.source, limit: way == .renewal ? .max : mirror.work / 16)
    return table
  }

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
    work: UInt64, contexts: Int, spares: ProductOutput.Spares?, _ parallel: Parallel
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
      both: storage.both, values: storage.values, spares: spares)
    scoring.with(relation) { scorer in
      parallel(parts) { part in
        sums[part] = RowProduct.run(
          input, output, scorer: scorer, items: bounds[part]..<bounds[part + 1])
      }
    }
    return table(
      relation, storage, slots, lengths, sums, contexts: contexts, isSymmetric: input.isSymmetric)
  }
}

extension CoOccurrence: @unchecked Sendable {}

extension CoOccurrence {
  /// Whether the mirrors are whole; for tests. Complexity: O(entries).
  public func checkInvariants() -> Bool { mirrors.allSatisfy { $0.checkInvariants() } }
}
