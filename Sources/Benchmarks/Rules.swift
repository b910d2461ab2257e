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
    }
  }
}

private func mineBench(_ baskets: Baskets, _ minimum: Int, _ repeats: Int) {
  var mining: [Double] = []
  var writing: [Double] = []
  for _ in 0..<repeats {
    let start = seconds()
    let itemsets = mineFrequentItemsets(baskets, minimumCount: minimum)
    let mined = seconds()
    let flat = itemsets.expanded()
    let written = seconds()
    mining.append(mined - start)
    writing.append(written - mined)
    if mining.count == repeats {
      var sum: UInt64 = 0
      for i in 0..<flat.counts.count { sum = sum &* 31 &+ UInt64(flat.counts[i]) &+ UInt64(flat.starts[i]) }
      print("itemsets \(itemsets.count) \(itemsets.countsByLength().dropFirst()) checksum \(sum)")
    }
  }
  print("mine \(text(median(mining)))  written out \(text(median(writing)))")
}

func seconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
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
