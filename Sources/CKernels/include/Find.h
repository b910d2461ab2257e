// Searching the items of a row.
#pragma once
#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/// The last place of `item` among `count` items, or -1. From the end: acts repeat on recent items.
static inline ptrdiff_t affinity_find_last(const uint32_t *items, ptrdiff_t count, uint32_t item) {
#if defined(__SSE2__)
  const __m128i wanted = _mm_set1_epi32((int)item);
  while (count >= 16) {
    const __m128i *p = (const __m128i *)(items + count - 16);
    const __m128i a = _mm_cmpeq_epi32(_mm_loadu_si128(p), wanted);
    const __m128i b = _mm_cmpeq_epi32(_mm_loadu_si128(p + 1), wanted);
    const __m128i c = _mm_cmpeq_epi32(_mm_loadu_si128(p + 2), wanted);
    const __m128i d = _mm_cmpeq_epi32(_mm_loadu_si128(p + 3), wanted);
    const int hits = _mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)));
    if (hits) return count - 16 + (31 - __builtin_clz((unsigned)hits));
    count -= 16;
  }
#endif
  while (count > 0) {
    count--;
    if (items[count] == item) return count;
  }
  return -1;
}
