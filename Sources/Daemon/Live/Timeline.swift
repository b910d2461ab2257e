// What a restart has to do again, and where: the ticks that the run before has had, as its records of the
// models topic and the notes on its committed offsets tell.
//
// A model is sealed at one vector of offsets and comes into force at another. Between the snapshot (or the
// log's start) and the committed offsets all of that is done in silence; behind them only where outputs made
// with that model may be out already (at least once), aloud, with the same bytes.
import Kafka

/// Next offsets of the events topic, by partition.
typealias EventVector = [Int32: Int64]

struct Timeline {
  enum Action: Equatable {
    /// The horizons move to τ, and the model of that number is asked for. `digest`: of the rows, where it is on
    /// record.
    case seal(number: Int, tick: Int64, digest: String?)
    /// That model comes into force.
    case activate(number: Int)
    /// A model is made of what there is and comes into force as soon as it is.
    case make
  }
  struct Step: Equatable {
    var action: Action
    /// No record at or behind these offsets is applied before it is done.
    var at: EventVector
  }

  /// In the order in which they are done.
  private(set) var steps: [Step] = []
  /// There were models that cannot be made again.
  private(set) var isIncomplete = false
  /// A model of which nothing was said before the last commit, though it came into force at its offsets.
  private var unsaid: Int?
  /// Number of the tick noted last.
  private var noted: Int?

  init() {}

  /// - Parameters:
  ///   - records: of the models topic, in any order.
  ///   - restored: number of the model in force in the snapshot; nil where there is no snapshot.
  ///   - committed: the group's offsets of the events topic.
  ///   - seal: a tick noted with the committed offsets, after which no record of its model came.
  ///   - configuration: models made under another one cannot be made again.
  init(
    records: [RecordedModel], restored: Int?, committed: EventVector, seal: SealNote?,
    configuration: String
  ) {
    let known = Timeline.lastOfEach(records)
    noted = seal?.number
    let open = seal?.openMessages
    if let open, open.sent == SealNote.OpenMessages.notInForce { unsaid = open.model }
    let wanted: [RecordedModel]
    if let restored {
      wanted = known.filter { $0.number > restored }
      // What lies between must be there, one after the other.
      guard wanted.enumerated().allSatisfy({ $0.element.number == restored + 1 + $0.offset }) else {
        isIncomplete = true
        return
      }
    } else {
      wanted = Timeline.withoutSnapshot(known, committed, open)
    }
    guard wanted.allSatisfy({ $0.configuration == configuration }) else {
      isIncomplete = true
      return
    }
    for model in wanted {
      let digest = model.digest.isEmpty ? nil : model.digest
      steps.append(
        Step(
          action: .seal(number: model.number, tick: model.tick, digest: digest), at: model.offsets))
      steps.append(Step(action: .activate(number: model.number), at: model.activation))
    }
    if let seal, seal.number > max(wanted.last?.number ?? restored ?? 0, known.last?.number ?? 0) {
      steps.append(
        Step(action: .seal(number: seal.number, tick: seal.tick, digest: nil), at: seal.offsets))
    }
  }

  /// The last record of each number: after a restart without its models a number may come again.
  private static func lastOfEach(_ records: [RecordedModel]) -> [RecordedModel] {
    var last: [Int: RecordedModel] = [:]
    for record in records { last[record.number] = record }
    return last.values.sorted { $0.number < $1.number }
  }

  /// From the log's start: the model in force at the committed offsets, the one its rules were mined
  /// with, and those that came into force behind the committed offsets. Where not all messages of that model
  /// were sent, also the one before: they tell the difference.
  private static func withoutSnapshot(
    _ known: [RecordedModel], _ committed: EventVector, _ open: SealNote.OpenMessages?
  ) -> [RecordedModel] {
    if known.isEmpty { return [] }
    // None: the first has come into force, and nothing was committed since.
    var first = known.lastIndex { isReached($0.activation, by: committed) } ?? 0
    if first > 0 && open?.model == known[first].number { first -= 1 }
    var wanted = Array(known[first...])
    if let from = known[first].rulesFrom, from != known[first].number {
      guard let rules = known.first(where: { $0.number == from }) else { return [] }
      wanted.insert(rules, at: 0)
    }
    return wanted
  }

