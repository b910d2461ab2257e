// The state machine of the daemon, pure: events, ticks and flush points in, bytes out. Live daemon,
// replay, backtest and tests drive this same type. It reads no clock, file or random source.
//
// Order of effects for its driver, per event:
//   1. `release(dueBy:)`: lists whose linger has passed are made.
//   2. `apply`: rows change; the event becomes a pending cause of its listener's list.
// and at a tick:
//   3. `flush`, `seal`: what waits is made under the model in force, the horizons move, and what changed
//      goes to stage two (`ModelBuilder`), which may run on another thread while events go on.
//   4. `activate`: flush again, the new model comes into force at this position, which goes out on the
//      models topic before the first list made with it; then `renew` until it returns 0.
// A list is a pure function of its cause (rows just after it, model in force): so an event that changes
// rows without being a cause, of a listener that waits, first makes the waiting list.
import Events
import Recommender
import Sparse

/// What became of an event that was understood.
public enum Disposition: UInt8, CaseIterable, Sendable, BitwiseCopyable {
  case applied
  /// Every slot it would make lies at or before its matrix's horizon.
  case tooOld
  /// `consent: false`.
  case consentWithheld
  /// An erasure, carried out (Engine+Erasure).
  case erasure
  /// A rating without a value.
  case ratingWithoutValue

  public var name: String {
    switch self {
    case .applied: "applied"
    case .tooOld: "too_old"
    case .consentWithheld: "consent_withheld"
    case .erasure: "erasure"
    case .ratingWithoutValue: "rating_without_value"
    }
  }
}

/// An event with its keys resolved.
private struct PreparedEvent: BitwiseCopyable {
  /// `applied`: it is to be.
  var disposition: Disposition
  var act = Act(
    behaviour: .view, isPositive: true, time: 0, timeInUserRow: 0,
    user: UnsafeRawBufferPointer(start: nil, count: 0), userPrint: .zero, session: nil, order: nil)
  /// Rows it is known to have.
  var rows = Interactions.RowIDs()
  var firstItem = 0
  var itemCount = 0

  init(_ disposition: Disposition) { self.disposition = disposition }
}

public struct Engine: ~Copyable {
  public private(set) var configuration: EngineConfiguration
  /// Milliseconds a list waits for a later event of its listener. May change at any time: it decides which
  /// causes are left out, not what a list says.
  public var linger: Int64 {
    get { configuration.recommend.linger }
    set { configuration.recommend.linger = newValue }
  }
  /// Names of the input topics, by `LogPosition.topic`.
  public let topics: [String]
  public var interactions: Interactions
  public var catalogue = Catalogue()
  public internal(set) var model: Model?
  /// The highest event time seen; nil before the first event.
  public internal(set) var streamTime: Int64?
  /// Next offset per topic and partition; -1 where nothing was seen.
  public internal(set) var positions: [[Int64]]
  /// Per partition of the events topic: records that were gone from the log before they were read. Empty: none.
  public internal(set) var gaps: [Int64] = []
  /// True while the log is read again up to the committed offsets: rows change, and of the lists, which
  /// the run before has sent, only the hashes are made, and those only where somebody will ask.
  public var isSilent = false
  /// Applied events by type, and events by disposition.
  public private(set) var eventsByType = [Int](repeating: 0, count: EventType.allCases.count)
  public internal(set) var eventsByDisposition = [Int](
    repeating: 0, count: Disposition.allCases.count)
  public private(set) var listsMade = 0
  public private(set) var causesOvertaken = 0

  var audience = Audience()
  var ranker: Ranker
  let places: MatrixPlaces
  /// Matrices whose erased rows stand in rules or list models.
  let minedMatrices: [Int]
  private let causeTypes: [Bool]
  private var unheard = Outputs()
  var keyScratch = ByteWriter(capacity: 256)
  /// Scratch: events whose keys are resolved ahead of their turn, with the fingerprints of their items.
  private var prepared = Vec<PreparedEvent>()
  private var itemPrints = Vec<Fingerprint>()
  private var itemIDs = Vec<UInt32>()
  /// Seals made when they were resolved: ids are given back at seals, and by erasures.
  private var preparedSeal = 0
  var lastRulesTick: Int64?
  /// Baskets were erased that the rules in force count.
  var hasErasedBaskets = false

