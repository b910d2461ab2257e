// The built executable as a process: started, waited for, signalled, ended. Everything it writes goes to
// files of the test's own folder, so that no pipe can fill.
//
// Tests here mostly wait, and their waits must end in time whatever else keeps the cores busy: so each runs
// on a thread of its own (`.ownThread`), not on the pool that all other tests share.
import Foundation
import Glibc
import Testing

/// Threads that may block: one for each test that runs.
final class OwnThreads: TaskExecutor, @unchecked Sendable {
  static let shared = OwnThreads()
  private let condition = NSCondition()
  private var jobs: [UnownedJob] = []
  private var idle = 0

  func enqueue(_ job: consuming ExecutorJob) {
    condition.lock()
    jobs.append(UnownedJob(job))
    if idle < jobs.count {
      idle += 1
      Thread.detachNewThread { self.work() }
    }
    condition.signal()
    condition.unlock()
  }

  private func work() {
    while true {
      condition.lock()
      while jobs.isEmpty { condition.wait() }
      let job = jobs.removeFirst()
      idle -= 1
      condition.unlock()
      job.runSynchronously(on: asUnownedTaskExecutor())
      condition.lock()
      idle += 1
      condition.unlock()
    }
  }
}

struct OwnThread: SuiteTrait, TestTrait, TestScoping {
  var isRecursive: Bool { true }
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    try await withTaskExecutorPreference(OwnThreads.shared) { try await function() }
  }
}

extension Trait where Self == OwnThread {
  static var ownThread: Self { Self() }
}

struct TestFailure: Error, CustomStringConvertible {
  var description: String
}

/// A folder that goes away with its owner; kept, and named, where AFFINITY_KEEP is set.
final class Folder: Sendable {
  let path: String

  init(_ name: String) throws {
    path = NSTemporaryDirectory() + "affinity-e2e-\(name)-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
  deinit {
    if ProcessInfo.processInfo.environment["AFFINITY_KEEP"] != nil {
      print("kept: \(path)")
    } else {
      try? FileManager.default.removeItem(atPath: path)
    }
  }
  func file(_ name: String) -> String { path + "/" + name }
}

struct Outcome: Sendable {
  var status: Int32
  /// Ended by a signal of that number.
  var signal: Int32?
  var output: String
  var complaint: String
}

/// A process of the executable under test (or of another program, by path).
final class Program: @unchecked Sendable {
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path

  /// Beside the test bundle, else in the package's release folder.
  static let path: String = {
    let beside = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
    for folder in [beside, root + "/.build/release"]
    where FileManager.default.isExecutableFile(atPath: folder + "/affinityd") {
      return folder + "/affinityd"
    }
    return root + "/.build/release/affinityd"
  }()

  private let process = Process()
  let outputPath: String
  private let complaintPath: String
  let name: String

  init(
    _ arguments: [String], in folder: Folder, name: String? = nil, program: String = Program.path,
    environment: [String: String] = [:]
  ) throws {
    let name = name ?? arguments.first ?? "affinityd"
    self.name = name
    outputPath = folder.file("\(name)-\(UUID().uuidString.prefix(4)).out")
    complaintPath = outputPath.replacingOccurrences(of: ".out", with: ".err")
    for path in [outputPath, complaintPath] {
      _ = FileManager.default.createFile(atPath: path, contents: nil)
    }
    guard FileManager.default.isExecutableFile(atPath: program) else {
      throw TestFailure(description: "\(program) is not there: make build")
    }
    // Should we be killed, so are they (where util-linux is new enough to say so).
    let leash = "/usr/bin/setpriv"
    if FileManager.default.isExecutableFile(atPath: leash) {
      process.executableURL = URL(fileURLWithPath: leash)
      process.arguments = ["--pdeathsig", "KILL", program] + arguments
    } else {
      process.executableURL = URL(fileURLWithPath: program)
      process.arguments = arguments
    }
    process.environment = ["PATH": "/usr/bin:/bin:/usr/local/bin", "TMPDIR": folder.path].merging(
      environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: outputPath))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: complaintPath))
    // A child inherits the mask of the thread that starts it: the executable under test must cope with one
    // that blocks everything it listens to, as a pool's thread may; others need not.
    var (mask, before) = (sigset_t(), sigset_t())
    sigemptyset(&mask)
    if program == Program.path {
      for number in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&mask, number) }
    }
    pthread_sigmask(SIG_SETMASK, &mask, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    try process.run()
  }

  deinit {
    // Only our own child, by its id.
    if process.isRunning {
      kill(process.processIdentifier, SIGCONT)
      kill(process.processIdentifier, SIGKILL)
    }
  }

  var isRunning: Bool { process.isRunning }
  var processID: Int32 { process.processIdentifier }
  var output: String { (try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? "" }
  var complaint: String { (try? String(contentsOfFile: complaintPath, encoding: .utf8)) ?? "" }

  func signal(_ number: Int32) { if process.isRunning { kill(process.processIdentifier, number) } }

  /// Waits for the end.
  func end(within seconds: Double = 60) async throws -> Outcome {
    try await eventually(seconds, "\(name) ends; it said: \(self.complaint.suffix(2000))") {
      !process.isRunning
    }
    let isSignal = process.terminationReason == .uncaughtSignal
    return Outcome(
      status: isSignal ? -1 : process.terminationStatus,
      signal: isSignal ? process.terminationStatus : nil, output: output, complaint: complaint)
  }

  /// Runs to the end.
  static func run(
    _ arguments: [String], in folder: Folder, environment: [String: String] = [:],
    within seconds: Double = 120
  ) async throws -> Outcome {
    try await Program(arguments, in: folder, environment: environment).end(within: seconds)
  }

  /// Runs to the end, which must be good.
  @discardableResult
  static func succeed(
    _ arguments: [String], in folder: Folder, within seconds: Double = 120,
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> Outcome {
    let outcome = try await run(arguments, in: folder, within: seconds)
    try #require(
      outcome.status == 0, "\(arguments.joined(separator: " ")): \(outcome.complaint)",
      sourceLocation: sourceLocation)
    return outcome
  }
}

/// Waits until the condition holds; a wait that is over is a failure that says what was waited for.
func eventually(
  _ seconds: Double, _ what: @autoclosure () -> String, every milliseconds: Int = 20,
  _ condition: () throws -> Bool
) async throws {
  // Not the continuous clock: a machine that was put to sleep has not made us wait.
  let start = SuspendingClock.now
  while try !condition() {
    if SuspendingClock.now - start > .seconds(seconds) {
      throw TestFailure(description: "waited \(Int(seconds)) s until: \(what())")
    }
    usleep(UInt32(milliseconds) * 1000)
  }
}

func pause(_ seconds: Double) async throws { usleep(UInt32(seconds * 1e6)) }

/// The lines of a file, as bytes, without their newlines.
func lines(of path: String) throws -> [[UInt8]] {
  let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
  return data.withUnsafeBytes { bytes in
    var found: [[UInt8]] = []
    var start = 0
    while start < bytes.count, let base = bytes.baseAddress {
      let end = memchr(base + start, 10, bytes.count - start).map { base.distance(to: $0) } ?? bytes.count
      if end > start { found.append([UInt8](bytes[start..<end])) }
      start = end + 1
    }
    return found
  }
}

func write(_ lines: some Sequence<[UInt8]>, to path: String) throws {
  var data = Data()
  for line in lines {
    data.append(contentsOf: line)
    data.append(10)
  }
  try data.write(to: URL(fileURLWithPath: path))
}
