// EASE^R in plain form (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019): P = (G + λI)⁻¹ over the
// plain counts, B_ij = −P_ij / P_jj, B_jj = 0; scores are the sums of B's rows over what is given.
import CLAPACK
import Recommender
import Sparse

public struct EASEPeer: Scorer {
  public let name: String
  private let ridge: Double
  /// B by rows, n × n.
  private var weights: [Double] = []
  /// Items above which the inverse is left alone: 8 n² bytes, n³ multiplications.
  public static let itemLimit = 8000

  public init(ridge: Int) {
    self.ridge = Double(ridge)
    name = "EASE^R, λ \(ridge)"
  }

  public func obstacle(_ training: Training) -> String? {
    training.itemCount > EASEPeer.itemLimit
      ? "\(training.itemCount) items; the inverse is made for up to \(EASEPeer.itemLimit)" : nil
  }

  public mutating func fit(_ training: Training, parallel: @escaping Parallel) {
    let n = training.itemCount
    var gram = [Double](repeating: 0, count: n * n)
    for item in 0..<n {
      gram[item * n + item] = Double(training.count(of: item)) + ridge
      for p in training.pairs.starts[item]..<training.pairs.starts[item + 1] {
        gram[item * n + Int(training.pairs.others[p])] = Double(training.pairs.both[p])
      }
    }
    let size = Int32(n)
    let uplo = CChar(UInt8(ascii: "L"))
    // G + λI has a Cholesky factor for any λ above 0.
    guard LAPACKE_dpotrf(LAPACK_COL_MAJOR, uplo, size, &gram, size) == 0,
      LAPACKE_dpotri(LAPACK_COL_MAJOR, uplo, size, &gram, size) == 0
    else { preconditionFailure("a Gram matrix with a ridge is positive definite") }
    // Columns first: the lower triangle by columns is the upper one by rows.
    for i in 0..<n {
      for j in 0..<i { gram[i * n + j] = gram[j * n + i] }
    }
    let diagonal = (0..<n).map { gram[$0 * n + $0] }
    for i in 0..<n {
      for j in 0..<n { gram[i * n + j] = i == j ? 0 : -gram[i * n + j] / diagonal[j] }
    }
    weights = gram
  }

  public mutating func score(_ question: Question, _ training: Training, into scores: inout [Double]) {
    let n = training.itemCount
    weights.withUnsafeBufferPointer { weights in
      scores.withUnsafeMutableBufferPointer { scores in
        for item in question.given {
          let row = Int(item) * n
          for j in 0..<n { scores[j] += weights[row + j] }
        }
      }
    }
  }
}
