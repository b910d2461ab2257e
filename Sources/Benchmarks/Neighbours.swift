// Rows → counts → top-50 cosine, on Online Retail and on simulated logs of known shapes
// (PERF-PEERS §1), from scratch and after 1 % more events. `--dump DIR` writes each matrix for
// `scripts/bench-neighbours.py`, which times implicit and sparse_dot_topn on the same bytes.
import CZlib
import Dispatch
import Glibc
import Recommender
import Sparse

/// A binary matrix, rows with ascending items.
struct BenchMatrix {
  var name: String
  var items: Int
  var rows: RowChanges
}

/// `neighbours [--shape NAME] [--threads N] [--repeat N] [--dump DIR] [--digest] [--encode] [--cpu] [--k N]`
func benchNeighbours(arguments: [String]) {
  var shapes = ["online-retail", "film", "grocer", "check-in", "sparse"]
  var threads = [1, 2]
  var repeats = 5
  var dump: String?
  var options = BenchOptions()
  var at = 0
  func next() -> String {
    at += 1
    return at < arguments.count ? arguments[at] : ""
  }
  while at < arguments.count {
    switch arguments[at] {
    case "--shape": shapes = [next()]
    case "--threads": threads = [Int(next()) ?? 1]
    case "--repeat": repeats = Int(next()) ?? 5
    case "--dump": dump = next()
    case "--cpu": cpuClock = true
    case "--encode": options.encode = true
    case "--digest": options.digest = true
    case "--k": options.k = Int(next()) ?? 50
    case "--measure": options.measure = Measure(name: next()) ?? .cosine
    default:
      print("unknown: \(arguments[at])")
      return
    }
    at += 1
  }
  print("shape threads load_s tick_s ns_per_pair pairs sum peak_MiB part_s stored_MiB")
  for name in shapes {
    guard let matrix = benchMatrix(name) else {
      print("\(name): no data, skipped")
      continue
    }
    if let dump { write(matrix, to: "\(dump)/\(name).bin") }
    for count in threads { measure(matrix, threads: count, repeats: repeats, options) }
  }
}

struct BenchOptions {
  var digest = false
  var encode = false
  var k = 50
  var measure = Measure.cosine
}

// MARK: timing

private func measure(
  _ matrix: BenchMatrix, threads: Int, repeats: Int, _ options: BenchOptions
) {
  var relation = RelationConfiguration(name: "bench")
  relation.minBoth = 1
  relation.measure = options.measure
  var keys = Interner(expecting: matrix.items)
  for item in 0..<matrix.items {
    _ = Array("item-\(1_000_000 + item)".utf8).withUnsafeBytes { keys.intern($0) }
  }
  var ranks = ItemRanks()
  ranks.update(from: keys)
  // One percent of the entries, spread over all rows, arrive later.
  let (base, late) = split(matrix.rows, every: 100)
  var cold: [Double] = []
  var warm: [Double] = []
  var loads: [Double] = []
  var pairs = 0
  var sum = 0.0
  var lateSum = 0.0
  resetPeak()
  let before = memory("VmRSS")
  var peak = 0
  var stored = 0
  for _ in 0..<repeats {
    var counts = CoOccurrence(
      matrices: [relation.sourceMatrix], relations: [relation], neighbours: options.k)
    counts.keepsDigest = options.digest
    loads.append(elapsed { counts.apply(matrix.rows, matrix: 0) })
    var table: NeighbourTable?
    cold.append(
      elapsed { table = counts.neighbours(relation: 0, items: ranks, parallel: inParts(threads)) })
    pairs = table!.pairs
    sum = total(table!)
    peak = max(peak, memory("VmHWM"))
    stored = counts.pairBytes
    table = nil

    var later = CoOccurrence(
      matrices: [relation.sourceMatrix], relations: [relation], neighbours: options.k)
    later.keepsDigest = options.digest
    later.apply(base, matrix: 0)
    table = later.neighbours(relation: 0, items: ranks, parallel: inParts(threads))
    warm.append(
      elapsed {
        later.apply(late, matrix: 0)
        table = later.neighbours(relation: 0, items: ranks, parallel: inParts(threads))
      })
    lateSum = total(table!)
  }
  if options.encode { encodeAll(matrix, relation, ranks, keys, threads, options) }
  precondition(sum == lateSum, "a tick after changes differs from one from scratch")
  func show(_ x: Double, _ digits: Int = 4) -> String {
    let scale = pow(10, Double(digits))
    return "\((x * scale).rounded() / scale)"
  }
  let tick = middle(cold)
  print(
    matrix.name, threads, show(middle(loads)), show(tick), show(tick * 1e9 / Double(pairs), 1),
    pairs, show(sum, 2), (peak - before) / 1024, show(middle(warm)),
    stored >> 20)
}

