// CART classification trees (Breiman, Friedman, Olshen, Stone 1984) grown level by level over columns sorted once, as in SLIQ (Mehta,
// Agrawal, Rissanen 1996): one pass over each sorted column finds the best split of every node of a level. Squares of counts are
// kept in integers, so a Gini split is exact. Nodes are places in flat arrays.
//
// Values are single precision, and a split lies midway between two neighbours, as in scikit-learn; rows with value <= threshold go
// left. Labels are 0..<classes. There are no missing values (Preprocessor fills them).
import Sparse

public enum SplitCriterion: String, Sendable, CaseIterable {
  /// 1 − Σ p²
  case gini
  /// H(S) − Σ |S_v|/|S| · H(S_v), H in bits (MATHS §5; weighted, or useless splits would be punished)
  case informationGain = "information_gain"
  /// Information gain over the split's own entropy, among features whose gain is at least average (Quinlan, C4.5)
  case gainRatio = "gain_ratio"
}

public struct TreeSettings: Sendable {
  public var criterion = SplitCriterion.gini
  public var maxDepth = 5
  public var minLeaf = 20
  public init(_ criterion: SplitCriterion = .gini, maxDepth: Int = 5, minLeaf: Int = 20) {
    self.criterion = criterion
    self.maxDepth = maxDepth
    self.minLeaf = minLeaf
  }
}

public struct DecisionTree: Sendable, Equatable {
  public let classes: Int
  public let criterion: SplitCriterion
  /// Per node, the root first, level by level. The feature split on; −1 in a leaf.
  public internal(set) var feature: [Int32] = []
  public internal(set) var threshold: [Double] = []
  /// The children; −1 in a leaf.
  public internal(set) var left: [Int32] = []
  public internal(set) var right: [Int32] = []
  /// Rows of each class per node.
  public internal(set) var counts: [UInt32] = []

  public var nodeCount: Int { feature.count }
  public var leafCount: Int { leaves(below: 0) }

  func leaves(below node: Int) -> Int {
    feature[node] < 0 ? 1 : leaves(below: Int(left[node])) + leaves(below: Int(right[node]))
  }

  public func counts(_ node: Int) -> ArraySlice<UInt32> { counts[node * classes..<(node + 1) * classes] }
  public func rows(_ node: Int) -> Int { counts(node).reduce(0) { $0 + Int($1) } }
  /// Share of a class among a node's rows.
  public func share(_ node: Int, of label: Int) -> Double {
    Double(counts[node * classes + label]) / Double(max(1, rows(node)))
  }

  /// Gini impurity or entropy in bits.
  public func impurity(_ node: Int) -> Double {
    let total = Double(rows(node))
    guard total > 0 else { return 0 }
    return counts(node).reduce(criterion == .gini ? 1.0 : 0.0) { sum, count in
      let p = Double(count) / total
      if criterion == .gini { return sum - p * p }
      return p > 0 ? sum - p * logarithm2(p) : sum
    }
  }

  /// The leaf of a table's row.
  public func leaf(_ table: Table, row: Int) -> Int {
    var node = 0
    while feature[node] >= 0 {
      let value = Double(Float(table[row, Int(feature[node])]))
      node = Int(value <= threshold[node] ? left[node] : right[node])
    }
    return node
  }

  /// Share of `label` in each row's leaf.
  public func predict(_ table: Table, label: Int = 1) -> [Double] {
    (0..<table.rows).map { share(leaf(table, row: $0), of: label) }
  }

  /// Complexity: O(columns · rows) for sorting and per level.
  public static func fit(
    _ table: Table, labels: [UInt8], classes: Int = 2, _ settings: TreeSettings = TreeSettings(),
    parallel: ParallelFor = serially
  ) -> DecisionTree {
    precondition(labels.count == table.rows && classes >= 2 && classes <= 256)
    var grower = TreeGrower(table, labels, classes, settings, parallel)
    grower.grow(parallel)
    return grower.tree
  }
}

/// A level's best split of a node so far.
struct SplitFound: BitwiseCopyable {
  var score = -Double.infinity
  var low: Float = 0
  var high: Float = 0
  var leftRows: Int32 = 0
}

struct TreeGrower: ~Copyable {
  private(set) var tree: DecisionTree
  private let table: Table
  private let labels: [UInt8]
  private let settings: TreeSettings
  private let classes: Int
  private let rows: Int
  /// Column by column: values ascending, and the rows they are of.
  private let sorted: Vec<Float>
  private let order: Vec<UInt32>
  /// Of each row: its node's place in the level · classes + its label, so that a walk in sorted order, whose rows lie anywhere, meets
  /// two bytes a row; `done` where the node is a leaf.
  private let codes: Vec<UInt16>
  private static let done = UInt16.max
  /// x log2 x of the whole numbers, for entropies.
  private let logs: [Double]

