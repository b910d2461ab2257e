// Stage one as sections: dictionaries, rows, references, counts. What is handed over at a seal (new
// items, changed rows) must have been taken before.
import Sparse

extension Interactions {
  public func save(into state: inout StateWriter) {
    precondition(newItems.count == 0, "new items are handed over before a snapshot")
    state.put(
      "numbers", numbers: Int64(matrices.count), Int64(sealNumber),
      Int64(bitPattern: digest.low), Int64(bitPattern: digest.high))
    state.group("users") { users.save(into: &$0) }
    state.group("items") { items.save(into: &$0) }
    state.group("sessions") { sessions.save(into: &$0) }
    state.group("orders") { orders.save(into: &$0) }
    state.put("user_refs", userRefs)
    state.put("session_refs", sessionRefs)
    state.put("order_refs", orderRefs)
    state.put("item_refs", itemRefs)
    state.group("session_links") { sessionLinks.save(into: &$0) }
    state.group("order_links") { orderLinks.save(into: &$0) }
    state.put("dead_items", deadItems)
    state.put("dead_since", deadSince)
    state.put(
      "orphans", copying: orphans.buffer.flatMap { [UInt32($0.context.rawValue), $0.row] })
    for m in 0..<matrices.count { state.group("rows.\(m)") { stores[m].save(into: &$0) } }
    state.group("popular") { popular.save(into: &$0) }
    state.group("recent") { recent.save(into: &$0) }
    state.put("live_entries", liveEntries)
  }

  public init(
    matrices: [MatrixConfiguration], popularity: PopularityConfiguration,
    restoring state: StateReader
  ) throws(StateError) {
    self.init(matrices: matrices, popularity: popularity)
    let numbers = try state.numbers("numbers", count: 4)
    guard numbers[0] == Int64(matrices.count) else { throw StateError("rows of other matrices") }
    sealNumber = Int(numbers[1])
    digest = Fingerprint(low: UInt64(bitPattern: numbers[2]), high: UInt64(bitPattern: numbers[3]))
    users = try Interner(restoring: state.group("users"))
    items = try Interner(restoring: state.group("items"))
    sessions = try FingerprintTable(restoring: state.group("sessions"))
    orders = try FingerprintTable(restoring: state.group("orders"))
    userRefs = try state.vec("user_refs")
    sessionRefs = try state.vec("session_refs")
    orderRefs = try state.vec("order_refs")
    itemRefs = try state.vec("item_refs")
    sessionLinks = try RowLinks(restoring: state.group("session_links"))
    orderLinks = try RowLinks(restoring: state.group("order_links"))
    deadItems = try state.vec("dead_items")
    deadSince = try state.vec("dead_since")
    let waiting = try state.array("orphans", of: UInt32.self)
    for i in stride(from: 0, to: waiting.count - 1, by: 2) {
      guard let context = ContextKind(rawValue: UInt8(truncatingIfNeeded: waiting[i])) else {
        throw StateError("a row of an unknown context")
      }
      orphans.append(Orphan(context: context, row: waiting[i + 1]))
    }
    for m in 0..<matrices.count {
      stores[m] = try RowStore(matrices[m], restoring: state.group("rows.\(m)"))
    }
    popular = try DecayedCounts(halfLife: popularity.halfLife, restoring: state.group("popular"))
    recent = try DecayedCounts(halfLife: popularity.trendHalfLife, restoring: state.group("recent"))
    liveEntries = try state.vec("live_entries")
    guard deadSince.count <= items.idLimit, userRefs.count >= users.idLimit, sessionRefs.count >= sessions.idLimit,
      orderRefs.count >= orders.idLimit, itemRefs.count >= items.idLimit
    else { throw StateError("rows without their references") }
  }

  /// Every row of a matrix that has an active item.
  public func allRows(matrix: Int) -> RowChanges { stores[matrix].allRows() }
}