  public init(_ configuration: EngineConfiguration, topics: [String] = ["shop.events"]) {
    self.configuration = configuration
    self.topics = topics
    let matrices = configuration.matrices
    interactions = Interactions(matrices: matrices, popularity: configuration.popularity)
    places = MatrixPlaces(configuration, matrices: matrices)
    ranker = Ranker(configuration, places: places, topics: topics)
    minedMatrices = [places.rules].compactMap { $0 } + places.ofLists(configuration)
    positions = topics.map { _ in [] }
    var causes = [Bool](repeating: false, count: EventType.allCases.count)
    for type in EventType.allCases {
      guard let (behaviour, isPositive) = Engine.meaning(of: type), isPositive else { continue }
      causes[Int(type.rawValue)] =
        configuration.recommendEnabled && configuration.recommend.on.contains(behaviour)
    }
    causeTypes = causes
  }

  public var digest: Fingerprint { interactions.digest }
  public var pendingCount: Int { audience.pendingCount }
  public var listenerCount: Int { audience.count }
  public var renewalCount: Int { audience.renewalCount }
  /// Hashes wanted still, of lists that the run before has sent.
  public var silentCount: Int { audience.quietCount }
  public var audienceBytes: Int { audience.bytes }
  /// Rows, slots and bytes per matrix, and the bytes of the dictionaries.
  public var interactionSizes:
    (
      matrices: [(MatrixConfiguration, (activeRows: Int, slots: Int, activeSlots: Int, bytes: Int))],
      dictionaries: (users: Int, items: Int, sessions: Int, orders: Int)
    )
  {
    let matrices = interactions.matrices
    return (
      matrices.indices.map { (matrices[$0], interactions.sizes(matrix: $0)) },
      interactions.dictionaryBytes
    )
  }

  /// What a type does to which matrix; nil for an erasure. A rating's value decides whether it is positive.
  public static func meaning(of type: EventType) -> (Behaviour, isPositive: Bool)? {
    switch type {
    case .view: (.view, true)
    case .cart: (.cart, true)
    case .uncart: (.cart, false)
    case .purchase: (.purchase, true)
    case .refund: (.purchase, false)
    case .like, .rating: (.like, true)
    case .impression: (.impression, true)
    case .click: (.click, true)
    case .erase: nil
    }
  }

  /// Users with a cause at or after it are active.
  private var refreshStart: Int64 {
    guard let streamTime else { return .min }
    let (since, overflow) = streamTime.subtractingReportingOverflow(configuration.recommend.refresh)
    return overflow ? .min : since
  }

  // MARK: events

  /// The record at `position` was not an event (dead letter, unknown type): the position moves on.
  /// - Parameter time: of an unknown type the time, where it has one that is not in the future
  ///   (`EventBatch.time(at:)`): it moves stream time as an event's does.
  public mutating func skip(_ position: LogPosition, time: Int64? = nil) {
    note(position)
    if let time, time > streamTime ?? .min { streamTime = time }
  }