func inParts(_ threads: Int) -> Parallel {
  if threads == 1 { return { parts, body in for part in 0..<parts { body(part) } } }
  return { parts, body in
    withoutActuallyEscaping(body) { body in
      let shared = Unchecked(body)
      DispatchQueue.concurrentPerform(iterations: parts) { shared.value($0) }
    }
  }
}

private struct Unchecked<T>: @unchecked Sendable {
  let value: T
  init(_ value: T) { self.value = value }
}

/// Messages of every item, and what a comparison with an equal model takes.
private func encodeAll(
  _ matrix: BenchMatrix, _ relation: RelationConfiguration, _ ranks: borrowing ItemRanks,
  _ keys: borrowing Interner, _ threads: Int, _ options: BenchOptions
) {
  var counts = CoOccurrence(
    matrices: [relation.sourceMatrix], relations: [relation], neighbours: options.k)
  counts.keepsDigest = false
  counts.apply(matrix.rows, matrix: 0)
  let table = counts.neighbours(relation: 0, items: ranks, parallel: inParts(threads))
  let again = counts.neighbours(relation: 0, items: ranks, parallel: inParts(threads))
  let model = NeighbourModel(names: ["also_bought"], tables: [table])
  let other = NeighbourModel(names: ["also_bought"], tables: [again])
  var writer = ByteWriter(capacity: 1 << 20)
  var bytes = 0
  var messages = 0
  let id = Array("m-000123".utf8)
  let encoding = elapsed {
    for item in 0..<UInt32(matrix.items) {
      writer.removeAll()
      let isThere = id.withUnsafeBytes {
        model.encode(item, modelID: $0, items: keys, into: &writer)
      }
      messages += isThere ? 1 : 0
      bytes += writer.count
    }
  }
  var changes = 0
  let comparing = elapsed { changes = model.changes(from: other).count }
  print(
    "\(matrix.name) encode: \(messages) messages, \(bytes >> 20) MiB in \(encoding) s;",
    "compare: \(changes) changes in \(comparing) s")
}

/// Sum in item order, best first.
private func total(_ table: NeighbourTable) -> Double {
  var sum = 0.0
  for value in table.values { sum += value }
  return sum
}

private func middle(_ values: [Double]) -> Double {
  cpuClock ? values.min()! : values.sorted()[values.count / 2]
}

/// Processor time of all threads instead of the wall's: for one thread on a busy machine.
nonisolated(unsafe) private var cpuClock = false

private func elapsed(_ body: () -> Void) -> Double {
  let clock = cpuClock ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC
  var start = timespec()
  var end = timespec()
  clock_gettime(clock, &start)
  body()
  clock_gettime(clock, &end)
  return Double(end.tv_sec - start.tv_sec) + Double(end.tv_nsec - start.tv_nsec) * 1e-9
}

/// The kernel forgets the high-water mark when 5 is written to clear_refs.
private func resetPeak() {
  guard let file = fopen("/proc/self/clear_refs", "w") else { return }
  fputs("5", file)
  fclose(file)
}

/// The rows without each `every`-th entry, and those rows whole that lack one.
private func split(_ all: RowChanges, every: Int) -> (RowChanges, RowChanges) {
  var base = RowChanges(rows: [], offsets: [0], items: [])
  var late = RowChanges(rows: [], offsets: [0], items: [])
  var random = SplitMix(seed: 7)
  for k in all.rows.indices {
    let slice = all.items[all.offsets[k]..<all.offsets[k + 1]]
    let kept = slice.filter { _ in random.below(every) != 0 }
    base.rows.append(all.rows[k])
    base.items += kept
    base.offsets.append(base.items.count)
    if kept.count == slice.count { continue }
    late.rows.append(all.rows[k])
    late.items += slice
    late.offsets.append(late.items.count)
  }
  return (base, late)
}

// MARK: data

func benchMatrix(_ name: String) -> BenchMatrix? {
  switch name {
  case "online-retail": onlineRetailMatrix()
  case "film":
    simulatedMatrix(name, rows: 6039, items: 3628, entries: 836_478, spread: 1.0, skew: 0.75)
  case "grocer":
    simulatedMatrix(name, rows: 4965, items: 4997, entries: 803_246, spread: 0.85, skew: 0.6)
  case "check-in":
    simulatedMatrix(
      name, rows: 29_858, items: 40_981, entries: 1_027_370, spread: 0.8, skew: 0.55)
  case "sparse":
    simulatedMatrix(
      name, rows: 9_300_000, items: 235_000, entries: 18_100_000, spread: 0.75, skew: 0.8)
  default: nil
  }
}

