/* A Lua state as every lambdapool program has it.  See state.h. */
#include "state.h"

#include <lauxlib.h>
#include <lualib.h>

#include "codec/libraries.h"
#include "codec/offered.h"
#include "codec/reference.h"
#include "codec/sequence.h"
#include "lib_load.h"

int luaopen_cjson(lua_State *L); /* lua-cjson */

/* Preloading, so that programs which use no JSON do not pay for it. */
static void preload_json(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_cjson);
  lua_setfield(L, -2, "cjson");
  lua_pop(L, 1);
}

/* luaL_Buffer registers the metatable of its boxes at first use, in two steps:
 * running out of memory between them would break every later buffer. */
static void prepare_buffers(lua_State *L) {
  luaL_Buffer buffer;
  luaL_buffinitsize(L, &buffer, LUAL_BUFFERSIZE + 1);
  luaL_pushresultsize(&buffer, 0);
  lua_pop(L, 1);
}

void lp__state_open_libraries(lua_State *L) {
  luaL_openlibs(L);
  prepare_buffers(L);
  preload_json(L);
}

void lp__state_open_rest(lua_State *L) {
  lp__load_open(L);
  lp__offered_open(L);
  lp__libraries_open(L);
  lp__reference_open(L);
  lp__sequence_open(L);
}

int lp__state_open(lua_State *L) {
  lp__state_open_libraries(L);
  lp__state_open_rest(L);
  return 0;
}

void lp__state_reset(lua_State *L) {
  lp__reference_reset(L);
  lp__libraries_reset(L);
  lp__offered_set_globals(L);
}