  /// Applies one event. `clock` is the driver's (stream time in replay, the wall live): a cause waits
  /// until `clock` + linger.
  ///
  /// `prepared` is the event's place in the range last given to `prepare`, nil where it was in none.
  public mutating func apply(
    _ event: EventView, at position: LogPosition, clock: Int64, receivedAt: Int64 = 0,
    prepared place: Int? = nil, into outputs: inout Outputs
  ) -> Disposition {
    note(position)
    if event.time > streamTime ?? .min { streamTime = event.time }
    if audience.count >= audience.pruneLimit { audience.prune(activeSince: refreshStart) }
    eventsByType[Int(event.type.rawValue)] &+= 1
    let disposition: Disposition
    if let place {
      if preparedSeal != interactions.sealNumber { forgetPreparedIDs() }
      disposition = applyKnown(
        event, prepared[place], at: position, clock: clock, receivedAt: receivedAt, into: &outputs)
    } else {
      let known = itemPrints.count
      disposition = applyKnown(
        event, resolve(event), at: position, clock: clock, receivedAt: receivedAt, into: &outputs)
      itemPrints.count = known
      itemIDs.count = known
    }
    if disposition == .erasure {
      erase(event.user, request: event.id, time: event.time, at: position, into: &outputs)
    }
    eventsByDisposition[Int(disposition.rawValue)] &+= 1
    return disposition
  }

  /// Resolves the keys of a few dozen coming events at once and asks the processor for the memory they
  /// will touch: a cache miss of one is waited for while others' are under way. The batch must stay as it
  /// is until they are applied.
  public mutating func prepare(_ batch: EventBatch, _ range: Range<Int>) {
    prepared.removeAll()
    itemPrints.removeAll()
    itemIDs.removeAll()
    preparedSeal = interactions.sealNumber
    for i in range {
      guard let event = batch.event(at: i) else {
        prepared.append(PreparedEvent(.erasure))
        continue
      }
      let one = resolve(event)
      prepared.append(one)
      guard one.disposition == .applied else { continue }
      interactions.prefetchHomes(of: one.act)
      for k in one.firstItem..<itemPrints.count {
        interactions.items.prefetchHome(itemPrints[k])
      }
    }
    for i in 0..<prepared.count where prepared[i].disposition == .applied {
      prepared.base[i].rows = interactions.prefetchKeys(of: prepared[i].act)
      for k in prepared[i].firstItem..<prepared[i].firstItem + prepared[i].itemCount {
        itemIDs[k] =
          interactions.items.prefetchEntry(itemPrints[k]) ?? Interactions.RowIDs.none
      }
    }
    for i in range where prepared[i - range.lowerBound].disposition == .applied {
      let one = prepared.base + (i - range.lowerBound)
      one.pointee.rows = interactions.identify(one.pointee.rows, of: one.pointee.act)
      guard one.pointee.itemCount > 0, let event = batch.event(at: i) else { continue }
      for n in 0..<one.pointee.itemCount {
        let k = one.pointee.firstItem + n
        let id = itemIDs[k]
        if id != Interactions.RowIDs.none
          && !interactions.items.isKey(event.items[n].id, itemPrints[k], of: id)
        {
          itemIDs[k] = Interactions.RowIDs.none
        }
      }
    }
    for i in 0..<prepared.count where prepared[i].disposition == .applied {
      interactions.prefetchSlots(of: prepared[i].act, prepared[i].rows)
    }
  }

  /// There was a seal or an erasure between: an id may be another key's by now.
  mutating func forgetPreparedIDs() {
    for i in 0..<prepared.count { prepared.base[i].rows = Interactions.RowIDs() }
    for k in 0..<itemIDs.count { itemIDs[k] = Interactions.RowIDs.none }
    preparedSeal = interactions.sealNumber
  }

