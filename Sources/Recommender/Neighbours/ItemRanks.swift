// The byte order of item keys as integers. Ties between neighbours are broken by key; with a rank per
// dense id a tie costs one integer comparison in the kernels.
import Sparse

/// Per dense item id: its place in the byte order of the live keys, and its key's fingerprint.
public struct ItemRanks: ~Copyable {
  /// Live ids in key order.
  var order = Vec<UInt32>()
  var rankOf = Vec<UInt32>()
  /// What the ranks were made of: an id that was given to another key shows here.
  var prints = Vec<Fingerprint>()

  public init() {}

  /// One more than the highest dense id known.
  public var count: Int { rankOf.count }
  /// Rank of each dense id; unspecified for ids without a key. Valid until the next update.
  public var ranks: UnsafeBufferPointer<UInt32> { rankOf.buffer }
  public func fingerprint(_ id: UInt32) -> Fingerprint { prints[Int(id)] }
  public var bytes: Int { order.bytes + rankOf.bytes + prints.bytes }

  /// Brings the ranks up to the interner's keys: new ones are sorted and merged in, those gone are
  /// dropped. The order among keys that stay does not change.
  /// Complexity: O(ids + new · log new).
  public mutating func update(from items: borrowing Interner) {
    let limit = items.idLimit
    rankOf.extend(to: limit, with: 0)
    prints.extend(to: limit, with: .zero)
    var fresh = Vec<UInt32>()
    // `known` holds the old fingerprints until the ids that lost their key are filtered out.
    var gone = false
    let changed = Vec<UInt8>(repeating: 0, count: limit)
    for id in 0..<limit {
      let live = items.isLive(UInt32(id))
      let print = live ? items.fingerprint(UInt32(id)) : .zero
      if print == prints[id] { continue }
      if prints[id] != .zero { gone = true }
      changed[id] = 1
      prints[id] = print
      if live { fresh.append(UInt32(id)) }
    }
    if fresh.count == 0 && !gone { return }
    sort(&fresh, items)
    var merged = Vec<UInt32>(capacity: items.liveCount)
    var next = 0
    for k in 0..<order.count {
      let id = order[k]
      if changed[Int(id)] != 0 { continue }
      while next < fresh.count && items.precedes(fresh[next], id) {
        merged.append(fresh[next])
        next += 1
      }
      merged.append(id)
    }
    while next < fresh.count {
      merged.append(fresh[next])
      next += 1
    }
    for k in 0..<merged.count { rankOf[Int(merged[k])] = UInt32(k) }
    order = merged
  }

  /// Bottom-up merge sort: the interner is borrowed, which a closure handed to `sort` could not be.
  private func sort(_ ids: inout Vec<UInt32>, _ items: borrowing Interner) {
    let count = ids.count
    if count < 2 { return }
    var from = ids.base
    var to = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
    let scratch = to
    var width = 1
    while width < count {
      var start = 0
      while start < count {
        let middle = min(start + width, count)
        let end = min(start + 2 * width, count)
        var a = start
        var b = middle
        for k in start..<end {
          if b == end || (a < middle && !items.precedes(from[b], from[a])) {
            to[k] = from[a]
            a += 1
          } else {
            to[k] = from[b]
            b += 1
          }
        }
        start = end
      }
      swap(&from, &to)
      width *= 2
    }
    if from != ids.base { ids.base.update(from: from, count: count) }
    scratch.deallocate()
  }
}

extension ItemRanks: @unchecked Sendable {}
