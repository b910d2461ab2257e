// Stage one of the engine: the rows of my users, sessions and orders.
//
// Owns the dictionaries (item and user keys to dense ids), a RowStore per matrix, the digest of every
// entry, and the decayed counts. One act touches the rows of its behaviour in each context it has a
// key for, and nothing else; pair counts belong to stage two, which is told at a seal what changed.
//
// A row key is (user), (user, session) or (user, order). Users are kept by their bytes, since they are
// written out; sessions and orders by the 128-bit fingerprint of their canonical bytes.
//
// Ids are given back: a row's when its last slot expires, an item's when no slot and no model in force
// holds it (`reclaim`). So dictionaries are bounded by what the windows hold. The sessions and orders of a
// user are linked (`RowLinks`), so that all of a user's rows are found in time proportional to them; a user
// is known as long as any of them is.
//
// State: the stores, the four dictionaries, both links, and the flat arrays declared with them below. Scratch
// is what the next seal takes (`newItems`, dirty rows) and `gone`, `emptied`.
import Sparse

/// An act on items, with its row keys resolved to bytes or fingerprints.
public struct Act: BitwiseCopyable {
  public var behaviour: Behaviour
  /// True for the act, false for its undoing.
  public var isPositive: Bool
  /// Event time, ms.
  public var time: Int64
  /// Where the act stands in the user's row: `ordered` for a refund, else `time`.
  public var timeInUserRow: Int64
  /// Bytes of the user's key; empty for anonymous traffic.
  public var user: UnsafeRawBufferPointer
  /// Fingerprints of the row keys: the user's, and the session's and the order's where there is one.
  public var userPrint: Fingerprint
  public var session: Fingerprint
  public var order: Fingerprint
  public var hasSession: Bool
  public var hasOrder: Bool

  public init(
    behaviour: Behaviour, isPositive: Bool, time: Int64, timeInUserRow: Int64,
    user: UnsafeRawBufferPointer, userPrint: Fingerprint, session: Fingerprint?,
    order: Fingerprint?
  ) {
    self.behaviour = behaviour
    self.isPositive = isPositive
    self.time = time
    self.timeInUserRow = timeInUserRow
    self.user = user
    self.userPrint = userPrint
    self.session = session ?? .zero
    self.order = order ?? .zero
    hasSession = session != nil
    hasOrder = order != nil
  }
}

/// Slots by what became of them, for the metrics.
public struct EditCounts: Equatable, Sendable {
  public var changed = 0
  public var superseded = 0
  public var displaced = 0
  public var tooOld = 0
  public var evicted = 0
  public init() {}
}

public struct Interactions: ~Copyable {
  public let matrices: [MatrixConfiguration]
  let stores: UnsafeMutablePointer<RowStore>
  /// Matrix indexes by behaviour, split by context.
  private let targets: Vec<UInt8>
  /// Where the targets of each behaviour begin; one more.
  private let targetStarts: Vec<UInt32>
  /// Bit per behaviour and context: whether a matrix of it exists.
  private let contextsOf: Vec<UInt8>
  private let contexts: Vec<UInt8>
  private let tags: Vec<UInt64>

  public var users: Interner
  public var items: Interner
  var sessions: FingerprintTable
  var orders: FingerprintTable
  var sessionLinks = RowLinks()
  var orderLinks = RowLinks()
  /// Matrices in which a row of the context has slots.
  var userRefs: Vec<UInt8>
  var sessionRefs: Vec<UInt8>
  var orderRefs: Vec<UInt8>
  /// Slots (over all matrices) that hold an item, plus one while the catalogue does.
  var itemRefs: Vec<UInt32>
  /// Items seen without references, each once, and per item the seals made when it was last seen so
  /// (`UInt32.max`: not listed).
  var deadItems: Vec<UInt32>
  var deadSince: Vec<UInt32>
  var newItems: Vec<UInt32>
  /// Row ids given out for acts that then left no slot.
  var orphans: Vec<Orphan>
  struct Orphan: BitwiseCopyable {
    var context: ContextKind
    var row: UInt32
  }
  struct Gone: BitwiseCopyable {
    var row: UInt32
    var item: UInt32
    var stamp: UInt64
  }
  var gone: Vec<Gone>
  private var emptied: Vec<UInt32>