  /// What the event does and to which rows.
  private mutating func resolve(_ event: EventView) -> PreparedEvent {
    if event.type != .erase && !event.consent { return PreparedEvent(.consentWithheld) }
    guard var (behaviour, isPositive) = Engine.meaning(of: event.type) else {
      return PreparedEvent(.erasure)
    }
    if event.type == .rating {
      guard let value = event.value else { return PreparedEvent(.ratingWithoutValue) }
      isPositive = value >= configuration.likeFrom
      behaviour = .like
    }
    var one = PreparedEvent(.applied)
    // A cause keeps its session and order for its list; else only rows ask for them.
    let isWanted = configuration.recommendEnabled
    one.act = Act(
      behaviour: behaviour, isPositive: isPositive, time: event.time,
      timeInUserRow: event.type == .refund ? event.ordered ?? event.time : event.time,
      user: event.user,
      userPrint: event.user.count > 0 ? Fingerprint(of: event.user) : .zero,
      session: isWanted || interactions.hasMatrix(of: behaviour, in: .session)
        ? sessionPrint(event) : nil,
      order: isWanted || interactions.hasMatrix(of: behaviour, in: .order) ? orderPrint(event) : nil)
    one.firstItem = itemPrints.count
    if !interactions.hasMatrix(of: behaviour) { return one }
    one.itemCount = event.items.count
    for i in 0..<event.items.count { itemPrints.append(Fingerprint(of: event.items[i].id)) }
    itemIDs.extend(to: itemPrints.count, with: Interactions.RowIDs.none)
    return one
  }

  private mutating func applyKnown(
    _ event: EventView, _ one: PreparedEvent, at position: LogPosition, clock: Int64,
    receivedAt: Int64, into outputs: inout Outputs
  ) -> Disposition {
    if one.disposition != .applied { return one.disposition }
    let act = one.act
    let isPositive = act.isPositive
    let isCause = isPositive && causeTypes[Int(event.type.rawValue)]
    var listener: UInt32?
    if configuration.recommendEnabled {
      listener = listenerID(event, act, isCause: isCause)
      // A list that waits aloud is not lost to a cause that is silent.
      if let id = listener, !isCause || (isSilent && !audience.listeners[Int(id)].isQuiet) {
        settle(id, into: &outputs)
      }
    }

    let rows = interactions.rows(for: act, known: one.rows)
    var accepted = one.itemCount == 0
    for i in 0..<one.itemCount {
      let k = one.firstItem + i
      if interactions.apply(
        act, rows: rows, item: event.items[i].id, print: itemPrints[k], known: itemIDs[k])
      {
        accepted = true
      }
    }
    interactions.finish()
    if !accepted {
      if let id = listener, isCause { settle(id, into: &outputs) }
      return .tooOld
    }

    if let id = listener, isCause {
      let entry = audience.listeners.base + Int(id)
      // By event time, so that who is active does not depend on how partitions interleave.
      entry.pointee.lastActive = max(entry.pointee.lastActive, event.time)
      entry.pointee.needsRenewal = false
      entry.pointee.hasSession = act.hasSession
      if act.hasSession { entry.pointee.session = act.session }
      if model != nil {
        entry.pointee.cause = Cause(
          topic: position.topic, partition: position.partition, offset: position.offset,
          time: event.time, type: event.type.rawValue, hasOrder: act.hasOrder,
          order: act.order, receivedAt: receivedAt)
        // An order without a user is anybody's: another session may change it, so nothing lingers on it.
        let isShared = event.user.count == 0 && act.hasOrder
        if isSilent {
          entry.pointee.isPending = true
          audience.noteQuiet(id)
          if isShared { listen(id) }
          return .applied
        }
        if entry.pointee.isQuiet {
          // This list takes the place of one whose hash nobody has asked for.
          entry.pointee.isQuiet = false
          entry.pointee.isPending = false
        }
        if entry.pointee.isPending { causesOvertaken &+= 1 }
        if isShared || configuration.recommend.linger == 0 {
          makeList(id, into: &outputs)
        } else if entry.pointee.isPending {
          // Keeps its place in the queue.
        } else {
          audience.enqueue(id, due: clock &+ configuration.recommend.linger)
        }
      }
    }
    return .applied
  }

  /// A listener's waiting list is made now, before something changes its rows.
  private mutating func settle(_ id: UInt32, into outputs: inout Outputs) {
    if audience.listeners[Int(id)].isPending { makeList(id, into: &outputs) }
    if audience.listeners[Int(id)].needsRenewal { renewList(id, into: &outputs) }
  }

  /// Partitions of a topic whose positions are kept; a log file may claim any number.
  static let maximumPartitions = 1 << 16

