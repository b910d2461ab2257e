// Groups: the mock cluster's first join takes 3 s, so these tests say much in few joins.
import Glibc
import Kafka
import Testing

@Suite struct GroupTests {
  /// Commits, restarts and reads on from what was committed; the handler sees what the group has.
  @Test func aRestartedMemberStartsWhereTheOwnerSays() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 2)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 2, count: 100)
    // The mock answers a join after a leave one second before the session would time out.
    let config = settings(cluster, ["group.id": "restart", "session.timeout.ms": "6000"])

    let first = try Consumer(config: config, topics: ["t"])
    var asked: [CommittedOffset] = []
    try first.subscribe(
      RebalanceHandler(
        assigned: { committed in
          asked = committed
          return committed.map { _ in .beginning }
        }, revoked: { _, _ in }))
    let records = try first.read(200)
    #expect(records.count == 200)
    #expect(asked.map(\.offset) == [nil, nil])
    let member = first.membership
    #expect(member?.memberID.isEmpty == false)
    #expect(member?.generation ?? -1 >= 0)
    let left = TopicPartition(topic: 0, partition: 0)
    let right = TopicPartition(topic: 0, partition: 1)
    // A restart of one partition inside the group leaves the other where it is.
    try first.restart([PartitionStart(left, .at(90))])
    #expect(first.assignment.map(\.offset) == [90, 100])
    #expect(try first.read(10).map(\.text) == (90..<100).map { "0:\($0)" })
    // One by waiting, the other in passing.
    try first.commit([PartitionOffset(left, offset: 60)])
    var answers: [PartitionOffset] = []
    try first.commit([PartitionOffset(right, offset: 40)]) { offsets, result in
      if case .success = result { answers = offsets }
    }
    _ = try within(5) {
      _ = try first.poll(maxMessages: 10, timeoutMilliseconds: 20) { _ in }
      return !answers.isEmpty
    }
    #expect(answers == [PartitionOffset(right, offset: 40)])
    #expect(try first.committed([right, left]).map(\.offset) == [40, 60])
    #expect(first.close(deadlineMilliseconds: 10_000) == .closed)

    let second = try Consumer(config: config, topics: ["t"])
    try second.subscribe(
      RebalanceHandler(
        assigned: { committed in
          asked = committed
          // The owner may start elsewhere: behind what is committed on the left.
          return [.at(10), .at(committed[1].offset ?? 0)]
        }, revoked: { _, _ in }))
    let again = try second.read(90 + 60)
    #expect(asked.map(\.offset) == [60, 40])
    #expect(again.filter { $0.place == left }.map(\.offset) == Array(10..<100))
    #expect(again.filter { $0.place == right }.map(\.offset) == Array(40..<100))
    #expect(second.close(deadlineMilliseconds: 10_000) == .closed)
  }

  /// A second member joins while records flow: every record is seen at least once, by members that
  /// held its partition, each member's own in order and without repeats.
  @Test("fault 6: two members share and hand over")
  func twoMembersShareAndHandOver() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 4)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 4, count: 50)
    let config = settings(
      cluster, ["group.id": "share", "session.timeout.ms": "6000", "heartbeat.interval.ms": "200"])

    final class Member {
      let consumer: Consumer
      var seen: [TopicPartition: [Int64]] = [:]
      var revocations: [[PartitionOffset]] = []
      var assignments: [[CommittedOffset]] = []
      var refused = 0
      init(_ config: [String: String]) throws {
        consumer = try Consumer(config: config, topics: ["t"])
        try consumer.subscribe(
          RebalanceHandler(
            assigned: { [unowned self] committed in
              assignments.append(committed)
              return committed.map { $0.offset.map { .at($0) } ?? .beginning }
            },
            revoked: { [unowned self] held, lost in
              revocations.append(held)
              // The mock refuses commits in a rebalance, where Kafka takes them.
              if !lost {
                do { try consumer.commit(held.filter { $0.offset >= 0 }) } catch { refused += 1 }
              }
            }))
      }
      func step() throws {
        _ = try consumer.poll(maxMessages: 100, timeoutMilliseconds: 20) { view in
          seen[view.place, default: []].append(view.offset)
        }
      }
      /// Commits all positions.
      func commit() throws { try consumer.commit(consumer.assignment.filter { $0.offset >= 0 }) }
    }

    let one = try Member(config)
    #expect(
      try within(15) {
        try one.step()
        return one.seen.values.map(\.count).reduce(0, +) == 200
      })
    try one.commit()
    let two = try Member(config)
    #expect(
      try within(20) {
        try one.step()
        try two.step()
        return one.consumer.assignment.count == 2 && two.consumer.assignment.count == 2
      })
    // A slow machine may rebalance once more before both are in.
    #expect(one.revocations.count >= 1)
    #expect(one.revocations.first?.map(\.offset) == [50, 50, 50, 50])
    // What the second was given is what the first had committed.
    #expect(two.assignments.last?.map(\.offset) == [50, 50])
    try producer.fill("t", partitions: 4, count: 50, from: 50)
    func total() -> Int {
      (0..<4).reduce(0) { sum, p in
        let place = TopicPartition(topic: 0, partition: p)
        return sum + Set((one.seen[place] ?? []) + (two.seen[place] ?? [])).count
      }
    }
    #expect(
      try within(15) {
        try one.step()
        try two.step()
        return total() == 400
      })
    for member in [one, two] {
      for (place, offsets) in member.seen {
        // Nothing twice and nothing out of order within a member: it resumed at its commit.
        #expect(zip(offsets, offsets.dropFirst()).allSatisfy(<), "partition \(place)")
      }
    }
    let overlap = (0..<4).filter { p in
      let place = TopicPartition(topic: 0, partition: p)
      return (one.seen[place]?.contains { $0 >= 50 } ?? false)
        && (two.seen[place]?.contains { $0 >= 50 } ?? false)
    }
    #expect(overlap.isEmpty, "a partition had two owners")
    #expect(one.consumer.close(deadlineMilliseconds: 10_000) == .closed)
    #expect(two.consumer.close(deadlineMilliseconds: 10_000) == .closed)
  }

  /// An owner that does not poll in time loses its partitions: told as lost, and it joins again. A
  /// look-up that the broker refuses surfaces from `poll`, and the next poll tries again.
  @Test("fault 7: a member that sleeps loses its partitions and joins again")
  func aMemberThatSleepsLosesItsPartitionsAndJoinsAgain() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("t", partitions: 2)
    let producer = try Producer(config: settings(cluster))
    try producer.fill("t", partitions: 2, count: 5)
    let consumer = try Consumer(
      config: settings(
        cluster,
        [
          "group.id": "sleeper", "session.timeout.ms": "4000", "max.poll.interval.ms": "4000",
          "heartbeat.interval.ms": "100",
        ]), topics: ["t"])
    cluster.push(.offsetFetch, [.groupAuthorizationFailed])
    var assigned = 0
    var revoked: [(held: [PartitionOffset], lost: Bool)] = []
    try consumer.subscribe(
      RebalanceHandler(
        assigned: { committed in
          assigned += 1
          return committed.map { _ in assigned == 1 ? .beginning : .at(3) }
        }, revoked: { revoked.append(($0, $1)) }))
    var refusals: [KafkaError] = []
    var records: [Record] = []
    var events: [ConsumerEvent] = []
    func step() {
      do throws(KafkaError) {
        events += try consumer.poll(maxMessages: 10, timeoutMilliseconds: 50) {
          records.append(Record($0))
        }.events
      } catch { refusals.append(error) }
    }
    #expect(
      within(10) {
        step()
        return records.count == 10
      })
    #expect(refusals.count == 1 && refusals.first?.isDenied == true, "\(refusals)")
    #expect(assigned == 1 && revoked.isEmpty)
    usleep(5_000_000)
    #expect(
      within(15) {
        step()
        return records.count == 14
      })
    #expect(revoked.count == 1 && revoked.first?.lost == true)
    #expect(revoked.first?.held.map(\.offset) == [5, 5])
    #expect(
      events.contains { if case .maxPollExceeded = $0 { true } else { false } }, "\(events)")
    #expect(assigned == 2)
    #expect(records.suffix(4).map(\.offset).sorted() == [3, 3, 4, 4])
    #expect(consumer.close(deadlineMilliseconds: 10_000) == .closed)
  }

  @Test func aMissingTopicIsToldBeforeSubscribing() throws {
    let cluster = try MockCluster()
    try cluster.createTopic("here", partitions: 1)
    // The mock makes a topic that is asked for, unless told to deny it.
    cluster.setTopicError("nowhere", .unknownTopicOrPartition)
    cluster.setTopicError("nor-here", .unknownTopicOrPartition)
    let consumer = try Consumer(
      config: settings(cluster, ["group.id": "missing"]), topics: ["here", "nowhere", "nor-here"])
    do throws(KafkaError) {
      try consumer.subscribe(
        timeoutMilliseconds: 300,
        RebalanceHandler(assigned: { $0.map { _ in .beginning } }, revoked: { _, _ in }))
      Issue.record("subscribed")
    } catch {
      #expect(error == .unknownTopics(["nowhere", "nor-here"]))
    }
    #expect(consumer.close(deadlineMilliseconds: 5000) == .closed)
  }

  @Test func subscribingNeedsAGroup() throws {
    let consumer = try Consumer(config: [:], topics: ["t"])
    do throws(KafkaError) {
      try consumer.subscribe(RebalanceHandler(assigned: { _ in [] }, revoked: { _, _ in }))
      Issue.record("subscribed")
    } catch {
      #expect(error.isSettings && error.description.contains("group.id"))
    }
  }
}
