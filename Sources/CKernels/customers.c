// See include/CustomerKernels.h.
#include "CustomerKernels.h"
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
typedef double v4 __attribute__((vector_size(32), aligned(8)));
#define AT(p) (*(const v4 *)(p))

// Each body is compiled for two levels. `target_clones` cannot be used: it takes one feature a clone, and
// without fused multiply-add AVX2 is half as fast here.
#if defined(__x86_64__)
#define FAST __attribute__((target("avx2,fma")))
#define HAS_FAST (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#endif

#define ACROSS(x) (((x)[0] + (x)[2]) + ((x)[1] + (x)[3]))

INLINE void gram(const double *const *columns, size_t d, size_t n, const double *weights,
                 double *scratch, double *sums) {
  if (weights)
    for (size_t i = 0; i < d; i++) {
      const double *from = columns[i];
      double *to = scratch + i * n;
      for (size_t r = 0; r < n; r++) to[r] = weights[r] * from[r];
    }
  for (size_t i = 0; i < d; i += 2) {
    const size_t last = i + 1 < d ? i + 1 : i;
    const double *a0 = weights ? scratch + i * n : columns[i];
    const double *a1 = weights ? scratch + last * n : columns[last];
    for (size_t j = 0; j <= last; j += 4) {
      const double *b[4];
      for (size_t t = 0; t < 4; t++) b[t] = columns[j + t < d ? j + t : d - 1];
      v4 s[2][4] = {{{0}}};
      size_t r = 0;
      for (; r + 4 <= n; r += 4) {
        const v4 x0 = AT(a0 + r), x1 = AT(a1 + r);
        for (size_t t = 0; t < 4; t++) {
          const v4 y = AT(b[t] + r);
          s[0][t] += x0 * y;
          s[1][t] += x1 * y;
        }
      }
      for (size_t t = 0; t < 4 && j + t <= last; t++) {
        double s0 = ACROSS(s[0][t]), s1 = ACROSS(s[1][t]);
        for (size_t q = r; q < n; q++) {
          s0 += a0[q] * b[t][q];
          s1 += a1[q] * b[t][q];
        }
        if (j + t <= i) sums[i * d + j + t] += s0;
        if (last > i) sums[last * d + j + t] += s1;
      }
    }
  }
}

INLINE void linear(const double *const *columns, size_t d, size_t n, const double *coefficients,
                   double intercept, double *out) {
  size_t r = 0;
  for (; r + 8 <= n; r += 8) {
    v4 s0 = {intercept, intercept, intercept, intercept}, s1 = s0;
    for (size_t j = 0; j < d; j++) {
      const double c = coefficients[j];
      const v4 w = {c, c, c, c};
      s0 += w * AT(columns[j] + r);
      s1 += w * AT(columns[j] + r + 4);
    }
    *(v4 *)(out + r) = s0;
    *(v4 *)(out + r + 4) = s1;
  }
  for (; r < n; r++) {
    double s = intercept;
    for (size_t j = 0; j < d; j++) s += coefficients[j] * columns[j][r];
    out[r] = s;
  }
}

INLINE void dots(const double *const *columns, size_t d, size_t n, const double *factors,
                 double *sums) {
  for (size_t j = 0; j < d; j++) {
    v4 s0 = {0}, s1 = {0};
    size_t r = 0;
    for (; r + 8 <= n; r += 8) {
      s0 += AT(factors + r) * AT(columns[j] + r);
      s1 += AT(factors + r + 4) * AT(columns[j] + r + 4);
    }
    s0 += s1;
    double s = ACROSS(s0);
    for (; r < n; r++) s += factors[r] * columns[j][r];
    sums[j] += s;
  }
}

INLINE double squared_distance(const double *x, const double *y, size_t stride) {
  v4 s = {0};
  for (size_t f = 0; f < stride; f += 4) {
    const v4 gap = AT(x + f) - AT(y + f);
    s += gap * gap;
  }
  return ACROSS(s);
}

