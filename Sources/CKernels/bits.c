// See include/CKernels.h. The bodies are plain C, inlined into one wrapper per processor level and
// left to the compiler's vectoriser: with AVX2 it makes the nibble-table popcount, with AVX-512
// VPOPCNTDQ one instruction per vector.
#include "CKernels.h"
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

double affinity_exp(double x) { return exp(x); }
double affinity_log(double x) { return log(x); }

// Intersects two rows and counts. The generic one is left to the compiler.
typedef uint64_t (*intersect_function)(const uint64_t *, const uint64_t *, uint64_t *, size_t);

INLINE uint64_t intersect_any(const uint64_t *restrict a, const uint64_t *restrict b,
                              uint64_t *restrict into, size_t words) {
  uint64_t sum = 0;
  for (size_t w = 0; w < words; w += 4)
    for (int k = 0; k < 4; k++) {
      uint64_t both = a[w + k] & b[w + k];
      into[w + k] = both;
      sum += (uint64_t)__builtin_popcountll(both);
    }
  return sum;
}

INLINE size_t extend_body(intersect_function intersect, uint64_t *arena, size_t words, uint32_t row, uint32_t count,
                          uint32_t parent_count, uint32_t minimum, size_t siblings,
                          const uint32_t *offsets, const uint32_t *items, const uint32_t *counts,
                          uint32_t free, uint32_t *child_offsets, uint32_t *child_items,
                          uint32_t *child_counts) {
  const uint64_t *a = arena + row;
  size_t children = 0;
  uint32_t next = free;
  for (size_t s = 0; s < siblings; s++) {
    if (counts[s] == parent_count) {
      child_offsets[children] = row;
      child_items[children] = items[s];
      child_counts[children++] = count;
      continue;
    }
    uint64_t sum = intersect(a, arena + offsets[s], arena + next, words);
    child_offsets[children] = next;
    child_items[children] = items[s];
    child_counts[children] = (uint32_t)sum;
    int keep = sum >= minimum;
    children += (size_t)keep;
    next += keep ? (uint32_t)words : 0;
  }
  return children;
}

INLINE uint32_t both_body(const uint64_t *a, const uint64_t *b, size_t words) {
  uint64_t sum = 0;
  for (size_t w = 0; w < words; w += 4)
    for (int k = 0; k < 4; k++) sum += (uint64_t)__builtin_popcountll(a[w + k] & b[w + k]);
  return (uint32_t)sum;
}

INLINE void gather_body(const uint64_t *row, const uint32_t *positions, size_t count,
                        uint64_t *into, size_t into_words) {
  size_t whole = count / 64, i = 0;
  for (size_t w = 0; w < whole; w++) {
    uint64_t word = 0;
    for (unsigned k = 0; k < 64; k++, i++)
      word |= ((row[positions[i] >> 6] >> (positions[i] & 63)) & 1) << k;
    into[w] = word;
  }
  size_t w = whole;
  if (i < count) {
    uint64_t word = 0;
    for (unsigned k = 0; i < count; k++, i++)
      word |= ((row[positions[i] >> 6] >> (positions[i] & 63)) & 1) << k;
    into[w++] = word;
  }
  for (; w < into_words; w++) into[w] = 0;
}

INLINE size_t positions_body(const uint64_t *row, size_t words, uint32_t *positions) {
  // Four places are written whatever the word holds: sparse words then cost no mispredicted branch.
  size_t n = 0;
  for (size_t w = 0; w < words; w++) {
    uint64_t rest = row[w];
    uint32_t base = (uint32_t)(w * 64);
    size_t bits = (size_t)__builtin_popcountll(rest);
    for (size_t k = 0; k < 4; k++) {
      positions[n + k] = base + (uint32_t)__builtin_ctzll(rest | (uint64_t)1 << 63);
      rest &= rest - 1;
    }
    for (size_t k = 4; k < bits; k++) {
      positions[n + k] = base + (uint32_t)__builtin_ctzll(rest);
      rest &= rest - 1;
    }
    n += bits;
  }
  return n;
}

