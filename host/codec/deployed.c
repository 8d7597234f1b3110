/* What a call has used of the modules that a worker has.  See deployed.h. */
#include "deployed.h"

#include <lauxlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../own.h"
#include "reference.h"

/* The registry table: name -> record of the module that was loaded last; the
 * set of records that the call has used; for each module that is being loaded
 * the set of records that it used so far. Where loading failed, that set stays
 * until the load around it ends. */
enum { RECORDS = 1, USED, LOADING };

/* The fields of a record.  HASH: false when the module came with a call, or is
 * not a text.  NEEDS: the set of records that it used while it was loaded. */
enum { NAME = 1, HASH, NEEDS };

static const char registry_key = 0;

/* Pushes the registry table.  [-0, +1, m] */
static void push_home(lua_State *L) {
  int i;
  if (lp__own_get(L, &registry_key) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_createtable(L, LOADING, 0);
  for (i = RECORDS; i <= LOADING; i++) {
    lua_newtable(L);
    lua_rawseti(L, -2, i);
  }
  lua_pushvalue(L, -1);
  lp__own_set(L, &registry_key);
}

static int is_empty(lua_State *L, int index) {
  lua_pushnil(L);
  if (lua_next(L, index) == 0)
    return 1;
  lua_pop(L, 2);
  return 0;
}

void lp__deployed_begin(lua_State *L) {
  int top = lua_gettop(L), i;
  push_home(L);
  for (i = USED; i <= LOADING; i++) {
    lua_rawgeti(L, top + 1, i);
    if (!is_empty(L, top + 2)) {
      lua_newtable(L);
      lua_rawseti(L, top + 1, i);
    }
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
}

lua_Integer lp__deployed_enter(lua_State *L) {
  lua_Integer entered;
  push_home(L);
  lua_rawgeti(L, -1, LOADING);
  entered = (lua_Integer)lua_rawlen(L, -1) + 1;
  lua_newtable(L);
  lua_rawseti(L, -2, entered);
  lua_pop(L, 2);
  return entered;
}

/* Adds the record on top to the set below it. */
static void add(lua_State *L) {
  lua_pushvalue(L, -1);
  lua_pushboolean(L, 1);
  lua_rawset(L, -4);
}

void lp__deployed_use(lua_State *L, int name) {
  int top = lua_gettop(L);
  lua_Integer i;
  name = lua_absindex(L, name);
  push_home(L);
  lua_rawgeti(L, top + 1, RECORDS);
  lua_pushvalue(L, name);
  if (lua_rawget(L, -2) == LUA_TTABLE) { /* home records record */
    lua_rawgeti(L, top + 1, USED);
    lua_pushvalue(L, top + 3);
    add(L);
    lua_rawgeti(L, top + 1, LOADING);
    for (i = (lua_Integer)lua_rawlen(L, -1); i >= 1; i--) {
      lua_rawgeti(L, -1, i);
      lua_pushvalue(L, top + 3);
      add(L);
      lua_pop(L, 2);
    }
  }
  lua_settop(L, top);
}

void lp__deployed_hash(lua_State *L) {
  XXH128_canonical_t hash;
  size_t size;
  const char *text = lua_tolstring(L, -1, &size);
  XXH128_canonicalFromHash(&hash, XXH3_128bits(text, size));
  lua_pushlstring(L, (const char *)hash.digest, sizeof hash.digest);
}

/* Pushes the hash of the module's text, or false.  [-0, +1, m] */
static void push_hash(lua_State *L, int name, int offered) {
  int top = lua_gettop(L);
  lua_pushboolean(L, 0);
  if (!offered && lp__reference_module(L, name) == LP__SHIP_TEXT) {
    lp__deployed_hash(L);
    lua_replace(L, top + 1);
  }
  lua_settop(L, top + 1);
}

void lp__deployed_leave(lua_State *L, lua_Integer entered, int name,
                        int offered) {
  int top = lua_gettop(L);
  lua_Integer i;
  name = lua_absindex(L, name);
  push_home(L);
  lua_rawgeti(L, top + 1, LOADING);
  lua_createtable(L, NEEDS, 0); /* home loading record */
  lua_pushvalue(L, name);
  lua_rawseti(L, top + 3, NAME);
  push_hash(L, name, offered);
  lua_rawseti(L, top + 3, HASH);
  lua_rawgeti(L, top + 2, entered);
  lua_rawseti(L, top + 3, NEEDS);
  for (i = (lua_Integer)lua_rawlen(L, top + 2); i >= entered; i--) {
    lua_pushnil(L);
    lua_rawseti(L, top + 2, i);
  }
  lua_rawgeti(L, top + 1, RECORDS);
  lua_pushvalue(L, name);
  lua_pushvalue(L, top + 3);
  lua_rawset(L, -3);
  lua_settop(L, top);
  lp__deployed_use(L, name);
}

/* Adds the records of the set at `set` to the list at `list`, those that are
 * not in the set of all at `all`; returns its new length.  [-0, +0, m] */
static lua_Integer gather(lua_State *L, int set, int list, int all,
                          lua_Integer n) {
  lua_pushnil(L);
  while (lua_next(L, set)) { /* record true */
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, all) == LUA_TNIL) {
      lua_pushvalue(L, -2);
      lua_rawseti(L, list, ++n);
      lua_pushvalue(L, -2);
      lua_pushboolean(L, 1);
      lua_rawset(L, all);
    }
    lua_pop(L, 1);
  }
  return n;
}

/* Replaces the set of records on top by the list of those and all that they
 * need.  [-1, +1, m] */
static void close_over(lua_State *L) {
  int set = lua_gettop(L);
  lua_Integer i, n;
  lua_newtable(L); /* set list */
  lua_newtable(L); /* set list all */
  n = gather(L, set, set + 1, set + 2, 0);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, set + 1, i);
    lua_rawgeti(L, -1, NEEDS);
    n = gather(L, set + 4, set + 1, set + 2, n);
    lua_settop(L, set + 2);
  }
  lua_pop(L, 1);
  lua_replace(L, set);
}

void lp__deployed_push(lua_State *L) {
  int top = lua_gettop(L);
  lua_Integer i, n, found = 0;
  push_home(L);
  lua_rawgeti(L, top + 1, USED);
  close_over(L);   /* home records */
  lua_newtable(L); /* home records result */
  n = (lua_Integer)lua_rawlen(L, top + 2);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, top + 2, i);
    lua_rawgeti(L, top + 4, NAME);
    lua_rawgeti(L, top + 4, HASH); /* home records result record name hash */
    if (lua_isstring(L, -1) && lua_rawlen(L, -2) <= LP__DEPLOYED_NAME_MAX) {
      lua_rawseti(L, top + 3, found + 2);
      lua_rawseti(L, top + 3, found + 1);
      found += 2;
    }
    lua_settop(L, top + 3);
  }
  if (found == 0)
    lua_pushnil(L);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}
