// Groups: generations, assignments, sessions, zombies, static members (KIP-345), stored offsets.

import SimulatedKafka
import Testing

@Suite struct GroupTests {
  /// A member with a log of what it was told.
  final class Member {
    let consumer: SimulatedConsumer
    private(set) var history: [String] = []
    /// Called in a revocation that is not lost.
    var onRevoke: (SimulatedConsumer) -> Void = { _ in }

    init(_ consumer: SimulatedConsumer) throws {
      self.consumer = consumer
      try consumer.subscribe(
        SimulatedRebalanceHandler(
          assigned: { [unowned self] places in
            history.append("+" + places.map { "\($0.place.partition)" }.joined(separator: ","))
            return places.map { $0.committed.map { .at($0.offset) } ?? .beginning }
          },
          revoked: { [unowned self] places, lost in
            history.append(
              (lost ? "!" : "-") + places.map { "\($0.place.partition)" }.joined(separator: ","))
            if !lost { onRevoke(consumer) }
          }))
    }

    @discardableResult
    func poll(_ milliseconds: Int = 0) throws -> [SimulatedRecord] {
      try consumer.poll(maxMessages: 100, timeoutMilliseconds: milliseconds).records
    }
  }

  /// Lets members poll in turn.
  func run(_ members: [Member], seconds: Int) throws {
    for _ in 0..<seconds * 4 {
      for member in members { try member.poll(250 / members.count) }
    }
  }

  @Test func membersShareThePartitions() throws {
    let world = World(partitions: 3)
    let first = try Member(world.consumer(["in"], group: "g"))
    let took = try world.time { while first.consumer.assignment.isEmpty { try first.poll(100) } }
    #expect(took >= 2900 && took <= 3200, "the first join waits for others")
    #expect(first.consumer.generation == 1)
    let second = try Member(world.consumer(["in"], group: "g"))
    try run([first, second], seconds: 5)
    #expect(first.history == ["+0,1,2", "-0,1,2", "+0,1"])
    #expect(second.history == ["+2"])
    #expect(first.consumer.generation == 2)
    try first.consumer.close()
    try run([second], seconds: 5)
    #expect(second.history == ["+2", "-2", "+0,1,2"])
  }

  /// Kafka takes a commit between the notice of a rebalance and the new generation.
  @Test func offsetsAreHandedOverInARevocation() throws {
    let world = World()
    for i in 0..<4 { world.cluster.write(world.place(of: "in"), value: bytes("\(i)")) }
    let place = world.place(of: "in")
    let first = try Member(world.consumer(["in"], group: "a-group"))
    var failure: KafkaCode?
    first.onRevoke = { consumer in
      failure = code { try consumer.commit([place: StoredOffset(4, metadata: "m")]) }
    }
    try run([first], seconds: 4)
    #expect(first.consumer.position(place) == 4)
    world.cluster.rebalance("a-group")
    try run([first], seconds: 4)
    #expect(failure == nil)
    #expect(first.history == ["+0", "-0", "+0"])
    #expect(world.cluster.committed("a-group", place) == StoredOffset(4, metadata: "m"))
    #expect(first.consumer.position(place) == 4)
  }

