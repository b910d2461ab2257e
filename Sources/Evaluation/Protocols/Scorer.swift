// A model under a protocol, in the narrowest form: it learns from the training part, then gives every item a score.
import Recommender

/// One question of a protocol. Items and users are codes of the training part.
public struct Question: Sendable {
  /// `InteractionLog.none`: nobody we know.
  public var user = InteractionLog.none
  /// What is known, the newest last: the user's training items (P1), the basket without what is hidden (P2), the
  /// session's clicks with their repeats (P3).
  public var given: [UInt32] = []
  /// Neither candidates nor relevant.
  public var excluded: [UInt32] = []
  /// Each once, at least one.
  public var relevant: [UInt32] = []
  /// Who asks: questions of one asker are not independent.
  public var asker: UInt32 = 0
  /// When, ms.
  public var time: Int64 = 0
  public init() {}
}

public protocol Scorer {
  var name: String { get }
  /// What must be known before it can be made: nil, or why this one cannot (a catalogue too large for a dense inverse).
  func obstacle(_ training: Training) -> String?
  /// Learns from all of the training part.
  mutating func fit(_ training: Training, parallel: @escaping Parallel)
  /// Adds to the items' scores, which stand at 0. Only items above 0 are ever listed.
  mutating func score(_ question: Question, _ training: Training, into scores: inout [Double])
}

extension Scorer {
  public func obstacle(_ training: Training) -> String? { nil }
}
