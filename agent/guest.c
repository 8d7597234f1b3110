/*
 * The module "lambdapool" inside a task.  It has dump and load as everywhere;
 * a task that asks for a pool or an executor is told that there is none, where
 * it would otherwise learn only that a module is missing.
 */
#include "guest.h"

#include <lauxlib.h>

#include "host/lambdapool.h"
#include "host/state.h"

/* pool{...} and executor{...}; upvalue 1 is the name. */
static int refuse(lua_State *L) {
  return luaL_error(L,
                    "a task cannot have %s of its own\n"
                    "  return what is to be done next, and let the caller "
                    "submit it",
                    lua_tostring(L, lua_upvalueindex(1)));
}

static void set_refusal(lua_State *L, const char *field, const char *what) {
  lua_pushstring(L, what);
  lua_pushcclosure(L, refuse, 1);
  lua_setfield(L, -2, field);
}

static int open_module(lua_State *L) {
  lua_createtable(L, 0, 5);
  luaL_requiref(L, "lambdapool.codec", luaopen_lambdapool_codec, 0);
  lua_getfield(L, -1, "dump");
  lua_setfield(L, -3, "dump");
  lua_getfield(L, -1, "load");
  lua_setfield(L, -3, "load");
  lua_pop(L, 1);
  lua_pushliteral(L, LP_VERSION);
  lua_setfield(L, -2, "version");
  set_refusal(L, "pool", "a pool");
  set_refusal(L, "executor", "an executor");
  return 1;
}

void lp__guest_open(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open_module);
  lua_setfield(L, -2, "lambdapool");
  lua_pop(L, 1);
}
