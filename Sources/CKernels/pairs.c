// See include/PairKernels.h.
#include "PairKernels.h"
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#define LEVELS __attribute__((target_clones("avx2", "default")))
#else
#define LEVELS
#endif

#define TOP 0x80000000u
// Rows are visited in the arena's order but lie far apart: enough of them on the way to hide a miss.
#define AHEAD 12
#define INLINE static inline __attribute__((always_inline))

INLINE void ahead(const uint32_t *arena, const uint32_t *places, size_t k, size_t count) {
  if (k + AHEAD < count) __builtin_prefetch(arena + places[k + AHEAD]);
}

INLINE size_t touch(uint32_t item, uint32_t *scratch, uint32_t *touched, size_t met) {
  uint32_t old = scratch[item];
  scratch[item] = old + 1;
  touched[met] = item;
  return met + (old == 0);
}

size_t affinity_pairs_touch(const uint32_t *arena, const uint32_t *places, size_t count,
                            uint32_t *scratch, uint32_t *touched) {
  size_t met = 0;
  for (size_t k = 0; k < count; k++) {
    ahead(arena, places, k, count);
    const uint32_t *at = arena + places[k];
    for (const uint32_t *q = at - 1; !(*q & TOP); q--) met = touch(*q, scratch, touched, met);
    for (const uint32_t *q = at + 1; !(*q & TOP); q++) met = touch(*q, scratch, touched, met);
  }
  return met;
}

void affinity_pairs_count(const uint32_t *arena, const uint32_t *places, size_t count,
                          uint32_t *scratch) {
  for (size_t k = 0; k < count; k++) {
    ahead(arena, places, k, count);
    const uint32_t *at = arena + places[k];
    for (const uint32_t *q = at - 1; !(*q & TOP); q--) scratch[*q]++;
    for (const uint32_t *q = at + 1; !(*q & TOP); q++) scratch[*q]++;
  }
}

size_t affinity_rows_touch(const uint32_t *arena, const uint32_t *places, size_t count,
                           uint32_t *scratch, uint32_t *touched) {
  size_t met = 0;
  for (size_t k = 0; k < count; k++) {
    ahead(arena, places, k, count);
    for (const uint32_t *q = arena + places[k] + 1; !(*q & TOP); q++)
      met = touch(*q, scratch, touched, met);
  }
  return met;
}

void affinity_rows_count(const uint32_t *arena, const uint32_t *places, size_t count,
                         uint32_t *scratch) {
  for (size_t k = 0; k < count; k++) {
    ahead(arena, places, k, count);
    for (const uint32_t *q = arena + places[k] + 1; !(*q & TOP); q++) scratch[*q]++;
  }
}

void affinity_counts_take(const uint32_t *touched, size_t met, uint32_t *scratch,
                          uint32_t *counts) {
  for (size_t k = 0; k < met; k++) {
    uint32_t item = touched[k];
    counts[k] = scratch[item];
    scratch[item] = 0;
  }
}

void affinity_scores_linear(const uint32_t *ids, const uint32_t *counts, size_t met,
                            const float *weights, uint32_t minimum, float *scores) {
  for (size_t k = 0; k < met; k++) {
    float score = (float)(int32_t)counts[k] * weights[ids[k]];
    scores[k] = counts[k] >= minimum ? score : -1.0f;
  }
}

LEVELS void affinity_scores_linear_dense(const uint32_t *restrict counts, size_t met,
                                         const float *restrict weights, uint32_t minimum,
                                         float *restrict scores) {
  for (size_t k = 0; k < met; k++) {
    float score = (float)(int32_t)counts[k] * weights[k];
    scores[k] = counts[k] >= minimum ? score : -1.0f;
  }
}

LEVELS size_t affinity_counts_met(const uint32_t *counts, size_t count) {
  uint32_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += counts[i] != 0;
  return sum;
}

size_t affinity_scores_groups(size_t met, size_t k) {
  size_t groups = (4 * k + 7) / 8 * 8;
  return met < groups ? met : groups;
}

