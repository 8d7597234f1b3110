/*
 * The wire format: what the bytes of a dump mean.
 *
 *   dump     = "\xC7LP" version flags check body
 *   version  = 0x01
 *   flags    = bit 0: the body is  varint(size) zstd-frame  instead of plain
 *   check    = 8 bytes, XXH3-64 of everything after it (little-endian)
 *   body     = varint(n) value{n} module* END
 *   module   = MODULE_TEXT string(name) string(chunk name) string(text)
 *            | MODULE_LOADER string(name) value
 *
 * All numbers are little-endian; a varint is LEB128, at most 10 bytes.  A
 * value begins with a tag byte.  Tags with the KEPT bit mark what a later
 * REF points to; the loader remembers only those.  A REF gives the distance
 * in bytes from its own tag back to the tag it means, so nothing is numbered
 * and values that are used once cost nothing extra.
 *
 *   0x80 | i             the integer i, 0 to 127
 *   0x40 | n             string of n bytes, 0 to 31  (0x60 | n when kept)
 *   INT                  zigzag varint
 *   FLOAT                8 bytes, IEEE 754
 *   STRING               varint(n) bytes
 *   TABLE                varint(n) value{n} hint [(key value)* END]
 *                        hint: number of keys for presizing, see wire_hint;
 *                        0 means that no pairs and no END follow
 *   TABLE_META           like TABLE, then the metatable (a value)
 *   FUNCTION             proto varint(n) cell{n} varint(g) (name value){g}
 *                        the g pairs are globals that the function names
 *   proto                varint(distance) of an earlier one, or 0 then
 *                        chunk varint(depth) varint(index){depth}
 *   chunk                varint(distance) of an earlier one, or 0 then
 *                        string(name) varint(newlines) string(text): the
 *                        text stands behind so many newlines in its file
 *   cell                 CELL value | CELL_REF varint(distance)
 *   REF                  varint(distance)
 *   GLOBALS              the environment of the payload
 *   STANDARD             string: "string.format", "io.stdout"
 *   MODULE               string: the value of require(name)
 *   MODULE_FIELD         string string: a field of it
 *   REBUILD              value(function) varint(n) value{n}
 *   ORIGIN               varint(dump) varint(key): a table or function that
 *                        the receiver has from another dump of the same call;
 *                        key is twice the offset of its tag there, plus one
 *                        when only a metatable may be referred to so
 *   NULL_POINTER         cjson.null
 *
 * where string = varint(n) bytes.
 */
#ifndef LP__WIRE_H
#define LP__WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum lp__tag {
  LP__NIL = 0x00,
  LP__FALSE = 0x01,
  LP__TRUE = 0x02,
  LP__INT = 0x03,
  LP__FLOAT = 0x04,
  LP__TABLE = 0x10,
  LP__TABLE_META = 0x12,
  LP__FUNCTION = 0x14,
  LP__CELL = 0x16,
  LP__CELL_REF = 0x18,
  LP__REF = 0x19,
  LP__END = 0x1a,
  LP__GLOBALS = 0x1b,
  LP__STANDARD = 0x1c,
  LP__MODULE = 0x1d,
  LP__MODULE_FIELD = 0x1e,
  LP__ORIGIN = 0x1f,
  LP__STRING = 0x20,
  LP__REBUILD = 0x22,
  LP__NULL_POINTER = 0x24,
  LP__MODULE_TEXT = 0x25,
  LP__MODULE_LOADER = 0x27,
  LP__SHORT_STRING = 0x40,
  LP__SMALL_INT = 0x80
};

enum {
  LP__KEPT = 0x01,              /* on even tags below SHORT_STRING */
  LP__SHORT_STRING_KEPT = 0x20, /* on SHORT_STRING tags */
  LP__SHORT_STRING_MAX = 31,
  LP__SMALL_INT_MAX = 127,
  LP__VARINT_MAX = 10,
  LP__HEADER_SIZE = 13, /* magic, version, flags, check */
  LP__VERSION = 1,
  LP__COMPRESSED = 0x01
};

