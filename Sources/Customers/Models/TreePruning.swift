// Minimal cost-complexity pruning (Breiman et al. 1984, chapter 3) and the tree in words.

extension DecisionTree {
  /// The α at which each further subtree becomes a leaf, ascending, from 0 (the tree as grown). R(t) is impurity weighted by the
  /// node's share of the rows, as in scikit-learn.
  public func pruningPath() -> [Double] {
    var path = [0.0]
    var tree = self
    while tree.feature[0] >= 0 {
      guard let (alpha, _) = tree.weakestLink() else { break }
      tree = tree.pruned(alpha: alpha)
      path.append(max(alpha, path.last ?? 0))
    }
    return path
  }

  /// Without the subtrees that do not lower R by more than α per leaf.
  public func pruned(alpha: Double) -> DecisionTree {
    var tree = self
    while let (least, node) = tree.weakestLink(), least <= alpha {
      tree.feature[node] = -1
      tree.left[node] = -1
      tree.right[node] = -1
    }
    return tree.compacted()
  }

  /// The inner node whose subtree earns least per leaf; the first of equal ones.
  private func weakestLink() -> (alpha: Double, node: Int)? {
    let total = Double(rows(0))
    var best: (alpha: Double, node: Int)?
    // (Σ R of the leaves below, number of leaves)
    func visit(_ node: Int) -> (Double, Int) {
      let own = impurity(node) * Double(rows(node)) / total
      if feature[node] < 0 { return (own, 1) }
      let (a, b) = (visit(Int(left[node])), visit(Int(right[node])))
      let (sum, leaves) = (a.0 + b.0, a.1 + b.1)
      let alpha = (own - sum) / Double(leaves - 1)
      if best == nil || alpha < best?.alpha ?? .infinity || (alpha == best?.alpha && node < best?.node ?? 0) {
        best = (alpha, node)
      }
      return (sum, leaves)
    }
    _ = visit(0)
    return best
  }

  /// Without nodes that the root no longer reaches; level by level as before.
  private func compacted() -> DecisionTree {
    var result = DecisionTree(classes: classes, criterion: criterion)
    var queue = [0]
    var at = 0
    while at < queue.count {
      let node = queue[at]
      at += 1
      result.feature.append(feature[node])
      result.threshold.append(threshold[node])
      result.counts.append(contentsOf: counts(node))
      if feature[node] < 0 {
        result.threshold[result.threshold.count - 1] = 0
        result.left.append(-1)
        result.right.append(-1)
      } else {
        result.left.append(Int32(queue.count))
        result.right.append(Int32(queue.count + 1))
        queue.append(Int(left[node]))
        queue.append(Int(right[node]))
      }
    }
    return result
  }
}

/// A leaf's path: its conditions joined per feature, widest first as the path met them.
public struct TreeRule: Sendable {
  public struct Condition: Sendable {
    public var feature: Int
    /// value > above
    public var above: Double?
    /// value <= atMost
    public var atMost: Double?
  }
  public var conditions: [Condition]
  public var leaf: Int
  public var rows: Int
  /// Rows of each class.
  public var counts: [Int]
}

extension DecisionTree {
  /// One rule a leaf, from left to right.
  public func rules() -> [TreeRule] {
    var result: [TreeRule] = []
    func visit(_ node: Int, _ path: [TreeRule.Condition]) {
      if feature[node] < 0 {
        result.append(
          TreeRule(conditions: path, leaf: node, rows: rows(node), counts: counts(node).map { Int($0) }))
        return
      }
      let f = Int(feature[node])
      var (low, high) = (path, path)
      let place = path.firstIndex { $0.feature == f }
      if let place {
        low[place].atMost = threshold[node]
        high[place].above = threshold[node]
      } else {
        low.append(TreeRule.Condition(feature: f, above: nil, atMost: threshold[node]))
        high.append(TreeRule.Condition(feature: f, above: threshold[node], atMost: nil))
      }
      visit(Int(left[node]), low)
      visit(Int(right[node]), high)
    }
    visit(0, [])
    return result
  }
}
