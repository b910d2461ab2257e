// The frequent itemsets as a lattice: for each itemset the itemsets with one item less, and its place
// in the canonical order. All flat arrays by node; nodes are numbered level by level (all single
// items, then all pairs, …), within a level in the miner's order, so children are neighbours.
//
// Links are found by walking two child lists at once: dropping item j of P∪{z} gives the child z of
// P with item j dropped, and everything that extends P extends the smaller set too. Any subset is
// then a chain of links; nothing is hashed or searched.
//
// The canonical order is lexicographic over the items' keys, sorted as bytes, a prefix before its
// extensions. It is the preorder of the prefix tree over key order, computed from subtree sizes.
import Sparse

struct ItemsetLattice: ~Copyable {
  let baskets: Int
  let itemCount: Int
  /// Nodes, the empty set (number `count`) not among them.
  let count: Int
  /// Level d (itemsets of d items) is `levelStarts[d]..<levelStarts[d + 1]`; [0] and [1] are 0.
  var levelStarts: [Int] = [0, 0]
  /// By node. `counts[count]` is the empty set's: all baskets.
  var counts: Vec<UInt32>
  /// Level d's entries start at `linkBases[d]`, d per node: node without its j-th item (for a single
  /// item the empty set), and the rank of its j-th item; ranks rise.
  var linkBases: [Int] = [0, 0]
  var links: Vec<UInt32>
  var elements: Vec<UInt32>
  /// Key order of an item by rank: 0 for the key that sorts first.
  let keyOrders: Vec<UInt32>
  /// By node: place in the canonical order; the canonical prefix (without the last key; `count` for
  /// single items); the key order of the last key.
  var canonical: Vec<UInt32>
  var keyParents: Vec<UInt32>
  var lastKeys: Vec<UInt32>

  var depth: Int { levelStarts.count - 2 }

  init(_ itemsets: borrowing Itemsets, items: borrowing Interner) {
    baskets = itemsets.baskets
    itemCount = itemsets.itemCount
    count = itemsets.count
    keyOrders = ItemsetLattice.orderKeys(itemsets, items)
    counts = Vec(repeating: 0, count: count + 1)
    canonical = Vec(repeating: 0, count: count + 1)
    keyParents = Vec(repeating: 0, count: count + 1)
    lastKeys = Vec(repeating: 0, count: count + 1)
    links = Vec()
    elements = Vec()
    link(itemsets)
    orderCanonically()
  }

  /// The node of a single item.
  @inline(__always) func single(_ rank: UInt32) -> UInt32 {
    UInt32(truncatingIfNeeded: itemCount &- 1) &- rank
  }

  @inline(__always) func linkStart(_ node: Int, level: Int) -> Int {
    linkBases[level] &+ (node &- levelStarts[level]) &* level
  }

  private static func orderKeys(
    _ itemsets: borrowing Itemsets, _ items: borrowing Interner
  ) -> Vec<UInt32> {
    let ids = Array(itemsets.itemIDs.buffer)
    var ranks = (0..<ids.count).map { UInt32($0) }
    ranks.sort { items.precedes(ids[Int($0)], ids[Int($1)]) }
    let orders = Vec<UInt32>(repeating: 0, count: ids.count)
    for (order, rank) in ranks.enumerated() { orders[Int(rank)] = UInt32(order) }
    return orders
  }

