// Which record the process is at work on. A record at which it has died three times in a row is passed over and goes to
// the dead letters (`crash`): otherwise it would be read again at every start, for ever.
//
// A page that is shared with a file of the state's folder: what was written is still there when the process is not,
// whatever it died of, and a record costs a few stores instead of a system call. 8-byte words of this machine:
//
//   0            magic
//   1-2, 3-4     the record being decoded and the one being applied: place, offset
//   5-10         two suspects, where the last run died: place, offset, deaths in a row
//   16           number of records passed over so far; then the latest 64 of them: place, offset
//
// A place is topic << 32 | partition with the highest bit set; 0: none. Records are decoded and prepared many at a time; after
// a death at one of them they are taken one by one, so that no other is taken for it. Random deaths fall on the same record three times in a row
// only by a chance that the dead letter, which holds it as it came, can live with.
import CStorage
import Glibc

package final class CrashLog: @unchecked Sendable {
  package static let byteCount = 4096
  package static let fileName = "at-work"
  /// Deaths in a row after which a record is passed over.
  package static let patience = 3

  package struct Record: Hashable, Sendable {
    package var topic: Int32
    package var partition: Int32
    package var offset: Int64
    package init(topic: Int32, partition: Int32, offset: Int64) {
      self.topic = topic
      self.partition = partition
      self.offset = offset
    }
  }

  private static let magic: UInt64 = 0x3130_6b72_6f77_7461
  private static let present: UInt64 = 1 << 63
  private static let slots = (decoding: 1, applying: 3)
  private static let suspects = 5..<11
  private static let passedCount = 16
  private static let passed = 17..<145

  private let words: UnsafeMutablePointer<UInt64>
  /// Keeps the page.
  private let owner: AnyObject?
  /// Passed over in this run.
  package let skipped: Set<Record>
  /// Those among them that this start has condemned.
  package let condemned: [Record]
  /// The last run died at a record.
  package let isSuspicious: Bool
  /// Records are looked at one by one.
  package var isCareful: Bool { isSuspicious || !skipped.isEmpty }

  /// Takes note of what the last run has left in the page.
  /// - Parameter page: `byteCount` bytes, aligned for words; zeros at the first time.
  package init(page: UnsafeMutableRawPointer, owner: AnyObject? = nil) {
    let words = page.assumingMemoryBound(to: UInt64.self)
    self.words = words
    self.owner = owner
    if words[0] != CrashLog.magic {
      for i in 0..<CrashLog.byteCount / 8 { words[i] = 0 }
      words[0] = CrashLog.magic
    }
    func record(_ at: Int) -> Record? {
      guard words[at] & CrashLog.present != 0 else { return nil }
      return Record(
        topic: Int32(truncatingIfNeeded: words[at] >> 32 & 0x7fff_ffff),
        partition: Int32(truncatingIfNeeded: words[at]), offset: Int64(bitPattern: words[at + 1]))
    }
    func put(_ record: Record?, _ at: Int) {
      words[at] = record.map(CrashLog.place) ?? 0
      words[at + 1] = record.map { UInt64(bitPattern: $0.offset) } ?? 0
    }
    var before: [Record: UInt64] = [:]
    for at in stride(from: CrashLog.suspects.lowerBound, to: CrashLog.suspects.upperBound, by: 3) {
      if let suspect = record(at) { before[suspect] = words[at + 2] }
    }
    var condemned: [Record] = []
    for (i, at) in [CrashLog.slots.decoding, CrashLog.slots.applying].enumerated() {
      let here = CrashLog.suspects.lowerBound + 3 * i
      let died = record(at)
      let deaths = died.map { (before[$0] ?? 0) &+ 1 } ?? 0
      let isEnough = deaths >= UInt64(CrashLog.patience)
      if let died, isEnough, !condemned.contains(died) {
        put(died, CrashLog.passed.lowerBound + 2 * Int(words[CrashLog.passedCount] % 64))
        words[CrashLog.passedCount] &+= 1
        condemned.append(died)
      }
      put(isEnough ? nil : died, here)
      words[here + 2] = isEnough ? 0 : deaths
      words[at] = 0
    }
    self.condemned = condemned
    isSuspicious = words[CrashLog.suspects.lowerBound] != 0 || words[CrashLog.suspects.lowerBound + 3] != 0
    skipped = Set(
      stride(from: CrashLog.passed.lowerBound, to: CrashLog.passed.upperBound, by: 2)
        .compactMap(record))
  }

  @inline(__always)
  private static func place(_ record: Record) -> UInt64 {
    present | UInt64(UInt32(bitPattern: record.topic)) << 32
      | UInt64(UInt32(bitPattern: record.partition))
  }

  // MARK: at work

  /// On the thread that decodes. The note stands until the next, or until `rest`.
  @inline(__always)
  package func decoding(_ record: Record) { note(CrashLog.slots.decoding, record) }
  @inline(__always)
  package func restFromDecoding() { affinity_forget(words + CrashLog.slots.decoding) }

  /// On the thread that applies.
  @inline(__always)
  package func applying(_ record: Record) { note(CrashLog.slots.applying, record) }
  @inline(__always)
  package func restFromApplying() { affinity_forget(words + CrashLog.slots.applying) }

  @inline(__always)
  private func note(_ slot: Int, _ record: Record) {
    affinity_note(words + slot, CrashLog.place(record), UInt64(bitPattern: record.offset))
  }
}

extension CrashLog {
  /// The page of a state's folder, whose lock is held.
  /// - Returns: nil with a reason where it cannot be had: the daemon runs without.
  package static func open(folder: String) -> (log: CrashLog?, fault: String) {
    let path = folder + "/" + fileName
    let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    func fault() -> (log: CrashLog?, fault: String) { (nil, "\(path): \(String(cString: strerror(errno)))") }
    if descriptor < 0 { return fault() }
    defer { close(descriptor) }
    // Room for the page now: a store into a page for which the disk has none would be SIGBUS.
    let reserved = affinity_reserve(descriptor, Int64(byteCount))
    if reserved != 0 {
      errno = reserved
      return fault()
    }
    guard ftruncate(descriptor, off_t(byteCount)) == 0 else { return fault() }
    let page = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let page, page != MAP_FAILED else { return fault() }
    return (CrashLog(page: page, owner: Mapping(page)), "")
  }

  private final class Mapping {
    let page: UnsafeMutableRawPointer
    init(_ page: UnsafeMutableRawPointer) { self.page = page }
    deinit { munmap(page, CrashLog.byteCount) }
  }
}
