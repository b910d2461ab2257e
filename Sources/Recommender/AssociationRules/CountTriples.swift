// The family's tests, deduplicated. A rule's p depends on (c_X, c_Y, c_XY) alone and is symmetric in
// the first two, so each distinct (smaller, larger, both) is tested once, however many rules share
// it: open addressing with linear probing, one entry per triple.
import Sparse

struct CountTriples: ~Copyable {
  /// By rule of the family: number of its triple.
  var numbers: Vec<UInt32>
  /// By triple.
  var ps = Vec<Double>()
  var qs = Vec<Double>()
  private var marginals = Vec<UInt64>()  // smaller in the high half, larger in the low
  private var boths = Vec<UInt32>()
  private var occurrences = Vec<UInt32>()
  private var table = Vec<UInt32>()  // number + 1; 0 = empty
  private var mask = 0

  init(computing: Bool, family: Int) {
    numbers = Vec(repeating: 0, count: computing ? family : 0)
  }

  mutating func collect(_ splits: borrowing RuleSplits, _ lattice: borrowing ItemsetLattice) {
    table = Vec(repeating: 0, count: 1 << 12)
    mask = table.count - 1
    let x = Vec<UInt32>(repeating: 0, count: splits.widest)
    let y = Vec<UInt32>(repeating: 0, count: splits.widest)
    var scratch = Vec<UInt32>(repeating: 0, count: splits.subsets)
    let counts = lattice.counts.base
    for level in stride(from: 2, through: lattice.depth, by: 1) {
      let number = splits.number(level)
      for node in lattice.levelStarts[level]..<lattice.levelStarts[level + 1] {
        splits.fill(node, level, lattice, &scratch, x.base, y.base)
        let start = splits.start(node, level, lattice)
        for s in 0..<number {
          let a = UInt64(counts[Int(x.base[s])])
          let b = UInt64(counts[Int(y.base[s])])
          numbers.base[start &+ s] = find(min(a, b) &<< 32 | max(a, b), counts[node])
        }
      }
    }
    table = Vec()
  }

  @inline(__always)
  private mutating func find(_ marginal: UInt64, _ both: UInt32) -> UInt32 {
    var slot = CountTriples.hash(marginal, both) & mask
    while true {
      let entry = table.base[slot]
      if entry == 0 { return insert(marginal, both, slot) }
      let number = Int(entry &- 1)
      if marginals.base[number] == marginal && boths.base[number] == both {
        occurrences.base[number] &+= 1
        return entry &- 1
      }
      slot = (slot &+ 1) & mask
    }
  }

  @inline(__always)
  private static func hash(_ marginal: UInt64, _ both: UInt32) -> Int {
    var word = marginal &* 0x9e37_79b9_7f4a_7c15
    word ^= word &>> 32
    word = (word ^ UInt64(both)) &* 0xd6e8_feb8_6659_fd93
    return Int(truncatingIfNeeded: word ^ (word &>> 32))
  }

  private mutating func insert(_ marginal: UInt64, _ both: UInt32, _ slot: Int) -> UInt32 {
    let number = UInt32(marginals.count)
    marginals.append(marginal)
    boths.append(both)
    occurrences.append(1)
    table.base[slot] = number + 1
    if marginals.count * 2 > table.count {
      table = Vec(repeating: 0, count: table.count * 2)
      mask = table.count - 1
      for i in 0..<marginals.count {
        var slot = CountTriples.hash(marginals.base[i], boths.base[i]) & mask
        while table.base[slot] != 0 { slot = (slot &+ 1) & mask }
        table.base[slot] = UInt32(i + 1)
      }
    }
    return number
  }

  /// p of every triple, then q.
  mutating func test(
    baskets: Int, parallel: ((_ parts: Int, _ body: (Int) -> Void) -> Void)?
  ) {
    let count = marginals.count
    let logs = LogFactorials(upTo: baskets)
    let p = Vec<Double>(repeating: 1, count: count)
    let into = p.base
    let marginal = marginals.base
    let both = boths.base
    func run(_ range: Range<Int>, _ logs: borrowing LogFactorials) {
      for i in range {
        into[i] = logs.upperTail(
          RuleCounts(
            baskets: baskets, antecedent: Int(marginal[i] &>> 32),
            consequent: Int(marginal[i] & 0xffff_ffff), both: Int(both[i])))
      }
    }
    if let parallel, count > 1000 {
      let parts = 16
      withUnsafePointer(to: logs) { logs in
        parallel(parts) { part in
          run(count * part / parts..<count * (part + 1) / parts, logs.pointee)
        }
      }
    } else {
      run(0..<count, logs)
    }
    qs = falseDiscoveryRates(p.buffer, occurrences: occurrences.buffer)
    ps = p
  }

  /// Distinct triples.
  var count: Int { marginals.count }
}
