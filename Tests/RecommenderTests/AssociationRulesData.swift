// Data and plain twins for the rules' tests: reference files where they are present, random baskets,
// and itemsets and rules by brute force.
import Foundation
import Recommender
import Sparse

/// Baskets that own their memory.
struct BasketList {
  var offsets: [Int] = [0]
  var items: [UInt32] = []

  init() {}
  init(_ baskets: [[UInt32]]) { for basket in baskets { append(basket) } }

  mutating func append(_ basket: [UInt32]) {
    items += basket
    offsets.append(items.count)
  }
  var count: Int { offsets.count - 1 }

  func read<R>(_ body: (Baskets) -> R) -> R {
    offsets.withUnsafeBufferPointer { offsets in
      items.withUnsafeBufferPointer { items in body(Baskets(offsets: offsets, items: items)) }
    }
  }
}

enum ReferenceData {
  static func path(_ name: String) -> String? {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let shared =
      ProcessInfo.processInfo.environment["AFFINITY_SHARED"]
      ?? package.deletingLastPathComponent().appendingPathComponent("shared").path
    let path = shared + "/data/" + name
    if FileManager.default.fileExists(atPath: path) { return path }
    print("\(name) is not here: its tests pass without having looked at it")
    return nil
  }

  static func bytes(_ path: String) -> [UInt8] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["gzip", "-dcf", path]
    let pipe = Pipe()
    process.standardOutput = pipe
    do { try process.run() } catch { fatalError("gzip: \(error)") }
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return [UInt8](data)
  }

  /// One basket a line, items as numbers.
  static func fimi(_ name: String) -> BasketList? {
    guard let path = path(name) else { return nil }
    var list = BasketList()
    var basket: [UInt32] = []
    var value: UInt32?
    for c in bytes(path) {
      if c >= 48 && c <= 57 {
        value = (value ?? 0) * 10 + UInt32(c - 48)
      } else {
        if let item = value { basket.append(item) }
        value = nil
        if c == 10 {
          list.append(basket)
          basket = []
        }
      }
    }
    return list
  }

  /// Invoices that are no cancellations, lines worth more than 0, distinct stock codes; with the codes
  /// as keys in order of appearance.
  static func onlineRetail() -> (baskets: BasketList, codes: [String])? {
    guard let path = path("online-retail/online_retail.csv.gz") else { return nil }
    var codes: [String: UInt32] = [:]
    var names: [String] = []
    var invoices: [String: Int] = [:]
    var baskets: [[UInt32]] = []
    var seen = Set<UInt64>()
    var isHeader = true
    forEachRecord(bytes(path)) { fields in
      if isHeader {
        isHeader = false
        return
      }
      if fields.count < 6 || fields[0].hasPrefix("C") { return }
      guard let quantity = Double(fields[3]), let price = Double(fields[5]), quantity * price > 0
      else { return }
      let next = UInt32(names.count)
      let item = codes[fields[1], default: next]
      if item == next {
        codes[fields[1]] = item
        names.append(fields[1])
      }
      let basket = invoices[fields[0], default: baskets.count]
      if basket == baskets.count {
        invoices[fields[0]] = basket
        baskets.append([])
      }
      if seen.insert(UInt64(basket) << 32 | UInt64(item)).inserted { baskets[basket].append(item) }
    }
    return (BasketList(baskets), names)
  }

  private static func forEachRecord(_ bytes: [UInt8], _ body: ([String]) -> Void) {
    var fields: [String] = []
    var field: [UInt8] = []
    var quoted = false
    for c in bytes {
      if quoted {
        if c == 34 { quoted = false } else { field.append(c) }
      } else if c == 34 {
        quoted = true
      } else if c == 44 {
        fields.append(String(decoding: field, as: UTF8.self))
        field.removeAll(keepingCapacity: true)
      } else if c == 10 {
        fields.append(String(decoding: field, as: UTF8.self))
        field.removeAll(keepingCapacity: true)
        body(fields)
        fields.removeAll(keepingCapacity: true)
      } else if c != 13 {
        field.append(c)
      }
    }
  }
}

/// Dense ids 0... for the keys, in their order.
func interner(_ keys: [String]) -> Interner {
  var interner = Interner()
  for key in keys {
    var key = key
    _ = key.withUTF8 { interner.intern(UnsafeRawBufferPointer($0)) }
  }
  return interner
}

/// Itemsets as sorted dense ids, with counts.
func dictionary(_ itemsets: borrowing Itemsets) -> [[UInt32]: Int] {
  let flat = itemsets.expanded()
  var all: [[UInt32]: Int] = [:]
  for s in 0..<flat.counts.count {
    let items = flat.items[flat.starts[s]..<flat.starts[s + 1]].sorted()
    precondition(all[items] == nil, "itemset twice")
    all[items] = Int(flat.counts[s])
  }
  return all
}

