// See include/CStorage.h.
//
// The instruction takes 3 cycles and can start every cycle, so long runs are cut in three streams that
// are summed side by side and joined. Joining multiplies by x^(8 * length) in the field of the
// polynomial (M. Adler, crc32c.c and zlib's crc32_combine); bits are reflected, the highest is x^0.
#include "CStorage.h"
#include <string.h>

#define POLYNOMIAL 0x82f63b78u

// a * b mod the polynomial.
static uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (int bit = 31; bit >= 0; bit--) {
    product ^= b & (0u - ((a >> bit) & 1));
    b = (b >> 1) ^ (POLYNOMIAL & (0u - (b & 1)));
  }
  return product;
}

// x^(8 * bytes) mod the polynomial.
static uint32_t shift_by(uint64_t bytes) {
  uint32_t power = 0x00800000u;  // x^8
  uint32_t result = 0x80000000u; // 1
  for (; bytes; bytes >>= 1) {
    if (bytes & 1) result = multiply(result, power);
    power = multiply(power, power);
  }
  return result;
}

uint32_t affinity_crc32c_join(uint32_t first, uint32_t second, uint64_t second_length) {
  return multiply(shift_by(second_length), first) ^ second;
}

// Slicing by eight; tables[k][b] is the effect of byte b with k bytes behind it.
static uint32_t tables[8][256];
__attribute__((constructor)) static void make_tables(void) {
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t crc = b;
    for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (POLYNOMIAL & (0u - (crc & 1)));
    tables[0][b] = crc;
  }
  for (uint32_t b = 0; b < 256; b++)
    for (int k = 1; k < 8; k++)
      tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 255];
}

uint32_t affinity_crc32c_tables(uint32_t crc, const void *data, size_t length) {
  const uint8_t *at = data;
  crc = ~crc;
  for (; length >= 8; length -= 8, at += 8) {
    uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
    crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
          tables[4][low >> 24] ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^
          tables[0][at[7]];
  }
  for (; length; length--) crc = (crc >> 8) ^ tables[0][(crc ^ *at++) & 255];
  return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HARDWARE __attribute__((target("sse4.2")))
#define STEP8(crc, word) _mm_crc32_u64(crc, word)
#define STEP1(crc, byte) _mm_crc32_u8((uint32_t)(crc), byte)
static int has_hardware(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#if defined(__clang__)
#define HARDWARE __attribute__((target("crc")))
#else
#define HARDWARE __attribute__((target("+crc")))
#endif
#define STEP8(crc, word) __crc32cd((uint32_t)(crc), word)
#define STEP1(crc, byte) __crc32cb((uint32_t)(crc), byte)
static int has_hardware(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#endif

#ifdef HARDWARE
// Bytes per stream. The long one makes joins cheap, the short one serves what is left.
#define LONG 65536
#define SHORT 1024
static uint32_t past_long, past_short;
static int is_hardware;

__attribute__((constructor)) static void prepare(void) {
  past_long = shift_by(LONG);
  past_short = shift_by(SHORT);
  is_hardware = has_hardware();
}

static inline uint64_t word_at(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, 8);
  return word;
}

HARDWARE static inline uint64_t three_streams(uint64_t crc, const uint8_t *at, size_t stream,
                                              uint32_t past) {
  uint64_t second = 0, third = 0;
  for (const uint8_t *end = at + stream; at < end; at += 8) {
    crc = STEP8(crc, word_at(at));
    second = STEP8(second, word_at(at + stream));
    third = STEP8(third, word_at(at + 2 * stream));
  }
  crc = multiply(past, (uint32_t)crc) ^ second;
  return multiply(past, (uint32_t)crc) ^ third;
}

HARDWARE static uint32_t by_hardware(uint32_t start, const uint8_t *at, size_t length) {
  uint64_t crc = (uint32_t)~start;
  for (; length >= 3 * LONG; length -= 3 * LONG, at += 3 * LONG)
    crc = three_streams(crc, at, LONG, past_long);
  for (; length >= 3 * SHORT; length -= 3 * SHORT, at += 3 * SHORT)
    crc = three_streams(crc, at, SHORT, past_short);
  for (; length >= 8; length -= 8, at += 8) crc = STEP8(crc, word_at(at));
  for (; length; length--) crc = STEP1(crc, *at++);
  return ~(uint32_t)crc;
}
#endif

uint32_t affinity_crc32c(uint32_t crc, const void *data, size_t length) {
#ifdef HARDWARE
  if (is_hardware) return by_hardware(crc, data, length);
#endif
  return affinity_crc32c_tables(crc, data, length);
}
