// From the engine's messages to the outlet: never more in flight than its queue holds, every delivery
// accounted for, and the offsets that may be committed.
//
// Messages stand in a line of pieces and are sent in that order as far as the queue takes them. A message gets a
// slot in the in-flight table; the slot's number is its opaque. A cut is a place in the line: when everything before
// it is acknowledged, the offsets that belong to it may be committed.
//
// A barrier is a place in the line behind which nothing is sent before everything up to it is acknowledged, or
// its cut committed.
//
// Exactly once: everything between two cuts is one transaction, with the second cut's offsets. Its pieces stay in
// the line until the commit is known to have taken effect; where the transaction is aborted, sending goes back
// to its beginning. Nothing behind a cut is sent before its commit is done; the loop goes on meanwhile.
import Engine
import Events
import Histogram
import Kafka
import Sparse

/// A buffer of messages that changes hands.
final class Portion {
  var outputs = Outputs()
}

final class Publisher {
  enum Failure: Error, CustomStringConvertible {
    /// The broker refused a message for good: restarting publishes it again.
    case undelivered(topic: String, KafkaError.Failure)
    case fatal(KafkaError)

    var description: String {
      switch self {
      case .undelivered(let topic, let failure):
        "a message for \(topic) was not delivered: \(failure.message)"
      case .fatal(let error): "the producer cannot go on: \(error)"
      }
    }
  }

  private enum Piece {
    case portion(Portion)
    case model(BuiltModel, Range<Int>)
    case letter(DeadLetter, connector: String)
  }

  private enum Transaction { case none, open, committing }
  /// What is known of our name at the transaction coordinator. Where a request of the transaction before may have
  /// been repeated behind our back, its late echo could end the next one half way: the name is registered anew
  /// first, which shuts the echo out (KIP-890 does this for clients that know it).
  private enum Registration {
    case good, suspect
    /// By a new producer, not yet answered.
    case renewing
  }

  let outlet: any Outlet
  private let names: TopicNames

  private struct InFlight: BitwiseCopyable {
    var sequence: UInt64 = 0
    var receivedAt: Int64 = 0
    var topic: UInt8 = 0
  }
  private var slots: Vec<InFlight>
  private var free: Vec<UInt32>
  private var sequence: UInt64 = 0
  private var failure: Failure?

  private var line: [Piece] = []
  /// The first piece not wholly sent, and the first of its messages.
  private var at = 0
  private var message = 0
  /// Bytes of the pieces in the line, and of those before `at`.
  private var lineBytes = 0
  private var sentBytes = 0
  private var spare: [Portion] = []

  /// The cut being waited for: pieces before it, and, once all of these are sent, the last one's number and
  /// how many are not acknowledged.
  private var cut: Int?
  private var cutSequence: UInt64?
  private var cutOutstanding = 0
  private var barriers: [(place: Int, needsCommit: Bool)] = []

  private var transaction = Transaction.none
  /// A message of the open transaction was not delivered.
  private var mustAbort = false
  private var repeats = 0
  private static let maximumRepeats = 8
  private var registration = Registration.good
  private var commitStarted: Int64 = 0
  /// A commit that takes longer may have been repeated inside the library (`socket.timeout.ms`), ns.
  private static let patience: Int64 = 10_000_000_000
  private var events: [KafkaError.Failure] = []

  /// Event seen to recommendation acknowledged, microseconds; reset with each metrics line.
  var latency = Histogram<UInt64>(
    highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)
  /// Event seen to recommendation handed to the producer, the same way.
  var handover = Histogram<UInt64>(
    highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)
  private(set) var published = [Int](repeating: 0, count: OutputTopic.allCases.count)
  private(set) var acknowledged = 0
  private(set) var tooLarge = 0
  private(set) var lettersShortened = 0
  private(set) var bytes = 0
  /// Transactions that were aborted and made again.
  private(set) var aborted = 0
  /// Times the name was registered anew.
  private(set) var renewed = 0

  private let clock: any LiveClock

  init(_ outlet: any Outlet, names: TopicNames, clock: any LiveClock) {
    self.outlet = outlet
    self.names = names
    self.clock = clock
    slots = Vec()
    free = Vec()
  }

  var outstanding: Int { outlet.outstanding }

  // MARK: the line

