// `affinityd broker`: the embedded broker alone, for trying things out and for tests.
import ArgumentParser
import Daemon
import Glibc
import Kafka

struct BrokerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "broker",
    abstract: "Runs the embedded broker (librdkafka's mock cluster) until it is stopped.",
    discussion: """
      Prints `bootstrap.servers=HOST:PORT` once it listens; the port is the system's choice. It keeps 5 MiB a \
      partition in memory and then drops the oldest records, has no transactions and no compaction: start \
      consumers first, or use many partitions. Nothing is left when it ends.
      """)

  @Option(help: "Partitions of each topic.") var partitions = 4
  @Option(help: "Brokers in the cluster.") var brokers = 1
  @Option(name: .customLong("topic"), help: "Further topics to create.") var extraTopics: [String] = []
  @Option(help: "Write HOST:PORT into this file as well.") var bootstrapFile: String?

  func validate() throws {
    if !(1...1024).contains(partitions) { throw ValidationError("--partitions: 1 to 1024") }
    if !(1...16).contains(brokers) { throw ValidationError("--brokers: 1 to 16") }
  }

  func run() throws {
    Signals.install()
    let cluster: MockCluster
    do throws(KafkaError) {
      cluster = try MockCluster(brokers: brokers)
      for topic in TopicNames().all + extraTopics {
        try cluster.createTopic(topic, partitions: partitions)
      }
    } catch {
      throw CommandFailure.failed("\(error)")
    }
    if let bootstrapFile {
      guard let file = fopen(bootstrapFile, "w") else {
        throw CommandFailure.failed("\(bootstrapFile): \(systemError())")
      }
      fputs(cluster.bootstrapServers + "\n", file)
      fclose(file)
    }
    print("bootstrap.servers=\(cluster.bootstrapServers)")
    print("topics of \(partitions) partitions: \((TopicNames().all + extraTopics).joined(separator: " "))")
    fflush(nil)
    while !Signals.isStopRequested { usleep(50_000) }
    withExtendedLifetime(cluster) {}
  }
}
