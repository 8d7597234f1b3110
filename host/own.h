/*
 * What is ours in a Lua state, all of it in one table, which the registry has
 * under the one key "lambdapool": the state may be somebody else's. Fields are
 * known by the address of a variable, or, for the metatables of userdata, by
 * name, so that the libraries that are loaded later (cloud.so) know them, too.
 *
 *   static const char key = 0;
 *   lp__own_set(L, &key);           -- pops a value and keeps it
 *   lp__own_get(L, &key);           -- pushes it again, or nil
 *
 * Everything here is for one call of a user's or so, not for one value of many.
 */
#ifndef LP__OWN_H
#define LP__OWN_H

#include <lauxlib.h>
#include <lua.h>

#define LP__OWN "lambdapool"

/* Pushes the table, made at first use.  [-0, +1, m] */
static inline void lp__own_push(lua_State *L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, LP__OWN) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, LP__OWN);
}

/* Pushes what was kept under the key, or nil. Returns its type. Once there is
 * the table, this needs no memory.  [-0, +1, m] */
static inline int lp__own_get(lua_State *L, const void *key) {
  int type;
  lp__own_push(L);
  type = lua_rawgetp(L, -1, key);
  lua_replace(L, -2);
  return type;
}

/* Keeps the value on top under the key.  [-1, +0, m] */
static inline void lp__own_set(lua_State *L, const void *key) {
  lp__own_push(L);
  lua_insert(L, -2);
  lua_rawsetp(L, -2, key);
  lua_pop(L, 1);
}

/* As luaL_newmetatable: pushes the metatable of that name, and returns 1 when
 * it was made now.  [-0, +1, m] */
static inline int lp__own_metatable(lua_State *L, const char *name) {
  lp__own_push(L);
  if (lua_getfield(L, -1, name) == LUA_TTABLE) {
    lua_replace(L, -2);
    return 0;
  }
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, -1); /* own meta meta */
  lua_setfield(L, -3, name);
  lua_replace(L, -2);
  return 1;
}

/* As luaL_getmetatable: pushes it, or nil.  [-0, +1, m] */
static inline void lp__own_push_metatable(lua_State *L, const char *name) {
  lp__own_push(L);
  lua_getfield(L, -1, name);
  lua_replace(L, -2);
}

/* As luaL_setmetatable: gives it to the value on top.  [-0, +0, m] */
static inline void lp__own_set_metatable(lua_State *L, const char *name) {
  lp__own_push_metatable(L, name);
  lua_setmetatable(L, -2);
}

/* As luaL_testudata.  [-0, +0, m] */
static inline void *lp__own_test(lua_State *L, int index, const char *name) {
  void *userdata = lua_touserdata(L, index);
  if (userdata == NULL || !lua_getmetatable(L, index))
    return NULL;
  lp__own_push_metatable(L, name);
  if (!lua_rawequal(L, -1, -2))
    userdata = NULL;
  lua_pop(L, 2);
  return userdata;
}

/* As luaL_checkudata.  [-0, +0, v] */
static inline void *lp__own_check(lua_State *L, int index, const char *name) {
  void *userdata = lp__own_test(L, index, name);
  luaL_argexpected(L, userdata != NULL, index, name);
  return userdata;
}

/* Whether the state is not ours, but that of a program that has required the
 * Lua module.  [-0, +0, m] */
static inline int lp__own_is_guest(lua_State *L) {
  int guest;
  lp__own_push(L);
  guest = lua_getfield(L, -1, "guest") != LUA_TNIL;
  lua_pop(L, 2);
  return guest;
}

/* Pushes a Lua module of ours, as our own code requires it.  [-0, +1, e] */
static inline void lp__own_require(lua_State *L, const char *name) {
  lp__own_push(L);
  if (lua_getfield(L, -1, "require") == LUA_TNIL) {
    lua_pop(L, 1);
    lua_getglobal(L, "require");
  }
  lua_pushstring(L, name);
  lua_call(L, 1, 1);
  lua_replace(L, -2);
}

#endif
