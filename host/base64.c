/*
 * Base64, group by group through tables, and on x86-64 with AVX2 in blocks of
 * 24 bytes (32 characters).
 *
 * The blocks only run ahead: they stop before the end, and at anything that is
 * not of the alphabet, and the groups go on from there.  So what is refused,
 * padded or left waiting is decided in one place.
 */
#include "base64.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_AVX2
#include <immintrin.h>
#endif

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum { BAD = 0xff };

/* The value of each character, or BAD. */
static const unsigned char values[256] = {
#define B8 BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD
    B8, B8, B8, B8, B8, BAD, BAD, BAD, 62,  BAD, BAD, BAD, 63,  52,  53, 54,
    55, 56, 57, 58, 59, 60,  61,  BAD, BAD, BAD, BAD, BAD, BAD, BAD, 0,  1,
    2,  3,  4,  5,  6,  7,   8,   9,   10,  11,  12,  13,  14,  15,  16, 17,
    18, 19, 20, 21, 22, 23,  24,  25,  BAD, BAD, BAD, BAD, BAD, BAD, 26, 27,
    28, 29, 30, 31, 32, 33,  34,  35,  36,  37,  38,  39,  40,  41,  42, 43,
    44, 45, 46, 47, 48, 49,  50,  51,  BAD, BAD, BAD, BAD, BAD, B8,  B8, B8,
    B8, B8, B8, B8, B8, B8,  B8,  B8,  B8,  B8,  B8,  B8,  B8
#undef B8
};

#ifdef HAS_AVX2

/* The algorithms are from Wojciech Mula and Daniel Lemire, "Faster Base64
 * Encoding and Decoding Using AVX2 Instructions", ACM Transactions on the Web
 * 12 (3), 2018, https://arxiv.org/abs/1704.00605.
 *
 * Most AVX2 instructions see a vector as two lanes of 16 bytes that never mix.
 * Here each lane holds 12 bytes, or their 16 characters. */
#define AVX2 __attribute__((target("avx2")))

/* _mm256_shuffle_epi8 looks each byte up in a table of 16: this one in both
 * lanes. */
#define TABLE(...) _mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))

static int runs_blocks(void) {
  return __builtin_cpu_supports("avx2") != 0;
}

/* The 6-bit numbers in the first 12 bytes of each lane.
 *
 * A group of bytes aaaaaabb bbbbcccc ccdddddd is laid out as second, first,
 * third, second: two little-endian words of 16 bits, aaaaaabbbbbbcccc and
 * bbbbccccccdddddd.  Multiplying each word by a power of two shifts it by its
 * own distance: a and c to the right (the high half of the product), b and d
 * to the left. */
AVX2 static __m256i split(__m256i bytes) {
  __m256i words = _mm256_shuffle_epi8(
      bytes, TABLE(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10));
  __m256i ac = _mm256_and_si256(words, _mm256_set1_epi32(0x0fc0fc00));
  __m256i bd = _mm256_and_si256(words, _mm256_set1_epi32(0x003f03f0));
  ac = _mm256_mulhi_epu16(ac, _mm256_set1_epi32(0x04000040));
  bd = _mm256_mullo_epi16(bd, _mm256_set1_epi32(0x01000010));
  return _mm256_or_si256(ac, bd);
}

/* The characters of 6-bit numbers.
 *
 * Each of the five ranges of the alphabet has one distance from number to
 * character.  The row in the table of distances is max(number - 51, 0), plus
 * one (minus the -1 of a true comparison) for what is not A to Z: 0 for A to
 * Z, 1 for a to z, 2 to 11 for the digits, 12 for + and 13 for /. */
