// Which partitions are ours, and where reading of them begins. Eager rebalancing: all partitions
// are given back before any are given out.

import CRdKafka
import Glibc

/// A partition just assigned, with what the group has committed for it.
public struct CommittedOffset: Hashable, Sendable {
  public var place: TopicPartition
  /// Offset of the next record by the group's account; nil where nothing is committed.
  public var offset: Int64?
  /// What was committed with it.
  public var note: String?
  public init(place: TopicPartition, offset: Int64?, note: String? = nil) {
    self.place = place
    self.offset = offset
    self.note = note
  }
}

/// What the owner does in a rebalance. Both are called inside `poll`, on the owner's thread, with
/// no batch of the old assignment outstanding at the consumer.
public struct RebalanceHandler {
  /// Partitions have become ours (all of them, ordered). Returns a start for each.
  public var assigned: ([CommittedOffset]) -> [StartOffset]
  /// All partitions go away; each with our position (-1: nothing read yet). Unless `lost` is set
  /// they are ours until this returns, and offsets can be committed. A broker may refuse that with
  /// REBALANCE_IN_PROGRESS; who takes over then reads from the last commit.
  public var revoked: ([PartitionOffset], _ lost: Bool) -> Void

  public init(
    assigned: @escaping ([CommittedOffset]) -> [StartOffset],
    revoked: @escaping ([PartitionOffset], _ lost: Bool) -> Void
  ) {
    self.assigned = assigned
    self.revoked = revoked
  }
}

extension Consumer {
  /// Joins the group of `group.id` for all topics. Waits until the topics are there.
  /// - Throws: `unknownTopics` where some are still missing when the time is over.
  public func subscribe(
    timeoutMilliseconds: Int = 30_000, _ handler: RebalanceHandler
  ) throws(KafkaError) {
    precondition(isOpen)
    guard groupID != nil else { throw .settings("group.id: missing; subscribing needs a group") }
    _ = try requireTopics(timeoutMilliseconds: timeoutMilliseconds)
    self.handler = handler
    let list = PartitionList(capacity: topics.count)
    for name in topics { list.append(name, Int32(RD_KAFKA_PARTITION_UA)) }
    let error = rd_kafka_subscribe(client, list.list)
    if error.isError { throw .failure(error) }
  }

  /// Reads these partitions, without a group. Replaces what was assigned before.
  public func assign(_ partitions: [PartitionStart]) throws(KafkaError) {
    precondition(isOpen)
    let ordered = partitions.sorted { $0.place < $1.place }
    let list = PartitionList(capacity: ordered.count)
    for one in ordered {
      precondition(topics.indices.contains(Int(one.place.topic)) && one.place.partition >= 0)
      list.append(topics[Int(one.place.topic)], one.place.partition, offset: one.start.raw)
    }
    let error = rd_kafka_assign(client, list.list)
    if error.isError { throw .failure(error) }
    settle()
    setAssignment(ordered)
  }

  /// Waits until librdkafka's main thread has stopped what was read before and started what is read now,
  /// which it does some time after `rd_kafka_assign`. Each stop, start, pause and resume takes the next
  /// version number of the partition in the thread that asks for it; where a pause of ours overtakes a
  /// start between number and queue, the lower number comes last, and all that the partition fetches
  /// from then on counts as out of date: it is dumb for good. One answered question follows the stops in the
  /// main thread's queue, a second one their answers, in which the starts are asked for.
  private func settle() {
    for _ in 0..<3 {
      var list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
      if !rd_kafka_assignment(client, &list).isError { rd_kafka_topic_partition_list_destroy(list) }
    }
  }

  /// Gives up what was assigned by hand.
  public func unassign() throws(KafkaError) {
    let held = assignment
    setAssignment([])
    try giveBack(held)
  }

  /// librdkafka keeps a pause beyond the assignment: had we the partition again, it would be dumb.
  private func giveBack(_ held: [PartitionOffset]) throws(KafkaError) {
    let list = PartitionList(capacity: held.count)
    for one in held { list.append(topics[Int(one.place.topic)], one.place.partition) }
    rd_kafka_resume_partitions(client, list.list)
    let error = rd_kafka_assign(client, nil)
    if error.isError { throw .failure(error) }
  }

