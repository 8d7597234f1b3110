/*
 * The tables of the standard library.  See libraries.h.
 *
 * A worker puts them back before each call, so looking must be quick: as long
 * as nobody changes a table, lua_next goes through it in the same order, and
 * the addresses of its values are the same.  Only where they are not, fields
 * are compared by name.
 */
#include "libraries.h"

#include <lauxlib.h>

#include "../own.h"

const char *const lp__libraries[] = {"coroutine", "debug",   "io",     "math",
                                     "os",        "package", "string", "table",
                                     "utf8",      NULL};

enum { LIBRARIES = 9, VALUES = 64 /* more of a library are not looked at */ };

/* Its user value is a list: library, copy, library, copy, ... */
struct libraries {
  size_t counts[LIBRARIES];
  const void *values[LIBRARIES][VALUES];
};

static const char registry_key = 0;

/* Notes the values of the table on top, in the order of lua_next. */
static void note(lua_State *L, struct libraries *l, int i) {
  size_t n = 0;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    if (n < VALUES)
      l->values[i][n] = lua_topointer(L, -1);
    n++;
    lua_pop(L, 1);
  }
  l->counts[i] = n;
}

/* Whether the table on top is as noted. */
static int is_same(lua_State *L, const struct libraries *l, int i) {
  size_t n = 0;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    int same = n < l->counts[i] &&
               (n >= VALUES || lua_topointer(L, -1) == l->values[i][n]);
    lua_pop(L, 1);
    if (!same) {
      lua_pop(L, 1);
      return 0;
    }
    n++;
  }
  return n == l->counts[i];
}

/* Makes the table at index `to` equal to the one at `from`. */
static void copy(lua_State *L, int from, int to) {
  lua_pushnil(L);
  while (lua_next(L, to)) { /* key value */
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, from) == LUA_TNIL) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, to); /* clearing a field during a walk is allowed */
    } else {
      lua_pop(L, 1);
    }
  }
  lua_pushnil(L);
  while (lua_next(L, from)) { /* key value */
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, to);
  }
}

void lp__libraries_open(lua_State *L) {
  struct libraries *l = lua_newuserdatauv(L, sizeof *l, 1);
  int top = lua_gettop(L), i;
  lua_createtable(L, 2 * LIBRARIES, 0); /* libraries list */
  for (i = 0; i < LIBRARIES; i++) {
    lua_getglobal(L, lp__libraries[i]); /* libraries list library */
    note(L, l, i);
    lua_newtable(L);
    copy(L, top + 2, top + 3);
    lua_rawseti(L, top + 1, 2 * i + 2);
    lua_rawseti(L, top + 1, 2 * i + 1);
  }
  lua_setiuservalue(L, top, 1);
  lp__own_set(L, &registry_key);
}

void lp__libraries_adopt(lua_State *L) {
  int copies = lua_gettop(L), i;
  lua_newuserdatauv(L, 0, 1);
  lua_createtable(L, 2 * LIBRARIES, 0); /* copies libraries list */
  for (i = 0; i < LIBRARIES; i++) {
    lua_getfield(L, copies, lp__libraries[i]);
    lua_rawseti(L, copies + 2, 2 * i + 2);
  }
  lua_setiuservalue(L, copies + 1, 1);
  lp__own_set(L, &registry_key);
  lua_pop(L, 1);
}

void lp__libraries_push_copy(lua_State *L, int i) {
  lp__own_get(L, &registry_key);
  lua_getiuservalue(L, -1, 1);
  lua_rawgeti(L, -1, 2 * i + 2);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

void lp__libraries_reset(lua_State *L) {
  struct libraries *l;
  int top = lua_gettop(L), i;
  lp__own_get(L, &registry_key);
  l = lua_touserdata(L, top + 1);
  lua_getiuservalue(L, top + 1, 1); /* libraries list */
  for (i = 0; i < LIBRARIES; i++) {
    lua_rawgeti(L, top + 2, 2 * i + 1);
    if (!is_same(L, l, i)) {
      lua_rawgeti(L, top + 2, 2 * i + 2); /* ... library copy */
      copy(L, top + 4, top + 3);
      lua_settop(L, top + 3);
      note(L, l, i);
    }
    lua_settop(L, top + 2);
  }
  lua_settop(L, top);
}
