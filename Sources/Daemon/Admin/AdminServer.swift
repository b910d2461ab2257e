// The admin port: libmicrohttpd on a thread of its own in front of `AdminPages`. Readers cannot hurt the
// loop: they see what it has pinned up, a slow one holds a connection until nothing moves on it for ten
// seconds, and connections are bounded.
import CMicroHTTPD
import Glibc

public struct AdminFailure: Error, CustomStringConvertible {
  public var description: String
}

public final class AdminServer: @unchecked Sendable {
  /// Where it listens, with the port the system chose: `127.0.0.1:9464`, `unix:/run/affinity/admin.sock`.
  public let address: String
  private let pages: AdminPages
  private var server: OpaquePointer?
  private let socketPath: String?

  static let connections: UInt32 = 64
  static let connectionsPerAddress: UInt32 = 32
  static let idleSeconds: UInt32 = 10
  /// A request's head and an answer's share the connection's memory; more is refused with 413 or 431.
  static let connectionMemory = 16 << 10

  /// Listens and answers from here on.
  public init(_ listen: Configuration.Listen, pages: AdminPages) throws(AdminFailure) {
    let listening: ListeningSocket
    switch listen {
    case .address(let host, let port):
      listening = try ListeningSocket(host: host, port: port)
      socketPath = nil
    case .unix(let path):
      listening = try ListeningSocket(path: path)
      socketPath = path
    }
    address = listening.address
    self.pages = pages
    let started = affinity_http_start(
      listening.descriptor, { context, request in
        guard let context, let request else { return }
        Unmanaged<AdminServer>.fromOpaque(context).takeUnretainedValue().respond(request)
      }, Unmanaged.passUnretained(self).toOpaque(), AdminServer.connections,
      AdminServer.connectionsPerAddress, AdminServer.idleSeconds, AdminServer.connectionMemory)
    guard let started else {
      close(listening.descriptor)
      throw AdminFailure(description: "admin.listen \(address): the HTTP server does not start")
    }
    server = started
  }

  deinit { stop() }

  /// Ends all connections and the thread.
  public func stop() {
    guard let server else { return }
    affinity_http_stop(server)
    self.server = nil
    if let socketPath { unlink(socketPath) }
  }

  private func respond(_ pointer: UnsafePointer<affinity_http_request>) {
    let request = pointer.pointee
    let answer = pages.answer(
      AdminRequest(
        method: String(cString: request.method), path: String(cString: request.path),
        isVerbose: request.is_verbose, accept: request.accept.map { String(cString: $0) } ?? ""))
    var headers = AdminServer.headers + [("Content-Type", answer.contentType)]
    if answer.status == 405 { headers.append(("Allow", "GET, HEAD")) }
    var names: [UnsafePointer<CChar>?] = headers.flatMap { name, value in
      [UnsafePointer(strdup(name)), UnsafePointer(strdup(value))]
    }
    defer { for name in names { free(UnsafeMutablePointer(mutating: name)) } }
    names.append(nil)
    answer.body.withUnsafeBytes { body in
      affinity_http_respond(pointer, answer.status, body.baseAddress, body.count, names)
    }
  }

  /// The console is one file: nothing from elsewhere, nothing framed, and it asks its own host alone.
  static let headers = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    (
      "Content-Security-Policy",
      "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
  ]
}

/// A socket that listens, and where.
private struct ListeningSocket {
  var descriptor: Int32
  var address: String

  init(host: String, port: Int) throws(AdminFailure) {
    let wanted = Configuration.Listen.address(host: host, port: port).description
    var hints = addrinfo()
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host.isEmpty ? nil : host, "\(port)", &hints, &found)
    guard status == 0, let first = found else {
      throw AdminFailure(description: "admin.listen \(wanted): \(String(cString: gai_strerror(status)))")
    }
    defer { freeaddrinfo(first) }
    var failure = ""
    var next = found
    while let candidate = next?.pointee {
      next = candidate.ai_next
      let made = socket(candidate.ai_family, candidate.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
      if made >= 0 {
        var yes: Int32 = 1
        setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        if bind(made, candidate.ai_addr, candidate.ai_addrlen) == 0, Glibc.listen(made, 64) == 0 {
          descriptor = made
          address = ListeningSocket.name(made, host: host)
          return
        }
      }
      failure = String(cString: strerror(errno))
      if made >= 0 { close(made) }
    }
    throw AdminFailure(description: "admin.listen \(wanted): \(failure)")
  }

  /// The address with the port that the system chose.
  private static func name(_ descriptor: Int32, host: String) -> String {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    var service = [CChar](repeating: 0, count: 32)
    withUnsafeMutablePointer(to: &storage) { storage in
      storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        _ = getsockname(descriptor, address, &length)
        _ = getnameinfo(address, length, nil, 0, &service, socklen_t(service.count), NI_NUMERICSERV)
      }
    }
    let port = String(decoding: service.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return Configuration.Listen.address(host: host, port: Int(port) ?? 0).description
  }

  init(path: String) throws(AdminFailure) {
    address = "unix:\(path)"
    var target = sockaddr_un()
    target.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
    let length = socklen_t(MemoryLayout<sockaddr_un>.size)
    let made = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    let isBound = withUnsafePointer(to: &target) { target in
      target.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
        // A socket that nobody listens on was left by a run that was killed.
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        if connect(probe, target, length) != 0, errno == ECONNREFUSED { unlink(path) }
        close(probe)
        return bind(made, target, length) == 0 && Glibc.listen(made, 64) == 0
      }
    }
    if !isBound {
      let failure = String(cString: strerror(errno))
      close(made)
      throw AdminFailure(description: "admin.listen unix:\(path): \(failure)")
    }
    descriptor = made
  }
}
