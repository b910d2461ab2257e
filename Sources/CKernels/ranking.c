// See include/RankingKernels.h.
#include "RankingKernels.h"
#include <string.h>
#if defined(__x86_64__)
#define LEVELS __attribute__((target_clones("avx2", "default")))
#else
#define LEVELS
#endif
#define INLINE static inline __attribute__((always_inline))

// Runs whose memory is on its way while one is added: a model of a large catalogue lies in main memory.
#define AHEAD 4

INLINE void fetch(const affinity_run *run) {
  const char *ids = (const char *)run->ids, *values = (const char *)run->values;
  for (size_t at = 0; at < run->count * sizeof(uint32_t); at += 64) __builtin_prefetch(ids + at);
  for (size_t at = 0; at < run->count * sizeof(double); at += 64) __builtin_prefetch(values + at);
}

INLINE int64_t bits(double x) {
  int64_t word;
  memcpy(&word, &x, sizeof word);
  return word;
}

size_t affinity_runs_add(const affinity_run *runs, size_t count, double *restrict scores,
                         uint32_t *restrict touched) {
  size_t met = 0;
  for (size_t r = 0; r < count && r < AHEAD; r++) fetch(runs + r);
  for (size_t r = 0; r < count; r++) {
    if (r + AHEAD < count) fetch(runs + r + AHEAD);
    const uint32_t *restrict ids = runs[r].ids;
    const double *restrict values = runs[r].values;
    const double weight = runs[r].weight;
    const size_t length = runs[r].count;
    for (size_t k = 0; k < length; k++) {
      const uint32_t item = ids[k];
      const double old = scores[item];
      scores[item] = old + values[k] * weight;
      touched[met] = item;
      met += bits(old) == 0;
    }
  }
  return met;
}

size_t affinity_scores_take(double *scores, const uint32_t *touched, size_t count, uint32_t *items,
                            double *sums) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    const uint32_t item = touched[i];
    const double sum = scores[item];
    scores[item] = 0;
    items[kept] = item;
    sums[kept] = sum;
    kept += bits(sum) > 0;
  }
  return kept;
}

/// The `rank`-th largest (from 1) of `values`, which are rearranged (Hoare's selection).
INLINE double nth_largest(double *values, size_t count, size_t rank) {
  size_t low = 0, high = count - 1;
  const size_t wanted = rank - 1;
  while (low < high) {
    const double pivot = values[low + (high - low) / 2];
    size_t i = low, j = high;
    while (i <= j) {
      while (values[i] > pivot) i++;
      while (values[j] < pivot) j--;
      if (i > j) break;
      const double held = values[i];
      values[i++] = values[j];
      values[j] = held;
      if (j == 0) break;
      j--;
    }
    if (wanted <= j && j < i)
      high = j;
    else if (wanted >= i)
      low = i;
    else
      return values[wanted];
  }
  return values[wanted];
}

INLINE size_t at_least(const double *sums, size_t count, double bound, uint32_t *places) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    places[kept] = (uint32_t)i;
    kept += sums[i] >= bound;
  }
  return kept;
}

LEVELS size_t affinity_largest(const double *sums, size_t count, size_t top, double *scratch,
                        uint32_t *places) {
  if (top == 0) return 0;
  if (count <= top) return at_least(sums, count, 0, places);
  // The largest of every lane: the top-th of these is a bound that `top` sums reach, and few more do (with
  // four lanes for each of the top, an eighth of them).
  size_t lanes = 4 * top;
  if (count < 2 * lanes) lanes = count;
  memcpy(scratch, sums, lanes * sizeof(double));
  for (size_t i = lanes; i + lanes <= count; i += lanes)
    for (size_t k = 0; k < lanes; k++)
      scratch[k] = sums[i + k] > scratch[k] ? sums[i + k] : scratch[k];
  const double bound = nth_largest(scratch, lanes, top);
  // What another order of adding can change is far less than the margin.
  return at_least(sums, count, bound - bound * 1e-11, places);
}

typedef double doubles __attribute__((vector_size(32)));
typedef int64_t words __attribute__((vector_size(32)));
#define LANES 4

