// See include/RegressionKernels.h. No multiplication is fused with an addition: where a processor can, another
// may not.
#include "RegressionKernels.h"
#include <math.h>
#pragma clang fp contract(off)
#if defined(__x86_64__)
#define LEVELS __attribute__((target_clones("avx2", "default")))
#else
#define LEVELS
#endif
#define INLINE static inline __attribute__((always_inline))

/// row -= f0 r0, then f1 r1, f2 r2, f3 r3, each element in this order.
INLINE void subtract4(double *restrict row, const double *restrict r0, const double *restrict r1,
                      const double *restrict r2, const double *restrict r3, const double f[4],
                      size_t from, size_t n) {
  const double f0 = f[0], f1 = f[1], f2 = f[2], f3 = f[3];
  for (size_t j = from; j < n; j++)
    row[j] = (((row[j] - f0 * r0[j]) - f1 * r1[j]) - f2 * r2[j]) - f3 * r3[j];
}

INLINE void subtract1(double *restrict row, const double *restrict r0, double f0, size_t from,
                      size_t n) {
  for (size_t j = from; j < n; j++) row[j] -= f0 * r0[j];
}

/// Makes row k of the factor from what is left of it.
INLINE int pivot(double *row, size_t k, size_t n) {
  if (!(row[k] > 0)) return 0;
  const double root = sqrt(row[k]);
  for (size_t j = k; j < n; j++) row[j] /= root;
  return 1;
}

LEVELS size_t affinity_cholesky_solve(double *a, size_t n, size_t stride, double *b) {
  for (size_t k = 0; k < n; k += 4) {
    const size_t end = k + 4 < n ? k + 4 : n;
    for (size_t p = k; p < end; p++) {
      double *row = a + p * stride;
      for (size_t q = k; q < p; q++) subtract1(row, a + q * stride, a[q * stride + p], p, n);
      if (!pivot(row, p, n)) return p + 1;
    }
    // A last block of fewer than four has no rows below it.
    const double *r0 = a + k * stride, *r1 = r0 + stride, *r2 = r1 + stride, *r3 = r2 + stride;
    for (size_t i = end; i < n; i++) {
      const double f[4] = {r0[i], r1[i], r2[i], r3[i]};
      subtract4(a + i * stride, r0, r1, r2, r3, f, i, n);
    }
  }
  for (size_t k = 0; k < n; k++) {
    const double *row = a + k * stride;
    b[k] /= row[k];
    const double x = b[k];
    for (size_t j = k + 1; j < n; j++) b[j] -= row[j] * x;
  }
  for (size_t k = n; k-- > 0;) {
    const double *row = a + k * stride;
    double x = b[k];
    for (size_t j = k + 1; j < n; j++) x -= row[j] * b[j];
    b[k] = x / row[k];
  }
  return 0;
}

void affinity_axpy_sparse(double *sums, const unsigned *ids, const double *values, size_t count,
                          double weight) {
  for (size_t k = 0; k < count; k++) sums[ids[k]] += weight * values[k];
}