  mutating func note(_ position: LogPosition) {
    let topic = Int(position.topic)
    let partition = Int(position.partition)
    guard topic < positions.count, partition >= 0, partition < Engine.maximumPartitions else {
      return
    }
    while positions[topic].count <= partition { positions[topic].append(-1) }
    if position.offset >= positions[topic][partition] {
      positions[topic][partition] = position.offset &+ 1
    }
  }

  /// Records of a partition of the events topic are gone from the log, never read: reading goes on at `next`.
  public mutating func passGap(partition: Int32, count: Int64, next: Int64) {
    let index = Int(partition)
    guard partition >= 0, index < Engine.maximumPartitions else { return }
    while gaps.count <= index { gaps.append(0) }
    gaps[index] &+= max(0, count)
    if next > 0 {
      note(LogPosition(partition: partition, offset: next - 1, timestamp: -1))
    }
  }

  /// The partition is read from its beginning again, and its offsets may be lower than before.
  public mutating func forgetPosition(topic: Int, partition: Int32) {
    guard positions.indices.contains(topic), positions[topic].indices.contains(Int(partition))
    else { return }
    positions[topic][Int(partition)] = -1
  }

  // MARK: keys

  private mutating func listenerID(
    _ event: EventView, _ act: Act, isCause: Bool
  ) -> UInt32? {
    if event.user.count > 0 { return listenerID(user: event.user, act.userPrint, isCause) }
    if event.session.count == 0 { return nil }
    keyScratch.removeAll()
    keyScratch.append(byte: UInt8(ascii: "~"))
    keyScratch.append(bytes: event.session)
    return listenerID(keyScratch.bytes, Fingerprint(of: keyScratch.bytes), isCause)
  }

  mutating func listenerID(
    user: UnsafeRawBufferPointer, _ print: Fingerprint, _ isCause: Bool
  ) -> UInt32? {
    let first = user[0]
    if first != UInt8(ascii: "~") && first != Audience.escape {
      return listenerID(user, print, isCause)
    }
    keyScratch.removeAll()
    keyScratch.append(byte: Audience.escape)
    keyScratch.append(bytes: user)
    return listenerID(keyScratch.bytes, Fingerprint(of: keyScratch.bytes), isCause)
  }

  private mutating func listenerID(
    _ key: UnsafeRawBufferPointer, _ print: Fingerprint, _ isCause: Bool
  ) -> UInt32? { isCause ? audience.intern(key, print) : audience.find(key, print) }

  /// Canonical bytes of a row key: length of the user's key, the key, a kind, and the id or number.
  private mutating func rowPrint(
    _ user: UnsafeRawBufferPointer, kind: UInt8, id: UnsafeRawBufferPointer
  ) -> Fingerprint {
    keyScratch.removeAll()
    appendWord(UInt64(user.count), bytes: 4)
    keyScratch.append(bytes: user)
    keyScratch.append(byte: kind)
    keyScratch.append(bytes: id)
    return Fingerprint(of: keyScratch.bytes)
  }

  private mutating func rowPrint(
    _ user: UnsafeRawBufferPointer, kind: UInt8, number: Int64
  ) -> Fingerprint {
    keyScratch.removeAll()
    appendWord(UInt64(user.count), bytes: 4)
    keyScratch.append(bytes: user)
    keyScratch.append(byte: kind)
    appendWord(UInt64(bitPattern: number), bytes: 8)
    return Fingerprint(of: keyScratch.bytes)
  }

  private mutating func appendWord(_ value: UInt64, bytes: Int) {
    UnsafeMutableRawPointer(keyScratch.reserve(8)).storeBytes(of: value.littleEndian, as: UInt64.self)
    keyScratch.advance(bytes)
  }

