// The rules of one mining, immutable and self-contained: it keeps its own copy of the item keys, so
// it can be compared with a later set whose dense ids mean other items.
//
// Items are numbered by key order (bytes), itemsets by canonical order (lexicographic over their
// items' keys, a prefix before its extensions). An itemset is (prefix, last item, count): the tree
// of prefixes, 13 bytes each. Rules stand in groups, one per antecedent, groups in canonical order;
// in a group by confidence falling, then lift falling, then the consequent's canonical order.
import Sparse

public final class RuleSet: Sendable {
  /// n
  public let baskets: Int
  /// The least count of an itemset that was asked for.
  public let minimumCount: Int
  /// The bound on an itemset's length that was applied (0: none): below the configured one when
  /// there were too many itemsets.
  public let maxLength: Int
  /// Rules of the allowed shape before any filter: the family over which q is corrected.
  public let familySize: Int

  /// Items by key order: the key's bytes are `keyBytes[keyStarts[i]..<keyStarts[i + 1]]`.
  let keyStarts: Vec<Int>
  let keyBytes: Vec<UInt8>
  @usableFromInline let itemIDs: Vec<UInt32>

  /// Itemsets by canonical order; a single item's prefix is UInt32.max.
  @usableFromInline let setPrefixes: Vec<UInt32>
  @usableFromInline let setLasts: Vec<UInt32>
  @usableFromInline let setCounts: Vec<UInt32>
  @usableFromInline let setLengths: Vec<UInt8>

  /// Groups: the antecedent's itemset; rules `groupStarts[g]..<groupStarts[g + 1]`.
  @usableFromInline let groupAntecedents: Vec<UInt32>
  @usableFromInline let groupStarts: Vec<Int>

  /// By rule: the consequent's itemset, c_XY, and which (p, q) it has.
  @usableFromInline let consequents: Vec<UInt32>
  @usableFromInline let boths: Vec<UInt32>
  let significances: Vec<UInt32>
  let ps: Vec<Double>
  let qs: Vec<Double>
  /// By rule, when redundancy was judged: counts of the best sub-rule (both, antecedent); else empty.
  let bestBoths: Vec<UInt32>
  let bestAntecedents: Vec<UInt32>

  /// For ranking: groups watched by an item (the antecedent's least frequent one), by dense id; and
  /// each group's other antecedent items as dense ids.
  @usableFromInline let watchStarts: Vec<UInt32>
  @usableFromInline let watched: Vec<UInt32>
  @usableFromInline let otherStarts: Vec<UInt32>
  @usableFromInline let others: Vec<UInt32>

  init(_ parts: consuming RuleSetParts) {
    baskets = parts.baskets
    minimumCount = parts.minimumCount
    maxLength = parts.maxLength
    familySize = parts.familySize
    let index = RuleIndexParts(parts)
    keyStarts = parts.keyStarts
    keyBytes = parts.keyBytes
    itemIDs = parts.itemIDs
    setPrefixes = parts.setPrefixes
    setLasts = parts.setLasts
    setCounts = parts.setCounts
    setLengths = parts.setLengths
    groupAntecedents = parts.groupAntecedents
    groupStarts = parts.groupStarts
    consequents = parts.consequents
    boths = parts.boths
    significances = parts.significances
    ps = parts.ps
    qs = parts.qs
    bestBoths = parts.bestBoths
    bestAntecedents = parts.bestAntecedents
    watchStarts = index.watchStarts
    watched = index.watched
    otherStarts = index.otherStarts
    others = index.others
  }

  /// No rules, over no baskets.
  public convenience init() { self.init(RuleSetParts()) }

  // MARK: Reading

  /// Rules.
  public var count: Int { consequents.count }
  /// Antecedents that have rules.
  public var groupCount: Int { groupAntecedents.count }
  /// Frequent itemsets.
  public var itemsetCount: Int { setCounts.count }
  /// Bytes held.
  public var bytes: Int {
    keyStarts.bytes + keyBytes.bytes + itemIDs.bytes + setPrefixes.bytes + setLasts.bytes
      + setCounts.bytes + setLengths.bytes + groupAntecedents.bytes + groupStarts.bytes
      + consequents.bytes + boths.bytes + significances.bytes + ps.bytes + qs.bytes
      + bestBoths.bytes + bestAntecedents.bytes + watchStarts.bytes + watched.bytes
      + otherStarts.bytes + others.bytes
  }