  /// Σ mod 2^128 over every slot of every matrix (DESIGN §5).
  public internal(set) var digest = Fingerprint.zero
  public var edits = EditCounts()

  /// Decayed and plain counts of live entries of the popularity matrix.
  public let popularityMatrix: Int?
  var popular: DecayedCounts
  var recent: DecayedCounts
  var liveEntries: Vec<UInt32>

  public init(matrices: [MatrixConfiguration], popularity: PopularityConfiguration) {
    precondition(matrices.count < 256)
    self.matrices = matrices
    stores = .allocate(capacity: max(matrices.count, 1))
    var table = [[UInt8]](repeating: [], count: Behaviour.allCases.count)
    var kinds = Vec<UInt8>()
    var words = Vec<UInt64>()
    for (m, configuration) in matrices.enumerated() {
      (stores + m).initialize(to: RowStore(configuration))
      table[Int(configuration.behaviour.rawValue)].append(UInt8(m))
      kinds.append(configuration.context.rawValue)
      words.append(
        UInt64(configuration.context.rawValue) << 8 | UInt64(configuration.behaviour.rawValue))
    }
    var all = Vec<UInt8>()
    var starts = Vec<UInt32>()
    var masks = Vec<UInt8>()
    for list in table {
      starts.append(UInt32(all.count))
      var mask: UInt8 = 0
      for m in list {
        all.append(m)
        mask |= 1 << matrices[Int(m)].context.rawValue
      }
      masks.append(mask)
    }
    starts.append(UInt32(all.count))
    targets = all
    targetStarts = starts
    contextsOf = masks
    contexts = kinds
    tags = words
    users = Interner()
    items = Interner()
    sessions = FingerprintTable()
    orders = FingerprintTable()
    userRefs = Vec()
    sessionRefs = Vec()
    orderRefs = Vec()
    itemRefs = Vec()
    deadItems = Vec()
    deadSince = Vec()
    newItems = Vec()
    orphans = Vec()
    gone = Vec()
    emptied = Vec()
    popularityMatrix = matrices.firstIndex(of: popularity.matrix)
    popular = DecayedCounts(halfLife: popularity.halfLife)
    recent = DecayedCounts(halfLife: popularity.trendHalfLife)
    liveEntries = Vec()
  }

  deinit {
    stores.deinitialize(count: matrices.count)
    stores.deallocate()
  }

  // MARK: acts

  /// Whether acts of this kind change anything.
  public func hasMatrix(of behaviour: Behaviour) -> Bool {
    contextsOf[Int(behaviour.rawValue)] != 0
  }

  /// Whether they change rows of this context.
  public func hasMatrix(of behaviour: Behaviour, in context: ContextKind) -> Bool {
    contextsOf[Int(behaviour.rawValue)] & 1 << context.rawValue != 0
  }

