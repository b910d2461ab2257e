// JSON's numbers, strings and RFC 3339 times, from text whose structure simdjson has found: strings
// are closed and hold no control characters, and at least 64 bytes may be read past the end.
#pragma once
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace affinity {

constexpr int64_t latest_time = 253402300799999; // 9999-12-31T23:59:59.999Z
constexpr int64_t exact_integer = int64_t(1) << 53;

inline uint64_t load8(const uint8_t *at) {
  uint64_t word;
  std::memcpy(&word, at, 8);
  return word;
}

/// Up to eight bytes as one word (little endian), the rest zero: equal to `word_of` a name only
/// where the bytes are that name. A text that ends in NUL is no name, so it must not look like one.
inline uint64_t short_word(const uint8_t *at, size_t count) {
  if (count == 0 || at[count - 1] == 0) return 0;
  return count >= 8 ? load8(at) : load8(at) & ((uint64_t(1) << (count * 8)) - 1);
}
constexpr uint64_t word_of(const char *text) {
  uint64_t word = 0;
  for (int i = 0; text[i] != 0; i++) word |= uint64_t(uint8_t(text[i])) << (8 * i);
  return word;
}

inline bool ends_scalar(uint8_t c) {
  return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ':';
}

// MARK: strings

/// `at` is behind the opening quote. Returns the place of the closing quote, or of the first
/// backslash before it.
inline const uint8_t *plain_end(const uint8_t *at) {
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
  while (true) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
    const int hits = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)));
    if (hits != 0) return at + __builtin_ctz(unsigned(hits));
    at += 16;
  }
#else
  while (*at != '"' && *at != '\\') at++;
  return at;
#endif
}

