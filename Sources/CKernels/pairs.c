// See include/PairKernels.h.
#define _GNU_SOURCE
#include "PairKernels.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <immintrin.h>
#define LEVELS __attribute__((target_clones("avx2", "default")))
#else
#define LEVELS
#endif

#define TOP 0x80000000u
// Rows are visited in the arena's order but lie far apart: enough of them on the way to hide a miss.
#define AHEAD 16
#define INLINE static inline __attribute__((always_inline))

INLINE void ahead(const uint32_t *arena, const uint32_t *places, size_t k, size_t beyond) {
  if (k + AHEAD < beyond) __builtin_prefetch(arena + places[k + AHEAD]);
}

// Walks and takes once per width of a counter. Bytes, where no count can pass 255, keep the counters of
// a wide catalogue in the first two cache levels.
#define COUNTERS(CELL, NAME)                                                                        \
  INLINE size_t touch_##NAME(uint32_t item, CELL *scratch, uint32_t *touched, size_t met) {         \
    CELL old = scratch[item];                                                                       \
    scratch[item] = (CELL)(old + 1);                                                                \
    touched[met] = item;                                                                            \
    return met + (old == 0);                                                                        \
  }                                                                                                 \
  /* Larger items from the front of `touched`, smaller ones from its end, and then moved up. */       \
  static size_t pairs_##NAME(const uint32_t *arena, const uint32_t *places, size_t count,           \
                             size_t beyond, CELL *scratch, uint32_t *touched, size_t room,          \
                             size_t *larger) {                                                      \
    size_t met = 0, back = room - 1;                                                                \
    for (size_t k = 0; k < count; k++) {                                                            \
      ahead(arena, places, k, beyond);                                                              \
      const uint32_t *at = arena + places[k];                                                       \
      for (const uint32_t *q = at - 1; !(*q & TOP); q--) {                                          \
        CELL old = scratch[*q];                                                                     \
        scratch[*q] = (CELL)(old + 1);                                                              \
        touched[back] = *q;                                                                         \
        back -= old == 0;                                                                           \
      }                                                                                             \
      for (const uint32_t *q = at + 1; !(*q & TOP); q++)                                            \
        met = touch_##NAME(*q, scratch, touched, met);                                              \
    }                                                                                               \
    *larger = met;                                                                                  \
    memmove(touched + met, touched + back + 1, (room - 1 - back) * sizeof *touched);                \
    return met + room - 1 - back;                                                                   \
  }                                                                                                 \
  static size_t rows_##NAME(const uint32_t *arena, const uint32_t *places, size_t count,            \
                            size_t beyond, CELL *scratch, uint32_t *touched) {                      \
    size_t met = 0;                                                                                 \
    for (size_t k = 0; k < count; k++) {                                                            \
      ahead(arena, places, k, beyond);                                                              \
      for (const uint32_t *q = arena + places[k] + 1; !(*q & TOP); q++)                             \
        met = touch_##NAME(*q, scratch, touched, met);                                              \
    }                                                                                               \
    return met;                                                                                     \
  }                                                                                                 \
  static void take_##NAME(const uint32_t *touched, size_t met, CELL *scratch, uint32_t *counts) {   \
    for (size_t k = 0; k < met; k++) {                                                              \
      uint32_t item = touched[k];                                                                   \
      counts[k] = scratch[item];                                                                    \
      scratch[item] = 0;                                                                            \
    }                                                                                               \
  }                                                                                                 \
  static void take_linear_##NAME(const uint32_t *touched, size_t met, CELL *scratch,                \
                                 const float *weights, uint32_t minimum, uint32_t *counts,          \
                                 float *scores) {                                                   \
    for (size_t k = 0; k < met; k++) {                                                              \
      uint32_t item = touched[k], count = scratch[item];                                            \
      float score = (float)(int32_t)count * weights[item];                                          \
      scratch[item] = 0;                                                                            \
      counts[k] = count;                                                                            \
      scores[k] = count >= minimum ? score : -1.0f;                                                 \
    }                                                                                               \
  }

COUNTERS(uint8_t, 8)
COUNTERS(uint32_t, 32)

size_t affinity_pairs_touch(const uint32_t *arena, const uint32_t *places, size_t count,
                            size_t beyond, void *scratch, int wide, uint32_t *touched,
                            size_t room, size_t *larger) {
  return wide ? pairs_32(arena, places, count, beyond, scratch, touched, room, larger)
              : pairs_8(arena, places, count, beyond, scratch, touched, room, larger);
}

size_t affinity_rows_touch(const uint32_t *arena, const uint32_t *places, size_t count,
                           size_t beyond, void *scratch, int wide, uint32_t *touched) {
  return wide ? rows_32(arena, places, count, beyond, scratch, touched)
              : rows_8(arena, places, count, beyond, scratch, touched);
}

