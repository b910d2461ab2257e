// Bit kernels of the itemset miner: what Swift cannot say without fixing the processor at build
// time (popcount, pext, AVX-512 vector popcount). Each is compiled for several x86-64 levels and
// chosen when the program starts; elsewhere plain C is used. 
// BitKernels.swift holds the Swift twins that the tests compare them with.
#pragma once
#include "CustomerKernels.h"
#include "Find.h"
#include "Pages.h"
#include "PairKernels.h"
#include "RankingKernels.h"
#include "RegressionKernels.h"
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// One step of the depth-first search. Rows are bit vectors of `words` words (a multiple of 4)
/// starting at word offsets into `arena`. For each of the `siblings` (offset, item, count) the row
/// is intersected with the row at `row`, which has `count` bits set; those with at least `minimum`
/// bits are written as children in the same order, their rows one after another from word offset
/// `free` of the arena on. A sibling whose count equals `parent_count` holds wherever the parent
/// does, so its child is the row itself and nothing is computed. Returns the number of children.
/// The child arrays have room for `siblings` entries, the arena for `siblings * words` after `free`.
size_t affinity_bits_extend(uint64_t *arena, size_t words, uint32_t row, uint32_t count,
                            uint32_t parent_count, uint32_t minimum, size_t siblings,
                            const uint32_t *offsets, const uint32_t *items, const uint32_t *counts,
                            uint32_t free, uint32_t *child_offsets, uint32_t *child_items,
                            uint32_t *child_counts);

/// |a AND b| over `words` words (a multiple of 4).
uint32_t affinity_bits_count_both(const uint64_t *a, const uint64_t *b, size_t words);

/// Packs the bits of `row` at the set positions of `mask` densely into `into` (pext over a vector).
/// The words of `into` from the last packed bit to `into_words` are zeroed.
void affinity_bits_compress(const uint64_t *row, const uint64_t *mask, size_t words, uint64_t *into,
                            size_t into_words);

/// The positions of the set bits of `row`, rising. Returns their number. Four places after the last
/// are overwritten.
size_t affinity_bits_positions(const uint64_t *row, size_t words, uint32_t *positions);

/// The bit matrix of `count` rows of `words` words at word `offsets` of `arena`, transposed: bit i
/// of row t of `into` is bit t of row i. `into` has 64 * words rows of `stride` words (at least
/// count / 64 rounded up) and is overwritten.
void affinity_bits_transpose(const uint64_t *arena, const uint32_t *offsets, size_t count,
                             size_t words, uint64_t *into, size_t stride);

/// Occurrence deliver: adds 1 to the counter of every item between `places[2k]` and
/// `places[2k + 1]` of `items`, for all k < count.
void affinity_deliver(const uint32_t *items, const uint32_t *places, size_t count,
                      uint32_t *counters);

/// Counters from `from` up to `to` that are at least `minimum` (>= 1), as (place, counter), rising;
/// all of them are zeroed. Returns their number; the arrays have room for to - from + 8.
size_t affinity_take_counters(uint32_t *counters, size_t from, size_t to, uint32_t minimum,
                              uint32_t *places, uint32_t *values);

/// Packs the bits of `row` at the `count` given positions densely into `into`; zeroes the rest.
void affinity_bits_gather(const uint64_t *row, const uint32_t *positions, size_t count,
                          uint64_t *into, size_t into_words);

/// Column sums over chosen rows of a bit matrix of `stride` words per row (a multiple of 4):
/// carry-save adders over 256 columns at once (positional popcount; Klarqvist, Mula, Lemire 2019).
/// Columns from `from` (inclusive) whose sum is at least `minimum` (>= 1) are written in ascending
/// order with their sums. Returns their number; the arrays have room for every column.
size_t affinity_bits_column_sums(const uint64_t *rows, size_t stride, const uint32_t *chosen,
                                 size_t count, uint32_t from, uint32_t minimum,
                                 uint32_t *columns, uint32_t *sums);

/// exp and log of the C library, so that the core needs no platform module for them.
double affinity_exp(double x);
double affinity_log(double x);
#ifdef __cplusplus
}
#endif