  init(
    _ table: Table, _ labels: [UInt8], _ classes: Int, _ settings: TreeSettings, _ parallel: ParallelFor
  ) {
    self.table = table
    self.labels = labels
    self.settings = settings
    self.classes = classes
    rows = table.rows
    tree = DecisionTree(classes: classes, criterion: settings.criterion)
    sorted = .filled(0, count: max(1, rows * table.columns))
    order = .filled(0, count: max(1, rows * table.columns))
    codes = Vec(capacity: rows)
    logs =
      settings.criterion == .gini
      ? [] : [0] + (1...max(1, rows)).map { Double($0) * logarithm2(Double($0)) }
    let (values, ids, n) = (Shared(sorted.base), Shared(order.base), rows)
    parallel(table.columns) { c in
      sortColumn(table.column(c), n, values.base + c * n, ids.base + c * n)
    }
  }

  mutating func grow(_ parallel: ParallelFor) {
    for row in 0..<rows { codes.base[row] = UInt16(labels[row]) }
    var counts = [UInt32](repeating: 0, count: classes)
    for label in labels { counts[Int(label)] += 1 }
    append(counts)
    var level = [0]
    var depth = 0
    while !level.isEmpty && depth < settings.maxDepth {
      depth += 1
      let open = level.map { canSplit($0) }
      if !open.contains(true) { break }
      let found = bestSplits(level, open, parallel)
      level = split(level, found)
    }
  }

  private mutating func append(_ counts: [UInt32]) {
    tree.feature.append(-1)
    tree.threshold.append(0)
    tree.left.append(-1)
    tree.right.append(-1)
    tree.counts.append(contentsOf: counts)
  }

  private func canSplit(_ node: Int) -> Bool {
    tree.rows(node) >= max(2, 2 * settings.minLeaf) && tree.impurity(node) > 2e-16
  }

  /// The best feature and split of each node of the level; feature −1 where there is none.
  private func bestSplits(_ level: [Int], _ open: [Bool], _ parallel: ParallelFor) -> [(feature: Int, split: SplitFound)] {
    let (nodes, columns) = (level.count, table.columns)
    let best = Vec<SplitFound>.filled(SplitFound(), count: nodes * columns)
    let shared = Shared(best.base)
    // Pointers: a noncopyable self is not captured.
    let (values, ids, codes, rows, classes) = (Shared(sorted.base), Shared(order.base), Shared(codes.base), rows, classes)
    let totals = level.flatMap { Array(tree.counts($0)) }
    let (logs, minLeaf, isGini) = (logs, Int32(max(1, settings.minLeaf)), settings.criterion == .gini)
    parallel(columns) { c in
      let scan = ColumnScan(nodes: nodes, classes: classes, totals: totals, open: open)
      if isGini {
        scan.gini(values.base + c * rows, ids.base + c * rows, rows, codes.base, minLeaf)
      } else {
        logs.withUnsafeBufferPointer { logs in
          guard let logs = logs.baseAddress else { return }
          scan.entropy(values.base + c * rows, ids.base + c * rows, rows, codes.base, minLeaf, logs)
        }
      }
      for node in 0..<nodes { shared.base[node * columns + c] = scan.found[node] }
    }
    return level.indices.map { node in choose(best.base + node * columns, level[node]) }
  }

  /// The first feature of the best score; by gain ratio among those of at least the average gain.
  private func choose(_ found: UnsafePointer<SplitFound>, _ node: Int) -> (feature: Int, split: SplitFound) {
    var best = (feature: -1, split: SplitFound())
    guard settings.criterion == .gainRatio else {
      for c in 0..<table.columns where found[c].score > best.split.score { best = (c, found[c]) }
      return best
    }
    let known = (0..<table.columns).filter { found[$0].score > -.infinity }
    let total = Double(tree.rows(node))
    let entropy = tree.impurity(node)
    // A scan's score is −Σ |S_v| H(S_v).
    let gains = known.map { entropy + found[$0].score / total }
    let mean = gains.reduce(0, +) / Double(max(1, gains.count))
    var bestRatio = -Double.infinity
    for (i, c) in known.enumerated() where gains[i] >= mean - 1e-12 {
      let share = Double(found[c].leftRows) / total
      let own = -share * logarithm2(share) - (1 - share) * logarithm2(1 - share)
      if own > 0 && gains[i] / own > bestRatio {
        bestRatio = gains[i] / own
        best = (c, found[c])
      }
    }
    return best
  }

