// All ways to split an itemset into antecedent and consequent, and a number for each rule: the
// family. Itemset Z of d items has `number(d)` splits, the consequents as bit masks over Z's items in
// rank order, by length, then by value; its rules are numbered from `start(Z)` on, level by level.
import Sparse

struct RuleSplits: ~Copyable {
  let maxConsequent: Int
  /// All splits of all itemsets.
  private(set) var family = 0
  /// The most splits of one itemset; the most subsets of one, when masks are used.
  private(set) var widest = 0
  private(set) var subsets = 0
  /// By level: first rule's number; splits; where the level's masks start.
  private var starts: [Int] = [0, 0]
  private var numbers: [Int] = [0, 0]
  private var maskStarts: [Int] = [0, 0]
  private var masks = Vec<UInt32>()
  /// By level, then mask: place among the level's splits.
  private var placeStarts: [Int] = [0, 0]
  private var places = Vec<UInt32>()

  var usesMasks: Bool { maxConsequent > 1 }

  init(_ lattice: borrowing ItemsetLattice, maxConsequent: Int) {
    self.maxConsequent = max(1, maxConsequent)
    for level in stride(from: 2, through: lattice.depth, by: 1) {
      precondition(level < 32, "no itemset of 32 items has all its subsets in memory")
      let longest = min(self.maxConsequent, level - 1)
      maskStarts.append(masks.count)
      placeStarts.append(places.count)
      if usesMasks {
        let all = UInt32(1) << UInt32(level)
        places.extend(to: places.count + Int(all), with: 0)
        for length in 1...longest {
          for mask in 1..<all where mask.nonzeroBitCount == length {
            places[placeStarts[level] + Int(mask)] = UInt32(masks.count - maskStarts[level])
            masks.append(mask)
          }
        }
        numbers.append(masks.count - maskStarts[level])
        subsets = Int(all)
      } else {
        numbers.append(level)
      }
      starts.append(family)
      family += numbers[level] * (lattice.levelStarts[level + 1] - lattice.levelStarts[level])
      widest = max(widest, numbers[level])
    }
  }

  @inline(__always) func number(_ level: Int) -> Int { numbers[level] }

  /// The number of the itemset's first rule.
  @inline(__always) func start(_ node: Int, _ level: Int, _ lattice: borrowing ItemsetLattice)
    -> Int
  {
    starts[level] &+ (node &- lattice.levelStarts[level]) &* numbers[level]
  }

  /// The consequent of split `s` as a mask over the itemset's items.
  @inline(__always) func mask(_ s: Int, _ level: Int) -> UInt32 {
    usesMasks ? masks.base[maskStarts[level] &+ s] : 1 &<< UInt32(s)
  }

  /// The split with this consequent.
  @inline(__always) func place(_ mask: UInt32, _ level: Int) -> Int {
    usesMasks
      ? Int(places.base[placeStarts[level] &+ Int(mask)]) : mask.trailingZeroBitCount
  }

  /// Antecedent and consequent node of every split of the itemset. `scratch` has room for `subsets`.
  @inline(__always)
  func fill(
    _ node: Int, _ level: Int, _ lattice: borrowing ItemsetLattice, _ scratch: inout Vec<UInt32>,
    _ antecedents: UnsafeMutablePointer<UInt32>, _ consequents: UnsafeMutablePointer<UInt32>
  ) {
    let links = lattice.links.base
    let at = lattice.linkStart(node, level: level)
    if !usesMasks {
      let elements = lattice.elements.base + at
      for j in 0..<level {
        antecedents[j] = links[at &+ j]
        consequents[j] = lattice.single(elements[j])
      }
      return
    }
    // Every subset from the one with its lowest missing item put back, by one link.
    let subset = scratch.base
    let full = (UInt32(1) &<< UInt32(level)) &- 1
    subset[Int(full)] = UInt32(truncatingIfNeeded: node)
    lattice.linkBases.withUnsafeBufferPointer { bases in
      lattice.levelStarts.withUnsafeBufferPointer { levels in
        var mask = full &- 1
        while mask > 0 {
          let j = (~mask).trailingZeroBitCount
          let more = mask | (1 &<< UInt32(j))
          let above = more.nonzeroBitCount
          let from = Int(subset[Int(more)])
          subset[Int(mask)] = links[bases[above] &+ (from &- levels[above]) &* above &+ j]
          mask &-= 1
        }
      }
    }
    let mine = masks.base + maskStarts[level]
    for s in 0..<numbers[level] {
      antecedents[s] = subset[Int(full ^ mine[s])]
      consequents[s] = subset[Int(mine[s])]
    }
  }
}

extension ItemsetLattice {
  @inline(__always) func level(of node: Int) -> Int {
    var level = 1
    while levelStarts[level + 1] <= node { level += 1 }
    return level
  }
}

/// For every rule of the family the best confidence among rules with fewer antecedent items and the
/// same consequent, down to none (whose confidence is the consequent's support), as two integers.
struct BestSubrules: ~Copyable {
  var boths = Vec<UInt32>()
  var antecedents = Vec<UInt32>()

  init() {}

  init(_ splits: borrowing RuleSplits, _ lattice: borrowing ItemsetLattice) {
    boths = Vec(repeating: 0, count: splits.family)
    antecedents = Vec(repeating: 1, count: splits.family)
    let x = Vec<UInt32>(repeating: 0, count: splits.widest)
    let y = Vec<UInt32>(repeating: 0, count: splits.widest)
    var scratch = Vec<UInt32>(repeating: 0, count: splits.subsets)
    let counts = lattice.counts.base
    let all = UInt32(lattice.baskets)
    for level in stride(from: 2, through: lattice.depth, by: 1) {
      let full = (UInt32(1) &<< UInt32(level)) &- 1
      for node in lattice.levelStarts[level]..<lattice.levelStarts[level + 1] {
        splits.fill(node, level, lattice, &scratch, x.base, y.base)
        let start = splits.start(node, level, lattice)
        let links = lattice.links.base + lattice.linkStart(node, level: level)
        for s in 0..<splits.number(level) {
          let mask = splits.mask(s, level)
          var rest = full ^ mask
          let length = rest.nonzeroBitCount
          if length == 1 {
            boths.base[start &+ s] = counts[Int(y.base[s])]
            antecedents.base[start &+ s] = all
            continue
          }
          let shorter = lattice.links.base + lattice.linkStart(Int(x.base[s]), level: length)
          var best: UInt32 = 0
          var bestOf: UInt32 = 1
          var place = 0
          while rest != 0 {
            let j = rest.trailingZeroBitCount
            rest &= rest &- 1
            // Without item j: itemset, antecedent, and the consequent's mask.
            let smaller = Int(links[j])
            let low = (UInt32(1) &<< UInt32(j)) &- 1
            let moved = (mask & low) | ((mask &>> 1) & ~low)
            let rule =
              splits.start(smaller, level - 1, lattice) &+ splits.place(moved, level - 1)
            BestSubrules.raise(
              &best, &bestOf, counts[smaller], counts[Int(shorter[place])])
            BestSubrules.raise(
              &best, &bestOf, boths.base[rule], antecedents.base[rule])
            place &+= 1
          }
          boths.base[start &+ s] = best
          antecedents.base[start &+ s] = bestOf
        }
      }
    }
  }

  /// Products of two counts stay below 2^62.
  @inline(__always)
  private static func raise(
    _ best: inout UInt32, _ bestOf: inout UInt32, _ both: UInt32, _ of: UInt32
  ) {
    if UInt64(both) &* UInt64(bestOf) > UInt64(best) &* UInt64(of) {
      best = both
      bestOf = of
    }
  }
}
