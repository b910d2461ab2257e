// From what was written to validated values: the second step. Layers go over one another in the
// order file, environment, flags; every value of every layer is checked, and all that is wrong is
// told at once.
import Glibc
import Kafka
import Recommender

extension Configuration {
  /// - Parameters:
  ///   - file: path of the YAML file; nil where there is none.
  ///   - flags: keys and values of the command line, in their order.
  public static func load(
    file: String?, environment: [String: String], flags: [(key: String, value: String)] = []
  ) throws(ConfigurationProblems) -> Configuration {
    var text = ""
    if let file {
      switch readText(file) {
      case .success(let content): text = content
      case .failure(let why):
        throw ConfigurationProblems(problems: [.init(origin: file, message: why.message)])
      }
    }
    return try load(yaml: text, name: file ?? "", environment: environment, flags: flags)
  }

  /// The same from the text of a file; `name` is what messages call it.
  public static func load(
    yaml: String, name: String, environment: [String: String] = [:],
    flags: [(key: String, value: String)] = []
  ) throws(ConfigurationProblems) -> Configuration {
    // Messages name the file as it is called, not where it lies.
    let shortName = name.split(separator: "/").last.map(String.init) ?? name
    let (fromFile, malformed) = WrittenConfiguration.read(yaml: yaml, name: shortName)
    var loader = ConfigurationLoader()
    loader.problems = malformed
    for value in fromFile { loader.take(value) }
    for value in WrittenConfiguration.read(environment: environment) { loader.take(value) }
    for flag in flags {
      loader.take(
        WrittenValue(
          key: flag.key, content: .scalar(flag.value), layer: .flag, origin: "--\(flag.key)"))
    }
    loader.checkKafka()
    loader.checkTogether()
    if !loader.problems.isEmpty { throw ConfigurationProblems(problems: loader.inOrder) }
    return loader.result
  }
}

struct ConfigurationLoader {
  var result = Configuration()
  var problems: [ConfigurationProblems.Problem] = []
  /// Where each key's value comes from, and which layer gave it.
  private var origins: [String: (origin: String, layer: WrittenValue.Layer)] = [:]
  private var fileNamesRelations = false
  private var kafkaFiles: [String: String] = [:]

  /// Places of origins in the order in which they were read.
  private var places: [String: Int] = [:]

  init() {}

  /// The problems in the order of what was written: first of the file's form, then by place.
  var inOrder: [ConfigurationProblems.Problem] {
    problems.enumerated().sorted { a, b in
      let (x, y) = (places[a.element.origin] ?? -1, places[b.element.origin] ?? -1)
      return x != y ? x < y : a.offset < b.offset
    }.map(\.element)
  }

  mutating func refuse(_ origin: String, _ message: String) {
    let problem = ConfigurationProblems.Problem(origin: origin, message: message)
    if !problems.contains(problem) { problems.append(problem) }
  }

  /// Puts one value into its place, or says why not.
  mutating func take(_ written: WrittenValue) {
    if places[written.origin] == nil { places[written.origin] = places.count }
    if let before = origins[written.key], before.layer == written.layer, written.layer == .file {
      refuse(written.origin, "\(written.key): given twice, before at \(before.origin)")
      return
    }
    origins[written.key] = (written.origin, written.layer)
    if written.key.hasPrefix("kafka.") { return takeKafka(written) }
    if written.key == "model.relations" || written.key.hasPrefix("model.relations.") {
      return takeRelation(written)
    }
    guard let key = ConfigurationKey.byPath[written.key] else { return refuseUnknown(written) }
    if let problem = misfit(written, takesList: key.value.isList) {
      return refuse(written.origin, "\(written.key): \(problem)")
    }
    do { try key.value.store(written.text, in: &result) } catch {
      refuse(written.origin, "\(written.key)\(shown(written)): \(error.message)")
    }
  }

  private func shown(_ written: WrittenValue) -> String {
    written.text.isEmpty ? "" : " " + written.text
  }

