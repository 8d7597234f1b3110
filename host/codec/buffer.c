/* A growing byte buffer in a Lua userdata.  See buffer.h. */
#include "buffer.h"

#include <lauxlib.h>

#include "wire.h"

enum { FIRST_CAPACITY = 1024 };

void lp__buffer_grow(lua_State *L, struct lp__buffer *b, size_t n) {
  size_t capacity = b->capacity ? b->capacity : FIRST_CAPACITY;
  unsigned char *bytes;
  if (n > LP__MAX_SIZE || b->size + n > LP__MAX_SIZE) {
    luaL_error(L, "the value is too large: more than %d MiB",
               (int)(LP__MAX_SIZE >> 20));
  }
  while (capacity - b->size < n)
    capacity *= 2;
  luaL_checkstack(L, 1, NULL);
  bytes = lua_newuserdatauv(L, capacity, 0);
  if (b->size)
    memcpy(bytes, b->bytes, b->size);
  lua_replace(L, b->box);
  b->bytes = bytes;
  b->capacity = capacity;
}

int lp__buffer_writer(lua_State *L, const void *bytes, size_t n, void *buffer) {
  lp__buffer_add(L, buffer, bytes, n);
  return 0;
}
