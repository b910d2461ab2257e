// `affinityd produce`: JSON lines onto a topic, keyed as the daemon wants them.
import ArgumentParser
import Daemon
import Kafka

struct ProduceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "produce",
    abstract: "Puts a log of JSON lines onto the events topic, keyed by user (anonymous: session or order).",
    discussion: """
      A line that is no event goes out as it is, without a key: the daemon will say what is wrong with it. With \
      --catalogue the lines are records of the catalogue topic, keyed by `item`.
      """)

  @Argument(help: "JSON lines.") var file: String
  @Option(name: [.customLong("bootstrap"), .customShort("b")], help: "HOST:PORT of a broker.")
  var bootstrap = "localhost:9092"
  @Option(help: "The topic; by default shop.events, with --catalogue shop.catalogue.")
  var topic: String?
  @Flag(help: "The lines are catalogue records.") var catalogue = false
  @Option(help: "Events per second; 0 is as fast as the broker takes them.") var rate = 0.0
  @Option(help: "Read the file this many times.") var times = 1
  @Flag(help: "Records carry the event's time as timestamp, not the time of sending.")
  var eventTimestamps = false
  @Option(name: [.customLong("property"), .customShort("X")], help: "A property of librdkafka, NAME=VALUE.")
  var properties: [String] = []

  func run() throws {
    Signals.install()
    var kafka = ["bootstrap.servers": bootstrap]
    for property in properties {
      guard let at = property.firstIndex(of: "="), at != property.startIndex else {
        throw CommandFailure.usage("-X \(property): NAME=VALUE")
      }
      kafka[String(property[..<at])] = String(property[property.index(after: at)...])
    }
    var options = LogProducer.Options(kafka: kafka)
    options.topic = topic ?? (catalogue ? TopicNames().catalogue : TopicNames().events)
    options.isCatalogue = catalogue
    options.rate = rate
    options.usesEventTime = eventTimestamps
    let bar = ProgressBar("produce")
    do {
      let producer = try LogProducer(options)
      for _ in 0..<max(1, times) {
        try producer.send(file) { bar.show($0, of: $1) }
      }
      let summary = try producer.finish()
      bar.clear()
      complain(
        "\(grouped(summary.records)) records, \(grouped(summary.bytes)) bytes to \(options.topic) in \((summary.seconds * 100).rounded() / 100) s (\(grouped(Int(Double(summary.records) / max(1e-9, summary.seconds))))/s)\(summary.unkeyed > 0 ? "; \(summary.unkeyed) lines are no events" : "")")
    } catch let error as KafkaError {
      if error.isSettings { throw CommandFailure.usage("\(error)") }
      throw CommandFailure.failed("\(bootstrap): \(error)")
    }
  }
}