  /// Takes over the messages of `outputs`, which is empty afterwards.
  func take(_ outputs: inout Outputs) {
    if outputs.count == 0 { return }
    let portion = spare.popLast() ?? Portion()
    swap(&outputs, &portion.outputs)
    lineBytes += portion.outputs.byteCount
    line.append(.portion(portion))
  }

  func take(_ model: BuiltModel, _ range: Range<Int>) {
    if range.isEmpty { return }
    let piece = Piece.model(model, range)
    lineBytes += size(piece)
    line.append(piece)
  }

  func take(_ letter: DeadLetter, connector: String) {
    let piece = Piece.letter(letter, connector: connector)
    lineBytes += size(piece)
    line.append(piece)
  }

  private func size(_ piece: Piece) -> Int {
    switch piece {
    case .portion(let portion): portion.outputs.byteCount
    case .model(let model, let range):
      model.outputs.records[range.upperBound - 1].end - model.outputs.records[range.lowerBound].start
    case .letter(let letter, _): (letter.key?.count ?? 0) + (letter.value?.count ?? 0) + 512
    }
  }

  /// Nothing behind it may be sent now.
  private var limit: Int {
    let end = outlet.isTransactional ? cut ?? line.count : line.count
    return min(end, barriers.first?.place ?? end)
  }

  /// Whether everything that may be sent now is sent.
  var isIdle: Bool { at == limit }
  var isEmpty: Bool { line.isEmpty }
  /// So much is in the line that no further records should be taken, and so much that nothing should be made.
  var isLong: Bool {
    lineBytes - sentBytes > 4 << 20 || outlet.isTransactional && lineBytes > 64 << 20
  }
  var isVeryLong: Bool { lineBytes - sentBytes > 32 << 20 }
  /// A transaction should not grow any more.
  var wantsCut: Bool { outlet.isTransactional && lineBytes > 48 << 20 }

  /// Sends on from where it stopped, as far as the queue takes it.
  func advance() throws(Failure) {
    if transaction == .committing || mustAbort { return try throwIfFailed() }
    passBarriers()
    while !isIdle {
      guard try beginIfNeeded(), send(line[at], from: message) else { break }
      message = 0
      sentBytes += size(line[at])
      at += 1
      if at == cut { noteCut() }
      if !outlet.isTransactional && at >= 64 { dropSent() }
    }
    if !outlet.isTransactional && at == line.count { dropSent() }
    try throwIfFailed()
  }

  /// Sends a piece's messages from `first` on; `message` says how far it came.
  private func send(_ piece: Piece, from first: Int) -> Bool {
    switch piece {
    case .portion(let portion):
      message = send(portion.outputs, first, portion.outputs.count)
      return message == portion.outputs.count
    case .model(let model, let range):
      let next = send(model.outputs, range.lowerBound + first, range.upperBound)
      message = next - range.lowerBound
      return next == range.upperBound
    case .letter(let letter, let connector): return send(letter, orStub: connector)
    }
  }

  /// - Returns: the first message not taken.
  private func send(_ outputs: borrowing Outputs, _ first: Int, _ end: Int) -> Int {
    var i = first
    while i < end {
      let record = outputs.records[i]
      let topic = Int(record.topic.rawValue)
      let slot = take(record.topic, receivedAt: record.receivedAt)
      let value: UnsafeRawBufferPointer? = record.isDeletion ? nil : outputs.value(record)
      let result = outlet.send(
        record.topic, key: outputs.key(record), value: value, headers: [], timestamp: nil,
        opaque: UInt64(slot))
      switch result {
      case .accepted:
        published[topic] += 1
        bytes += value?.count ?? 0
        if record.receivedAt > 0 {
          handover.record(Publisher.microseconds(from: record.receivedAt, to: clock.monotonic))
        }
      case .queueFull:
        giveBack(slot)
        return i
      case .tooLarge:
        // Counted, never silent: lower model.neighbours or raise message.max.bytes.
        tooLarge += 1
        giveBack(slot)
      case .failed(let error):
        giveBack(slot)
        if failure == nil { failure = .undelivered(topic: names.name(record.topic), error) }
        return i
      }
      i += 1
    }
    return i
  }