  /// Makes the children and sends the rows to them.
  /// - Returns: the next level.
  private mutating func split(_ level: [Int], _ found: [(feature: Int, split: SplitFound)]) -> [Int] {
    var columns = [Int](repeating: -1, count: level.count)
    var thresholds = [Double](repeating: 0, count: level.count)
    var firstChild = [Int](repeating: 0, count: level.count)
    var next = 0
    for (i, one) in found.enumerated() where one.feature >= 0 && (next + 2) * classes < Int(TreeGrower.done) {
      columns[i] = one.feature
      thresholds[i] = midpoint(one.split)
      firstChild[i] = next
      next += 2
    }
    var counts = [UInt32](repeating: 0, count: next * classes)
    for row in 0..<rows {
      if codes[row] == TreeGrower.done { continue }
      let slot = Int(codes[row]) / classes
      let column = columns[slot]
      if column < 0 {
        codes[row] = TreeGrower.done
        continue
      }
      let goesRight = Double(Float(table.column(column)[row])) > thresholds[slot]
      let code = (firstChild[slot] + (goesRight ? 1 : 0)) * classes + Int(labels[row])
      codes[row] = UInt16(code)
      counts[code] += 1
    }
    var children: [Int] = []
    for (i, node) in level.enumerated() where columns[i] >= 0 {
      tree.feature[node] = Int32(columns[i])
      tree.threshold[node] = thresholds[i]
      tree.left[node] = Int32(tree.nodeCount)
      tree.right[node] = Int32(tree.nodeCount + 1)
      for side in 0..<2 {
        let at = (firstChild[i] + side) * classes
        children.append(tree.nodeCount)
        append(Array(counts[at..<at + classes]))
      }
    }
    return children
  }

  private func midpoint(_ split: SplitFound) -> Double {
    let middle = Double(split.low) / 2 + Double(split.high) / 2
    return middle == Double(split.high) || !middle.isFinite ? Double(split.low) : middle
  }
}

/// One walk over a sorted column for all nodes of a level.
private struct ColumnScan: ~Copyable {
  let classes: Int
  let found: Vec<SplitFound>
  private let left: Vec<UInt32>
  private let totals: Vec<UInt32>
  /// The node of each code.
  private let slots: Vec<UInt16>
  private struct Node: BitwiseCopyable {
    var leftSquares: Int64 = 0
    var rightSquares: Int64 = 0
    var leftRows: Int32 = 0
    var rows: Int32 = 0
    var last: Float = 0
    var isOpen = false
    var leftLogs = 0.0
    var rightLogs = 0.0
  }
  private let nodes: Vec<Node>
  /// Closer neighbours are one value (scikit-learn's FEATURE_THRESHOLD).
  private static let apart: Float = 1e-7
  /// Rows lie anywhere: their codes are asked for so many steps before their turn.
  private static let ahead = 32

  init(nodes count: Int, classes: Int, totals: [UInt32], open: [Bool]) {
    self.classes = classes
    found = .filled(SplitFound(), count: count)
    left = .filled(0, count: count * classes)
    self.totals = .filled(0, count: count * classes)
    nodes = .filled(Node(), count: count)
    slots = .filled(0, count: count * classes)
    for i in 0..<(count * classes) {
      self.totals[i] = totals[i]
      slots[i] = UInt16(i / classes)
    }
    for node in 0..<count {
      nodes.base[node].isOpen = open[node]
      for c in 0..<classes {
        let n = Int64(totals[node * classes + c])
        nodes.base[node].rows += Int32(n)
        nodes.base[node].rightSquares += n * n
      }
    }
  }

