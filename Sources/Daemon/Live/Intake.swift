// The records of Kafka, fetched and decoded on a thread of their own while the loop applies what came
// before. One hand-over per batch, never per record.
//
//  - Everything that touches the consumer happens on the intake's thread: what the loop wants of it is a
//    request, served between two polls (librdkafka 2.0 loses records where a batch is read while another
//    thread pauses or rebalances, #4117).
//  - A rebalance is a delivery like any other, behind the records of the old assignment; the intake
//    answers the group only when the loop has taken note.
//  - Batches are few and used again. A batch goes over when it is full, when nothing more is there, or when
//    the loop has nothing to do; so an idle stream is handed on record by record and a busy one in thousands.
//  - Where the loop gives no batch back for a second (its producer's queue is full), partitions are paused
//    and polled, so that the group stays.
import Dispatch
import Events
import Kafka

final class Intake: RecordSource, @unchecked Sendable {
  /// A batch is full at one of these. Small enough for the caches, large enough that handing over
  /// costs nothing.
  private static let batchRecords = 2_048
  private static let batchBytes = 1 << 20
  private static let batchCount = 16
  private static let patience: Int64 = 1_000_000_000

  private enum Request {
    case limit([Int32: Int64])
    case restart(TopicPartition, StartOffset)
    case commit([PartitionOffset])
  }
  private enum Answer {
    case begin([PartitionPlan])
    case release
  }
  private struct Ending {
    var offsets: [PartitionOffset]
    var deadlineMilliseconds: Int
  }

  private let consumer: Consumer
  /// Written before an assignment is delivered.
  private(set) var partitionCount = 0
  private let warn: @Sendable (String) -> Void
  private let limits: EventLimits
  private let futureTolerance: Int64
  private let crashes: CrashLog?

  // Under the monitor.
  private let monitor = Monitor()
  private var ready: [Delivery] = []
  private var free: [RecordBatch] = []
  private var requests: [Request] = []
  private var answer: Answer?
  private var ending: Ending?
  private var outcome: (isClosed: Bool, commit: Result<Void, KafkaError>)?
  private var failure: KafkaError?

  // The intake's thread only.
  private var current: RecordBatch?
  private var isPaused = false
  /// Per partition of the events topic.
  private var bounds: [Int32: Int64] = [:]
  private var held: [TopicPartition: Int64] = [:]
  /// Partitions whose next offset is not there, until their leader has said what is.
  private var lost: [TopicPartition: Int64] = [:]

  /// - Parameters:
  ///   - consumer: of the events topic and the catalogue, in this order. It belongs to the intake from
  ///     `start` on.
  ///   - crashes: told of each record before it is decoded.
  ///   - warn: called on the intake's thread.
  init(
    _ consumer: Consumer, limits: EventLimits, futureTolerance: Int64, crashes: CrashLog?,
    warn: @escaping @Sendable (String) -> Void
  ) {
    self.consumer = consumer
    self.warn = warn
    self.limits = limits
    self.futureTolerance = futureTolerance
    self.crashes = crashes
    ready.reserveCapacity(Intake.batchCount + 8)
    for _ in 0..<Intake.batchCount { free.append(makeBatch()) }
  }

  private func makeBatch() -> RecordBatch {
    RecordBatch(limits: limits, futureTolerance: futureTolerance, crashes: crashes)
  }

  /// Joins the group and begins to read.
  func start(timeoutMilliseconds: Int) throws(KafkaError) {
    try countPartitions(timeoutMilliseconds)
    try consumer.subscribe(
      timeoutMilliseconds: timeoutMilliseconds,
      RebalanceHandler(
        assigned: { [unowned self] in assigned($0) },
        revoked: { [unowned self] in revoked($0, lost: $1) }))
    DispatchQueue(label: "affinity.intake", qos: .userInitiated).async { [self] in
      do throws(KafkaError) { try read() } catch {
        monitor.with {
          failure = error
          monitor.signal(.arrived)
        }
      }
      end()
    }
  }

  private func countPartitions(_ milliseconds: Int) throws(KafkaError) {
    partitionCount = try consumer.requireTopics(timeoutMilliseconds: milliseconds)
      .reduce(0) { $0 + Int($1.partitionCount) }
  }

  // MARK: the loop's side

  func next(waitMilliseconds: Int) throws(DaemonFailure) -> Delivery? {
    try monitor.with { () throws(DaemonFailure) -> Delivery? in
      if ready.isEmpty && waitMilliseconds > 0 {
        let deadline = Process.monotonic + Int64(waitMilliseconds) * 1_000_000
        while ready.isEmpty && failure == nil && monitor.wait(.arrived, until: deadline) {}
      }
      if !ready.isEmpty { return ready.removeFirst() }
      if let failure { throw DaemonFailure.tryAgain("\(failure)") }
      return nil
    }
  }

