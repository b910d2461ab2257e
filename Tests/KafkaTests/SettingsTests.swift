import Kafka
import Testing

@Suite struct SettingsTests {
  @Test func everyMistakeIsToldAtOnceInOrderOfNames() {
    let errors = Settings.check(
      [
        "bootstrap.servers": "localhost:9092", "fetch.wait.max.msec": "100",
        "enable.auto.commit": "true", "queued.min.messages": "many", "group.id": "g",
      ], role: .consumer)
    #expect(errors.count == 3)
    guard errors.count == 3 else { return }
    guard case .deniedProperty("enable.auto.commit", "false", _) = errors[0] else {
      Issue.record("\(errors[0])")
      return
    }
    #expect(
      errors[1]
        == .unknownProperty(name: "fetch.wait.max.msec", suggestion: "fetch.wait.max.ms"))
    guard case .invalidProperty("queued.min.messages", let message) = errors[2] else {
      Issue.record("\(errors[2])")
      return
    }
    #expect(message.contains("many"))
    #expect(errors.allSatisfy { $0.isSettings })
  }

  @Test(arguments: [
    ("enable.auto.commit", "true"), ("enable.auto.offset.store", "true"),
    ("auto.offset.reset", "earliest"), ("isolation.level", "read_uncommitted"),
    ("partition.assignment.strategy", "cooperative-sticky"), ("log.queue", "false"),
  ])
  func promisesOfTheConsumerCannotBeSwitchedOff(_ name: String, _ value: String) {
    let errors = Settings.check([name: value], role: .consumer)
    guard case .deniedProperty(let told, _, _)? = errors.first else {
      Issue.record("\(errors)")
      return
    }
    #expect(told == name)
    // The consumer's own initialiser refuses it too.
    do {
      _ = try Consumer(config: [name: value, "group.id": "g"], topics: ["t"])
      Issue.record("accepted \(name)=\(value)")
    } catch {
      #expect(error == errors.first)
    }
  }

  @Test(arguments: [
    ("enable.idempotence", "false"), ("acks", "1"), ("request.required.acks", "0"),
    ("delivery.report.only.error", "true"), ("transactional.id", "mine"),
  ])
  func promisesOfTheProducerCannotBeSwitchedOff(_ name: String, _ value: String) {
    let errors = Settings.check([name: value], role: .producer)
    guard case .deniedProperty(let told, _, _)? = errors.first else {
      Issue.record("\(errors)")
      return
    }
    #expect(told == name)
  }

  @Test func oneMapServesBothClients() {
    let both = [
      "bootstrap.servers": "localhost:9092", "group.id": "g", "linger.ms": "5",
      "max.poll.interval.ms": "400000", "enable.auto.commit": "false", "acks": "all",
      "compression.type": "zstd", "security.protocol": "plaintext",
    ]
    #expect(Settings.check(both, role: .consumer).isEmpty)
    #expect(Settings.check(both, role: .producer).isEmpty)
    #expect(!Settings.concerns("linger.ms", role: .consumer))
    #expect(!Settings.concerns("group.id", role: .producer))
    #expect(Settings.concerns("ssl.ca.location", role: .producer))
  }

  @Test func secretsAreNotRepeated() {
    let errors = Settings.check(
      ["ssl.key.password": "hunter2", "ssl.key.pem": "hunter2", "sasl.password": "hunter2"],
      role: .producer)
    #expect(!errors.map(\.description).joined().contains("hunter2"))
    #expect(Settings.isSecret("sasl.password") && !Settings.isSecret("sasl.username"))
  }

  @Test func whatDoesNotGoTogetherIsToldByName() {
    do {
      _ = try Producer(config: ["max.in.flight": "100", "enable.idempotence": "true"])
      Issue.record("accepted")
    } catch {
      #expect(error.isSettings)
      #expect(error.description.contains("max.in.flight"))
    }
  }

  @Test func aStrangeWordGetsNoSuggestion() {
    #expect(
      Settings.check(["recommendations": "7"], role: .consumer)
        == [.unknownProperty(name: "recommendations", suggestion: nil)])
    #expect(Settings.library.contains("librdkafka 2."))
  }
}
