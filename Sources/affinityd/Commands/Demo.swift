// `affinityd demo`: embedded broker, simulated shop, daemon and a live view in one process.
import ArgumentParser
import Daemon
import Dispatch
import Foundation
import Kafka
import Logging
import Simulator
import Sparse

struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Shows recommendations flowing: broker, shop and daemon in one process, no set-up at all.",
    discussion: """
      A simulated shop writes two weeks of history and then goes on live; the daemon reads both from an embedded \
      broker, and what it recommends is shown with the reason. The broker's address is printed: kcat or a \
      consumer of your own can read along while the demo runs.
      """)

  @Option(help: "End after this long; by default it goes on until Ctrl-C.")
  var duration: DurationArgument?
  @Option(help: "Live events per second.") var rate = 40.0
  @Option(help: "Recommendations shown per second, at most.") var show = 1.0
  @Option(help: "Events of history before the live ones.") var history = 60_000
  @Option(help: "Users of the shop.") var users = 2_000
  @Option(help: "Products of the shop.") var items = 400
  @Option(help: "Seed of the shop.") var seed: UInt64 = 1
  @Option(help: "Keep the daemon's log and metrics in this folder instead of a temporary one.")
  var logs: String?

  func validate() throws {
    if !(rate >= 0 && rate <= 100_000) { throw ValidationError("--rate: 0 to 100000") }
    if !(show > 0) { throw ValidationError("--show: more than 0") }
    if history < 0 || users < 1 || items < 20 {
      throw ValidationError("--history at least 0, --users at least 1, --items at least 20")
    }
  }

  func run() throws {
    Signals.install()
    let folder = logs ?? NSTemporaryDirectory() + "affinity-demo-\(getpid())"
    try Folders.create(folder)
    let cluster: MockCluster
    let topics = TopicNames()
    do throws(KafkaError) {
      cluster = try MockCluster()
      for topic in topics.all { try cluster.createTopic(topic, partitions: 4) }
    } catch {
      throw CommandFailure.failed("\(error)")
    }
    print("Broker   \(cluster.bootstrapServers)   (try: kcat -b \(cluster.bootstrapServers) -C -t \(topics.recommendations) -o end)")
    print("Logs     \(folder)/daemon.log, \(folder)/metrics.jsonl")
    fflush(nil)

    if let duration {
      DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(Int(duration.milliseconds))) {
        Signals.requestStop()
      }
    }
    let shop = try DemoShop(self, broker: cluster.bootstrapServers, topics: topics)
    print("Shop     \(items) products, \(users) users, \(history) events of history, then \(rate.formatted()) a second")
    print("Daemon   joins its group (about 3 s with this broker), then computes a first model\n")
    fflush(nil)
    shop.start()
    let daemon = try DemoDaemon(broker: cluster.bootstrapServers, folder: folder)
    daemon.start()
    let view = try DemoView(
      broker: cluster.bootstrapServers, topics: topics, titles: shop.titles, perSecond: show,
      metrics: folder + "/metrics.jsonl")
    try view.run(until: { Signals.isStopRequested || daemon.hasEnded })
    shop.join()
    try daemon.join()
    view.sayGoodbye()
    if logs == nil { try? FileManager.default.removeItem(atPath: folder) }
    withExtendedLifetime(cluster) {}
  }
}
