// The folder that holds a daemon's snapshots: one daemon at a time, the newest good file wins, the
// newest three are kept.
//
//   lock                      flock: whoever holds it may write here
//   snapshot-000000000042     a snapshot; the number rises
//   partial-000000000043      one being written; what a start finds of these is removed
//
// Order of effects of a write: content durable (fsync), then the name (rename, fsync of the folder),
// only then older ones go. So at any instant the newest snapshot whose write returned is there.

public struct SnapshotSettings: Sendable {
  /// Snapshots kept.
  public var keep = 3
  /// Encrypts what is written.
  public var key: SnapshotKey?
  /// Keys besides `key` that older files may be encrypted with.
  public var oldKeys: [SnapshotKey] = []
  /// As in `SnapshotWriter`.
  public var bytesPerWrite = 8 << 20
  public init() {}
}

/// What a start found.
public struct SnapshotRestore: Sendable {
  /// nil: there is none that is good, the log has to be read from its start.
  public var snapshot: Snapshot?
  /// Newer ones that were passed over.
  public var damaged: [(path: String, fault: SnapshotFault)] = []
}

/// Calls are made one at a time, from any thread.
public final class SnapshotFolder: @unchecked Sendable {
  public let path: String
  private let disk: any Disk
  private let settings: SnapshotSettings
  /// Held while this object lives.
  private let lock: AnyObject
  /// The same, cast beforehand: a copy of the process should not ask the runtime.
  private let forkableLock: (any ForkableLock)?
  /// No number is used twice, also after a failure.
  private var lastSequence: UInt64
  private var knownDamaged = Set<UInt64>()
  /// Half-written files that could not be removed; the next start tries again.
  public private(set) var notRemoved: [DiskError] = []

  static let prefix = "snapshot-"
  static let partialPrefix = "partial-"

  /// Makes the folder where missing, takes its lock and removes what a killed process left half
  /// written.
  public init(
    _ path: String, settings: SnapshotSettings = SnapshotSettings(), disk: any Disk = PosixDisk()
  ) throws(SnapshotError) {
    precondition(settings.keep >= 1)
    self.path = path
    self.disk = disk
    self.settings = settings
    let outcome: DiskLock
    do throws(DiskError) {
      try disk.makeFolder(path)
      outcome = try disk.lock(path + "/lock")
    } catch { throw .disk(error) }
    switch outcome {
    case .taken(let lock):
      self.lock = lock
      forkableLock = lock as? any ForkableLock
    case .held(let process): throw .locked(folder: path, process: process)
    }
    lastSequence = 0
    do throws(DiskError) {
      for name in try disk.list(path) {
        if let number = SnapshotFolder.number(name, SnapshotFolder.prefix) {
          lastSequence = max(lastSequence, number)
        } else if name.hasPrefix(SnapshotFolder.partialPrefix) {
          lastSequence = max(
            lastSequence, SnapshotFolder.number(name, SnapshotFolder.partialPrefix) ?? 0)
          do { try disk.remove(path + "/" + name) } catch { notRemoved.append(error) }
        }
      }
    } catch { throw .disk(error) }
  }

  /// The newest good snapshot, checked. Damaged ones on the way are passed over and told; one of a
  /// later format or with a key that is missing ends the search with an error.
  public func restore(
    parallel: SnapshotWriter.Parallel = SnapshotWriter.oneByOne
  ) throws(SnapshotError) -> SnapshotRestore {
    var found = SnapshotRestore()
    let keys = (settings.key.map { [$0] } ?? []) + settings.oldKeys
    // The closure does not outlive this call.
    return try withoutActuallyEscaping(parallel) { (parallel) throws(SnapshotError) in
      var reader = SnapshotReader(disk: disk, keys: keys)
      reader.parallel = parallel
      for sequence in try sequences() {
        let file = SnapshotFolder.file(path, sequence)
        do throws(SnapshotFault) {
          let snapshot = try reader.open(file)
          if snapshot.sequence != sequence {
            throw .damaged(place: "header", reason: "its number is \(snapshot.sequence)")
          }
          found.snapshot = snapshot
          return found
        } catch {
          switch error {
          case .newerFormat, .keyMissing: throw .refused(path: file, error)
          case .damaged, .unreadable:
            found.damaged.append((file, error))
            knownDamaged.insert(sequence)
          }
        }
      }
      return found
    }
  }