// How many of the bit patterns are at or above `floor`.
LEVELS static int32_t reach(const int32_t *restrict bits, size_t count, int32_t floor) {
  int32_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += bits[i] >= floor;
  return sum;
}

LEVELS static void raise_to(float *restrict maxima, const float *restrict scores, size_t count) {
  for (size_t i = 0; i < count; i++) maxima[i] = maxima[i] < scores[i] ? scores[i] : maxima[i];
}

// Scores fall into groups; a group's maximum stands for one score at least, so the k-th largest
// maximum is reached by k scores. The k largest scores mostly fall into groups of their own, so it is
// close. Floats that are not negative order as their bit patterns: bisected, to a part in a thousand.
float affinity_scores_floor(const float *scores, size_t met, size_t k, float *maxima) {
  if (met <= k || k == 0) return 0;
  size_t groups = affinity_scores_groups(met, k);
  memcpy(maxima, scores, groups * sizeof(float));
  for (size_t at = groups; at < met; at += groups)
    raise_to(maxima, scores + at, met - at < groups ? met - at : groups);
  const int32_t *bits = (const int32_t *)maxima;
  int32_t low = 0, high = 0x7f800000;
  if (reach(bits, groups, low) < (int32_t)k) return 0;
  while (high - low > 1 << 13) {
    int32_t middle = low + (high - low) / 2;
    if (reach(bits, groups, middle) >= (int32_t)k)
      low = middle;
    else
      high = middle;
  }
  float floor;
  memcpy(&floor, &low, sizeof floor);
  return floor;
}

static size_t sieve_plain(const float *scores, size_t from, size_t met, float floor,
                          uint32_t *places, size_t found) {
  for (size_t i = from; i < met; i++) {
    places[found] = (uint32_t)i;
    found += scores[i] >= floor;
  }
  return found;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static size_t sieve_avx2(const float *scores, size_t met,
                                                         float floor, uint32_t *places) {
  size_t found = 0, i = 0;
  __m256 bound = _mm256_set1_ps(floor);
  for (; i + 32 <= met; i += 32) {
    unsigned a = (unsigned)_mm256_movemask_ps(
        _mm256_cmp_ps(_mm256_loadu_ps(scores + i), bound, _CMP_GE_OQ));
    unsigned b = (unsigned)_mm256_movemask_ps(
        _mm256_cmp_ps(_mm256_loadu_ps(scores + i + 8), bound, _CMP_GE_OQ));
    unsigned c = (unsigned)_mm256_movemask_ps(
        _mm256_cmp_ps(_mm256_loadu_ps(scores + i + 16), bound, _CMP_GE_OQ));
    unsigned d = (unsigned)_mm256_movemask_ps(
        _mm256_cmp_ps(_mm256_loadu_ps(scores + i + 24), bound, _CMP_GE_OQ));
    unsigned mask = a | b << 8 | c << 16 | d << 24;
    while (mask) {
      places[found++] = (uint32_t)i + (uint32_t)__builtin_ctz(mask);
      mask &= mask - 1;
    }
  }
  return sieve_plain(scores, i, met, floor, places, found);
}
#endif

// `places` needs one word more than is found: the plain loop writes before it decides.
size_t affinity_scores_sieve(const float *scores, size_t met, float floor, uint32_t *places) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return sieve_avx2(scores, met, floor, places);
#endif
  return sieve_plain(scores, 0, met, floor, places, 0);
}

