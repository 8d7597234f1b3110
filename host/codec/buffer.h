/*
 * A growing byte buffer whose memory is a Lua userdata.
 *
 * The userdata stands at a fixed stack index, so the bytes cannot leak when
 * an error is raised, and running out of memory is Lua's own error, after its
 * own emergency collection.
 */
#ifndef LP__BUFFER_H
#define LP__BUFFER_H

#include <lua.h>
#include <stddef.h>
#include <string.h>

struct lp__buffer {
  unsigned char *bytes; /* borrowed from the userdata; NULL at first, or memory
                         * of the owner's, which is left for the userdata */
  size_t size;
  size_t capacity;
  int box; /* stack index of the userdata */
};

/* Makes room for `n` more bytes; raises above LP__MAX_SIZE.  [-0, +0, e] */
void lp__buffer_grow(lua_State *L, struct lp__buffer *b, size_t n);

static inline unsigned char *
lp__buffer_reserve(lua_State *L, struct lp__buffer *b, size_t n) {
  if (b->capacity - b->size < n)
    lp__buffer_grow(L, b, n);
  return b->bytes + b->size;
}

static inline void lp__buffer_add(lua_State *L, struct lp__buffer *b,
                                  const void *bytes, size_t n) {
  if (n == 0)
    return;
  memcpy(lp__buffer_reserve(L, b, n), bytes, n);
  b->size += n;
}

/* A lua_Writer whose context is a buffer. */
int lp__buffer_writer(lua_State *L, const void *bytes, size_t n, void *buffer);

#endif
