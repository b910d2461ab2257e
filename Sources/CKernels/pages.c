// See include/Pages.h.
#define _GNU_SOURCE
#include "Pages.h"
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>

#define HUGE AFFINITY_HUGE_PAGE

static size_t rounded(size_t bytes) { return (bytes + HUGE - 1) & ~(HUGE - 1); }

/// `size` bytes at a multiple of a huge page.
static void *reserve(size_t size) {
  // A huge page more than asked for, to cut an aligned piece out of.
  char *raw = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return NULL;
  char *start = (char *)(((size_t)raw + HUGE - 1) & ~(HUGE - 1));
  if (start > raw) munmap(raw, (size_t)(start - raw));
  size_t after = (size_t)(raw + size + HUGE - (start + size));
  if (after) munmap(start + size, after);
  madvise(start, size, MADV_HUGEPAGE);
  return start;
}

void *affinity_pages_allocate(size_t bytes) {
  if (bytes < HUGE) return calloc(bytes ? bytes : 1, 1);
  return reserve(rounded(bytes));
}

void *affinity_pages_grow(void *pages, size_t bytes, size_t grown) {
  size_t size = rounded(bytes), larger = rounded(grown);
  if (larger <= size) return pages;
  char *start = reserve(larger);
  if (!start) return NULL;
  // Over the front of the new place: both are aligned, so huge pages move as such.
  if (mremap(pages, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, start) == MAP_FAILED) {
    munmap(start, larger);
    return NULL;
  }
  return start;
}

void affinity_pages_free(void *pages, size_t bytes) {
  if (!pages) return;
  if (bytes < HUGE)
    free(pages);
  else
    munmap(pages, rounded(bytes));
}
#else
void *affinity_pages_allocate(size_t bytes) { return calloc(bytes ? bytes : 1, 1); }
void *affinity_pages_grow(void *pages, size_t bytes, size_t grown) {
  void *larger = calloc(grown, 1);
  if (!larger) return NULL;
  memcpy(larger, pages, bytes);
  free(pages);
  return larger;
}
void affinity_pages_free(void *pages, size_t bytes) {
  (void)bytes;
  free(pages);
}
#endif
