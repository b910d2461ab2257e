// One partition's log: entries in offset order, producers' sequences, open and aborted transactions.
//
// The rules are those of Kafka's ProducerStateManager and UnifiedLog: KIP-98 (sequences, control
// records, last stable offset), KIP-360 (a producer without state may begin anywhere; a new epoch
// begins at sequence 0), KIP-588 (an old epoch is answered INVALID_PRODUCER_EPOCH).

/// What stands at an offset.
public struct LogEntry {
  public enum Kind: Equatable { case data, commit, abort }
  public let offset: Int64
  public let kind: Kind
  /// nil for a control record.
  public let payload: Payload?
  /// -1 for records without.
  public let producerID: Int64
  public let epoch: Int16
  public let isTransactional: Bool
  /// Set by the abort marker.
  var isAborted = false
}

/// Records of one producer for one partition, as they travel.
struct Batch {
  var records: [Payload]
  var producerID: Int64 = -1
  var epoch: Int16 = -1
  var baseSequence: Int = -1
  var isTransactional = false
}

final class Partition {
  let place: LogPlace
  /// The broker that leads it.
  var leader: Int
  /// Until then nobody does.
  var leaderlessUntil: Int64 = 0

  private(set) var logStart: Int64 = 0
  private(set) var logEnd: Int64 = 0
  /// Ordered; offsets may be missing after compaction.
  private(set) var entries: [LogEntry] = []

  private struct ProducerState {
    var epoch: Int16
    var lastSequence = -1
    /// The latest five batches: what a repetition is recognised by.
    var batches: [(first: Int, last: Int, offset: Int64)] = []
    /// Where its open transaction begins.
    var openSince: Int64?
  }
  private var producers: [Int64: ProducerState] = [:]
  /// First offsets of open transactions; few.
  private var open: [(producerID: Int64, since: Int64)] = []

  init(_ place: LogPlace, leader: Int) {
    self.place = place
    self.leader = leader
  }

  var highWatermark: Int64 { logEnd }
  /// All below is decided.
  var lastStableOffset: Int64 { open.lazy.map(\.since).min() ?? logEnd }
  var openProducers: [Int64] { open.map(\.producerID) }

  // MARK: Writing

  /// Whether this producer has an open transaction here.
  func isOpen(_ producerID: Int64) -> Bool { producers[producerID]?.openSince != nil }

  /// - Returns: the offset of the first record; of the first append where this repeats one.
  func append(_ batch: Batch) -> Result<Int64, KafkaCode> {
    guard batch.producerID >= 0 else { return .success(write(batch)) }
    var state = producers[batch.producerID] ?? ProducerState(epoch: -1)
    let last = batch.baseSequence + batch.records.count - 1
    if batch.epoch < state.epoch { return .failure(.invalidProducerEpoch) }
    if batch.epoch == state.epoch {
      if let known = state.batches.first(where: {
        $0.first == batch.baseSequence && $0.last == last
      }) {
        return .success(known.offset)
      }
      if batch.baseSequence != state.lastSequence + 1 { return .failure(.outOfOrderSequence) }
    } else {
      if state.epoch >= 0 && batch.baseSequence != 0 { return .failure(.outOfOrderSequence) }
      state = ProducerState(epoch: batch.epoch, openSince: state.openSince)
    }
    let offset = write(batch)
    state.lastSequence = last
    state.batches.append((batch.baseSequence, last, offset))
    if state.batches.count > 5 { state.batches.removeFirst() }
    if batch.isTransactional && state.openSince == nil {
      state.openSince = offset
      open.append((batch.producerID, offset))
    }
    producers[batch.producerID] = state
    return .success(offset)
  }

  private func write(_ batch: Batch) -> Int64 {
    let base = logEnd
    for record in batch.records {
      entries.append(
        LogEntry(
          offset: logEnd, kind: .data, payload: record, producerID: batch.producerID,
          epoch: batch.epoch, isTransactional: batch.isTransactional))
      logEnd += 1
    }
    return base
  }

  /// Writes the control record that decides the producer's open transaction, if it has one here.
  /// A bumped epoch shuts out what the older one may still have on its way.
  func mark(_ producerID: Int64, epoch: Int16, commits: Bool) {
    var state = producers[producerID] ?? ProducerState(epoch: -1)
    guard epoch >= state.epoch else { return }
    if !commits, let since = state.openSince {
      for i in index(of: since)..<entries.count
      where entries[i].producerID == producerID && entries[i].isTransactional {
        entries[i].isAborted = true
      }
    }
    entries.append(
      LogEntry(
        offset: logEnd, kind: commits ? .commit : .abort, payload: nil, producerID: producerID,
        epoch: epoch, isTransactional: true))
    logEnd += 1
    open.removeAll { $0.producerID == producerID }
    if epoch > state.epoch { state = ProducerState(epoch: epoch) }
    state.openSince = nil
    producers[producerID] = state
  }

  // MARK: Reading

  struct Fetched {
    var records: [SimulatedRecord] = []
    /// Where to read on: past control and aborted records too.
    var next: Int64
  }

  /// - Returns: failure `offsetOutOfRange` where the offset is outside what the log has.
  func fetch(from offset: Int64, atMost limit: Int, _ isolation: Isolation) -> Result<
    Fetched, KafkaCode
  > {
    guard offset >= logStart && offset <= logEnd else { return .failure(.offsetOutOfRange) }
    let end = readable(isolation)
    var fetched = Fetched(next: offset)
    var i = index(of: offset)
    while i < entries.count, entries[i].offset < end, fetched.records.count < limit {
      let entry = entries[i]
      fetched.next = entry.offset + 1
      i += 1
      guard entry.kind == .data, let payload = entry.payload,
        isolation == .readUncommitted || !entry.isAborted
      else { continue }
      fetched.records.append(SimulatedRecord(place: place, offset: entry.offset, payload: payload))
    }
    return .success(fetched)
  }

  /// Where a reader's world ends.
  func readable(_ isolation: Isolation) -> Int64 {
    isolation == .readCommitted ? lastStableOffset : highWatermark
  }

  /// Index of the first entry at or behind an offset.
  func index(of offset: Int64) -> Int {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].offset < offset { low = middle + 1 } else { high = middle }
    }
    return low
  }

  // MARK: Cleaning

  /// Retention: what lies before `offset` is gone.
  func removeRecords(before offset: Int64) {
    logStart = max(logStart, min(offset, logEnd))
    entries.removeFirst(index(of: logStart))
  }

  /// Keeps the last decided record of every key. Offsets stay what they were.
  func compact() {
    let stable = lastStableOffset
    var latest: [[UInt8]: Int64] = [:]
    for entry in entries where entry.offset < stable && entry.kind == .data && !entry.isAborted {
      if let key = entry.payload?.key { latest[Array(key)] = entry.offset }
    }
    entries.removeAll { entry in
      guard entry.offset < stable, entry.kind == .data else { return false }
      guard !entry.isAborted, let key = entry.payload?.key else { return entry.isAborted }
      return latest[Array(key)] != entry.offset
    }
  }
}
