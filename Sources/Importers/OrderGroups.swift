// Rows of one order, gathered into one event. A group is (type, order, time, user, session, ordered):
// its fields are kept once, its lines as a chain through one flat array, in the order of the rows.
import Events
import Sparse

struct OrderGroups: ~Copyable {
  private struct Group: BitwiseCopyable {
    var type: Int32
    var first: Int32
    var last: Int32
    var count: Int32
    var time: Int64
    var ordered: Int64
    var value: Double
    /// Ids of texts; `texts` holds the empty one, too.
    var order: UInt32
    var user: UInt32
    var session: UInt32
    var id: UInt32
    var currency: UInt32
    var recommendation: UInt32
  }
  private struct Line: BitwiseCopyable {
    var item: UInt32
    var next: Int32
    var quantity: Int64
    var price: Double
  }
  private static let noTime = Int64.min

  private var groups: Vec<Group>
  private var lines: Vec<Line>
  private var texts: Interner
  private var keys: Interner

  init() {
    groups = Vec()
    lines = Vec()
    texts = Interner(expecting: 1024)
    keys = Interner(expecting: 1024)
  }

  var count: Int { groups.count }

  mutating func add(_ event: ImportedEvent, _ item: EventItem) {
    let user = texts.intern(event.user).id
    let session = texts.intern(event.session).id
    let order = texts.intern(event.order).id
    let ordered = event.ordered ?? OrderGroups.noTime
    let type = Int32(event.type.rawValue)
    var key = (type, order, user, session, event.time, ordered)
    // Six fields without padding between them: 4 x 4 + 2 x 8 bytes.
    let (group, isNew) = withUnsafeBytes(of: &key) { keys.intern($0) }
    if isNew {
      groups.append(
        Group(
          type: type, first: -1, last: -1, count: 0, time: event.time, ordered: ordered,
          value: event.value ?? .nan, order: order, user: user, session: session,
          id: texts.intern(event.id).id, currency: texts.intern(event.currency).id,
          recommendation: texts.intern(event.recommendation).id))
    }
    let line = Int32(lines.count)
    lines.append(
      Line(
        item: texts.intern(item.id).id, next: -1, quantity: item.quantity,
        price: item.hasPrice ? item.price : .nan))
    var g = groups[Int(group)]
    if g.last >= 0 {
      lines.base[Int(g.last)].next = line
    } else {
      g.first = line
    }
    g.last = line
    g.count += 1
    groups[Int(group)] = g
  }

  /// Appends the groups to the log, in the order in which they began.
  consuming func flush(into log: inout ImportLog) {
    for i in 0..<groups.count {
      let g = groups[i]
      var event = ImportedEvent(
        type: EventType(rawValue: UInt8(truncatingIfNeeded: g.type)) ?? .view, time: g.time)
      event.ordered = g.ordered == OrderGroups.noTime ? nil : g.ordered
      event.value = g.value.isNaN ? nil : g.value
      event.order = texts.key(g.order)
      event.user = texts.key(g.user)
      event.session = texts.key(g.session)
      event.id = texts.key(g.id)
      event.currency = texts.key(g.currency)
      event.recommendation = texts.key(g.recommendation)
      var at = g.first
      log.append(event, count: Int(g.count)) { _ in
        let line = lines[Int(at)]
        at = line.next
        return EventItem(
          id: texts.key(line.item), quantity: line.quantity,
          price: line.price.isNaN ? nil : line.price)
      }
    }
  }
}
