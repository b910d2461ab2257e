// When replay computes models.

public enum ReplayTicks: Sendable, Equatable {
  /// At every multiple of this many milliseconds since 1970 that an event crosses.
  case every(Int64)
  /// Once, after the last event.
  case end
  /// As the records of this file say (models.jsonl, or a dump of the models topic).
  case recorded(String)

  /// The tick that an event at `time` crosses, coming after stream time `before`: the last multiple
  /// at or before it, once however many are crossed; nil where none is.
  func crossed(by time: Int64, after before: Int64?) -> Int64? {
    guard case .every(let interval) = self, let before, time > before else { return nil }
    let now = time / interval
    return now > before / interval ? now * interval : nil
  }
}