  private func misfit(_ written: WrittenValue, takesList: Bool) -> String? {
    switch written.content {
    case .scalar: nil
    case .list(let parts):
      takesList
        ? (parts.isEmpty ? "an empty list; leave the key out for its default" : nil)
        : "one value, not a list"
    case .empty: "empty; leave the key out for its default"
    case .emptySection: "one value, not a section"
    }
  }

  private mutating func refuseUnknown(_ written: WrittenValue) {
    let key = written.key
    let paths = ConfigurationKey.all.map(\.path)
    let inside = (paths + ["kafka.bootstrap.servers", "model.relations"]).filter {
      $0.hasPrefix(key + ".")
    }
    if !inside.isEmpty {
      // A section with nothing in it says nothing wrong.
      if written.content == .emptySection || written.content == .empty { return }
      let names = inside.map { String($0.dropFirst(key.count + 1)) }
      return refuse(
        written.origin,
        "\(key)\(shown(written)): a section; its keys are \(names.joined(separator: ", "))")
    }
    if let parent = paths.first(where: { key.hasPrefix($0 + ".") }) {
      return refuse(written.origin, "\(parent): one value, not a section")
    }
    let near = ConfigurationNames.nearest(to: key, among: paths + ["model.relations"])
    refuse(written.origin, "\(key): no such key" + (near.map { "; did you mean \($0)?" } ?? ""))
  }

  // MARK: - Relations

  private mutating func takeRelation(_ written: WrittenValue) {
    if written.layer == .file && !fileNamesRelations {
      // Named in the file, they replace the defaults; environment and flags change what there is.
      fileNamesRelations = true
      result.engine.relations = []
    }
    let parts = written.key.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    if parts.count == 2 {
      if written.content != .emptySection {
        refuse(
          written.origin,
          "model.relations\(shown(written)): a section; its keys are names of relations")
      }
      return
    }
    let name = parts[2]
    let isLegal =
      !name.isEmpty && name.utf8.count <= 64
      && name.utf8.allSatisfy {
        ($0 >= 48 && $0 <= 57) || ($0 | 32 >= 97 && $0 | 32 <= 122) || $0 == 95 || $0 == 45
      }
    if !isLegal {
      return refuse(
        written.origin, "\(written.key): a relation's name is 1 to 64 of a-z A-Z 0-9 _ -")
    }
    var at = result.engine.relations.firstIndex { $0.name == name }
    if at == nil {
      result.engine.relations.append(RelationConfiguration(name: name))
      at = result.engine.relations.count - 1
    }
    guard let at else { return }
    if parts.count == 3 {
      // A name alone is a relation with every field at its default.
      if written.content != .empty && written.content != .emptySection {
        let fields = RelationField.all.map(\.name).joined(separator: ", ")
        refuse(written.origin, "\(written.key)\(shown(written)): a section; its keys are \(fields)")
      }
      return
    }
    let fieldName = parts[3...].joined(separator: ".")
    guard let field = RelationField.byName[fieldName] else {
      let near = ConfigurationNames.nearest(to: fieldName, among: RelationField.all.map(\.name))
      return refuse(
        written.origin,
        "\(written.key): no such key" + (near.map { "; did you mean \($0)?" } ?? ""))
    }
    if let problem = misfit(written, takesList: field.value.isList) {
      return refuse(written.origin, "\(written.key): \(problem)")
    }
    do { try field.value.store(written.text, in: &result.engine.relations[at]) } catch {
      refuse(written.origin, "\(written.key)\(shown(written)): \(error.message)")
    }
  }

  // MARK: - Kafka

