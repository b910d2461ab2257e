// See include/CStorage.h.
#define _GNU_SOURCE
#include "CStorage.h"
#include <errno.h>
#include <fcntl.h>

int affinity_reserve(int descriptor, int64_t bytes) {
  while (fallocate(descriptor, 0, 0, bytes) != 0) {
    if (errno == EINTR) continue;
    // Not every file system can.
    return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : errno;
  }
  return 0;
}

void affinity_begin_writeback(int descriptor, int64_t from, int64_t count) {
  sync_file_range(descriptor, from, count, SYNC_FILE_RANGE_WRITE);
}