inline int hex4(const uint8_t *at) {
  int value = 0;
  for (int i = 0; i < 4; i++) {
    const uint8_t c = at[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/// `at` is a backslash inside a string. Returns the byte behind the escape, or null if it is none.
inline const uint8_t *escape_end(const uint8_t *at) {
  switch (at[1]) {
  case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't': return at + 2;
  case 'u': return hex4(at + 2) < 0 ? nullptr : at + 6;
  default: return nullptr;
  }
}

/// Skips a string from behind its opening quote to behind its closing one; null if an escape is bad.
inline const uint8_t *skip_string(const uint8_t *at) {
  while (true) {
    at = plain_end(at);
    if (*at == '"') return at + 1;
    at = escape_end(at);
    if (at == nullptr) return nullptr;
  }
}

struct StringText {
  const uint8_t *start;
  size_t count;
  const uint8_t *after; // behind the closing quote; null: malformed
  bool lone_surrogate;  // an escape that no UTF-8 can hold
};

/// Unescapes in place from the first backslash on: the text never grows.
inline StringText unescape(uint8_t *start, uint8_t *from) {
  StringText out{start, 0, nullptr, false};
  uint8_t *to = from;
  const uint8_t *at = from;
  while (*at != '"') {
    if (*at != '\\') {
      *to++ = *at++;
      continue;
    }
    const uint8_t *next = escape_end(at);
    if (next == nullptr) return out;
    switch (at[1]) {
    case 'b': *to++ = '\b'; break;
    case 'f': *to++ = '\f'; break;
    case 'n': *to++ = '\n'; break;
    case 'r': *to++ = '\r'; break;
    case 't': *to++ = '\t'; break;
    case 'u': {
      uint32_t code = uint32_t(hex4(at + 2));
      if (code >= 0xd800 && code < 0xdc00 && next[0] == '\\' && next[1] == 'u') {
        const int low = hex4(next + 2);
        if (low >= 0xdc00 && low < 0xe000) {
          code = 0x10000 + ((code - 0xd800) << 10) + uint32_t(low - 0xdc00);
          next += 6;
        }
      }
      if (code >= 0xd800 && code < 0xe000) {
        out.lone_surrogate = true;
        *to++ = '?';
      } else if (code < 0x80) {
        *to++ = uint8_t(code);
      } else if (code < 0x800) {
        *to++ = uint8_t(0xc0 | code >> 6);
        *to++ = uint8_t(0x80 | (code & 63));
      } else if (code < 0x10000) {
        *to++ = uint8_t(0xe0 | code >> 12);
        *to++ = uint8_t(0x80 | (code >> 6 & 63));
        *to++ = uint8_t(0x80 | (code & 63));
      } else {
        *to++ = uint8_t(0xf0 | code >> 18);
        *to++ = uint8_t(0x80 | (code >> 12 & 63));
        *to++ = uint8_t(0x80 | (code >> 6 & 63));
        *to++ = uint8_t(0x80 | (code & 63));
      }
      break;
    }
    default: *to++ = at[1];
    }
    at = next;
  }
  out.count = size_t(to - start);
  out.after = at + 1;
  return out;
}

inline StringText read_string(uint8_t *quote) {
  uint8_t *start = quote + 1;
  const uint8_t *end = plain_end(start);
  if (*end == '"') return StringText{start, size_t(end - start), end + 1, false};
  return unescape(start, start + (end - start));
}

// MARK: numbers

struct Number {
  const uint8_t *start, *end; // end null: malformed
  uint64_t mantissa;          // of all digits, where there are at most 19 significant ones
  int32_t exponent;           // decimal
  bool negative, integer, long_mantissa;
};

/// Reads by JSON's grammar, and checks that the number ends where it ends.
inline Number read_number(const uint8_t *at) {
  Number n{at, nullptr, 0, 0, false, true, false};
  if (*at == '-') {
    n.negative = true;
    at++;
  }
  const uint8_t *digits = at;
  uint64_t m = 0;
  if (*at == '0') {
    at++;
  } else {
    while (uint8_t(*at - '0') < 10) m = m * 10 + uint64_t(*at++ - '0');
    if (at == digits) return n;
  }
  int64_t significant = at - digits;
  int64_t exponent = 0;
  if (*at == '.') {
    n.integer = false;
    const uint8_t *fraction = ++at;
    while (uint8_t(*at - '0') < 10) m = m * 10 + uint64_t(*at++ - '0');
    if (at == fraction) return n;
    exponent = fraction - at;
    significant += at - fraction;
  }
  if (*at == 'e' || *at == 'E') {
    n.integer = false;
    at++;
    bool negative = false;
    if (*at == '+' || *at == '-') negative = *at++ == '-';
    if (uint8_t(*at - '0') >= 10) return n;
    int64_t e = 0;
    while (uint8_t(*at - '0') < 10) {
      if (e < 100000000) e = e * 10 + (*at - '0');
      at++;
    }
    exponent += negative ? -e : e;
  }
  if (!ends_scalar(*at)) return n;
  n.long_mantissa = significant > 19; // leading zeros count: then the slow path is taken in vain
  n.mantissa = m;
  n.exponent = int32_t(exponent < -1000000000 ? -1000000000 : exponent > 1000000000 ? 1000000000 : exponent);
  n.end = at;
  return n;
}

/// The nearest double; infinite where it lies beyond all of them.
inline double to_double(const Number &n) {
  static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  // Clinger's fast case: both operands exact, so one rounding.
  if (!n.long_mantissa && n.mantissa <= uint64_t(exact_integer) && n.exponent >= -22 && n.exponent <= 22) {
    const double m = double(n.mantissa);
    const double v = n.exponent < 0 ? m / powers[-n.exponent] : m * powers[n.exponent];
    return n.negative ? -v : v;
  }
  double v = 0;
  const auto result = std::from_chars(reinterpret_cast<const char *>(n.start), reinterpret_cast<const char *>(n.end), v);
  if (result.ec == std::errc::result_out_of_range) {
    // Which end of the range: the power of ten of the first digit that is not zero.
    const uint8_t *at = n.start + (n.negative ? 1 : 0);
    int64_t power = n.exponent;
    for (const uint8_t *d = at; d != n.end && *d != 'e' && *d != 'E'; d++) power += *d != '.';
    for (; *at == '0' || *at == '.'; at++) power -= *at == '0';
    return power > 0 ? INFINITY : 0.0;
  }
  return v;
}

enum class Whole : uint8_t { ok, fractional, too_big };

/// The integer, where the number is one (`2`, `2.0`, `2e3`).
inline Whole to_integer(const Number &n, int64_t &value) {
  if (n.integer && !n.long_mantissa && n.mantissa <= uint64_t(INT64_MAX)) {
    value = n.negative ? -int64_t(n.mantissa) : int64_t(n.mantissa);
    return Whole::ok;
  }
  const double v = to_double(n);
  if (!(std::fabs(v) <= double(exact_integer))) return Whole::too_big;
  value = int64_t(v);
  return double(value) == v ? Whole::ok : Whole::fractional;
}

// MARK: times

inline int64_t days_from_civil(int64_t y, int64_t m, int64_t d) {
  // H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
  y -= m <= 2;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t yoe = y - era * 400;
  const int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + doe - 719468;
}

inline int64_t days_in_month(int64_t year, int64_t month) {
  static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return lengths[month - 1] + (month == 2 && leap ? 1 : 0);
}

/// The usual form, 2026-03-01T10:15:30.123Z, eight bytes at a time. False: not that, or nothing to be sure of.
inline bool parse_usual_time(const uint8_t *s, int64_t &ms) {
  // In what is left of each word a digit is its value and a separator zero.
  const uint64_t a = load8(s) ^ word_of("0000-00-"), b = load8(s + 8) ^ word_of("00T00:00"), c = load8(s + 16) ^ word_of(":00.000Z");
  constexpr uint64_t separators_a = 0xff0000ff00000000, separators_b = 0x0000ff0000ff0000, separators_c = 0xff000000ff0000ff;
  constexpr uint64_t highs = 0x8080808080808080, above_nine = 0x7676767676767676;
  if (((a | b | c | (a + above_nine) | (b + above_nine) | (c + above_nine)) & highs) != 0) return false;
  if (((a & separators_a) | (b & separators_b) | (c & separators_c)) != 0) return false;
  const auto digit = [](uint64_t word, int place) { return uint32_t(word >> (8 * place)) & 15; };
  const auto two = [&](uint64_t word, int place) { return digit(word, place) * 10 + digit(word, place + 1); };
  const uint32_t year = two(a, 0) * 100 + two(a, 2), month = two(a, 5), day = two(b, 0);
  const uint32_t hour = two(b, 3), minute = two(b, 6), second = two(c, 1);
  if (month - 1 > 11 || day < 1 || hour > 23 || minute > 59 || second > 59) return false;
  if (day > 28 && day > days_in_month(year, month)) return false;
  const int64_t minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute;
  ms = (minutes * 60 + second) * 1000 + (digit(c, 4) * 10 + digit(c, 5)) * 10 + digit(c, 6);
  return true;
}

/// RFC 3339 to ms since 1970, digits behind the milliseconds cut off. False: not such a time. The
/// result may lie outside [0, latest_time].
inline bool parse_time(const uint8_t *s, size_t count, int64_t &ms) {
  if (count == 24 && parse_usual_time(s, ms)) return true;
  if (count < 20) return false;
  unsigned bad = 0;
  const auto digit = [&](size_t i) {
    const unsigned d = unsigned(s[i]) - '0';
    bad |= d > 9;
    return int64_t(d);
  };
  const auto two = [&](size_t i) { return digit(i) * 10 + digit(i + 1); };
  const int64_t year = two(0) * 100 + two(2), month = two(5), day = two(8);
  const int64_t hour = two(11), minute = two(14), second = two(17);
  bad |= unsigned(s[4] != '-') | unsigned(s[7] != '-') | unsigned(s[13] != ':') | unsigned(s[16] != ':');
  bad |= unsigned(s[10] != 'T' && s[10] != 't' && s[10] != ' ');
  if (bad != 0 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 60) return false;
  if (day > days_in_month(year, month)) return false;
  size_t at = 19;
  int64_t millis = 0;
  if (s[at] == '.') {
    const size_t first = ++at;
    int64_t scale = 100;
    while (at < count && uint8_t(s[at] - '0') < 10) {
      millis += int64_t(s[at] - '0') * scale;
      scale /= 10;
      at++;
    }
    if (at == first || at == count) return false;
  }
  int64_t offset = 0; // minutes
  if (s[at] == 'Z' || s[at] == 'z') {
    if (at + 1 != count) return false;
  } else {
    if ((s[at] != '+' && s[at] != '-') || at + 6 != count || s[at + 3] != ':') return false;
    const int64_t hours = two(at + 1), minutes = two(at + 4);
    if (bad != 0 || hours > 23 || minutes > 59) return false;
    offset = (hours * 60 + minutes) * (s[at] == '-' ? -1 : 1);
  }
  const int64_t minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset;
  // A leap second is the last of a UTC day; it becomes the first of the next.
  if (second == 60 && ((minutes % 1440) + 1440) % 1440 != 1439) return false;
  ms = (minutes * 60 + second) * 1000 + millis;
  return true;
}

} // namespace affinity
