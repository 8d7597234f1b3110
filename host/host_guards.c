/*
 * What Lua code in a host may not do to the process: end it, and load C
 * modules, which would find another Lua than ours in it, or none. In a program
 * that is nothing but Lua (lp_command) it may do the first, and where the
 * process offers our Lua to everybody the second.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <lauxlib.h>

#include <dlfcn.h>
#include <string.h>

#include "host.h"

/* os.exit(...); upvalues: the host and Lua's own. */
static int guarded_exit(lua_State *L) {
  const lp_host *host = lua_touserdata(L, lua_upvalueindex(1));
  if (!host->commanding)
    return luaL_error(L, "os.exit: this program is not the script's to end\n"
                         "  return from the script, or raise an error");
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 0);
  return 0;
}

/* --- C modules ----------------------------------------------------------- */

#define REASON                                                                 \
  "the Lua in this program is hidden, and C modules cannot use it\n"           \
  "  offer functions in C with lp_register"

/* Whether C modules that are loaded use the Lua that we are. */
static bool is_public(void) {
  void *found = dlsym(RTLD_DEFAULT, "lua_newstate");
  lua_State *(*ours)(lua_Alloc, void *) = lua_newstate;
  if (found == NULL) { /* the C library keeps a message until it is taken, */
    dlerror();         /* and that until the next one is */
    dlerror();
  }
  return found != NULL && memcmp(&found, &ours, sizeof found) == 0;
}

/* package.loadlib, where it cannot be. */
static int refuse_library(lua_State *L) {
  luaL_pushfail(L);
  lua_pushliteral(L, REASON);
  lua_pushliteral(L, "absent");
  return 3;
}

/* Pushes what package.searchpath says of `name`: the file, or nil and where it
 * was looked for. The upvalue is `package`.  [-0, +2, e] */
static void search_c_path(lua_State *L, const char *name) {
  lua_getfield(L, lua_upvalueindex(1), "searchpath");
  lua_pushstring(L, name);
  lua_getfield(L, lua_upvalueindex(1), "cpath");
  lua_call(L, 2, 2);
}

/* The searcher of C modules: there are none, but it is told of those that
 * there would be. */
static int search_c(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  search_c_path(L, name);
  if (lua_isnil(L, -2))
    return 1;
  return luaL_error(L, "cannot load module '%s' from '%s': " REASON, name,
                    lua_tostring(L, -2));
}

/* The same for modules inside of the library that their first name has. */
static int search_c_root(lua_State *L) {
  const char *name = luaL_checkstring(L, 1), *dot = strchr(name, '.');
  if (dot == NULL)
    return 0;
  lua_pushlstring(L, name, (size_t)(dot - name));
  search_c_path(L, lua_tostring(L, -1));
  return 1;
}

static void hide_c_modules(lua_State *L) {
  lua_getglobal(L, "package"); /* package */
  lua_pushcfunction(L, refuse_library);
  lua_setfield(L, -2, "loadlib");
  lua_getfield(L, -1, "searchers"); /* package searchers */
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, search_c, 1);
  lua_rawseti(L, -2, 3);
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, search_c_root, 1);
  lua_rawseti(L, -2, 4);
  lua_pop(L, 2);
}

void lp__guards_install(lua_State *L, lp_host *host) {
  lua_getglobal(L, "os"); /* os */
  lua_pushlightuserdata(L, host);
  lua_getfield(L, -2, "exit");
  lua_pushcclosure(L, guarded_exit, 2);
  lua_setfield(L, -2, "exit");
  lua_pop(L, 1);
  if (!is_public())
    hide_c_modules(L);
}