  private mutating func link(_ itemsets: borrowing Itemsets) {
    for (length, number) in itemsets.countsByLength().enumerated() where length > 0 {
      linkBases.append(linkBases[length] + length * number)
      levelStarts.append(levelStarts[length] + number)
    }
    links = Vec(repeating: 0, count: linkBases[linkBases.count - 1])
    elements = Vec(repeating: 0, count: linkBases[linkBases.count - 1])
    counts[count] = UInt32(baskets)

    let childStarts = Vec<UInt32>(repeating: UInt32(count), count: count + 1)
    let ranks = Vec<UInt32>(repeating: 0, count: count + 1)
    let parents = Vec<UInt32>(repeating: UInt32(count), count: count + 1)
    var cursors = levelStarts
    cursors.append(count)
    var open = [Int](repeating: count, count: cursors.count)
    for i in 0..<itemsets.count {
      let depth = Int(itemsets.depths[i])
      let node = cursors[depth]
      cursors[depth] = node + 1
      ranks.base[node] = itemsets.ranks[i]
      counts.base[node] = itemsets.counts[i]
      parents.base[node] = UInt32(truncatingIfNeeded: open[depth - 1])
      childStarts.base[node] = UInt32(truncatingIfNeeded: cursors[depth + 1])
      open[depth] = node
    }

    let empty = UInt32(count)
    for node in 0..<itemCount {
      links.base[node] = empty
      elements.base[node] = ranks.base[node]
    }
    var level = 2
    while level <= depth {
      var node = levelStarts[level]
      let end = levelStarts[level + 1]
      var to = linkBases[level]
      while node < end {
        let parent = Int(parents.base[node])
        var last = node + 1
        while last < end && Int(parents.base[last]) == parent { last += 1 }
        let from = linkStart(parent, level: level - 1)
        for j in 0..<level - 1 {
          let smaller = links.base[from + j]
          let element = elements.base[from + j]
          var at = to + j
          if smaller == empty {
            for child in node..<last {
              links.base[at] = single(ranks.base[child])
              elements.base[at] = element
              at &+= level
            }
          } else {
            var place = Int(childStarts.base[Int(smaller)])
            for child in node..<last {
              let rank = ranks.base[child]
              while ranks.base[place] != rank { place &+= 1 }
              links.base[at] = UInt32(truncatingIfNeeded: place)
              elements.base[at] = element
              at &+= level
            }
          }
        }
        var at = to + level - 1
        for child in node..<last {
          links.base[at] = UInt32(truncatingIfNeeded: parent)
          elements.base[at] = ranks.base[child]
          at &+= level
        }
        to += level * (last - node)
        node = last
      }
      level += 1
    }
  }

  private mutating func orderCanonically() {
    // The canonical prefix drops the item whose key sorts last.
    for level in stride(from: 1, through: depth, by: 1) {
      for node in levelStarts[level]..<levelStarts[level + 1] {
        let at = linkStart(node, level: level)
        var best = 0
        var bestKey = keyOrders[Int(elements.base[at])]
        for j in stride(from: 1, to: level, by: 1) {
          let key = keyOrders[Int(elements.base[at &+ j])]
          if key > bestKey {
            bestKey = key
            best = j
          }
        }
        keyParents.base[node] = links.base[at &+ best]
        lastKeys.base[node] = bestKey
      }
    }
    let sizes = Vec<UInt32>(repeating: 1, count: count + 1)
    for node in stride(from: count - 1, through: 0, by: -1) {
      sizes.base[Int(keyParents.base[node])] &+= sizes.base[node]
    }
    // A node's block starts one after its prefix; siblings follow each other by last key.
    let next = Vec<UInt32>(repeating: 0, count: count + 1)
    let starts = Vec<UInt32>(repeating: 0, count: itemCount + 1)
    let byKey = Vec<UInt32>(repeating: 0, count: count)
    for level in stride(from: 1, through: depth, by: 1) {
      let first = levelStarts[level]
      let end = levelStarts[level + 1]
      for k in 0...itemCount { starts.base[k] = 0 }
      for node in first..<end { starts.base[Int(lastKeys.base[node]) + 1] &+= 1 }
      for k in 0..<itemCount { starts.base[k + 1] &+= starts.base[k] }
      for node in first..<end {
        let key = Int(lastKeys.base[node])
        byKey.base[Int(starts.base[key])] = UInt32(node)
        starts.base[key] &+= 1
      }
      for i in 0..<end - first {
        let node = Int(byKey.base[i])
        let parent = Int(keyParents.base[node])
        let place = next.base[parent]
        canonical.base[node] = place
        next.base[parent] = place &+ sizes.base[node]
        next.base[node] = place &+ 1
      }
    }
  }
}

extension ItemsetLattice: @unchecked Sendable {}