  private mutating func takeKafka(_ written: WrittenValue) {
    var name = String(written.key.dropFirst("kafka.".count))
    if let problem = misfit(written, takesList: true) {
      return refuse(written.origin, "\(written.key): \(problem)")
    }
    if name.hasSuffix("_file"), Settings.isSecret(String(name.dropLast(5))) {
      name = String(name.dropLast(5))
      if let rival = origins["kafka.\(name)"], rival.layer == written.layer {
        return refuse(
          written.origin, "\(written.key): kafka.\(name) is given, too, at \(rival.origin)")
      }
      switch readText(written.text) {
      case .failure(let why):
        refuse(written.origin, "\(written.key) \(written.text): \(why.message)")
      case .success(var secret):
        while let last = secret.last, last.isNewline { secret.removeLast() }
        if secret.isEmpty {
          return refuse(written.origin, "\(written.key) \(written.text): the file is empty")
        }
        kafkaFiles[name] = written.origin
        result.kafka[name] = secret
      }
      return
    }
    if Settings.isSecret(name) {
      if written.layer == .flag {
        return refuse(
          written.origin,
          "a secret does not belong on the command line, where everyone on the machine can read it; "
            + "use \(WrittenConfiguration.variable(for: written.key)) or \(written.key)_file")
      }
      if let rival = origins["kafka.\(name)_file"], rival.layer == written.layer {
        return refuse(
          written.origin, "\(written.key): \(written.key)_file is given, too, at \(rival.origin)")
      }
      kafkaFiles[name] = nil
    }
    result.kafka[name] = written.text
  }

  /// Asks librdkafka, which knows its properties best.
  mutating func checkKafka() {
    for role in [ClientRole.consumer, .producer] {
      for error in Settings.check(result.kafka, role: role) {
        switch error {
        case .unknownProperty(let name, let suggestion):
          refuse(
            origin(ofProperty: name),
            "kafka.\(name): librdkafka knows no such property"
              + (suggestion.map { "; did you mean \($0)?" } ?? ""))
        case .deniedProperty(let name, let required, let reason):
          let value = Settings.isSecret(name) ? "" : " \(result.kafka[name] ?? "")"
          refuse(
            origin(ofProperty: name), "kafka.\(name)\(value): must stay \(required): \(reason)")
        case .invalidProperty(let name, let message):
          refuse(origin(ofProperty: name), "kafka.\(name): \(message)")
        default: refuse("", "kafka: \(error)")
        }
      }
    }
  }

  private func origin(ofProperty name: String) -> String {
    kafkaFiles[name] ?? origins["kafka.\(name)"]?.origin ?? ""
  }

  // MARK: - Several keys together

  mutating func checkTogether() {
    let rules = result.engine.rules
    if rules.maxLength > 0 && rules.maxConsequent >= rules.maxLength {
      refuseTogether(
        ["rules.max_consequent", "rules.max_length"],
        "rules.max_consequent \(rules.maxConsequent): below rules.max_length, which is \(rules.maxLength)"
      )
    }
    var names: [String: String] = [:]
    for key in ConfigurationKey.all {
      guard case .topic(let path) = key.value else { continue }
      let topic = result[keyPath: path]
      if let other = names[topic] {
        refuseTogether([key.path, other], "\(key.path) \(topic): the same topic as \(other)")
      } else {
        names[topic] = key.path
      }
    }
    if result.metricsFile != "-" && result.metricsFile == result.logFile {
      refuseTogether(
        ["metrics.file", "log.file"],
        "metrics.file \(result.metricsFile): the same file as log.file")
    }
  }

  /// Told at the first of the keys that was written at all.
  private mutating func refuseTogether(_ keys: [String], _ message: String) {
    refuse(keys.compactMap { origins[$0]?.origin }.first ?? "", message)
  }
}

/// A small text file, or what the system says. Bytes that are not UTF-8 become U+FFFD.
private func readText(_ path: String) -> Result<String, ConfigurationFailure> {
  func failure() -> Result<String, ConfigurationFailure> {
    .failure(ConfigurationFailure(message: String(cString: strerror(errno))))
  }
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  if descriptor < 0 { return failure() }
  defer { close(descriptor) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let n = read(descriptor, &chunk, chunk.count)
    if n < 0 { return failure() }
    if n == 0 { break }
    bytes.append(contentsOf: chunk[..<n])
    if bytes.count > 16 << 20 {
      return .failure(ConfigurationFailure(message: "more than 16 MiB: not a configuration"))
    }
  }
  return .success(String(decoding: bytes, as: UTF8.self))
}
