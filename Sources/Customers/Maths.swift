// The C library's functions that the customer models need; the one file of the module that imports it.
import Glibc

@inline(__always) func logarithm(_ x: Double) -> Double { log(x) }
/// ln(1 + x), exact near 0.
@inline(__always) func logarithm1p(_ x: Double) -> Double { log1p(x) }
@inline(__always) func logarithm2(_ x: Double) -> Double { log2(x) }
@inline(__always) func exponential(_ x: Double) -> Double { exp(x) }
/// eˣ − 1, exact near 0.
@inline(__always) func exponentialMinus1(_ x: Double) -> Double { expm1(x) }
@inline(__always) func root(_ x: Double) -> Double { x.squareRoot() }

/// 1 / (1 + e⁻ᶻ), without overflow.
public func sigmoid(_ z: Double) -> Double {
  if z >= 0 { return 1 / (1 + exponential(-z)) }
  let e = exponential(z)
  return e / (1 + e)
}

/// ln(1 + eᶻ), without overflow.
func softplus(_ z: Double) -> Double { max(z, 0) + logarithm1p(exponential(-abs(z))) }

/// Nearest whole number, halves away from zero.
func rounded(_ x: Double) -> Double { round(x) }