INLINE size_t pass(const double *rows, size_t stride, size_t begin, size_t end,
                   const double *centroids, size_t k, const affinity_motion *motion,
                   uint16_t *assigned, double *upper, double *lower, double *sums, int64_t *counts) {
  size_t changed = 0;
  for (size_t i = begin; i < end; i++) {
    const double *x = rows + i * stride;
    const size_t own = assigned[i];
    if (own != AFFINITY_NO_CLUSTER) {
      double high = upper[i] + motion->moved[own];
      const double low = lower[i] - (own == motion->mover ? motion->second : motion->largest);
      const double safe = low > motion->half[own] ? low : motion->half[own];
      lower[i] = low;
      if (high > safe) high = sqrt(squared_distance(x, centroids + own * stride, stride));
      upper[i] = high;
      if (high <= safe) continue;
    }
    double first = INFINITY, second = INFINITY;
    size_t nearest = 0;
    for (size_t c = 0; c < k; c++) {
      const double s = squared_distance(x, centroids + c * stride, stride);
      if (s < first) {
        second = first;
        first = s;
        nearest = c;
      } else if (s < second) {
        second = s;
      }
    }
    upper[i] = sqrt(first);
    lower[i] = sqrt(second);
    if (nearest == own) continue;
    changed++;
    assigned[i] = (uint16_t)nearest;
    counts[nearest]++;
    double *in = sums + nearest * stride;
    for (size_t f = 0; f < stride; f++) in[f] += x[f];
    if (own == AFFINITY_NO_CLUSTER) continue;
    counts[own]--;
    double *out = sums + own * stride;
    for (size_t f = 0; f < stride; f++) out[f] -= x[f];
  }
  return changed;
}

INLINE double nearer_sum(const double *rows, size_t stride, size_t n, const double *centre,
                         const double *nearest, double *nearer) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    const double s = squared_distance(rows + i * stride, centre, stride);
    nearer[i] = s < nearest[i] ? s : nearest[i];
    sum += nearer[i];
  }
  return sum;
}

#define GRAM columns, d, n, weights, scratch, sums
#define LINEAR columns, d, n, coefficients, intercept, out
#define DOTS columns, d, n, factors, sums
#define PASS rows, stride, begin, end, centroids, k, motion, assigned, upper, lower, sums, counts
#define NEARER rows, stride, n, centre, nearest, nearer

#ifdef FAST
FAST static void gram_fast(const double *const *columns, size_t d, size_t n, const double *weights,
                           double *scratch, double *sums) {
  gram(GRAM);
}
FAST static void linear_fast(const double *const *columns, size_t d, size_t n,
                             const double *coefficients, double intercept, double *out) {
  linear(LINEAR);
}
FAST static void dots_fast(const double *const *columns, size_t d, size_t n, const double *factors,
                           double *sums) {
  dots(DOTS);
}
FAST static size_t pass_fast(const double *rows, size_t stride, size_t begin, size_t end,
                             const double *centroids, size_t k, const affinity_motion *motion,
                             uint16_t *assigned, double *upper, double *lower, double *sums,
                             int64_t *counts) {
  return pass(PASS);
}
FAST static double nearer_fast(const double *rows, size_t stride, size_t n, const double *centre,
                               const double *nearest, double *nearer) {
  return nearer_sum(NEARER);
}
#define CHOOSE(fast, plain) return HAS_FAST ? fast : plain
#else
#define CHOOSE(fast, plain) return plain
#endif

void affinity_gram_add(const double *const *columns, size_t d, size_t n, const double *weights,
                       double *scratch, double *sums) {
  CHOOSE(gram_fast(GRAM), gram(GRAM));
}
void affinity_linear(const double *const *columns, size_t d, size_t n, const double *coefficients,
                     double intercept, double *out) {
  CHOOSE(linear_fast(LINEAR), linear(LINEAR));
}
void affinity_dots_add(const double *const *columns, size_t d, size_t n, const double *factors,
                       double *sums) {
  CHOOSE(dots_fast(DOTS), dots(DOTS));
}
size_t affinity_kmeans_pass(const double *rows, size_t stride, size_t begin, size_t end,
                            const double *centroids, size_t k, const affinity_motion *motion,
                            uint16_t *assigned, double *upper, double *lower, double *sums,
                            int64_t *counts) {
  CHOOSE(pass_fast(PASS), pass(PASS));
}
double affinity_kmeans_nearer(const double *rows, size_t stride, size_t n, const double *centre,
                              const double *nearest, double *nearer) {
  CHOOSE(nearer_fast(NEARER), nearer_sum(NEARER));
}