// Rows with a place have two items at least, so headers are three words apart or more.
INLINE uint64_t mark(uint32_t header) { return 1ull << (header >> 1 & 63); }

void affinity_marks_set(uint64_t *marks, const uint32_t *headers, size_t count) {
  for (size_t k = 0; k < count; k++) marks[headers[k] >> 7] |= mark(headers[k]);
}

void affinity_marks_clear(uint64_t *marks, const uint32_t *headers, size_t count) {
  for (size_t k = 0; k < count; k++) marks[headers[k] >> 7] = 0;
}

uint32_t affinity_marks_count(const uint64_t *marks, const uint32_t *headers, size_t count) {
  uint32_t a = 0, b = 0;
  size_t k = 0;
  for (; k + 2 <= count; k += 2) {
    a += (marks[headers[k] >> 7] & mark(headers[k])) != 0;
    b += (marks[headers[k + 1] >> 7] & mark(headers[k + 1])) != 0;
  }
  if (k < count) a += (marks[headers[k] >> 7] & mark(headers[k])) != 0;
  return a + b;
}

LEVELS size_t affinity_ids_find(const uint32_t *ids, size_t count, uint32_t id) {
  size_t from = 0;
  for (; from + 32 <= count; from += 32) {
    uint32_t any = 0;
    for (size_t k = 0; k < 32; k++) any |= ids[from + k] == id;
    if (any) break;
  }
  while (from < count && ids[from] != id) from++;
  return from;
}

LEVELS void affinity_ids_sort(const uint32_t *restrict ids, size_t count, uint32_t *restrict sorted) {
  const int32_t *restrict keys = (const int32_t *)ids;
  for (size_t i = 0; i < count; i++) {
    int32_t id = keys[i], before = 0;
    for (size_t j = 0; j < count; j++) before += keys[j] < id;
    sorted[before] = (uint32_t)id;
  }
}

void affinity_counts_take(const uint32_t *touched, size_t met, void *scratch, int wide,
                          uint32_t *counts) {
  if (wide)
    take_32(touched, met, scratch, counts);
  else
    take_8(touched, met, scratch, counts);
}

void affinity_scores_take_linear(const uint32_t *touched, size_t met, void *scratch, int wide,
                                 const float *weights, uint32_t minimum, uint32_t *counts,
                                 float *scores) {
  if (wide)
    take_linear_32(touched, met, scratch, weights, minimum, counts, scores);
  else
    take_linear_8(touched, met, scratch, weights, minimum, counts, scores);
}

void affinity_pairs_count(const uint32_t *arena, const uint32_t *places, size_t count,
                          size_t beyond, uint32_t *scratch) {
  for (size_t k = 0; k < count; k++) {
    ahead(arena, places, k, beyond);
    const uint32_t *at = arena + places[k];
    for (const uint32_t *q = at - 1; !(*q & TOP); q--) scratch[*q]++;
    for (const uint32_t *q = at + 1; !(*q & TOP); q++) scratch[*q]++;
  }
}

void affinity_rows_count(const uint32_t *arena, const uint32_t *places, size_t count,
                         size_t beyond, uint32_t *scratch) {
  for (size_t k = 0; k < count; k++) {
    ahead(arena, places, k, beyond);
    for (const uint32_t *q = arena + places[k] + 1; !(*q & TOP); q++) scratch[*q]++;
  }
}

