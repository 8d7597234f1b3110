/*
 * What Lua code in a host may not do to the process: end it, and load C
 * modules, which would find another Lua than ours in it, or none. In a program
 * that is nothing but Lua (lp_command) it may.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <lauxlib.h>

#include <dlfcn.h>

#include "host.h"

/* os.exit(...); upvalues: the host and Lua's own. */
static int guarded_exit(lua_State *L) {
  const lp_host *host = lua_touserdata(L, lua_upvalueindex(1));
  if (!host->commanding)
    return luaL_error(L, "os.exit: the program that this script runs in is "
                         "not the script's to end");
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 0);
  return 0;
}

void lp__guards_install(lua_State *L, lp_host *host) {
  lua_getglobal(L, "os"); /* os */
  lua_pushlightuserdata(L, host);
  lua_getfield(L, -2, "exit");
  lua_pushcclosure(L, guarded_exit, 2);
  lua_setfield(L, -2, "exit");
  lua_pop(L, 1);
}
