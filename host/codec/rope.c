/* Output in which long strings stand without being copied.  See rope.h. */
#include "rope.h"

#include <lauxlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../base64.h"
#include "wire.h"

void lp__rope_begin(lua_State *L, struct lp__rope *rope) {
  memset(&rope->buffer, 0, sizeof rope->buffer);
  rope->segment_count = 0;
  luaL_checkstack(L, 2, NULL);
  lua_pushnil(L);
  rope->buffer.box = lua_gettop(L);
  lua_newtable(L);
  rope->anchors = lua_gettop(L);
}

void lp__rope_add_string(lua_State *L, struct lp__rope *rope, int index) {
  size_t size;
  const char *bytes = lua_tolstring(L, index, &size);
  struct lp__segment *s = &rope->segments[rope->segment_count];
  if (size < LP__SEGMENT_FROM || rope->segment_count == LP__MAX_SEGMENTS) {
    lp__buffer_add(L, &rope->buffer, bytes, size);
    return;
  }
  if (size > LP__MAX_SIZE || lp__rope_size(rope) + size > LP__MAX_SIZE) {
    luaL_error(L, "the value is too large: more than %d MiB",
               (int)(LP__MAX_SIZE >> 20));
  }
  s->position = rope->buffer.size;
  s->before = rope->segment_count ? s[-1].before + s[-1].size : 0;
  s->size = size;
  s->bytes = bytes;
  lua_pushvalue(L, index);
  lua_rawseti(L, rope->anchors, (lua_Integer)++rope->segment_count);
}

size_t lp__rope_before(const struct lp__rope *rope, size_t position) {
  unsigned low = 0, high = rope->segment_count;
  while (low < high) { /* the first segment behind the position */
    unsigned middle = (low + high) / 2;
    if (rope->segments[middle].position <= position) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0)
    return 0;
  return rope->segments[low - 1].before + rope->segments[low - 1].size;
}

/* Walks the pieces from position `from` on. */
struct piece {
  const void *bytes;
  size_t size;
};

struct walk {
  const struct lp__rope *rope;
  size_t position;
  unsigned segment;
  int in_segment; /* the segment's bytes come next */
};

static struct walk walk_from(const struct lp__rope *rope, size_t from) {
  struct walk w = {rope, from, 0, 0};
  while (w.segment < rope->segment_count &&
         rope->segments[w.segment].position < from) {
    w.segment++;
  }
  return w;
}

static int next_piece(struct walk *w, struct piece *piece) {
  const struct lp__rope *rope = w->rope;
  const struct lp__segment *s = &rope->segments[w->segment];
  if (w->in_segment) {
    piece->bytes = s->bytes;
    piece->size = s->size;
    w->in_segment = 0;
    w->segment++;
    return 1;
  }
  piece->bytes = rope->buffer.bytes + w->position;
  if (w->segment < rope->segment_count) {
    piece->size = s->position - w->position;
    w->position = s->position;
    w->in_segment = 1;
    return 1;
  }
  piece->size = rope->buffer.size - w->position;
  w->position = rope->buffer.size;
  return piece->size > 0;
}

uint64_t lp__rope_hash(const struct lp__rope *rope, size_t from,
                       uint64_t seed) {
  struct walk w = walk_from(rope, from);
  struct piece piece;
  XXH3_state_t state;
  if (w.segment == rope->segment_count) {
    return XXH3_64bits_withSeed(rope->buffer.bytes + from,
                                rope->buffer.size - from, seed);
  }
  XXH3_INITSTATE(&state);
  XXH3_64bits_reset_withSeed(&state, seed);
  while (next_piece(&w, &piece)) {
    XXH3_64bits_update(&state, piece.bytes, piece.size);
  }
  return XXH3_64bits_digest(&state);
}

void lp__rope_copy(const struct lp__rope *rope, size_t from, unsigned segment,
                   unsigned char *out) {
  struct walk w = {rope, from, segment, 0};
  struct piece piece;
  while (next_piece(&w, &piece)) {
    memcpy(out, piece.bytes, piece.size);
    out += piece.size;
  }
}

int lp__rope_equals(const struct lp__rope *rope, const void *bytes,
                    size_t size) {
  struct walk w = walk_from(rope, 0);
  struct piece piece;
  const char *at = bytes;
  if (size != lp__rope_size(rope))
    return 0;
  while (next_piece(&w, &piece)) {
    if (memcmp(at, piece.bytes, piece.size) != 0)
      return 0;
    at += piece.size;
  }
  return 1;
}

void lp__rope_push(lua_State *L, const struct lp__rope *rope, size_t from) {
  struct walk w = walk_from(rope, from);
  struct piece piece;
  int n = 0;
  luaL_checkstack(L, 2 * LP__MAX_SEGMENTS + 4, NULL);
  for (;;) {
    int is_segment = w.in_segment;
    unsigned segment = w.segment;
    if (!next_piece(&w, &piece))
      break;
    if (is_segment) {
      lua_rawgeti(L, rope->anchors, (lua_Integer)segment + 1);
    } else {
      lua_pushlstring(L, piece.bytes, piece.size);
    }
    n++;
  }
  lua_concat(L, n);
}

void lp__rope_push_base64(lua_State *L, const struct lp__rope *rope,
                          const char *prefix, const char *suffix) {
  struct walk w = walk_from(rope, 0);
  struct lp__base64 encoder = {{0}, 0};
  struct piece piece;
  luaL_Buffer b;
  size_t head = strlen(prefix), tail = strlen(suffix);
  char *start = luaL_buffinitsize(
      L, &b, head + lp__base64_size(lp__rope_size(rope)) + tail);
  char *at = start;
  memcpy(at, prefix, head);
  at += head;
  while (next_piece(&w, &piece)) {
    at = lp__base64_encode(&encoder, at, piece.bytes, piece.size);
  }
  at = lp__base64_finish(&encoder, at);
  memcpy(at, suffix, tail);
  luaL_pushresultsize(&b, (size_t)(at - start) + tail);
}
