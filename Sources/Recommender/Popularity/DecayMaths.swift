// The one file here that needs the C library's mathematics.
import Glibc

public enum DecayMaths {
  /// round(2^(i / 4096) × 65,536), for i in 0..<4096.
  static func step(_ i: Int) -> UInt64 { UInt64(Glibc.rint(Glibc.exp2(Double(i) / 4096) * 65_536)) }
  /// 2^(-place / half) in thousandths, at least one.
  public static func recency(place: Int, half: Double) -> Double {
    Swift.max(0.001, Glibc.rint(halvings(Double(place) / half) * 1000) / 1000)
  }
  /// 2^-x.
  public static func halvings(_ x: Double) -> Double { Glibc.exp2(-x) }
  /// e^-x.
  static func falling(_ x: Double) -> Double { Glibc.exp(-x) }
  static func logarithm(_ x: Double) -> Double { Glibc.log(x) }
  /// The integer nearest to x ≥ 0.
  @inline(__always) static func fixed(_ x: Double) -> UInt64 { UInt64(x.rounded(.toNearestOrEven)) }
}
