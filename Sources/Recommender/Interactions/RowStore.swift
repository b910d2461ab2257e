// One sparse matrix A(context, behaviour) as rows of slots.
//
// A slot is (item, stamp); stamp = time << 1 | undone, so the later act wins by being larger and, at
// equal times, undoing wins (DESIGN §3). A row keeps its `history` latest slots by time, then by item
// key, active or not: a pure function of the set of events, whatever their order.
//
// Layout: a header per row id; a row's slots stand in one block of an arena, first the items (4 bytes
// each, what a search scans), then the stamps (8 bytes each), oldest slot first, so that the usual
// event appends. Blocks come in size classes, with a free list each; the arena grows by chunks, so
// growing never copies. 12 bytes a slot plus the slack of its class.
//
// Expiry: a row is listed in the bucket of its oldest slot's time. When the horizon moves, only rows
// of buckets at or before it are looked at; a row found too young is listed again where it belongs.
import Sparse

/// Bits of a slot's time and state.
public enum Stamp {
  @inlinable public static func make(time: Int64, active: Bool) -> UInt64 {
    (UInt64(bitPattern: time) &<< 1) | (active ? 0 : 1)
  }
  @inlinable public static func time(_ stamp: UInt64) -> Int64 { Int64(bitPattern: stamp &>> 1) }
  @inlinable public static func isActive(_ stamp: UInt64) -> Bool { stamp & 1 == 0 }
}

/// What one act did to a row.
public struct RowEdit {
  public enum Outcome: UInt8 {
    /// The slot is new or moved: `oldStamp` and `evicted…` say what it replaced.
    case changed
    /// A later or equal act on the item was there already.
    case superseded
    /// The row is full of later slots.
    case displaced
    /// At or before the horizon.
    case tooOld
  }
  public var outcome: Outcome
  /// The item's former stamp, if it had a slot.
  public var oldStamp: UInt64?
  /// The slot that left to make room.
  public var evictedItem: UInt32 = .max
  public var evictedStamp: UInt64 = 0
}

public struct RowStore: ~Copyable {
  struct Header: BitwiseCopyable {
    var block: UInt32 = 0  // in units of 8 bytes; meaningful where capacityClass > 0
    var count: UInt16 = 0
    var active: UInt16 = 0
    var capacityClass: UInt8 = 0  // 0 = no block
    var isDirty: UInt8 = 0
    var padding: UInt16 = 0
    var bucket: UInt32 = .max  // expiry list it stands in
  }

  public let configuration: MatrixConfiguration
  let history: Int
  var headers: Vec<Header>
  var arena: SlotArena
  /// Rows whose active set changed since the last seal.
  var dirty: Vec<UInt32>
  /// Slots with time at or before are gone; only ticks move it.
  public private(set) var horizon: Int64 = -1
  var buckets: [UInt32: [UInt32]] = [:]
  let bucketWidth: Int64
  /// Rows with at least one active slot.
  public private(set) var activeRows = 0
  public private(set) var slots = 0
  public private(set) var activeSlots = 0

  public init(_ configuration: MatrixConfiguration) {
    precondition(
      configuration.history >= 1 && configuration.history <= MatrixConfiguration.maximumHistory)
    self.configuration = configuration
    history = configuration.history
    headers = Vec()
    arena = SlotArena()
    dirty = Vec()
    // Fine enough that a tick looks at few rows in vain, coarse enough to be few lists.
    bucketWidth = max(60_000, (configuration.window ?? 0) / 4096)
  }

  /// Bytes held.
  public var bytes: Int { headers.bytes + arena.bytes + dirty.bytes }
  public var dirtyCount: Int { dirty.count }

  // MARK: one act

