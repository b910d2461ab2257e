// Rules as messages of `affinity.rules`: one per antecedent, keyed by the JSON array of its items'
// ids sorted as bytes; and what must be sent after a new mining: groups that changed, and nulls for
// antecedents that have no rules any more.
import Sparse

extension RuleSet {
  /// Appends the message's key: `["sku-1","sku-2"]`.
  public func encodeKey(ofGroup group: Int, into writer: inout ByteWriter) {
    encodeItems(groupAntecedents[group], into: &writer)
  }

  /// Appends the message's value. Needs p and q.
  public func encode(group: Int, model: String, into writer: inout ByteWriter) {
    writer.append("{\"antecedent\":")
    encodeItems(groupAntecedents[group], into: &writer)
    writer.append(",\"model\":")
    writer.append(quoted: model)
    writer.append(",\"baskets\":")
    writer.append(baskets)
    writer.append(",\"antecedent_count\":")
    writer.append(antecedentCount(ofGroup: group))
    writer.append(",\"consequents\":[")
    let range = rules(ofGroup: group)
    for rule in range {
      if rule > range.lowerBound { writer.append(byte: UInt8(ascii: ",")) }
      encode(rule: rule, group: group, into: &writer)
    }
    writer.append("]}")
  }

  private func encode(rule: Int, group: Int, into writer: inout ByteWriter) {
    let counts = counts(ofRule: rule, inGroup: group)
    writer.append("{\"items\":")
    encodeItems(consequents[rule], into: &writer)
    writer.append(",\"consequent_count\":")
    writer.append(counts.consequent)
    writer.append(",\"count\":")
    writer.append(counts.both)
    writer.append(",\"support\":")
    writer.append(RuleMeasures.support(counts))
    writer.append(",\"confidence\":")
    writer.append(RuleMeasures.confidence(counts))
    writer.append(",\"lift\":")
    writer.append(RuleMeasures.lift(counts))
    writer.append(",\"leverage\":")
    writer.append(RuleMeasures.leverage(counts))
    writer.append(",\"conviction\":")
    if let conviction = RuleMeasures.conviction(counts) {
      writer.append(conviction)
    } else {
      writer.append("null")
    }
    if let p = p(ofRule: rule), let q = q(ofRule: rule) {
      writer.append(",\"p\":")
      writer.append(p)
      writer.append(",\"q\":")
      writer.append(q)
    }
    writer.append("}")
  }

  private func encodeItems(_ set: UInt32, into writer: inout ByteWriter) {
    let length = Int(setLengths[Int(set)])
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: length) { items in
      copyItems(of: set, to: items)
      writer.append(byte: UInt8(ascii: "["))
      for i in 0..<length {
        if i > 0 { writer.append(byte: UInt8(ascii: ",")) }
        writer.append(quoted: key(items[i]))
      }
      writer.append(byte: UInt8(ascii: "]"))
    }
  }
}

/// What differs between two rule sets' messages, the model's id aside.
public struct RuleChanges: Sendable, Equatable {
  /// Groups of the new set whose message is new or different, rising.
  public var changed: [Int] = []
  /// Groups of the old set whose antecedent has no rules in the new one, rising.
  public var gone: [Int] = []
  public init() {}
}

extension RuleSet {
  /// From `previous` (nil: nothing was sent) to this set. Items are matched by key, never by dense
  /// id. O(groups and rules of both).
  public func changes(since previous: RuleSet?) -> RuleChanges {
    var changes = RuleChanges()
    guard let previous, previous !== self else {
      if previous == nil { changes.changed = Array(0..<groupCount) }
      return changes
    }
    let (mine, theirs) = commonOrders(previous)
    var old = 0
    var new = 0
    var left: [UInt32] = []
    var right: [UInt32] = []
    while old < previous.groupCount || new < groupCount {
      var order = 0
      if old == previous.groupCount {
        order = 1
      } else if new == groupCount {
        order = -1
      } else {
        previous.common(previous.groupAntecedents[old], theirs, &left)
        common(groupAntecedents[new], mine, &right)
        order = left == right ? 0 : left.lexicographicallyPrecedes(right) ? -1 : 1
      }
      if order < 0 {
        changes.gone.append(old)
        old += 1
      } else if order > 0 {
        changes.changed.append(new)
        new += 1
      } else {
        if !sameContent(new, mine, previous, old, theirs) { changes.changed.append(new) }
        old += 1
        new += 1
      }
    }
    return changes
  }

  /// For each item of this set, and of the other, its place in the merged order of keys.
  private func commonOrders(_ other: RuleSet) -> (mine: [UInt32], theirs: [UInt32]) {
    var mine: [UInt32] = []
    var theirs: [UInt32] = []
    let (a, b) = (keyStarts.count - 1, other.keyStarts.count - 1)
    var next: UInt32 = 0
    while mine.count < a || theirs.count < b {
      let hasMine = mine.count < a
      let hasTheirs = theirs.count < b
      if hasMine && hasTheirs {
        let left = key(UInt32(mine.count))
        let right = other.key(UInt32(theirs.count))
        if sameBytes(left, right) {
          mine.append(next)
          theirs.append(next)
        } else if comesBefore(left, right) {
          mine.append(next)
        } else {
          theirs.append(next)
        }
      } else if hasMine {
        mine.append(next)
      } else {
        theirs.append(next)
      }
      next += 1
    }
    return (mine, theirs)
  }

  private func common(_ set: UInt32, _ orders: [UInt32], _ into: inout [UInt32]) {
    into.removeAll(keepingCapacity: true)
    appendItems(of: set, to: &into)
    for i in 0..<into.count { into[i] = orders[Int(into[i])] }
  }

  private func sameContent(
    _ group: Int, _ mine: [UInt32], _ other: RuleSet, _ otherGroup: Int, _ theirs: [UInt32]
  ) -> Bool {
    let range = rules(ofGroup: group)
    let otherRange = other.rules(ofGroup: otherGroup)
    if baskets != other.baskets || range.count != otherRange.count
      || antecedentCount(ofGroup: group) != other.antecedentCount(ofGroup: otherGroup)
    {
      return false
    }
    var left: [UInt32] = []
    var right: [UInt32] = []
    for (rule, otherRule) in zip(range, otherRange) {
      if counts(ofRule: rule, inGroup: group)
        != other.counts(ofRule: otherRule, inGroup: otherGroup)
        || p(ofRule: rule) != other.p(ofRule: otherRule)
        || q(ofRule: rule) != other.q(ofRule: otherRule)
      {
        return false
      }
      common(consequents[rule], mine, &left)
      other.common(other.consequents[otherRule], theirs, &right)
      if left != right { return false }
    }
    return true
  }
}
