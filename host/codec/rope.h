/*
 * Output in which long strings stand without being copied.
 *
 * Short pieces go into a buffer; a long string is only referred to, and kept
 * alive in a table of anchors, until the whole is made into one string (or
 * base64, or a checksum) at the end.
 */
#ifndef LP__ROPE_H
#define LP__ROPE_H

#include <lua.h>
#include <stdint.h>

#include "buffer.h"

struct lp__segment {
  size_t position; /* in the buffer: the string goes in front of this byte */
  size_t before;   /* bytes in earlier segments */
  size_t size;
  const char *bytes; /* kept alive by the anchor */
};

enum { LP__MAX_SEGMENTS = 64, LP__SEGMENT_FROM = 1 << 15 };

struct lp__rope {
  struct lp__buffer buffer; /* its box is a stack index */
  struct lp__segment segments[LP__MAX_SEGMENTS];
  unsigned segment_count;
  int anchors; /* stack index of a table: segment number -> string */
};

/* Pushes the box and the anchors of a new rope.  [-0, +2, m] */
void lp__rope_begin(lua_State *L, struct lp__rope *rope);

/* Adds the bytes of the string at `index`.  Raises above LP__MAX_SIZE.
 * [-0, +0, e] */
void lp__rope_add_string(lua_State *L, struct lp__rope *rope, int index);

/* How many bytes of long strings stand in front of a position of the buffer. */
size_t lp__rope_before(const struct lp__rope *rope, size_t position);

/* Where the byte at a position of the buffer stands in the whole. */
static inline size_t lp__rope_offset(const struct lp__rope *rope,
                                     size_t position) {
  if (rope->segment_count == 0)
    return position;
  return position + lp__rope_before(rope, position);
}

static inline size_t lp__rope_size(const struct lp__rope *rope) {
  return lp__rope_offset(rope, rope->buffer.size);
}

/* XXH3-64 of everything from the buffer position `from` on. */
uint64_t lp__rope_hash(const struct lp__rope *rope, size_t from, uint64_t seed);

/* Copies everything from `from` on, and from segment number `segment` on. */
void lp__rope_copy(const struct lp__rope *rope, size_t from, unsigned segment,
                   unsigned char *out);

/* Whether everything is these bytes. */
int lp__rope_equals(const struct lp__rope *rope, const void *bytes,
                    size_t size);

/* Pushes everything from `from` on as a string.  [-0, +1, m] */
void lp__rope_push(lua_State *L, const struct lp__rope *rope, size_t from);

/* Pushes `prefix`, everything in base64, and `suffix`.  [-0, +1, m] */
void lp__rope_push_base64(lua_State *L, const struct lp__rope *rope,
                          const char *prefix, const char *suffix);

#endif