  func recycle(_ batch: RecordBatch) {
    batch.removeAll()
    monitor.with {
      // One made beside the ring while everything stood still goes away again.
      if free.count < Intake.batchCount { free.append(batch) }
      monitor.signal(.freed)
    }
  }

  func begin(_ plans: [PartitionPlan]) { reply(.begin(plans)) }
  func release() { reply(.release) }
  func limit(_ limits: [Int32: Int64]) { ask(.limit(limits)) }
  func restart(_ place: TopicPartition, at start: StartOffset) { ask(.restart(place, start)) }
  func commit(_ offsets: [PartitionOffset]) { ask(.commit(offsets)) }

  /// librdkafka keeps it with the latest fetch response, for any thread to read.
  func end(of place: TopicPartition) -> Int64? { consumer.cachedWatermarks(place)?.high }

  func finish(committing offsets: [PartitionOffset], deadlineMilliseconds: Int)
    -> (isClosed: Bool, commit: Result<Void, KafkaError>)
  {
    let deadline = Process.monotonic + Int64(deadlineMilliseconds) * 1_000_000
    monitor.with {
      ending = Ending(offsets: offsets, deadlineMilliseconds: deadlineMilliseconds)
      monitor.signal(.freed)
    }
    consumer.waker.wake()
    return monitor.with {
      while outcome == nil && monitor.wait(.arrived, until: deadline) {}
      return outcome
        ?? (false, .failure(.timedOut(operation: "leaving", milliseconds: deadlineMilliseconds)))
    }
  }

  private func reply(_ given: Answer) {
    monitor.with {
      answer = given
      monitor.signal(.freed)
    }
  }

  private func ask(_ request: Request) {
    monitor.with {
      requests.append(request)
      monitor.signal(.freed)
    }
    consumer.waker.wake()
  }

  // MARK: the intake's thread

  private func read() throws(KafkaError) {
    while try serveRequests() {
      if current == nil { current = takeFree() }
      if current == nil && !isPaused {
        isPaused = true
        try attempt { () throws(KafkaError) in
          try consumer.pause(consumer.assignment.map(\.place))
        }
      } else if current != nil && isPaused {
        isPaused = false
        try attempt { () throws(KafkaError) in
          try consumer.resume(consumer.assignment.map(\.place))
        }
      }
      let room = max(1, Intake.batchRecords - (current?.count ?? 0))
      let wait = current?.isEmpty ?? true ? 100 : 0
      var count = 0
      try attempt { () throws(KafkaError) in
        let polled = try consumer.poll(maxMessages: room, timeoutMilliseconds: wait)
        count = polled.count
        take(polled)
      }
      if !lost.isEmpty { askBounds() }
      if let batch = current, !batch.isEmpty, count == 0 || isPaused || isFull(batch) || isHungry
      {
        handOver()
      }
    }
  }

  /// What passes is said; what does not ends the intake.
  private func attempt(_ body: () throws(KafkaError) -> Void) throws(KafkaError) {
    do throws(KafkaError) { try body() } catch {
      guard error.isRetriable else { throw error }
      warn("\(error)")
    }
  }

  private func isFull(_ batch: RecordBatch) -> Bool {
    batch.count >= Intake.batchRecords || batch.bytes >= Intake.batchBytes
  }

  /// Whether the loop has nothing left to take.
  private var isHungry: Bool { monitor.with { ready.isEmpty } }

  private func handOver() {
    guard let batch = current else { return }
    current = nil
    deliver(.records(batch))
  }

  private func deliver(_ delivery: Delivery) {
    monitor.with {
      ready.append(delivery)
      monitor.signal(.arrived)
    }
  }

  /// An empty batch; waits for one, but not once everything is paused, nor while there are requests.
  private func takeFree() -> RecordBatch? {
    let deadline = Process.monotonic + Intake.patience
    return monitor.with {
      while free.isEmpty && !isPaused && requests.isEmpty && ending == nil
        && monitor.wait(.freed, until: deadline)
      {}
      return free.popLast()
    }
  }

  /// Decodes what was polled. Nothing of it may get lost: where no batch is free one more is made.
  private func take(_ polled: borrowing Batch) {
    if polled.isEmpty { return }
    let receivedAt = Process.monotonic
    let messages = polled.messages
    var next = 0
    while next < messages.count {
      var end = messages.count
      if !bounds.isEmpty {
        end = next
        while end < messages.count && limit(of: messages[end]) == nil { end += 1 }
      }
      while next < end {
        if let full = current, isFull(full) { handOver() }
        next += batch(receivedAt).append(
          UnsafeBufferPointer(rebasing: messages[next..<end]), records: Intake.batchRecords,
          bytes: Intake.batchBytes)
      }
      if next < messages.count, let bound = limit(of: messages[next]) {
        hold(messages[next].place, at: messages[next].offset, limit: bound, receivedAt)
        next += 1
      }
    }
    for event in polled.events {
      if case .offsetOutOfRange(let place, let offset, _) = event {
        lost[place] = offset ?? consumer.position(place) ?? 0
      } else {
        batch(receivedAt).notices.append(.client(event))
      }
    }
  }

