// HTTP by plain sockets, for the admin port's tests; and Prometheus' text format, read strictly.
import Foundation
import Glibc
import Testing

/// A connection to `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH`.
final class PlainConnection {
  let descriptor: Int32

  init(_ address: String, timeoutSeconds: Int = 20) throws {
    if address.hasPrefix("unix:") {
      descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      var target = sockaddr_un()
      target.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: address.utf8.dropFirst(5)) }
      try connect(&target, MemoryLayout<sockaddr_un>.size)
    } else if address.hasPrefix("[::1]:") {
      descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
      var target = sockaddr_in6()
      target.sin6_family = sa_family_t(AF_INET6)
      target.sin6_addr = in6addr_loopback
      target.sin6_port = try #require(UInt16(address.dropFirst(6))).bigEndian
      try connect(&target, MemoryLayout<sockaddr_in6>.size)
    } else {
      let port = try #require(address.hasPrefix("127.0.0.1:") ? UInt16(address.dropFirst(10)) : nil)
      descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      var target = sockaddr_in()
      target.sin_family = sa_family_t(AF_INET)
      target.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      target.sin_port = port.bigEndian
      try connect(&target, MemoryLayout<sockaddr_in>.size)
    }
    var limit = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  private func connect<Address>(_ address: inout Address, _ size: Int) throws {
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, socklen_t(size)) }
    }
    if status != 0 { throw Refused(description: "connect: \(String(cString: strerror(errno)))") }
  }

  struct Refused: Error, CustomStringConvertible { var description: String }

  deinit { close(descriptor) }

  func send(_ text: String) {
    var text = text
    text.withUTF8 { _ = Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  }

  /// Everything up to the end of the connection.
  func readAll() -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let n = recv(descriptor, &chunk, chunk.count, 0)
      if n <= 0 { return bytes }
      bytes.append(contentsOf: chunk[..<n])
    }
  }
}

struct PlainAnswer {
  var status: Int
  /// Names in lower case.
  var headers: [String: String]
  var body: String

  init(_ bytes: [UInt8]) throws {
    let text = String(decoding: bytes, as: UTF8.self)
    // Thrown, not required: who is turned away may ask again.
    guard let end = text.range(of: "\r\n\r\n") else {
      throw PlainConnection.Refused(description: "no HTTP answer: \(text.prefix(200))")
    }
    let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
    let first = lines[0].split(separator: " ")
    status = try #require(first.count > 1 ? Int(first[1]) : nil, "\(lines[0])")
    headers = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      headers[parts[0].lowercased()] = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
    }
    body = String(text[end.upperBound...])
  }

  static func get(
    _ path: String, from address: String, method: String = "GET", headers: [String] = []
  ) throws -> PlainAnswer {
    let connection = try PlainConnection(address)
    let lines = ["\(method) \(path) HTTP/1.1", "Host: test", "Connection: close"] + headers
    connection.send(lines.joined(separator: "\r\n") + "\r\n\r\n")
    return try PlainAnswer(connection.readAll())
  }
}

/// A reading of the text format 0.0.4 that refuses what a server should not write: samples before their TYPE,
/// a family in two places, twice the same sample, labels or names out of form, counters without `_total`.
struct PlainMetrics {
  /// By name with its labels as written: `affinity_rows{matrix="user_view"}`.
  var samples: [String: Double] = [:]
  var types: [String: String] = [:]

  init(_ text: String) throws {
    func check(_ condition: Bool, _ line: Substring) throws { try #require(condition, "\(line)") }
    try #require(text.hasSuffix("\n"))
    let name = /[a-zA-Z_:][a-zA-Z0-9_:]*/
    let sample = /([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^{}]*\})? (-?[0-9.e+-]+)/
    let labels = /\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\}/
    var helped = ""
    var family = ""
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
      if line.hasPrefix("# HELP ") {
        let parts = line.split(separator: " ", maxSplits: 3)
        try check(parts.count == 4 && parts[2].wholeMatch(of: name) != nil, line)
        helped = String(parts[2])
      } else if line.hasPrefix("# TYPE ") {
        let parts = line.split(separator: " ")
        try check(parts.count == 4 && parts[2] == helped && types[helped] == nil, line)
        try check(["counter", "gauge"].contains(parts[3]), line)
        try check((parts[3] == "counter") == helped.hasSuffix("_total"), line)
        family = helped
        types[family] = String(parts[3])
      } else {
        let match = try #require(line.wholeMatch(of: sample), "\(line)")
        try check(match.1 == family, line)
        if let written = match.2 { try check(written.wholeMatch(of: labels) != nil, line) }
        let value = try #require(Double(match.3), "\(line)")
        let key = String(match.1) + (match.2.map(String.init) ?? "")
        try check(samples[key] == nil, line)
        samples[key] = value
      }
    }
    for family in types.keys {
      try #require(samples.keys.contains { $0 == family || $0.hasPrefix(family + "{") }, "\(family) is empty")
    }
  }
}