  /// Applies an act on (row, item). `items` gives the keys for the order at equal times.
  public mutating func apply(
    row: UInt32, item: UInt32, stamp: UInt64, items: borrowing Interner
  ) -> RowEdit {
    let time = Stamp.time(stamp)
    if time <= horizon { return RowEdit(outcome: .tooOld) }
    let r = Int(row)
    if r >= headers.count { headers.extend(to: r + 1, with: Header()) }
    var header = headers[r]
    let count = Int(header.count)

    if count == 0 {
      if header.capacityClass == 0 { allocate(&header, slots: 1) }
      let (ids, stamps) = arena.block(header.block, header.capacityClass)
      ids[0] = item
      stamps[0] = stamp
      header.count = 1
      slots &+= 1
      enlist(row, &header, oldest: time)
      if Stamp.isActive(stamp) { gainActive(row, &header) }
      headers[r] = header
      return RowEdit(outcome: .changed)
    }

    var (ids, stamps) = arena.block(header.block, header.capacityClass)
    if let place = find(item, ids, count) {
      let old = stamps[place]
      if stamp <= old { return RowEdit(outcome: .superseded) }
      // The slot moves towards the young end, past every older one.
      var k = place
      while k &+ 1 < count
        && isOlder(ids[k &+ 1], Stamp.time(stamps[k &+ 1]), item, time, items)
      {
        ids[k] = ids[k &+ 1]
        stamps[k] = stamps[k &+ 1]
        k &+= 1
      }
      ids[k] = item
      stamps[k] = stamp
      if Stamp.isActive(old) != Stamp.isActive(stamp) {
        if Stamp.isActive(stamp) { gainActive(row, &header) } else { loseActive(row, &header) }
        headers[r] = header
      }
      return RowEdit(outcome: .changed, oldStamp: old)
    }

    var edit = RowEdit(outcome: .changed)
    var end = count
    if count == history {
      if isOlder(item, time, ids[0], Stamp.time(stamps[0]), items) {
        return RowEdit(outcome: .displaced)
      }
      edit.evictedItem = ids[0]
      edit.evictedStamp = stamps[0]
      if Stamp.isActive(stamps[0]) { loseActive(row, &header) }
      // Shift down over the evicted slot, up to the new one's place.
      var k = 0
      while k &+ 1 < count
        && isOlder(ids[k &+ 1], Stamp.time(stamps[k &+ 1]), item, time, items)
      {
        k &+= 1
      }
      (ids).update(from: ids + 1, count: k)
      (stamps).update(from: stamps + 1, count: k)
      ids[k] = item
      stamps[k] = stamp
      if k == 0 { enlist(row, &header, oldest: time) }
    } else {
      if count == arena.capacity(header.capacityClass) {
        grow(&header)
        (ids, stamps) = arena.block(header.block, header.capacityClass)
      }
      while end > 0 && !isOlder(ids[end &- 1], Stamp.time(stamps[end &- 1]), item, time, items) {
        ids[end] = ids[end &- 1]
        stamps[end] = stamps[end &- 1]
        end &-= 1
      }
      ids[end] = item
      stamps[end] = stamp
      header.count = UInt16(count &+ 1)
      slots &+= 1
      if end == 0 { enlist(row, &header, oldest: time) }
    }
    if Stamp.isActive(stamp) { gainActive(row, &header) }
    headers[r] = header
    return edit
  }

  // MARK: reading

  /// The row's slots, oldest first. Valid until the next mutation.
  @inline(__always)
  public func slots(of row: UInt32) -> (
    items: UnsafeBufferPointer<UInt32>, stamps: UnsafeBufferPointer<UInt64>
  ) {
    let r = Int(row)
    guard r < headers.count, headers[r].count > 0 else {
      return (UnsafeBufferPointer(start: nil, count: 0), UnsafeBufferPointer(start: nil, count: 0))
    }
    let header = headers[r]
    let (ids, stamps) = arena.block(header.block, header.capacityClass)
    let count = Int(header.count)
    return (
      UnsafeBufferPointer(start: ids, count: count), UnsafeBufferPointer(start: stamps, count: count)
    )
  }

  public func isEmpty(_ row: UInt32) -> Bool {
    Int(row) >= headers.count || headers[Int(row)].count == 0
  }

  public var rowLimit: Int { headers.count }

  // MARK: sealing and expiry

  /// The rows whose active set changed since the last call, with their active items (in row order).
  public mutating func takeChanges() -> RowChanges {
    var changes = RowChanges(rows: [], offsets: [0], items: [])
    changes.rows.reserveCapacity(dirty.count)
    changes.offsets.reserveCapacity(dirty.count + 1)
    var total = 0
    for i in 0..<dirty.count { total += Int(headers[Int(dirty[i])].active) }
    changes.items.reserveCapacity(total)
    for i in 0..<dirty.count {
      let row = dirty[i]
      headers.base[Int(row)].isDirty = 0
      let (ids, stamps) = slots(of: row)
      for k in 0..<ids.count where Stamp.isActive(stamps[k]) { changes.items.append(ids[k]) }
      changes.rows.append(row)
      changes.offsets.append(changes.items.count)
    }
    dirty.removeAll()
    return changes
  }

