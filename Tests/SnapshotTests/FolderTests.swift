// The folder: what is kept, what wins, and that there is always a good snapshot, whatever call fails.
import Glibc
import Snapshots
import Sparse
import TestSupport
import Testing

@Suite struct FolderTests {
  static func open(
    _ disk: any Disk, _ key: SnapshotKey? = nil, keep: Int = 3
  ) throws -> SnapshotFolder {
    var settings = SnapshotSettings()
    settings.keep = keep
    settings.key = key
    settings.bytesPerWrite = 4096
    return try SnapshotFolder("state", settings: settings, disk: disk)
  }

  @discardableResult
  static func write(_ folder: SnapshotFolder, _ number: Int) throws -> (
    path: String, length: Int, notRemoved: [DiskError]
  ) {
    let sample = Sample(number, scale: 3000)
    return try folder.write(sample.inputs, metadata: sample.metadata)
  }

  /// The number of what is restored, which is as it was written; 0: nothing.
  static func restored(_ folder: SnapshotFolder) throws -> Int {
    guard let snapshot = try folder.restore().snapshot else { return 0 }
    let number = Int(snapshot.metadata.created)
    #expect(Sample(number, scale: 3000).isEqual(snapshot))
    return number
  }

  @Test func newestThreeAreKeptAndTheNewestWins() throws {
    let disk = SimulatedDisk(seed: 1)
    let folder = try Self.open(disk)
    #expect(try folder.restore().snapshot == nil)
    for number in 1...5 {
      let written = try Self.write(folder, number)
      #expect(written.notRemoved.isEmpty)
      #expect(disk.content(written.path)?.count == written.length)
      #expect(try Self.restored(folder) == number)
    }
    #expect(disk.paths == (3...5).map { "state/snapshot-00000000000\($0)" })
    #expect(
      try SnapshotFolder.snapshots(in: "state", disk: disk) == Array(disk.paths.reversed()))
  }

  @Test("fault 16: a damaged snapshot is named and the one before is used")
  func aDamagedOneIsNamedAndTheOneBeforeIsUsed() throws {
    let disk = SimulatedDisk(seed: 1)
    let folder = try Self.open(disk)
    for number in 1...3 { try Self.write(folder, number) }
    let newest = "state/snapshot-000000000003"
    var bytes = try #require(disk.content(newest))
    bytes[bytes.count - 4096] ^= 1
    disk.put(newest, bytes)
    disk.put("state/snapshot-000000000002", [])
    var found = try folder.restore()
    #expect(found.snapshot?.metadata.created == 1)
    #expect(found.damaged.map(\.path) == [newest, "state/snapshot-000000000002"])
    #expect(found.damaged.map { "\($0.fault)" } == ["one: checksum", "header: cut short: 0 bytes"])
    // The damaged ones do not count among the three, and go when they are older than these.
    for number in 4...5 { try Self.write(folder, number) }
    #expect(disk.paths.count == 5)
    try Self.write(folder, 6)
    #expect(disk.paths == (4...6).map { "state/snapshot-00000000000\($0)" })
    // Nothing good at all: the log's start.
    for path in disk.paths { disk.put(path, [1, 2, 3]) }
    found = try folder.restore()
    #expect(found.snapshot == nil)
    #expect(found.damaged.count == 3)
    // A good file under another name is not what was to be there.
    disk.put("state/snapshot-000000000009", try Sample(1).file(sequence: 5))
    #expect("\(try folder.restore().damaged[0].fault)" == "header: its number is 5")
  }

  @Test func whatThisProgramCannotReadIsNotPassedOver() throws {
    let disk = SimulatedDisk(seed: 1)
    let key = try testKey()
    do {
      let folder = try Self.open(disk, key)
      for number in 1...2 { try Self.write(folder, number) }
    }
    let path = "state/snapshot-000000000002"
    do {
      let folder = try Self.open(disk)
      #expect(throws: SnapshotError.refused(path: path, .keyMissing(id: key.identifier))) {
        try folder.restore()
      }
    }
    do {
      // A new key, the old one still at hand.
      var settings = SnapshotSettings()
      settings.key = try testKey("7")
      settings.oldKeys = [key]
      let folder = try SnapshotFolder("state", settings: settings, disk: disk)
      #expect(try Self.restored(folder) == 2)
      try Self.write(folder, 3)
      #expect(try Self.restored(folder) == 3)
    }
    var later = try Sample(1).file()
    later[8] = 9
    PlainSnapshot.signHeader(&later)
    disk.put("state/snapshot-000000000010", later)
    let folder = try Self.open(disk, key)
    #expect(
      throws: SnapshotError.refused(
        path: "state/snapshot-000000000010", .newerFormat(version: 9))
    ) { try folder.restore() }
  }

  /// KAFKA fault 28.
  @Test("fault 28: a second daemon is kept out")
  func aSecondDaemonIsKeptOut() throws {
    let disk = SimulatedDisk(seed: 1)
    var first: SnapshotFolder? = try Self.open(disk)
    #expect(first != nil)
    #expect(throws: SnapshotError.locked(folder: "state", process: nil)) { try Self.open(disk) }
    first = nil
    _ = try Self.open(disk)
    try withTemporaryFolder { path in
      let folder = try SnapshotFolder(path + "/inner")
      #expect(throws: SnapshotError.locked(folder: path + "/inner", process: Int(getpid()))) {
        try SnapshotFolder(path + "/inner")
      }
      unlink(folder.path + "/lock")
      rmdir(folder.path)
    }
  }

  /// KAFKA faults 14 and 15 and the writing part of fault 1: each call of a write fails, or is the last of
  /// its process or machine.
  @Test("faults 14, 15: every call fails once: the ones before stay", arguments: [false, true])
  func everyCallFailsOnce(encrypted: Bool) throws {
    let key = encrypted ? try testKey() : nil
    let faults: [SimulatedDisk.Fault] = [.error(ENOSPC), .error(EIO), .kill]
    var tried = 0
    for (kind, fault) in faults.enumerated() {
      var call = 1
      var isReached = true
      while isReached {
        for seed in UInt64(0)..<12 {
          let place = "fault \(fault), call \(call), seed \(seed)"
          let disk = SimulatedDisk(seed: seed)
          disk.shortWrites = seed % 2 == 1
          var last = 0
          do {
            let folder = try Self.open(disk, key)
            for number in 1...3 { try Self.write(folder, number) }
            disk.fail(call: call, fault)
            do {
              try Self.write(folder, 4)
              last = 4
            } catch {
              last = 3
              if kind == 0, case .disk(let error)? = error as? SnapshotError {
                #expect(error.isFull, "\(place): \(error)")
              }
            }
            isReached = disk.calls >= call
            if kind < 2 {
              // The daemon goes on: what is there is good, nothing is left over, the next one works.
              disk.fail(call: 0, nil)
              #expect(!disk.paths.contains { $0.contains("partial-") }, "\(place)")
              #expect(try Self.restored(folder) >= last, "\(place)")
              if seed % 3 == 0 {
                try Self.write(folder, 5)
                last = 5
                #expect(disk.paths.count == 3, "\(place)")
              }
            }
          }
          disk.crash(seed % 4 == 0 ? .process : .powerCut)
          let folder = try Self.open(disk, key)
          #expect(!disk.paths.contains { $0.contains("partial-") }, "\(place)")
          #expect(try Self.restored(folder) >= last, "\(place)")
          try Self.write(folder, 6)
          #expect(try Self.restored(folder) == 6, "\(place)")
          tried += 1
        }
        call += 1
      }
      #expect(call > 15)
    }
    print("\(tried) faults")
  }

  @Test("fault 14: a full disk leaves what is there")
  func aFullDiskLeavesWhatIsThere() throws {
    for reserved in [true, false] {
      let disk = SimulatedDisk(seed: 3)
      let folder = try Self.open(disk)
      try Self.write(folder, 1)
      let length = try #require(disk.content(disk.paths[0])?.count)
      if reserved {
        disk.capacity = length + length / 2
      } else {
        // The room goes to somebody else once the file has begun.
        disk.capacity = 2 * length
        disk.put("state/other", [UInt8](repeating: 0, count: length / 2))
        disk.capacity = 2 * length
      }
      #expect {
        try Self.write(folder, 2)
      } throws: {
        if case .disk(let error)? = $0 as? SnapshotError { error.isFull } else { false }
      }
      #expect(disk.paths.filter { $0.contains("-0") } == ["state/snapshot-000000000001"])
      #expect(try Self.restored(folder) == 1)
      disk.capacity = Int.max
      try Self.write(folder, 3)
      #expect(try Self.restored(folder) == 3)
    }
  }

  /// A long life with faults and crashes at random.
  @Test func randomLives() throws {
    var restarts = 0
    for seed in UInt64(0)..<150 {
      var random = SplitMix(seed: seed)
      let disk = SimulatedDisk(seed: seed)
      disk.shortWrites = random.below(2) == 0
      // With one kept, nothing but the order of effects stands between a power cut and the log's start.
      let keep = 1 + random.below(3)
      var number = 0
      var last = 0
      for life in 0..<6 {
        let folder = try Self.open(disk, keep: keep)
        let found = try Self.restored(folder)
        #expect(found >= last && found <= number, "seed \(seed), life \(life)")
        last = found
        for _ in 0...random.below(4) {
          if random.below(2) == 0 {
            disk.fail(
              call: 1 + random.below(30),
              [.error(ENOSPC), .error(EIO), .kill][random.below(3)])
          }
          number += 1
          if (try? Self.write(folder, number)) != nil { last = number }
        }
        disk.crash(random.below(3) == 0 ? .process : .powerCut)
        restarts += 1
      }
    }
    print("\(restarts) restarts")
  }

  @Test(arguments: [false, true]) func realFiles(encrypted: Bool) throws {
    try withTemporaryFolder { path in
      var settings = SnapshotSettings()
      settings.key = encrypted ? try testKey() : nil
      let folder = try SnapshotFolder(path, settings: settings)
      for number in 1...5 { try Self.write(folder, number) }
      let snapshot = try #require(try folder.restore().snapshot)
      #expect(Sample(5, scale: 3000).isEqual(snapshot))
      #expect(try PosixDisk().list(path).sorted()
        == ["lock"] + (3...5).map { "snapshot-00000000000\($0)" })
      var info = stat()
      #expect(stat(snapshot.path, &info) == 0 && info.st_mode & 0o777 == 0o600)
      // Used in place: writing reaches memory, not the file; the file may go.
      let items = try #require(snapshot.section("rows.items")?.elements(of: UInt32.self))
      items[0] &+= 1
      #expect(Sample(5, scale: 3000).isEqual(try #require(try folder.restore().snapshot)))
      try PosixDisk().remove(snapshot.path)
      #expect(items[0] == items[0] && !Sample(5, scale: 3000).isEqual(snapshot))
      #expect(try Self.restored(folder) == 4)
      // A file that lost its end while it is not mapped.
      truncate(path + "/snapshot-000000000004", 8192)
      let found = try folder.restore()
      #expect(found.snapshot?.metadata.created == 3)
      #expect(found.damaged.count == 1)
    }
  }

  @Test func aStartDoesNotFailForWhatItCannotRemove() throws {
    let disk = SimulatedDisk(seed: 1)
    try disk.makeFolder("state")
    disk.put("state/partial-000000000007", [1])
    // Folder, lock, list, then this.
    disk.fail(call: 4, .error(EIO))
    let folder = try Self.open(disk)
    #expect(folder.notRemoved == [DiskError(.remove, "state/partial-000000000007", code: EIO)])
    // Its number is not used again.
    #expect(try Self.write(folder, 1).path == "state/snapshot-000000000008")
  }

  @Test func startRemovesWhatWasHalfWritten() throws {
    try withTemporaryFolder { path in
      for name in ["partial-000000000007", "snapshot-7", "notes"] {
        close(Glibc.open(path + "/" + name, O_CREAT | O_WRONLY, 0o600))
      }
      let folder = try SnapshotFolder(path)
      #expect(try PosixDisk().list(path).sorted() == ["lock", "notes", "snapshot-7"])
      #expect(try folder.restore().damaged.isEmpty)
    }
  }
}
