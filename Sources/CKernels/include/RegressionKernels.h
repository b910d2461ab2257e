// Kernels of the item regressions.
#pragma once
#include <stddef.h>

/// Solves the positive definite A x = b in place by Cholesky's decomposition (Golub, Van Loan, Matrix
/// Computations, §4.2). `a` is `n` rows of `stride` doubles of which the upper triangle is read, and
/// overwritten; `b` becomes x. Every sum has one order, on every processor: the bytes of the result are
/// the same. Returns 0, or 1 + the place of a pivot that is not above zero. Complexity: n³/6
/// multiplications.
size_t affinity_cholesky_solve(double *a, size_t n, size_t stride, double *b);

/// sums[ids[k]] += weight * values[k]; the ids are different.
void affinity_axpy_sparse(double *sums, const unsigned *ids, const double *values, size_t count,
                          double weight);
