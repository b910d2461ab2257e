// What sells at the time: it fills the lists of strangers, and breaks ties elsewhere.
import CKernels
import Recommender
import Sparse

struct PopularitySource: ~Copyable, CandidateSource {
  private let weight: Double

  init(_ configuration: EngineConfiguration) { weight = configuration.recommend.popularityWeight }

  mutating func prepare(_ model: Model) {}

  mutating func propose(
    _ scene: Scene, basket: borrowing Vec<UInt32>, model: Model,
    interactions: borrowing Interactions, to candidates: inout Candidates
  ) {
    if weight <= 0 { return }
    candidates.propose(
      Run(
        ids: UnsafePointer(model.popularIDs.base), values: UnsafePointer(model.popularShares.base),
        weight: weight, count: UInt32(model.popularIDs.count), source: SourceKind.popularity,
        because: 0, recency: -1, start: 0))
  }

  mutating func write(
    _ reason: Reason, model: Model, items: borrowing Interner, into w: inout ByteWriter
  ) {
    let entry = model.popular[Int(reason.place)]
    w.append("{\"source\":\"popularity\",\"list\":\"popular\",\"measure\":\"decayed_share\",\"count\":")
    w.append(Int(entry.count))
    w.append(",\"decayed\":")
    w.append(entry.decayed)
    w.append(",\"maximum\":")
    w.append(model.popular[0].decayed)
    w.append(endOf: reason)
  }
}