  /// Applies the act to one item. Call once per item of an event whose behaviour has a matrix.
  /// - Returns: whether any row accepted it (a repeat or a displaced slot counts: it is in the set).
  public mutating func apply(
    _ act: Act, rows: RowIDs, item key: UnsafeRawBufferPointer, print: Fingerprint,
    known: UInt32 = RowIDs.none
  ) -> Bool {
    let behaviour = Int(act.behaviour.rawValue)
    let first = Int(targetStarts[behaviour])
    let end = Int(targetStarts[behaviour &+ 1])
    var item = known
    if item == RowIDs.none {
      let (id, isNew) = items.intern(key, print)
      if isNew { noteNew(id) }
      item = id
    }
    var accepted = false
    var fed = false
    let stamp = Stamp.make(time: act.time, active: act.isPositive)
    for t in first..<end {
      let matrix = Int(targets[t])
      switch contexts[matrix] {
      case ContextKind.user.rawValue:
        if rows.user == RowIDs.none { continue }
        fed = true
        let moved = Stamp.make(time: act.timeInUserRow, active: act.isPositive)
        if edit(matrix, rows.user, act.userPrint, item, print, moved) { accepted = true }
      case ContextKind.session.rawValue:
        if rows.session == RowIDs.none { continue }
        fed = true
        if edit(matrix, rows.session, act.session, item, print, stamp) { accepted = true }
      default:
        if rows.order == RowIDs.none { continue }
        fed = true
        if edit(matrix, rows.order, act.order, item, print, stamp) { accepted = true }
      }
    }
    if itemRefs[Int(item)] == 0 { noteDead(item) }
    return accepted || !fed
  }

  /// The row ids of an act, given out where they are new.
  public struct RowIDs: BitwiseCopyable {
    public static let none = UInt32.max
    var user = none
    var session = none
    var order = none
    public init() {}
  }

  /// `known`: what `identify` found, with no seal and no erasure since.
  public mutating func rows(for act: Act, known: RowIDs = RowIDs()) -> RowIDs {
    let wanted = contextsOf[Int(act.behaviour.rawValue)]
    var ids = known
    if wanted & 1 << ContextKind.user.rawValue != 0 && act.user.count > 0
      && ids.user == RowIDs.none
    {
      ids.user = user(act)
    }
    if wanted & 1 << ContextKind.session.rawValue != 0 && act.hasSession
      && ids.session == RowIDs.none
    {
      let (id, isNew) = sessions.intern(act.session)
      ids.session = id
      if isNew {
        sessionRefs.extend(to: sessions.idLimit, with: 0)
        if act.user.count > 0 { sessionLinks.insert(id, of: user(act)) }
        orphans.append(Orphan(context: .session, row: id))
      }
    }
    if wanted & 1 << ContextKind.order.rawValue != 0 && act.hasOrder && ids.order == RowIDs.none {
      let (id, isNew) = orders.intern(act.order)
      ids.order = id
      if isNew {
        orderRefs.extend(to: orders.idLimit, with: 0)
        if act.user.count > 0 { orderLinks.insert(id, of: user(act)) }
        orphans.append(Orphan(context: .order, row: id))
      }
    }
    return ids
  }

  private mutating func user(_ act: Act) -> UInt32 {
    let (id, isNew) = users.intern(act.user, act.userPrint)
    if isNew {
      userRefs.extend(to: users.idLimit, with: 0)
      orphans.append(Orphan(context: .user, row: id))
    }
    return id
  }

  /// After the last item of an act: rows that got no slot are remembered for the next reclaim.
  public mutating func finish() {
    // This act's rows stand at the end. Whether an earlier one has slots by now is asked at the tick.
    while orphans.count > 0 {
      let last = orphans[orphans.count - 1]
      if !isHeld(last.context, last.row) { return }
      _ = orphans.popLast()
    }
  }

  // MARK: ahead of time

  /// Where an act will look, asked for in passes over a few dozen acts, each of which finds in the cache
  /// what the pass before it has asked for. They change nothing.
  @inline(__always)
  public func prefetchHomes(of act: Act) {
    let wanted = contextsOf[Int(act.behaviour.rawValue)]
    if wanted == 0 { return }
    if act.user.count > 0 { users.prefetchHome(act.userPrint) }
    if wanted & 1 << ContextKind.session.rawValue != 0 && act.hasSession {
      sessions.prefetchHome(act.session)
    }
    if wanted & 1 << ContextKind.order.rawValue != 0 && act.hasOrder {
      orders.prefetchHome(act.order)
    }
  }

