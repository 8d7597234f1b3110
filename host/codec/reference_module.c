/*
 * How modules reach a worker.  See reference.h.
 *
 * In a state of ours the text of a module is noted when it is loaded. In one
 * that is not, the file is read when the module is sent for the first time, and
 * the functions of the module have to be in it.
 */
#include <lauxlib.h>
#include <string.h>

#include "../own.h"
#include "buffer.h"
#include "prototype.h"
#include "reference.h"
#include "source.h"

/* Module name -> { chunk name, text, the module }. The module: what it was when
 * its functions were found in the text; false when the text was noted as it was
 * loaded. */
static const char texts_key = 0;

enum { CHUNK = 1, TEXT, MODULE };

/* Pushes the table of texts.  [-0, +1, m] */
static void push_texts(lua_State *L) {
  if (lp__own_get(L, &texts_key) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lp__own_set(L, &texts_key);
}

static int is_ours(const char *name) {
  return strncmp(name, "lambdapool", 10) == 0 &&
         (name[10] == '\0' || name[10] == '.');
}

/* Whether it is one of the standard library, or the globals. */
static int is_standard(lua_State *L, int name) {
  int standard;
  lua_pushvalue(L, name);
  lp__reference_standard(L);
  standard = lua_istable(L, -1) || strcmp(lua_tostring(L, name), "_G") == 0;
  lua_pop(L, 1);
  return standard;
}

/* Pushes package[field].  [-0, +1, -] */
static void push_package(lua_State *L, const char *field) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushstring(L, "package");
  lua_rawget(L, -2);
  if (lua_istable(L, -1)) {
    lua_pushstring(L, field);
    lua_rawget(L, -2);
  } else {
    lua_pushnil(L);
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* Pushes the function that loads the module from package.preload and returns
 * 1, or returns 0. */
static int push_preload(lua_State *L, int name) {
  int top = lua_gettop(L);
  push_package(L, "preload");
  if (lua_istable(L, -1)) {
    lua_pushvalue(L, name);
    lua_rawget(L, -2);
    if (lua_isfunction(L, -1)) {
      lua_replace(L, top + 1);
      return 1;
    }
  }
  lua_settop(L, top);
  return 0;
}

/* Finds the module's file along package[path].  Pushes its name and returns
 * 1, or returns 0. */
static int search(lua_State *L, int name, const char *path) {
  int top = lua_gettop(L);
  lua_pushliteral(L, "package.searchpath");
  lp__reference_standard(L);
  lua_pushvalue(L, name);
  push_package(L, path);
  if (lua_isstring(L, -1) && lua_pcall(L, 2, 1, 0) == LUA_OK &&
      lua_isstring(L, -1))
    return 1;
  lua_settop(L, top);
  return 0;
}

/* Pushes package.loaded[name].  [-0, +1, -] */
static void push_loaded(lua_State *L, int name) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, name);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

/* Whether the module is loaded, and as it was when the text on top was noted.
 */
static int is_of_loaded(lua_State *L, int name) {
  int good;
  lua_rawgeti(L, -1, MODULE);
  push_loaded(L, name);
  good =
      !lua_isnil(L, -1) && (!lua_toboolean(L, -2) || lua_rawequal(L, -1, -2));
  lua_pop(L, 2);
  return good;
}

/* Pushes the chunk name and text that were noted and returns 1, or returns
 * 0. */
static int push_noted(lua_State *L, int name) {
  int top = lua_gettop(L);
  push_texts(L);
  lua_pushvalue(L, name);
  if (lua_rawget(L, -2) != LUA_TTABLE || !is_of_loaded(L, name)) {
    lua_settop(L, top);
    return 0;
  }
  lua_rawgeti(L, -1, CHUNK); /* texts noted chunk */
  lua_rawgeti(L, -2, TEXT);
  lua_remove(L, top + 1);
  lua_remove(L, top + 1);
  return 1;
}

static void note(lua_State *L, int name, int chunk_name, int text, int module) {
  push_texts(L);
  lua_pushvalue(L, name);
  lua_createtable(L, MODULE, 0);
  lua_pushvalue(L, chunk_name);
  lua_rawseti(L, -2, CHUNK);
  lua_pushvalue(L, text);
  lua_rawseti(L, -2, TEXT);
  if (module)
    lua_pushvalue(L, module);
  else
    lua_pushboolean(L, 0);
  lua_rawseti(L, -2, MODULE);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

void lp__reference_note_module(lua_State *L, int name, int chunk_name,
                               int text) {
  note(L, lua_absindex(L, name), lua_absindex(L, chunk_name),
       lua_absindex(L, text), 0);
}

/* Whether the function on top is one of the chunk called `chunk_name` that is
 * not in the code at `root`. */
static int is_elsewhere(lua_State *L, const char *chunk_name,
                        const struct lp__proto *root) {
  struct lp__buffer binary = {NULL, 0, 0, 0};
  struct lp__proto proto;
  struct lp__path path;
  lua_Debug ar;
  int found;
  if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1))
    return 0;
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">S", &ar);
  if (strcmp(ar.source, chunk_name) != 0)
    return 0;
  lua_pushnil(L);
  lua_pushvalue(L, -2); /* function box function */
  binary.box = lua_gettop(L) - 1;
  lua_dump(L, lp__buffer_writer, &binary, 0);
  found = lp__proto_main(binary.bytes, binary.size, &proto) == 0 &&
          lp__proto_find(root, proto.body, &path) == 1;
  lua_pop(L, 2);
  return !found;
}

