// The one file here that needs the C library's mathematics.
import Glibc

enum EvaluationMaths {
  static func log2(_ x: Double) -> Double { Glibc.log2(x) }
  static func ln(_ x: Double) -> Double { Glibc.log(x) }
  static func exp2(_ x: Double) -> Double { Glibc.exp2(x) }
  static func floor(_ x: Double) -> Double { Glibc.floor(x) }
  /// Two-sided probability that a standard normal variable lies at least as far from 0 as z.
  static func tails(_ z: Double) -> Double { Glibc.erfc(abs(z) / 2.0.squareRoot()) }
}
