// Kernels of co-occurrence counting and top-K selection: walks over rows with prefetch, and vector
// sieves over scores. Compiled for AVX2 and for any processor, chosen at run time. The Swift twins are
// in Recommender/CoOccurrence/PairKernels.swift.
//
// An arena of rows is 32-bit words: a header with the top bit set, then item ids, which have it clear,
// and at the end of it all one more word with the top bit set.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// Counts the items of rows in `scratch` (zero before; 32-bit counters where `wide`, or bytes where no
/// count passes 255) and lists each item met once in `touched`.
/// A place is the position in the arena of one of a row's items, which is itself not counted. Rows are
/// prefetched up to `beyond` places, which is `count` or more. Items larger than the place's own come
/// first, `larger` of them; `touched` has `room` for two more than can be met.
size_t affinity_pairs_touch(const uint32_t *arena, const uint32_t *places, size_t count,
                            size_t beyond, void *scratch, int wide, uint32_t *touched,
                            size_t room, size_t *larger);
/// The same without the list.
void affinity_pairs_count(const uint32_t *arena, const uint32_t *places, size_t count,
                          size_t beyond, uint32_t *scratch);
/// A place here is the position of a row's header: all its items are counted.
size_t affinity_rows_touch(const uint32_t *arena, const uint32_t *places, size_t count,
                            size_t beyond, void *scratch, int wide, uint32_t *touched);
void affinity_rows_count(const uint32_t *arena, const uint32_t *places, size_t count,
                         size_t beyond, uint32_t *scratch);

/// A bit per row, by the place of its header: sets and clears those of some rows (clearing takes whole
/// words), and counts how many of some rows are set. A bit stands for two words of the arena; every row
/// has three or more.
void affinity_marks_set(uint64_t *marks, const uint32_t *headers, size_t count);
void affinity_marks_clear(uint64_t *marks, const uint32_t *headers, size_t count);
uint32_t affinity_marks_count(const uint64_t *marks, const uint32_t *headers, size_t count);

/// The first place of an id, or `count`.
size_t affinity_ids_find(const uint32_t *ids, size_t count, uint32_t id);
/// Sorts different ids below 2^31. Complexity: O(count²), in vectors.
void affinity_ids_sort(const uint32_t *ids, size_t count, uint32_t *sorted);

/// counts[k] = scratch[touched[k]], which is zeroed.
void affinity_counts_take(const uint32_t *touched, size_t met, void *scratch, int wide,
                          uint32_t *counts);

/// The same, scored as below.
void affinity_scores_take_linear(const uint32_t *touched, size_t met, void *scratch, int wide,
                                 const float *weights, uint32_t minimum, uint32_t *counts,
                                 float *scores);

/// values[i] = both[i] / sqrt(source_count * target_count[targets[i]]), in doubles.
void affinity_values_cosine(const uint32_t *both, const uint32_t *targets, size_t count,
                            const uint32_t *target_count, uint32_t source_count, double *values);

/// scores[k] = counts[k] * weights[ids[k]], or -1 where the count is below `minimum` (at least 1).
void affinity_scores_linear(const uint32_t *ids, const uint32_t *counts, size_t met,
                            const float *weights, uint32_t minimum, float *scores);
/// The same with ids 0, 1, 2, …
void affinity_scores_linear_dense(const uint32_t *counts, size_t met, const float *weights,
                                  uint32_t minimum, float *scores);

/// The same for a row of a square of counts, 16 or 32 (`wide`) bits each. Returns how many counts are
/// not zero.
size_t affinity_scores_linear_square(const void *row, size_t met, const float *weights,
                                     uint32_t minimum, float *scores, int wide);

/// A score that at least k of the `met` scores reach, close below the k-th largest; 0 where fewer than k
/// are 0 or more. `maxima` has room for `affinity_scores_groups(met, k)`.
float affinity_scores_floor(const float *scores, size_t met, size_t k, float *maxima);
size_t affinity_scores_groups(size_t met, size_t k);

/// The places of scores at or above `floor` (0 or more), ascending. Returns their number.
size_t affinity_scores_sieve(const float *scores, size_t met, float floor, uint32_t *places);

/// For each of `count` candidates how many come before it: larger value in single precision, or equal
/// and smaller rank. Ranks differ. `rounded` is scratch. Complexity: O(count²), in vectors.
void affinity_candidates_place(const double *values, const int32_t *ranks, size_t count,
                               float *rounded, uint32_t *places);
/// Whether no value is larger than the one before it.
int affinity_values_descend(const double *values, size_t count);

/// Zeroed memory that is used from end to end: on huge pages where the system has them. Never null.
void *affinity_allocate(size_t size);
/// Asks for huge pages under memory that is about to be written to.
void affinity_advise(void *memory, size_t size);
void affinity_release(void *memory);

/// How many counts are not zero.
size_t affinity_counts_met(const uint32_t *counts, size_t count);

// A square matrix of counts over labels 0..<n: row-major cells of 16 bits, or of 32 where `wide`.
// `rows` are 16-bit labels, ascending within a row, each row ended by four times `end`, the label of a
// column that is not used.

/// Adds one to row cells of the labels that stand after each place, up to the row's end.
void affinity_square_count(const uint16_t *rows, const uint32_t *places, size_t count, uint16_t end,
                           void *row, int wide);
/// For labels a in from..<to and b in a + 1..<count of a block of bit vectors (`words` each, a multiple
/// of 4): writes |a AND b| to cell (first + a, first + b).
void affinity_square_bits(const uint64_t *bits, size_t words, size_t count, size_t from, size_t to,
                          size_t first, void *cells, size_t stride, int wide);
/// Copies the upper triangle of the first n rows and columns below the diagonal, for rows from..<to.
void affinity_square_mirror(void *cells, size_t stride, size_t from, size_t to, int wide);
/// One row as 32-bit counts. Returns how many are not zero.
size_t affinity_square_row(const void *row, size_t count, uint32_t *counts, int wide);
/// Adds delta[t] to cells (label, t) and (t, label) for each touched t, and zeroes delta[t].
void affinity_square_add(void *cells, size_t stride, size_t label, const uint32_t *touched,
                         size_t met, int32_t *delta, int wide);
#ifdef __cplusplus
}
#endif