// Transposes 64 x 64 bits in place (Hacker's Delight, 7-3, mirrored: bit i of word t).
INLINE void transpose_block(uint64_t *x) {
  uint64_t mask = 0x00000000ffffffffull;
  for (int j = 32; j; j >>= 1, mask ^= mask << j)
    for (int k = 0; k < 64; k = ((k | j) + 1) & ~j) {
      uint64_t swap = ((x[k] >> j) ^ x[k | j]) & mask;
      x[k] ^= swap << j;
      x[k | j] ^= swap;
    }
}

INLINE void transpose_body(const uint64_t *arena, const uint32_t *offsets, size_t count,
                           size_t words, uint64_t *into, size_t stride) {
  memset(into, 0, words * 64 * stride * sizeof *into);
  for (size_t group = 0; group * 64 < count; group++) {
    size_t rows = count - group * 64 < 64 ? count - group * 64 : 64;
    for (size_t w = 0; w < words; w++) {
      uint64_t block[64];
      size_t bits = 0;
      for (size_t r = 0; r < rows; r++) {
        block[r] = arena[offsets[group * 64 + r] + w];
        bits += (size_t)__builtin_popcountll(block[r]);
      }
      uint64_t *to = into + w * 64 * stride + group;
      if (bits < 128) {
        for (size_t r = 0; r < rows; r++)
          for (uint64_t rest = block[r]; rest; rest &= rest - 1)
            to[(size_t)__builtin_ctzll(rest) * stride] |= (uint64_t)1 << r;
      } else {
        for (size_t r = rows; r < 64; r++) block[r] = 0;
        transpose_block(block);
        for (size_t t = 0; t < 64; t++) to[t * stride] = block[t];
      }
    }
  }
}

INLINE size_t take_body(uint32_t *counters, size_t from, size_t to, uint32_t minimum,
                        uint32_t *places, uint32_t *values) {
  size_t found = 0, i = from;
  for (; i + 8 <= to; i += 8) {
    uint32_t most = 0;
    for (int k = 0; k < 8; k++) most = counters[i + k] > most ? counters[i + k] : most;
    if (most >= minimum)
      for (size_t k = i; k < i + 8; k++)
        if (counters[k] >= minimum) places[found] = (uint32_t)k, values[found++] = counters[k];
    for (int k = 0; k < 8; k++) counters[i + k] = 0;
  }
  for (; i < to; i++) {
    if (counters[i] >= minimum) places[found] = (uint32_t)i, values[found++] = counters[i];
    counters[i] = 0;
  }
  return found;
}

void affinity_deliver(const uint32_t *items, const uint32_t *places, size_t count,
                      uint32_t *counters) {
  enum { AHEAD = 12 };
  for (size_t k = 0; k < count; k++) {
    if (k + AHEAD < count) __builtin_prefetch(items + places[2 * (k + AHEAD)]);
    for (uint32_t i = places[2 * k], end = places[2 * k + 1]; i < end; i++) counters[items[i]]++;
  }
}

typedef uint64_t lanes __attribute__((vector_size(32), aligned(8)));

#define ADD(high, low, x, y, z)                                                                    \
  do {                                                                                             \
    lanes u_ = (x) ^ (y), z_ = (z);                                                                \
    high = ((x) & (y)) | (u_ & z_);                                                                \
    low = u_ ^ z_;                                                                                 \
  } while (0)

// Adds sixteen rows: ones to eights take the sum, `sixteens` is what carries out.
#define SIXTEEN(ROW)                                                                               \
  do {                                                                                             \
    lanes a, b, c, d, e, f;                                                                        \
    ADD(a, ones, ones, ROW(0), ROW(1));                                                            \
    ADD(b, ones, ones, ROW(2), ROW(3));                                                            \
    ADD(c, twos, twos, a, b);                                                                      \
    ADD(a, ones, ones, ROW(4), ROW(5));                                                            \
    ADD(b, ones, ones, ROW(6), ROW(7));                                                            \
    ADD(d, twos, twos, a, b);                                                                      \
    ADD(e, fours, fours, c, d);                                                                    \
    ADD(a, ones, ones, ROW(8), ROW(9));                                                            \
    ADD(b, ones, ones, ROW(10), ROW(11));                                                          \
    ADD(c, twos, twos, a, b);                                                                      \
    ADD(a, ones, ones, ROW(12), ROW(13));                                                          \
    ADD(b, ones, ones, ROW(14), ROW(15));                                                          \
    ADD(d, twos, twos, a, b);                                                                      \
    ADD(f, fours, fours, c, d);                                                                    \
    ADD(sixteens, eights, eights, e, f);                                                           \
  } while (0)