AVX2 static __m256i to_characters(__m256i numbers) {
  __m256i distances = TABLE('A', 'a' - 26, '0' - 52, '0' - 52, '0' - 52,
                            '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                            '0' - 52, '0' - 52, '+' - 62, '/' - 63, 0, 0);
  __m256i rows = _mm256_subs_epu8(numbers, _mm256_set1_epi8(51));
  __m256i not_upper = _mm256_cmpgt_epi8(numbers, _mm256_set1_epi8(25));
  rows = _mm256_sub_epi8(rows, not_upper);
  return _mm256_add_epi8(numbers, _mm256_shuffle_epi8(distances, rows));
}

/* Encodes the first bytes.  Returns how many: a multiple of 24.  Each round
 * reads 28 bytes (16 from the start of each half) and encodes 24. */
AVX2 static size_t encode_blocks(char *out, const unsigned char *in,
                                 size_t size) {
  size_t done = 0;
  for (; size - done >= 28; done += 24, in += 24, out += 32) {
    __m128i low = _mm_loadu_si128((const __m128i *)in);
    __m128i high = _mm_loadu_si128((const __m128i *)(in + 12));
    __m256i bytes = _mm256_set_m128i(high, low);
    _mm256_storeu_si256((__m256i *)out, to_characters(split(bytes)));
  }
  return done;
}

/* The 6-bit numbers of 32 characters; `*bad` is not zero where a character is
 * not of the alphabet.
 *
 * Whether it is depends on its high and low half.  Each bit stands for the
 * high halves that refuse the same low halves, and the tables tell which bits
 * a half has: a character is refused when its halves share one.
 *
 *   0x01  2_  all but + and /      0x02  3_  ':' to '?', so all after 9
 *   0x04  4_  and 6_  '@' and '`'  0x08  5_  and 7_  all after Z and z
 *   0x10  every other high half, refused with all low ones
 *
 * The distance from character to number depends on the high half alone, but
 * in 2_, where / takes the unused row of 1_. */
AVX2 static __m256i to_numbers(__m256i characters, __m256i *bad) {
  __m256i refused_high =
      TABLE(16, 16, 1, 2, 4, 8, 4, 8, 16, 16, 16, 16, 16, 16, 16, 16);
  __m256i refused_low = TABLE(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                              0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
  __m256i distances = TABLE(0, 63 - '/', 62 - '+', 52 - '0', 0 - 'A', 0 - 'A',
                            26 - 'a', 26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0);
  __m256i half = _mm256_set1_epi8(15);
  __m256i low = _mm256_and_si256(characters, half);
  __m256i high = _mm256_and_si256(_mm256_srli_epi16(characters, 4), half);
  __m256i slash = _mm256_cmpeq_epi8(characters, _mm256_set1_epi8('/'));
  __m256i rows = _mm256_add_epi8(high, slash);
  *bad = _mm256_and_si256(_mm256_shuffle_epi8(refused_low, low),
                          _mm256_shuffle_epi8(refused_high, high));
  return _mm256_add_epi8(characters, _mm256_shuffle_epi8(distances, rows));
}

/* Joins 32 numbers to 24 bytes, followed by 8 zeros.
 *
 * The numbers a, b, c, d of a group become a << 6 | b and c << 6 | d, then
 * one 24-bit number; its bytes are turned around and moved together, in each
 * lane and then across. */
AVX2 static __m256i join(__m256i numbers) {
  __m256i pairs = _mm256_maddubs_epi16(numbers, _mm256_set1_epi32(0x01400140));
  __m256i groups = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
  __m256i lanes = _mm256_shuffle_epi8(
      groups, TABLE(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
  return _mm256_permutevar8x32_epi32(lanes,
                                     _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
}

/* Decodes the first of `groups` groups, up to a block with a character that
 * is not of the alphabet.  Returns how many.  Each round writes 32 bytes, 24
 * of them to stay: `out` has room for that while 11 groups are left. */
AVX2 static size_t decode_blocks(unsigned char *out, const unsigned char *in,
                                 size_t groups) {
  size_t done = 0;
  for (; groups - done >= 11; done += 8, in += 32, out += 24) {
    __m256i bad;
    __m256i characters = _mm256_loadu_si256((const __m256i *)in);
    __m256i numbers = to_numbers(characters, &bad);
    if (!_mm256_testz_si256(bad, bad))
      break;
    _mm256_storeu_si256((__m256i *)out, join(numbers));
  }
  return done;
}

#else

static int runs_blocks(void) {
  return 0;
}

static size_t encode_blocks(char *out, const unsigned char *in, size_t size) {
  (void)out, (void)in, (void)size;
  return 0;
}

static size_t decode_blocks(unsigned char *out, const unsigned char *in,
                            size_t groups) {
  (void)out, (void)in, (void)groups;
  return 0;
}

#endif

/* Zero only while a test asks for groups alone. */
static int simd = 1;

static int has_blocks(void) {
  return simd && runs_blocks();
}

int lp__base64_use_simd(int on) {
  simd = on;
  return has_blocks();
}

static char *encode_group(char *out, const unsigned char *in) {
  uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
  out[0] = alphabet[v >> 18];
  out[1] = alphabet[v >> 12 & 63];
  out[2] = alphabet[v >> 6 & 63];
  out[3] = alphabet[v & 63];
  return out + 4;
}

char *lp__base64_encode(struct lp__base64 *encoder, char *out,
                        const void *bytes, size_t size) {
  const unsigned char *in = bytes;
  if (encoder->count) {
    unsigned char group[3];
    size_t missing = 3 - encoder->count;
    memcpy(group, encoder->waiting, encoder->count);
    if (size < missing) {
      memcpy(encoder->waiting + encoder->count, in, size);
      encoder->count += (unsigned)size;
      return out;
    }
    memcpy(group + encoder->count, in, missing);
    out = encode_group(out, group);
    in += missing;
    size -= missing;
  }
  if (has_blocks()) {
    size_t done = encode_blocks(out, in, size);
    out += done / 3 * 4;
    in += done;
    size -= done;
  }
  for (; size >= 3; size -= 3, in += 3)
    out = encode_group(out, in);
  memcpy(encoder->waiting, in, size);
  encoder->count = (unsigned)size;
  return out;
}

char *lp__base64_finish(struct lp__base64 *encoder, char *out) {
  unsigned char group[3] = {0, 0, 0};
  unsigned count = encoder->count;
  if (count == 0)
    return out;
  memcpy(group, encoder->waiting, count);
  out = encode_group(out, group);
  out[-1] = '=';
  if (count == 1)
    out[-2] = '=';
  encoder->count = 0;
  return out;
}

/* The last group, with its padding. */
static int decode_last(unsigned char *out, const unsigned char *in,
                       size_t *written) {
  unsigned padding = (in[3] == '=') + (in[3] == '=' && in[2] == '=');
  unsigned c2 = padding > 1 ? 0 : values[in[2]];
  unsigned c3 = padding > 0 ? 0 : values[in[3]];
  unsigned c0 = values[in[0]], c1 = values[in[1]];
  uint32_t v = (uint32_t)c0 << 18 | (uint32_t)c1 << 12 | c2 << 6 | c3;
  if ((c0 | c1 | c2 | c3) & 0x80)
    return -1;
  if ((padding == 1 && (c2 & 3)) || (padding == 2 && (c1 & 15)))
    return -1;
  out[0] = (unsigned char)(v >> 16);
  if (padding < 2)
    out[1] = (unsigned char)(v >> 8);
  if (padding < 1)
    out[2] = (unsigned char)v;
  *written += 3 - padding;
  return 0;
}

int lp__base64_decode(void *out, const char *text, size_t size,
                      size_t *written) {
  const unsigned char *in = (const unsigned char *)text;
  unsigned char *at = out;
  unsigned bad = 0;
  size_t groups = size / 4;
  *written = 0;
  if (size % 4)
    return -1;
  if (size == 0)
    return 0;
  if (has_blocks()) {
    size_t done = decode_blocks(at, in, groups);
    in += done * 4;
    at += done * 3;
    groups -= done;
  }
  for (; groups > 1; groups--, in += 4, at += 3) {
    unsigned c0 = values[in[0]], c1 = values[in[1]];
    unsigned c2 = values[in[2]], c3 = values[in[3]];
    uint32_t v = c0 << 18 | c1 << 12 | c2 << 6 | c3;
    bad |= c0 | c1 | c2 | c3;
    at[0] = (unsigned char)(v >> 16);
    at[1] = (unsigned char)(v >> 8);
    at[2] = (unsigned char)v;
  }
  if (bad & 0x80)
    return -1;
  *written = (size_t)(at - (unsigned char *)out);
  return decode_last(at, in, written);
}
