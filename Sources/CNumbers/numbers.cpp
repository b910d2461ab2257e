// Shortest decimal digits. The common case is Schubfach's (R. Giulietti, "The Schubfach way to render
// doubles") in one multiplication: v = (I + F)·10^k, I of 15 or 16 digits, H half the distance to v's neighbours.
// An integer within H is the shorter text, else one more digit gives the closest. The product is short
// of the truth by less than 2^-60, so whatever lies nearer than that to a bound (ties, powers of two's uneven
// intervals, subnormals) is left to Dragonbox (J. Jeon), as libfmt carries it. Digits are written eight at a
// time, each eight in one register. 20 ns a number, where libfmt's digits with a layout of ours take 44.
#include "CNumbers.h"

#define FMT_HEADER_ONLY
#define FMT_USE_FULL_CACHE_DRAGONBOX 1
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

/// Any positive value, in the form that JavaScript gives it.
size_t format_any(double value, char *into) {
  char *at = into;
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

/// Sixteen decimal digits as bytes 0 to 9, the first digit lowest.
struct Digits {
  uint64_t first, second;
};

#if defined(__SSE2__)
inline Digits sixteen_digits(uint64_t value) {
  const uint64_t upper = value / 100000000;
  // Two eights, four fours, eight twos, sixteen ones.
  const __m128i eights = _mm_set_epi64x(static_cast<int64_t>(value - upper * 100000000), static_cast<int64_t>(upper));
  const __m128i high4 = _mm_srli_epi64(_mm_mul_epu32(eights, _mm_set1_epi64x(109951163)), 40);
  const __m128i low4 = _mm_sub_epi64(eights, _mm_mul_epu32(high4, _mm_set1_epi64x(10000)));
  const __m128i fours = _mm_or_si128(high4, _mm_slli_epi64(low4, 32));
  const __m128i high2 = _mm_srli_epi16(_mm_mulhi_epu16(fours, _mm_set1_epi16(5243)), 3);
  const __m128i low2 = _mm_sub_epi16(fours, _mm_mullo_epi16(high2, _mm_set1_epi16(100)));
  const __m128i twos = _mm_or_si128(high2, _mm_slli_epi32(low2, 16));
  const __m128i high1 = _mm_mulhi_epu16(twos, _mm_set1_epi16(6554));
  const __m128i low1 = _mm_sub_epi16(twos, _mm_mullo_epi16(high1, _mm_set1_epi16(10)));
  const __m128i ones = _mm_or_si128(high1, _mm_slli_epi16(low1, 8));
  return {static_cast<uint64_t>(_mm_cvtsi128_si64(ones)),
          static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(ones, ones)))};
}
#else
inline uint64_t eight_digits(uint64_t value) {
  const uint64_t high4 = value / 10000;
  const uint64_t fours = high4 | (value - high4 * 10000) << 32;
  const uint64_t high2 = (fours * 10486 >> 20) & 0x0000007f0000007f;
  const uint64_t twos = high2 | (fours - high2 * 100) << 16;
  const uint64_t high1 = (twos * 103 >> 10) & 0x000f000f000f000f;
  return high1 | (twos - high1 * 10) << 8;
}
inline Digits sixteen_digits(uint64_t value) {
  const uint64_t upper = value / 100000000;
  return {eight_digits(upper), eight_digits(value - upper * 100000000)};
}
#endif

/// Writes a value in [1e-5, 1e15) that is certain; else 0.
inline size_t format_common(uint64_t bits, char *into) {
  const uint64_t fraction = bits & ((uint64_t(1) << 52) - 1);
  const int q = static_cast<int>(bits >> 52) - 1075;
  // 2^-70 to 2^50; a negative value, a subnormal, infinity are outside.
  if (static_cast<unsigned>(q + 122) > 120u || fraction == 0) return 0;
  const uint64_t c = fraction | uint64_t(1) << 52;
  const int k = (q * 1262611 >> 22) + 1;       // floor(log10(2^q)) + 1
  const int h = q + (-k * 1741647 >> 19);      // q + floor(log2(10^-k)): -4 to -1
  const auto g = fmt::detail::dragonbox::cache_accessor<double>::get_cached_power(-k);
  const uint64_t shifted = c << (h + 4);
  const unsigned __int128 low =
      static_cast<unsigned __int128>(shifted) * (g.high() << 61 | g.low() >> 3);
  const unsigned __int128 high =
      static_cast<unsigned __int128>(shifted) * (g.high() >> 3) + static_cast<uint64_t>(low >> 64);
  // v = (whole + part / 2^64)·10^k, whole of 15 or 16 digits; the neighbours lie 2·half / 2^64 from it.
  uint64_t whole = static_cast<uint64_t>(high >> 64);
  const uint64_t part = static_cast<uint64_t>(high);
  const uint64_t half = g.high() >> -h;
  // The digit after `whole`, and what is behind it.
  const unsigned __int128 next = static_cast<unsigned __int128>(part) * 10;
  const uint64_t behind = static_cast<uint64_t>(next);
  const uint64_t digit = static_cast<uint64_t>(next >> 64) + (behind >> 63);
  constexpr uint64_t doubt = 64;
  const bool is_above = part + half < half;
  const bool is_shorter = (part < half) | is_above;
  whole += is_above;
  const bool is_doubtful = (part - half + doubt <= 2 * doubt) | (part + half + doubt <= 2 * doubt) |
                           (behind - (uint64_t(1) << 63) + doubt <= 2 * doubt);
  if (__builtin_expect(is_doubtful | (whole > 9999999999999999), 0)) return 0;
  // Sixteen digits, perhaps with a zero in front, then the last one.
  const auto [first, second] = sixteen_digits(whole);
  const int lead = whole < 1000000000000000;
  const int point = 16 - lead + k;
  // Behind the last digit that is not zero; which case it is cannot be foreseen, so both are computed.
  const uint64_t ends = second ? second : first;
  const int shorter = (second ? 16 : 8) - (__builtin_clzll(ends | 1) >> 3);
  const int count = (__builtin_unpredictable(is_shorter) ? shorter : 17) - lead;
  constexpr uint64_t ascii = 0x3030303030303030;
  const uint64_t one = first | ascii, two = second | ascii;
  if (point <= 0) {
    if (point <= -6) return 0;
    std::memcpy(into, "0.000000", 8);
    char *const at = into + 2 - point - lead;
    std::memcpy(at, &one, 8);
    std::memcpy(at + 8, &two, 8);
    at[16] = static_cast<char>('0' + digit);
    into[1] = '.';
    return static_cast<size_t>(2 - point + count);
  }
  if (point >= count) return 0;
  char *const at = into + 1 - lead;
  const char front = lead ? static_cast<char>(one >> 8) : static_cast<char>(one);
  std::memcpy(at, &one, 8);
  std::memcpy(at + 8, &two, 8);
  at[16] = static_cast<char>('0' + digit);
  into[0] = front;
  for (int i = 1; i < point; i++) into[i] = into[i + 1];
  into[point] = '.';
  return static_cast<size_t>(count + 1);
}

}  // namespace

extern "C" size_t affinity_format_double(double value, char *into) {
  uint64_t bits;
  std::memcpy(&bits, &value, 8);
  if (const size_t count = format_common(bits, into)) return count;
  size_t sign = 0;
  if (std::signbit(value)) {
    into[sign++] = '-';
    value = -value;
  }
  if (value == 0) {
    into[sign] = '0';
    return sign + 1;
  }
  return sign + format_any(value, into + sign);
}
