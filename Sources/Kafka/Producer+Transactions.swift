// Transactions: outputs and consumed offsets become visible together, or not at all.
//
// Order of calls: initTransactions once (before the consumer's first look-up of offsets: it ends a
// dead predecessor's transaction); then begin, send…, sendOffsets, commit or abort, again and again.
// One thread, the one that polls the reports.
//
// librdkafka waits for reports inside commit and abort but does not read them, since they come as
// events: so both run on a thread of their own while this one reads. (Purging before an abort instead
// breaks the sequence numbers: only the library's own purge knows that it belongs to an abort.) An
// error's remedy says how to go on: retry the same call, abort, or make a new producer (fatal).

import CRdKafka
import Synchronization

/// The end of a transaction, on its way on a thread of its own.
public final class TransactionEnd: Sendable {
  private let result = Mutex<Result<Void, KafkaError>?>(nil)
  /// nil as long as it is on its way. After a failure whose remedy is not `abort` it is not known
  /// whether the commit took effect.
  public var outcome: Result<Void, KafkaError>? { result.withLock { $0 } }

  fileprivate init(
    _ operation: String, _ work: @escaping @Sendable () throws(KafkaError) -> Void
  ) {
    let isStarted = startDetached { [self] in
      do throws(KafkaError) {
        try work()
        settle(.success(()))
      } catch {
        settle(.failure(error))
      }
    }
    if !isStarted { settle(.failure(.settings("\(operation): no thread to be had"))) }
  }

  private func settle(_ outcome: Result<Void, KafkaError>) { result.withLock { $0 = outcome } }
}

extension Producer {
  /// Registers the producer's name, fences older ones and waits for their transactions to end.
  public func initTransactions(timeoutMilliseconds: Int = 30_000) throws(KafkaError) {
    try raise(rd_kafka_init_transactions(client, Int32(clamping: timeoutMilliseconds)))
  }

  public func beginTransaction() throws(KafkaError) {
    // A call made while a fatal error is pending may never return (#4420).
    if let fatal = fatalError { throw fatal }
    try raise(rd_kafka_begin_transaction(client))
  }

  /// Adds offsets (of the next record to read) for the consumer's group. The group refuses them
  /// when the consumer's membership is no longer the current one.
  public func sendOffsets(
    _ offsets: [PartitionOffset], of consumer: Consumer, timeoutMilliseconds: Int = 10_000
  ) throws(KafkaError) {
    if let fatal = fatalError { throw fatal }
    guard let group = rd_kafka_consumer_group_metadata(consumer.client) else {
      throw .settings("group.id: missing; offsets in a transaction need a group")
    }
    defer { rd_kafka_consumer_group_metadata_destroy(group) }
    let list = PartitionList(capacity: offsets.count)
    for one in offsets {
      list.append(consumer.topics[Int(one.place.topic)], one.place.partition, offset: one.offset, note: one.note)
    }
    try raise(
      rd_kafka_send_offsets_to_transaction(
        client, list.list, group, Int32(clamping: timeoutMilliseconds)))
  }

  /// Waits for all reports, then commits.
  /// - Throws: what the coordinator said. After `retry` the same call can be made again; whether it
  ///   took effect is not known before.
  public func commitTransaction(
    timeoutMilliseconds: Int = 30_000,
    onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void
  ) throws(KafkaError) {
    try serving("commit of a transaction", timeoutMilliseconds, onReports) { client, timeout in
      rd_kafka_commit_transaction(client, timeout)
    }
  }

  /// Adds the offsets and commits, on a thread of its own; calls that may be repeated are, for a while.
  /// `poll` must go on being called, since the library waits for the reports; nothing may be sent.
  public func beginCommit(
    _ offsets: [PartitionOffset], of consumer: Consumer, timeoutMilliseconds: Int = 60_000
  ) -> TransactionEnd {
    // Only its membership is asked for, which any thread may.
    nonisolated(unsafe) let consumer = consumer
    return TransactionEnd("commit of a transaction") { [self] () throws(KafkaError) in
      let deadline = Deadline(milliseconds: timeoutMilliseconds)
      func again(_ body: () throws(KafkaError) -> Void) throws(KafkaError) {
        while true {
          do throws(KafkaError) { return try body() } catch {
            guard error.isRetriable, deadline.remaining > 0 else { throw error }
          }
        }
      }
      if !offsets.isEmpty {
        try again { () throws(KafkaError) in try sendOffsets(offsets, of: consumer) }
      }
      try again { () throws(KafkaError) in
        if let fatal = fatalError { throw fatal }
        try raise(rd_kafka_commit_transaction(client, max(1000, deadline.remaining32)))
      }
    }
  }

  /// Gives up what is outstanding (its reports come here, as errors), then aborts.
  public func abortTransaction(
    timeoutMilliseconds: Int = 30_000,
    onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void
  ) throws(KafkaError) {
    try serving("abort of a transaction", timeoutMilliseconds, onReports) { client, timeout in
      rd_kafka_abort_transaction(client, timeout)
    }
  }

  /// Makes a call that waits for reports on another thread, and reads them here. A call that does
  /// not return a while after its own timeout is left behind, and the producer is of no more use.
  private func serving(
    _ operation: String, _ milliseconds: Int,
    _ onReports: (UnsafeBufferPointer<DeliveryReport>) -> Void,
    _ make: @escaping @Sendable (OpaquePointer, Int32) -> OpaquePointer?
  ) throws(KafkaError) {
    // A call made while a fatal error is pending may never return (#4420).
    if let fatal = fatalError { throw fatal }
    let timeout = Int32(clamping: max(1, milliseconds))
    let handles = Handles(client: client, queues: [], topics: [], state: state)
    let end = TransactionEnd(operation) { () throws(KafkaError) in
      if let error = make(handles.client, timeout) { throw .consuming(error) }
    }
    let deadline = Deadline(milliseconds: milliseconds + 5000)
    while true {
      let outcome = end.outcome
      poll(timeoutMilliseconds: outcome == nil ? 1 : 0, onReports: onReports)
      if let outcome { return try outcome.get() }
      if deadline.remaining == 0 {
        throw .failure(
          .init(
            RD_KAFKA_RESP_ERR__TIMED_OUT, message: "\(operation) did not return", remedy: .fatal))
      }
    }
  }

  private func raise(_ error: OpaquePointer?) throws(KafkaError) {
    if let error { throw .consuming(error) }
  }
}
