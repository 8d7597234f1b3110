/* The functions that hooks of this state returned.  See rebuilder.h. */
#include "rebuilder.h"

#include <lauxlib.h>

#include "buffer.h"
#include "cache.h"
#include "prototype.h"

/* The functions that hooks returned: function -> true, and what push_binary
 * makes of it -> function. */
static const char rebuilders_key = 0;

/* Pushes what is the same in all functions that are this code: what lua_dump
 * writes but for the source name and how the upvalues are come by, in which a
 * slice differs from its original. */
static void push_binary(lua_State *L, int function) {
  struct lp__buffer binary = {NULL, 0, 0, 0};
  struct lp__proto proto;
  lua_pushnil(L);
  binary.box = lua_gettop(L);
  lua_pushvalue(L, function);
  lua_dump(L, lp__buffer_writer, &binary, 0);
  if (lp__proto_main(binary.bytes, binary.size, &proto) == 0) {
    lua_pushlstring(L, (const char *)proto.body.at,
                    (size_t)(proto.upvalues.at - proto.body.at));
    lua_pushlstring(L, (const char *)proto.upvalues.end,
                    (size_t)(proto.body.end - proto.upvalues.end));
    lua_concat(L, 2);
  } else {
    lua_pushlstring(L, (const char *)binary.bytes, binary.size);
  }
  lua_replace(L, binary.box);
  lua_settop(L, binary.box);
}

void lp__rebuilder_note(lua_State *L, int index) {
  lp__push_weak_table(L, &rebuilders_key);
  lua_pushvalue(L, index);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    if (!lua_iscfunction(L, index)) {
      push_binary(L, index);
      lua_pushvalue(L, index);
      lua_rawset(L, -4);
    }
    lua_pushvalue(L, index); /* last: it says that all is noted */
    lua_pushboolean(L, 1);
    lua_rawset(L, -4);
  }
  lua_pop(L, 2);
}

int lp__rebuilder_is_own(lua_State *L, int function) {
  int top = lua_gettop(L);
  function = lua_absindex(L, function);
  luaL_checkstack(L, 10, NULL);
  lp__push_weak_table(L, &rebuilders_key);
  lua_pushvalue(L, function);
  if (lua_rawget(L, -2) != LUA_TNIL) {
    lua_settop(L, top);
    lua_pushvalue(L, function);
    return 1;
  }
  if (!lua_iscfunction(L, function)) {
    push_binary(L, function);
    if (lua_rawget(L, top + 1) == LUA_TFUNCTION) {
      lua_replace(L, top + 1);
      lua_settop(L, top + 1);
      return 1;
    }
  }
  lua_settop(L, top);
  return 0;
}
