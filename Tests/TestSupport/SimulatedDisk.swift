// A disk in memory that treats its users as badly as POSIX allows, by a seed: what was not synced may be
// lost, torn between sectors or reordered by a power cut; names are durable only once their folder was
// synced; a failed fsync drops what it was to write; and the K-th call can fail or be the last one of its
// process.
//
// Two views of each file: what the running system sees, and what is on the platter. A power cut makes
// the first equal to some possible state of the second; a killed process leaves the first as it is.
//
// After Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014) and Rebello et al., "Can
// Applications Recover from fsync Failures?" (ATC 2020).
import Foundation
import Snapshots
import Sparse

public final class SimulatedDisk: Disk, @unchecked Sendable {
  public enum Fault: Sendable {
    /// The call fails with this errno. A write may have taken a part before.
    case error(Int32)
    /// The process dies in the call, which may have happened, wholly or in part. Every later call fails
    /// until `crash`.
    case kill
  }

  public enum Crash: Sendable {
    /// The process is gone: locks and open files with it, everything else is there.
    case process
    /// What is not durable is there or not, by the seed.
    case powerCut
  }

  /// errno of the calls of a dead process.
  public static let dead: Int32 = ECANCELED
  static let sector = 512

  private final class Inode {
    /// What the system sees.
    var content: [UInt8] = []
    /// On the platter.
    var durable: [UInt8] = []
    /// Written since the last sync.
    var pending: [Range<Int>] = []
    var reserved = 0
  }

  private enum Change {
    case create(String, Inode)
    case rename(String, String, Inode)
    case remove(String, Inode)

    var paths: [String] {
      switch self {
      case .create(let path, _), .remove(let path, _): [path]
      case .rename(let from, let to, _): [from, to]
      }
    }

    func apply(_ files: inout [String: Inode]) {
      switch self {
      case .create(let path, let inode): files[path] = inode
      case .rename(let from, let to, let inode):
        if files[from] === inode { files[from] = nil }
        files[to] = inode
      case .remove(let path, let inode): if files[path] === inode { files[path] = nil }
      }
    }
  }

  private struct State {
    var random: SplitMix
    var folders: Set<String> = []
    var files: [String: Inode] = [:]
    var durableFiles: [String: Inode] = [:]
    /// Changes of names that no sync of their folder has made durable.
    var changes: [Change] = []
    var locks: Set<String> = []
    /// Counts crashes: what was opened in an earlier life is gone.
    var life = 0
    var isDead = false
    var calls = 0
    var fault: (call: Int, fault: Fault)?
    var log: [String] = []
    var capacity = Int.max
    var shortWrites = false
  }
  private var guarded: State
  private let mutex = NSLock()

  public init(seed: UInt64) { guarded = State(random: SplitMix(seed: seed)) }

  private func with<Result>(_ body: (inout State) -> Result) -> Result {
    mutex.withLock { body(&guarded) }
  }

  // MARK: What a test turns

  /// Calls since the start, or since `fail` set a fault.
  public var calls: Int { with { $0.calls } }
  /// The calls, for reading.
  public var log: [String] { with { $0.log } }

  /// The call number `call` from now on (1: the next) meets the fault; nil takes it back.
  public func fail(call: Int, _ fault: Fault?) {
    with {
      $0.calls = 0
      $0.log = []
      $0.fault = fault.map { (call, $0) }
    }
  }

  /// Bytes that files may hold together.
  public var capacity: Int {
    get { with { $0.capacity } }
    set { with { $0.capacity = newValue } }
  }

  /// Whether writes take fewer bytes than offered, at random.
  public var shortWrites: Bool {
    get { with { $0.shortWrites } }
    set { with { $0.shortWrites = newValue } }
  }

  /// The end of this process or machine, and the start of the next. Faults are taken back.
  public func crash(_ crash: Crash) {
    with { state in
      state.life += 1
      state.isDead = false
      state.fault = nil
      state.locks = []
      if case .powerCut = crash { SimulatedDisk.cutPower(&state) }
    }
  }

  public func content(_ path: String) -> [UInt8]? { with { $0.files[path]?.content } }

  /// Puts a file there, durably.
  public func put(_ path: String, _ content: [UInt8]) {
    with {
      let inode = Inode()
      inode.content = content
      inode.durable = content
      $0.files[path] = inode
      $0.durableFiles[path] = inode
      $0.changes.removeAll { $0.paths.contains(path) }
    }
  }

  /// Paths of all files, sorted.
  public var paths: [String] { with { $0.files.keys.sorted() } }

