// Segments: RFM quintiles, and K-means clusters of recency, frequency and value with names from their profile. A name says how a
// segment's median customer stands among all of them, so it stays the same from tick to tick as long as the profile does, whatever
// the order of the clusters or of the model before.
import Sparse

/// Quintiles from 1 (least recent, fewest, least) to 5.
public struct RFMCell: Sendable, Equatable {
  public var recency: Int
  public var frequency: Int
  public var monetary: Int
  public var name: String { "\(recency)\(frequency)\(monetary)" }
}

public enum RFM {
  /// Fifths by rank of (value, key): equal values are told apart by the key's place, so that cells are even and reproducible.
  /// `table.customers` are sorted by key.
  public static func cells(_ table: FeatureTable) -> [RFMCell] {
    func quintiles(_ feature: Feature, isReversed: Bool) -> [Int] {
      let n = table.customers.count
      let column = table.features.column(feature.rawValue)
      let order = Evaluation.ascending((0..<n).map { column[$0] })
      var result = [Int](repeating: 0, count: n)
      for (rank, row) in order.enumerated() {
        let fifth = 1 + rank * 5 / n
        result[row] = isReversed ? 6 - fifth : fifth
      }
      return result
    }
    let r = quintiles(.recency, isReversed: true)
    let f = quintiles(.orders, isReversed: false)
    let m = quintiles(.spend, isReversed: false)
    return r.indices.map { RFMCell(recency: r[$0], frequency: f[$0], monetary: m[$0]) }
  }
}

public struct SegmentProfile: Sendable {
  /// Readable and unique: "high value, lapsing".
  public var name: String
  public var customers: Int
  /// Medians.
  public var recencyDays: Double
  public var orders: Double
  /// Hundredths.
  public var spend: Double
  /// Share of all customers' spend.
  public var spendShare: Double
}

public struct Segmentation: Sendable {
  public static let features: [Feature] = [.recency, .orders, .spend]
  public let preprocessor: Preprocessor
  public let clusters: KMeans
  /// By cluster.
  public let profiles: [SegmentProfile]
  /// Cluster of each customer of the table it was made from.
  public let assigned: [UInt16]
  /// Silhouette or gap of each number of clusters tried.
  public let scores: [Double]
  public let range: ClosedRange<Int>
  /// A tree over readable features that tells the segments apart, for rules.
  public let tree: DecisionTree

  public init?(
    _ table: FeatureTable, range: ClosedRange<Int> = 3...8, by choice: ClusterCount.Choice = .silhouette, seed: UInt64 = 1,
    parallel: ParallelFor = serially
  ) {
    let n = table.customers.count
    guard n >= 10 else { return nil }
    let columns = Segmentation.features.map(\.rawValue)
    let chosen = table.features.selecting(columns)
    preprocessor = Preprocessor(chosen, logs: columns.map { _ in true }, parallel: parallel)
    let prepared = preprocessor.apply(chosen, parallel: parallel)
    let range = range.clamped(to: 1...max(1, n / 3))
    self.range = range
    let (k, scores) = ClusterCount.choose(prepared, range: range, by: choice, seed: seed, parallel: parallel)
    self.scores = scores
    clusters = KMeans.fit(prepared, KMeansSettings(clusters: k, seed: seed), parallel: parallel)
    let assigned = clusters.assign(prepared, parallel: parallel)
    self.assigned = assigned
    profiles = Segmentation.describe(table, assigned, k)
    // Single classes have no tree to tell.
    let rows = n <= 50_000 ? Array(0..<n) : (0..<50_000).map { $0 * n / 50_000 }
    tree = DecisionTree.fit(
      chosen.picking(rows), labels: rows.map { UInt8(truncatingIfNeeded: assigned[$0]) }, classes: max(2, k),
      TreeSettings(.informationGain, maxDepth: 4, minLeaf: max(5, rows.count / 200)), parallel: parallel)
  }

  private static func describe(_ table: FeatureTable, _ assigned: [UInt16], _ k: Int) -> [SegmentProfile] {
    let n = table.customers.count
    func column(_ f: Feature) -> UnsafeMutablePointer<Double> { table.features.column(f.rawValue) }
    func sorted(_ f: Feature) -> [Double] { (0..<n).map { column(f)[$0] }.sorted() }
    let (recency, spend) = (sorted(.recency), sorted(.spend))
    let total = spend.reduce(0, +)
    var members = [[Int]](repeating: [], count: k)
    for row in 0..<n { members[Int(assigned[row])].append(row) }
    var profiles: [SegmentProfile] = []
    var parts: [(level: String, state: String, often: String)] = []
    for c in 0..<k {
      func median(_ f: Feature) -> Double {
        let values = members[c].map { column(f)[$0] }.sorted()
        return values.isEmpty ? 0 : values[values.count / 2]
      }
      let own = members[c].reduce(0.0) { $0 + column(.spend)[$1] }
      profiles.append(
        SegmentProfile(
          name: "", customers: members[c].count, recencyDays: median(.recency), orders: median(.orders),
          spend: median(.spend), spendShare: total > 0 ? own / total : 0))
      parts.append(words(profiles[c], tenure: median(.tenure), recency: recency, spend: spend))
    }
    // Words are added only where segments would share a name; what then is still equal is numbered by value.
    func names(_ style: (Int) -> String) -> [String] { (0..<k).map(style) }
    var result = names { "\(parts[$0].level), \(parts[$0].state)" }
    result = result.enumerated().map { i, name in
      result.filter { $0 == name }.count > 1 ? "\(name), \(parts[i].often)" : name
    }
    let order = (0..<k).sorted {
      let (a, b) = (profiles[$0], profiles[$1])
      if a.spend != b.spend { return a.spend > b.spend }
      return a.recencyDays != b.recencyDays ? a.recencyDays < b.recencyDays : a.customers > b.customers
    }
    let given = result
    for c in 0..<k where given.filter({ $0 == given[c] }).count > 1 {
      result[c] = "\(given[c]) \((order.filter { given[$0] == given[c] }.firstIndex(of: c) ?? 0) + 1)"
    }
    for c in 0..<k { profiles[c].name = result[c] }
    return profiles
  }

  private static func words(
    _ profile: SegmentProfile, tenure: Double, recency: [Double], spend: [Double]
  ) -> (level: String, state: String, often: String) {
    func share(_ x: Double, _ sorted: [Double]) -> Double {
      Double(sorted.reduce(0) { $0 + ($1 < x ? 1 : 0) }) / Double(max(1, sorted.count))
    }
    let value = share(profile.spend, spend)
    let level = value >= 2.0 / 3 ? "high value" : value >= 1.0 / 3 ? "medium value" : "low value"
    let rest = share(profile.recencyDays, recency)
    let state =
      profile.orders < 2 && tenure <= 60
      ? "new" : rest < 0.4 ? "active" : rest < 0.7 ? "cooling" : "lapsing"
    let often = profile.orders >= 8 ? "frequent" : profile.orders >= 2 ? "repeat" : "one order"
    return (level, state, often)
  }
}