/* Whether functions of the module on top, its own or its fields, are not in the
 * code at `root`. */
static int has_others(lua_State *L, const char *chunk_name,
                      const struct lp__proto *root) {
  if (!lua_istable(L, -1))
    return is_elsewhere(L, chunk_name, root);
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    if (is_elsewhere(L, chunk_name, root)) {
      lua_pop(L, 2);
      return 1;
    }
    lua_pop(L, 1);
  }
  return 0;
}

/* Whether the text on top, the chunk name below it, is not what the loaded
 * module (at index) was loaded from, as far as that can be seen. */
static int is_changed(lua_State *L, int module) {
  int top = lua_gettop(L), changed = 1;
  struct lp__proto root;
  size_t size;
  const char *binary;
  if (lp__source_compile_cached(L, top)) {
    binary = lua_tolstring(L, -1, &size);
    lua_pushvalue(L, module);
    changed = lp__proto_main(binary, size, &root) != 0 ||
              has_others(L, lua_tostring(L, top - 1), &root);
  }
  lua_settop(L, top);
  return changed;
}

/* Chunk name and text, on top, were read just now. Pops the text and returns 1
 * when the module is loaded and has another one. */
static int check(lua_State *L, int name) {
  int module = lua_gettop(L) + 1, changed = 0;
  push_loaded(L, name);
  if (!lua_isnil(L, module)) {
    lua_insert(L, module - 2);
    changed = is_changed(L, module - 2);
    if (!changed)
      note(L, name, module - 1, module, module - 2);
    lua_remove(L, module - 2);
  } else {
    lua_pop(L, 1);
  }
  if (changed)
    lua_pop(L, 1);
  return changed;
}

/* Pushes chunk name and text of the file of Lua source that would be loaded and
 * returns 1, or returns 0. */
static int read_text(lua_State *L, int name) {
  int top = lua_gettop(L);
  if (search(L, name, "path")) {
    lua_pushfstring(L, "@%s", lua_tostring(L, -1)); /* file chunk */
    if (lp__source_read(L, lua_tostring(L, -2), 1) &&
        lua_tostring(L, -1)[0] != LUA_SIGNATURE[0]) { /* file chunk text */
      lua_remove(L, top + 1);
      return 1;
    }
  }
  lua_settop(L, top);
  return 0;
}

/* Pushes chunk name and text when the module is a file of Lua source: what was
 * loaded, or would be. */
static enum lp__ship find_text(lua_State *L, int name) {
  if (push_noted(L, name))
    return LP__SHIP_TEXT;
  if (!read_text(L, name))
    return LP__SHIP_UNKNOWN;
  return lp__own_is_guest(L) && check(L, name) ? LP__SHIP_CHANGED
                                               : LP__SHIP_TEXT;
}

enum lp__ship lp__reference_module(lua_State *L, int name) {
  int top = lua_gettop(L);
  enum lp__ship ship;
  name = lua_absindex(L, name);
  luaL_checkstack(L, 20, NULL);
  if (is_ours(lua_tostring(L, name)) || is_standard(L, name))
    return LP__SHIP_NAME;
  if (push_preload(L, name)) {
    if (!lua_iscfunction(L, -1))
      return LP__SHIP_LOADER;
    lua_pop(L, 1);
    return LP__SHIP_NAME;
  }
  ship = find_text(L, name);
  if (ship == LP__SHIP_UNKNOWN && search(L, name, "cpath")) {
    lua_settop(L, top);
    return LP__SHIP_NAME;
  }
  return ship;
}

int lp__reference_module_known(lua_State *L, int name) {
  int top = lua_gettop(L), known;
  name = lua_absindex(L, name);
  luaL_checkstack(L, 20, NULL);
  known = is_ours(lua_tostring(L, name)) || is_standard(L, name) ||
          push_preload(L, name) || push_noted(L, name) || read_text(L, name) ||
          search(L, name, "cpath");
  lua_settop(L, top);
  return known;
}