/// By plain recursion over lists of baskets.
func plainItemsets(_ list: BasketList, minimum: Int) -> [[UInt32]: Int] {
  var occurrences: [UInt32: [Int]] = [:]
  for b in 0..<list.count {
    for item in list.items[list.offsets[b]..<list.offsets[b + 1]] {
      occurrences[item, default: []].append(b)
    }
  }
  let items = occurrences.keys.sorted()
  let lists = items.map { occurrences[$0, default: []] }
  var found: [[UInt32]: Int] = [:]
  func extend(_ prefix: [UInt32], _ baskets: [Int], _ from: Int) {
    var inside = [Bool](repeating: false, count: list.count)
    for b in baskets { inside[b] = true }
    for k in from..<items.count {
      let both = lists[k].filter { inside[$0] }
      if both.count >= minimum {
        found[prefix + [items[k]]] = both.count
        extend(prefix + [items[k]], both, k + 1)
      }
    }
  }
  extend([], Array(0..<list.count), 0)
  return found
}

/// A rule as the twin makes it.
struct PlainRule {
  var antecedent: [UInt32]
  var consequent: [UInt32]
  var counts: RuleCounts
  var p = 0.0
  var q = 0.0
  /// Best sub-rule's confidence as (both, antecedent).
  var best = (both: 0, antecedent: 1)
}

/// Every rule of the family, in no particular order.
func plainRules(_ itemsets: [[UInt32]: Int], baskets: Int, maxConsequent: Int) -> [PlainRule] {
  var rules: [PlainRule] = []
  for (set, both) in itemsets where set.count > 1 {
    for mask in 1..<(1 << set.count) - 1 where mask.nonzeroBitCount <= maxConsequent {
      let consequent = set.indices.filter { mask >> $0 & 1 == 1 }.map { set[$0] }
      let antecedent = set.indices.filter { mask >> $0 & 1 == 0 }.map { set[$0] }
      var rule = PlainRule(
        antecedent: antecedent, consequent: consequent,
        counts: RuleCounts(
          baskets: baskets, antecedent: itemsets[antecedent] ?? 0,
          consequent: itemsets[consequent] ?? 0, both: both))
      rule.best = (itemsets[consequent] ?? 0, baskets)
      for sub in 1..<max(1, (1 << antecedent.count) - 1) {
        let part = antecedent.indices.filter { sub >> $0 & 1 == 1 }.map { antecedent[$0] }
        let of = itemsets[part] ?? 0
        let with = itemsets[(part + consequent).sorted()] ?? 0
        if with * rule.best.antecedent > rule.best.both * of { rule.best = (with, of) }
      }
      rule.p = plainTail(rule.counts)
      rules.append(rule)
    }
  }
  // q = min over rules at least as unlikely of p × family / (rules with p at most that).
  let sorted = rules.map(\.p).sorted()
  var least = [Double](repeating: 1, count: sorted.count)
  var running = 1.0
  for i in stride(from: sorted.count - 1, through: 0, by: -1) {
    running = min(running, sorted[i] * Double(sorted.count) / Double(i + 1))
    least[i] = running
  }
  for i in rules.indices {
    // The first place of an equal p: the least of all its places.
    rules[i].q = least[sorted.firstIndex(of: rules[i].p) ?? 0]
  }
  return rules
}

/// P[Hyp >= both] by summing every term of the tail; exact binomials up to 60 baskets, beyond that
/// products of ratios in extended precision.
func plainTail(_ c: RuleCounts) -> Double {
  let top = min(c.antecedent, c.consequent)
  if c.baskets <= 60 {
    var sum: UInt128 = 0
    for k in stride(from: c.both, through: top, by: 1) {
      sum +=
        binomial(c.consequent, k) * binomial(c.baskets - c.consequent, c.antecedent - k)
    }
    return Double(sum) / Double(binomial(c.baskets, c.antecedent))
  }
  #if arch(x86_64)
    var sum: Float80 = 0
    for k in stride(from: c.both, through: top, by: 1)
    where c.antecedent - k <= c.baskets - c.consequent {
      sum += plainMass(c, k)
    }
    return Double(sum)
  #else
    return .nan
  #endif
}

#if arch(x86_64)
  /// C(c_Y, k)·C(n − c_Y, c_X − k) / C(n, c_X), factor by factor: Float80 reaches down to 1e-4932.
  func plainMass(_ c: RuleCounts, _ k: Int) -> Float80 {
    // Draw c_X one after another: first the k successes, then the rest, times the orders.
    var value: Float80 = 1
    for i in 0..<k {
      value *= Float80(c.consequent - i) / Float80(c.baskets - i)
      value *= Float80(c.antecedent - i) / Float80(k - i)
    }
    for i in 0..<c.antecedent - k {
      value *= Float80(c.baskets - c.consequent - i) / Float80(c.baskets - k - i)
    }
    return value
  }
#endif

func binomial(_ n: Int, _ k: Int) -> UInt128 {
  if k < 0 || k > n { return 0 }
  var value: UInt128 = 1
  for i in 0..<min(k, n - k) { value = value * UInt128(n - i) / UInt128(i + 1) }
  return value
}
