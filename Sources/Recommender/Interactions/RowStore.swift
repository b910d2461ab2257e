// One sparse matrix A(context, behaviour) as rows of slots.
//
// A slot is (item, stamp); stamp = time << 1 | undone, so the later act wins by being larger and, at
// equal times, undoing wins (DESIGN §3). A row keeps its `history` latest slots by time, then by item
// key, active or not: a pure function of the set of events, whatever their order.
//
// Layout: a header of 16 bytes per row id, with the row's base: a time no slot is older than. A single
// slot stands in the header itself. More stand in a block of the arena, oldest first, so that the usual
// event appends: first the items (4 bytes each, what a search scans), then the stamps less the base, in
// 4 bytes while the row spans less than 24 days, in 5 up to 17 years, in 8 beyond (`SlotBlock`).
//
// Expiry: per 64 rows the least bucket of their bases. When the horizon moves, only groups whose least
// is at or before it are looked at; each look makes bases and least exact again.
//
// State: `headers`, `minima`, `arena.words`, `arena.heads` and the horizon. `dirty` is what the next
// seal hands over; the totals follow from the rows.
import CKernels
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
  /// Whether the row had no slot before.
  public var wasEmpty = false
}

public struct RowStore: ~Copyable {
  struct Header: BitwiseCopyable {
    /// The block's first word in the arena; without a block the row's one item.
    var place: UInt32 = 0
    var count: UInt16 = 0
    var active: UInt16 = 0
    /// From the low end: 48 bits base, 8 bits size class of the block (0: none), 2 bits format, then
    /// whether the one slot without a block is undone, and whether the row is listed as changed.
    private var word: UInt64 = 0

    static let baseMask: UInt64 = (1 << 48) - 1
    var base: Int64 { Int64(word & Header.baseMask) }
    var sizeClass: UInt8 { UInt8(truncatingIfNeeded: word &>> 48) }
    var format: UInt8 { UInt8(truncatingIfNeeded: word &>> 56) & 3 }
    var isDirty: Bool {
      get { word & 1 << 63 != 0 }
      set { word = newValue ? word | 1 << 63 : word & ~(1 << 63) }
    }
    var onlyStamp: UInt64 { (word & Header.baseMask) &<< 1 | (word &>> 58 & 1) }

    mutating func setOnly(_ item: UInt32, _ stamp: UInt64) {
      place = item
      count = 1
      word = word & 1 << 63 | (stamp & 1) &<< 58 | stamp &>> 1
    }
    mutating func setBlock(_ place: UInt32, base: Int64, sizeClass: UInt8, format: UInt8) {
      self.place = place
      word =
        word & 1 << 63 | UInt64(bitPattern: base) | UInt64(sizeClass) &<< 48
        | UInt64(format) &<< 56
    }
  }

  public let configuration: MatrixConfiguration
  let history: Int
  var headers: Vec<Header>
  /// Per 64 rows: none of them holds a slot of an earlier bucket.
  var minima: Vec<UInt32>
  var arena: SlotArena
  /// Rows whose active set changed since the last seal.
  var dirty: Vec<UInt32>
  /// Slots with time at or before are gone; only ticks move it.
  public internal(set) var horizon: Int64 = -1
  private let bucketWidth: Int64
  /// Rows with at least one active slot.
  public internal(set) var activeRows = 0
  public internal(set) var slots = 0
  public internal(set) var activeSlots = 0

  public init(_ configuration: MatrixConfiguration) {
    precondition(
      configuration.history >= 1 && configuration.history <= MatrixConfiguration.maximumHistory)
    self.configuration = configuration
    history = configuration.history
    headers = Vec()
    minima = Vec()
    arena = SlotArena()
    dirty = Vec()
    // Fine enough that a tick looks at few rows in vain; times of `EventTime.range` stay below 2^32.
    bucketWidth = max(60_000, (configuration.window ?? 0) / 4096)
  }

