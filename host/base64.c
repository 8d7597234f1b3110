/*
 * Base64 by tables: encoding looks up 12 bits at a time, decoding has a table
 * for each of the four positions of a group, its values shifted in place.
 */
#include "base64.h"

#include <stdint.h>
#include <string.h>

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
