// The daemon's own lists under a protocol: the training part as events through the engine, one model at its end, then
// every question put to it. Items are named by their codes with leading zeros, so that the engine's order among equals,
// by key, is the protocols', by code.
import Engine
import Events
import Recommender
import Sparse

public struct EngineScorer: Scorer {
  public let name: String
  private let configuration: EngineConfiguration
  private let kind: QualityProtocol
  private var state: State?

  /// - Parameter configuration: as the daemon would run it; what the protocol fixes (length of lists, whether what is
  ///   had is left out) is set here.
  public init(_ configuration: EngineConfiguration, for kind: QualityProtocol, name: String = "affinity") {
    var configuration = configuration
    configuration.recommendEnabled = true
    configuration.recommend.on = []
    configuration.recommend.top = QualityProtocol.top
    configuration.recommend.excludePurchased = kind == .p1New
    self.configuration = configuration
    self.kind = kind
    self.name = name
  }

  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    let state = State(configuration)
    self.state = state
    var first = 0
    while first < training.lines.count {
      let line = training.lines[first]
      var end = first + 1
      while end < training.lines.count, training.lines[end].isSameEvent(as: line) { end += 1 }
      state.apply(event(training.lines[first..<end]), time: line.time)
      first = end
    }
    state.build(tick: training.end, parallel: parallel)
  }

  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    guard let state else { return }
    var event = Event(type: .purchase, time: training.end + 1)
    if question.user != InteractionLog.none { event.user = key(question.user) }
    switch kind {
    case .p1New, .p1All:
      // Nothing is said about an item; an event without any is none.
      event.items = [Event.Item(id: "nothing")]
      state.ask(event, given: nil, into: &scores)
    case .p2:
      event.order = "asked"
      event.items = question.given.map { Event.Item(id: key($0)) }
      state.ask(event, given: question.given.count, into: &scores)
    case .p3:
      // The session's prefixes are asked one after another: each brings one click.
      event.type = .view
      event.time = question.time
      event.session = "asker-\(question.asker)"
      if let last = question.given.last {
        event.items = [Event.Item(id: key(last))]
        state.apply(event, time: question.time)
      }
      event.time += 1
      state.ask(event, given: nil, into: &scores)
    }
  }

  private func key(_ code: UInt32) -> String {
    let digits = String(code)
    return String(repeating: "0", count: 10 - digits.count) + digits
  }

  private func event(_ lines: ArraySlice<Line>) -> Event {
    let line = lines[lines.startIndex]
    var event = Event(type: kind == .p3 ? .view : .purchase, time: line.time)
    if line.user != InteractionLog.none { event.user = key(line.user) }
    if line.order != InteractionLog.none { event.order = key(line.order) }
    if line.session != InteractionLog.none { event.session = key(line.session) }
    event.items = lines.map { Event.Item(id: key($0.item)) }
    return event
  }

  /// The engine with its scratch; a value that is asked may be copied only with it.
  private final class State {
    private var engine: Engine
    private var builder: ModelBuilder
    private var outputs = Outputs()
    private let batch = EventBatch()
    private var writer = ByteWriter()
    private var answer: Answer
    private var offset: Int64 = 0

    init(_ configuration: EngineConfiguration) {
      engine = Engine(configuration)
      builder = ModelBuilder(configuration)
      answer = Answer(configuration)
    }

    func apply(_ event: Event, time: Int64) {
      guard let view = decode(event) else { return }
      _ = engine.apply(view, at: LogPosition(partition: 0, offset: offset), clock: time, into: &outputs)
      offset += 1
      outputs.removeAll()
    }

    func build(tick: Int64, parallel: @escaping Parallel) {
      engine.activate(builder.build(engine.seal(tick: tick), parallel: parallel), into: &outputs)
      outputs.removeAll()
    }

    func ask(_ event: Event, given: Int?, into scores: inout [Double]) {
      guard let view = decode(event), engine.ask(view, given: given, into: &answer) else { return }
      for rank in 0..<answer.items.count {
        let key = String(decoding: engine.interactions.items.key(answer.items[rank]), as: UTF8.self)
        if let code = Int(key), code < scores.count { scores[code] += answer.scores[rank] }
      }
    }

    private func decode(_ event: Event) -> EventView? {
      writer.removeAll()
      event.append(to: &writer)
      batch.reset()
      batch.append(value: writer.bytes)
      return batch.event(at: 0)
    }
  }
}

extension Line {
  /// Whether the lines were one event: same time, same contexts.
  func isSameEvent(as other: Line) -> Bool {
    time == other.time && user == other.user && order == other.order && session == other.session
  }
}
