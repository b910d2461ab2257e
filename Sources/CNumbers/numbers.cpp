#include "CNumbers.h"
#include <charconv>

extern "C" size_t affinity_format_double(double value, char *into) {
  return static_cast<size_t>(std::to_chars(into, into + 32, value).ptr - into);
}