  @Test func aDeadMemberIsReplacedAfterItsSession() throws {
    let world = World(partitions: 2)
    let doomed = world.cluster.makeProcess("doomed")
    let first = try Member(world.consumer(["in"], group: "g", in: doomed))
    let second = try Member(world.consumer(["in"], group: "g"))
    try run([first, second], seconds: 6)
    #expect(second.history == ["+1"])
    doomed.kill()
    #expect(throws: SimulatedError.crashed(SimulatedCrash(step: doomed.steps))) {
      try first.poll()
    }
    try run([second], seconds: 40)
    #expect(second.history == ["+1"])
    try run([second], seconds: 10)
    #expect(second.history == ["+1", "-1", "+0,1"])
  }

  /// Fault 7: who sleeps past its session is shut out: its commit fails, the offsets of its
  /// transaction are refused (KIP-447), and its next poll says that all is lost.
  @Test func aZombieIsShutOut() throws {
    let world = World(partitions: 1)
    let place = world.place(of: "in")
    world.cluster.write(place, value: bytes("x"))
    let sleeper = world.cluster.makeProcess("sleeper")
    let zombie = try Member(world.consumer(["in"], group: "g", in: sleeper))
    var options = SimulatedProducerOptions()
    options.transactionalID = "zombie"
    options.transactionTimeoutMilliseconds = 600_000
    let producer = SimulatedProducer(sleeper, options)
    try producer.initTransactions()
    try run([zombie], seconds: 4)
    try producer.beginTransaction()
    producer.send("from the grave")
    #expect(try producer.flush(timeoutMilliseconds: 100) == 0)
    sleeper.freeze(milliseconds: 90_000)
    let heir = try Member(world.consumer(["in"], group: "g"))
    try run([heir], seconds: 90)
    #expect(heir.history == ["+0"])
    #expect(code { try zombie.consumer.commit([place: StoredOffset(1)]) } == .unknownMember)
    #expect(
      remedy { try producer.sendOffsets([place: StoredOffset(1)], of: zombie.consumer) } == .abort)
    #expect(remedy { try producer.commitTransaction() } == .abort)
    try producer.abortTransaction()
    try run([zombie, heir], seconds: 10)
    #expect(zombie.history.prefix(2) == ["+0", "!0"])
    #expect(world.cluster.committed("g", place) == nil)
    #expect(try world.reader().readAll() == [])
  }

  /// A commit that arrives late is refused where a rebalance lies between, and else takes the group
  /// back.
  @Test(arguments: [true, false])
  func aLateCommit(_ isRebalanced: Bool) throws {
    let world = World()
    let place = world.place(of: "in")
    let member = try Member(world.consumer(["in"], group: "g"))
    try run([member], seconds: 4)
    world.cluster.faults.order(.delayed(milliseconds: 20_000), on: .offsetCommit)
    try member.consumer.commit([place: StoredOffset(1)])
    if isRebalanced { world.cluster.rebalance("g") }
    try run([member], seconds: 10)
    #expect(member.consumer.generation == (isRebalanced ? 2 : 1))
    try member.consumer.commit([place: StoredOffset(5)])
    #expect(world.cluster.committed("g", place) == StoredOffset(5))
    try run([member], seconds: 15)
    #expect(world.cluster.committed("g", place) == StoredOffset(isRebalanced ? 5 : 1))
  }

  /// KIP-447: the same for offsets in a transaction. The one in the middle of a rebalance still
  /// counts; one of the generation before spoils its transaction.
  @Test func offsetsOfAnOldGenerationSpoilTheirTransaction() throws {
    let world = World()
    let place = world.place(of: "in")
    let member = try Member(world.consumer(["in"], group: "g"))
    try run([member], seconds: 4)
    let producer = try world.transactional()
    try producer.beginTransaction()
    var isNested = false
    world.process.onStep = { _, what, moment in
      // The member joins a new generation while its offsets are on their way.
      guard what == "transactionOffsets", moment == .before, !isNested else { return }
      isNested = true
      world.cluster.rebalance("g")
      try? self.run([member], seconds: 5)
    }
    #expect(
      code { try producer.sendOffsets([place: StoredOffset(1)], of: member.consumer) }
        == .illegalGeneration)
    #expect(member.consumer.generation == 2)
    #expect(remedy { try producer.commitTransaction() } == .abort)
    try producer.abortTransaction()
    try producer.beginTransaction()
    world.cluster.rebalance("g")
    try producer.sendOffsets([place: StoredOffset(2)], of: member.consumer)
    try producer.commitTransaction()
    world.wait(milliseconds: 50)
    #expect(world.cluster.committed("g", place) == StoredOffset(2))
  }

  @Test func whoIsNoMemberCommitsOnlyForAnEmptyGroup() throws {
    let world = World()
    let place = world.place(of: "in")
    let outsider = world.consumer(["in"], group: "g")
    try outsider.commit([place: StoredOffset(1)])
    let member = try Member(world.consumer(["in"], group: "g"))
    try run([member], seconds: 4)
    #expect(code { try outsider.commit([place: StoredOffset(9)]) } == .unknownMember)
    #expect(world.cluster.committed("g", place) == StoredOffset(1))
  }

  /// KIP-345: a static member that comes back within its session takes its place, and nobody else
  /// is disturbed; the one it replaces is fenced.
  @Test func staticMembers() throws {
    let world = World(partitions: 2)
    func member(_ instance: String, in process: SimulatedProcess? = nil) throws -> Member {
      try Member(world.consumer(["in"], group: "g", in: process) { $0.instance = instance })
    }
    let one = try member("one")
    let two = try member("two")
    try run([one, two], seconds: 6)
    #expect(one.history == ["+0"] && two.history == ["+1"])
    try two.consumer.close()
    let back = try member("two")
    try run([one, back], seconds: 6)
    #expect(one.history == ["+0"] && back.history == ["+1"])
    let usurper = try member("two")
    try run([one, usurper], seconds: 6)
    #expect(usurper.history == ["+1"])
    #expect(back.consumer.fatal == KafkaFailure(.fencedInstance, .fatal))
    #expect(
      code { try back.consumer.commit([world.place(1, of: "in"): StoredOffset(1)]) }
        == .fencedInstance)
  }

  @Test func whoDoesNotPollLosesItsPartitions() throws {
    let world = World()
    let lazy = try Member(world.consumer(["in"], group: "g") { $0.maxPollMilliseconds = 60_000 })
    try run([lazy], seconds: 4)
    world.wait(milliseconds: 70_000)
    let events = try lazy.consumer.poll(maxMessages: 1, timeoutMilliseconds: 0).events
    #expect(events == [.maxPollExceeded])
    try run([lazy], seconds: 5)
    #expect(lazy.history == ["+0", "!0", "+0"])
  }

  /// Fault 19: a topic that has grown is noticed when metadata are refreshed.
  @Test func aTopicGrows() throws {
    let world = World()
    let member = try Member(world.consumer(["in"], group: "g"))
    try run([member], seconds: 4)
    world.cluster.growTopic("in", to: 3)
    try run([member], seconds: 70)
    #expect(member.history == ["+0", "-0", "+0,1,2"])
  }

  @Test func offsetsGoWithTheirTopic() throws {
    let world = World()
    let consumer = world.consumer(["in"], group: "g")
    let place = world.place(of: "in")
    try consumer.commit([place: StoredOffset(3, metadata: "m")])
    #expect(try consumer.committed([place]) == [StoredOffset(3, metadata: "m")])
    world.cluster.createTopic("in", partitions: 1)
    #expect(try consumer.committed([place]) == [nil])
  }

  @Test func commitsWithoutWaiting() throws {
    let world = World()
    let consumer = try world.reader("in") { $0.group = "g" }
    var answers: [KafkaFailure?] = []
    try consumer.commit([world.place(of: "in"): StoredOffset(1)]) { answers.append($0) }
    world.cluster.faults.order(.lostReply, on: .offsetCommit)
    try consumer.commit([world.place(of: "in"): StoredOffset(2)]) { answers.append($0) }
    #expect(answers.isEmpty)
    _ = try consumer.poll(maxMessages: 1, timeoutMilliseconds: 0)
    #expect(answers == [nil, KafkaFailure(.transport)])
    #expect(world.cluster.committed("g", world.place(of: "in")) == StoredOffset(2))
  }

  @Test func missingTopicsAreTold() throws {
    let world = World()
    let consumer = world.consumer(["nowhere"])
    #expect(throws: SimulatedError.unknownTopics(["nowhere"])) {
      try consumer.requireTopics(timeoutMilliseconds: 500)
    }
  }
}
