/*
 * The Lua module "lambdapool.json.native"; lua/lambdapool/json.lua says what
 * its functions do.
 *
 *   decode(text) -> value; raises what is wrong
 *   encode(value) -> text, members sorted; raises what cannot be written
 *   check(text) -> true | nil, message
 *   array(table) -> the table, marked
 */
#include <lauxlib.h>
#include <lua.h>

#include "json.h"
#include "json_check.h"
#include "lambdapool.h"
#include "libs.h"

static int json_decode(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  lp__json_decode(L, text, size);
  return 1;
}

static int json_encode(lua_State *L) {
  struct lp__buffer out = {NULL, 0, 0, 2};
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  lua_pushnil(L); /* the place of the buffer */
  lp__json_encode_sorted(L, 1, &out);
  lua_pushlstring(L, (const char *)out.bytes, out.size);
  return 1;
}

static int json_check(lua_State *L) {
  struct lp__json_problem problem;
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  if (lp__json_check(text, size, LP__JSON_UTF8, &problem) != LP_OK) {
    lua_pushnil(L);
    lua_pushstring(L, problem.message);
    return 2;
  }
  lua_pushboolean(L, 1);
  return 1;
}

static int json_array(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lp__json_mark_array(L);
  return 1;
}

static const luaL_Reg functions[] = {{"decode", json_decode},
                                     {"encode", json_encode},
                                     {"check", json_check},
                                     {"array", json_array},
                                     {NULL, NULL}};

int luaopen_lambdapool_json(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
