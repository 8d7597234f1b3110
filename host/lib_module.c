/*
 * The Lua module for a Lua 5.4 of somebody else's: `require "lambdapool"` in
 * lua5.4, or in the Lua of a game. It links no Lua and shows nothing but
 * luaopen_lambdapool; the functions of Lua are those of the program.
 *
 * There we are a guest: no globals, nothing in package but package.loaded what
 * require puts there, nothing in the registry but the one key of own.h, no
 * extra space, no hooks. Our own Lua code has a `require` and globals that
 * nobody else sees, with the functions of a fresh state in them.
 */
#define _GNU_SOURCE /* secure_getenv */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "codec/sequence.h"
#include "codec/standard.h"
#include "lambdapool.h"
#include "libs.h"
#include "own.h"
#include "own_modules.h"
#include "state.h"

int luaopen_cjson(lua_State *L); /* lua-cjson */
LP_API int luaopen_lambdapool(lua_State *L);

/* --- our own modules ----------------------------------------------------- */

static const luaL_Reg libraries[] = {
    {LP__OWN_NAME ".codec", luaopen_lambdapool_codec},
    {LP__OWN_NAME ".workers", luaopen_lambdapool_workers},
    {LP__OWN_NAME ".system", luaopen_lambdapool_system},
    {LP__OWN_NAME ".parts", luaopen_lambdapool_parts},
    {LP__OWN_NAME ".json.native", luaopen_lambdapool_json},
    {LP__OWN_NAME ".command.native", luaopen_lambdapool_command},
    {"cjson", luaopen_cjson},
    {NULL, NULL}};

/* Pushes the function that makes the module; raises when there is none.
 * [-0, +1, e] */
static void push_loader(lua_State *L, const char *name, const char *folder,
                        int globals) {
  const luaL_Reg *library = libraries;
  int status;
  while (library->name != NULL && strcmp(library->name, name) != 0)
    library++;
  if (library->name != NULL) {
    lua_pushcfunction(L, library->func);
    return;
  }
  status = lp__own_load(L, name, folder);
  if (status == LUA_ERRSYNTAX && folder == NULL)
    luaL_error(L,
               "cannot load lambdapool: it was compiled for another Lua 5.4 "
               "than this one (%s)\n  build it again with this one",
               lua_tostring(L, -1));
  if (status != LUA_OK || !lua_isfunction(L, -1))
    lua_error(L);
  lua_pushvalue(L, globals);
  lua_setupvalue(L, -2, 1);
}

/* The require of our own code. Its upvalues are the modules by name, their
 * globals, and the folder to read them from, or nil. */
static int require_own(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_settop(L, 1);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
    return 1;
  push_loader(L, name, lua_tostring(L, lua_upvalueindex(3)),
              lua_upvalueindex(2));
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, -2);
  lua_rawset(L, lua_upvalueindex(1));
  return 1;
}

/* Pushes it and makes it a global of theirs. The globals are on top, and are
 * replaced.  [-1, +1, m] */
static void push_require(lua_State *L) {
  int globals = lua_gettop(L);
  lua_newtable(L);
  lua_pushvalue(L, globals);
  lua_pushstring(L, secure_getenv("LAMBDAPOOL_LUA"));
  lua_pushcclosure(L, require_own, 3);
  lua_pushvalue(L, -1);
  lua_setfield(L, globals, "require");
  lua_replace(L, globals);
}

/* --- the state ----------------------------------------------------------- */

/* Its address says whose the table of own.h is. */
static const char owner;

/* Whether nothing of lambdapool is in the state. Raises when that is of another
 * copy: the two would take each other's userdata for their own. */
static int is_new(lua_State *L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, LP__OWN) == LUA_TNIL) {
    lua_pop(L, 1);
    return 1;
  }
  if (!lua_istable(L, -1) || lua_getfield(L, -1, "owner") == LUA_TNIL ||
      lua_touserdata(L, -1) != (const void *)&owner)
    luaL_error(L, "cannot load lambdapool: another copy of it is in this Lua "
                  "state already");
  lua_pop(L, 2);
  return 0;
}

/* Makes the table of own.h. */
static void mark_state(lua_State *L) {
  lua_newtable(L);
  lua_pushlightuserdata(L, (void *)&owner);
  lua_setfield(L, -2, "owner");
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, "guest");
  lua_setfield(L, LUA_REGISTRYINDEX, LP__OWN);
}

/* Can be done again, when it was broken off by a lack of memory. */
static void open_state(lua_State *L) {
  lp__parts_open(L);
  lp__sequence_open(L);
  lp__own_push(L);
  lp__standard_adopt(L); /* own globals */
  push_require(L);       /* own require */
  lua_setfield(L, -2, "require");
  lua_pop(L, 1);
}

static int is_open(lua_State *L) {
  int open;
  lp__own_push(L);
  open = lua_getfield(L, -1, "require") != LUA_TNIL;
  lua_pop(L, 2);
  return open;
}

/* --- other versions of Lua ----------------------------------------------- */

/* Missing functions are no error of the linker's for this library (see the
 * Makefile): others than Lua 5.4 can load it, to be told that it is not for
 * them. These are there since Lua 5.4 and Lua 5.2. */
#pragma weak lua_newuserdatauv
#pragma weak lua_getglobal

enum { GLOBALS_51 = -10002 }; /* LUA_GLOBALSINDEX of Lua 5.1 */

/* Pushes a global, in any version. */
static void push_global(lua_State *L, const char *name) {
  if (lua_getglobal)
    lua_getglobal(L, name);
  else
    lua_getfield(L, GLOBALS_51, name);
}

static void refuse(lua_State *L) {
  push_global(L, "_VERSION");
  push_global(L, "jit");
  if (lua_type(L, -1) == LUA_TTABLE)
    lua_getfield(L, -1, "version");
  else
    lua_pushvalue(L, -2);
  luaL_error(L, "cannot load lambdapool: it needs Lua 5.4, and this is %s",
             lua_tolstring(L, -1, NULL));
}

static int is_right_version(lua_State *L) {
  return lua_newuserdatauv && lua_version(L) == LUA_VERSION_NUM;
}

int luaopen_lambdapool(lua_State *L) {
  if (!is_right_version(L))
    refuse(L);
  luaL_checkversion(L);
  if (is_new(L))
    mark_state(L);
  if (!is_open(L))
    open_state(L);
  lp__own_require(L, LP__OWN_NAME);
  return 1;
}