  private func askBounds() {
    for place in lost.keys.sorted() {
      do throws(KafkaError) {
        let bounds = try consumer.watermarks(place, timeoutMilliseconds: 1000)
        let offset = lost.removeValue(forKey: place) ?? 0
        batch(Process.monotonic).notices.append(.outOfRange(place, offset: offset, bounds))
      } catch { warn("bounds of \(place): \(error)") }
    }
  }

  /// The limit at or behind which the record lies, if any.
  private func limit(of message: MessageView) -> Int64? {
    guard message.topic == 0, let bound = bounds[message.partition], message.offset >= bound else {
      return nil
    }
    return bound
  }

  private func batch(_ receivedAt: Int64) -> RecordBatch {
    let batch: RecordBatch
    if let current {
      batch = current
    } else {
      batch = monitor.with { free.popLast() } ?? makeBatch()
      current = batch
    }
    if batch.isEmpty { batch.receivedAt = receivedAt }
    return batch
  }

  /// The partition has reached its limit: what follows is read again when limits are lifted.
  private func hold(
    _ place: TopicPartition, at offset: Int64, limit: Int64, _ receivedAt: Int64
  ) {
    if held[place] != nil { return }
    held[place] = offset
    batch(receivedAt).notices.append(.limitReached(place, limit: limit))
    // Only to spare the broker: records that come nevertheless are left out as these were.
    do throws(KafkaError) { try consumer.pause([place]) } catch { warn("pause: \(error)") }
  }

  // MARK: requests

  /// - Returns: false where the end is asked for.
  private func serveRequests() throws(KafkaError) -> Bool {
    let (due, isEnding) = monitor.with { () -> ([Request], Bool) in
      let due = requests
      if !due.isEmpty { requests = [] }
      return (due, ending != nil)
    }
    for request in due {
      switch request {
      case .limit(let limits):
        // A partition whose new limit is the old one waits on, and need not say so again.
        let starts = held.filter { bounds[$0.key.partition] != limits[$0.key.partition] }
          .sorted { $0.key < $1.key }
        bounds = limits
        for start in starts { held[start.key] = nil }
        if starts.isEmpty { continue }
        // In this order: resumed behind the start, they would begin once more where they were started.
        try consumer.resume(starts.map(\.key))
        try consumer.restart(starts.map { PartitionStart($0.key, .at($0.value)) })
      case .restart(let place, let start): try consumer.restart([PartitionStart(place, start)])
      case .commit(let offsets):
        do throws(KafkaError) {
          try consumer.commit(offsets) { [unowned self] _, result in deliver(.committed(result)) }
        } catch {
          deliver(.committed(.failure(error)))
        }
      }
    }
    return !isEnding
  }

  private func assigned(_ partitions: [CommittedOffset]) -> [StartOffset] {
    isPaused = false
    held = [:]
    bounds = [:]
    lost = [:]
    // Topics may have grown; where nobody answers, the count is the one before.
    do throws(KafkaError) { try countPartitions(5000) } catch { warn("\(error)") }
    deliver(.assigned(partitions))
    guard case .begin(let plans) = awaitAnswer(), plans.count == partitions.count else {
      // The end was asked for meanwhile: whatever comes is not looked at.
      return partitions.map { $0.offset.map { .at($0) } ?? .beginning }
    }
    for (one, plan) in zip(partitions, plans) where one.place.topic == 0 {
      bounds[one.place.partition] = plan.limit
    }
    return plans.map(\.start)
  }

  private func revoked(_ partitions: [PartitionOffset], lost: Bool) {
    handOver()
    deliver(.revoked(partitions, lost: lost))
    _ = awaitAnswer()
    monitor.with { requests.removeAll { if case .commit = $0 { true } else { false } } }
  }

  /// nil where the end is asked for.
  private func awaitAnswer() -> Answer? {
    monitor.with {
      while answer == nil && ending == nil {
        _ = monitor.wait(.freed, until: Process.monotonic + Intake.patience)
      }
      defer { answer = nil }
      return answer
    }
  }

  /// Waits for `finish` where there was none yet, commits and closes.
  private func end() {
    let wish = monitor.with { () -> Ending? in
      while ending == nil {
        _ = monitor.wait(.freed, until: Process.monotonic + Intake.patience)
      }
      return ending
    }
    guard let wish else { return }
    var commit: Result<Void, KafkaError> = .success(())
    if !wish.offsets.isEmpty {
      do throws(KafkaError) {
        try consumer.commit(
          wish.offsets, timeoutMilliseconds: min(5000, wish.deadlineMilliseconds))
      } catch {
        commit = .failure(error)
      }
    }
    let isClosed = consumer.close(deadlineMilliseconds: wish.deadlineMilliseconds) == .closed
    monitor.with {
      outcome = (isClosed, commit)
      monitor.signal(.arrived)
    }
  }
}