#define LP__MAGIC "\xC7LP"

/* Limits that keep hostile bytes and runaway values within bounds. */
#define LP__MAX_SIZE     ((size_t)1 << 30) /* of a dump, and of its plain body */
#define LP__MAX_DEPTH    200000            /* of nested containers */
#define LP__MAX_NEWLINES (1 << 18)         /* in front of a slice */
#define LP__MAX_PATH     250               /* of nested functions in a chunk */

/* Writes a varint at `out` (LP__VARINT_MAX bytes of room).  Returns the end. */
static inline unsigned char *lp__put_varint(unsigned char *out, uint64_t v) {
  while (v >= 0x80) {
    *out++ = (unsigned char)(v | 0x80);
    v >>= 7;
  }
  *out++ = (unsigned char)v;
  return out;
}

/* Reads a varint.  Returns the byte behind it, or NULL when it is cut off or
 * does not fit 64 bits. */
static inline const unsigned char *
lp__get_varint(const unsigned char *at, const unsigned char *end, uint64_t *v) {
  uint64_t value = 0;
  unsigned shift;
  for (shift = 0; at < end && shift < 64; shift += 7) {
    unsigned char byte = *at++;
    if (shift == 63 && byte > 1)
      return NULL;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *v = value;
      return at;
    }
  }
  return NULL;
}

static inline uint64_t lp__zigzag(int64_t i) {
  return ((uint64_t)i << 1) ^ (uint64_t)(i >> 63);
}

static inline int64_t lp__unzigzag(uint64_t u) {
  return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}

static inline void lp__put_u64(unsigned char *out, uint64_t v) {
  int i;
  for (i = 0; i < 8; i++)
    out[i] = (unsigned char)(v >> (8 * i));
}

static inline uint64_t lp__get_u64(const unsigned char *in) {
  uint64_t v = 0;
  int i;
  for (i = 0; i < 8; i++)
    v |= (uint64_t)in[i] << (8 * i);
  return v;
}

static inline void lp__put_u32(unsigned char *out, uint32_t v) {
  int i;
  for (i = 0; i < 4; i++)
    out[i] = (unsigned char)(v >> (8 * i));
}

static inline uint32_t lp__get_u32(const unsigned char *in) {
  uint32_t v = 0;
  int i;
  for (i = 0; i < 4; i++)
    v |= (uint32_t)in[i] << (8 * i);
  return v;
}

static inline void lp__put_double(unsigned char *out, double d) {
  uint64_t bits;
  memcpy(&bits, &d, sizeof bits);
  lp__put_u64(out, bits);
}

static inline double lp__get_double(const unsigned char *in) {
  uint64_t bits = lp__get_u64(in);
  double d;
  memcpy(&d, &bits, sizeof d);
  return d;
}

/* What sender and receiver of a call both know a table or function of a dump
 * by, see ORIGIN. */
static inline uint64_t lp__origin_key(size_t offset, int only_metatable) {
  return (uint64_t)offset << 1 | (only_metatable ? 1 : 0);
}

/* Keys of metatables: a table that has one may be a class. */
static inline int lp__is_class_key(const char *key) {
  return key[0] == '_' && key[1] == '_';
}

/* The hint byte: 0 to 200 pairs exactly, more as 200 + log2. */
enum { LP__HINT_EXACT = 200 };

static inline unsigned char lp__hint_of(size_t pairs) {
  unsigned char hint = LP__HINT_EXACT;
  if (pairs <= LP__HINT_EXACT)
    return (unsigned char)pairs;
  while (pairs > 1) {
    pairs >>= 1;
    hint++;
  }
  return hint;
}

static inline size_t lp__hint_pairs(unsigned char hint) {
  if (hint <= LP__HINT_EXACT)
    return hint;
  return (size_t)1 << (hint - LP__HINT_EXACT);
}

#endif
