// `affinityd explain`: why a user was recommended something, and whether the numbers add up.
import ArgumentParser
import Daemon
import Events
import Foundation

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Recomputes recommendations from their own evidence and says why in words.",
    discussion: """
      FILE is recommendations.jsonl of a replay, the folder that holds it, or values of the topic as kcat prints \
      them. Every value is recomputed from its counts, every contribution from value and weight, every score from \
      its contributions, exactly. Ends with 1 where anything does not match. With --user or --id the lists are \
      shown.
      """)

  @Argument(help: "recommendations.jsonl, or the folder of a replay.") var file: String
  @Option(help: "Show this user's lists (for a stranger: ~ and the session).") var user: String?
  @Option(help: "Show the list with this id.") var id: String?
  @Flag(help: "Of a user's lists, show all, not only the last.") var all = false
  @Option(help: "Catalogue lines, for titles.") var catalogue: [String] = []
  @Flag(help: "The result as one JSON object.") var json = false

  func run() throws {
    var path = file
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      path += "/recommendations.jsonl"
    }
    var titles: [String: String] = [:]
    var check = ExplanationCheck()
    var messages = 0
    var shown: [JSON] = []
    for path in catalogue {
      try CatalogueFile.forEach(path) { key, value in
        guard let value, let title = (try? JSON(value))?["title"]?.string else { return }
        titles[String(decoding: key, as: UTF8.self)] = title
      }
    }
    let log = try MappedFile(path: path)
    let bar = ProgressBar("explain")
    var start = 0
    while start < log.bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: log.bytes[start...])
      let length = rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.count
      let line = UnsafeRawBufferPointer(rebasing: rest[..<length])
      start += length + 1
      bar.show(start, of: log.bytes.count)
      if line.isEmpty { continue }
      guard var message = try? JSON(line) else {
        throw CommandFailure.failed("\(path): message \(messages + 1) is not JSON")
      }
      if message["topic"] != nil, let payload = message["payload"] {
        guard let text = payload.string else { continue }
        message = (try? JSON(text)) ?? .null
      }
      if message["deleted"] == .bool(true) { continue }
      messages += 1
      check.check(message)
      if isWanted(message) {
        if !all { shown.removeAll() }
        shown.append(message)
      }
    }
    bar.clear()
    if user != nil || id != nil {
      if shown.isEmpty { throw CommandFailure.failed("no list of \(user ?? id ?? "") in \(path)") }
      for message in shown { print(describe(message, titles)) }
    }
    if json {
      print(
        "{\"messages\":\(messages),\"lists\":\(check.lists),\"items\":\(check.items),\"reasons\":\(check.reasons),\"faults\":\(check.faults.count)}"
      )
    } else {
      print(
        "\(messages) messages, \(check.items) items, \(check.reasons) reasons recomputed: \(check.faults.isEmpty ? "all equal" : "\(check.faults.count) differ")")
    }
    for fault in check.faults.prefix(20) { complain(fault) }
    if !check.faults.isEmpty { throw CommandFailure.failed("the numbers do not add up") }
  }

  private func isWanted(_ message: JSON) -> Bool {
    if let id { return message["id"]?.string == id }
    guard let user else { return false }
    if user.hasPrefix("~"), let session = message["session"]?.string {
      return session == String(user.dropFirst())
    }
    return message["user"]?.string == user
  }

  private func describe(_ message: JSON, _ titles: [String: String]) -> String {
    func title(_ id: String) -> String { titles[id].map { "\($0) (\(id))" } ?? id }
    func text(_ key: String) -> String { message[key]?.string ?? "?" }
    var lines = "\(text("id")) at \(text("time")), model \(text("model"))\n"
    guard case .object(let lists) = message["lists"] else { return lines }
    for list in lists {
      lines += "\(list.key)\n"
      for entry in list.value.array ?? [] {
        lines +=
          "  \(Int(entry["rank"]?.number ?? 0)). \(title(entry["id"]?.string ?? "?"))  score \(entry["score"]?.number ?? 0)\n"
        for reason in entry["reasons"]?.array ?? [] {
          lines +=
            "       \(reason["contribution"]?.number ?? 0)  \(Explanation.words(reason, title: title))\n"
        }
        if let rest = entry["rest"]?.number, rest > 0 {
          lines += "       \(rest)  smaller contributions together\n"
        }
      }
    }
    return lines
  }
}
