// The simulated disk itself: that it loses what it may lose, and only that.
import Glibc
import Snapshots
import TestSupport
import Testing

@Suite struct DiskTests {
  static func write(_ disk: SimulatedDisk, _ path: String, _ bytes: [UInt8]) throws -> any DiskFile {
    let file = try disk.create(path)
    try bytes.withUnsafeBytes { bytes in
      var at = 0
      while at < bytes.count { at += try file.write(UnsafeRawBufferPointer(rebasing: bytes[at...])) }
    }
    return file
  }

  @Test func aPowerCutLosesWhatWasNotSyncedAndNothingElse() throws {
    var outcomes: [String: Int] = [:]
    for seed in UInt64(0)..<400 {
      let disk = SimulatedDisk(seed: seed)
      try disk.makeFolder("f")
      let old = [UInt8](repeating: 1, count: 3000)
      try Self.write(disk, "f/synced", old).sync()
      try disk.syncFolder("f")
      let new = [UInt8](repeating: 2, count: 3000)
      _ = try Self.write(disk, "f/new", new)
      try disk.rename("f/new", to: "f/synced")
      #expect(disk.content("f/synced") == new)
      disk.crash(.powerCut)
      let after = disk.content("f/synced")
      // The rename is atomic: the old file or the new one, and the new one's content was never synced.
      if after == old {
        outcomes["old", default: 0] += 1
      } else if after == new {
        outcomes["new", default: 0] += 1
      } else if after == nil {
        outcomes["gone", default: 0] += 1
      } else {
        outcomes["torn", default: 0] += 1
      }
    }
    print(outcomes)
    #expect(outcomes["gone"] == nil)
    for kind in ["old", "new", "torn"] { #expect(outcomes[kind, default: 0] > 20) }
  }

  @Test func whatIsSyncedStays() throws {
    for seed in UInt64(0)..<100 {
      let disk = SimulatedDisk(seed: seed)
      disk.shortWrites = true
      try disk.makeFolder("f")
      let bytes = (0..<2000).map { UInt8(truncatingIfNeeded: $0) }
      try Self.write(disk, "f/a", bytes).sync()
      try disk.syncFolder("f")
      _ = try Self.write(disk, "f/b", bytes)
      disk.crash(.powerCut)
      #expect(disk.content("f/a") == bytes)
      disk.crash(.powerCut)
      #expect(disk.content("f/a") == bytes)
    }
  }

  /// Trying an fsync again after it failed says yes and has done nothing.
  @Test("fault 15: a failed fsync is not made good by a second")
  func aFailedSyncIsNotMadeGoodByASecond() throws {
    var lost = 0
    for seed in UInt64(0)..<50 {
      let disk = SimulatedDisk(seed: seed)
      try disk.makeFolder("f")
      let file = try Self.write(disk, "f/a", [1, 2, 3])
      try disk.syncFolder("f")
      disk.fail(call: 1, .error(EIO))
      #expect(throws: DiskError(.sync, "f/a", code: EIO)) { try file.sync() }
      try file.sync()
      disk.crash(.powerCut)
      if disk.content("f/a") != [1, 2, 3] { lost += 1 }
    }
    #expect(lost > 10)
  }

  @Test func aDeadProcessDoesNothing() throws {
    let disk = SimulatedDisk(seed: 1)
    try disk.makeFolder("f")
    let file = try Self.write(disk, "f/a", [1])
    let lock = try disk.lock("f/lock")
    disk.fail(call: 2, .kill)
    _ = try disk.list("f")
    for _ in 0..<2 {
      #expect(throws: DiskError.self) { try disk.list("f") }
      #expect(throws: DiskError.self) { try file.sync() }
    }
    disk.crash(.process)
    #expect(disk.content("f/a") == [1])
    #expect(throws: DiskError.self) { try file.sync() }
    guard case .taken(let again) = try disk.lock("f/lock") else {
      Issue.record("the lock outlived its process")
      return
    }
    // The old holder's object goes away later, and takes nothing with it.
    withExtendedLifetime(lock) {}
    guard case .held = try disk.lock("f/lock") else {
      Issue.record("two hold the lock")
      return
    }
    withExtendedLifetime(again) {}
  }
}