  /// (user, session); without an id the user's UTC day. Anonymous traffic without a session has none.
  mutating func sessionPrint(_ event: EventView) -> Fingerprint? {
    if event.session.count > 0 { return rowPrint(event.user, kind: 0, id: event.session) }
    if event.user.count == 0 { return nil }
    return rowPrint(event.user, kind: 1, number: event.time / 86_400_000)
  }

  /// (user, order); a purchase or refund without an id is the order of (user or session, event time).
  mutating func orderPrint(_ event: EventView) -> Fingerprint? {
    if event.order.count > 0 { return rowPrint(event.user, kind: 2, id: event.order) }
    switch event.type {
    case .purchase, .refund:
      let time = event.type == .refund ? event.ordered ?? event.time : event.time
      if event.user.count > 0 { return rowPrint(event.user, kind: 3, number: time) }
      if event.session.count > 0 { return rowPrint(event.session, kind: 4, number: time) }
      return nil
    default: return nil
    }
  }

  // MARK: lists

  /// Makes the lists whose linger has passed by `clock`, at most `limit`.
  /// - Returns: how many.
  @discardableResult
  public mutating func release(dueBy clock: Int64, limit: Int = .max, into outputs: inout Outputs)
    -> Int
  {
    var made = 0
    while made < limit, let id = audience.dequeue(dueBy: clock) {
      makeList(id, into: &outputs)
      made += 1
    }
    return made
  }

  /// Makes every waiting list: before offsets commit, before a seal, before a model comes into force.
  public mutating func flush(into outputs: inout Outputs) {
    release(dueBy: .max, into: &outputs)
    renew(limit: .max, into: &outputs)
    listen(limit: .max)
  }

  /// The clock time at which the next list is due.
  public var nextDeadline: Int64? { audience.nextDue }

  /// Renews lists by the model in force, at most `limit`.
  /// - Returns: how many listeners were looked at; 0 when none is left.
  @discardableResult
  public mutating func renew(limit: Int, into outputs: inout Outputs) -> Int {
    var seen = 0
    while seen < limit, let id = audience.nextRenewal() {
      renewList(id, into: &outputs)
      seen += 1
    }
    return seen
  }

  private mutating func makeList(_ id: UInt32, into outputs: inout Outputs) {
    let entry = audience.listeners.base + Int(id)
    if entry.pointee.isQuiet { return listen(id) }
    entry.pointee.isPending = false
    guard let model else { return }
    let hash = ranker.writeList(
      listener: entry.pointee, name: audience.keys.key(id), cause: entry.pointee.cause,
      model: model, interactions: interactions, unlessHash: nil, into: &outputs)
    entry.pointee.lastList = hash
    listsMade &+= 1
  }

  /// The hash of the list that the run before has sent.
  private mutating func listen(_ id: UInt32) {
    let entry = audience.listeners.base + Int(id)
    var cause = entry.pointee.cause
    if !entry.pointee.isPending {
      cause = Cause()
      cause.time = model?.tick ?? 0
    }
    entry.pointee.isQuiet = false
    entry.pointee.isPending = false
    entry.pointee.needsRenewal = false
    guard let model else { return }
    entry.pointee.lastList = ranker.writeList(
      listener: entry.pointee, name: audience.keys.key(id), cause: cause,
      model: model, interactions: interactions, unlessHash: nil, into: &unheard)
    unheard.removeAll()
  }

  /// Makes hashes that are wanted still, at most `limit`.
  /// - Returns: how many; 0 when none is left.
  @discardableResult
  public mutating func listen(limit: Int) -> Int {
    var made = 0
    while made < limit, let id = audience.nextQuiet() {
      listen(id)
      made += 1
    }
    return made
  }

  /// Nobody will ask for the lists that the run before has sent up to here: its next model has renewed
  /// them all.
  public mutating func forgetSilentLists() { audience.forgetQuiet() }