  /// - Returns: the ids that the rows probably have.
  @inline(__always)
  public func prefetchKeys(of act: Act) -> RowIDs {
    var ids = RowIDs()
    let wanted = contextsOf[Int(act.behaviour.rawValue)]
    if wanted == 0 { return ids }
    if wanted & 1 << ContextKind.user.rawValue != 0 && act.user.count > 0 {
      ids.user = users.prefetchEntry(act.userPrint) ?? RowIDs.none
    }
    if wanted & 1 << ContextKind.session.rawValue != 0 && act.hasSession {
      ids.session = sessions.prefetchEntry(act.session) ?? RowIDs.none
    }
    if wanted & 1 << ContextKind.order.rawValue != 0 && act.hasOrder {
      ids.order = orders.prefetchEntry(act.order) ?? RowIDs.none
    }
    return ids
  }

  /// - Returns: those of the ids that really are the rows', good until the next seal or erasure; it asks for their
  ///   headers.
  @inline(__always)
  public func identify(_ probable: RowIDs, of act: Act) -> RowIDs {
    var ids = probable
    if ids.user != RowIDs.none && !users.isKey(act.user, act.userPrint, of: ids.user) {
      ids.user = RowIDs.none
    }
    if ids.session != RowIDs.none && sessions.fingerprint(ids.session) != act.session {
      ids.session = RowIDs.none
    }
    if ids.order != RowIDs.none && orders.fingerprint(ids.order) != act.order {
      ids.order = RowIDs.none
    }
    forEachRow(of: act, ids) { matrix, row in stores[matrix].prefetchHeader(row) }
    return ids
  }

  @inline(__always)
  public func prefetchSlots(of act: Act, _ ids: RowIDs) {
    forEachRow(of: act, ids) { matrix, row in stores[matrix].prefetchSlots(row) }
  }

  @inline(__always)
  private func forEachRow(
    of act: Act, _ ids: RowIDs, _ body: (_ matrix: Int, _ row: UInt32) -> Void
  ) {
    let behaviour = Int(act.behaviour.rawValue)
    for t in Int(targetStarts[behaviour])..<Int(targetStarts[behaviour &+ 1]) {
      let matrix = Int(targets[t])
      let row =
        switch contexts[matrix] {
        case ContextKind.user.rawValue: ids.user
        case ContextKind.session.rawValue: ids.session
        default: ids.order
        }
      if row != RowIDs.none { body(matrix, row) }
    }
  }

  // MARK: one entry

  /// Whether anything keeps the row's id.
  private func isHeld(_ context: ContextKind, _ row: UInt32) -> Bool {
    rowReferences(context, row) > 0 || context == .user && hasLinkedRows(row)
  }

  private func hasLinkedRows(_ user: UInt32) -> Bool {
    sessionLinks.hasRows(user) || orderLinks.hasRows(user)
  }

  /// The row's last slot has gone, or it never had one.
  private mutating func forget(_ context: ContextKind, _ row: UInt32) {
    let user: UInt32?
    switch context {
    case .user:
      if !hasLinkedRows(row) { users.remove(row) }
      return
    case .session:
      sessions.remove(row)
      user = sessionLinks.remove(row)
    case .order:
      orders.remove(row)
      user = orderLinks.remove(row)
    }
    if let user, userRefs[Int(user)] == 0, !hasLinkedRows(user) { users.remove(user) }
  }

  func rowPrint(_ context: ContextKind, _ row: UInt32) -> Fingerprint {
    switch context {
    case .user: users.fingerprint(row)
    case .session: sessions.fingerprint(row)
    case .order: orders.fingerprint(row)
    }
  }

  private func rowReferences(_ context: ContextKind, _ row: UInt32) -> UInt8 {
    switch context {
    case .user: userRefs[Int(row)]
    case .session: sessionRefs[Int(row)]
    case .order: orderRefs[Int(row)]
    }
  }

