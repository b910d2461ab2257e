// From a weighted Gram matrix to item weights: the whole inverse where the catalogue is small, a ridge over each
// item's neighbourhood where it is not (QUALITY §5).
//
// EASE (H. Steck, WWW 2019): P = (G + λI)⁻¹, B_ij = -P_ij / P_jj, by LAPACK's Cholesky factor and inverse. n³
// multiplications, and n² doubles while it lasts. Of each column the `kept` largest by magnitude stay.
//
// Neighbourhood ridge: for target j the K items of largest cosine in G, S, and (G_SS + λI) b = G_Sj: every column
// by itself, K³/6 multiplications. Its sums have one order, so its bytes are the same on every processor; the bytes of
// EASE are the same on one kind of processor (OpenBLAS picks kernels by it), but for the rounding to millionths,
// which hides that nearly always.
import CKernels
import CLAPACK
import Sparse

public struct ItemRegression: Hashable, Sendable {
  /// λ as a multiple of G's mean diagonal.
  public var lambda = 20.0
  /// K of the neighbourhood ridge.
  public var neighbours = 200
  /// Items up to which the whole inverse is taken; 0 = never.
  public var denseItems = 5000
  /// Weights kept of a column of the whole inverse.
  public var kept = Int.max

  public init(lambda: Double = 20) { self.lambda = lambda }

  /// Ties go to the earlier place.
  public func fit(
    _ gram: borrowing WeightedGram, parallel: Parallel
  ) -> ItemWeights {
    var columns: [ItemWeights.Column]?
    if gram.size <= denseItems { columns = inverse(gram, parallel) }
    return ItemWeights(columns: columns ?? ridge(gram, parallel), items: gram.items)
  }

  // MARK: the whole inverse

  /// nil where the matrix has no Cholesky factor.
  private func inverse(
    _ gram: borrowing WeightedGram, _ parallel: Parallel
  ) -> [ItemWeights.Column]? {
    let n = gram.size
    if n == 0 { return [] }
    let matrix = Vec<Double>(repeating: 0, count: n * n)
    for i in 0..<n {
      gram.forEach(in: i) { j, value in matrix.base[i * n + j] = value }
    }
    let lambda = self.lambda * gram.meanDiagonal
    for i in 0..<n { matrix.base[i * n + i] = gram.diagonal[i] + lambda }
    openblas_set_num_threads(1)
    let size = Int32(n)
    // Columns first: the lower triangle by columns is the upper one by rows.
    let uplo = CChar(UInt8(ascii: "L"))
    guard LAPACKE_dpotrf(LAPACK_COL_MAJOR, uplo, size, matrix.base, size) == 0,
      LAPACKE_dpotri(LAPACK_COL_MAJOR, uplo, size, matrix.base, size) == 0
    else { return nil }
    for i in 0..<n {
      for j in i + 1..<max(n, i + 1) { matrix.base[j * n + i] = matrix.base[i * n + j] }
    }
    let base = matrix.base
    return columns(n, parallel) { j, scratch in
      // P is symmetric: its row is its column.
      let row = base + j * n
      let diagonal = -row[j]
      scratch.removeAll()
      for i in 0..<n where i != j {
        let weight = ItemWeights.rounded(row[i] / diagonal)
        if weight != 0 {
          scratch.append(
            Selection.Candidate(
              value: abs(weight).bitPattern, rank: UInt32(i), id: UInt32(i),
              both: weight < 0 ? 1 : 0))
        }
      }
      cut(&scratch, to: kept)
      var column = ItemWeights.Column()
      for k in 0..<scratch.count {
        let one = scratch[k]
        let magnitude = Double(bitPattern: one.value)
        column.sources.append(one.id)
        column.weights.append(one.both == 1 ? -magnitude : magnitude)
      }
      return column
    }
  }

  // MARK: neighbourhoods

  private func ridge(
    _ gram: borrowing WeightedGram, _ parallel: Parallel
  ) -> [ItemWeights.Column] {
    let n = gram.size
    let lambda = self.lambda * gram.meanDiagonal
    let scales = Vec<Double>(repeating: 0, count: n)
    for i in 0..<n where gram.diagonal[i] > 0 { scales[i] = 1 / gram.diagonal[i].squareRoot() }
    let scale = scales.base
    return withUnsafePointer(to: gram) { gram in
      columns(n, parallel) { j, scratch in
        scratch.removeAll()
        gram.pointee.forEach(in: j) { i, value in
          if i == j { return }
          scratch.append(
            Selection.Candidate(
              value: (value * scale[i]).bitPattern, rank: UInt32(i), id: UInt32(i), both: 0))
        }
        cut(&scratch, to: neighbours)
        let k = scratch.count
        if k == 0 { return ItemWeights.Column() }
        var column = ItemWeights.Column()
        withUnsafeTemporaryAllocation(of: Double.self, capacity: k * k + k) { memory in
          guard let system = memory.baseAddress else { return }
          let right = system + k * k
          for a in 0..<k {
            let i = Int(scratch[a].id)
            for b in a..<k { system[a * k + b] = gram.pointee.value(i, Int(scratch[b].id)) }
            system[a * k + a] = gram.pointee.diagonal[i] + lambda
            right[a] = gram.pointee.value(j, i)
          }
          if affinity_cholesky_solve(system, k, k, right) != 0 { return }
          for a in 0..<k {
            let weight = ItemWeights.rounded(right[a])
            if weight == 0 { continue }
            column.sources.append(scratch[a].id)
            column.weights.append(weight)
          }
        }
        return column
      }
    }
  }

  // MARK: shared

  /// The columns of all places, each by itself.
  private func columns(
    _ n: Int, _ parallel: Parallel, _ body: (Int, inout Vec<Selection.Candidate>) -> ItemWeights.Column
  ) -> [ItemWeights.Column] {
    [ItemWeights.Column](unsafeUninitializedCapacity: n) { columns, count in
      let base = columns.baseAddress
      let parts = max(1, min(64, n / 8))
      withoutActuallyEscaping(body) { body in
        parallel(parts) { part in
          var scratch = Vec<Selection.Candidate>()
          for j in stride(from: part, to: n, by: parts) {
            (base! + j).initialize(to: body(j, &scratch))
          }
        }
      }
      count = n
    }
  }

  /// The `most` largest, by value, then rank; they stand in the order of places.
  private func cut(_ members: inout Vec<Selection.Candidate>, to most: Int) {
    if members.count > most {
      Selection.partition(members.base, members.count, most)
      members.count = most
    }
    var all = members.mutableBuffer
    all.sort { $0.id < $1.id }
  }
}