  /// A dead letter: the message as it came, with ours added to its headers. Where that is more than
  /// `message.max.bytes`, a stub of it: what it was, and how it began.
  /// - Returns: false where the queue is full.
  private func send(_ letter: DeadLetter, orStub connector: String) -> Bool {
    switch send(letter, connector) {
    case .accepted: return true
    case .queueFull: return false
    case .tooLarge:
      switch send(letter.stub(), connector) {
      case .accepted:
        lettersShortened += 1
        return true
      case .queueFull: return false
      case .tooLarge: tooLarge += 1
      case .failed(let error): failure = failure ?? .undelivered(topic: names.deadLetters, error)
      }
    case .failed(let error): failure = failure ?? .undelivered(topic: names.deadLetters, error)
    }
    return true
  }

  private func send(_ letter: DeadLetter, _ connector: String) -> SendResult {
    let slot = take(.deadLetters, receivedAt: 0)
    let headers = letter.allHeaders(connector: connector).map { Header($0.key, $0.value) }
    let result = withBytes(letter.key) { key in
      withBytes(letter.value) { value in
        outlet.send(
          .deadLetters, key: key, value: value, headers: headers,
          timestamp: letter.timestamp >= 0 ? letter.timestamp : nil, opaque: UInt64(slot))
      }
    }
    if result == .accepted {
      published[Int(OutputTopic.deadLetters.rawValue)] += 1
    } else {
      giveBack(slot)
    }
    return result
  }

  private func withBytes<Result>(
    _ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Result
  ) -> Result {
    guard let bytes else { return body(nil) }
    return bytes.withUnsafeBytes { body($0) }
  }

  /// The pieces before `at` are done with.
  private func dropSent() {
    for piece in line[..<at] {
      lineBytes -= size(piece)
      if case .portion(let portion) = piece, spare.count < 8 {
        portion.outputs.removeAll()
        spare.append(portion)
      }
    }
    line.removeFirst(at)
    if let place = cut { cut = max(0, place - at) }
    for i in barriers.indices { barriers[i].place -= at }
    at = 0
    sentBytes = 0
  }

  // MARK: barriers

  /// What is taken from here on is not sent before everything up to here is acknowledged, or, where asked, the cut
  /// of this place committed. A transaction needs none: it is all there or nothing is.
  func takeBarrier(needsCommit: Bool = false) {
    if !outlet.isTransactional { barriers.append((line.count, needsCommit)) }
  }

  private func passBarriers() {
    while let barrier = barriers.first, barrier.place == at, !barrier.needsCommit,
      slots.count == free.count
    {
      barriers.removeFirst()
    }
  }

  // MARK: reports

  /// Takes delivery reports, waiting for the first at most `timeoutMilliseconds`.
  func poll(timeoutMilliseconds: Int) throws(Failure) {
    let now = clock.monotonic
    outlet.poll(waitMilliseconds: timeoutMilliseconds) { reports in
      let now = timeoutMilliseconds > 0 ? clock.monotonic : now
      for report in reports { settle(report, now: now) }
    }
    try throwIfFailed()
    if mustAbort && transaction == .open { try again() }
  }

  /// What the producer has complained of since it was last asked.
  func takeEvents() -> [KafkaError.Failure] {
    hearEvents()
    defer { events = [] }
    return events
  }

  private func hearEvents() {
    let heard = outlet.takeEvents()
    if heard.isEmpty { return }
    events += heard
    // A connection was lost: what was on its way is sent again, and may arrive twice.
    noteSuspicion()
  }

  private func throwIfFailed() throws(Failure) {
    if let failure { throw failure }
    if let error = outlet.fatalError { throw .fatal(error) }
  }

  private func settle(_ report: DeliveryReport, now: Int64) {
    let entry = slots[Int(report.opaque)]
    giveBack(UInt32(report.opaque))
    if let cut = cutSequence, entry.sequence <= cut { cutOutstanding -= 1 }
    if let problem = report.failure {
      if outlet.isTransactional {
        mustAbort = true
      } else if failure == nil {
        failure = .undelivered(topic: names.name(OutputTopic(rawValue: entry.topic)!), problem)
      }
      return
    }
    acknowledged += 1
    if entry.receivedAt > 0 {
      latency.record(Publisher.microseconds(from: entry.receivedAt, to: now))
    }
  }

