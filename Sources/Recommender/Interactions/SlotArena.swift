// The memory of row slots: blocks in one flat array of 8-byte words, by size class and format, with a
// free list each. The array grows by moving its pages, not its bytes (`Vec`).
import Sparse

/// The slots of one row: items, then stamps less a base, in one of three formats.
/// Narrow: 4 bytes a stamp. Medium: its low 4 bytes, then all fifth bytes. Full: 8 bytes.
struct SlotBlock {
  static let narrow: UInt8 = 0
  static let medium: UInt8 = 1
  static let full: UInt8 = 2

  /// The leanest format for times that lie `span` ms apart, with a quarter in hand.
  static func format(span: Int64) -> UInt8 {
    let room = span &+ span / 4
    if room < 1 << 31 { return narrow }
    return room < 1 << 39 ? medium : full
  }

  let items: UnsafeMutablePointer<UInt32>
  let stamps: UnsafeMutableRawPointer
  let base: UInt64  // shifted as stamps are
  let capacity: Int
  let format: UInt8

  /// Whether a stamp of this time can stand here.
  @inline(__always)
  func fits(_ time: Int64) -> Bool {
    let distance = UInt64(bitPattern: time &- Int64(base &>> 1))
    switch format {
    case SlotBlock.narrow: return distance < 1 << 31
    case SlotBlock.medium: return distance < 1 << 39
    default: return distance < 1 << 62
    }
  }

  @inline(__always)
  func stamp(_ k: Int) -> UInt64 {
    let low = stamps.assumingMemoryBound(to: UInt32.self)
    switch format {
    case SlotBlock.narrow: return base &+ UInt64(low[k])
    case SlotBlock.medium:
      let high = stamps.load(fromByteOffset: 4 &* capacity &+ k, as: UInt8.self)
      return base &+ (UInt64(low[k]) | UInt64(high) &<< 32)
    default: return base &+ stamps.loadUnaligned(fromByteOffset: 8 &* k, as: UInt64.self)
    }
  }

  @inline(__always)
  func time(_ k: Int) -> Int64 { Stamp.time(stamp(k)) }

  @inline(__always)
  func set(_ k: Int, _ item: UInt32, _ stamp: UInt64) {
    items[k] = item
    let rest = stamp &- base
    let low = stamps.assumingMemoryBound(to: UInt32.self)
    switch format {
    case SlotBlock.narrow: low[k] = UInt32(truncatingIfNeeded: rest)
    case SlotBlock.medium:
      low[k] = UInt32(truncatingIfNeeded: rest)
      stamps.storeBytes(
        of: UInt8(truncatingIfNeeded: rest &>> 32), toByteOffset: 4 &* capacity &+ k, as: UInt8.self)
    default: stamps.storeBytes(of: rest, toByteOffset: 8 &* k, as: UInt64.self)
    }
  }

  /// Moves slots within the block; the ranges may overlap.
  @inline(__always)
  func move(from: Int, to: Int, count: Int) {
    if count <= 0 { return }
    (items + to).update(from: items + from, count: count)
    let low = stamps.assumingMemoryBound(to: UInt32.self)
    switch format {
    case SlotBlock.narrow: (low + to).update(from: low + from, count: count)
    case SlotBlock.medium:
      (low + to).update(from: low + from, count: count)
      let high = (stamps + 4 &* capacity).assumingMemoryBound(to: UInt8.self)
      (high + to).update(from: high + from, count: count)
    default: (stamps + 8 &* to).copyMemory(from: stamps + 8 &* from, byteCount: 8 &* count)
    }
  }
}

/// The stamps of a row's slots, in the order of its items.
public struct Stamps {
  @usableFromInline let stamps: UnsafeRawPointer
  @usableFromInline let base: UInt64
  @usableFromInline let capacity: Int
  /// As a block's; 3: the one stamp is `base`.
  @usableFromInline let format: UInt8

  init(_ block: SlotBlock) {
    stamps = UnsafeRawPointer(block.stamps)
    base = block.base
    capacity = block.capacity
    format = block.format
  }
  init(only stamp: UInt64 = 0) {
    stamps = UnsafeRawPointer(bitPattern: 8)!
    base = stamp
    capacity = 1
    format = 3
  }

