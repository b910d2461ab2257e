// Kernels of ranking: the sums of weighted stretches of (item, value), the best of them, and what each of
// the best is made of. Plain C without branches that depend on the data; two thousand additions a list leave
// no room for a mispredicted one.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// A stretch of items with their values, side by side, under one weight. The kernels read the first four; the
/// rest is what its source wants to know again when it gives its evidence.
typedef struct {
  const uint32_t *ids;
  const double *values;
  double weight;
  uint32_t count;
  /// Who proposed it.
  uint32_t source;
  /// The item whose neighbours these are.
  uint32_t because;
  /// Place back in the row, where the weight is that place's; else -1.
  int32_t recency;
  /// Place of the first in the source's arrays.
  size_t start;
} affinity_run;

/// An item with its three largest contributions, the largest first, the earlier first where equal.
typedef struct {
  uint32_t item;
  /// Contributions listed, at most 3.
  uint32_t listed;
  /// Listed contributions in order, plus rest.
  double score;
  /// The others, added as they fell out.
  double rest;
  double contributions[3];
  /// Run << 32 | place in it.
  uint64_t places[3];
} affinity_finalist;

/// Adds value * weight of every item of every run to its score, run after run. Items whose score was zero are
/// written to `touched`, which has room for all items of all runs; one whose sum stays zero perhaps more than once.
/// A score of minus infinity stays. Returns the number of touched items.
size_t affinity_runs_add(const affinity_run *runs, size_t count, double *scores, uint32_t *touched);

/// Moves the positive scores out: `items` and `sums` get them in the order of `touched` (which may be `items`), and
/// every touched score becomes zero. Returns their number.
size_t affinity_scores_take(double *scores, const uint32_t *touched, size_t count, uint32_t *items,
                            double *sums);

/// The places, rising, of the `top` largest sums, of those less than a part in 10^11 below them, and of perhaps
/// some more. `scratch` and `places` have room for `count`, and one. Returns their number.
size_t affinity_largest(const double *sums, size_t count, size_t top, double *scratch,
                        uint32_t *places);

/// Finalists that are explained at once, at most.
#define AFFINITY_COLUMNS 64

/// Room that `affinity_runs_explain` needs in `cells` and in `places`.
size_t affinity_explain_cells(size_t runs);

/// Walks the runs again for the contributions of the finalists, whose items are given; fills in everything else.
/// An item is at most once in a run. `marks` has a byte for each item, zero, and again zero afterwards.
void affinity_runs_explain(const affinity_run *runs, size_t count, uint8_t *marks,
                           affinity_finalist *finalists, size_t finalist_count, double *cells,
                           uint32_t *places);
#ifdef __cplusplus
}
#endif
