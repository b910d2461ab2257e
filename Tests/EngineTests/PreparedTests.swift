// Events whose keys were resolved ahead of their turn do what they do without, seals in between included.
import Engine
import Events
import Recommender
import Sparse
import TestSupport
import Testing

@Suite struct PreparedTests {
  @Test(arguments: [1, 2, 3, 4, 5])
  func equalsOneByOne(seed: UInt64) {
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    let configuration = ChurnTests.configuration()
    var log = RandomLog(seed: seed * 77, items: 6, users: 6, grain: ChurnTests.hour)
    log.churn = true
    let steps = log.steps(1500, ticks: 120, configuration: configuration)
    let plain = Driver(configuration)
    var engine = Engine(configuration)
    var builder = ModelBuilder(configuration)
    var ahead = Outputs()
    var clock = Int64.min
    let batch = EventBatch()
    var from = 0
    var applied = 0
    while from < steps.count {
      // Up to forty steps: their events in one batch, prepared a few at a time, seals wherever they stand.
      let end = min(steps.count, from + 1 + random.below(40))
      batch.reset()
      for step in steps[from..<end] {
        guard case .event(let event) = step else { continue }
        var writer = ByteWriter()
        event.append(to: &writer)
        batch.append(value: writer.bytes)
      }
      var index = 0
      var window = 0..<0
      for n in from..<end {
        switch steps[n] {
        case .event(let event):
          if index >= window.upperBound {
            window = index..<min(batch.count, index + 1 + random.below(33))
            engine.prepare(batch, window)
          }
          plain.apply(event, offset: Int64(n))
          if let view = batch.event(at: index) {
            clock = max(clock, event.time)
            engine.release(dueBy: clock, into: &ahead)
            _ = engine.apply(
              view, at: LogPosition(partition: 0, offset: Int64(n)), clock: clock,
              prepared: index - window.lowerBound, into: &ahead)
            applied += 1
          }
          index += 1
        case .tick(let time):
          plain.tick(time)
          engine.flush(into: &ahead)
          let built = builder.build(engine.seal(tick: time)) { parts, body in
            for part in 0..<parts { body(part) }
          }
          engine.activate(built, into: &ahead)
          while engine.renew(limit: 7, into: &ahead) > 0 {}
        }
      }
      engine.interactions.checkInvariants()
      #expect(engine.digest == plain.engine.digest)
      #expect(engine.eventsByDisposition == plain.engine.eventsByDisposition)
      from = end
    }
    let lists = plain.sent.filter { $0.topic == .recommendations }
    var mine: [Sent] = []
    for i in 0..<ahead.count where ahead.records[i].topic == .recommendations {
      let record = ahead.records[i]
      mine.append(
        Sent(
          topic: record.topic, key: String(decoding: ahead.key(record), as: UTF8.self),
          value: record.isDeletion ? nil : String(decoding: ahead.value(record), as: UTF8.self)))
    }
    #expect(mine == lists && lists.count > 100, "\(mine.count) lists, \(lists.count) one by one")
    #expect(applied > 1000)
  }
}
