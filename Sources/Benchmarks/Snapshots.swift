// Writing and checking snapshots: bytes per second, plain and encrypted. A plain one is read from the page
// cache; an encrypted one goes to fresh memory, whose first touch counts (on virtual machines much).
import Dispatch
import Glibc
import Snapshots
import Sparse

func benchSnapshots(arguments: [String]) {
  let folder = arguments.first ?? "/tmp/affinity-bench-snapshots"
  let megabytes = arguments.count > 1 ? Int(arguments[1]) ?? 1024 : 1024
  var random = SplitMix(seed: 1)
  let bytes = megabytes << 20
  let state = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 4096)
  defer { state.deallocate() }
  for i in stride(from: 0, to: bytes, by: 8) {
    state.storeBytes(of: random.next(), toByteOffset: i, as: UInt64.self)
  }
  let parallel: SnapshotWriter.Parallel = { parts, body in
    withoutActuallyEscaping(body) { body in
      nonisolated(unsafe) let body = body
      DispatchQueue.concurrentPerform(iterations: parts) { body($0) }
    }
  }
  do {
    let key = try SnapshotKey(text: String(repeating: "5a", count: 32), source: "benchmark")
    for key in [nil, key] {
      var settings = SnapshotSettings()
      settings.keep = 1
      settings.key = key
      let place = try SnapshotFolder(folder, settings: settings)
      var metadata = SnapshotMetadata()
      metadata.software = "affinity-bench"
      let inputs = [
        SnapshotInput("state", elementSize: 8, bytes: UnsafeRawBufferPointer(state)),
      ]
      for round in 1...3 {
        let start = ContinuousClock.now
        let written = try place.write(inputs, metadata: metadata, parallel: parallel)
        let middle = ContinuousClock.now
        let one = try place.restore()
        let third = ContinuousClock.now
        let two = try place.restore(parallel: parallel)
        let end = ContinuousClock.now
        for restore in [one, two] where restore.snapshot == nil {
          print("not restored: \(restore.damaged)")
          exit(1)
        }
        func rate(_ from: ContinuousClock.Instant, _ to: ContinuousClock.Instant) -> String {
          let value = Int(Double(bytes) / 1e7 / ((to - from) / .seconds(1)))
          return "\(value / 100).\(value % 100 < 10 ? "0" : "")\(value % 100) GB/s"
        }
        print(
          "\(key == nil ? "plain" : "encrypted") \(round): write \(rate(start, middle)), "
            + "read and check \(rate(middle, third)) on one thread, \(rate(third, end)) on all")
        if round == 3 { unlink(written.path) }
      }
    }
  } catch {
    print("\(error)")
    exit(1)
  }
}
