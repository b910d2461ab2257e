// What takes part in a protocol for us: the daemon's lists, as it would publish them.
import Engine

public enum OurScorers {
  public static func all(for kind: QualityProtocol, _ configuration: EngineConfiguration) -> [any Scorer] {
    [EngineScorer(configuration, for: kind)]
  }
}