// Conversions, a product, a root and a quotient, each rounded once: the bits of the scalar formula.
LEVELS void affinity_values_cosine(const uint32_t *restrict both, const uint32_t *restrict targets,
                                   size_t count, const uint32_t *restrict target_count,
                                   uint32_t source_count, double *restrict values) {
  double this = (double)source_count;
  for (size_t i = 0; i < count; i++) values[i] = this * (double)target_count[targets[i]];
  for (size_t i = 0; i < count; i++) values[i] = (double)both[i] / __builtin_sqrt(values[i]);
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

void affinity_advise(void *memory, size_t size) {
#ifdef MADV_HUGEPAGE
  size_t page = (size_t)1 << 21;
  if (size < 4 * page) return;
  uintptr_t start = ((uintptr_t)memory + page - 1) / page * page;
  uintptr_t end = ((uintptr_t)memory + size) / page * page;
  if (start < end) madvise((void *)start, end - start, MADV_HUGEPAGE);
#endif
}

void *affinity_allocate(size_t size) {
  void *memory = calloc(size > 0 ? size : 1, 1);
  if (memory == NULL) abort();
  affinity_advise(memory, size);
  return memory;
}

void affinity_release(void *memory) { free(memory); }

LEVELS void affinity_candidates_place(const double *restrict values, const int32_t *restrict ranks,
                                      size_t count, float *restrict rounded,
                                      uint32_t *restrict places) {
  for (size_t i = 0; i < count; i++) rounded[i] = (float)values[i];
  for (size_t i = 0; i < count; i++) {
    float value = rounded[i];
    int32_t rank = ranks[i], before = 0;
    for (size_t j = 0; j < count; j++)
      before += (rounded[j] > value) | ((rounded[j] == value) & (ranks[j] < rank));
    places[i] = (uint32_t)before;
  }
}

LEVELS int affinity_values_descend(const double *values, size_t count) {
  int rises = 0;
  for (size_t i = 1; i < count; i++) rises |= values[i] > values[i - 1];
  return !rises;
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
INLINE int32_t reach(const int32_t *restrict bits, size_t count, int32_t floor) {
  int32_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += bits[i] >= floor;
  return sum;
}

INLINE void raise_to(float *restrict maxima, const float *restrict scores, size_t count) {
  for (size_t i = 0; i < count; i++) maxima[i] = maxima[i] < scores[i] ? scores[i] : maxima[i];
}

// Scores fall into groups; a group's maximum stands for one score at least, so the k-th largest
// maximum is reached by k scores. The k largest scores mostly fall into groups of their own, so it is
// close. Floats that are not negative order as their bit patterns: bisected, to a part in a thousand.
LEVELS float affinity_scores_floor(const float *scores, size_t met, size_t k, float *maxima) {
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

// |a AND b|. With AVX2: nibble tables (W. Mula), bytes summed over up to 31 vectors before they are
// widened.
static uint64_t both_plain(const uint64_t *x, const uint64_t *y, size_t words) {
  uint64_t sum = 0;
  for (size_t w = 0; w < words; w++) sum += (uint64_t)__builtin_popcountll(x[w] & y[w]);
  return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t both_avx2(const uint64_t *x, const uint64_t *y,
                                                          size_t words) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2,
                                         1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i nibble = _mm256_set1_epi8(15);
  __m256i sum = _mm256_setzero_si256();
  for (size_t w = 0; w < words;) {
    size_t end = w + 124 < words ? w + 124 : words;
    __m256i bytes = _mm256_setzero_si256();
    for (; w < end; w += 4) {
      __m256i both = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + w)),
                                      _mm256_loadu_si256((const __m256i *)(y + w)));
      __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(both, nibble));
      __m256i high =
          _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble));
      bytes = _mm256_add_epi8(bytes, _mm256_add_epi8(low, high));
    }
    sum = _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
  }
  return (uint64_t)_mm256_extract_epi64(sum, 0) + (uint64_t)_mm256_extract_epi64(sum, 1) +
         (uint64_t)_mm256_extract_epi64(sum, 2) + (uint64_t)_mm256_extract_epi64(sum, 3);
}
#define AVX2 __attribute__((target("avx2")))
#else
#define AVX2
#endif

// Block by block of 32 vectors, so that they stay in the first-level cache for all of from..<to.
#define BITS(NAME, TARGET, BOTH)                                                                     \
  TARGET static void NAME(const uint64_t *bits, size_t words, size_t count, size_t from, size_t to, \
                          size_t first, void *cells, size_t stride, int wide) {                     \
    for (size_t block = 0; block < count; block += 32) {                                            \
      size_t end = block + 32 < count ? block + 32 : count;                                         \
      for (size_t a = from; a < to; a++) {                                                          \
        size_t at = (first + a) * stride + first;                                                   \
        for (size_t b = a + 1 > block ? a + 1 : block; b < end; b++) {                              \
          uint64_t both = BOTH(bits + a * words, bits + b * words, words);                          \
          if (wide)                                                                                 \
            ((uint32_t *)cells)[at + b] = (uint32_t)both;                                           \
          else                                                                                      \
            ((uint16_t *)cells)[at + b] = (uint16_t)both;                                           \
        }                                                                                           \
      }                                                                                             \
    }                                                                                               \
  }

BITS(bits_plain, , both_plain)
#if defined(__x86_64__)
BITS(bits_avx2, AVX2, both_avx2)
#endif

