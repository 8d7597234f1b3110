/*
 * The modules that a body needs, written behind its values: their source text,
 * or their loader.  What those require is found on the way.  See walk.h.
 */
#include <lauxlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache.h"
#include "names.h"
#include "prototype.h"
#include "reference.h"
#include "source.h"
#include "walk.h"
#include "wire.h"

static const char names_key = 0;

static int is_equal(const char *key, size_t size, const void *wanted) {
  const struct lp__bytes *binary = wanted;
  return size == (size_t)(binary->end - binary->at) &&
         memcmp(key, binary->at, size) == 0;
}

void lp__need_module(lua_State *L, struct lp__dumper *d, int index) {
  index = lua_absindex(L, index);
  lua_pushvalue(L, index);
  if (lua_rawget(L, d->modules) == LUA_TNIL) {
    lua_pushvalue(L, index);
    lua_pushboolean(L, 1);
    lua_rawset(L, d->modules);
    lua_pushvalue(L, index);
    lua_rawseti(L, d->modules, (lua_Integer)lua_rawlen(L, d->modules) + 1);
  }
  lua_pop(L, 1);
}

/* Pushes what the binary chunk names, or false; of one that cannot be read that
 * is nothing. */
static void push_names(lua_State *L, struct lp__bytes binary) {
  struct lp__proto main;
  if (lp__proto_main(binary.at, (size_t)(binary.end - binary.at), &main) == 0) {
    lp__names_push(L, &main);
  } else {
    lua_pushboolean(L, 0);
  }
}

/* Pushes the same for the binary chunk on top, which is often one of those that
 * were looked at before. */
static void push_known_names(lua_State *L) {
  struct lp__cache_key key = {0, is_equal, NULL};
  struct lp__bytes binary;
  size_t size;
  binary.at = (const unsigned char *)lua_tolstring(L, -1, &size);
  binary.end = binary.at + size;
  key.hash = XXH3_64bits(binary.at, size);
  key.wanted = &binary;
  if (lp__cache_get(L, &names_key, &key))
    return;
  push_names(L, binary); /* binary names */
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -2);
  lp__cache_add(L, &names_key, &key, 2 * size);
}

/* Adds what the module's text (on top) requires to the queue. */
static void need_dependencies(lua_State *L, struct lp__dumper *d) {
  int top = lua_gettop(L);
  lua_Integer i, n;
  if (lp__source_compile_cached(L, top)) {
    push_known_names(L); /* text binary names */
    n = lua_istable(L, -1) ? (lua_Integer)lua_rawlen(L, -1) : 0;
    for (i = 2; i < n; i += 3) {
      lua_rawgeti(L, top + 2, i);
      if (lua_tointeger(L, -1) == LP__NAME_REQUIRE_FIELD) {
        lua_rawgeti(L, top + 2, i + 1);
        lp__need_module(L, d, -1);
      }
      lua_settop(L, top + 2);
    }
  }
  lua_settop(L, top);
}

/* Writes the loader on top, by its code: by name it would be a field of a
 * module that is not loaded yet when this one is. */
static void write_loader(lua_State *L, struct lp__dumper *d) {
  if (lp__map_find(&d->seen, lua_topointer(L, -1)) == NULL) {
    d->by_code = 1;
    lp__open_function(L, d);
    d->by_code = 0;
    lp__write_open(L, d);
  } else {
    lp__write_all(L, d);
  }
}

/* Writes one module of the queue, its name on top. */
static void write_module(lua_State *L, struct lp__dumper *d) {
  int name = lua_gettop(L);
  switch (lp__reference_module(L, name)) {
  case LP__SHIP_TEXT: /* name chunk text */
    lp__emit_byte(L, d, LP__MODULE_TEXT);
    lp__emit_string(L, d, name);
    lp__emit_string(L, d, name + 1);
    lp__emit_string(L, d, name + 2);
    need_dependencies(L, d);
    break;
  case LP__SHIP_LOADER: /* name loader */
    lp__emit_byte(L, d, LP__MODULE_LOADER);
    lp__emit_string(L, d, name);
    write_loader(L, d);
    break;
  case LP__SHIP_CHANGED: /* name chunk */
    luaL_error(L,
               "cannot send module '%s': %s has changed on disk since it was "
               "loaded",
               lua_tostring(L, name), lua_tostring(L, name + 1) + 1);
    break;
  default:
    break;
  }
  lua_settop(L, name);
}

void lp__write_modules(lua_State *L, struct lp__dumper *d) {
  lua_Integer i;
  for (i = 1; i <= (lua_Integer)lua_rawlen(L, d->modules) && !d->restart; i++) {
    lua_rawgeti(L, d->modules, i);
    write_module(L, d);
    lua_pop(L, 1);
  }
  lp__emit_byte(L, d, LP__END);
}
