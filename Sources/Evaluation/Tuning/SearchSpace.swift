// What a search may change: keys of the configuration and the values it tries. Coarse on purpose: quality is flat around
// good constants, and a finer grid would fit the split's noise.
import Engine
import Recommender
import Sparse

/// One key with its candidates, as they would be written.
public struct SearchDimension: Sendable, Equatable {
  public var key: String
  public var values: [String]
  public init(_ key: String, _ values: [String]) {
    self.key = key
    self.values = values
  }
}

/// A configuration as differences from the one that the search starts from.
public struct Candidate: Sendable, Equatable {
  /// In the order of the space; keys that stay as they are do not stand here.
  public var changes: [(key: String, value: String)]
  public init(changes: [(key: String, value: String)] = []) { self.changes = changes }
  public static func == (a: Candidate, b: Candidate) -> Bool { a.text == b.text }
  public var text: String {
    changes.isEmpty ? "unchanged" : changes.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
  }
}

public struct SearchSpace: Sendable {
  public var dimensions: [SearchDimension]

  public init(_ dimensions: [SearchDimension]) { self.dimensions = dimensions }

  /// What the lists of this configuration depend on, over a log with these behaviours.
  public init(_ configuration: EngineConfiguration, behaviours: Set<Behaviour>) {
    var dimensions: [SearchDimension] = []
    for relation in configuration.relations
    where behaviours.contains(relation.source) && behaviours.contains(relation.target) {
      let key = "model.relations.\(relation.name)."
      dimensions += [
        SearchDimension(key + "weight", ["0", "0.3", "1", "2"]),
        SearchDimension(key + "measure", ["cosine", "jaccard", "llr", "conditional"]),
        SearchDimension(key + "min_both", ["1", "2", "4"]),
        SearchDimension(key + "shrinkage", ["0", "5", "20"]),
        SearchDimension(key + "history", ["50", "200", "500"]),
        SearchDimension(key + "window", ["90d", "365d", "all"]),
      ]
    }
    dimensions.append(SearchDimension("model.neighbours", ["20", "50", "100", "200"]))
    if configuration.rulesEnabled && behaviours.contains(.purchase) {
      dimensions.append(SearchDimension("recommend.weights.rules", ["0", "0.3", "1"]))
    }
    dimensions += [
      SearchDimension("recommend.weights.popularity", ["0.02", "0.1", "0.3", "1"]),
      SearchDimension("popularity.half_life", ["7d", "30d", "90d"]),
      SearchDimension("recommend.recent", ["10", "50", "200"]),
      SearchDimension("recommend.recent_half", ["3", "10", "30", "100"]),
    ]
    self.dimensions = dimensions
  }

  /// The configuration as it is, then random ones: each changes some of the keys, few or many.
  /// - Returns: `count` in all where the space has so many; none twice.
  public func candidates(_ count: Int, seed: UInt64) -> [Candidate] {
    var generator = SplitMix(seed: seed)
    var found = [Candidate()]
    var seen: Set<String> = [found[0].text]
    var tries = 0
    while found.count < count && tries < count * 50 && !dimensions.isEmpty {
      tries += 1
      // Between one key and all of them.
      let share = generator.unit()
      let sure = generator.below(dimensions.count)
      var candidate = Candidate()
      for (d, dimension) in dimensions.enumerated() {
        let isChanged = generator.unit() < share
        let value = dimension.values[generator.below(dimension.values.count)]
        if isChanged || d == sure { candidate.changes.append((dimension.key, value)) }
      }
      if seen.insert(candidate.text).inserted { found.append(candidate) }
    }
    return found
  }
}
