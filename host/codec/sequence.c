/*
 * Whether a table has other keys than 1 to n.  See sequence.h.
 *
 * The C API can tell only by walking all keys with lua_next, which for a list
 * of integers costs as much as dumping it.  A Lua 5.4 table knows: its field
 * `lastfree` (lobject.h, ltable.c: isdummy) is NULL exactly when it has no
 * hash part.  That field is at the same place in every 5.4 release, but it is
 * not part of the API, so a few tables of known shape are looked at first;
 * where they do not look as expected, all keys are walked.
 */
#include "sequence.h"

#include <string.h>

#include "../own.h"

enum { LASTFREE = 4 * sizeof(void *) }; /* next, bytes, array, node: before */

static const char registry_key = 0;

static int has_no_hash(lua_State *L, int index) {
  const char *table = lua_topointer(L, index);
  void *lastfree;
  memcpy(&lastfree, table + LASTFREE, sizeof lastfree);
  return lastfree == NULL;
}

/* Whether the field tells tables with a hash part from those without. */
static int looks_as_expected(lua_State *L) {
  int ok, top = lua_gettop(L), i;
  if (LUA_VERSION_NUM != 504 || lua_version(L) != 504)
    return 0;
  lua_createtable(L, 0, 0);
  ok = has_no_hash(L, -1);
  lua_createtable(L, 3, 0);
  for (i = 1; i <= 3; i++) {
    lua_pushinteger(L, i);
    lua_rawseti(L, -2, i);
  }
  ok = ok && has_no_hash(L, -1);
  lua_pushinteger(L, 1);
  lua_setfield(L, -2, "x");
  ok = ok && !has_no_hash(L, -1);
  for (i = 1; i <= 9; i++) { /* 1, 2, 4 and 8 keys, and in between */
    lua_createtable(L, 0, i);
    ok = ok && !has_no_hash(L, -1);
    lua_createtable(L, i, 0);
    ok = ok && has_no_hash(L, -1);
  }
  lua_settop(L, top);
  return ok;
}

void lp__sequence_open(lua_State *L) {
  lua_pushboolean(L, looks_as_expected(L));
  lp__own_set(L, &registry_key);
}

int lp__sequence_is_quick(lua_State *L) {
  int quick;
  lp__own_get(L, &registry_key);
  quick = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return quick;
}

/* Walks all keys: as many as there are elements means there are no others. */
static int walk(lua_State *L, int index, size_t present) {
  size_t keys = 0;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    if (++keys > present) {
      lua_pop(L, 1);
      return 0;
    }
  }
  return 1;
}

int lp__is_sequence(lua_State *L, int quick, int index, size_t n,
                    size_t present) {
  if (!quick)
    return walk(L, index, present);
  if (!has_no_hash(L, index))
    return 0;
  if (n == 0) {
    lua_pushnil(L);
  } else { /* an array element, so lua_next goes on right behind it */
    lua_pushinteger(L, (lua_Integer)n);
  }
  if (!lua_next(L, index))
    return 1;
  lua_pop(L, 2);
  return 0;
}
