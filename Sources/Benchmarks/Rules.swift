// Itemset mining and rules over a FIMI file: one basket a line, items as non-negative integers.
//   affinity-bench rules FILE COUNT [REPEATS]
// Prints medians over the repeats, counts and a checksum. bench/rules_peers.py runs it beside PyFIM.
import Glibc
import Recommender
import Sparse

func benchRules(arguments: [String]) {
  guard arguments.count >= 2, let minimum = Int(arguments[1]) else {
    print("usage: rules FILE COUNT [REPEATS]")
    exit(2)
  }
  let repeats = max(1, arguments.count > 2 ? Int(arguments[2]) ?? 5 : 5)
  let (offsets, items) = readFIMI(arguments[0])
  offsets.withUnsafeBufferPointer { offsets in
    items.withUnsafeBufferPointer { items in
      let baskets = Baskets(offsets: offsets, items: items)
      print("baskets \(baskets.count) entries \(items.count) count \(minimum)")
      mineBench(baskets, minimum, repeats)
      rulesBench(baskets, minimum, repeats)
    }
  }
}

private func mineBench(_ baskets: Baskets, _ minimum: Int, _ repeats: Int) {
  var mining: [Double] = []
  var writing: [Double] = []
  for _ in 0..<repeats {
    let start = seconds()
    let itemsets = mineFrequentItemsets(baskets, minimumCount: minimum, limit: .max)
    let mined = seconds()
    let flat = itemsets.expanded()
    let written = seconds()
    mining.append(mined - start)
    writing.append(written - mined)
    if mining.count == repeats {
      var sum: UInt64 = 0
      for i in 0..<flat.counts.count {
        sum = sum &* 31 &+ UInt64(flat.counts[i]) &+ UInt64(flat.starts[i])
      }
      print("itemsets \(itemsets.count) \(itemsets.countsByLength().dropFirst()) checksum \(sum)")
    }
  }
  print("mine \(text(median(mining)))  written out \(text(median(writing)))")
}

/// Rules at confidence 0.2 with one item in the consequent, mining included in the first figure; p and
/// q, redundancy, and every split apart.
private func rulesBench(_ baskets: Baskets, _ minimum: Int, _ repeats: Int) {
  var keys = Interner()
  var highest: UInt32 = 0
  for item in baskets.items { highest = max(highest, item) }
  for id in 0...highest {
    var text = String(id)
    _ = text.withUTF8 { keys.intern(UnsafeRawBufferPointer($0)) }
  }
  var configuration = RulesConfiguration()
  configuration.minConfidence = 0.2
  configuration.maxQ = 1
  configuration.pruneRedundant = false
  var all = configuration
  all.maxConsequent = 32
  var pruned = configuration
  pruned.pruneRedundant = true

  var whole: [Double] = []
  var making: [Double] = []
  var testing: [Double] = []
  var pruning: [Double] = []
  for i in 0..<repeats {
    let start = seconds()
    let itemsets = mineFrequentItemsets(baskets, minimumCount: minimum, limit: .max)
    let mined = seconds()
    let rules = makeRules(
      itemsets, configuration: configuration, items: keys, significance: .omitted)
    let made = seconds()
    let tested = makeRules(itemsets, configuration: configuration, items: keys)
    let testEnd = seconds()
    let few = makeRules(itemsets, configuration: pruned, items: keys, significance: .omitted)
    let pruneEnd = seconds()
    whole.append(made - start)
    making.append(made - mined)
    testing.append(testEnd - made - (made - mined))
    pruning.append(pruneEnd - testEnd - (made - mined))
    if i == repeats - 1 {
      var sum = 0.0
      for group in 0..<rules.groupCount {
        for rule in rules.rules(ofGroup: group) {
          let counts = rules.counts(ofRule: rule, inGroup: group)
          sum +=
            RuleMeasures.support(counts) + RuleMeasures.confidence(counts)
            + RuleMeasures.lift(counts) + RuleMeasures.leverage(counts)
            + (RuleMeasures.conviction(counts) ?? 0)
        }
      }
      print(
        "rules \(rules.count) groups \(rules.groupCount) family \(rules.familySize) unpruned"
          + " \(few.count) bytes \(rules.bytes) measures \(sum)")
      print(
        "baskets to rules \(text(median(whole)))  rules alone \(text(median(making)))"
          + "  p and q +\(text(median(testing)))"
          + " (\(text(median(testing) / Double(tested.familySize) * 1e6)) a million)"
          + "  redundancy +\(text(median(pruning)))")
    }
  }
  let itemsets = mineFrequentItemsets(baskets, minimumCount: minimum, limit: .max)
  let start = seconds()
  let every = makeRules(itemsets, configuration: all, items: keys, significance: .omitted)
  let made = seconds()
  let tested = makeRules(itemsets, configuration: all, items: keys)
  let end = seconds()
  print(
    "every split \(every.count) of \(every.familySize) in \(text(made - start)), with p and q"
      + " \(text(end - made)), bytes \(tested.bytes)")
}

private func seconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
private func text(_ seconds: Double) -> String {
  "\((seconds * 1e5).rounded() / 100) ms"
}

private func readFIMI(_ path: String) -> (offsets: [Int], items: [UInt32]) {
  guard let file = popen("gzip -dcf '\(path)'", "r") else { fatalError("cannot read \(path)") }
  defer { pclose(file) }
  var offsets = [0]
  var items: [UInt32] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  var value: UInt32 = 0
  var inNumber = false
  while true {
    let n = fread(&buffer, 1, buffer.count, file)
    if n == 0 { break }
    for i in 0..<n {
      let c = buffer[i]
      if c >= 48 && c <= 57 {
        value = value &* 10 &+ UInt32(c - 48)
        inNumber = true
      } else {
        if inNumber { items.append(value) }
        inNumber = false
        value = 0
        if c == 10 { offsets.append(items.count) }
      }
    }
  }
  if inNumber { items.append(value) }
  if offsets[offsets.count - 1] != items.count { offsets.append(items.count) }
  return (offsets, items)
}