  private mutating func renewList(_ id: UInt32, into outputs: inout Outputs) {
    let entry = audience.listeners.base + Int(id)
    if entry.pointee.isQuiet { return listen(id) }
    entry.pointee.needsRenewal = false
    guard let model else { return }
    var cause = Cause()
    cause.time = model.tick
    let hash = ranker.writeList(
      listener: entry.pointee, name: audience.keys.key(id), cause: cause, model: model,
      interactions: interactions, unlessHash: entry.pointee.lastList, into: &outputs)
    if hash != entry.pointee.lastList { listsMade &+= 1 }
    entry.pointee.lastList = hash
  }

  // MARK: ticks

  /// Rows changed and not yet handed to stage two, over all matrices.
  public var changedRows: Int {
    var total = 0
    for m in 0..<interactions.matrices.count { total += interactions.changedRows(matrix: m) }
    return total
  }

  /// Hands over what has changed so far, so that a seal has little left to copy.
  public mutating func takeChanges() -> ChangeBatch {
    ChangeBatch(
      newItems: interactions.takeNewItems(),
      changes: (0..<interactions.matrices.count).map { interactions.takeChanges(matrix: $0) })
  }

  /// Moves the horizons to `tick` and hands stage two everything it needs for a model. Flush first.
  /// - Parameter sequence: the model's number, for a tick that was had before.
  public mutating func seal(tick: Int64, sequence: Int? = nil) -> Seal {
    precondition(audience.pendingCount == 0 || model == nil, "flush before a seal")
    var removed: [UInt32] = []
    if let model {
      removed = interactions.reclaimItems(unusedSince: min(model.seal, model.rulesSeal))
    }
    interactions.expire(tick: tick)
    let interval = configuration.rules.interval
    let isMining = configuration.rulesEnabled || configuration.hasFormulas
    let isDue = isMining && (lastRulesTick.map { tick - $0 >= interval } ?? true)
    if isDue { lastRulesTick = tick }
    // Kept rules would go on counting erased baskets. The usual turn stays where it was, as in a run that
    // never saw them.
    let minesRules = isDue || isMining && hasErasedBaskets
    hasErasedBaskets = false
    return Seal(
      number: interactions.sealNumber, sequence: sequence, tick: tick, positions: positions,
      topics: topics,
      horizons: (0..<interactions.matrices.count).map { interactions.horizon(matrix: $0) },
      digest: digest, gaps: gaps, removedItems: removed, batch: takeChanges(),
      itemCount: interactions.heldItems,
      popularity: interactions.popularitySeal(), catalogue: catalogue.seal(),
      minesRules: minesRules, lists: minesRules && configuration.hasFormulas ? listSeal() : nil)
  }

  private func listSeal() -> ListSeal {
    let lists = configuration.lists
    var seal = ListSeal()
    if lists.needsDiscover, let matrix = places.userPurchases {
      seal.users = interactions.timedRows(matrix: matrix)
    }
    if lists.needsOrders, let matrix = places.orderPurchases {
      if lists.basket { seal.orders = interactions.timedRows(matrix: matrix) }
      seal.visits = interactions.visitCounts(orders: matrix)
    }
    if lists.next, let matrix = places.sessionViews {
      seal.sessions = interactions.sessionLog(matrix: matrix, most: lists.maxSessions)
    }
    return seal
  }

  /// Puts the model in force at this position. Writes the models record; the caller appends the model's
  /// own messages behind it, then calls `renew`.
  public mutating func activate(_ built: BuiltModel, into outputs: inout Outputs) {
    activate(built, at: positions, into: &outputs)
  }

  /// As above, at a position the caller names (replay: the seal's, wherever the builder ran).
  public mutating func activate(
    _ built: BuiltModel, at activation: [[Int64]], into outputs: inout Outputs
  ) {
    flush(into: &outputs)
    model = built.model
    built.writeRecord(activation: activation, topics: topics, into: &outputs)
    if configuration.recommendEnabled, streamTime != nil {
      audience.scheduleRenewals(activeSince: refreshStart, isQuiet: isSilent)
    }
  }
}

extension Engine: @unchecked Sendable {}
