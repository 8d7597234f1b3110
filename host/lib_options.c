/* Options of Lua functions. See lib_options.h. */
#include "lib_options.h"

#include <lauxlib.h>

#include <string.h>

int lp__option_error(lua_State *L, int arg, const char *name,
                     const char *what) {
  const char *message = lua_pushfstring(L, "option '%s' %s", name, what);
  return luaL_argerror(L, arg, message);
}

void lp__check_options(lua_State *L, int arg, const char *const *names) {
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, arg)) {
    lua_pop(L, 1);
    const char *key =
        lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    size_t i = 0;
    while (names[i] && strcmp(names[i], key) != 0)
      i++;
    if (!names[i])
      lp__option_error(L, arg, key, "is not known");
  }
}

const char *lp__string_option(lua_State *L, int arg, const char *name) {
  size_t size;
  if (lua_getfield(L, arg, name) == LUA_TNIL)
    return NULL;
  if (lua_type(L, -1) != LUA_TSTRING)
    lp__option_error(L, arg, name, "must be a string");
  const char *text = lua_tolstring(L, -1, &size);
  if (strlen(text) != size)
    lp__option_error(L, arg, name, "must not contain a zero byte");
  return text;
}

lua_Integer lp__integer_option(lua_State *L, int arg, const char *name,
                               lua_Integer least, lua_Integer most,
                               lua_Integer standard) {
  int is_integer;
  lua_Integer value = standard;
  if (lua_getfield(L, arg, name) != LUA_TNIL) {
    value = lua_tointegerx(L, -1, &is_integer);
    if (!is_integer || lua_type(L, -1) != LUA_TNUMBER)
      lp__option_error(L, arg, name, "must be an integer");
    if (value < least || value > most)
      lp__option_error(L, arg, name, "is out of range");
  }
  lua_pop(L, 1);
  return value;
}

bool lp__boolean_option(lua_State *L, int arg, const char *name) {
  if (lua_getfield(L, arg, name) != LUA_TNIL && !lua_isboolean(L, -1))
    lp__option_error(L, arg, name, "must be a boolean");
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}
