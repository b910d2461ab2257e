// Counts in which an entry halves its weight with every half-life, by forward decay (Cormode et al.
// 2009): an entry at time t weighs 2^((t - landmark) / halfLife), so nothing is touched as time passes.
//
// Exact undoing: a weight is an integer, a pure function of (t, landmark, halfLife), made from a table
// of 4,096 steps per half-life; sums of integers do not depend on order, and what was added can be
// taken away. The landmark is a function of the last tick: the multiple of 16 half-lives at or below
// it; where it moves, the sums are made anew from the live entries (MATHS §3).
import Sparse

public struct DecayedCounts: ~Copyable {
  public let halfLife: Int64
  public internal(set) var landmark: Int64 = 0
  var sums: Vec<UInt64>
  private let table: Vec<UInt64>
  private let reciprocal: Double

  /// Weight of an entry at the landmark.
  public static let unit: Double = 65_536

  public init(halfLife: Int64) {
    precondition(halfLife > 0)
    self.halfLife = halfLife
    reciprocal = 1 / Double(halfLife)
    sums = Vec()
    var steps = Vec<UInt64>()
    for i in 0..<4096 { steps.append(DecayMaths.step(i)) }
    table = steps
  }

  /// The integer weight of an entry at `time`.
  @inline(__always)
  public func weight(_ time: Int64) -> UInt64 {
    let distance = time &- landmark
    let exponent = quotient(distance)
    let rest = distance &- exponent &* halfLife
    let mantissa = table[Int(quotient(rest &* 4096))]
    if exponent >= 0 { return mantissa &<< UInt64(min(exponent, 20)) }
    return exponent < -17 ? 0 : mantissa &>> UInt64(-exponent)
  }

  /// floor(x / halfLife) for |x| < 2^60: guessed by the reciprocal and put right, since a division takes longer
  /// than all the rest of a weight.
  @inline(__always)
  private func quotient(_ x: Int64) -> Int64 {
    var guess = Int64(Double(x) * reciprocal)
    var rest = x &- guess &* halfLife
    while rest < 0 {
      rest &+= halfLife
      guess &-= 1
    }
    while rest >= halfLife {
      rest &-= halfLife
      guess &+= 1
    }
    return guess
  }

  public mutating func add(_ item: UInt32, _ time: Int64) {
    sums.extend(to: Int(item) + 1, with: 0)
    sums[Int(item)] = sums[Int(item)] &+ weight(time)
  }

  public mutating func subtract(_ item: UInt32, _ time: Int64) {
    sums[Int(item)] = sums[Int(item)] &- weight(time)
  }

  /// Whether the landmark for `tick` is another one. Then the sums are zero and the caller adds every
  /// live entry again.
  public mutating func move(to tick: Int64) -> Bool {
    let era = halfLife * 16
    var index = tick / era
    if tick % era < 0 { index -= 1 }
    let next = index * era
    if next == landmark { return false }
    landmark = next
    for i in 0..<sums.count { sums[i] = 0 }
    return true
  }

  /// The sums, one per dense item id.
  public var values: [UInt64] { Array(sums.buffer) }

  /// What one unit of a sum is worth at `tick`: a sum times this is a decayed count.
  public static func scale(landmark: Int64, halfLife: Int64, at tick: Int64) -> Double {
    DecayMaths.halvings(Double(tick - landmark) / Double(halfLife)) / unit
  }
  public var bytes: Int { sums.bytes }
}
