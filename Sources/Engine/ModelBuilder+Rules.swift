// Rules of a model: mined over the baskets, and the messages that carry what changed.
import Recommender
import Sparse

extension ModelBuilder {
  /// Rules over the baskets as they are now.
  func mine(_ matrix: Int, parallel: @escaping Parallel) -> RuleSet {
    let rows = counts.rows(matrix: matrix)
    let rules = configuration.rules
    return rows.offsets.withUnsafeBufferPointer { offsets in
      rows.items.withUnsafeBufferPointer { items in
        let baskets = Baskets(offsets: offsets, items: items)
        let minimum = max(
          rules.minimumCount(baskets: baskets.count), configuration.minUsers)
        let itemsets = mineFrequentItemsets(
          baskets, minimumCount: minimum, maxLength: rules.maxLength, parallel: parallel)
        return makeRules(
          itemsets, configuration: rules, items: self.items, parallel: parallel)
      }
    }
  }

  /// Groups that changed since the model before, nulls for antecedents without rules now.
  func writeRules(_ model: Model, into outputs: inout Outputs) {
    guard let now = model.rules else { return }
    let before = last?.rules
    let changes = now.changes(since: before)
    if let before {
      for group in changes.gone {
        let start = outputs.writer.count
        before.encodeKey(ofGroup: group, into: &outputs.writer)
        outputs.delete(.rules, start: start)
      }
    }
    for group in changes.changed {
      let start = outputs.writer.count
      now.encodeKey(ofGroup: group, into: &outputs.writer)
      let keyEnd = outputs.writer.count
      now.encode(group: group, model: model.id, into: &outputs.writer)
      outputs.finish(.rules, start: start, keyEnd: keyEnd)
    }
  }
}
