/*
 * What walking, building and copying Lua values costs through the bare Lua C
 * API: the limit that the codec is measured against. A Lua module for
 * codec.lua beside it; it also brings the clock.
 */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>
#include <time.h>

/* limits.clock() -> seconds */
static int limits_clock(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
  return 1;
}

/* Reads the value at the top, as any encoder has to, and sums up what it saw
 * so that nothing is optimised away.  [-0, +0, m] */
static lua_Integer walk(lua_State *L) {
  size_t size;
  lua_Integer sum = 0;
  switch (lua_type(L, -1)) {
  case LUA_TNUMBER:
    return lua_isinteger(L, -1) ? lua_tointeger(L, -1)
                                : (lua_Integer)lua_tonumber(L, -1);
  case LUA_TSTRING:
    sum = lua_tolstring(L, -1, &size)[0];
    return sum + (lua_Integer)size;
  case LUA_TTABLE:
    luaL_checkstack(L, 4, NULL);
    lua_pushnil(L);           /* t k */
    while (lua_next(L, -2)) { /* t k v */
      sum += walk(L);
      lua_pop(L, 1); /* t k */
      if (lua_type(L, -1) == LUA_TSTRING)
        sum += lua_tolstring(L, -1, &size)[0];
      else
        sum += lua_tointeger(L, -1);
    }
    return sum;
  default:
    return lua_toboolean(L, -1);
  }
}

/* limits.walk(value) -> integer */
static int limits_walk(lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, walk(L));
  return 1;
}

static void push_list(lua_State *L, lua_Integer count, lua_Integer first) {
  lua_createtable(L, (int)count, 0);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_pushinteger(L, first + i);
    lua_rawseti(L, -2, i);
  }
}

/* limits.list(count) -> { 1, 2, ... } */
static int limits_list(lua_State *L) {
  push_list(L, luaL_checkinteger(L, 1), 0);
  return 1;
}

/* limits.lists(rows, columns) -> a list of lists of integers */
static int limits_lists(lua_State *L) {
  lua_Integer rows = luaL_checkinteger(L, 1);
  lua_Integer columns = luaL_checkinteger(L, 2);
  lua_createtable(L, (int)rows, 0);
  for (lua_Integer i = 1; i <= rows; i++) {
    push_list(L, columns, i * columns);
    lua_rawseti(L, -2, i);
  }
  return 1;
}

static void push_key(lua_State *L, const char *key) {
  lua_pushlstring(L, key, strlen(key));
}

/* limits.records(count) -> a list of { id=, x=, y=, name=, seen= } */
static int limits_records(lua_State *L) {
  lua_Integer count = luaL_checkinteger(L, 1);
  lua_createtable(L, (int)count, 0);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_createtable(L, 0, 5);
    push_key(L, "id");
    lua_pushinteger(L, i);
    lua_rawset(L, -3);
    push_key(L, "x");
    lua_pushnumber(L, (lua_Number)i / 2);
    lua_rawset(L, -3);
    push_key(L, "y");
    lua_pushinteger(L, -i);
    lua_rawset(L, -3);
    push_key(L, "name");
    push_key(L, "somebody");
    lua_rawset(L, -3);
    push_key(L, "seen");
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_rawseti(L, -2, i);
  }
  return 1;
}

/* limits.copy(string): what a new string of these bytes costs */
static int limits_copy(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  lua_pushlstring(L, bytes, size);
  return 1;
}

int luaopen_limits(lua_State *L);
int luaopen_limits(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"clock", limits_clock},
      {"walk", limits_walk},
      {"list", limits_list},
      {"lists", limits_lists},
      {"records", limits_records},
      {"copy", limits_copy},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}
