// What a start makes of the log as it is now: before the group is joined, partitions, their bounds and the records read
// last are held against the snapshot and the group's offsets. Accidents are decided here, and a rebuilding begins here:
// first the group's offsets are set, then the snapshots go, so that a start that ends half way is simply made again.
import Kafka
import Logging
import Snapshots

/// One partition as it is now.
package struct PartitionLook {
  package var low: Int64
  package var high: Int64
  /// What the group has committed.
  package var committed: Int64?
  /// The record before the offset asked for; nil where it is not there (any more).
  package var last: SnapshotMetadata.LastRecord?

  package init(
    low: Int64, high: Int64, committed: Int64? = nil, last: SnapshotMetadata.LastRecord? = nil
  ) {
    self.low = low
    self.high = high
    self.committed = committed
    self.last = last
  }
}

/// Looks at the log without being a member of the group.
package protocol LogLooker {
  /// - Parameter next: per topic (events, catalogue) and partition, the offset whose predecessor is wanted; -1: none.
  /// - Returns: per topic and partition.
  func look(_ next: [[Int64]]) throws(KafkaError) -> [[PartitionLook]]
  /// Sets offsets of the group, which must have no members.
  func reset(_ offsets: [PartitionOffset]) throws(KafkaError)
}

/// How a run begins.
package struct StartPlan {
  /// The snapshot is left aside.
  package var rebuild = Rebuild.none
  /// Per partition of the events topic, where a rebuilding of everything begins.
  var beginnings: [Int64] = []
  var gaps: [LogGap] = []
  /// Of the catalogue: read again from their beginning.
  var catalogueAnew: [Int32] = []
  /// Partitions of the events topic that are known of; nil before the first assignment.
  var partitions: Int?
  /// The last record read, where the snapshot says it.
  var marks: [TopicPartition: SnapshotMetadata.LastRecord] = [:]
  var notes: [String] = []

  package init() {}

  /// - Parameter known: the snapshot's topics; empty where there is none.
  init(
    _ options: DaemonOptions, known: [SnapshotMetadata.Topic], looks: [[PartitionLook]]
  ) throws(DaemonFailure) {
    let topic = options.topics.events
    let before = known.first { $0.name == topic }?.partitions ?? []
    let now = looks[0]
    partitions = now.count
    let signs = StartPlan.signsOfAnotherLog(before, now)
    if !signs.isEmpty || options.rebuild == .everything {
      let accident = LogAccident.recreated(topic: topic, signs: signs)
      if options.onRecreated == .stop && options.rebuild != .everything { throw accident.stop }
      if !signs.isEmpty { notes.append(accident.description) }
      rebuild = .everything
      beginnings = now.map(\.low)
      return
    }
    let lost = now.indices.compactMap { p -> LogGap? in
      let read = p < before.count && before[p].next >= 0 ? before[p].next : nil
      guard let from = read ?? now[p].committed, from < now[p].low else { return nil }
      return LogGap(partition: Int32(p), offsets: from..<now[p].low)
    }
    if !lost.isEmpty || options.rebuild == .state {
      let accident = LogAccident.gap(topic: topic, lost)
      if options.rebuild == .none && options.onGap == .stop { throw accident.stop }
      if !lost.isEmpty { notes.append(accident.description) }
      if options.onGap == .continue && options.rebuild == .none {
        gaps = lost
      } else {
        rebuild = .state
      }
    }
    if !before.isEmpty && now.count > before.count {
      let accident = LogAccident.grown(topic: topic, from: before.count, to: now.count)
      if options.onGrown == .stop { throw accident.stop }
      notes.append(accident.description)
    }
    if rebuild == .none { take(known, options.topics.catalogue, looks) }
  }

  /// What of the snapshot goes on being true.
  private mutating func take(
    _ known: [SnapshotMetadata.Topic], _ catalogue: String, _ looks: [[PartitionLook]]
  ) {
    for (t, topic) in known.prefix(2).enumerated() {
      for (p, partition) in topic.partitions.enumerated() {
        marks[TopicPartition(topic: t, partition: p)] = partition.last
      }
    }
    // A table: read again it says the same, so there is nothing to decide.
    let before = known.first { $0.name == catalogue }?.partitions ?? []
    for (p, partition) in before.enumerated()
    where !StartPlan.signsOfAnotherLog([partition], p < looks[1].count ? [looks[1][p]] : []).isEmpty {
      catalogueAnew.append(Int32(p))
      notes.append("\(catalogue) partition \(p) is not the log it was: read again from its beginning")
    }
  }

  /// - Returns: one for each partition that cannot be the one known before.
  private static func signsOfAnotherLog(
    _ before: [SnapshotMetadata.Partition], _ now: [PartitionLook]
  ) -> [String] {
    var signs: [String] = []
    if now.count < before.count {
      signs.append("it has \(now.count) partitions and had \(before.count)")
    }
    for (p, look) in now.enumerated() {
      let known = p < before.count ? before[p] : .init(next: -1)
      let reached = max(known.next, look.committed ?? -1)
      if reached > look.high {
        signs.append("partition \(p) ends at offset \(look.high) and was read up to \(reached)")
      } else if let expected = known.last, let found = look.last, expected != found {
        signs.append("the record at offset \(known.next - 1) of partition \(p) is another one")
      }
    }
    return signs
  }
}

package enum StartCheck {
  /// Looks, decides, and begins a rebuilding.
  /// - Parameters:
  ///   - known: the snapshot's topics; empty where there is none.
  ///   - lastModel: number of the last model on record.
  ///   - removeSnapshots: where the state is thrown away.
  package static func run(
    _ options: DaemonOptions, known: [SnapshotMetadata.Topic], lastModel: Int,
    looker: some LogLooker, log: Logger, removeSnapshots: () throws(SnapshotError) -> Void
  ) throws -> StartPlan {
    let wanted = [options.topics.events, options.topics.catalogue].map { name in
      (known.first { $0.name == name }?.partitions ?? []).map { $0.last == nil ? -1 : $0.next }
    }
    let plan = try StartPlan(options, known: known, looks: looker.look(wanted))
    for note in plan.notes { log.warning("\(note)") }
    for gap in plan.gaps { log.error("going on behind a gap: \(gap)") }
    if plan.rebuild == .everything {
      // Models up to the last one on record belong to the other log, and so does what was committed.
      let note = SealNote.text(nil, era: lastModel, for: 0, open: nil)
      try looker.reset(
        plan.beginnings.enumerated().map { partition, offset in
          PartitionOffset(
            TopicPartition(topic: 0, partition: partition), offset: offset, note: note)
        })
    }
    if plan.rebuild != .none {
      try removeSnapshots()
      log.warning(
        plan.rebuild == .everything
          ? "the state is made anew, and everything in the log is said"
          : "the state is made anew from what the log has; what was said is not said again")
    }
    return plan
  }
}