  /// Starts these partitions anew, as after `offsetOutOfRange`. All others go on at their
  /// positions; what was fetched ahead is fetched again. Partitions that are not ours are left out.
  public func restart(_ partitions: [PartitionStart]) throws(KafkaError) {
    var fresh: [TopicPartition: StartOffset] = [:]
    for one in partitions { fresh[one.place] = one.start }
    var all: [PartitionStart] = []
    for (slot, place) in places.enumerated() {
      let current: StartOffset = positions[slot] >= 0 ? .at(positions[slot]) : starts[slot]
      all.append(PartitionStart(place, fresh[place] ?? current))
    }
    try assign(all)
  }

  /// What is assigned, ordered, each with the offset of the next record (-1: not known yet).
  public var assignment: [PartitionOffset] {
    places.indices.map { PartitionOffset(places[$0], offset: positions[$0]) }
  }

  /// Offset of the next record; nil where the partition is not ours or that is not known yet.
  public func position(_ place: TopicPartition) -> Int64? {
    guard let slot = slot(place), positions[slot] >= 0 else { return nil }
    return positions[slot]
  }

  /// Stops fetching of these. Keep polling.
  public func pause(_ partitions: [TopicPartition]) throws(KafkaError) {
    try setPaused(partitions, rd_kafka_pause_partitions)
  }

  public func resume(_ partitions: [TopicPartition]) throws(KafkaError) {
    try setPaused(partitions, rd_kafka_resume_partitions)
  }

  private func setPaused(
    _ partitions: [TopicPartition],
    _ call: (OpaquePointer?, UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?) ->
      rd_kafka_resp_err_t
  ) throws(KafkaError) {
    let list = PartitionList(capacity: partitions.count)
    for place in partitions where slot(place) != nil {
      list.append(topics[Int(place.topic)], place.partition)
    }
    let error = call(client, list.list)
    if error.isError { throw .failure(error) }
    for element in list.elements where element.err.isError { throw .failure(element.err) }
  }

  // MARK: Inside

  /// Acts on what the callback has noted, in order. A rebalance stays noted until it is done.
  func handleRebalances() throws(KafkaError) {
    while let next = state.rebalances.first {
      switch next.kind {
      case .revoke: try revoke(lost: next.lost || rd_kafka_assignment_lost(client) != 0)
      case .assign: try takeOver(next.partitions)
      }
      state.rebalances.removeFirst()
    }
  }

  private func revoke(lost: Bool) throws(KafkaError) {
    let held = assignment
    // An error below must not tell the owner twice.
    setAssignment([])
    if !held.isEmpty { handler?.revoked(held, lost) }
    serveCommits(milliseconds: 0)
    try giveBack(held)
  }

  private func takeOver(_ partitions: [TopicPartition]) throws(KafkaError) {
    let committed = try self.committed(partitions, timeoutMilliseconds: 30_000)
    let chosen = partitions.isEmpty ? [] : handler?.assigned(committed) ?? []
    precondition(chosen.count == partitions.count, "a start is needed for every partition")
    try assign(zip(partitions, chosen).map { PartitionStart($0, $1) })
  }

  private func setAssignment(_ partitions: [PartitionStart]) {
    places = partitions.map(\.place)
    starts = partitions.map(\.start)
    positions = partitions.map { if case .at(let offset) = $0.start { max(0, offset) } else { -1 } }
    for topic in slots.indices { slots[topic].removeAll(keepingCapacity: true) }
    for (slot, place) in places.enumerated() {
      let topic = Int(place.topic)
      let needed = Int(place.partition) + 1
      if slots[topic].count < needed {
        slots[topic] += [Int32](repeating: -1, count: needed - slots[topic].count)
      }
      slots[topic][Int(place.partition)] = Int32(slot)
    }
  }
}