  /// Writes the next snapshot, then removes those that are no longer kept. When it returns, the
  /// snapshot survives a power cut; when it throws, the ones before are as they were.
  /// - Returns: its path and length in bytes, and what could not be removed (the next write tries again).
  public func write(
    _ inputs: [SnapshotInput], metadata: SnapshotMetadata,
    parallel: SnapshotWriter.Parallel = SnapshotWriter.oneByOne,
    progress: ((_ written: Int, _ total: Int) -> Void)? = nil
  ) throws(SnapshotError) -> (path: String, length: Int, notRemoved: [DiskError]) {
    let sequence = nextSequence()
    let length = try prepare(
      inputs, metadata: metadata, sequence: sequence, parallel: parallel, progress: progress)
    let put = try publish(sequence)
    return (put.path, length, put.notRemoved)
  }

  /// The number of the next snapshot; none is given out twice.
  public func nextSequence() -> UInt64 {
    lastSequence += 1
    return lastSequence
  }

  /// The first half of `write`: the content is durable, but nobody takes it for a snapshot yet. May be
  /// called in a forked process.
  /// - Returns: its length.
  public func prepare(
    _ inputs: [SnapshotInput], metadata: SnapshotMetadata, sequence: UInt64,
    parallel: SnapshotWriter.Parallel = SnapshotWriter.oneByOne,
    progress: ((_ written: Int, _ total: Int) -> Void)? = nil
  ) throws(SnapshotError) -> Int {
    let partial = SnapshotFolder.file(path, sequence, SnapshotFolder.partialPrefix)
    return try withoutActuallyEscaping(parallel) { (parallel) throws(SnapshotError) in
      var writer = SnapshotWriter(disk: disk, key: settings.key)
      writer.parallel = parallel
      writer.bytesPerWrite = settings.bytesPerWrite
      writer.progress = progress
      return try writer.write(inputs, metadata: metadata, sequence: sequence, to: partial)
    }
  }

  /// The second half: the newest snapshot from now on; older ones go.
  public func publish(
    _ sequence: UInt64
  ) throws(SnapshotError) -> (path: String, notRemoved: [DiskError]) {
    let partial = SnapshotFolder.file(path, sequence, SnapshotFolder.partialPrefix)
    let final = SnapshotFolder.file(path, sequence)
    do { try disk.rename(partial, to: final) } catch {
      try? disk.remove(partial)
      throw .disk(error)
    }
    do { try disk.syncFolder(path) } catch { throw .disk(error) }
    return (final, try removeOld())
  }

  /// In a forked process: the lock stays the parent's alone and goes when the parent goes, though the copy may
  /// need a moment longer to die.
  public func leaveLock() { forkableLock?.leave() }

  /// Instead of the second half.
  public func discard(_ sequence: UInt64) {
    try? disk.remove(SnapshotFolder.file(path, sequence, SnapshotFolder.partialPrefix))
  }

  /// Removes all snapshots, the newest last: whatever ends this half way, the newest or none is found.
  public func removeAll() throws(SnapshotError) {
    for sequence in try sequences().reversed() {
      do { try disk.remove(SnapshotFolder.file(path, sequence)) } catch { throw .disk(error) }
    }
    do { try disk.syncFolder(path) } catch { throw .disk(error) }
  }

  /// Removes those older than the newest `keep` that are not known to be damaged.
  private func removeOld() throws(SnapshotError) -> [DiskError] {
    let all = try sequences()
    let kept = all.filter { !knownDamaged.contains($0) }.prefix(settings.keep)
    guard let oldest = kept.last else { return [] }
    var failures: [DiskError] = []
    for sequence in all where sequence < oldest {
      do { try disk.remove(SnapshotFolder.file(path, sequence)) } catch { failures.append(error) }
    }
    return failures
  }

  private func sequences() throws(SnapshotError) -> [UInt64] {
    do { return try SnapshotFolder.sequences(path, disk) } catch { throw .disk(error) }
  }

  /// Paths of the snapshots in a folder, newest first. Needs no lock.
  public static func snapshots(
    in folder: String, disk: any Disk = PosixDisk()
  ) throws(DiskError) -> [String] {
    try sequences(folder, disk).map { file(folder, $0) }
  }

  private static func sequences(
    _ folder: String, _ disk: any Disk
  ) throws(DiskError) -> [UInt64] {
    try disk.list(folder).compactMap { number($0, prefix) }.sorted(by: >)
  }

  private static func file(
    _ folder: String, _ sequence: UInt64, _ prefix: String = prefix
  ) -> String {
    let digits = String(sequence)
    return folder + "/" + prefix + String(repeating: "0", count: max(0, 12 - digits.utf8.count))
      + digits
  }

  /// The number in a name that `file` makes.
  private static func number(_ name: String, _ prefix: String) -> UInt64? {
    guard name.hasPrefix(prefix), let number = UInt64(name.dropFirst(prefix.count)),
      number < UInt64(Int64.max), file("", number, prefix) == "/" + name
    else { return nil }
    return number
  }
}