  /// As the histograms take it.
  private static func microseconds(from start: Int64, to end: Int64) -> UInt64 {
    UInt64(min(600_000_000, max(0, (end - start) / 1000)))
  }

  private func take(_ topic: OutputTopic, receivedAt: Int64) -> UInt32 {
    sequence += 1
    let entry = InFlight(sequence: sequence, receivedAt: receivedAt, topic: topic.rawValue)
    if let slot = free.popLast() {
      slots[Int(slot)] = entry
      return slot
    }
    slots.append(entry)
    return UInt32(slots.count - 1)
  }

  private func giveBack(_ slot: UInt32) { free.append(slot) }

  // MARK: cuts

  /// Everything in the line now belongs to the offsets of this moment.
  func beginCut() {
    cut = line.count
    cutSequence = nil
    if at == line.count { noteCut() }
  }

  private func noteCut() {
    cutSequence = sequence
    cutOutstanding = slots.count - free.count
  }

  var isCutting: Bool { cut != nil }

  /// Whether everything before the cut is acknowledged.
  var isCutDone: Bool { cutSequence != nil && cutOutstanding <= 0 && !mustAbort }

  func endCut() {
    cut = nil
    cutSequence = nil
    barriers.removeAll { $0.needsCommit }
  }

  // MARK: transactions

  private func noteSuspicion() {
    if outlet.isTransactional && registration == .good { registration = .suspect }
  }

  /// - Returns: false where the name is not registered yet: nothing can be sent.
  private func beginIfNeeded() throws(Failure) -> Bool {
    guard outlet.isTransactional, transaction == .none else { return true }
    do throws(KafkaError) {
      guard try isRegistered() else { return false }
      try outlet.begin()
    } catch { throw .fatal(error) }
    transaction = .open
    return true
  }

  private func isRegistered() throws(KafkaError) -> Bool {
    // What the library has to say of the transaction before is said inside a poll.
    let now = clock.monotonic
    outlet.poll(waitMilliseconds: 0) { reports in
      for report in reports { settle(report, now: now) }
    }
    hearEvents()
    if registration == .good { return true }
    if registration == .suspect {
      try outlet.renew()
      registration = .renewing
      renewed += 1
    }
    do throws(KafkaError) { try outlet.open(timeoutMilliseconds: 1000) } catch {
      guard error.isRetriable else { throw error }
      return false
    }
    hearEvents()
    registration = .good
    return true
  }

  var isCommitting: Bool { transaction == .committing }

  /// The cut is done: its offsets are committed with everything before it. Where no transaction could be begun
  /// for them, `isCommitting` stays false: to be asked again.
  func beginCommit(_ offsets: [PartitionOffset]) throws(Failure) {
    precondition(isCutDone && outlet.isTransactional)
    guard try beginIfNeeded() else { return }
    transaction = .committing
    commitStarted = clock.monotonic
    outlet.beginCommit(offsets)
  }

  /// Whether the commit has taken effect; told once. Where it was aborted, the cut is made again and
  /// `isCutDone` once more.
  func takeCommit() throws(Failure) -> Bool {
    guard transaction == .committing, let outcome = outlet.takeCommitOutcome() else { return false }
    if clock.monotonic - commitStarted > Publisher.patience { noteSuspicion() }
    switch outcome {
    case .success:
      transaction = .none
      mustAbort = false
      repeats = 0
      endCut()
      dropSent()
      return true
    case .failure(let error):
      guard error.wantsAbort else { throw .fatal(error) }
      try again()
      return false
    }
  }

  /// Aborts; the same is sent again in a new transaction.
  private func again() throws(Failure) {
    noteSuspicion()
    aborted += 1
    repeats += 1
    guard repeats <= Publisher.maximumRepeats else {
      throw .fatal(.settings("a transaction was aborted \(repeats) times"))
    }
    do throws(KafkaError) {
      try outlet.abort { reports in
        for report in reports { giveBack(UInt32(report.opaque)) }
      }
    } catch { throw .fatal(error) }
    transaction = .none
    mustAbort = false
    at = 0
    sentBytes = 0
    message = 0
    cutSequence = nil
    if cut == 0 { noteCut() }
  }
}

extension KafkaError {
  /// The transaction can be made again.
  var wantsAbort: Bool {
    if case .failure(let failure) = self { failure.remedy == .abort } else { false }
  }
}
