// What takes part in a protocol for us: the formulas with their constants, and the daemon's own list of the
// configuration at hand.
import Engine

public enum OurScorers {
  public static func all(for kind: QualityProtocol, _ configuration: EngineConfiguration) -> [any Scorer] {
    let formulas: [any Scorer] =
      switch kind {
      case .p1New: [DiscoverScorer()]
      case .p1All: [BuyAgainScorer()]
      case .p2: [BasketScorer(.strangers), BasketScorer(.customers)]
      case .p3: [NextClickScorer()]
      }
    return formulas + [EngineScorer(configuration, for: kind, name: "affinity: list by configuration")]
  }
}