#define NEAR(k) (*(const lanes *)(rows + (size_t)chosen[t + (k)] * stride + column))
#define TAIL(k) tail[k]

INLINE size_t column_sums_body(const uint64_t *rows, size_t stride, const uint32_t *chosen,
                               size_t count, uint32_t from, uint32_t minimum, uint32_t *columns,
                               uint32_t *sums) {
  int used = 0;  // planes that a sum of `count` can reach
  while (used < 32 && (count >> used) != 0) used++;
  if (used == 0 || (used < 32 && (minimum >> used) != 0)) return 0;
  int planes = used < 5 ? 5 : used;
  size_t found = 0;
  for (size_t column = from / 256 * 4; column < stride; column += 4) {
    lanes plane[36], waiting[36];
    const lanes zero = {0, 0, 0, 0};
    for (int p = 0; p <= planes; p++) plane[p] = zero;
    lanes ones = zero, twos = zero, fours = zero, eights = zero, sixteens;
    size_t t = 0, block = 0;
    for (;; block++) {
      if (t + 16 <= count) {
        SIXTEEN(NEAR);
        t += 16;
      } else if (t < count) {
        lanes tail[16];
        for (size_t k = 0; k < 16; k++) tail[k] = t + k < count ? NEAR(k) : zero;
        SIXTEEN(TAIL);
        t = count;
      } else {
        break;
      }
      // Carries pair up like the digits of a binary counter: one adder a block on average.
      int p = 4;
      for (size_t digits = block; digits & 1; digits >>= 1, p++) {
        lanes carry;
        ADD(carry, plane[p], plane[p], waiting[p], sixteens);
        sixteens = carry;
      }
      waiting[p] = sixteens;
    }
    // What still waits, from the lowest weight on: each digit of the number of blocks is one carry.
    for (int p = 4; block >> (p - 4); p++) {
      if (!((block >> (p - 4)) & 1)) continue;
      lanes x = waiting[p];
      for (int up = p; up < planes; up++) {
        lanes carry = plane[up] & x;
        plane[up] ^= x;
        x = carry;
      }
    }
    plane[0] = ones, plane[1] = twos, plane[2] = fours, plane[3] = eights;
    lanes above = zero, equal = ~zero;
    for (int p = used - 1; p >= 0; p--) {
      if ((minimum >> p) & 1)
        equal &= plane[p];
      else
        above |= equal & plane[p];
    }
    above |= equal;
    for (int k = 0; k < 4; k++) {
      uint64_t rest = above[k];
      size_t start = (column + (size_t)k) * 64;
      if (start + 64 <= from) continue;
      if (start < from) rest &= ~(uint64_t)0 << (from - start);
      for (; rest; rest &= rest - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(rest);
        uint32_t sum = 0;
        for (int p = 0; p < used; p++) sum |= (uint32_t)((plane[p][k] >> bit) & 1) << p;
        columns[found] = (uint32_t)(start + bit);
        sums[found++] = sum;
      }
    }
  }
  return found;
}

static void compress_plain(const uint64_t *row, const uint64_t *mask, size_t words, uint64_t *into,
                           size_t into_words) {
  size_t at = 0;
  memset(into, 0, into_words * sizeof *into);
  for (size_t w = 0; w < words; w++)
    for (uint64_t m = mask[w]; m; m &= m - 1, at++)
      into[at >> 6] |= ((row[w] >> __builtin_ctzll(m)) & 1) << (at & 63);
}