  /// Moves the horizon and drops what is at or before it. `dropped` is told each slot, `emptied` each
  /// row that has none left. Horizons never move back.
  public mutating func expire(
    to newHorizon: Int64, dropped: (_ row: UInt32, _ item: UInt32, _ stamp: UInt64) -> Void,
    emptied: (_ row: UInt32) -> Void
  ) {
    guard newHorizon > horizon else { return }
    horizon = newHorizon
    let last = UInt32(clamping: newHorizon / bucketWidth)
    let due = buckets.keys.filter { $0 <= last }.sorted()
    for bucket in due {
      guard let rows = buckets.removeValue(forKey: bucket) else { continue }
      for row in rows where headers[Int(row)].bucket == bucket {
        trim(row, dropped: dropped, emptied: emptied)
      }
    }
  }

  private mutating func trim(
    _ row: UInt32, dropped: (UInt32, UInt32, UInt64) -> Void, emptied: (UInt32) -> Void
  ) {
    var header = headers[Int(row)]
    header.bucket = .max
    let (ids, stamps) = arena.block(header.block, header.capacityClass)
    let count = Int(header.count)
    var gone = 0
    while gone < count && Stamp.time(stamps[gone]) <= horizon {
      dropped(row, ids[gone], stamps[gone])
      if Stamp.isActive(stamps[gone]) { loseActive(row, &header) }
      gone += 1
    }
    if gone > 0 {
      let left = count - gone
      ids.update(from: ids + gone, count: left)
      stamps.update(from: stamps + gone, count: left)
      header.count = UInt16(left)
      slots -= gone
    }
    if header.count == 0 {
      arena.release(header.block, header.capacityClass)
      header.capacityClass = 0
      headers[Int(row)] = header
      emptied(row)
    } else {
      enlist(row, &header, oldest: Stamp.time(stamps[0]))
      headers[Int(row)] = header
    }
  }

  // MARK: inside

  @inline(__always)
  private func find(_ item: UInt32, _ ids: UnsafeMutablePointer<UInt32>, _ count: Int) -> Int? {
    // Young end first: acts repeat on recent items. Eight at a time, so the compiler vectorises.
    var k = count
    while k >= 8 {
      let p = UnsafeRawPointer(ids + (k &- 8)).loadUnaligned(as: SIMD8<UInt32>.self)
      let hit = p .== SIMD8(repeating: item)
      if any(hit) {
        for i in stride(from: 7, through: 0, by: -1) where ids[k &- 8 &+ i] == item {
          return k &- 8 &+ i
        }
      }
      k &-= 8
    }
    while k > 0 {
      k &-= 1
      if ids[k] == item { return k }
    }
    return nil
  }

  /// Row order: earlier time first; at equal times the larger key first.
  @inline(__always)
  private func isOlder(
    _ a: UInt32, _ aTime: Int64, _ b: UInt32, _ bTime: Int64, _ items: borrowing Interner
  ) -> Bool {
    if aTime != bTime { return aTime < bTime }
    return items.precedes(b, a)
  }

  @inline(__always)
  private mutating func markDirty(_ row: UInt32, _ header: inout Header) {
    if header.isDirty == 0 {
      header.isDirty = 1
      dirty.append(row)
    }
  }

  @inline(__always)
  private mutating func gainActive(_ row: UInt32, _ header: inout Header) {
    if header.active == 0 { activeRows &+= 1 }
    header.active &+= 1
    activeSlots &+= 1
    markDirty(row, &header)
  }

  @inline(__always)
  private mutating func loseActive(_ row: UInt32, _ header: inout Header) {
    header.active &-= 1
    activeSlots &-= 1
    if header.active == 0 { activeRows &-= 1 }
    markDirty(row, &header)
  }

  private mutating func allocate(_ header: inout Header, slots: Int) {
    header.capacityClass = SlotArena.classFor(slots)
    header.block = arena.allocate(header.capacityClass)
  }

  private mutating func grow(_ header: inout Header) {
    let old = (header.block, header.capacityClass)
    let count = Int(header.count)
    let (oldIDs, oldStamps) = arena.block(old.0, old.1)
    let nextClass = header.capacityClass + 1
    let block = arena.allocate(nextClass)
    let (ids, stamps) = arena.block(block, nextClass)
    ids.update(from: oldIDs, count: count)
    stamps.update(from: oldStamps, count: count)
    arena.release(old.0, old.1)
    header.block = block
    header.capacityClass = nextClass
  }

  /// Lists the row for expiry by its oldest slot, unless it stands in that list or an earlier one.
  @inline(__always)
  private mutating func enlist(_ row: UInt32, _ header: inout Header, oldest: Int64) {
    if configuration.window == nil { return }
    let bucket = UInt32(clamping: oldest / bucketWidth)
    if bucket >= header.bucket { return }
    header.bucket = bucket
    buckets[bucket, default: []].append(row)
  }