  private static func cutPower(_ state: inout State) {
    // Names: each change since the last sync of its folder got there or not, each by itself.
    let share = [0, 0.5, 1][state.random.below(3)]
    for change in state.changes where state.random.unit() < share { change.apply(&state.durableFiles) }
    state.changes = []
    // Contents: of each write since the last sync, each sector got there or not. The length is that
    // of the last byte that did, or a later one, the space between being zeros or what lay there before.
    var seen = Set<ObjectIdentifier>()
    for path in state.durableFiles.keys.sorted() {
      guard let inode = state.durableFiles[path], seen.insert(ObjectIdentifier(inode)).inserted
      else { continue }
      let share = [0, 0.5, 0.95, 1][state.random.below(4)]
      var after = inode.durable
      let isGarbage = state.random.below(2) == 0
      for written in inode.pending {
        var from = written.lowerBound
        while from < written.upperBound {
          let to = min(written.upperBound, (from / sector + 1) * sector)
          if state.random.unit() < share {
            while after.count < to {
              after.append(isGarbage ? UInt8(truncatingIfNeeded: state.random.next()) : 0)
            }
            after.replaceSubrange(from..<to, with: inode.content[from..<to])
          }
          from = to
        }
      }
      if after.count < inode.content.count && state.random.below(2) == 0 {
        after += [UInt8](repeating: 0, count: inode.content.count - after.count)
      }
      inode.content = after
      inode.durable = after
      inode.pending = []
      inode.reserved = 0
    }
    state.files = state.durableFiles
  }

  // MARK: Calls

  /// One call: counts it, meets its fault, and does `body`.
  /// - Parameter torn: the part of it that a fault may leave done.
  private func call<Result>(
    _ operation: DiskError.Operation, _ path: String, life: Int? = nil,
    torn: ((inout State) -> Void)? = nil,
    _ body: (inout State) -> Swift.Result<Result, DiskError>
  ) throws(DiskError) -> Result {
    let result: Swift.Result<Result, DiskError> = with { state in
      if state.isDead || (life != nil && life != state.life) {
        return .failure(DiskError(operation, path, code: SimulatedDisk.dead))
      }
      state.calls += 1
      state.log.append("\(operation.rawValue) \(path)")
      guard let fault = state.fault, fault.call == state.calls else { return body(&state) }
      let isDone = state.random.below(3)
      switch fault.fault {
      case .error(let code):
        if isDone > 0 || operation == .sync { torn?(&state) }
        return .failure(DiskError(operation, path, code: code))
      case .kill:
        // Before, in the middle of, or after it.
        if isDone == 1 { torn?(&state) }
        if isDone == 2 { _ = body(&state) }
        state.isDead = true
        return .failure(DiskError(operation, path, code: SimulatedDisk.dead))
      }
    }
    return try result.get()
  }

  private static func folder(of path: String) -> String {
    String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
  }

  public func makeFolder(_ path: String) throws(DiskError) {
    try call(.makeFolder, path) {
      $0.folders.insert(path)
      return .success(())
    }
  }

  public func create(_ path: String) throws(DiskError) -> any DiskFile {
    try call(.create, path) { state -> Swift.Result<any DiskFile, DiskError> in
      if !state.folders.contains(SimulatedDisk.folder(of: path)) {
        return .failure(DiskError(.create, path, code: ENOENT))
      }
      if state.files[path] != nil { return .failure(DiskError(.create, path, code: EEXIST)) }
      let inode = Inode()
      state.files[path] = inode
      state.changes.append(.create(path, inode))
      return .success(File(self, path, inode, life: state.life))
    }
  }

  public func rename(_ from: String, to: String) throws(DiskError) {
    try call(.rename, to) { state -> Swift.Result<Void, DiskError> in
      guard let inode = state.files[from] else {
        return .failure(DiskError(.rename, to, code: ENOENT))
      }
      let change = Change.rename(from, to, inode)
      change.apply(&state.files)
      state.changes.append(change)
      return .success(())
    }
  }

  public func syncFolder(_ path: String) throws(DiskError) {
    func settle(_ state: inout State, _ keep: (inout State) -> Bool) {
      let (here, elsewhere) = (
        state.changes.filter { $0.paths.contains { SimulatedDisk.folder(of: $0) == path } },
        state.changes.filter { !$0.paths.contains { SimulatedDisk.folder(of: $0) == path } }
      )
      for change in here where keep(&state) { change.apply(&state.durableFiles) }
      state.changes = elsewhere
    }
    try call(
      .syncFolder, path,
      // Where it fails some changes are durable and the others never will be.
      torn: { settle(&$0) { $0.random.below(2) == 0 } }
    ) {
      settle(&$0) { _ in true }
      return .success(())
    }
  }

