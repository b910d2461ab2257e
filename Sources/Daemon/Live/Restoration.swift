// A restart on its way: the steps of the timeline, each at its offsets, which no partition may pass before.
import Kafka

struct Restoration: CustomStringConvertible {
  private var timeline = Timeline()
  private var committed: EventVector = [:]
  /// Partitions known to have no record below the next step's offsets that is not applied.
  private var arrived = Set<Int32>()
  private var mine: [Int32] = []
  /// Nothing is recorded, but something is committed: a model is made there and comes into force at once.
  private var makesFreshModel = false

  init() {}

  init(_ timeline: Timeline, committed: EventVector, hasModel: Bool) {
    self.timeline = timeline
    self.committed = committed
    makesFreshModel =
      !timeline.endsWithModel && (!hasModel || timeline.isIncomplete)
      && committed.values.contains { $0 > 0 }
  }

  var isUnderWay: Bool { timeline.next != nil || makesFreshModel }

  var description: String {
    let silent = timeline.steps.filter { timeline.isSilent($0, before: committed) }.count
    return makesFreshModel
      ? "restoring: no model on record that can be made again, so one is made at the committed offsets"
      : "restoring: \(silent) steps before the committed offsets, \(timeline.steps.count - silent) behind them"
  }

  /// The offset that a partition must not reach; nil: it may read on.
  func limit(_ partition: Int32) -> Int64? {
    if let next = timeline.next { return next.at[partition] ?? 0 }
    return makesFreshModel ? committed[partition] ?? 0 : nil
  }

  /// Limits of all partitions that are ours; empty: none has one.
  var limits: EventVector {
    var limits: EventVector = [:]
    for partition in mine { limits[partition] = limit(partition) }
    return limits
  }

  mutating func await(_ events: [TopicPartition]) {
    mine = events.map(\.partition)
    arrived = []
  }

  /// The partition is at its limit, or at its end.
  mutating func reached(_ place: TopicPartition) {
    if place.topic == 0 { arrived.insert(place.partition) }
  }

  /// The next step, once every partition has come to it.
  func due(_ positions: [Int64]) -> Timeline.Step? {
    guard isUnderWay, !mine.isEmpty else { return nil }
    for partition in mine {
      let position = Int(partition) < positions.count ? positions[Int(partition)] : -1
      guard arrived.contains(partition) || max(0, position) >= limit(partition) ?? 0 else {
        return nil
      }
    }
    return timeline.next ?? Timeline.Step(action: .make, at: committed)
  }

  /// The step is done. Partitions that were at their end may have more to read now.
  mutating func finish() {
    if timeline.next != nil {
      let before = limits
      timeline.removeNext()
      let after = limits
      arrived = arrived.filter { before[$0] == after[$0] }
    } else {
      makesFreshModel = false
    }
  }

  /// The rows are not those that the models on record were made from (records are gone from the log): what is
  /// still to be had again cannot be, so the model that has just been asked for comes into force at the committed offsets.
  mutating func abandon() {
    let before = limits
    timeline = Timeline()
    makesFreshModel = true
    let after = limits
    arrived = arrived.filter { before[$0] == after[$0] }
  }

  /// Whether everything with that model was said by the run before.
  func isSilent(_ step: Timeline.Step) -> Bool { timeline.isSilent(step, before: committed) }
  var renewsInSilence: Bool { timeline.renewsInSilence(before: committed) }
}