#define VARIANT(name, intersect, attributes)                                                                \
  attributes static size_t extend_##name(                                                          \
      uint64_t *arena, size_t words, uint32_t row, uint32_t count, uint32_t parent_count,          \
      uint32_t minimum, size_t siblings, const uint32_t *offsets, const uint32_t *items,           \
      const uint32_t *counts, uint32_t free, uint32_t *child_offsets, uint32_t *child_items,       \
      uint32_t *child_counts) {                                                                    \
    return extend_body(intersect, arena, words, row, count, parent_count, minimum, siblings,       \
                       offsets, items, counts, free, child_offsets, child_items, child_counts);                    \
  }                                                                                                \
  attributes static uint32_t both_##name(const uint64_t *a, const uint64_t *b, size_t words) {     \
    return both_body(a, b, words);                                                                 \
  }                                                                                                \
  attributes static void gather_##name(const uint64_t *row, const uint32_t *positions,             \
                                       size_t count, uint64_t *into, size_t into_words) {          \
    gather_body(row, positions, count, into, into_words);                                          \
  }                                                                                                \
  attributes static size_t columns_##name(const uint64_t *rows, size_t stride,                     \
                                          const uint32_t *chosen, size_t count, uint32_t from,     \
                                          uint32_t minimum, uint32_t *columns, uint32_t *sums) {   \
    return column_sums_body(rows, stride, chosen, count, from, minimum, columns, sums);            \
  }                                                                                                \
  attributes static size_t positions_##name(const uint64_t *row, size_t words,                     \
                                            uint32_t *positions) {                                 \
    return positions_body(row, words, positions);                                                  \
  }                                                                                                \
  attributes static void transpose_##name(const uint64_t *arena, const uint32_t *offsets,          \
                                          size_t count, size_t words, uint64_t *into,              \
                                          size_t stride) {                                         \
    transpose_body(arena, offsets, count, words, into, stride);                                    \
  }                                                                                                \
  attributes static size_t take_##name(uint32_t *counters, size_t from, size_t to,                 \
                                       uint32_t minimum, uint32_t *places, uint32_t *values) {     \
    return take_body(counters, from, to, minimum, places, values);                                 \
  }

VARIANT(plain, intersect_any, )

#if defined(__x86_64__)
#include <immintrin.h>
#define HASWELL "avx2,popcnt,bmi,bmi2"

// Nibble look-up popcount (W. Mula), byte sums of up to fifteen vectors before they are widened.
__attribute__((target(HASWELL), always_inline)) static inline uint64_t intersect_avx2(
    const uint64_t *a, const uint64_t *b, uint64_t *into, size_t words) {
  if (words < 16) return intersect_any(a, b, into, words);
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2,
                                         1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  __m256i total = _mm256_setzero_si256();
  for (size_t w = 0; w < words;) {
    __m256i bytes = _mm256_setzero_si256();
    size_t stop = words - w > 60 ? w + 60 : words;
    for (; w < stop; w += 4) {
      __m256i both = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(a + w)),
                                      _mm256_loadu_si256((const __m256i *)(b + w)));
      _mm256_storeu_si256((__m256i *)(into + w), both);
      __m256i first = _mm256_shuffle_epi8(table, _mm256_and_si256(both, low));
      __m256i second =
          _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(both, 4), low));
      bytes = _mm256_add_epi8(bytes, _mm256_add_epi8(first, second));
    }
    total = _mm256_add_epi64(total, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
  }
  return (uint64_t)_mm256_extract_epi64(total, 0) + (uint64_t)_mm256_extract_epi64(total, 1) +
         (uint64_t)_mm256_extract_epi64(total, 2) + (uint64_t)_mm256_extract_epi64(total, 3);
}

VARIANT(avx2, intersect_avx2, __attribute__((target(HASWELL))))
VARIANT(avx512, intersect_any,
        __attribute__((target(HASWELL ",avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq"))))

__attribute__((target(HASWELL))) static void compress_avx2(const uint64_t *row,
                                                           const uint64_t *mask, size_t words,
                                                           uint64_t *into, size_t into_words) {
  uint64_t word = 0;
  unsigned fill = 0;
  size_t at = 0;
  for (size_t w = 0; w < words; w++) {
    uint64_t m = mask[w];
    uint64_t bits = _pext_u64(row[w], m);
    unsigned n = (unsigned)_mm_popcnt_u64(m);
    word |= bits << fill;
    if (fill + n >= 64) {
      into[at++] = word;
      word = fill ? bits >> (64 - fill) : 0;
      fill = fill + n - 64;
    } else {
      fill += n;
    }
  }
  if (fill) into[at++] = word;
  for (; at < into_words; at++) into[at] = 0;
}
#endif