// The square matrix, once per width of a cell.
#define SQUARE(CELL, NAME)                                                                          \
  static void count_##NAME(const uint16_t *rows, const uint32_t *places, size_t count, CELL *row) { \
    for (size_t k = 0; k < count; k++) {                                                            \
      if (k + AHEAD < count) __builtin_prefetch(rows + places[k + AHEAD]);                          \
      for (const uint16_t *q = rows + places[k] + 1; *q != 0xffff; q++) row[*q]++;                  \
    }                                                                                               \
  }                                                                                                 \
  LEVELS static void bits_##NAME(const uint64_t *restrict bits, size_t words, size_t count,         \
                                 size_t from, size_t to, size_t first, CELL *cells,                 \
                                 size_t stride) {                                                   \
    for (size_t block = 0; block < count; block += 32) {                                            \
      size_t end = block + 32 < count ? block + 32 : count;                                         \
      for (size_t a = from; a < to; a++) {                                                          \
        CELL *row = cells + (first + a) * stride + first;                                           \
        const uint64_t *x = bits + a * words;                                                       \
        for (size_t b = a + 1 > block ? a + 1 : block; b < end; b++) {                              \
          const uint64_t *y = bits + b * words;                                                     \
          uint64_t sum = 0;                                                                         \
          for (size_t w = 0; w < words; w++) sum += (uint64_t)__builtin_popcountll(x[w] & y[w]);    \
          row[b] = (CELL)sum;                                                                       \
        }                                                                                           \
      }                                                                                             \
    }                                                                                               \
  }                                                                                                 \
  LEVELS static void mirror_##NAME(CELL *cells, size_t stride, size_t from, size_t to) {            \
    for (size_t top = from; top < to; top += 32) {                                                  \
      size_t bottom = top + 32 < to ? top + 32 : to;                                                \
      for (size_t left = 0; left < bottom; left += 32)                                              \
        for (size_t r = top; r < bottom; r++) {                                                     \
          size_t right = left + 32 < r ? left + 32 : r;                                             \
          for (size_t c = left; c < right; c++) cells[r * stride + c] = cells[c * stride + r];      \
        }                                                                                           \
    }                                                                                               \
  }                                                                                                 \
  LEVELS static size_t row_##NAME(const CELL *restrict row, size_t count,                           \
                                  uint32_t *restrict counts) {                                      \
    uint32_t sum = 0;                                                                               \
    for (size_t i = 0; i < count; i++) {                                                            \
      counts[i] = row[i];                                                                           \
      sum += row[i] != 0;                                                                           \
    }                                                                                               \
    return sum;                                                                                     \
  }                                                                                                 \
  static void add_##NAME(CELL *cells, size_t stride, size_t label, const uint32_t *touched,         \
                         size_t met, int32_t *delta) {                                              \
    CELL *row = cells + label * stride;                                                             \
    for (size_t k = 0; k < met; k++) {                                                              \
      if (k + AHEAD < met)                                                                          \
        __builtin_prefetch(cells + touched[k + AHEAD] * stride + label, 1);                         \
      size_t t = touched[k];                                                                        \
      CELL now = (CELL)(row[t] + (CELL)delta[t]);                                                   \
      delta[t] = 0;                                                                                 \
      row[t] = now;                                                                                 \
      cells[t * stride + label] = now;                                                              \
    }                                                                                               \
  }

SQUARE(uint16_t, 16)
SQUARE(uint32_t, 32)

void affinity_square_count(const uint16_t *rows, const uint32_t *places, size_t count, void *row,
                           int wide) {
  if (wide)
    count_32(rows, places, count, row);
  else
    count_16(rows, places, count, row);
}

void affinity_square_bits(const uint64_t *bits, size_t words, size_t count, size_t from, size_t to,
                          size_t first, void *cells, size_t stride, int wide) {
  if (wide)
    bits_32(bits, words, count, from, to, first, cells, stride);
  else
    bits_16(bits, words, count, from, to, first, cells, stride);
}

void affinity_square_mirror(void *cells, size_t stride, size_t from, size_t to, int wide) {
  if (wide)
    mirror_32(cells, stride, from, to);
  else
    mirror_16(cells, stride, from, to);
}

size_t affinity_square_row(const void *row, size_t count, uint32_t *counts, int wide) {
  return wide ? row_32(row, count, counts) : row_16(row, count, counts);
}

void affinity_square_add(void *cells, size_t stride, size_t label, const uint32_t *touched,
                         size_t met, int32_t *delta, int wide) {
  if (wide)
    add_32(cells, stride, label, touched, met, delta);
  else
    add_16(cells, stride, label, touched, met, delta);
}
