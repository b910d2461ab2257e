// Exactly what was written, and where: the first of the two steps. Nothing is judged here but the
// form of the file itself.
//
// - The file is YAML. A key is its path with dots, whether nested (`rules: {window: 30d}`) or written
//   out (`rules.window: 30d`).
// - A variable AFFINITY_RULES__MIN_SUPPORT is the key rules.min_support: without the prefix, in lower
//   case, two underscores a dot. Behind AFFINITY_KAFKA__ a single underscore is a dot, too:
//   AFFINITY_KAFKA__BOOTSTRAP_SERVERS, for librdkafka's names have none (but log_level).
// - A flag is `--rules.min_support 0.01` or `--set rules.min_support=0.01`.
import Kafka
import Yams

/// One value as written.
struct WrittenValue: Equatable {
  enum Content: Equatable {
    case scalar(String)
    case list([String])
    /// A key with nothing behind it.
    case empty
    /// `{}`: a section without keys.
    case emptySection
  }
  enum Layer: Int, Comparable {
    case file, environment, flag
    static func < (a: Layer, b: Layer) -> Bool { a.rawValue < b.rawValue }
  }
  var key: String
  var content: Content
  var layer: Layer
  /// `affinity.yaml:12`, `AFFINITY_MODEL__INTERVAL`, `--model.interval`.
  var origin: String

  /// A list in one line, as in the environment.
  var text: String {
    switch content {
    case .scalar(let text): text
    case .list(let parts): parts.joined(separator: ",")
    case .empty, .emptySection: ""
    }
  }
}

enum WrittenConfiguration {
  typealias Problem = ConfigurationProblems.Problem

  /// The values of a YAML text in its order, and what is wrong with its form.
  static func read(yaml: String, name: String) -> ([WrittenValue], [Problem]) {
    let root: Node?
    do { root = try Yams.compose(yaml: yaml) } catch { return ([], [problem(error, name)]) }
    guard let root, !isNull(root) else { return ([], []) }
    guard case .mapping = root else {
      return ([], [Problem(origin: "\(name):1", message: "not a mapping of keys to values")])
    }
    var values: [WrittenValue] = []
    var problems: [Problem] = []
    flatten(root, key: "", line: 1, depth: 0, name, &values, &problems)
    return (values, problems)
  }

  private static func flatten(
    _ node: Node, key: String, line: Int, depth: Int, _ name: String,
    _ values: inout [WrittenValue], _ problems: inout [Problem]
  ) {
    func add(_ content: WrittenValue.Content) {
      values.append(
        WrittenValue(key: key, content: content, layer: .file, origin: "\(name):\(line)"))
    }
    func refuse(_ message: String) {
      problems.append(Problem(origin: "\(name):\(line)", message: "\(key): \(message)"))
    }
    if depth > 16 { return refuse("nested too deeply") }
    switch node {
    case .scalar(let scalar): isNull(node) ? add(.empty) : add(.scalar(scalar.string))
    case .sequence(let sequence):
      var parts: [String] = []
      for entry in sequence {
        guard case .scalar(let scalar) = entry else { return refuse("a list of plain values") }
        parts.append(scalar.string)
      }
      add(.list(parts))
    case .mapping(let mapping):
      if mapping.isEmpty { return add(.emptySection) }
      for (child, value) in mapping {
        let childLine = child.mark?.line ?? line
        guard case .scalar(let text) = child, !text.string.isEmpty else {
          problems.append(
            Problem(origin: "\(name):\(childLine)", message: "\(key): a key must be plain text"))
          continue
        }
        flatten(
          value, key: key.isEmpty ? text.string : key + "." + text.string, line: childLine,
          depth: depth + 1, name, &values, &problems)
      }
    case .alias: refuse("an alias without its anchor")
    }
  }

  private static func isNull(_ node: Node) -> Bool {
    guard case .scalar(let scalar) = node, scalar.style == .plain || scalar.style == .any else {
      return false
    }
    return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
  }

  private static func problem(_ error: any Error, _ name: String) -> Problem {
    switch error {
    case YamlError.scanner(let context, let problem, let mark, _),
      YamlError.parser(let context, let problem, let mark, _),
      YamlError.composer(let context, let problem, let mark, _):
      let around = context.map { " (\($0.text))" } ?? ""
      return Problem(origin: "\(name):\(mark.line)", message: "not YAML: \(problem)\(around)")
    case YamlError.duplicatedKeysInMapping(let duplicates, let context):
      let keys = duplicates.joined(separator: ", ")
      return Problem(origin: "\(name):\(context.mark.line)", message: "\(keys): given twice")
    case YamlError.reader(let problem, let offset, _, _):
      return Problem(
        origin: name, message: "not YAML: \(problem)" + (offset.map { " at byte \($0)" } ?? ""))
    default: return Problem(origin: name, message: "not YAML: \(error)")
    }
  }

  /// The variables that are keys, by name.
  static func read(environment: [String: String]) -> [WrittenValue] {
    var values: [WrittenValue] = []
    for name in environment.keys.sorted() where name.hasPrefix("AFFINITY_") {
      guard let key = key(ofVariable: name) else { continue }
      values.append(
        WrittenValue(
          key: key, content: .scalar(environment[name] ?? ""), layer: .environment, origin: name))
    }
    return values
  }

  /// nil for a variable that is none of ours: one without a section (`AFFINITY_PORT`, as Kubernetes
  /// makes for a service of that name) that is no key either.
  static func key(ofVariable name: String) -> String? {
    let rest = String(name.dropFirst("AFFINITY_".count)).lowercased()
    let kafka = "kafka__"
    if rest.hasPrefix(kafka) {
      let dotted = dots(dots(String(rest.dropFirst(kafka.count)), every: "__"), every: "_")
      // A secret's file is named by its last underscore: sasl.password_file.
      if dotted.hasSuffix(".file"), Settings.isSecret(String(dotted.dropLast(5))) {
        return "kafka.\(dotted.dropLast(5))_file"
      }
      return "kafka." + (dotted == "log.level" ? "log_level" : dotted)
    }
    let key = dots(rest, every: "__")
    return key.contains(".") || ConfigurationKey.byPath[key] != nil ? key : nil
  }

  private static func dots(_ text: String, every separator: String) -> String {
    var result = ""
    var rest = text[...]
    while !rest.isEmpty {
      if rest.hasPrefix(separator) {
        result += "."
        rest = rest.dropFirst(separator.count)
      } else {
        result.append(rest.removeFirst())
      }
    }
    return result
  }

  /// The variable that stands for a key.
  static func variable(for key: String) -> String {
    var text = "AFFINITY_"
    if key.hasPrefix("kafka.") {
      text += "KAFKA__"
      for c in key.dropFirst(6) { text += c == "." ? "_" : c.uppercased() }
      return text
    }
    for c in key { text += c == "." ? "__" : c.uppercased() }
    return text
  }
}
