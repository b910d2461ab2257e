// What is kept of a customer's events, 32 bytes each, under a natural key, so that repeats add nothing and late events find their place:
//   purchase, refund  (order, event time, line)    content: item, amount
//   view, cart        (item, UTC day)
// A customer's facts stand in ascending order of their keys. Two contents under one key: the larger amount stays, then the item
// with the larger fingerprint, whichever came first.
import Sparse

enum FactKind: UInt32 {
  case purchase = 0, refund, view, cart
}

struct Fact: BitwiseCopyable, Equatable {
  /// Milliseconds since 1970; of views and carts the day's start.
  var time: Int64
  /// The low word of the order's fingerprint; of views and carts the item's.
  var order: UInt64
  /// Hundredths; -1: a refund that names no price.
  var amount: Int64
  /// Dense id.
  var item: UInt32
  /// The kind in the upper two bits, the line below.
  var tag: UInt32

  init(_ kind: FactKind, time: Int64, order: UInt64, line: Int = 0, item: UInt32, amount: Int64 = 0) {
    self.time = time
    self.order = order
    self.amount = amount
    self.item = item
    tag = kind.rawValue << 30 | UInt32(min(max(line, 0), 1 << 30 - 1))
  }

  var kind: FactKind { FactKind(rawValue: tag >> 30) ?? .purchase }
  var isPurchase: Bool { tag >> 30 == 0 }

  /// Order of keys: time, order or item, kind and line.
  func precedes(_ other: Fact) -> Bool {
    if time != other.time { return time < other.time }
    return order != other.order ? order < other.order : tag < other.tag
  }

  func hasKey(of other: Fact) -> Bool { time == other.time && order == other.order && tag == other.tag }
}

/// Runs of facts in one flat array, in blocks of size classes (powers of two from 2); a freed block is overwritten and given out again.
struct FactArena: ~Copyable {
  private(set) var facts = Vec<Fact>()
  private var free: [[Int]] = Array(repeating: [], count: 40)

  struct Block: BitwiseCopyable {
    var start = 0
    var count: UInt32 = 0
    /// Capacity is 2 << sizeClass; 255: none.
    var sizeClass: UInt8 = 255
    var capacity: Int { sizeClass == 255 ? 0 : 2 << Int(sizeClass) }
  }

  var bytes: Int { facts.bytes }

  func at(_ block: Block) -> UnsafeMutablePointer<Fact> { facts.base + block.start }

  /// One place more.
  mutating func grow(_ block: inout Block) {
    if Int(block.count) < block.capacity { return }
    var larger = block
    larger.sizeClass = block.sizeClass == 255 ? 0 : block.sizeClass + 1
    if let start = free[Int(larger.sizeClass)].popLast() {
      larger.start = start
    } else {
      larger.start = facts.count
      facts.extend(by: larger.capacity)
    }
    at(larger).update(from: at(block), count: Int(block.count))
    release(block)
    block = larger
  }

  mutating func release(_ block: Block) {
    if block.sizeClass == 255 { return }
    at(block).update(repeating: Fact(.purchase, time: 0, order: 0, item: 0), count: block.capacity)
    free[Int(block.sizeClass)].append(block.start)
  }
}
