// Memory of large arrays, and asking for memory ahead of its use.
#pragma once
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

/// From this size on memory comes in huge pages.
#define AFFINITY_HUGE_PAGE ((size_t)2 << 20)

/// Zeroed memory in huge pages where the system grants them: faulting in four-kilobyte pages costs
/// more than the work on large scratch. NULL when there is none. Freed with the same size.
void *affinity_pages_allocate(size_t bytes);
void affinity_pages_free(void *pages, size_t bytes);
/// The same memory, larger, perhaps elsewhere; both sizes at least a huge page. Pages are moved, not
/// bytes. NULL when there is none: the old memory then stays.
void *affinity_pages_grow(void *pages, size_t bytes, size_t grown);

/// Reads and writes are expected.
static inline void affinity_prefetch(const void *place) { __builtin_prefetch(place, 1, 3); }
#ifdef __cplusplus
}
#endif
