// Itemset mining and rules over a FIMI file: one basket a line, items as non-negative integers.
//   affinity-bench rules FILE COUNT [REPEATS] [THREADS]   medians over the repeats, then one line of JSON
//   affinity-bench rules simulate FILE [ORDERS]            writes simulated baskets (fixed seed)
// scripts/bench-rules.py runs it beside PyFIM and prints the table of the README.
import Dispatch
import Glibc
import Recommender
import Sparse

func benchRules(arguments: [String]) {
  if arguments.count >= 2 && arguments[0] == "simulate" {
    simulateBaskets(arguments[1], orders: arguments.count > 2 ? Int(arguments[2]) ?? 0 : 500_000)
    return
  }
  guard arguments.count >= 2, let minimum = Int(arguments[1]) else {
    print("usage: rules FILE COUNT [REPEATS] [THREADS] | rules simulate FILE [ORDERS]")
    exit(2)
  }
  let repeats = max(1, arguments.count > 2 ? Int(arguments[2]) ?? 5 : 5)
  let threads = max(1, arguments.count > 3 ? Int(arguments[3]) ?? 1 : 1)
  let start = seconds()
  let (offsets, items) = readFIMI(arguments[0])
  let reading = seconds() - start
  offsets.withUnsafeBufferPointer { offsets in
    items.withUnsafeBufferPointer { items in
      measure(Baskets(offsets: offsets, items: items), reading, minimum, repeats, threads)
    }
  }
}

private func measure(
  _ baskets: Baskets, _ reading: Double, _ minimum: Int, _ repeats: Int, _ threads: Int
) {
  let keys = numberKeys(baskets)
  let parallel = run(threads)
  var configuration = RulesConfiguration()
  configuration.minConfidence = 0.2
  configuration.maxQ = 1
  configuration.pruneRedundant = false
  var pruned = configuration
  pruned.pruneRedundant = true

  var times = Times()
  var sum = 0.0
  for i in 0..<repeats {
    let start = seconds()
    let itemsets = mineFrequentItemsets(
      baskets, minimumCount: minimum, limit: .max, parallel: parallel)
    let mined = seconds()
    let flat = itemsets.expanded()
    let written = seconds()
    let rules = makeRules(
      itemsets, configuration: configuration, items: keys, significance: .omitted)
    sum = sumOfMeasures(rules)
    let made = seconds()
    let tested = makeRules(
      itemsets, configuration: configuration, items: keys, parallel: parallel)
    let testEnd = seconds()
    let few = makeRules(itemsets, configuration: pruned, items: keys, significance: .omitted)
    let pruneEnd = seconds()
    times.mine.append(written - start)
    times.rules.append((mined - start) + (made - written))
    times.alone.append(made - written)
    times.test.append(testEnd - made - (made - written))
    times.prune.append(pruneEnd - testEnd - (made - written))
    if i < repeats - 1 { continue }
    var checksum: UInt64 = 0
    for i in 0..<flat.counts.count {
      checksum = checksum &* 31 &+ UInt64(flat.counts[i]) &+ UInt64(flat.starts[i])
    }
    print(
      "baskets \(baskets.count) entries \(baskets.items.count) count \(minimum) threads \(threads)")
    print(
      "itemsets \(itemsets.count) \(itemsets.countsByLength().dropFirst()) checksum \(checksum)")
    print("rules \(rules.count) in \(rules.groupCount) groups, not redundant \(few.count)")
    print("itemsets, written out       \(text(times.mine))")
    print(
      "rules with five measures    \(text(times.rules)), mining included; alone \(text(times.alone))"
    )
    print("p and q of the family       \(text(times.test)) more for \(tested.familySize) rules")
    print("redundancy                  \(text(times.prune)) more")
    print(
      "{\"itemsets\":\(itemsets.count),\"read\":\(reading),\"mine\":\(median(times.mine)),\"rules\":\(rules.count),"
        + "\"rules_seconds\":\(median(times.rules)),\"family\":\(tested.familySize),"
        + "\"test_seconds\":\(max(0, median(times.test))),\"sum\":\(sum)}")
  }
}

private struct Times {
  var mine: [Double] = []
  var rules: [Double] = []
  var alone: [Double] = []
  var test: [Double] = []
  var prune: [Double] = []
}

private func sumOfMeasures(_ rules: RuleSet) -> Double {
  var sum = 0.0
  for group in 0..<rules.groupCount {
    for rule in rules.rules(ofGroup: group) {
      let counts = rules.counts(ofRule: rule, inGroup: group)
      sum +=
        RuleMeasures.support(counts) + RuleMeasures.confidence(counts) + RuleMeasures.lift(counts)
        + RuleMeasures.leverage(counts) + (RuleMeasures.conviction(counts) ?? 0)
    }
  }
  return sum
}

private func numberKeys(_ baskets: Baskets) -> Interner {
  var keys = Interner()
  var highest: UInt32 = 0
  for item in baskets.items { highest = max(highest, item) }
  for id in 0...highest {
    var text = String(id)
    _ = text.withUTF8 { keys.intern(UnsafeRawBufferPointer($0)) }
  }
  return keys
}

private func run(_ threads: Int) -> ((_ parts: Int, _ body: (Int) -> Void) -> Void)? {
  if threads == 1 { return nil }
  return { parts, body in
    withoutActuallyEscaping(body) { body in
      nonisolated(unsafe) let body = body
      DispatchQueue.concurrentPerform(iterations: parts) { body($0) }
    }
  }
}

/// 5,000 items by a Zipf law, single picks and planted groups of 2 to 6, about ten items an order.
private func simulateBaskets(_ path: String, orders: Int) {
  var random = SplitMix(seed: 1)
  let items = 5000
  var cumulative: [Double] = []
  var total = 0.0
  for i in 1...items {
    total += 1 / pow(Double(i), 0.9)
    cumulative.append(total)
  }
  func pick() -> Int {
    let at = random.unit() * total
    var low = 0
    var high = items - 1
    while low < high {
      let middle = (low + high) / 2
      if cumulative[middle] < at { low = middle + 1 } else { high = middle }
    }
    return low
  }
  let groups = (0..<800).map { _ in (0..<2 + random.below(5)).map { _ in pick() } }
  guard let file = fopen(path, "w") else { fatalError("cannot write \(path)") }
  for _ in 0..<orders {
    var basket: [Int] = [pick()]
    while random.unit() < 0.85 { basket.append(pick()) }
    while random.unit() < 0.4 {
      let group = groups[min(799, Int(800 * random.unit() * random.unit()))]
      for item in group where random.unit() < 0.9 { basket.append(item) }
    }
    basket.sort()
    var line = ""
    for (i, item) in basket.enumerated() where i == 0 || basket[i - 1] != item {
      line += line.isEmpty ? String(item) : " \(item)"
    }
    fputs(line + "\n", file)
  }
  fclose(file)
}

func seconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
private func text(_ seconds: [Double]) -> String {
  "\((median(seconds) * 1e5).rounded() / 100) ms"
}

private func readFIMI(_ path: String) -> (offsets: [Int], items: [UInt32]) {
  let isPacked = path.hasSuffix(".gz")
  guard let file = isPacked ? popen("gzip -dc '\(path)'", "r") : fopen(path, "r") else {
    fatalError("cannot read \(path)")
  }
  defer { _ = isPacked ? pclose(file) : fclose(file) }
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
