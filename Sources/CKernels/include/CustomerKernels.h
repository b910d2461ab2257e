// The inner loops of the customer models: a weighted Gram matrix, linear combinations of columns, and the
// assignment step of K-means with Hamerly's bounds. Compiled twice, for any x86-64 and for AVX2 with fused
// multiply-add; plain C elsewhere.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// Adds X'WX over `n` rows to `sums` (`d` x `d`, row by row; only j <= i is touched). `columns` are `d` pointers to
/// `n` values each; `weights` may be null (ones); `scratch` has room for `d` * `n`, and is not used without weights.
void affinity_gram_add(const double *const *columns, size_t d, size_t n, const double *weights,
                       double *scratch, double *sums);

/// out[r] = intercept + sum over j of coefficients[j] * columns[j][r].
void affinity_linear(const double *const *columns, size_t d, size_t n, const double *coefficients,
                     double intercept, double *out);

/// sums[j] += sum over r of factors[r] * columns[j][r].
void affinity_dots_add(const double *const *columns, size_t d, size_t n, const double *factors,
                       double *sums);

/// `affinity_kmeans_pass`'s mark of a row that is in no cluster yet.
#define AFFINITY_NO_CLUSTER 0xffff

/// What centroids did since the last pass.
typedef struct {
  /// Half the distance from each centroid to the nearest other one.
  const double *half;
  /// How far each moved; the largest of them, whose, and the largest of the others.
  const double *moved;
  double largest, second;
  size_t mover;
} affinity_motion;

/// Assigns rows begin..<end to the nearest of `k` centroids (the lowest of equal ones). Rows and centroids have `stride`
/// values (a multiple of 4, padded with zeros). `upper` bounds the distance to the row's own centroid from above, `lower`
/// that to any other from below; rows whose bounds tell are not measured (Hamerly 2010). What rows that changed put into
/// and took out of clusters is added to `sums` (k x stride) and `counts`. Returns how many changed.
size_t affinity_kmeans_pass(const double *rows, size_t stride, size_t begin, size_t end,
                            const double *centroids, size_t k, const affinity_motion *motion,
                            uint16_t *assigned, double *upper, double *lower, double *sums,
                            int64_t *counts);

/// nearer[i] = min(nearest[i], |row i - centre|^2) for rows 0..<n; returns their sum, added in order.
double affinity_kmeans_nearer(const double *rows, size_t stride, size_t n, const double *centre,
                              const double *nearest, double *nearer);

#ifdef __cplusplus
}
#endif
