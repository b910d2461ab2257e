// What a person sees: who did what, what is recommended, and why, in words.
import Daemon
import Events
import Foundation
import Kafka

final class DemoView {
  private let consumer: Consumer
  private let titles: [String: String]
  private let gap: Double
  private let metrics: String
  private let isTerminal = isatty(1) == 1
  private let started = Date()
  private var lastShown = Date.distantPast
  private var lastStatus = Date()
  private var seen = 0
  private var shown = 0

  init(
    broker: String, topics: TopicNames, titles: [String: String], perSecond: Double, metrics: String
  ) throws {
    self.titles = titles
    self.metrics = metrics
    gap = 1 / perSecond
    consumer = try Consumer(
      config: ["bootstrap.servers": broker], topics: [topics.recommendations])
    let topic = try consumer.requireTopics(timeoutMilliseconds: 10_000)[0]
    try consumer.assign(
      (0..<topic.partitionCount).map { PartitionStart(TopicPartition(topic: 0, partition: $0), .beginning) })
  }

  func run(until isOver: () -> Bool) throws {
    while !isOver() {
      let polled = try consumer.poll(maxMessages: 500, timeoutMilliseconds: 100)
      for message in polled.messages {
        seen += 1
        guard let value = message.value, Date().timeIntervalSince(lastShown) >= gap else { continue }
        if show(value) { lastShown = Date() }
      }
      if Date().timeIntervalSince(lastStatus) >= 5 {
        lastStatus = Date()
        showStatus()
      }
    }
  }

  func sayGoodbye() {
    _ = consumer.close(deadlineMilliseconds: 2000)
    print("\n\(seen) recommendation messages in \(Int(Date().timeIntervalSince(started))) s, \(shown) shown.")
    fflush(nil)
  }

  // MARK: words

  private func show(_ data: UnsafeRawBufferPointer) -> Bool {
    guard let message = try? JSON(data), let list = message["lists"]?["for_you"]?.array,
      !list.isEmpty
    else { return false }
    let who = message["user"]?.string ?? "a stranger"
    var text = bold("For \(who)") + dim("  (\(cause(message)))") + "\n"
    for entry in list.prefix(3) {
      guard let id = entry["id"]?.string, let rank = entry["rank"]?.number,
        let score = entry["score"]?.number
      else { continue }
      let why = entry["reasons"]?.array?.first.map { Explanation.words($0, title: title) } ?? ""
      text +=
        "  \(Int(rank)). \(pad(title(id), 34)) \(dim(String(format: "%.3f", score)))  \(why)\n"
    }
    print(text)
    fflush(nil)
    shown += 1
    return true
  }

  private func cause(_ message: JSON) -> String {
    if let model = message["cause"]?["model"]?.string { return "renewed by model \(model)" }
    return "after event \(message["id"]?.string ?? "")"
  }

  private func showStatus() {
    guard let text = try? String(contentsOfFile: metrics, encoding: .utf8),
      let last = text.split(separator: "\n").last, let line = try? JSON(String(last))
    else { return }
    func value(_ key: String) -> Double { line[key]?.number ?? 0 }
    let model = line["model"]?.string ?? "none"
    var parts = [
      "\(Int(value("events_total"))) events", "model \(model)",
      "\(Int(value("model_rules"))) rules", "\(Int(value("lists_made"))) lists",
    ]
    if value("latency_count") > 0 {
      parts.append(String(format: "p99 %.0f ms from event to acknowledged", value("latency_p99_ms")))
    }
    print(dim("— " + parts.joined(separator: " · ")) + "\n")
    fflush(nil)
  }

  private func title(_ id: String) -> String { titles[id] ?? id }
  private func pad(_ text: String, _ width: Int) -> String {
    text.count >= width ? text : text + String(repeating: " ", count: width - text.count)
  }
  private func bold(_ text: String) -> String { isTerminal ? "\u{1b}[1m\(text)\u{1b}[0m" : text }
  private func dim(_ text: String) -> String { isTerminal ? "\u{1b}[2m\(text)\u{1b}[0m" : text }
}