  @inlinable public subscript(k: Int) -> UInt64 {
    switch format {
    case 0: return base &+ UInt64(stamps.load(fromByteOffset: 4 &* k, as: UInt32.self))
    case 1:
      let low = stamps.load(fromByteOffset: 4 &* k, as: UInt32.self)
      let high = stamps.load(fromByteOffset: 4 &* capacity &+ k, as: UInt8.self)
      return base &+ (UInt64(low) | UInt64(high) &<< 32)
    case 2: return base &+ stamps.loadUnaligned(fromByteOffset: 8 &* k, as: UInt64.self)
    default: return base
    }
  }
}

struct SlotArena: ~Copyable {
  /// Slots per class, from 1; class 0 is "no block".
  static let capacities: [Int] = {
    var sizes = [0, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 28, 32]
    while sizes.last! < MatrixConfiguration.maximumHistory {
      sizes.append(min((sizes.last! * 9 / 8 + 3) / 4 * 4, 65_536))
    }
    precondition(sizes.count <= 128)
    return sizes
  }()
  /// The class of every number of slots up to 64.
  private static let small: [UInt8] = (0...64).map { slots in
    UInt8(max(1, capacities.firstIndex { $0 >= slots }!))
  }
  static func sizeClass(_ slots: Int) -> UInt8 {
    if slots <= 64 { return small[slots] }
    var c = Int(small[64])
    while capacities[c] < slots { c += 1 }
    return UInt8(c)
  }

  var words: Vec<UInt64>
  /// First free block, plus one, by format × 128 + class; a free block's first word holds the next.
  var heads: Vec<UInt64>
  private let table: Vec<Int32>  // capacities, without the global's once-check
  var freeWords = 0

  init() {
    words = Vec()
    heads = Vec(repeating: 0, count: 3 * 128)
    var sizes = Vec<Int32>()
    for capacity in SlotArena.capacities { sizes.append(Int32(capacity)) }
    table = sizes
  }

  var bytes: Int { words.bytes + heads.bytes }

  @inline(__always) func capacity(_ sizeClass: UInt8) -> Int { Int(table[Int(sizeClass)]) }

  func words(_ sizeClass: UInt8, _ format: UInt8) -> Int {
    let slots = capacity(sizeClass)
    switch format {
    case SlotBlock.narrow: return slots
    case SlotBlock.medium: return (slots * 9 + 7) / 8
    default: return (slots * 12 + 7) / 8
    }
  }

  @inline(__always)
  func block(_ header: RowStore.Header) -> SlotBlock {
    let start = UnsafeMutableRawPointer(words.base + Int(header.place))
    let capacity = capacity(header.sizeClass)
    return SlotBlock(
      items: start.assumingMemoryBound(to: UInt32.self), stamps: start + 4 &* capacity,
      base: UInt64(bitPattern: header.base) &<< 1, capacity: capacity, format: header.format)
  }

  /// Voids every block taken from here before.
  mutating func allocate(_ sizeClass: UInt8, _ format: UInt8) -> UInt32 {
    let list = Int(format) * 128 + Int(sizeClass)
    let size = words(sizeClass, format)
    if heads[list] > 0 {
      let place = heads[list] - 1
      heads[list] = words[Int(place)]
      freeWords -= size
      return UInt32(place)
    }
    let place = words.count
    precondition(place + size <= 1 << 32, "a row store of 32 GiB")
    words.extend(by: size)
    return UInt32(place)
  }

  /// Overwrites a block.
  func wipe(_ header: RowStore.Header) {
    (words.base + Int(header.place)).update(
      repeating: 0, count: words(header.sizeClass, header.format))
  }

  mutating func release(_ header: RowStore.Header) {
    let list = Int(header.format) * 128 + Int(header.sizeClass)
    words[Int(header.place)] = heads[list]
    heads[list] = UInt64(header.place) + 1
    freeWords += words(header.sizeClass, header.format)
  }
}
