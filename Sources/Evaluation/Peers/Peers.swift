// The models that people use today, in plain form: what ours are held against.

public enum Peers {
  /// Those that a protocol's page names.
  public static func all(for kind: QualityProtocol) -> [any Scorer] {
    switch kind {
    case .p1New, .p1All:
      [
        PopularityPeer(), OwnCountPeer(), NeighbourPeer(.cosine, keeping: 50), NeighbourPeer(.jaccard, keeping: 50),
        NeighbourPeer(.llr, keeping: 50), EASEPeer(ridge: 200),
      ]
    case .p2:
      [
        PopularityPeer(), NeighbourPeer(.confidence), NeighbourPeer(.confidence, combining: .maximum),
        NeighbourPeer(.lift, minimum: 5), NeighbourPeer(.jaccard, keeping: 50), NeighbourPeer(.cosine, keeping: 50),
        NeighbourPeer(.cosine, combining: .maximum), NeighbourPeer(.cosine, power: 4, keeping: 50),
        NeighbourPeer(.llr, keeping: 50), EASEPeer(ridge: 100),
      ]
    case .p3:
      [
        PopularityPeer(), LastItemPeer(), SuccessorPeer(.markov), SuccessorPeer(.sequentialRules), SessionPeer(),
      ]
    }
  }
}
