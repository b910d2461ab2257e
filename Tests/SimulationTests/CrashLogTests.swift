// Fault 29: a record that kills the process again and again.
import Daemon
import Events
import Glibc
import Testing

@Suite struct CrashLogTests {
  private typealias Record = CrashLog.Record

  private final class Page {
    let base = UnsafeMutableRawPointer.allocate(byteCount: CrashLog.byteCount, alignment: 16)
    init() { base.initializeMemory(as: UInt8.self, repeating: 0, count: CrashLog.byteCount) }
    deinit { base.deallocate() }
    func start() -> CrashLog { CrashLog(page: base) }
  }

  @Test("fault 29: three deaths in a row at one record, decoding or applying, and it is passed over")
  func threeDeaths() {
    for isDecoding in [true, false] {
      let page = Page()
      let poison = Record(topic: 0, partition: 3, offset: 1 << 40)
      for death in 1...3 {
        let run = page.start()
        #expect(run.skipped.isEmpty && run.isSuspicious == (death > 1))
        for offset in poison.offset - 5...poison.offset {
          if isDecoding {
            run.decoding(Record(topic: 0, partition: 3, offset: offset))
          } else {
            // The other thread dies with it, somewhere else each time.
            run.decoding(Record(topic: 1, partition: 0, offset: offset + Int64(death)))
            run.applying(Record(topic: 0, partition: 3, offset: offset))
          }
        }
      }
      let run = page.start()
      #expect(run.condemned == [poison] && run.skipped == [poison])
      #expect(run.isSuspicious != isDecoding)
      run.restFromDecoding()
      // It stays passed over: a restart from an older snapshot meets it again.
      #expect(page.start().skipped == [poison] && page.start().condemned.isEmpty)
    }
  }

  @Test("fault 29: deaths elsewhere, and ends that were clean, clear a suspect")
  func progress() {
    let page = Page()
    func die(at offset: Int64) { page.start().applying(Record(topic: 0, partition: 0, offset: offset)) }
    for _ in 0..<4 {
      die(at: 7)
      die(at: 7)
      die(at: 8)
    }
    die(at: 9)
    die(at: 9)
    page.start().restFromApplying()
    die(at: 9)
    die(at: 9)
    #expect(page.start().skipped.isEmpty)
  }

  @Test("fault 29: what is remembered is bounded")
  func bounded() {
    let page = Page()
    for offset in 0..<100 {
      for _ in 0..<CrashLog.patience {
        page.start().decoding(Record(topic: 0, partition: 0, offset: Int64(offset)))
      }
    }
    let skipped = page.start().skipped
    #expect(skipped.count == 64 && skipped.contains(Record(topic: 0, partition: 0, offset: 99)))
  }

  @Test("fault 29: the page is a file that outlives a process killed at a record")
  func file() throws {
    let folder = "/tmp/affinity-crash-log-\(getpid())"
    mkdir(folder, 0o700)
    defer {
      unlink(folder + "/" + CrashLog.fileName)
      rmdir(folder)
    }
    for _ in 0..<CrashLog.patience {
      let log = try #require(CrashLog.open(folder: folder).log)
      log.applying(Record(topic: 0, partition: 1, offset: 42))
    }
    let log = try #require(CrashLog.open(folder: folder).log)
    #expect(log.skipped == [Record(topic: 0, partition: 1, offset: 42)])
    #expect(CrashLog.open(folder: folder + "/none").log == nil)
  }

  @Test(
    "fault 29: a crash loop ends after three deaths: the record is a dead letter, all others are applied",
    arguments: [true, false])
  func crashLoop(exactlyOnce: Bool) throws {
    var tally = Tally()
    for seed in KillTests.seeds(10) {
      var settings = SimulatedWorld.Settings()
      settings.exactlyOnce = exactlyOnce
      settings.partitions = 1 + Int(seed % 3)
      let world = SimulatedWorld(seed: seed, settings)
      world.expect(60, within: 4_000)
      world.expectPoison(after: 2_000)
      for _ in 0..<CrashLog.patience { try world.live(.quiet(drains: false)) }
      #expect(world.endings["crash"] == CrashLog.patience, "seed \(seed)")
      try world.live(.kill(milliseconds: 5_000))
      // From a snapshot of before it is met, and passed over, again.
      try world.live(.quiet(drains: false))
      #expect(world.endings["crash"] == CrashLog.patience && world.endings["quiet"] == 1, "seed \(seed)")
      tally.add(world, "a poison")
    }
    #expect(exactlyOnce == false || tally.repeats == 0)
  }
}