// Copies an 8 x 8 block of the upper triangle to its mirror image.
#if defined(__x86_64__)
static void transpose_16(const uint16_t *from, uint16_t *to, size_t stride) {
  __m128i r[8], s[8];
  for (int i = 0; i < 8; i++) r[i] = _mm_loadu_si128((const __m128i *)(from + (size_t)i * stride));
  for (int i = 0; i < 4; i++) {
    s[2 * i] = _mm_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
    s[2 * i + 1] = _mm_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++) {
    r[4 * i] = _mm_unpacklo_epi32(s[4 * i], s[4 * i + 2]);
    r[4 * i + 1] = _mm_unpackhi_epi32(s[4 * i], s[4 * i + 2]);
    r[4 * i + 2] = _mm_unpacklo_epi32(s[4 * i + 1], s[4 * i + 3]);
    r[4 * i + 3] = _mm_unpackhi_epi32(s[4 * i + 1], s[4 * i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    _mm_storeu_si128((__m128i *)(to + (size_t)(2 * i) * stride), _mm_unpacklo_epi64(r[i], r[4 + i]));
    _mm_storeu_si128((__m128i *)(to + (size_t)(2 * i + 1) * stride),
                     _mm_unpackhi_epi64(r[i], r[4 + i]));
  }
}
#else
static void transpose_16(const uint16_t *from, uint16_t *to, size_t stride) {
  for (size_t i = 0; i < 8; i++)
    for (size_t k = 0; k < 8; k++) to[k * stride + i] = from[i * stride + k];
}
#endif

static void transpose_32(const uint32_t *from, uint32_t *to, size_t stride) {
  for (size_t i = 0; i < 8; i++)
    for (size_t k = 0; k < 8; k++) to[k * stride + i] = from[i * stride + k];
}

// The square matrix, once per width of a cell. `from` is a multiple of 8, and so is the stride, which
// is at least `to` rounded up to one.
#define SQUARE(CELL, NAME)                                                                          \
  LEVELS static size_t linear_##NAME(const CELL *restrict row, size_t met,                          \
                                     const float *restrict weights, uint32_t minimum,               \
                                     float *restrict scores) {                                      \
    uint32_t sum = 0;                                                                               \
    for (size_t k = 0; k < met; k++) {                                                              \
      uint32_t count = row[k];                                                                      \
      float score = (float)(int32_t)count * weights[k];                                             \
      scores[k] = count >= minimum ? score : -1.0f;                                                 \
      sum += count != 0;                                                                            \
    }                                                                                               \
    return sum;                                                                                     \
  }                                                                                                 \
  static void count_##NAME(const uint16_t *rows, const uint32_t *places, size_t count, CELL *row,  \
                           uint64_t end) {                                                          \
    for (size_t k = 0; k < count; k++) {                                                            \
      if (k + AHEAD < count) {                                                                      \
        const uint16_t *next = rows + places[k + AHEAD];                                            \
        for (size_t line = 0; line < 4; line++) __builtin_prefetch(next + 32 * line);               \
      }                                                                                             \
      for (const uint16_t *q = rows + places[k] + 1;; q += 4) {                                     \
        uint64_t four;                                                                              \
        memcpy(&four, q, 8);                                                                        \
        row[four & 0xffff]++;                                                                       \
        row[four >> 16 & 0xffff]++;                                                                 \
        row[four >> 32 & 0xffff]++;                                                                 \
        row[four >> 48]++;                                                                          \
        if (four >> 48 >= end) break;                                                               \
      }                                                                                             \
    }                                                                                               \
    row[end] = 0;                                                                                   \
  }                                                                                                 \
  static void mirror_##NAME(CELL *cells, size_t stride, size_t from, size_t to) {                   \
    /* Tiles of 32 x 32, so that a cache line is written while it is at hand. */                    \
    for (size_t tile = from; tile < to; tile += 32)                                                 \
      for (size_t side = 0; side <= tile; side += 32) {                                             \
        if (side < tile)                                                                            \
          for (size_t r = 0; r < 32; r++) {                                                         \
            __builtin_prefetch(cells + (side + 32 + r) * stride + tile);                            \
            __builtin_prefetch(cells + (tile + r) * stride + side + 32, 1);                         \
          }                                                                                         \
        for (size_t top = tile; top < tile + 32 && top < to; top += 8)                              \
          for (size_t left = side; left < side + 32 && left <= top; left += 8) {                    \
            if (top > left) {                                                                       \
              transpose_##NAME(cells + left * stride + top, cells + top * stride + left, stride);   \
              continue;                                                                             \
            }                                                                                       \
            for (size_t r = top; r < top + 8; r++)                                                  \
              for (size_t c = left; c < r; c++) cells[r * stride + c] = cells[c * stride + r];      \
          }                                                                                         \
      }                                                                                             \
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

void affinity_square_count(const uint16_t *rows, const uint32_t *places, size_t count, uint16_t end,
                           void *row, int wide) {
  if (wide)
    count_32(rows, places, count, row, end);
  else
    count_16(rows, places, count, row, end);
}

void affinity_square_bits(const uint64_t *bits, size_t words, size_t count, size_t from, size_t to,
                          size_t first, void *cells, size_t stride, int wide) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    bits_avx2(bits, words, count, from, to, first, cells, stride, wide);
    return;
  }
#endif
  bits_plain(bits, words, count, from, to, first, cells, stride, wide);
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

size_t affinity_scores_linear_square(const void *row, size_t met, const float *weights,
                                     uint32_t minimum, float *scores, int wide) {
  return wide ? linear_32(row, met, weights, minimum, scores)
              : linear_16(row, met, weights, minimum, scores);
}