  /// Score: Σ over sides of Σ counts² / rows, largest where the weighted Gini impurity is least.
  func gini(
    _ values: UnsafePointer<Float>, _ order: UnsafePointer<UInt32>, _ rows: Int,
    _ codes: UnsafePointer<UInt16>, _ minLeaf: Int32
  ) {
    for i in 0..<rows {
      prefetch(codes + Int(order[min(i &+ ColumnScan.ahead, rows &- 1)]))
      let at = Int(codes[Int(order[i])])
      if at == 0xffff { continue }
      let slot = Int(slots[at])
      let node = nodes.base + slot
      if !node.pointee.isOpen { continue }
      let value = values[i]
      let (l, r) = (node.pointee.leftRows, node.pointee.rows &- node.pointee.leftRows)
      if l >= minLeaf && r >= minLeaf && value > node.pointee.last + ColumnScan.apart {
        let score =
          Double(node.pointee.leftSquares) / Double(l) + Double(node.pointee.rightSquares) / Double(r)
        if score > found[slot].score {
          found[slot] = SplitFound(score: score, low: node.pointee.last, high: value, leftRows: l)
        }
      }
      let (own, all) = (left[at], totals[at])
      left[at] = own &+ 1
      node.pointee.leftSquares &+= 2 &* Int64(own) &+ 1
      node.pointee.rightSquares &-= 2 &* Int64(all &- own) &- 1
      node.pointee.leftRows &+= 1
      node.pointee.last = value
    }
  }

  /// Score: −Σ over sides of rows · entropy, from x log2 x of the counts.
  func entropy(
    _ values: UnsafePointer<Float>, _ order: UnsafePointer<UInt32>, _ rows: Int,
    _ codes: UnsafePointer<UInt16>, _ minLeaf: Int32,
    _ logs: UnsafePointer<Double>
  ) {
    for node in 0..<nodes.count {
      nodes.base[node].rightLogs = 0
      for c in 0..<classes { nodes.base[node].rightLogs += logs[Int(totals[node * classes + c])] }
    }
    for i in 0..<rows {
      prefetch(codes + Int(order[min(i &+ ColumnScan.ahead, rows &- 1)]))
      let at = Int(codes[Int(order[i])])
      if at == 0xffff { continue }
      let slot = Int(slots[at])
      let node = nodes.base + slot
      if !node.pointee.isOpen { continue }
      let value = values[i]
      let (l, r) = (node.pointee.leftRows, node.pointee.rows &- node.pointee.leftRows)
      if l >= minLeaf && r >= minLeaf && value > node.pointee.last + ColumnScan.apart {
        let score = node.pointee.leftLogs - logs[Int(l)] + (node.pointee.rightLogs - logs[Int(r)])
        if score > found[slot].score {
          found[slot] = SplitFound(score: score, low: node.pointee.last, high: value, leftRows: l)
        }
      }
      let (own, all) = (Int(left[at]), Int(totals[at]))
      left[at] = UInt32(own &+ 1)
      node.pointee.leftLogs += logs[own &+ 1] - logs[own]
      node.pointee.rightLogs += logs[all &- own &- 1] - logs[all &- own]
      node.pointee.leftRows &+= 1
      node.pointee.last = value
    }
  }
}

/// Values as single precision in ascending order, with their rows: least significant digit first, eleven bits at a time.
func sortColumn(
  _ column: UnsafePointer<Double>, _ rows: Int, _ sorted: UnsafeMutablePointer<Float>,
  _ order: UnsafeMutablePointer<UInt32>
) {
  let keys = Vec<UInt64>.filled(0, count: rows)
  let other = Vec<UInt64>.filled(0, count: rows)
  let histograms = Vec<Int>.filled(0, count: 3 * 2048)
  for row in 0..<rows {
    // −0 is 0; the sign bit turned, and negative values back to front, sort as integers.
    let bits = (Float(column[row]) + 0).bitPattern
    let key = bits & 0x8000_0000 != 0 ? ~bits : bits | 0x8000_0000
    keys[row] = UInt64(key) << 32 | UInt64(row)
    for digit in 0..<3 {
      let place = digit &* 2048 &+ Int((key &>> UInt32(digit &* 11)) & 2047)
      histograms[place] &+= 1
    }
  }
  var (from, to) = (keys.base, other.base)
  for digit in 0..<3 {
    var sum = 0
    for i in 0..<2048 {
      let count = histograms[digit * 2048 + i]
      histograms[digit * 2048 + i] = sum
      sum += count
    }
    let shift = UInt64(32 + digit * 11)
    for i in 0..<rows {
      let key = from[i]
      let place = digit &* 2048 &+ Int((key &>> shift) & 2047)
      to[histograms[place]] = key
      histograms[place] &+= 1
    }
    swap(&from, &to)
  }
  for i in 0..<rows {
    let key = UInt32(truncatingIfNeeded: from[i] >> 32)
    sorted[i] = Float(bitPattern: key & 0x8000_0000 != 0 ? key & 0x7fff_ffff : ~key)
    order[i] = UInt32(truncatingIfNeeded: from[i])
  }
}
