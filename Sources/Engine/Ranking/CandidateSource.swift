// Where candidates come from: the interface of neighbours, rules and popularity, and of what comes next.
import Recommender
import Sparse

/// Proposes items with values, and says later why. Adding one: a type, a place in `SourceKind`, and its two lines
/// in `Ranker`.
protocol CandidateSource: ~Copyable {
  /// Another model is in force.
  mutating func prepare(_ model: Model)

  /// Adds a run per stretch of items. The arrays stay as they are until the next call.
  mutating func propose(
    _ scene: Scene, basket: borrowing Vec<UInt32>, model: Model,
    interactions: borrowing Interactions, to candidates: inout Candidates)

  /// Asks for the memory that `write` will read: of a whole list first, then it is there.
  func fetch(_ reason: Reason, items: borrowing Interner)

  /// Writes one reason, a JSON object.
  mutating func write(
    _ reason: Reason, model: Model, items: borrowing Interner, into w: inout ByteWriter)
}

extension CandidateSource where Self: ~Copyable {
  func fetch(_ reason: Reason, items: borrowing Interner) {}
}

/// Sources, and the number by which a run knows its own: relations count from 0.
enum SourceKind {
  static let rules: UInt32 = 1 << 30
  static let popularity: UInt32 = 1 << 30 | 1
}

/// One listed contribution.
struct Reason: BitwiseCopyable {
  /// What is recommended.
  var item: UInt32
  /// The run's number in its list, and the place in it.
  var number: UInt32
  var place: UInt32
  /// value × weight
  var contribution: Double
  var run: UnsafePointer<Run>

  var value: Double { run.pointee.values[Int(place)] }
}

extension ByteWriter {
  /// The end of every reason.
  mutating func append(endOf reason: Reason) {
    append(",\"value\":")
    append(reason.value)
    append(",\"weight\":")
    append(reason.run.pointee.weight)
    append(",\"contribution\":")
    append(reason.contribution)
    append("}")
  }
}