  private mutating func edit(
    _ matrix: Int, _ row: UInt32, _ rowPrint: Fingerprint, _ item: UInt32,
    _ itemPrint: Fingerprint, _ stamp: UInt64
  ) -> Bool {
    let edit = stores[matrix].apply(row: row, item: item, stamp: stamp, items: items)
    switch edit.outcome {
    case .tooOld:
      edits.tooOld &+= 1
      return false
    case .superseded:
      edits.superseded &+= 1
      return true
    case .displaced:
      edits.displaced &+= 1
      return true
    case .changed:
      edits.changed &+= 1
    }
    let tag = tags[matrix]
    digest &+= Fingerprint(rowPrint, itemPrint, stamp, tag)
    if let old = edit.oldStamp {
      digest &-= Fingerprint(rowPrint, itemPrint, old, tag)
      if matrix == popularityMatrix { uncount(item, old) }
    } else {
      itemRefs[Int(item)] &+= 1
      if edit.wasEmpty { addRowReference(matrix, row) }
    }
    if matrix == popularityMatrix { count(item, stamp) }
    if edit.evictedItem != .max {
      edits.evicted &+= 1
      release(matrix, rowPrint, edit.evictedItem, edit.evictedStamp)
    }
    return true
  }

  /// A slot has left: digest, references, counts.
  mutating func release(
    _ matrix: Int, _ rowPrint: Fingerprint, _ item: UInt32, _ stamp: UInt64
  ) {
    digest &-= Fingerprint(rowPrint, items.fingerprint(item), stamp, tags[matrix])
    if matrix == popularityMatrix { uncount(item, stamp) }
    itemRefs[Int(item)] &-= 1
    if itemRefs[Int(item)] == 0 { noteDead(item) }
  }

  private mutating func count(_ item: UInt32, _ stamp: UInt64) {
    if !Stamp.isActive(stamp) { return }
    liveEntries.extend(to: Int(item) + 1, with: 0)
    liveEntries[Int(item)] &+= 1
    popular.add(item, Stamp.time(stamp))
    recent.add(item, Stamp.time(stamp))
  }

  private mutating func uncount(_ item: UInt32, _ stamp: UInt64) {
    if !Stamp.isActive(stamp) { return }
    liveEntries[Int(item)] &-= 1
    popular.subtract(item, Stamp.time(stamp))
    recent.subtract(item, Stamp.time(stamp))
  }

  private mutating func addRowReference(_ matrix: Int, _ row: UInt32) {
    switch contexts[matrix] {
    case ContextKind.user.rawValue: userRefs[Int(row)] &+= 1
    case ContextKind.session.rawValue: sessionRefs[Int(row)] &+= 1
    default: orderRefs[Int(row)] &+= 1
    }
  }

  // MARK: reading

  /// The row's slots, oldest first; empty where there is none.
  @inline(__always)
  public func slots(matrix: Int, row: UInt32) -> (
    items: UnsafeBufferPointer<UInt32>, stamps: Stamps
  ) { stores[matrix].slots(of: row) }

  public func sessionRow(_ print: Fingerprint) -> UInt32? { sessions.find(print) }
  public func orderRow(_ print: Fingerprint) -> UInt32? { orders.find(print) }
  public func liveEntries(of item: UInt32) -> UInt32 {
    Int(item) < liveEntries.count ? liveEntries[Int(item)] : 0
  }

  /// Sizes and bytes of one matrix.
  public func sizes(matrix: Int) -> (activeRows: Int, slots: Int, activeSlots: Int, bytes: Int) {
    let p = stores + matrix
    return (p.pointee.activeRows, p.pointee.slots, p.pointee.activeSlots, p.pointee.bytes)
  }

  public var dictionaryBytes: (users: Int, items: Int, sessions: Int, orders: Int) {
    (
      users.bytes + userRefs.bytes, items.bytes + itemRefs.bytes,
      sessions.bytes + sessionRefs.bytes + sessionLinks.bytes,
      orders.bytes + orderRefs.bytes + orderLinks.bytes
    )
  }
  public var sessionCount: Int { sessions.liveCount }
  public var orderCount: Int { orders.liveCount }