// As macros: vectors may not be handed over where the processor is not known yet.
#define PICK(mask, a, b) (((words)(a) & (mask)) | ((words)(b) & ~(mask)))
#define LARGER(a, b) ((doubles)PICK((a) > (b), a, b))
#define SMALLER(a, b) ((doubles)PICK((a) < (b), a, b))

/// The three largest of every column of `rows` rows, the earlier first where equal; what falls out joins the rest.
/// An absent contribution is below those that are awaited, which are below every real one.
LEVELS static void rank_columns(const double *cells, size_t rows, size_t stride, size_t column,
                                double *best, int64_t *from, double *rests) {
  const doubles none = {0, 0, 0, 0};
  doubles a = none - 1, b = a, c = a, rest = none;
  words p = {0, 0, 0, 0}, q = p, s = p, row = p;
  for (size_t r = 0; r < rows; r++, row += 1) {
    doubles value;
    memcpy(&value, cells + r * stride + column, sizeof value);
    const words first = value > a, second = value > b, third = value > c;
    const doubles below = SMALLER(a, value), out = SMALLER(b, below);
    rest += LARGER(SMALLER(c, out), none);
    s = PICK(second, q, PICK(third, row, s));
    q = PICK(first, p, PICK(second, row, q));
    p = PICK(first, row, p);
    c = LARGER(c, out);
    b = LARGER(b, below);
    a = LARGER(a, value);
  }
  memcpy(best, &a, sizeof a);
  memcpy(best + LANES, &b, sizeof b);
  memcpy(best + 2 * LANES, &c, sizeof c);
  memcpy(from, &p, sizeof p);
  memcpy(from + LANES, &q, sizeof q);
  memcpy(from + 2 * LANES, &s, sizeof s);
  memcpy(rests, &rest, sizeof rest);
}

#define ABSENT (-2.0)

size_t affinity_explain_cells(size_t runs) { return runs * AFFINITY_COLUMNS; }

void affinity_runs_explain(const affinity_run *runs, size_t count, uint8_t *restrict marks,
                           affinity_finalist *finalists, size_t finalist_count, double *cells,
                           uint32_t *places) {
  const size_t stride = (finalist_count + LANES - 1) / LANES * LANES;
  for (size_t i = 0; i < finalist_count; i++) marks[finalists[i].item] = (uint8_t)(i + 1);
  for (size_t i = 0; i < count * stride; i++) cells[i] = ABSENT;
  for (size_t r = 0; r < count; r++) {
    const uint32_t *ids = runs[r].ids;
    const double *values = runs[r].values;
    const double weight = runs[r].weight;
    double *row = cells + r * stride - 1;
    uint32_t *place = places + r * stride - 1;
    for (size_t from = 0; from < runs[r].count; from += 64) {
      const size_t length = runs[r].count - from < 64 ? runs[r].count - from : 64;
      // The first item's bit stands highest of `length`.
      uint64_t others = 0;
      for (size_t k = 0; k < length; k++) others = others + others + (marks[ids[from + k]] == 0);
      uint64_t hits = ~others << (64 - length);
      while (hits) {
        const size_t k = from + (size_t)__builtin_clzll(hits), column = marks[ids[k]];
        row[column] = values[k] * weight;
        place[column] = (uint32_t)k;
        hits &= ~(uint64_t)0 >> 1 >> __builtin_clzll(hits);
      }
    }
  }
  for (size_t i = 0; i < finalist_count; i++) marks[finalists[i].item] = 0;
  for (size_t column = 0; column < stride; column += LANES) {
    double best[3 * LANES], rests[LANES];
    int64_t from[3 * LANES];
    rank_columns(cells, count, stride, column, best, from, rests);
    for (size_t lane = 0; lane < LANES; lane++) {
      const size_t i = column + lane;
      if (i >= finalist_count) break;
      affinity_finalist *f = finalists + i;
      double score = 0;
      f->listed = 0;
      for (int n = 0; n < 3 && best[n * LANES + lane] >= 0; n++) {
        const size_t row = (size_t)from[n * LANES + lane];
        f->contributions[n] = best[n * LANES + lane];
        f->places[n] = (uint64_t)row << 32 | places[row * stride + column + lane];
        score += f->contributions[n];
        f->listed++;
      }
      f->rest = rests[lane];
      f->score = score + f->rest;
    }
  }
}