  /// Bytes held.
  public var bytes: Int { headers.bytes + minima.bytes + arena.bytes + dirty.bytes }
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
    if header.count == 0 {
      header.setOnly(item, stamp)
      slots &+= 1
      enlist(row, oldest: time)
      if Stamp.isActive(stamp) { gainActive(row, &header) }
      headers[r] = header
      return RowEdit(outcome: .changed, wasEmpty: true)
    }
    let edit =
      header.sizeClass == 0 && (header.place == item || history == 1)
      ? editOnly(row, &header, item, stamp, items) : editBlock(row, &header, item, stamp, items)
    if edit.outcome == .changed { headers[r] = header }
    return edit
  }

  /// The row has one slot, and will have one.
  private mutating func editOnly(
    _ row: UInt32, _ header: inout Header, _ item: UInt32, _ stamp: UInt64,
    _ items: borrowing Interner
  ) -> RowEdit {
    let old = header.onlyStamp
    var edit = RowEdit(outcome: .changed)
    if header.place == item {
      if stamp <= old { return RowEdit(outcome: .superseded) }
      edit.oldStamp = old
      if Stamp.isActive(old) != Stamp.isActive(stamp) {
        if Stamp.isActive(stamp) { gainActive(row, &header) } else { loseActive(row, &header) }
      }
    } else {
      if isOlder(item, Stamp.time(stamp), header.place, Stamp.time(old), items) {
        return RowEdit(outcome: .displaced)
      }
      edit.evictedItem = header.place
      edit.evictedStamp = old
      if Stamp.isActive(old) { loseActive(row, &header) }
      if Stamp.isActive(stamp) { gainActive(row, &header) }
    }
    header.setOnly(item, stamp)
    return edit
  }

  private mutating func editBlock(
    _ row: UInt32, _ header: inout Header, _ item: UInt32, _ stamp: UInt64,
    _ items: borrowing Interner
  ) -> RowEdit {
    let time = Stamp.time(stamp)
    let count = Int(header.count)
    if header.sizeClass == 0 { reshape(&header, slots: 2, with: time) }
    var block = arena.block(header)
    let place = affinity_find_last(block.items, count, item)
    if place >= 0 {
      let old = block.stamp(place)
      if stamp <= old { return RowEdit(outcome: .superseded) }
      // The slot moves towards the young end, past every older one.
      let k = rank(of: item, time, in: block, from: place &+ 1, to: count, items) &- 1
      if !block.fits(time) {
        reshape(&header, slots: count, with: time)
        block = arena.block(header)
      }
      block.move(from: place &+ 1, to: place, count: k &- place)
      block.set(k, item, stamp)
      if Stamp.isActive(old) != Stamp.isActive(stamp) {
        if Stamp.isActive(stamp) { gainActive(row, &header) } else { loseActive(row, &header) }
      }
      return RowEdit(outcome: .changed, oldStamp: old)
    }

    var edit = RowEdit(outcome: .changed)
    if count == history {
      if isOlder(item, time, block.items[0], block.time(0), items) {
        return RowEdit(outcome: .displaced)
      }
      edit.evictedItem = block.items[0]
      edit.evictedStamp = block.stamp(0)
      if Stamp.isActive(edit.evictedStamp) { loseActive(row, &header) }
      let k = rank(of: item, time, in: block, from: 1, to: count, items) &- 1
      if !block.fits(time) {
        reshape(&header, slots: count, with: time)
        block = arena.block(header)
      }
      block.move(from: 1, to: 0, count: k)
      block.set(k, item, stamp)
    } else {
      let k = rank(of: item, time, in: block, from: 0, to: count, items)
      if count == block.capacity || !block.fits(time) {
        reshape(&header, slots: count &+ 1, with: time)
        block = arena.block(header)
      }
      block.move(from: k, to: k &+ 1, count: count &- k)
      block.set(k, item, stamp)
      header.count = UInt16(count &+ 1)
      slots &+= 1
      if k == 0 { enlist(row, oldest: time) }
    }
    if Stamp.isActive(stamp) { gainActive(row, &header) }
    return edit
  }

  /// Where the slot belongs among those at `first..<count`, the item's own not among them. Looked for from the
  /// young end: acts come nearly in the order of their times.
  @inline(__always)
  private func rank(
    of item: UInt32, _ time: Int64, in block: SlotBlock, from first: Int, to count: Int,
    _ items: borrowing Interner
  ) -> Int {
    var k = count
    while k > first && !isOlder(block.items[k &- 1], block.time(k &- 1), item, time, items) {
      k &-= 1
    }
    return k
  }

  /// A block with room for `slots`, whose format holds every stamp of the row and `time`.
  private mutating func reshape(_ header: inout Header, slots: Int, with time: Int64) {
    let count = Int(header.count)
    let hasBlock = header.sizeClass > 0
    var oldest = time
    var newest = time
    if hasBlock {
      let old = arena.block(header)
      oldest = min(oldest, old.time(0))
      newest = max(newest, old.time(count - 1))
    } else {
      oldest = min(oldest, header.base)
      newest = max(newest, header.base)
    }
    let format = SlotBlock.format(span: newest - oldest)
    let sizeClass = SlotArena.sizeClass(slots)
    if hasBlock && header.sizeClass == sizeClass && header.format == format {
      let was = arena.block(header)
      header.setBlock(header.place, base: oldest, sizeClass: sizeClass, format: format)
      let block = arena.block(header)
      for k in 0..<count { block.set(k, was.items[k], was.stamp(k)) }
      return
    }
    let place = arena.allocate(sizeClass, format)
    var fresh = header
    fresh.setBlock(place, base: oldest, sizeClass: sizeClass, format: format)
    let block = arena.block(fresh)
    if hasBlock {
      let old = arena.block(header)
      for k in 0..<count { block.set(k, old.items[k], old.stamp(k)) }
      arena.release(header)
    } else {
      block.set(0, header.place, header.onlyStamp)
    }
    header = fresh
  }

  // MARK: reading

  /// The row's slots, oldest first. Valid until the next mutation.
  @inline(__always)
  public func slots(of row: UInt32) -> (items: UnsafeBufferPointer<UInt32>, stamps: Stamps) {
    let r = Int(row)
    guard r < headers.count, headers[r].count > 0 else {
      return (UnsafeBufferPointer(start: nil, count: 0), Stamps())
    }
    let header = headers.base + r
    if header.pointee.sizeClass == 0 {
      let item = UnsafeRawPointer(header).assumingMemoryBound(to: UInt32.self)
      return (
        UnsafeBufferPointer(start: item, count: 1), Stamps(only: header.pointee.onlyStamp)
      )
    }
    let block = arena.block(header.pointee)
    return (
      UnsafeBufferPointer(start: block.items, count: Int(header.pointee.count)),
      Stamps(block)
    )
  }

  public func isEmpty(_ row: UInt32) -> Bool {
    Int(row) >= headers.count || headers[Int(row)].count == 0
  }

  public var rowLimit: Int { headers.count }

  // MARK: ahead of time

  /// Asks the processor for the row's header.
  @inline(__always)
  func prefetchHeader(_ row: UInt32) {
    if Int(row) < headers.count { prefetch(headers.base + Int(row)) }
  }

  /// Asks for the row's slots; its header should have come.
  @inline(__always)
  func prefetchSlots(_ row: UInt32) {
    if Int(row) >= headers.count { return }
    let header = headers[Int(row)]
    if header.sizeClass == 0 || header.count == 0 { return }
    let start = UnsafeRawPointer(arena.words.base + Int(header.place))
    let capacity = arena.capacity(header.sizeClass)
    let count = Int(header.count)
    let stamps = 4 &* capacity
    let end =
      switch header.format {
      case SlotBlock.narrow: stamps &+ 4 &* count
      case SlotBlock.medium: 2 &* stamps &+ count
      default: stamps &+ 8 &* count
      }
    prefetch(start + (end &- 1))
    if end <= 512 {
      // A search reads all items, and where one leaves all others move.
      var line = 0
      while line < end {
        prefetch(start + line)
        line &+= 64
      }
      return
    }
    // The young end, where a search begins; the processor sees that it goes on.
    for line in 0..<4 { prefetch(start + max(0, 4 &* count &- 4 &- 64 &* line)) }
    prefetch(start)
    prefetch(start + stamps)
    prefetch(start + (stamps &+ 4 &* count))
  }

  // MARK: erasure

  /// Drops every slot of the row and overwrites the place where they stood. `dropped` is told each.
  mutating func clear(_ row: UInt32, dropped: (_ item: UInt32, _ stamp: UInt64) -> Void) {
    if isEmpty(row) { return }
    var header = headers[Int(row)]
    let (ids, stamps) = slots(of: row)
    for k in 0..<ids.count {
      dropped(ids[k], stamps[k])
      if Stamp.isActive(stamps[k]) { loseActive(row, &header) }
    }
    slots -= ids.count
    if header.sizeClass > 0 {
      arena.wipe(header)
      arena.release(header)
    }
    var empty = Header()
    empty.isDirty = header.isDirty
    headers[Int(row)] = empty
  }

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
      headers.base[Int(row)].isDirty = false
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
    let last = bucket(newHorizon)
    for group in 0..<minima.count where minima[group] <= last {
      var least = UInt32.max
      for row in group << 6..<min(group << 6 + 64, headers.count) {
        if headers[row].count == 0 { continue }
        if headers[row].base <= horizon {
          trim(UInt32(row), dropped: dropped, emptied: emptied)
          if headers[row].count == 0 { continue }
        }
        least = min(least, bucket(headers[row].base))
      }
      minima[group] = least
    }
  }

  private mutating func trim(
    _ row: UInt32, dropped: (UInt32, UInt32, UInt64) -> Void, emptied: (UInt32) -> Void
  ) {
    var header = headers[Int(row)]
    if header.sizeClass == 0 {
      dropped(row, header.place, header.onlyStamp)
      if Stamp.isActive(header.onlyStamp) { loseActive(row, &header) }
      header.count = 0
      slots -= 1
    } else {
      let block = arena.block(header)
      let count = Int(header.count)
      var gone = 0
      while gone < count && block.time(gone) <= horizon {
        let stamp = block.stamp(gone)
        dropped(row, block.items[gone], stamp)
        if Stamp.isActive(stamp) { loseActive(row, &header) }
        gone += 1
      }
      let left = count - gone
      slots -= gone
      if left <= 1 {
        let last = (item: block.items[count - 1], stamp: block.stamp(count - 1))
        arena.release(header)
        header.setBlock(0, base: 0, sizeClass: 0, format: 0)
        header.count = 0
        if left == 1 { header.setOnly(last.item, last.stamp) }
      } else {
        block.move(from: gone, to: 0, count: left)
        header.count = UInt16(left)
        reshape(&header, slots: left, with: block.time(0))
      }
    }
    headers[Int(row)] = header
    if header.count == 0 { emptied(row) }
  }

  // MARK: inside

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
    if !header.isDirty {
      header.isDirty = true
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

  private func bucket(_ time: Int64) -> UInt32 { UInt32(clamping: time / bucketWidth) }

  /// The row's oldest slot is now of this time.
  @inline(__always)
  private mutating func enlist(_ row: UInt32, oldest: Int64) {
    if configuration.window == nil { return }
    let group = Int(row &>> 6)
    minima.extend(to: group + 1, with: UInt32.max)
    minima[group] = min(minima[group], bucket(oldest))
  }

  /// For tests: every structural fact about the store.
  public func checkInvariants(items: borrowing Interner) {
    var slotTotal = 0
    var activeTotal = 0
    var rowTotal = 0
    var words = 0
    for r in 0..<headers.count {
      let header = headers[r]
      let (ids, stamps) = slots(of: UInt32(r))
      precondition(ids.count <= history)
      if header.sizeClass > 0 {
        precondition(ids.count <= arena.capacity(header.sizeClass))
        words += arena.words(header.sizeClass, header.format)
      }
      var active = 0
      var seen = Set<UInt32>()
      for k in 0..<ids.count {
        precondition(seen.insert(ids[k]).inserted, "an item twice in a row")
        let time = Stamp.time(stamps[k])
        precondition(time > horizon && time >= header.base, "an expired slot")
        if Stamp.isActive(stamps[k]) { active += 1 }
        if k > 0 {
          precondition(
            isOlder(ids[k - 1], Stamp.time(stamps[k - 1]), ids[k], time, items), "row out of order")
        } else if configuration.window != nil {
          precondition(minima[r >> 6] <= bucket(time), "a row nobody would look at")
        }
      }
      precondition(active == Int(header.active))
      slotTotal += ids.count
      activeTotal += active
      if active > 0 { rowTotal += 1 }
    }
    precondition(slotTotal == slots && activeTotal == activeSlots && rowTotal == activeRows)
    precondition(words + arena.freeWords == arena.words.count, "words of the arena that nobody has")
  }
}

extension RowStore: @unchecked Sendable {}