static size_t (*extend_chosen)(uint64_t *, size_t, uint32_t, uint32_t, uint32_t, uint32_t, size_t,
                               const uint32_t *, const uint32_t *, const uint32_t *, uint32_t,
                               uint32_t *, uint32_t *, uint32_t *) = extend_plain;
static uint32_t (*both_chosen)(const uint64_t *, const uint64_t *, size_t) = both_plain;
static void (*gather_chosen)(const uint64_t *, const uint32_t *, size_t, uint64_t *,
                             size_t) = gather_plain;
static size_t (*columns_chosen)(const uint64_t *, size_t, const uint32_t *, size_t, uint32_t,
                                uint32_t, uint32_t *, uint32_t *) = columns_plain;
static size_t (*positions_chosen)(const uint64_t *, size_t, uint32_t *) = positions_plain;
static void (*transpose_chosen)(const uint64_t *, const uint32_t *, size_t, size_t, uint64_t *,
                                size_t) = transpose_plain;
static size_t (*take_chosen)(uint32_t *, size_t, size_t, uint32_t, uint32_t *,
                             uint32_t *) = take_plain;
static void (*compress_chosen)(const uint64_t *, const uint64_t *, size_t, uint64_t *,
                               size_t) = compress_plain;

#if defined(__x86_64__)
__attribute__((constructor)) static void choose(void) {
  __builtin_cpu_init();
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")))
    return;
  extend_chosen = extend_avx2, both_chosen = both_avx2, gather_chosen = gather_avx2,
  columns_chosen = columns_avx2, compress_chosen = compress_avx2,
  positions_chosen = positions_avx2, transpose_chosen = transpose_avx2, take_chosen = take_avx2;
  if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vpopcntdq")))
    return;
  extend_chosen = extend_avx512, both_chosen = both_avx512, gather_chosen = gather_avx512,
  columns_chosen = columns_avx512, positions_chosen = positions_avx512,
  transpose_chosen = transpose_avx512, take_chosen = take_avx512;
}
#endif

size_t affinity_bits_extend(uint64_t *arena, size_t words, uint32_t row, uint32_t count,
                            uint32_t parent_count, uint32_t minimum, size_t siblings,
                            const uint32_t *offsets, const uint32_t *items, const uint32_t *counts,
                            uint32_t free, uint32_t *child_offsets, uint32_t *child_items,
                            uint32_t *child_counts) {
  return extend_chosen(arena, words, row, count, parent_count, minimum, siblings, offsets, items,
                       counts, free, child_offsets, child_items, child_counts);
}
uint32_t affinity_bits_count_both(const uint64_t *a, const uint64_t *b, size_t words) {
  return both_chosen(a, b, words);
}
void affinity_bits_compress(const uint64_t *row, const uint64_t *mask, size_t words, uint64_t *into,
                            size_t into_words) {
  compress_chosen(row, mask, words, into, into_words);
}
void affinity_bits_gather(const uint64_t *row, const uint32_t *positions, size_t count,
                          uint64_t *into, size_t into_words) {
  gather_chosen(row, positions, count, into, into_words);
}
size_t affinity_bits_column_sums(const uint64_t *rows, size_t stride, const uint32_t *chosen,
                                 size_t count, uint32_t from, uint32_t minimum, uint32_t *columns,
                                 uint32_t *sums) {
  return columns_chosen(rows, stride, chosen, count, from, minimum, columns, sums);
}
size_t affinity_bits_positions(const uint64_t *row, size_t words, uint32_t *positions) {
  return positions_chosen(row, words, positions);
}
void affinity_bits_transpose(const uint64_t *arena, const uint32_t *offsets, size_t count,
                             size_t words, uint64_t *into, size_t stride) {
  transpose_chosen(arena, offsets, count, words, into, stride);
}
size_t affinity_take_counters(uint32_t *counters, size_t from, size_t to, uint32_t minimum,
                              uint32_t *places, uint32_t *values) {
  return take_chosen(counters, from, to, minimum, places, values);
}
