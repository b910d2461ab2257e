// What snapshots need below Swift: CRC32C, and calls of Linux that Swift's Glibc does not show.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// CRC32C (Castagnoli; RFC 3720, as in iSCSI, ext4 and Kafka's records): by the processor's instruction
// where it has one (SSE4.2, ARMv8 CRC), by tables elsewhere. Tests/SnapshotTests has the Swift twin.

/// The checksum of what `crc` was the checksum of, followed by `length` bytes. Begin with 0.
uint32_t affinity_crc32c(uint32_t crc, const void *data, size_t length);

/// The same by tables, on any processor.
uint32_t affinity_crc32c_tables(uint32_t crc, const void *data, size_t length);

/// The checksum of A followed by B, from the two checksums and the length of B: parts can be
/// summed at the same time. Complexity: O(log length).
uint32_t affinity_crc32c_join(uint32_t first, uint32_t second, uint64_t second_length);

/// Room on the disk for a file of so many bytes, where the file system knows how. Returns errno or 0.
int affinity_reserve(int descriptor, int64_t bytes);

/// Starts to write back a range of the page cache without waiting: a later fsync has less to do.
void affinity_begin_writeback(int descriptor, int64_t from, int64_t count);

/// A copy of this process that writes out what it sees: lower priority, no signal handlers, gone when the parent
/// is. Returns 0 in the copy, its id in the parent, -1 with errno where there is none.
int affinity_fork_writer(void);

/// Whether the process has ended: 0 not yet, 1 yes (`status` is its exit status, or 128 and the signal), -1 error.
int affinity_reap(int process, int *status);

// Stores that stay where they stand, for whoever looks at a shared page when this process has died in between.

/// Notes a place and an offset; never one with the other's.
static inline void affinity_note(uint64_t *slot, uint64_t place, uint64_t offset) {
  volatile uint64_t *words = slot;
  words[0] = 0;
  words[1] = offset;
  words[0] = place;
}

static inline void affinity_forget(uint64_t *slot) { *(volatile uint64_t *)slot = 0; }

#ifdef __cplusplus
}
#endif