  /// Every row of the user that the windows hold, session and order rows the latest first.
  public func forEachRow(
    ofUser user: UInt32, _ body: (_ context: ContextKind, _ row: UInt32) -> Void
  ) {
    body(.user, user)
    sessionLinks.forEachRow(of: user) { body(.session, $0) }
    orderLinks.forEachRow(of: user) { body(.order, $0) }
  }

  // MARK: ticks

  /// Seals made so far.
  public internal(set) var sealNumber = 0

  /// Moves every matrix's horizon to `tick` minus its window and drops what is at or before it.
  public mutating func expire(tick: Int64) {
    // Before rows are emptied, so that no row is given back twice.
    for i in 0..<orphans.count {
      let orphan = orphans[i]
      // A user may have gone with its last row.
      if orphan.context == .user && !users.isLive(orphan.row) { continue }
      if !isHeld(orphan.context, orphan.row) { forget(orphan.context, orphan.row) }
    }
    orphans.removeAll()
    for m in 0..<matrices.count {
      guard let window = matrices[m].window else { continue }
      let context = matrices[m].context
      gone.removeAll()
      emptied.removeAll()
      stores[m].expire(
        to: tick - window,
        dropped: { gone.append(Gone(row: $0, item: $1, stamp: $2)) },
        emptied: { emptied.append($0) })
      for i in 0..<gone.count {
        let slot = gone[i]
        release(m, rowPrint(context, slot.row), slot.item, slot.stamp)
      }
      for i in 0..<emptied.count {
        let row = emptied[i]
        switch context {
        case .user: userRefs[Int(row)] &-= 1
        case .session: sessionRefs[Int(row)] &-= 1
        case .order: orderRefs[Int(row)] &-= 1
        }
        if rowReferences(context, row) == 0 { forget(context, row) }
      }
    }
    if let m = popularityMatrix {
      let popularMoved = popular.move(to: tick)
      let recentMoved = recent.move(to: tick)
      if popularMoved || recentMoved { recount(m, popular: popularMoved, recent: recentMoved) }
    }
    sealNumber += 1
  }

  /// The decayed sums anew from the live entries, where their landmark moved.
  private mutating func recount(_ matrix: Int, popular doPopular: Bool, recent doRecent: Bool) {
    for row in 0..<stores[matrix].rowLimit {
      let (ids, stamps) = stores[matrix].slots(of: UInt32(row))
      for k in 0..<ids.count where Stamp.isActive(stamps[k]) {
        if doPopular { popular.add(ids[k], Stamp.time(stamps[k])) }
        if doRecent { recent.add(ids[k], Stamp.time(stamps[k])) }
      }
    }
  }

  private mutating func noteNew(_ item: UInt32) {
    itemRefs.extend(to: items.idLimit, with: 0)
    newItems.append(item)
  }

  /// Items given an id since the last call: ids and keys, for stage two's dictionary.
  public mutating func takeNewItems() -> NewItems {
    var fresh = NewItems()
    for i in 0..<newItems.count {
      let id = newItems[i]
      fresh.ids.append(id)
      fresh.keys.append(contentsOf: items.key(id))
      fresh.ends.append(fresh.keys.count)
    }
    newItems.removeAll()
    return fresh
  }

  private mutating func noteDead(_ item: UInt32) {
    let i = Int(item)
    deadSince.extend(to: i + 1, with: UInt32.max)
    if deadSince[i] == .max { deadItems.append(item) }
    deadSince[i] = UInt32(sealNumber)
  }

  /// Gives back the ids of items that nothing has held since before the seal `oldestSeal` (the oldest
  /// one a part of the model in force was made from).
  /// - Returns: the ids, for stage two to forget as well.
  public mutating func reclaimItems(unusedSince oldestSeal: Int) -> [UInt32] {
    var removed: [UInt32] = []
    var kept = 0
    for i in 0..<deadItems.count {
      let item = deadItems[i]
      if itemRefs[Int(item)] > 0 {
        deadSince[Int(item)] = .max
      } else if Int(deadSince[Int(item)]) < oldestSeal {
        deadSince[Int(item)] = .max
        items.remove(item)
        removed.append(item)
      } else {
        deadItems[kept] = item
        kept += 1
      }
    }
    deadItems.count = kept
    return removed
  }