  /// The rules of a group.
  @inlinable public func rules(ofGroup group: Int) -> Range<Int> {
    groupStarts[group]..<groupStarts[group + 1]
  }
  /// c_X
  @inlinable public func antecedentCount(ofGroup group: Int) -> Int {
    Int(setCounts[Int(groupAntecedents[group])])
  }
  /// The group that has the rule. O(log groups).
  public func group(ofRule rule: Int) -> Int {
    var low = 0
    var high = groupCount
    while low + 1 < high {
      let middle = (low + high) / 2
      if groupStarts[middle] <= rule { low = middle } else { high = middle }
    }
    return low
  }

  /// n, c_X, c_Y, c_XY.
  @inlinable public func counts(ofRule rule: Int, inGroup group: Int) -> RuleCounts {
    RuleCounts(
      baskets: baskets, antecedent: antecedentCount(ofGroup: group),
      consequent: Int(setCounts[Int(consequents[rule])]), both: Int(boths[rule]))
  }

  /// Fisher's one-sided p; nil when significance was left out.
  public func p(ofRule rule: Int) -> Double? {
    significances.count == 0 ? nil : ps[Int(significances[rule])]
  }
  /// Benjamini-Hochberg's q over the family; nil when significance was left out.
  public func q(ofRule rule: Int) -> Double? {
    significances.count == 0 ? nil : qs[Int(significances[rule])]
  }

  /// Confidence less the best confidence of a rule with fewer antecedent items, none included
  /// (Bayardo); at most 0: redundant. nil when redundancy was not judged.
  public func improvement(ofRule rule: Int, inGroup group: Int) -> Double? {
    if bestBoths.count == 0 { return nil }
    return RuleMeasures.confidence(counts(ofRule: rule, inGroup: group))
      - Double(bestBoths[rule]) / Double(bestAntecedents[rule])
  }

  /// Dense ids of the antecedent, by key order.
  public func antecedent(ofGroup group: Int) -> [UInt32] { ids(groupAntecedents[group]) }
  /// Dense ids of the consequent, by key order.
  public func consequent(ofRule rule: Int) -> [UInt32] { ids(consequents[rule]) }
  /// Items in the consequent.
  @inlinable public func consequentLength(ofRule rule: Int) -> Int {
    Int(setLengths[Int(consequents[rule])])
  }
  /// The dense id of the consequent's last item by key order: of its only item when it has one.
  @inlinable public func lastConsequentItem(ofRule rule: Int) -> UInt32 {
    itemIDs[Int(setLasts[Int(consequents[rule])])]
  }

  private func ids(_ set: UInt32) -> [UInt32] {
    var places: [UInt32] = []
    appendItems(of: set, to: &places)
    return places.map { itemIDs[Int($0)] }
  }

  /// Appends the itemset's items (numbers by key order, rising).
  func appendItems(of set: UInt32, to items: inout [UInt32]) {
    let length = Int(setLengths[Int(set)])
    let start = items.count
    items.append(contentsOf: repeatElement(0, count: length))
    items.withUnsafeMutableBufferPointer {
      copyItems(of: set, to: UnsafeMutableBufferPointer(rebasing: $0[start...]))
    }
  }

  /// The same into a buffer that has exactly their number.
  func copyItems(of set: UInt32, to items: UnsafeMutableBufferPointer<UInt32>) {
    var node = set
    var at = items.count
    while at > 0 {
      at &-= 1
      items[at] = setLasts[Int(node)]
      node = setPrefixes[Int(node)]
    }
  }

  /// The key of the item numbered `item` by key order.
  func key(_ item: UInt32) -> UnsafeRawBufferPointer {
    let start = keyStarts[Int(item)]
    return UnsafeRawBufferPointer(
      start: keyBytes.base + start, count: keyStarts[Int(item) + 1] - start)
  }

  // MARK: Ranking

