// The configuration on the command line, for every command that has one: `@OptionGroup var
// settings: ConfigurationArguments`, then `try settings.load()`.
import ArgumentParser
import Daemon
import Foundation

struct ConfigurationArguments: ParsableArguments {
  @Option(name: .customLong("config"), help: "The configuration, a YAML file.") var file: String?
  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "Set a key over file and environment; --KEY VALUE is the same (--model.interval 5s). Repeatable. The keys: affinityd validate --keys.",
      valueName: "key=value"))
  var set: [String] = []

  func validate() throws {
    for text in set where !text.contains("=") {
      throw ValidationError("--set \(text): wanted KEY=VALUE")
    }
  }

  /// What file, environment and flags say together; all that is wrong is one failure.
  /// - Parameter status: the exit status of that failure (`run`: 78).
  func load(status: Int32 = 2) throws -> Configuration {
    do throws(ConfigurationProblems) { return try read() } catch {
      let count = error.problems.count
      throw CommandFailure(
        message: "\(count) \(count == 1 ? "fault" : "faults") in the configuration\n\(error)",
        status: status)
    }
  }

  /// The same; all that is wrong as it is.
  func read() throws(ConfigurationProblems) -> Configuration {
    let flags = set.map { text in
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return (key: String(parts[0]), value: parts.count > 1 ? String(parts[1]) : "")
    }
    return try Configuration.load(
      file: file, environment: ProcessInfo.processInfo.environment, flags: flags)
  }
}

/// `--model.interval 5s` and `--model.interval=5s` as `--set model.interval=5s`: every key is a flag,
/// and the parser need not know them all.
func settingsFirst(_ arguments: [String]) -> [String] {
  var result: [String] = []
  var rest = arguments[...]
  while let argument = rest.popFirst() {
    if argument == "--" { return result + [argument] + rest }
    guard argument.hasPrefix("--") else {
      result.append(argument)
      continue
    }
    let parts = argument.dropFirst(2).split(
      separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let name = parts.first ?? ""
    guard name.contains(".") || name == "delivery", name.first?.isLetter == true else {
      result.append(argument)
      continue
    }
    if parts.count == 2 {
      result += ["--set", "\(name)=\(parts[1])"]
    } else if let value = rest.popFirst() {
      result += ["--set", "\(name)=\(value)"]
    } else {
      // Without a value: the check of --set says so.
      result += ["--set", String(name)]
    }
  }
  return result
}
