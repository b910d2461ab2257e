// G = Σ h^-1/2 x xᵀ over rows, x_i = 2^(-age_i / 2H): co-occurrence in which a pair of two old entries
// halves its weight with every H, and long rows do not outweigh short ones (QUALITY §1).
//
// Exact as the counts are: each entry gets one integer weight, round(2^18 · h^-1/4 · x_i), and products of integers
// are added, so the sums do not depend on the order of rows or on the number of threads. A common factor of all
// weights, which time is, changes nothing of what is fitted to G.
//
// Gustavson's product, row by row. The matrix is held by rows, both halves: a bitmap, the number of set bits
// before each word, and the values of the set bits. So a row can be walked in order, and a pair is looked up in
// constant time: the neighbourhood ridge asks for K²/2 pairs an item.
import Sparse

public struct WeightedGram: ~Copyable {
  /// The items it is over, in an order of theirs that no id decides: that of additions. A place is an index.
  public let items: [UInt32]
  public var size: Int { items.count }
  /// Words of a row's bitmap.
  let words: Int
  private let bits: Vec<UInt64>
  /// Set bits of the row before each word.
  private let before: Vec<UInt32>
  private let rows: UnsafeMutablePointer<UnsafeMutablePointer<Float>?>
  let diagonal: Vec<Double>

  /// Weight of an entry of age 0 in a row of one.
  static let unit: Double = 262_144

  /// - Parameters:
  ///   - items: different ones; entries of others are left out, but count for a row's length.
  ///   - reference: the time from which ages are counted; what is later has age 0.
  ///   - halfLife: H, ms.
  /// Complexity: Σ h² additions, and size² / 64 words.
  public init(
    _ entries: TimedRows, items: [UInt32], reference: Int64, halfLife: Int64, parallel: Parallel
  ) {
    let size = items.count
    self.items = items
    words = (size + 63) / 64
    let limit = items.max().map { Int($0) + 1 } ?? 0
    var placeOf = [Int32](repeating: -1, count: limit)
    for (place, item) in items.enumerated() { placeOf[Int(item)] = Int32(place) }

    // The rows over places with weights, and their transpose.
    let places = Vec<UInt32>(capacity: entries.items.count)
    let weights = Vec<UInt64>(capacity: entries.items.count)
    var starts = [0]
    var heights = [Int](repeating: 0, count: size + 1)
    var count = 0
    for r in 0..<entries.count {
      let range = entries.range(r)
      let length = Double(range.count).squareRoot().squareRoot()
      for k in range where Int(entries.items[k]) < limit && placeOf[Int(entries.items[k])] >= 0 {
        let age = Double(max(0, reference - entries.times[k]))
        let weight = DecayMaths.fixed(
          WeightedGram.unit / length * DecayMaths.halvings(age / (2 * Double(halfLife))))
        if weight == 0 { continue }
        let place = placeOf[Int(entries.items[k])]
        places.base[count] = UInt32(place)
        weights.base[count] = weight
        heights[Int(place) + 1] += 1
        count += 1
      }
      starts.append(count)
    }
    for place in 0..<size { heights[place + 1] += heights[place] }
    let columnRows = Vec<UInt32>(capacity: count)
    let columnWeights = Vec<UInt64>(capacity: count)
    var next = heights
    for r in 0..<entries.count {
      for k in starts[r]..<starts[r + 1] {
        let place = Int(places.base[k])
        columnRows.base[next[place]] = UInt32(r)
        columnWeights.base[next[place]] = weights.base[k]
        next[place] += 1
      }
    }

    let rows = UnsafeMutablePointer<UnsafeMutablePointer<Float>?>.allocate(capacity: max(1, size))
    rows.initialize(repeating: nil, count: max(1, size))
    self.rows = rows
    bits = Vec(repeating: 0, count: size * words)
    before = Vec(repeating: 0, count: size * words)
    diagonal = Vec(repeating: 0, count: size)
    let (bitsBase, beforeBase, diagonalBase) = (bits.base, before.base, diagonal.base)
    let (placesBase, weightsBase) = (places.base, weights.base)
    let (columnRowsBase, columnWeightsBase) = (columnRows.base, columnWeights.base)
    let words = self.words
    let parts = max(1, min(64, size / 16))
    starts.withUnsafeBufferPointer { starts in
      heights.withUnsafeBufferPointer { heights in
        parallel(parts) { part in
          let sums = Vec<UInt64>(repeating: 0, count: words * 64)
          let sum = sums.base
          // Neighbouring places in different parts: early items are the long rows.
          for i in stride(from: part, to: size, by: parts) {
            for c in heights[i]..<heights[i + 1] {
              let row = Int(columnRowsBase[c])
              let weight = columnWeightsBase[c]
              for k in starts[row]..<starts[row + 1] {
                let place = Int(placesBase[k])
                sum[place] = sum[place] &+ weight &* weightsBase[k]
              }
            }
            var met = 0
            for w in 0..<words {
              var word: UInt64 = 0
              for b in 0..<64 where sum[64 * w + b] != 0 { word |= 1 << UInt64(b) }
              bitsBase[i * words + w] = word
              beforeBase[i * words + w] = UInt32(met)
              met += word.nonzeroBitCount
            }
            diagonalBase[i] = Double(sum[i])
            let values = UnsafeMutablePointer<Float>.allocate(capacity: max(1, met))
            var k = 0
            for j in 0..<words * 64 where sum[j] != 0 {
              values[k] = Float(sum[j])
              k += 1
              sum[j] = 0
            }
            rows[i] = values
          }
        }
      }
    }
    // They own what the parts have read.
    withExtendedLifetime(places.count &+ weights.count &+ columnRows.count &+ columnWeights.count) {}
  }

  deinit {
    for i in 0..<size { rows[i]?.deallocate() }
    rows.deallocate()
  }

  public var meanDiagonal: Double {
    var sum = 0.0
    for i in 0..<size { sum += diagonal[i] }
    return size == 0 ? 0 : sum / Double(size)
  }

  /// G at two places.
  @inline(__always)
  public func value(_ i: Int, _ j: Int) -> Double {
    let at = i &* words &+ j &>> 6
    let word = bits.base[at]
    let bit: UInt64 = 1 &<< UInt64(j & 63)
    if word & bit == 0 { return 0 }
    let rank = Int(before.base[at]) &+ (word & (bit &- 1)).nonzeroBitCount
    return Double(rows[i]![rank])
  }

  /// The places of a row with their values, ascending.
  @inline(__always)
  func forEach(in i: Int, _ body: (_ j: Int, _ value: Double) -> Void) {
    guard let values = rows[i] else { return }
    var k = 0
    for w in 0..<words {
      var word = bits.base[i &* words &+ w]
      while word != 0 {
        body(64 &* w &+ word.trailingZeroBitCount, Double(values[k]))
        word &= word &- 1
        k &+= 1
      }
    }
  }
}

extension WeightedGram: @unchecked Sendable {}