  /// Items that a slot or the catalogue holds. Those whose ids are yet to be given back do not count, so
  /// that the number is a function of the rows.
  public var heldItems: Int {
    var dead = 0
    for i in 0..<deadItems.count where itemRefs[Int(deadItems[i])] == 0 { dead += 1 }
    return items.liveCount - dead
  }

  public mutating func takeChanges(matrix: Int) -> RowChanges { stores[matrix].takeChanges() }
  public func changedRows(matrix: Int) -> Int { stores[matrix].dirtyCount }
  public func horizon(matrix: Int) -> Int64 { stores[matrix].horizon }

  /// What popularity needs of stage one, copied at a seal: a few bytes per item.
  public func popularitySeal() -> PopularitySeal {
    PopularitySeal(
      live: Array(liveEntries.buffer), popular: popular.values, recent: recent.values,
      landmarks: (popular.landmark, recent.landmark))
  }

  /// The item's id, with a reference that is not a slot's (the catalogue's).
  public mutating func holdItem(_ key: UnsafeRawBufferPointer) -> UInt32 {
    let (item, isNew) = items.intern(key)
    if isNew { noteNew(item) }
    itemRefs[Int(item)] &+= 1
    return item
  }
  public mutating func dropItem(_ item: UInt32) {
    itemRefs[Int(item)] &-= 1
    if itemRefs[Int(item)] == 0 { noteDead(item) }
  }

  public func checkInvariants() {
    var refs = [UInt32](repeating: 0, count: items.idLimit)
    for m in 0..<matrices.count {
      stores[m].checkInvariants(items: items)
      for row in 0..<stores[m].rowLimit {
        for item in stores[m].slots(of: UInt32(row)).items { refs[Int(item)] += 1 }
      }
    }
    for i in 0..<refs.count {
      precondition(items.isLive(UInt32(i)) || refs[i] == 0, "a slot of an item without a key")
      if items.isLive(UInt32(i)) { precondition(itemRefs[i] >= refs[i], "an item's references") }
    }
    let held = (0..<refs.count).count { items.isLive(UInt32($0)) && itemRefs[$0] > 0 }
    precondition(held == heldItems, "items held")
    for context in ContextKind.allCases {
      let (limit, live) =
        switch context {
        case .user: (userRefs.count, users.liveCount)
        case .session: (sessionRefs.count, sessions.liveCount)
        case .order: (orderRefs.count, orders.liveCount)
        }
      var held = 0
      for row in 0..<limit {
        var count = 0
        for m in 0..<matrices.count where matrices[m].context == context {
          if !stores[m].isEmpty(UInt32(row)) { count += 1 }
        }
        precondition(Int(rowReferences(context, UInt32(row))) == count, "a row's references")
        if count > 0 || context == .user && hasLinkedRows(UInt32(row)) { held += 1 }
      }
      var waiting = 0
      for i in 0..<orphans.count
      where orphans[i].context == context && !isHeld(context, orphans[i].row) {
        waiting += 1
      }
      precondition(live == held + waiting, "a dictionary's rows")
    }
  }
}

extension Interactions: @unchecked Sendable {}

/// Counts of live entries and their decayed sums, per dense item id.
public struct PopularitySeal: Sendable {
  public var live: [UInt32]
  public var popular: [UInt64]
  public var recent: [UInt64]
  public var landmarks: (popular: Int64, recent: Int64)
}

/// Item ids with their keys, end to end.
public struct NewItems: Sendable {
  public var ids: [UInt32] = []
  public var keys: [UInt8] = []
  public var ends: [Int] = []
  public init() {}
}
