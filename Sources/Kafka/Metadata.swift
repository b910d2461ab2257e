// What brokers say about topics.

import CRdKafka

public struct TopicMetadata: Equatable, Sendable {
  public var name: String
  /// 0 where the topic is missing or in error.
  public var partitionCount: Int
  /// Partitions that have no leader now.
  public var leaderless: [Int32]
  public var failure: KafkaError.Failure?
}

enum Metadata {
  /// Asks about one topic. Does not create it where `allow.auto.create.topics` is off.
  static func topic(
    _ topic: OpaquePointer, of client: OpaquePointer, milliseconds: Int32
  ) throws(KafkaError) -> TopicMetadata {
    var answer: UnsafePointer<rd_kafka_metadata>?
    let error = rd_kafka_metadata(client, 0, topic, &answer, milliseconds)
    let name = String(cString: rd_kafka_topic_name(topic))
    guard !error.isError, let answer else {
      if error == RD_KAFKA_RESP_ERR__TIMED_OUT {
        throw .timedOut(operation: "metadata of \(name)", milliseconds: Int(milliseconds))
      }
      throw .failure(error)
    }
    defer { rd_kafka_metadata_destroy(answer) }
    guard answer.pointee.topic_cnt > 0, let found = answer.pointee.topics?.pointee else {
      throw .unknownTopics([name])
    }
    var leaderless: [Int32] = []
    for i in 0..<Int(found.partition_cnt) where found.partitions[i].leader < 0 {
      leaderless.append(found.partitions[i].id)
    }
    return TopicMetadata(
      name: name, partitionCount: Int(found.partition_cnt), leaderless: leaderless,
      failure: found.err.isError ? KafkaError.Failure(found.err) : nil)
  }

  /// Asks until every topic is there with all its leaders, or the time is over.
  static func require(
    _ topics: [OpaquePointer], of client: OpaquePointer, deadline: Deadline,
    serve: () -> Void
  ) throws(KafkaError) -> [TopicMetadata] {
    var found: [TopicMetadata] = []
    var last: KafkaError?
    while true {
      found.removeAll(keepingCapacity: true)
      var missing: [String] = []
      for topic in topics {
        do throws(KafkaError) {
          let answer = try self.topic(
            topic, of: client, milliseconds: max(100, min(deadline.remaining32, 5000)))
          if answer.partitionCount == 0 || !answer.leaderless.isEmpty {
            if let failure = answer.failure, failure.remedy == .denied { throw .failure(failure) }
            missing.append(answer.name)
          }
          found.append(answer)
        } catch {
          if error.isDenied || error.isFatal { throw error }
          last = error
          missing.append(String(cString: rd_kafka_topic_name(topic)))
        }
        serve()
      }
      if missing.isEmpty { return found }
      if deadline.remaining == 0 {
        if let last, found.isEmpty { throw last }  // nobody answered at all
        throw .unknownTopics(missing)
      }
      // A new topic takes a moment to be known to all brokers.
      usleepMilliseconds(min(200, deadline.remaining))
    }
  }
}
