// Single messages: what an event reads as, and one test per kind of rejection.
import Events
import Testing

/// An event out of its batch, comparable.
struct Plain: Equatable, CustomStringConvertible {
  struct Item: Equatable {
    var id: [UInt8]
    var quantity: Int64 = 1
    var price: Double?
  }
  var type: EventType
  var time: Int64
  var id: [UInt8] = []
  var user: [UInt8] = []
  var session: [UInt8] = []
  var order: [UInt8] = []
  var recommendation: [UInt8] = []
  var currency: [UInt8] = []
  var ordered: Int64?
  var value: Double?
  var consent = true
  var items: [Item] = []

  init(type: EventType, time: Int64) {
    self.type = type
    self.time = time
  }

  init(_ view: EventView) {
    type = view.type
    time = view.time
    id = Array(view.id)
    user = Array(view.user)
    session = Array(view.session)
    order = Array(view.order)
    recommendation = Array(view.recommendation)
    currency = Array(view.currency)
    ordered = view.ordered
    value = view.value
    consent = view.consent
    items = view.items.map {
      Item(id: Array($0.id), quantity: $0.quantity, price: $0.hasPrice ? $0.price : nil)
    }
  }

  var description: String {
    func text(_ b: [UInt8]) -> String { String(decoding: b, as: UTF8.self) }
    return
      "\(type) \(time) id=\(text(id)) user=\(text(user)) session=\(text(session)) order=\(text(order)) rec=\(text(recommendation)) cur=\(text(currency)) ordered=\(String(describing: ordered)) value=\(String(describing: value)) consent=\(consent) items=\(items.map { "\(text($0.id))×\($0.quantity)@\(String(describing: $0.price))" })"
  }
}

/// What became of a message, comparable.
enum Result: Equatable {
  case event(Plain)
  case unknownType([UInt8], time: Int64? = nil)
  case erasure
  case rejected(RejectReason)

  init(_ decoded: Decoded) {
    switch decoded {
    case .event(let view): self = .event(Plain(view))
    case .unknownType(let name, let time): self = .unknownType(Array(name), time: time)
    case .erasure: self = .erasure
    case .rejected(let rejection): self = .rejected(rejection.reason)
    }
  }
}

func decode(
  _ bytes: [UInt8], contentType: String? = nil, limits: EventLimits = EventLimits(),
  into used: EventBatch? = nil
) -> Result {
  let batch = used ?? EventBatch(limits: limits)
  batch.reset()
  // An exact allocation, so that a read past the end is one a checker can see.
  let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 1)
  defer { copy.deallocate() }
  copy.copyBytes(from: bytes)
  let value = UnsafeRawBufferPointer(start: copy.baseAddress, count: bytes.count)
  if let contentType {
    return Array(contentType.utf8).withUnsafeBytes {
      Result(batch.decode(value: value, contentType: $0))
    }
  }
  return Result(batch.decode(value: value))
}

func decode(_ text: String, contentType: String? = nil, limits: EventLimits = EventLimits()) -> Result {
  decode(Array(text.utf8), contentType: contentType, limits: limits)
}

func rejection(_ text: String, limits: EventLimits = EventLimits()) -> Rejection? {
  let batch = EventBatch(limits: limits)
  return Array(text.utf8).withUnsafeBytes {
    if case .rejected(let r) = batch.decode(value: $0) { return r }
    return nil
  }
}

let example = """
  {"id":"e-1","type":"purchase","time":"2026-03-01T10:15:30.123Z","user":"u-42","session":"s-9","order":"o-77",
   "items":[{"id":"sku-1","quantity":2,"price":9.99}],"currency":"EUR"}
  """

@Suite struct DecodeTests {
  @Test func theExampleOfTheInterface() {
    var want = Plain(type: .purchase, time: 1_772_360_130_123)
    want.id = Array("e-1".utf8)
    want.user = Array("u-42".utf8)
    want.session = Array("s-9".utf8)
    want.order = Array("o-77".utf8)
    want.currency = Array("EUR".utf8)
    want.items = [.init(id: Array("sku-1".utf8), quantity: 2, price: 9.99)]
    #expect(decode(example) == .event(want))
  }

  @Test func everyTypeIsRead() {
    for type in EventType.allCases {
      let result = decode(
        #"{"type":"\#(type.name)","time":5,"user":"u","items":[{"id":"i"}]}"#)
      guard case .event(let event) = result else {
        Issue.record("\(type): \(result)")
        continue
      }
      #expect(event.type == type)
      #expect(EventType(name: type.name) == type)
    }
  }

  @Test func linesAreReadAsSingleMessagesAre() {
    let lines = [
      example.replacing("\n", with: ""), "", #"{"type":"view""#, #"{"type":"odd"}"#, "  \r",
      #"{"type":"like","time":7,"session":"s","items":[{"id":3}]}"#, #"{"x":"open"#,
      #"{"type":"view","time":1,"user":"a\"b","items":[{"id":"\u00e9"}]}"#,
    ]
    for ending in ["", "\n"] {
      let bytes = Array((lines.joined(separator: "\n") + ending).utf8)
      let batch = EventBatch()
      bytes.withUnsafeBytes { region in
        #expect(batch.decodeLines(region, budget: 1 << 20, isLast: true) == region.count)
        #expect(batch.count == lines.count)
        for i in 0..<min(batch.count, lines.count) {
          #expect(Result(batch[i]) == decode(lines[i]), "line \(i)")
          #expect(Array(region[batch.sourceRange(at: i)]) == Array(lines[i].utf8))
          #expect((batch.event(at: i) != nil) == { if case .event = batch[i] { true } else { false } }())
        }
      }
    }
  }
}
