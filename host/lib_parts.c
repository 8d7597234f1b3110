/*
 * The Lua module "lambdapool.parts": libraries of ours that are files of their
 * own, and where files of ours are.
 *
 *   parts.load(path, name) -> function | nil, message
 *           what opens the C module "lambdapool.NAME", in the library at `path`
 *   parts.own() -> absolute path | nil, message, errno
 *           of the file that this code is in: of the program, liblambdapool.so
 *           or the Lua module
 *   parts.readable(path)    true when there is a file that can be read
 *   parts.installed         the folder of such files where this was installed,
 *                           or was to be
 *
 * package.loadlib would not do: part_loader.h, port.h.
 */
#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <unistd.h>

#include "libs.h"
#include "own.h"
#include "part_loader.h"

#define PARTS "lambdapool.parts.Parts"

#ifndef LP__INSTALLED /* the Makefile knows better */
#define LP__INSTALLED "/usr/local/libexec/lambdapool"
#endif

/* Of a userdata without bytes. Its user value is a table: path -> what dlclose
 * wants. */
static const char parts_key = 0;

/* Lua finalises in the reverse order of creation. */
static int unload_all(lua_State *L) {
  lp__own_check(L, 1, PARTS);
  lua_getiuservalue(L, 1, 1);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
    if (lua_touserdata(L, -1))
      dlclose(lua_touserdata(L, -1));
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 1); /* nothing twice */
  return 0;
}

void lp__parts_open(lua_State *L) {
  int known = lp__own_get(L, &parts_key) != LUA_TNIL;
  lua_pop(L, 1);
  if (known)
    return;
  lua_newuserdatauv(L, 0, 1); /* parts */
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  if (lp__own_metatable(L, PARTS)) {
    lua_pushcfunction(L, unload_all);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  lp__own_set(L, &parts_key);
}

/* The library of that path, which stays with the state; or NULL, and a message
 * on top.  [-0, +3, m] */
static void *load(lua_State *L, const char *path) {
  char message[1024];
  void *part;
  lua_settop(L, 2);
  lp__own_get(L, &parts_key);
  lua_getiuservalue(L, -1, 1); /* parts table */
  if (lua_getfield(L, -1, path) == LUA_TLIGHTUSERDATA)
    return lua_touserdata(L, -1);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -3, path); /* from here on there is memory for it */
  part = lp__part_load(path, message, sizeof message);
  if (part)
    lua_pushlightuserdata(L, part);
  else
    lua_pushnil(L);
  lua_setfield(L, -3, path);
  if (!part)
    lua_pushstring(L, message);
  return part;
}

static int parts_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  const char *name = luaL_checkstring(L, 2);
  lua_CFunction open;
  void *part = load(L, path);
  if (!part) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  lua_pushfstring(L, "luaopen_lambdapool_%s", name);
  *(void **)&open = dlsym(part, lua_tostring(L, -1)); /* as POSIX has it */
  if (!open) {
    lua_pushnil(L);
    lua_pushfstring(L, "it has no module '%s'", name);
    return 2;
  }
  lua_pushcfunction(L, open);
  return 1;
}

static int parts_own(lua_State *L) {
  char path[PATH_MAX];
  int status = lp__part_self(path, sizeof path);
  if (status < 0) {
    errno = -status;
    return luaL_fileresult(L, 0, NULL);
  }
  lua_pushstring(L, path);
  return 1;
}

static int parts_readable(lua_State *L) {
  lua_pushboolean(L, access(luaL_checkstring(L, 1), R_OK) == 0);
  return 1;
}

static const luaL_Reg functions[] = {{"readable", parts_readable},
                                     {"load", parts_load},
                                     {"own", parts_own},
                                     {NULL, NULL}};

int luaopen_lambdapool_parts(lua_State *L) {
  lp__parts_open(L);
  luaL_newlib(L, functions);
  lua_pushliteral(L, LP__INSTALLED);
  lua_setfield(L, -2, "installed");
  return 1;
}
