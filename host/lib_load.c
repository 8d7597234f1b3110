/*
 * load, loadfile, dofile and the searcher of Lua files, as in lbaselib.c and
 * loadlib.c, but remembering the text of what they load: a closure is shipped
 * as text, and a file may change after it was loaded.
 */
#include "lib_load.h"

#include <lauxlib.h>
#include <string.h>

#include "codec/reference.h"
#include "codec/source.h"

/* Collects the pieces that the reader function at index 1 returns, and puts
 * the whole in its place.  Raises and fails as the original does. */
static void read_pieces(lua_State *L) {
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (;;) {
    lua_pushvalue(L, 1);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1))
      break;
    if (!lua_isstring(L, -1)) {
      luaL_error(L, "reader function must return a string");
    }
    if (lua_rawlen(L, -1) == 0 && lua_type(L, -1) == LUA_TSTRING)
      break;
    luaL_addvalue(&buffer);
  }
  lua_pop(L, 1);
  luaL_pushresult(&buffer);
  lua_replace(L, 1);
}

static int collect_pieces(lua_State *L) {
  read_pieces(L);
  lua_settop(L, 1);
  return 1;
}

/* Remembers the chunk just loaded (function on top) from the text at `text`
 * under the name at `name`, unless it was binary. */
static void remember(lua_State *L, int name, int text) {
  const char *bytes = lua_tostring(L, text);
  if (bytes[0] != LUA_SIGNATURE[0])
    lp__source_remember(L, name, text);
}

/* load(chunk [, chunkname [, mode [, env]]]); upvalue 1 is the original. */
static int load_chunk(lua_State *L) {
  int n = lua_gettop(L), i;
  if (lua_isfunction(L, 1)) {
    lua_pushcfunction(L, collect_pieces);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) { /* load returns it */
      lua_pushnil(L);
      lua_insert(L, -2);
      return 2;
    }
    lua_replace(L, 1);
    if (lua_isnoneornil(L, 2)) {
      if (n < 2)
        lua_settop(L, n = 2);
      lua_pushliteral(L, "=(load)");
      lua_replace(L, 2);
    }
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  for (i = 1; i <= n; i++)
    lua_pushvalue(L, i);
  lua_call(L, n, LUA_MULTRET);
  if (lua_isfunction(L, n + 1)) {
    /* lua_load takes the name as a C string: cut it at a NUL too */
    lua_pushstring(L, lua_tostring(L, lua_isnoneornil(L, 2) || n < 2 ? 1 : 2));
    lua_pushvalue(L, 1);
    lua_tostring(L, -1);
    remember(L, lua_gettop(L) - 1, lua_gettop(L));
    lua_pop(L, 2);
  }
  return lua_gettop(L) - n;
}

/* Loads a file as luaL_loadfilex does, and remembers its text.  Pushes the
 * function, or a message.  Returns whether it is a function. */
static int load_file(lua_State *L, const char *file, const char *mode) {
  int top = lua_gettop(L), ok;
  size_t size;
  const char *text;
  if (file) {
    lua_pushfstring(L, "@%s", file);
  } else {
    lua_pushliteral(L, "=stdin");
  }
  if (!lp__source_read(L, file, 0)) { /* name message */
    lua_replace(L, top + 1);
    return 0;
  }
  text = lua_tolstring(L, -1, &size); /* name text */
  ok =
      luaL_loadbufferx(L, text, size, lua_tostring(L, top + 1), mode) == LUA_OK;
  if (ok)
    remember(L, top + 1, top + 2);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return ok;
}

/* loadfile([filename [, mode [, env]]]) */
static int load_file_chunk(lua_State *L) {
  const char *file = luaL_optstring(L, 1, NULL);
  const char *mode = luaL_optstring(L, 2, NULL);
  int has_env = !lua_isnone(L, 3);
  if (!load_file(L, file, mode)) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  if (has_env) {
    lua_pushvalue(L, 3);
    if (!lua_setupvalue(L, -2, 1))
      lua_pop(L, 1);
  }
  return 1;
}

static int finish_do(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  return lua_gettop(L) - 1;
}

/* dofile([filename]) */
static int do_file(lua_State *L) {
  const char *file = luaL_optstring(L, 1, NULL);
  lua_settop(L, 1);
  if (!load_file(L, file, NULL))
    return lua_error(L);
  lua_callk(L, 0, LUA_MULTRET, 0, finish_do);
  return finish_do(L, 0, 0);
}

/* The searcher of files along package.path; upvalue 1 is the package table. */
static int search_file(lua_State *L) {
  const char *name = luaL_checkstring(L, 1), *file;
  lua_settop(L, 1);
  lua_getfield(L, lua_upvalueindex(1), "searchpath");
  lua_pushvalue(L, 1);
  lua_getfield(L, lua_upvalueindex(1), "path");
  if (lua_type(L, -1) != LUA_TSTRING) {
    return luaL_error(L, "'package.path' must be a string");
  }
  lua_call(L, 2, 2); /* name file message */
  if (lua_isnil(L, 2))
    return 1;
  lua_settop(L, 2);
  file = lua_tostring(L, 2);
  if (!load_file(L, file, NULL)) {
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s",
                      name, file, lua_tostring(L, -1));
  }
  lua_pushfstring(L, "@%s", file);   /* name file loader chunk */
  if (lp__source_remembered(L, 4)) { /* ... text */
    lp__reference_note_module(L, 1, 4, 5);
  }
  lua_settop(L, 3);
  lua_insert(L, 2);
  return 2;
}

void lp__load_open(lua_State *L) {
  int top = lua_gettop(L);
  lua_getglobal(L, "load");
  lua_pushcclosure(L, load_chunk, 1);
  lua_setglobal(L, "load");
  lua_pushcfunction(L, load_file_chunk);
  lua_setglobal(L, "loadfile");
  lua_pushcfunction(L, do_file);
  lua_setglobal(L, "dofile");
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, search_file, 1);
  lua_rawseti(L, -2, 2);
  lua_settop(L, top);
}
