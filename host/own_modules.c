/* The Lua part of lambdapool. See own_modules.h. */
#include "own_modules.h"

#include <lauxlib.h>

#include <stdio.h>
#include <string.h>

#include "embed.h"

bool lp__own_is_name(const char *name) {
  size_t own = sizeof LP__OWN_NAME - 1;
  return strncmp(name, LP__OWN_NAME, own) == 0 &&
         (name[own] == '\0' || name[own] == '.');
}

/* Pushes `name` as the file name of a module below `folder`: the module
 * "lambdapool" is lambdapool/init.lua.  [-0, +1, m] */
static void push_file_name(lua_State *L, const char *folder, const char *name) {
  if (strcmp(name, LP__OWN_NAME) == 0)
    name = LP__OWN_NAME ".init";
  name = luaL_gsub(L, name, ".", "/");           /* name */
  lua_pushfstring(L, "%s/%s.lua", folder, name); /* name file */
  lua_remove(L, -2);                             /* file */
}

/* The lua_Reader of one file. */
struct source {
  FILE *file;
  char block[4096];
};

static const char *read_block(lua_State *L, void *data, size_t *size) {
  struct source *source = data;
  (void)L;
  *size = fread(source->block, 1, sizeof source->block, source->file);
  return *size > 0 ? source->block : NULL;
}

/* Loads the copy of a module that is compiled in. */
static int load_compiled(lua_State *L, const char *name) {
  const struct lp__module *module = lp__modules;
  while (module->name != NULL && strcmp(module->name, name) != 0)
    module++;
  if (module->name == NULL) {
    lua_pushfstring(L, "no module '%s' in lambdapool", name);
    return LUA_OK;
  }
  return luaL_loadbufferx(L, (const char *)module->bytes, module->size, name,
                          "b");
}

/* Loads a module from `folder`, as text, under the chunk name that the copy
 * inside has, so that tracebacks do not differ; the copy, when there is no such
 * file: not all come from there. */
static int load_from_folder(lua_State *L, const char *name,
                            const char *folder) {
  struct source source;
  int status;
  push_file_name(L, folder, name); /* path */
  lua_pushfstring(L, "@%s", lua_tostring(L, -1) + strlen(folder) + 1);
  source.file = fopen(lua_tostring(L, -2), "rbe"); /* path chunkname */
  if (source.file == NULL)
    return load_compiled(L, name);
  status = lua_load(L, read_block, &source, lua_tostring(L, -1), "t");
  fclose(source.file);
  return status;
}

int lp__own_load(lua_State *L, const char *name, const char *folder) {
  int top = lua_gettop(L);
  int status = folder != NULL ? load_from_folder(L, name, folder)
                              : load_compiled(L, name);
  lua_rotate(L, top + 1, 1); /* the result ... */
  lua_settop(L, top + 1);
  return status;
}

/* --- the searcher -------------------------------------------------------- */

/* Its upvalues: the folder or nil, the globals, the modules that were loaded,
 * by name, and whether these do not count. */
enum { FOLDER = 1, GLOBALS, LOADED, FRESH };

/* loader(name, ...) of a module that is loaded: the upvalue. */
static int give_module(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

/* loader(name, ...) of one that is not. Upvalues: its function and all that
 * are. */
static int make_module(lua_State *L) {
  int count = lua_gettop(L);
  lua_pushvalue(L, 1);
  lua_insert(L, 1); /* name name ... */
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 2);
  lua_call(L, count, 1); /* name module */
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_rawset(L, lua_upvalueindex(2));
  return 1;
}

/* Pushes the loader of a module that is loaded, or nothing.  [-0, +0|+1, m] */
static bool push_loaded(lua_State *L) {
  const bool *fresh = lua_touserdata(L, lua_upvalueindex(FRESH));
  if (*fresh)
    return false;
  lua_pushvalue(L, 1);
  if (lua_rawget(L, lua_upvalueindex(LOADED)) == LUA_TNIL) {
    lua_pop(L, 1);
    return false;
  }
  lua_pushcclosure(L, give_module, 1);
  return true;
}

static int search_own(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (!lp__own_is_name(name))
    return 0;
  lua_settop(L, 1);
  if (push_loaded(L))
    return 1;
  if (lp__own_load(L, name, lua_tostring(L, lua_upvalueindex(FOLDER))) !=
      LUA_OK)
    return lua_error(L);
  if (!lua_isfunction(L, -1))
    return 1;
  lua_pushvalue(L, lua_upvalueindex(GLOBALS));
  lua_setupvalue(L, -2, 1);
  lua_pushvalue(L, lua_upvalueindex(LOADED));
  lua_pushcclosure(L, make_module, 2);
  return 1;
}

/* --- their globals ------------------------------------------------------- */

/* Pushes a copy of the table at the top.  [-0, +1, m] */
static void push_copy(lua_State *L) {
  lua_newtable(L); /* table copy */
  lua_pushnil(L);
  while (lua_next(L, -3)) { /* table copy key value */
    lua_pushvalue(L, -2);
    lua_insert(L, -2); /* table copy key key value */
    lua_rawset(L, -4);
  }
}

/* Pushes a copy of the globals and of the libraries in them; but for `package`,
 * which is looked at for what the user has made of it.  [-0, +1, m] */
static void push_own_globals(lua_State *L) {
  static const char *const names[] = {"string", "table", "math",  "os",
                                      "io",     "utf8",  "debug", "coroutine"};
  lua_pushglobaltable(L);
  push_copy(L);
  lua_remove(L, -2); /* own */
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    lua_getfield(L, -1, names[i]);
    push_copy(L);
    lua_setfield(L, -3, names[i]);
    lua_pop(L, 1);
  }
}

void lp__own_install(lua_State *L, const char *folder, const bool *fresh) {
  lua_Integer i;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers"); /* package searchers */
  for (i = luaL_len(L, -1); i >= 2; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushstring(L, folder);
  push_own_globals(L);
  lua_newtable(L);
  lua_pushlightuserdata(L, (void *)fresh);
  lua_pushcclosure(L, search_own, 4);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}