/// Row lengths are log-normal, items follow a power law; half of a row comes from one of 50 tastes,
/// each a shuffled copy of the popularity order, so that items have company.
private func simulatedMatrix(
  _ name: String, rows: Int, items: Int, entries: Int, spread: Double, skew: Double
) -> BenchMatrix {
  var random = SplitMix(seed: 88_172_645_463_325_252)
  func normal() -> Double {
    (-2 * log(1 - random.unit())).squareRoot() * cos(2 * .pi * random.unit())
  }
  // Inverse of the cumulative power law x^(1 - skew).
  func popular() -> Int {
    min(items - 1, Int(Double(items) * pow(random.unit(), 1 / (1 - skew))))
  }
  var lengths = (0..<rows).map { _ in exp(spread * normal()) }
  let scale = Double(entries) / lengths.reduce(0, +)
  lengths = lengths.map { $0 * scale }
  var matrix = RowChanges(rows: [], offsets: [0], items: [])
  matrix.items.reserveCapacity(entries + entries / 8)
  var row: [UInt32] = []
  var seen = [Int](repeating: -1, count: items)
  for r in 0..<rows {
    // Rounding up half the time keeps the mean; every row has an item.
    let want = min(items / 2, max(1, Int(lengths[r] + random.unit())))
    let taste = random.below(50)
    row.removeAll(keepingCapacity: true)
    // Drawn again where the row has it already, so that the entries are as many as asked for.
    for _ in 0..<(20 * want) where row.count < want {
      var item = popular()
      if random.below(2) == 0 { item = (item &* 7919 &+ taste &* 104_729) % items }
      if seen[item] == r { continue }
      seen[item] = r
      row.append(UInt32(item))
    }
    row.sort()
    matrix.items += row
    matrix.rows.append(UInt32(r))
    matrix.offsets.append(matrix.items.count)
  }
  return BenchMatrix(name: name, items: items, rows: matrix)
}

/// Known customer, invoice not C…, price × quantity > 0.
private func onlineRetailMatrix() -> BenchMatrix? {
  let shared = getenv("AFFINITY_SHARED").map { String(cString: $0) } ?? "../shared"
  guard let file = gzopen("\(shared)/data/online-retail/online_retail.csv.gz", "rb") else {
    return nil
  }
  defer { gzclose(file) }
  var items = Interner()
  var users = Interner()
  var rows: [Set<UInt32>] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  var fields: [[UInt8]] = []
  while true {
    let line = buffer.withUnsafeMutableBytes {
      gzgets(file, $0.baseAddress!.assumingMemoryBound(to: CChar.self), 1 << 16)
    }
    if line == nil { break }
    fields = csvFields(buffer)
    guard fields.count >= 8, !fields[6].isEmpty, fields[0].first != UInt8(ascii: "C"),
      let quantity = Double(String(decoding: fields[3], as: UTF8.self)),
      let price = Double(String(decoding: fields[5], as: UTF8.self)), quantity * price > 0
    else { continue }
    let user = fields[6].withUnsafeBytes { users.intern($0).id }
    let item = fields[1].withUnsafeBytes { items.intern($0).id }
    if Int(user) == rows.count { rows.append([]) }
    rows[Int(user)].insert(item)
  }
  var matrix = RowChanges(rows: [], offsets: [0], items: [])
  for (user, row) in rows.enumerated() {
    matrix.rows.append(UInt32(user))
    matrix.items += row.sorted()
    matrix.offsets.append(matrix.items.count)
  }
  return BenchMatrix(name: "online-retail", items: items.idLimit, rows: matrix)
}

/// The fields of one CSV line that ends at a newline or a zero byte.
private func csvFields(_ line: [UInt8]) -> [[UInt8]] {
  var fields: [[UInt8]] = [[]]
  var quoted = false
  for byte in line {
    if byte == 0 || byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") { break }
    if byte == UInt8(ascii: "\"") {
      quoted.toggle()
    } else if byte == UInt8(ascii: ",") && !quoted {
      fields.append([])
    } else {
      fields[fields.count - 1].append(byte)
    }
  }
  return fields
}

/// rows, items, entries as 64-bit integers, then row starts (64 bit) and items (32 bit).
private func write(_ matrix: BenchMatrix, to path: String) {
  guard let file = fopen(path, "wb") else {
    print("cannot write \(path)")
    return
  }
  defer { fclose(file) }
  var head = [matrix.rows.rows.count, matrix.items, matrix.rows.items.count]
  fwrite(&head, 8, 3, file)
  _ = matrix.rows.offsets.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
  _ = matrix.rows.items.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
}
