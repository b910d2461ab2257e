// What goes into the itemset miner and what comes out of it.
//
// Itemsets are the nodes of a prefix tree in preorder: one row (depth, rank, count) per itemset, no
// object. Items are ranked by count, the rarest first; a node's items are its ancestors' and its
// own, ranks rising from root to leaf; siblings stand by falling rank. A node's parent is the
// nearest node before it that is one less deep.
import Sparse

/// Baskets in compressed rows: basket b holds the distinct items `items[offsets[b]..<offsets[b+1]]`
/// (dense ids, any order). A view: the memory is the caller's.
public struct Baskets: @unchecked Sendable {
  public let offsets: UnsafeBufferPointer<Int>
  public let items: UnsafeBufferPointer<UInt32>

  /// `offsets` has one entry more than there are baskets, starts with 0 and does not fall.
  public init(offsets: UnsafeBufferPointer<Int>, items: UnsafeBufferPointer<UInt32>) {
    precondition(offsets.count > 0 && offsets[offsets.count - 1] == items.count)
    self.offsets = offsets
    self.items = items
  }

  public var count: Int { offsets.count - 1 }
}

/// All itemsets that occur in at least `minimumCount` baskets, up to `maxLength` items.
public struct Itemsets: ~Copyable {
  /// n: baskets mined, empty ones included.
  public let baskets: Int
  public let minimumCount: Int
  /// The bound on the length that was applied; 0 = none. Below the one asked for when `limit` was met.
  public let maxLength: Int
  /// Dense item id and count by rank, counts rising.
  let itemIDs: Vec<UInt32>
  let itemCounts: Vec<UInt32>
  /// Per itemset, in preorder.
  let depths: Vec<UInt8>
  let ranks: Vec<UInt32>
  let counts: Vec<UInt32>

  /// Itemsets.
  public var count: Int { depths.count }
  /// Frequent items.
  public var itemCount: Int { itemIDs.count }

  /// Itemsets by their number of items; index 0 is 0.
  public func countsByLength() -> [Int] {
    var lengths = [0]
    for i in 0..<depths.count {
      let depth = Int(depths[i])
      while lengths.count <= depth { lengths.append(0) }
      lengths[depth] += 1
    }
    return lengths
  }

  /// Every itemset written out: itemset s is `items[starts[s]..<starts[s+1]]`, dense ids in the
  /// order of the tree. O(sum of lengths).
  public func expanded() -> (starts: [Int], items: [UInt32], counts: [UInt32]) {
    var total = 0
    for i in 0..<depths.count { total += Int(depths[i]) }
    var starts: [Int] = []
    starts.reserveCapacity(depths.count + 1)
    let items = [UInt32](unsafeUninitializedCapacity: total) { into, filled in
      var path = [UInt32](repeating: 0, count: 256)
      path.withUnsafeMutableBufferPointer { path in
        var at = 0
        for i in 0..<depths.count {
          starts.append(at)
          let depth = Int(depths[i])
          path[depth &- 1] = itemIDs[Int(ranks[i])]
          for d in 0..<depth { into[at &+ d] = path[d] }
          at &+= depth
        }
      }
      filled = total
    }
    starts.append(total)
    return (starts, items, Array(counts.buffer))
  }
}
