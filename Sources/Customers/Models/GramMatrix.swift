// XᵀWX over a table's rows: of Newton's steps, of least squares and of correlations. Per stretch of rows one sum, stretches added in
// order. Solving is LAPACK's Cholesky factorisation.
import CKernels
import CLAPACK
import Sparse

/// Rows of a block: its columns and their weighted copies stay in the nearest cache levels.
let gramBlock = 128

/// Symmetric positive definite A (`d` × `d`, lower triangle row by row); solves A x = b in place.
/// - Returns: false where A is not positive definite; b is then undefined.
func solveSymmetric(_ a: UnsafeMutablePointer<Double>, _ b: UnsafeMutablePointer<Double>, _ d: Int)
  -> Bool
{
  // Row by row and lower is LAPACK's column by column and upper.
  LAPACKE_dposv(LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), Int32(d), 1, a, Int32(d), b, Int32(d)) == 0
}

/// The inverse's lower triangle in place of A's, or false.
func invertSymmetric(_ a: UnsafeMutablePointer<Double>, _ d: Int) -> Bool {
  let upper = CChar(UInt8(ascii: "U"))
  guard LAPACKE_dpotrf(LAPACK_COL_MAJOR, upper, Int32(d), a, Int32(d)) == 0 else { return false }
  return LAPACKE_dpotri(LAPACK_COL_MAJOR, upper, Int32(d), a, Int32(d)) == 0
}

/// Columns of a table as pointers at a row, with a column of ones behind them where asked, and what else is wanted.
struct ColumnPointers: ~Copyable {
  let at: Vec<UnsafePointer<Double>?>
  private let starts: Vec<UnsafePointer<Double>?>
  private let ones: Vec<Double>
  let count: Int

  init(_ table: Table, ones hasOnes: Bool, also extra: UnsafePointer<Double>? = nil) {
    ones = .filled(1, count: gramBlock)
    var starts = Vec<UnsafePointer<Double>?>()
    for c in 0..<table.columns { starts.append(UnsafePointer(table.column(c))) }
    if hasOnes { starts.append(nil) }
    if let extra { starts.append(extra) }
    count = starts.count
    at = .filled(nil, count: count)
    self.starts = starts
  }

  /// Points at `row` and the rows after it (at most `gramBlock`).
  func move(to row: Int) {
    for c in 0..<count { at[c] = starts[c].map { $0 + row } ?? UnsafePointer(ones.base) }
  }
}

/// Sums of products over all rows of [columns, ones, extra]: `d` × `d`, both triangles.
func gram(
  _ table: Table, ones: Bool, extra: UnsafePointer<Double>? = nil, parallel: ParallelFor
) -> [Double] {
  let d = table.columns + (ones ? 1 : 0) + (extra == nil ? 0 : 1)
  let stretches = Stretches(rows: table.rows)
  let sums = Vec<Double>.filled(0, count: max(1, stretches.count) * d * d)
  let shared = Shared(sums.base)
  parallel(stretches.count) { part in
    let columns = ColumnPointers(table, ones: ones, also: extra)
    let range = stretches.range(part)
    for row in stride(from: range.lowerBound, to: range.upperBound, by: gramBlock) {
      columns.move(to: row)
      affinity_gram_add(
        columns.at.base, d, min(gramBlock, range.upperBound - row), nil, nil, shared.base + part * d * d)
    }
  }
  var total = [Double](repeating: 0, count: d * d)
  for part in 0..<stretches.count {
    for i in 0..<d { for j in 0...i { total[i * d + j] += sums[part * d * d + i * d + j] } }
  }
  for i in 0..<d { for j in 0..<i { total[j * d + i] = total[i * d + j] } }
  return total
}
