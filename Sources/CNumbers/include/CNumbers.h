// The shortest decimal text that reads back to the same double.
#pragma once
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
/// Writes `value` (finite) at `into`, which has room for at least 32 bytes.
/// Returns the number of bytes written; no terminator.
size_t affinity_format_double(double value, char *into);
#ifdef __cplusplus
}
#endif
