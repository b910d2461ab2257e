// Decayed weights beside plain division.
import Glibc
import Recommender
import Sparse
import Testing

@Suite struct DecayedCountsTests {
  /// Divided by the reciprocal as by division, at the edges of steps and of half-lives too.
  @Test func weightsAreThoseOfDivision() {
    let seed: UInt64 = 1124
    print("decayed weights: seed \(seed)")
    var random = SplitMix(seed: seed)
    let latest: Int64 = 253_402_300_799_999
    for halfLife in [1, 7, 1000, 86_400_000, 30 * 86_400_000, 36_500 * 86_400_000] as [Int64] {
      var counts = DecayedCounts(halfLife: halfLife)
      for tick in [0, 1_772_360_130_123, latest] as [Int64] {
        _ = counts.move(to: tick)
        for round in 0..<20_000 {
          var time = Int64(random.below(Int(latest)))
          if round % 2 == 0 {
            // Within some half-lives of the landmark, at a step's edge or beside it.
            let step = Int64(random.below(40 * 4096)) - 20 * 4096
            let (far, tooFar) = halfLife.multipliedReportingOverflow(by: step)
            if tooFar { continue }
            time = counts.landmark + far / 4096 + Int64(random.below(3)) - 1
          }
          let got = counts.weight(time)
          let want = plain(time - counts.landmark, halfLife)
          if got != want {
            Issue.record("half-life \(halfLife), landmark \(counts.landmark), time \(time): \(got), \(want)")
            return
          }
        }
      }
    }
  }

  private func plain(_ distance: Int64, _ halfLife: Int64) -> UInt64 {
    var exponent = distance / halfLife
    var rest = distance % halfLife
    if rest < 0 {
      rest += halfLife
      exponent -= 1
    }
    let mantissa = UInt64(rint(exp2(Double(rest * 4096 / halfLife) / 4096) * 65_536))
    if exponent >= 0 { return mantissa << UInt64(min(exponent, 20)) }
    return exponent < -17 ? 0 : mantissa >> UInt64(-exponent)
  }
}
