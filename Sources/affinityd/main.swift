// affinityd: the table of contents. Each subcommand is a file in Commands.
//
// Exit status: 0 done, 1 failed, 2 wrong use; `run` uses sysexits (see its help).
import ArgumentParser
import Daemon
import Glibc
import Kafka

struct Affinityd: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "affinityd",
    abstract: "Turns a shop's event log into recommendations, all the time.",
    subcommands: [
      RunCommand.self, DemoCommand.self, ReplayCommand.self, BacktestCommand.self, TuneCommand.self,
      InsightsCommand.self, ExplainCommand.self,
      SimulateCommand.self, ImportCommand.self, ValidateCommand.self, InspectCommand.self,
      ProduceCommand.self, EraseCommand.self, BrokerCommand.self,
    ])
}

// A closed pipe is an error of the write that meets it, not the end of the process.
signal(SIGPIPE, SIG_IGN)
do {
  let arguments = settingsFirst(Array(CommandLine.arguments.dropFirst()))
  var command = try Affinityd.parseAsRoot(arguments)
  try command.run()
} catch let failure as CommandFailure {
  failure.report()
  exit(failure.status)
} catch let error as any InputError {
  CommandFailure.failed("\(error)").report()
  exit(1)
} catch let error as KafkaError {
  CommandFailure.failed("\(error)").report()
  exit(1)
} catch {
  let code = Affinityd.exitCode(for: error)
  if code == .success {
    print(Affinityd.fullMessage(for: error))
    exit(0)
  }
  let message = Affinityd.fullMessage(for: error)
  if !message.isEmpty { complain(message) }
  let isDaemon = CommandLine.arguments.dropFirst().first == "run"
  exit(code == .validationFailure && !isDaemon ? 2 : code.rawValue)
}
