// See include/CKernels.h.
#define _GNU_SOURCE
#include "CKernels.h"
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>

#define HUGE ((size_t)2 << 20)

static size_t rounded(size_t bytes) { return (bytes + HUGE - 1) & ~(HUGE - 1); }

void *affinity_pages_allocate(size_t bytes) {
  if (bytes < HUGE) return calloc(bytes ? bytes : 1, 1);
  size_t size = rounded(bytes);
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

void affinity_pages_free(void *pages, size_t bytes) {
  if (!pages) return;
  if (bytes < HUGE)
    free(pages);
  else
    munmap(pages, rounded(bytes));
}
#else
void *affinity_pages_allocate(size_t bytes) { return calloc(bytes ? bytes : 1, 1); }
void affinity_pages_free(void *pages, size_t bytes) {
  (void)bytes;
  free(pages);
}
#endif
