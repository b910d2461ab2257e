// Shortest decimal digits by Dragonbox (J. Jeon), as libfmt carries it; laid out here, since the general
// formatters around it cost more than the digits: 50 ns a number against 27.
#include "CNumbers.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

const char kPairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748"
    "49505152535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697"
    "9899";

/// Writes the decimal digits of `value` so that they end before `end`; returns where they begin.
inline char *digits_before(char *end, uint64_t value) {
  while (value >= 100) {
    const uint64_t rest = value / 100;
    end -= 2;
    std::memcpy(end, kPairs + 2 * (value - rest * 100), 2);
    value = rest;
  }
  if (value >= 10) {
    end -= 2;
    std::memcpy(end, kPairs + 2 * value, 2);
  } else {
    *--end = static_cast<char>('0' + value);
  }
  return end;
}

}  // namespace

extern "C" size_t affinity_format_double(double value, char *into) {
  char *at = into;
  if (std::signbit(value)) {
    *at++ = '-';
    value = -value;
  }
  if (value == 0) {
    *at++ = '0';
    return static_cast<size_t>(at - into);
  }
  const auto decimal = fmt::detail::dragonbox::to_decimal(value);
  char buffer[24];
  char *const end = buffer + sizeof buffer;
  const char *const digits = digits_before(end, decimal.significand);
  const int count = static_cast<int>(end - digits);
  const int point = count + decimal.exponent;  // digits before the decimal point
  if (point > 0 && point <= 21) {
    if (point >= count) {
      std::memcpy(at, digits, count);
      std::memset(at + count, '0', point - count);
      at += point;
    } else {
      std::memcpy(at, digits, point);
      at[point] = '.';
      std::memcpy(at + point + 1, digits + point, count - point);
      at += count + 1;
    }
  } else if (point <= 0 && point > -6) {
    at[0] = '0';
    at[1] = '.';
    std::memset(at + 2, '0', -point);
    std::memcpy(at + 2 - point, digits, count);
    at += 2 - point + count;
  } else {
    *at++ = digits[0];
    if (count > 1) {
      *at++ = '.';
      std::memcpy(at, digits + 1, count - 1);
      at += count - 1;
    }
    *at++ = 'e';
    int exponent = point - 1;
    if (exponent < 0) {
      *at++ = '-';
      exponent = -exponent;
    } else {
      *at++ = '+';
    }
    char power[8];
    const char *const start = digits_before(power + 8, static_cast<uint64_t>(exponent));
    std::memcpy(at, start, power + 8 - start);
    at += power + 8 - start;
  }
  return static_cast<size_t>(at - into);
}