  /// Calls `body` with every group whose antecedent lies within the basket: `items` are the
  /// basket's distinct items (dense ids), `isMarked` tells whether an id is one of them. Groups come
  /// by the place of their least frequent item in `items`. O(items + groups looked at).
  @inlinable public func forEachGroup(
    within items: UnsafeBufferPointer<UInt32>, isMarked: (UInt32) -> Bool, _ body: (Int) -> Void
  ) {
    let limit = watchStarts.count &- 1
    for place in 0..<items.count {
      let id = Int(items[place])
      if id >= limit { continue }
      var at = Int(watchStarts[id])
      let end = Int(watchStarts[id &+ 1])
      search: while at < end {
        let group = Int(watched[at])
        at &+= 1
        var other = Int(otherStarts[group])
        let last = Int(otherStarts[group &+ 1])
        while other < last {
          if !isMarked(others[other]) { continue search }
          other &+= 1
        }
        body(group)
      }
    }
  }

  /// Calls `body(group, rule)` with every rule whose antecedent lies within the basket.
  @inlinable public func forEachRule(
    within items: UnsafeBufferPointer<UInt32>, isMarked: (UInt32) -> Bool,
    _ body: (_ group: Int, _ rule: Int) -> Void
  ) {
    forEachGroup(within: items, isMarked: isMarked) { group in
      for rule in rules(ofGroup: group) { body(group, rule) }
    }
  }
}

/// The columns of a rule set while it is built.
struct RuleSetParts: ~Copyable {
  var baskets = 0
  var minimumCount = 0
  var maxLength = 0
  var familySize = 0
  var keyStarts = Vec<Int>(repeating: 0, count: 1)
  var keyBytes = Vec<UInt8>()
  var itemIDs = Vec<UInt32>()
  var setPrefixes = Vec<UInt32>()
  var setLasts = Vec<UInt32>()
  var setCounts = Vec<UInt32>()
  var setLengths = Vec<UInt8>()
  var groupAntecedents = Vec<UInt32>()
  var groupStarts = Vec<Int>(repeating: 0, count: 1)
  var consequents = Vec<UInt32>()
  var boths = Vec<UInt32>()
  var significances = Vec<UInt32>()
  var ps = Vec<Double>()
  var qs = Vec<Double>()
  var bestBoths = Vec<UInt32>()
  var bestAntecedents = Vec<UInt32>()
}

/// The index for ranking, from the columns.
struct RuleIndexParts: ~Copyable {
  var watchStarts: Vec<UInt32>
  var watched: Vec<UInt32>
  var otherStarts: Vec<UInt32>
  var others: Vec<UInt32>

  init(_ parts: borrowing RuleSetParts) {
    let groups = parts.groupAntecedents.count
    var idLimit = 0
    for i in 0..<parts.itemIDs.count { idLimit = max(idLimit, Int(parts.itemIDs[i]) + 1) }
    // Count of a single item by key order.
    let itemCounts = Vec<UInt32>(repeating: 0, count: parts.itemIDs.count)
    for set in 0..<parts.setCounts.count where parts.setPrefixes[set] == .max {
      itemCounts[Int(parts.setLasts[set])] = parts.setCounts[set]
    }
    let watchers = Vec<UInt32>(repeating: 0, count: groups)
    otherStarts = Vec(capacity: groups + 1)
    others = Vec()
    otherStarts.append(0)
    watchStarts = Vec(repeating: 0, count: idLimit + 1)
    for group in 0..<groups {
      var rarest = parts.setLasts[Int(parts.groupAntecedents[group])]
      var set = parts.groupAntecedents[group]
      while set != .max {
        let item = parts.setLasts[Int(set)]
        if itemCounts[Int(item)] < itemCounts[Int(rarest)] { rarest = item }
        set = parts.setPrefixes[Int(set)]
      }
      set = parts.groupAntecedents[group]
      while set != .max {
        let item = parts.setLasts[Int(set)]
        if item != rarest { others.append(parts.itemIDs[Int(item)]) }
        set = parts.setPrefixes[Int(set)]
      }
      otherStarts.append(UInt32(others.count))
      watchers[group] = parts.itemIDs[Int(rarest)]
      watchStarts[Int(watchers[group]) + 1] += 1
    }
    for i in 0..<idLimit { watchStarts[i + 1] += watchStarts[i] }
    watched = Vec(repeating: 0, count: groups)
    let cursors = copy(watchStarts)
    for group in 0..<groups {
      let id = Int(watchers[group])
      watched[Int(cursors[id])] = UInt32(group)
      cursors[id] += 1
    }
  }
}