  /// Whether every partition of the vector has come that far.
  static func isReached(_ vector: EventVector, by position: EventVector) -> Bool {
    vector.allSatisfy { (position[$0.key] ?? 0) >= $0.value }
  }

  /// Whether one of the steps puts a model in force.
  var endsWithModel: Bool {
    steps.contains { if case .activate = $0.action { true } else { false } }
  }

  var next: Step? { steps.first }
  mutating func removeNext() { steps.removeFirst() }

  /// Whether what comes of the step was said before these offsets were committed.
  func isSilent(_ step: Step, before committed: EventVector) -> Bool {
    if case .activate(let number) = step.action {
      // A tick is noted before its model is on record: where the note is of an earlier one, a request to commit has
      // overtaken a later one on its way, and what was said since is not known.
      if number == unsaid || number > noted ?? .max { return false }
    }
    return Timeline.isReached(step.at, by: committed)
  }

  /// Whether a model comes into force in silence later on, which renews every list.
  func renewsInSilence(before committed: EventVector) -> Bool {
    steps.contains { step in
      if case .activate = step.action { isSilent(step, before: committed) } else { false }
    }
  }
}

/// A tick that was had before these offsets were committed, noted with each of them: `3 1772323200000 4711` says
/// number, τ in ms, and the partition's offset at the seal; ` 2 500` behind it, that of the messages of
/// model 2 only the first 500 were sent; ` 3 -1`, that model 3 was not in force; ` e7`, that models up to 7 are of
/// another log, which this one has replaced.
struct SealNote: Equatable {
  struct OpenMessages: Equatable {
    var model: Int
    var sent: Int
    /// As `sent`: neither the model's record nor a list made with it.
    static let notInForce = -1
  }
  var number: Int
  var tick: Int64
  var offsets: EventVector
  var openMessages: OpenMessages?

  init(number: Int, tick: Int64, offsets: EventVector) {
    self.number = number
    self.tick = tick
    self.offsets = offsets
  }

  /// - Returns: nil where there is nothing to note.
  static func text(
    _ seal: SealNote?, era: Int, for partition: Int32, open: OpenMessages?
  ) -> String? {
    var words: [String] = []
    if let seal { words.append("\(seal.number) \(seal.tick) \(seal.offsets[partition] ?? 0)") }
    if seal != nil, let open { words.append("\(open.model) \(open.sent)") }
    if era > 0 { words.append("e\(era)") }
    return words.isEmpty ? nil : words.joined(separator: " ")
  }

  /// 7 of ` e7`, the largest there is; 0: none.
  static func era(_ notes: some Sequence<String?>) -> Int {
    notes.lazy.compactMap { $0?.split(separator: " ").last }
      .compactMap { $0.hasPrefix("e") ? Int($0.dropFirst()) : nil }.max() ?? 0
  }

  /// The latest tick noted; a partition that was not committed since has not moved either.
  init?(notes: [Int32: String?], committed: EventVector) {
    var parsed: [Int32: [Int64]] = [:]
    for (partition, note) in notes {
      let numbers = (note ?? "").split(separator: " ").filter { !$0.hasPrefix("e") }
        .map { Int64($0) ?? .min }
      if numbers.count == 3 || numbers.count == 5 && numbers[4] >= -1,
        numbers.prefix(4).allSatisfy({ $0 >= 0 })
      {
        parsed[partition] = numbers
      }
    }
    guard let latest = parsed.values.max(by: { $0[0] < $1[0] }) else { return nil }
    number = Int(latest[0])
    tick = latest[1]
    offsets = [:]
    for (partition, offset) in committed {
      let own = parsed[partition]
      offsets[partition] = own?[0] == latest[0] ? own?[2] : offset
    }
    // Of the partition committed last: sent only grows, until no note speaks of it any more.
    let open = parsed.values.filter { $0[0] == latest[0] && $0.count == 5 }
    if open.count == parsed.values.filter({ $0[0] == latest[0] }).count,
      let most = open.max(by: { ($0[3], $0[4]) < ($1[3], $1[4]) })
    {
      openMessages = OpenMessages(model: Int(most[3]), sent: Int(most[4]))
    }
  }
}
