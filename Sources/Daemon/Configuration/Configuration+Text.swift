// What the key table says, as text: the table of the README, the help of the command line, and the
// values in force as YAML that reads back to the same (secrets left out).
import Kafka
import Sparse

extension Configuration {
  /// Every key with default, values and meaning, as a Markdown table.
  public static var markdownTable: String {
    var lines = ["| key | default | values | what it is |", "| --- | --- | --- | --- |"]
    lines.append(
      "| `kafka.*` | `bootstrap.servers: localhost:9092`, `group.id: affinity` | any property of librdkafka"
        + " | passed through; a secret may stand in a file: `kafka.sasl.password_file` |")
    for key in ConfigurationKey.all {
      let speed = key.isOnlyForSpeed ? " (changes no output)" : ""
      lines.append(
        "| `\(key.path)` | `\(key.defaultText)` | \(key.value.wanted) | \(key.doc)\(speed) |")
      if key.path == "model.threads" {
        for field in RelationField.all {
          lines.append(
            "| `model.relations.NAME.\(field.name)` | `\(field.defaultText)` | \(field.value.wanted) | \(field.doc) |"
          )
        }
      }
    }
    return lines.joined(separator: "\n")
  }

  /// The same for a terminal.
  public static var keyHelp: String {
    var rows: [(String, String)] = [
      ("kafka.PROPERTY", "any property of librdkafka (bootstrap.servers, group.id, …)")
    ]
    for key in ConfigurationKey.all {
      rows.append((key.path, "\(key.doc); \(key.value.wanted) [\(key.defaultText)]"))
      if key.path == "model.threads" {
        for field in RelationField.all {
          rows.append(
            (
              "model.relations.NAME.\(field.name)",
              "\(field.doc); \(field.value.wanted) [\(field.defaultText)]"
            ))
        }
      }
    }
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { name, text in
      name + String(repeating: " ", count: width - name.count + 2) + text
    }.joined(separator: "\n")
  }

  /// The values in force as YAML. Reads back to the same configuration, secrets apart.
  public var effectiveText: String {
    var lines = ["kafka:"]
    for name in kafka.keys.sorted() {
      let value = Settings.isSecret(name) ? "****" : kafka[name] ?? ""
      lines.append("  \(name): \(quoted(value))")
    }
    var section = ""
    for key in ConfigurationKey.all {
      let parts = key.path.split(separator: ".", maxSplits: 1).map(String.init)
      let name = parts.count == 2 ? parts[1] : key.path
      let value = shown(key)
      if parts.count == 1 {
        section = ""
        lines.append("\(name): \(value)")
        continue
      }
      if parts[0] != section {
        section = parts[0]
        lines.append("\(section):")
      }
      lines.append("  \(name): \(value)")
      if key.path == "model.threads" { lines += relationLines }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func shown(_ key: ConfigurationKey) -> String {
    switch key.value {
    case .text, .listen: quoted(key.value.show(self))
    default: key.value.show(self)
    }
  }

  private var relationLines: [String] {
    if engine.relations.isEmpty { return ["  relations: {}"] }
    return ["  relations:"]
      + engine.relations.map { relation in
        let fields = RelationField.all.map { "\($0.name): \($0.value.show(relation))" }
        return "    \(relation.name): {\(fields.joined(separator: ", "))}"
      }
  }

  /// A JSON string is a YAML string.
  private func quoted(_ text: String) -> String {
    var writer = ByteWriter()
    writer.append(quoted: text)
    return writer.string
  }
}
