// The demo's shop: history as fast as the broker takes it, then events as they would come.
import Daemon
import Foundation
import Kafka
import Simulator
import Sparse

final class DemoShop: @unchecked Sendable {
  let titles: [String: String]
  private let options: DemoCommand
  private let producer: Producer
  private let events: ProducerTopic
  private let catalogueTopic: ProducerTopic
  private let configuration: ShopConfiguration
  private let done = DispatchSemaphore(value: 0)

  init(_ options: DemoCommand, broker: String, topics: TopicNames) throws {
    self.options = options
    producer = try Producer(config: ["bootstrap.servers": broker, "linger.ms": "5"])
    events = try producer.topic(topics.events)
    catalogueTopic = try producer.topic(topics.catalogue)
    var c = ShopConfiguration()
    c.seed = options.seed
    c.users = options.users
    c.items = options.items
    c.events = max(1, options.history)
    c.span = 14 * 86_400_000
    c.start = DemoShop.now() - c.span
    c.openSessions = 40
    configuration = c
    let shop = Shop(c)
    var names: [String: String] = [:]
    for item in 0..<shop.catalogue.count {
      names[shop.catalogue.id(item)] = shop.catalogue.titles[item]
    }
    titles = names
  }

  static func now() -> Int64 { Int64(Date().timeIntervalSince1970 * 1000) }

  func start() {
    Thread.detachNewThread { [self] in
      work()
      done.signal()
    }
  }

  func join() { done.wait() }

  private func work() {
    var shop = Shop(configuration)
    var writer = ByteWriter()
    for item in 0..<shop.catalogue.count {
      writer.removeAll()
      shop.catalogue.write(item, into: &writer)
      var id = shop.catalogue.id(item)
      id.withUTF8 { send(catalogueTopic, UnsafeRawBufferPointer($0), writer.bytes) }
    }
    for _ in 0..<options.history {
      if Signals.isStopRequested { return }
      writer.removeAll()
      put(shop.next(into: &writer), writer)
    }
    let started = DemoShop.now()
    var sent = 0.0
    while !Signals.isStopRequested {
      let due = Double(DemoShop.now() - started) / 1000 * options.rate
      while sent < due {
        writer.removeAll()
        put(shop.next(at: DemoShop.now(), into: &writer), writer)
        sent += 1
      }
      producer.poll(timeoutMilliseconds: 20) { _ in }
    }
    _ = producer.flush(deadlineMilliseconds: 2000) { _ in }
  }

  private func put(_ line: Shop.Line, _ writer: borrowing ByteWriter) {
    send(
      events, UnsafeRawBufferPointer(rebasing: writer.bytes[line.key]),
      UnsafeRawBufferPointer(rebasing: writer.bytes[line.bytes]))
  }

  private func send(
    _ topic: ProducerTopic, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
  ) {
    while !Signals.isStopRequested {
      if producer.send(to: topic, key: key, value: value) != .queueFull { return }
      producer.poll(timeoutMilliseconds: 10) { _ in }
    }
  }
}
