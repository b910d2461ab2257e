// The digest of a relation's counts: a sum mod 2^128 over all pairs, so that it can be kept with each
// change, and shards' digests add. The house's 48-byte hash costs more than counting the pair, so an
// element here is one full product of two words that are looked up per item:
//
//   S(i) = Fingerprint(key of i, tag, 0, 0)   T(j) = Fingerprint(key of j, tag, 1, 0), or S(j) where the
//   relation is symmetric; tag = Fingerprint of the relation's name
//   x = (S(i).low + T(j).low) xor (count · K1)      y = (S(i).high + T(j).high) xor (count · K2)
//   element = x · y, all 128 bits
//
// It does not depend on which item of an unordered pair comes first. The products alone (NH, Black et al.
// 1999) would cancel when counts move along a cycle of pairs; the xor with the count's words breaks the
// linearity. Two sets of counts that differ meet with a chance of about 2^-64: this finds faults, it is
// not a signature.
import Sparse

public enum CountsDigest {
  @usableFromInline static let k1: UInt64 = 0x9e37_79b9_7f4a_7c15
  @usableFromInline static let k2: UInt64 = 0xc2b2_ae3d_27d4_eb4f

  /// The words of an item in one relation.
  public static func word(
    _ item: Fingerprint, relation: Fingerprint, isTarget: Bool
  ) -> Fingerprint {
    let first = Fingerprint(item, relation, isTarget ? 1 : 0, 0)
    return first
  }

  @inlinable @inline(__always)
  public static func element(
    _ source: Fingerprint, _ target: Fingerprint, count: UInt32
  ) -> Fingerprint {
    let c = UInt64(count)
    let x = (source.low &+ target.low) ^ (c &* k1)
    let y = (source.high &+ target.high) ^ (c &* k2)
    let product = x.multipliedFullWidth(by: y)
    return Fingerprint(low: product.low, high: product.high)
  }
}
