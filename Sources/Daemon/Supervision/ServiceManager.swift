// systemd's side of the daemon, by its notify protocol (sd_notify(3)): a datagram of NAME=VALUE lines to
// the socket named in NOTIFY_SOCKET. No library is needed for that.
//
//  - READY=1 once started; before it EXTEND_TIMEOUT_USEC as long as the loop turns, since a restore takes
//    as long as the log is: a start that hangs still runs into TimeoutStartSec.
//  - WATCHDOG=1 at half of WATCHDOG_USEC, from the loop itself: one that hangs is killed and started anew.
//  - STATUS= what `systemctl status` shows; RELOADING=1 with the time, then READY=1 again; STOPPING=1.
//
// A send never waits: where systemd does not read, the message is dropped and the next one tells as much.
import Glibc
import Synchronization

public final class ServiceManager: Sendable {
  private struct State {
    var isReady = false
    var nextKeepAlive: Int64 = 0
    var lastStatus = ""
    var nextStatus: Int64 = 0
  }
  private let descriptor: Int32
  private let address: [UInt8]
  /// Nanoseconds between two signs of life; 0: no watchdog.
  private let keepAlive: Int64
  private let state = Mutex(State())

  static let startExtension: Int64 = 60_000_000

  /// nil where no service manager waits to hear from us.
  public init?(_ environment: [String: String]) {
    guard let path = environment["NOTIFY_SOCKET"], let first = path.utf8.first,
      first == UInt8(ascii: "/") || first == UInt8(ascii: "@")
    else { return nil }
    var name = Array(path.utf8)
    // An abstract socket is written with @ for the zero byte its name begins with.
    if first == UInt8(ascii: "@") { name[0] = 0 }
    guard name.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path) else { return nil }
    let made = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard made >= 0 else { return nil }
    descriptor = made
    address = name
    let isOurs = environment["WATCHDOG_PID"].map { Int32($0) == getpid() } ?? true
    let microseconds = isOurs ? environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0 : 0
    keepAlive = min(max(0, microseconds), 1 << 40) * 500
  }

  deinit { close(descriptor) }

  /// The loop has turned.
  func turned(at now: Int64) {
    let message: String? = state.withLock { state in
      if now < state.nextKeepAlive { return nil }
      if !state.isReady {
        state.nextKeepAlive = now + 10_000_000_000
        return "EXTEND_TIMEOUT_USEC=\(ServiceManager.startExtension)"
      }
      // Without a watchdog there is nothing more to say.
      state.nextKeepAlive = keepAlive > 0 ? now + keepAlive : .max
      return keepAlive > 0 ? "WATCHDOG=1" : nil
    }
    if let message { send(message) }
  }

  /// What the daemon is doing: when it changes, at most once in two seconds.
  func status(_ text: String, isStarted: Bool, at now: Int64) {
    let message: String? = state.withLock { state in
      if isStarted && !state.isReady {
        state.isReady = true
        state.nextKeepAlive = 0
        state.lastStatus = text
        state.nextStatus = now + 2_000_000_000
        return "READY=1\nSTATUS=\(text)"
      }
      if now < state.nextStatus || text == state.lastStatus { return nil }
      state.lastStatus = text
      state.nextStatus = now + 2_000_000_000
      return "STATUS=\(text)"
    }
    if let message { send(message) }
  }

  func stopping() { send("STOPPING=1\nSTATUS=stopping") }

  /// - Parameter now: monotonic ns; systemd wants it in microseconds.
  func reloading(at now: Int64) {
    if state.withLock({ $0.isReady }) { send("RELOADING=1\nMONOTONIC_USEC=\(now / 1000)") }
  }

  func reloaded() { if state.withLock({ $0.isReady }) { send("READY=1") } }

  private func send(_ text: String) {
    var target = sockaddr_un()
    target.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: address) }
    // An abstract name is as long as it is said to be.
    let length = socklen_t(MemoryLayout<sa_family_t>.size + address.count)
    var text = text
    text.withUTF8 { bytes in
      withUnsafePointer(to: &target) { target in
        target.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
          _ = sendto(
            descriptor, bytes.baseAddress, bytes.count,
            Int32(MSG_NOSIGNAL | MSG_DONTWAIT), target, length)
        }
      }
    }
  }
}