  public func list(_ folder: String) throws(DiskError) -> [String] {
    try call(.list, folder) { state -> Swift.Result<[String], DiskError> in
      if !state.folders.contains(folder) {
        return .failure(DiskError(.list, folder, code: ENOENT))
      }
      var names = state.files.keys.filter { SimulatedDisk.folder(of: $0) == folder }.sorted()
        .map { String($0.dropFirst(folder.count + 1)) }
      // A folder has no order.
      names.shuffle(using: &state.random)
      return .success(names)
    }
  }

  public func remove(_ path: String) throws(DiskError) {
    try call(.remove, path) { state -> Swift.Result<Void, DiskError> in
      guard let inode = state.files.removeValue(forKey: path) else {
        return .failure(DiskError(.remove, path, code: ENOENT))
      }
      state.changes.append(.remove(path, inode))
      return .success(())
    }
  }

  public func map(_ path: String) throws(DiskError) -> DiskMemory {
    try call(.map, path) { state -> Swift.Result<DiskMemory, DiskError> in
      guard let inode = state.files[path] else {
        return .failure(DiskError(.map, path, code: ENOENT))
      }
      return Swift.Result { () throws(DiskError) in
        let memory = try DiskMemory(zeros: inode.content.count)
        inode.content.withUnsafeBytes {
          if let base = $0.baseAddress { memory.base.copyMemory(from: base, byteCount: $0.count) }
        }
        return memory
      }
    }
  }

  public func lock(_ path: String) throws(DiskError) -> DiskLock {
    // The object is made outside of the call: where the process is killed behind it, nobody takes it.
    let life = try call(.lock, path) { state -> Swift.Result<Int?, DiskError> in
      .success(state.locks.insert(path).inserted ? state.life : nil)
    }
    guard let life else { return .held(by: nil) }
    return .taken(Lock(self, path, life: life))
  }

  private final class Lock {
    let disk: SimulatedDisk
    let path: String
    let life: Int
    init(_ disk: SimulatedDisk, _ path: String, life: Int) {
      self.disk = disk
      self.path = path
      self.life = life
    }
    deinit { disk.with { if $0.life == life { $0.locks.remove(path) } } }
  }

  private final class File: DiskFile {
    let disk: SimulatedDisk
    let path: String
    let inode: Inode
    let life: Int
    init(_ disk: SimulatedDisk, _ path: String, _ inode: Inode, life: Int) {
      self.disk = disk
      self.path = path
      self.inode = inode
      self.life = life
    }

    private static func used(_ state: State) -> Int {
      var seen = Set<ObjectIdentifier>()
      return state.files.values.reduce(0) {
        seen.insert(ObjectIdentifier($1)).inserted ? $0 + max($1.content.count, $1.reserved) : $0
      }
    }

    func reserve(_ bytes: Int) throws(DiskError) {
      try disk.call(.reserve, path, life: life) { [inode, path] state -> Swift.Result<Void, DiskError> in
        let grown = max(0, bytes - max(inode.content.count, inode.reserved))
        if grown > state.capacity - File.used(state) {
          return .failure(DiskError(.reserve, path, code: ENOSPC))
        }
        inode.reserved = max(inode.reserved, bytes)
        return .success(())
      }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(DiskError) -> Int {
      func take(_ state: inout State, _ count: Int) {
        let from = inode.content.count
        inode.content += bytes.prefix(count)
        inode.pending.append(from..<from + count)
      }
      return try disk.call(
        .write, path, life: life, torn: { take(&$0, $0.random.below(bytes.count + 1)) }
      ) { [inode, path] state -> Swift.Result<Int, DiskError> in
        var count = bytes.count
        if state.shortWrites { count = 1 + state.random.below(count) }
        let free = max(0, inode.reserved - inode.content.count)
        if count > free {
          count = min(count, free + max(0, state.capacity - File.used(state)))
        }
        if count == 0 { return .failure(DiskError(.write, path, code: ENOSPC)) }
        take(&state, count)
        return .success(count)
      }
    }

    func sync() throws(DiskError) {
      func persist(_ state: inout State, _ keep: (inout State) -> Bool) {
        var durable = inode.durable
        durable += [UInt8](repeating: 0, count: max(0, inode.content.count - durable.count))
        for range in inode.pending where keep(&state) {
          durable.replaceSubrange(range, with: inode.content[range])
        }
        inode.durable = durable
        inode.pending = []
      }
      try disk.call(
        .sync, path, life: life,
        // Where it fails, what did not get there is taken for clean and never written again.
        torn: { persist(&$0) { $0.random.below(2) == 0 } }
      ) {
        persist(&$0) { _ in true }
        return .success(())
      }
    }

    func close() throws(DiskError) {
      try disk.call(.close, path, life: life) { _ in .success(()) }
    }
  }
}
