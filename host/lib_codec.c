/*
 * The Lua module "lambdapool.codec": dump and load, and the two sides of a
 * call as the pool uses them.  What each function takes and returns stands
 * above it; for those of a call it stands in codec/call.h.
 */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "codec/call.h"
#include "codec/dump.h"
#include "codec/frame.h"
#include "codec/load.h"
#include "codec/reference.h"
#include "codec/source.h"
#include "state.h"

static int dump_protected(lua_State *L) {
  lp__dump_values(L, 1);
  return 1;
}

/* dump(value) -> bytes */
static int dump(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  lp__dump_call(L, dump_protected, 1, 1);
  return 1;
}

/* The only option of load; the caller's typing mistakes are told. */
static int is_trusted(lua_State *L, int index) {
  int trusted;
  if (lua_isnoneornil(L, index))
    return 0;
  luaL_checktype(L, index, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    if (lua_type(L, -2) != LUA_TSTRING ||
        strcmp(lua_tostring(L, -2), "trusted") != 0) {
      lua_pushvalue(L, -2);
      luaL_error(L, "unknown option '%s' of load (there is 'trusted')",
                 luaL_tolstring(L, -1, NULL));
    }
    lua_pop(L, 1);
  }
  lua_pushliteral(L, "trusted");
  lua_rawget(L, index);
  trusted = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return trusted;
}

/* load(bytes [, { trusted = boolean }]) -> value */
static int load(lua_State *L) {
  struct lp__load_options options = {0, 0, 0, 0, 0};
  struct lp__bytes bytes;
  size_t size;
  bytes.at = (const unsigned char *)luaL_checklstring(L, 1, &size);
  bytes.end = bytes.at + size;
  options.trusted = is_trusted(L, 2);
  if (lp__load_values(L, bytes, &options) != 1) {
    return luaL_error(L, "cannot load: these bytes hold no single value");
  }
  return 1;
}

/* Puts the chunk name at index 1 as load takes it, up to a zero. */
static void check_chunk(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  luaL_checktype(L, 2, LUA_TSTRING);
  lua_pushstring(L, lua_tostring(L, 1));
  lua_replace(L, 1);
}

/* remember(name, text[, module]) -> whether that is new: of a chunk that was
 * loaded, and the name of the module that it is */
static int remember(lua_State *L) {
  check_chunk(L);
  luaL_optstring(L, 3, NULL);
  lua_settop(L, 3);
  lua_pushboolean(L, lp__source_remember(L, 1, 2));
  if (!lua_isnil(L, 3))
    lp__reference_note_module(L, 3, 1, 2);
  return 1;
}

/* forget(name, text): what was remembered last */
static int forget(lua_State *L) {
  check_chunk(L);
  lp__source_forget(L, 1, 2);
  return 0;
}

static const luaL_Reg functions[] = {{"dump", dump},
                                     {"load", load},
                                     {"remember", remember},
                                     {"forget", forget},
                                     {"code", lp__call_code},
                                     {"arguments", lp__call_arguments},
                                     {"encode", lp__call_encode},
                                     {"request", lp__call_request},
                                     {"response", lp__call_response},
                                     {"answer", lp__call_answer},
                                     {"kept", lp__call_kept},
                                     {"release", lp__call_release},
                                     {NULL, NULL}};

int luaopen_lambdapool_codec(lua_State *L) {
  luaL_newlib(L, functions);
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, LP__MAX_REQUEST);
  lua_setfield(L, -2, "request");
  lua_pushinteger(L, LP__MAX_RESPONSE);
  lua_setfield(L, -2, "response");
  lua_setfield(L, -2, "limits");
  return 1;
}
