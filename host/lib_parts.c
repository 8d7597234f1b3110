/*
 * The Lua module "lambdapool.parts": libraries of ours that are files of their
 * own, and where files of ours are.
 *
 *   parts.load(path, name) -> function | nil, message
 *           what opens the C module "lambdapool.NAME", in the library at `path`
 *   parts.own() -> absolute path | nil, message, errno
 *           of the file that this code is in: of the program, liblambdapool.so
 *           or the Lua module
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

#include "libs.h"
#include "own.h"
#include "part_loader.h"

#define PART "lambdapool.parts.Part"

#ifndef LP__INSTALLED /* the Makefile knows better */
#define LP__INSTALLED "/usr/local/libexec/lambdapool"
#endif

/* Of a table: path -> library. */
static const char loaded = 0;

/* Lua finalises in the reverse order of creation: first the objects of the
 * library's modules, then, here, the library is unloaded. */
static int part_gc(lua_State *L) {
  void **part = lp__own_check(L, 1, PART);
  if (*part)
    dlclose(*part);
  *part = NULL;
  return 0;
}

/* Pushes a library that is not loaded yet.  [-0, +1, m] */
static void **push_part(lua_State *L) {
  void **part = lua_newuserdatauv(L, sizeof *part, 0);
  *part = NULL;
  if (lp__own_metatable(L, PART)) {
    lua_pushcfunction(L, part_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return part;
}

/* Pushes the table of libraries.  [-0, +1, m] */
static void push_loaded(lua_State *L) {
  if (lp__own_get(L, &loaded) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lp__own_set(L, &loaded);
}

/* The library of that path, which stays with the state; or NULL, and a message
 * on top.  [-0, +3, m] */
static void *load(lua_State *L, const char *path) {
  char message[1024];
  void **part;
  push_loaded(L);
  if (lua_getfield(L, -1, path) == LUA_TUSERDATA)
    return *(void **)lua_touserdata(L, -1);
  part = push_part(L); /* loaded nil part */
  *part = lp__part_load(path, message, sizeof message);
  if (*part)
    lua_setfield(L, -3, path);
  else
    lua_pushstring(L, message);
  return *part;
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

static const luaL_Reg functions[] = {
    {"load", parts_load}, {"own", parts_own}, {NULL, NULL}};

int luaopen_lambdapool_parts(lua_State *L) {
  luaL_newlib(L, functions);
  lua_pushliteral(L, LP__INSTALLED);
  lua_setfield(L, -2, "installed");
  return 1;
}
