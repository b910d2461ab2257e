// Helpers of these tests: a shop's worth of small records, and loops with a deadline.
import Glibc
import Kafka
import Testing

/// A record by value.
struct Record: Equatable {
  var place: TopicPartition
  var offset: Int64
  var key: [UInt8]?
  var value: [UInt8]?

  init(_ view: MessageView) {
    place = view.place
    offset = view.offset
    key = view.key.map { Array($0) }
    value = view.value.map { Array($0) }
  }

  var text: String { String(decoding: value ?? [], as: UTF8.self) }
}

func now() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Repeats `step` until it is true or the seconds are over.
func within(_ seconds: Double, _ step: () throws -> Bool) rethrows -> Bool {
  let end = now() + seconds
  while now() < end { if try step() { return true } }
  return false
}

extension Producer {
  func sendText(
    _ topic: ProducerTopic, key: String?, value: String?, partition: Int32? = nil,
    opaque: UInt64 = 0, headers: [Header] = [], timestamp: Int64? = nil
  ) -> SendResult {
    let keyBytes = key.map { Array($0.utf8) }
    let valueBytes = value.map { Array($0.utf8) }
    return withBytes(keyBytes) { key in
      withBytes(valueBytes) { value in
        send(
          to: topic, key: key, value: value, headers: headers, timestamp: timestamp,
          partition: partition, opaque: opaque)
      }
    }
  }

  /// Sends `count` numbered records to each partition and waits for the reports.
  func fill(_ name: String, partitions: Int, count: Int, from first: Int = 0) throws {
    let topic = try self.topic(name)
    var failures = 0
    for i in first..<first + count {
      for p in 0..<partitions {
        #expect(
          sendText(topic, key: "k\(i)", value: "\(p):\(i)", partition: Int32(p)) == .accepted)
      }
    }
    let left = flush(deadlineMilliseconds: 20_000) { reports in
      for report in reports where !report.isDelivered { failures += 1 }
    }
    #expect(left == 0)
    #expect(failures == 0)
  }
}

func withBytes<R>(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
  guard let bytes else { return body(nil) }
  return bytes.withUnsafeBytes { body($0) }
}

extension Consumer {
  /// Reads until there are `count` records, or the seconds are over.
  func read(_ count: Int, seconds: Double = 15) throws -> [Record] {
    var records: [Record] = []
    _ = try within(seconds) {
      _ = try poll(maxMessages: 1000, timeoutMilliseconds: 100) { records.append(Record($0)) }
      return records.count >= count
    }
    return records
  }
}

func settings(_ cluster: MockCluster, _ more: [String: String] = [:]) -> [String: String] {
  ["bootstrap.servers": cluster.bootstrapServers, "linger.ms": "1"].merging(more) { $1 }
}

/// Partitions 0..<count of topic 0, each from its beginning.
func fromBeginning(_ count: Int) -> [PartitionStart] {
  (0..<count).map { PartitionStart(TopicPartition(topic: 0, partition: $0), .beginning) }
}
