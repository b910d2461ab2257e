// Fisher's one-sided exact test: p = P[Hyp(n, c_Y, c_X) >= c_XY], and Benjamini and Hochberg's q
// ("Controlling the False Discovery Rate", 1995).
//
// The point mass comes from a table of log-factorials, each split into a multiple of 2^-19 (sums of
// nine are exact for n < 2^31) and a small rest, so the exponent carries no cancellation error. The
// tail is summed from its largest term on: each term is the one before times a ratio of integers,
// four terms to a division. At or below the mean the other tail is summed and subtracted.
import CKernels
import Sparse

/// ln k! for k in 0...n.
public struct LogFactorials: ~Copyable {
  let table: Vec<SIMD2<Double>>

  /// O(n).
  public init(upTo n: Int) {
    let table = Vec<SIMD2<Double>>(repeating: SIMD2(0, 0), count: n + 1)
    let magic = 0x1.8p33  // adding and taking it away leaves a multiple of 2^-19
    var high = 0.0
    var low = 0.0
    var i = 2
    while i <= n {
      let term = affinity_log(Double(i))
      // Knuth's two-sum: high + low stays exact to the rounding of the logarithms.
      let sum = high + term
      let part = sum - high
      low += (high - (sum - part)) + (term - part)
      high = sum
      let coarse = (high + magic) - magic
      table.base[i] = SIMD2(coarse, (high - coarse) + low)
      i &+= 1
    }
    self.table = table
  }

  public var limit: Int { table.count - 1 }

  /// P[Hyp(n, successes, draws) >= both] with n = `baskets`, symmetric in antecedent and consequent
  /// to the bit. In leastNormalMagnitude...1: smaller ones are not told apart. `baskets <= limit`.
  public func upperTail(_ c: RuleCounts) -> Double {
    let n = c.baskets
    let few = min(c.antecedent, c.consequent)
    let many = max(c.antecedent, c.consequent)
    let k = c.both
    precondition(n <= limit && k >= 0 && k <= few && many <= n)
    if k <= max(0, few &+ many &- n) { return 1 }
    let value: Double
    if k &* n <= few &* many {
      value = 1 - mass(n, few, many, k &- 1) * LogFactorials.down(n, few, many, k &- 1)
    } else {
      value = mass(n, few, many, k) * LogFactorials.up(n, few, many, k)
    }
    return min(1, max(Double.leastNormalMagnitude, value))
  }

  /// P[Hyp(n, many, few) = k]
  @inline(__always)
  private func mass(_ n: Int, _ few: Int, _ many: Int, _ k: Int) -> Double {
    let t = table.base
    let plus = (t[few] + t[n &- few]) + (t[many] + t[n &- many])
    let minus = (t[k] + t[few &- k]) + (t[many &- k] + t[n &- few &- many &+ k])
    let sum = (plus - minus) - t[n]
    return affinity_exp(sum[0] + sum[1])
  }

  /// Σ_{j >= k} mass(j) / mass(k)
  @inline(__always)
  private static func up(_ n: Int, _ few: Int, _ many: Int, _ k: Int) -> Double {
    // mass(j+1) / mass(j) = (few − j)(many − j) / ((j + 1)(n − few − many + j + 1))
    series(
      Double(few &- k), Double(many &- k), Double(k &+ 1), Double(n &- few &- many &+ k &+ 1))
  }

  /// Σ_{j <= k} mass(j) / mass(k)
  @inline(__always)
  private static func down(_ n: Int, _ few: Int, _ many: Int, _ k: Int) -> Double {
    series(
      Double(k), Double(n &- few &- many &+ k), Double(few &- k &+ 1), Double(many &- k &+ 1))
  }

  /// 1 + r0 + r0·r1 + …, r_i = (a − i)(b − i) / ((c + i)(d + i)). Ends by itself where a numerator
  /// reaches 0, as a and b are whole.
  @inline(__always)
  private static func series(_ a: Double, _ b: Double, _ c: Double, _ d: Double) -> Double {
    var sum = 1.0
    var term = 1.0
    var i = 0.0
    while true {
      let u0 = (a - i) * (b - i)
      let v0 = (c + i) * (d + i)
      let u1 = (a - i - 1) * (b - i - 1)
      let v1 = (c + i + 1) * (d + i + 1)
      let u2 = (a - i - 2) * (b - i - 2)
      let v2 = (c + i + 2) * (d + i + 2)
      let u3 = (a - i - 3) * (b - i - 3)
      let v3 = (c + i + 3) * (d + i + 3)
      let v23 = v2 * v3
      let u01 = u0 * u1
      let scale = term / ((v0 * v1) * v23)
      // u0/v0 + u0u1/v0v1 + u0u1u2/v0v1v2 + u0u1u2u3/v0v1v2v3 over one denominator.
      sum += scale * (u0 * v1 * v23 + u01 * (v23 + u2 * (v3 + u3)))
      term = scale * (u01 * (u2 * u3))
      if !(term > sum * 1e-17) { return sum }
      i += 4
    }
  }
}

/// Benjamini-Hochberg over a family given as distinct p with how often each occurs: q of each, in
/// the same order. Monotone in p, at most 1. O(distinct).
public func falseDiscoveryRates(
  _ p: UnsafeBufferPointer<Double>, occurrences: UnsafeBufferPointer<UInt32>
) -> Vec<Double> {
  let count = p.count
  var family = 0
  for i in 0..<count { family += Int(occurrences[i]) }
  let q = Vec<Double>(repeating: 1, count: count)
  let order = sortedOrder(count) { p[$0].bitPattern }
  var rank = family
  var least = 1.0
  var at = count - 1
  while at >= 0 {
    let i = Int(order[at])
    least = min(least, p[i] * Double(family) / Double(rank))
    q[i] = least
    rank -= Int(occurrences[i])
    at -= 1
  }
  return q
}

/// Indices 0..<count by rising key, equal keys by rising index (radix sort, bytes that all keys
/// share are skipped).
func sortedOrder(_ count: Int, _ key: (Int) -> UInt64) -> Vec<UInt32> {
  var keys = Vec<UInt64>(repeating: 0, count: count)
  var order = Vec<UInt32>(repeating: 0, count: count)
  var spread: UInt64 = 0
  if count > 0 {
    let first = key(0)
    for i in 0..<count {
      let k = key(i)
      keys.base[i] = k
      order.base[i] = UInt32(truncatingIfNeeded: i)
      spread |= k ^ first
    }
  }
  var otherKeys = Vec<UInt64>(repeating: 0, count: count)
  var otherOrder = Vec<UInt32>(repeating: 0, count: count)
  let bits: UInt64 = 11
  let starts = Vec<UInt32>(repeating: 0, count: 1 << Int(bits))
  var shift: UInt64 = 0
  while shift < 64 {
    let mask = (UInt64(1) &<< bits) &- 1
    if (spread &>> shift) & mask != 0 {
      for d in 0..<starts.count { starts.base[d] = 0 }
      for i in 0..<count { starts.base[Int((keys.base[i] &>> shift) & mask)] &+= 1 }
      var sum: UInt32 = 0
      for d in 0..<starts.count {
        let here = starts.base[d]
        starts.base[d] = sum
        sum &+= here
      }
      for i in 0..<count {
        let k = keys.base[i]
        let digit = Int((k &>> shift) & mask)
        let to = Int(starts.base[digit])
        starts.base[digit] &+= 1
        otherKeys.base[to] = k
        otherOrder.base[to] = order.base[i]
      }
      swap(&keys, &otherKeys)
      swap(&order, &otherOrder)
    }
    shift &+= bits
  }
  return order
}
