// `affinityd erase`: asks a running daemon to forget a user, and waits for the receipt if told to.
import ArgumentParser
import Daemon
import Events
import Foundation
import Kafka
import Sparse

struct EraseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "erase",
    abstract: "Asks for a user to be forgotten: puts an erase event onto the events topic.",
    discussion: """
      The event is keyed by the user, so that it stands behind the user's earlier events in their partition; where the \
      shop's producers do not place keys as librdkafka does, give their partitioner (--kafka.partitioner \
      murmur2_random for Java's). The daemon removes what it has of the user, puts null under the user's key on \
      the topics that have it, and a receipt on topics.receipts whose key is the request. Later events of the user \
      start a new customer. With --wait the receipt is printed; exit status 1 where none comes in time (the \
      request stands).
      The events themselves stay on the events topic for as long as its retention says.
      """)

  @Argument(help: "The user, as events name them.") var user: String
  @Option(help: "The request's id, the receipt's key; made up where not given. It should not hold the user.")
  var id: String?
  @Flag(help: "Wait for the receipt and print it.") var wait = false
  @Option(help: "How long to wait.") var timeout = DurationArgument(milliseconds: 60_000)
  @OptionGroup var settings: ConfigurationArguments
  @Flag(help: "One JSON object: the receipt, or without --wait where the request stands.") var json = false

  func run() throws {
    let configuration = try settings.load()
    let most = configuration.eventLimits.maxIDBytes
    for (name, text) in [("user", user), ("--id", id ?? "-")]
    where text.isEmpty || text.utf8.count > most {
      throw CommandFailure.usage("\(name): \(text.utf8.count) bytes, wanted 1 to \(most)")
    }
    let request = id ?? "erase-" + UUID().uuidString.lowercased()
    do {
      let receipts = wait ? try ReceiptReader(configuration) : nil
      let report = try send(request, configuration)
      let place = "\(configuration.topics.events), partition \(report.partition), offset \(report.offset)"
      guard let receipts else {
        if json {
          print(requestJSON(request, configuration.topics.events, report))
        } else {
          print("request \(request) stands at \(place)")
        }
        return
      }
      guard let receipt = try receipts.find(request, within: timeout.milliseconds) else {
        throw CommandFailure.failed(
          "no receipt within \(timeout.defaultValueDescription); request \(request) stands at \(place)")
      }
      print(json ? receipt : describe(receipt))
    } catch let error as KafkaError {
      if error.isSettings { throw CommandFailure.usage("\(error)") }
      throw CommandFailure.failed("\(configuration.kafka["bootstrap.servers"] ?? ""): \(error)")
    }
  }

  /// Sends the event and waits until the brokers have it.
  private func send(_ request: String, _ configuration: Configuration) throws -> DeliveryReport {
    var event = Event(type: .erase, time: Int64(Date().timeIntervalSince1970 * 1000), user: user)
    event.id = request
    var value = ByteWriter()
    event.append(to: &value)
    let producer = try Producer(config: configuration.kafka)
    let topic = try producer.topic(configuration.topics.events)
    _ = try producer.requireTopics([topic], timeoutMilliseconds: 30_000)
    let bytes = [UInt8](value.bytes)
    let sent = Array(user.utf8).withUnsafeBytes { key in
      bytes.withUnsafeBytes { producer.send(to: topic, key: key, value: $0) }
    }
    switch sent {
    case .accepted: break
    case .failed(let failure): throw KafkaError.failure(failure)
    case .queueFull, .tooLarge: throw CommandFailure.failed("the request was not taken: \(sent)")
    }
    var report: DeliveryReport?
    let left = producer.flush(deadlineMilliseconds: 60_000) { report = $0.first ?? report }
    guard left == 0, let report else {
      throw KafkaError.timedOut(operation: "the request", milliseconds: 60_000)
    }
    if let failure = report.failure { throw KafkaError.failure(failure) }
    return report
  }

  private func requestJSON(_ request: String, _ topic: String, _ report: DeliveryReport) -> String {
    var w = ByteWriter()
    w.append("{\"request\":")
    w.append(quoted: request)
    w.append(",\"topic\":")
    w.append(quoted: topic)
    w.append(",\"partition\":")
    w.append(Int(report.partition))
    w.append(",\"offset\":")
    w.append(Int(report.offset))
    w.append("}")
    return w.string
  }

  private func describe(_ receipt: String) -> String {
    guard let json = try? JSON(receipt), case .object(let removed) = json["removed"] else { return receipt }
    func text(_ key: String) -> String { json[key]?.string ?? "?" }
    let counts = removed.map { "\(Int($0.value.number ?? 0)) \($0.key)" }.joined(separator: ", ")
    return """
      request \(text("request")) of \(text("time")): removed \(counts)
      digest before \(text("digest_before"))
      digest after  \(text("digest_after"))
      """
  }
}

/// Reads the receipts that come from now on.
private final class ReceiptReader {
  private let consumer: Consumer

  init(_ configuration: Configuration) throws {
    var kafka = configuration.kafka
    // Reads by itself, whatever group the daemon is in.
    kafka["group.id"] = nil
    kafka["group.instance.id"] = nil
    consumer = try Consumer(config: kafka, topics: [configuration.topics.receipts])
    let found = try consumer.requireTopics(timeoutMilliseconds: 30_000)
    var starts: [PartitionStart] = []
    for partition in 0..<(found.first?.partitionCount ?? 0) {
      let place = TopicPartition(topic: 0, partition: partition)
      starts.append(PartitionStart(place, .at(try consumer.watermarks(place).high)))
    }
    try consumer.assign(starts)
  }

  /// The receipt of the request, or nil at the deadline.
  func find(_ request: String, within milliseconds: Int64) throws -> String? {
    let deadline = Date().addingTimeInterval(Double(milliseconds) / 1000)
    var found: String?
    while found == nil && Date() < deadline {
      _ = try consumer.poll(maxMessages: 100, timeoutMilliseconds: 100) { message in
        guard let key = message.key, let value = message.value, key.elementsEqual(request.utf8)
        else { return }
        found = String(decoding: value, as: UTF8.self)
      }
    }
    return found
  }
}