  /// For tests: every structural fact about the store.
  public func checkInvariants(items: borrowing Interner) {
    var slotTotal = 0
    var activeTotal = 0
    var rowTotal = 0
    for r in 0..<headers.count {
      let header = headers[r]
      let (ids, stamps) = slots(of: UInt32(r))
      precondition(ids.count <= history)
      var active = 0
      var seen = Set<UInt32>()
      for k in 0..<ids.count {
        precondition(seen.insert(ids[k]).inserted, "an item twice in a row")
        precondition(Stamp.time(stamps[k]) > horizon, "an expired slot")
        if Stamp.isActive(stamps[k]) { active += 1 }
        if k > 0 {
          precondition(
            isOlder(
              ids[k - 1], Stamp.time(stamps[k - 1]), ids[k], Stamp.time(stamps[k]), items),
            "row out of order")
        }
      }
      precondition(active == Int(header.active))
      slotTotal += ids.count
      activeTotal += active
      if active > 0 { rowTotal += 1 }
    }
    precondition(slotTotal == slots && activeTotal == activeSlots && rowTotal == activeRows)
  }
}

/// Blocks of slots by size class, in chunks that never move.
struct SlotArena: ~Copyable {
  /// Slots per class, from 1; class 0 is "none". All even, so that stamps stay aligned.
  static let capacities: [Int] = {
    var sizes = [0, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]
    while sizes.last! < MatrixConfiguration.maximumHistory {
      let next = sizes.last! * 5 / 4 / 2 * 2
      sizes.append(min(next, 65_536))
    }
    return sizes
  }()
  static func classFor(_ slots: Int) -> UInt8 {
    var c = 1
    while capacities[c] < slots { c += 1 }
    return UInt8(c)
  }

  // A chunk is 2^17 units of 8 bytes = 1 MiB, room for the largest block (12 × 65,536 bytes).
  private static let chunkShift: UInt32 = 17
  private static let chunkUnits = 1 << 17

  private let table: Vec<Int32>  // capacities, without the global's once-check
  private var chunks: Vec<UInt>
  private var used: Int  // units of the last chunk
  private var free: Vec<UInt32>  // head block per class, UInt32.max = none; a free block's first word links on
  init() {
    var sizes = Vec<Int32>()
    for capacity in SlotArena.capacities { sizes.append(Int32(capacity)) }
    table = sizes
    chunks = Vec()
    used = SlotArena.chunkUnits
    free = Vec(repeating: UInt32.max, count: SlotArena.capacities.count)
  }

  deinit {
    for i in 0..<chunks.count {
      UnsafeMutableRawPointer(bitPattern: chunks[i])?.deallocate()
    }
  }

  @inline(__always) func capacity(_ sizeClass: UInt8) -> Int { Int(table[Int(sizeClass)]) }

  var bytes: Int { chunks.count * SlotArena.chunkUnits * 8 }

  @inline(__always)
  func block(_ block: UInt32, _ sizeClass: UInt8) -> (
    UnsafeMutablePointer<UInt32>, UnsafeMutablePointer<UInt64>
  ) {
    let start = address(block)
    let capacity = capacity(sizeClass)
    return (
      start.assumingMemoryBound(to: UInt32.self),
      (start + capacity &* 4).assumingMemoryBound(to: UInt64.self)
    )
  }

  @inline(__always)
  private func address(_ block: UInt32) -> UnsafeMutableRawPointer {
    let chunk = chunks[Int(block &>> SlotArena.chunkShift)]
    let offset = Int(block & UInt32(SlotArena.chunkUnits - 1)) &* 8
    return UnsafeMutableRawPointer(bitPattern: chunk)! + offset
  }

  mutating func allocate(_ sizeClass: UInt8) -> UInt32 {
    let head = free[Int(sizeClass)]
    if head != .max {
      free[Int(sizeClass)] = address(head).load(as: UInt32.self)
      return head
    }
    let units = (capacity(sizeClass) * 12 + 7) / 8
    if used + units > SlotArena.chunkUnits {
      // The tail of the chunk is left: at most one block's worth, on average far less.
      precondition(chunks.count < 1 << 15, "a row store of 32 GiB")
      let fresh = UnsafeMutableRawPointer.allocate(
        byteCount: SlotArena.chunkUnits * 8, alignment: 4096)
      chunks.append(UInt(bitPattern: fresh))
      used = 0
    }
    let block = UInt32((chunks.count - 1) << Int(SlotArena.chunkShift) + used)
    used += units
    return block
  }

  mutating func release(_ block: UInt32, _ sizeClass: UInt8) {
    address(block).storeBytes(of: free[Int(sizeClass)], as: UInt32.self)
    free[Int(sizeClass)] = block
  }
}

extension RowStore: @unchecked Sendable {}
