// Values on the command line: durations and times.
import ArgumentParser
import Daemon
import Importers

/// A duration with its unit: 250ms, 5s, 10m, 1h, 30d.
struct DurationArgument: ExpressibleByArgument {
  var milliseconds: Int64

  init(milliseconds: Int64) { self.milliseconds = milliseconds }
  init?(argument: String) {
    guard let value = DurationText.parse(argument) else { return nil }
    milliseconds = value
  }
  var defaultValueDescription: String { DurationText.format(milliseconds) }
}

/// A time: RFC 3339 (or a date), or milliseconds since 1970.
struct TimeArgument: ExpressibleByArgument {
  var milliseconds: Int64

  init(milliseconds: Int64) { self.milliseconds = milliseconds }
  init?(argument: String) {
    guard let value = TimeFormat.iso.parse(argument) ?? TimeFormat.milliseconds.parse(argument)
    else { return nil }
    milliseconds = value
  }
}

/// Thousands apart, for people: 1 234 567.
func grouped(_ value: Int) -> String { grouped(value, by: " ") }
