/* Modules that came with a payload.  See offered.h. */
#include "offered.h"

#include <lauxlib.h>

#include "../own.h"
#include "deployed.h"
#include "reference.h"
#include "source.h"

/* The registry table: name -> { chunk name or loader, text or false } of what
 * is offered; the same of what was loaded from such an offer; whether this is
 * a worker; the globals that modules defined, those from offers apart, since
 * they go when the modules go. */
enum { OFFERED = 1, LOADED, ON_WORKER, GLOBALS, OFFERED_GLOBALS };

static const char registry_key = 0;

static void push_table(lua_State *L, int which) {
  if (lp__own_get(L, &registry_key) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_createtable(L, OFFERED_GLOBALS, 0);
    lua_newtable(L);
    lua_rawseti(L, -2, OFFERED);
    lua_newtable(L);
    lua_rawseti(L, -2, LOADED);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, ON_WORKER);
    lua_newtable(L);
    lua_rawseti(L, -2, GLOBALS);
    lua_newtable(L);
    lua_rawseti(L, -2, OFFERED_GLOBALS);
    lua_pushvalue(L, -1);
    lp__own_set(L, &registry_key);
  }
  lua_rawgeti(L, -1, which);
  lua_remove(L, -2);
}

/* Searcher: the loader of an offered module, and its chunk name. */
static int search(lua_State *L) {
  size_t size;
  const char *text;
  luaL_checkstring(L, 1);
  lua_settop(L, 1);
  push_table(L, OFFERED);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, 2) != LUA_TTABLE)
    return 0; /* name offered offer */
  push_table(L, LOADED);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 3);
  lua_rawset(L, 4);
  lua_rawgeti(L, 3, 1); /* ... loaded chunk */
  lua_rawgeti(L, 3, 2); /* ... loaded chunk text */
  if (lua_isfunction(L, 5)) {
    lua_pushvalue(L, 1);
    lua_replace(L, 6);
    return 2;
  }
  text = lua_tolstring(L, 6, &size);
  if (luaL_loadbufferx(L, text, size, lua_tostring(L, 5), "t") != LUA_OK) {
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s",
                      lua_tostring(L, 1), lua_tostring(L, 5) + 1,
                      lua_tostring(L, -1));
  }
  lp__source_remember(L, 5, 6);
  lp__reference_note_module(L, 1, 5, 6);
  lua_pushstring(L, lua_tostring(L, 5) + 1);
  return 2;
}

/* Pushes { name = true } of the globals there are. */
static void push_global_names(lua_State *L) {
  lua_newtable(L);
  lua_pushglobaltable(L);
  lua_pushnil(L);
  while (lua_next(L, -2)) { /* names globals name value */
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, -5);
  }
  lua_pop(L, 1);
}

/* Notes the globals that are not among the names at index `before`, for the
 * module whose name is at index 1. */
static void note_globals(lua_State *L, int before) {
  int top = lua_gettop(L);
  push_table(L, LOADED);
  lua_pushvalue(L, 1);
  push_table(L, lua_rawget(L, -2) == LUA_TNIL ? GLOBALS : OFFERED_GLOBALS);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  lua_pushglobaltable(L);
  lua_pushnil(L);
  while (lua_next(L, top + 2)) { /* noted globals name value */
    lua_pushvalue(L, -2);
    if (lua_rawget(L, before) == LUA_TNIL) {
      lua_pushvalue(L, -3);
      lua_pushvalue(L, -3);
      lua_rawset(L, top + 1);
    }
    lua_pop(L, 2);
  }
  lua_settop(L, top);
}

/* Whether the module whose name is at `name` was loaded from an offer. */
static int was_offered(lua_State *L, int name) {
  int offered;
  push_table(L, LOADED);
  lua_pushvalue(L, name);
  offered = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  return offered;
}

/* require(name); upvalue 1 is the original. */
static int require_module(lua_State *L) {
  lua_Integer entered;
  luaL_checkstring(L, 1);
  lua_settop(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, 2) != LUA_TNIL && lua_toboolean(L, -1)) {
    lp__deployed_use(L, 1);
    return 1;
  }
  lua_settop(L, 1);
  push_global_names(L); /* name before */
  entered = lp__deployed_enter(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_call(L, 1, LUA_MULTRET);
  lp__deployed_leave(L, entered, 1, was_offered(L, 1));
  note_globals(L, 2);
  return lua_gettop(L) - 2;
}

void lp__offered_set_globals(lua_State *L) {
  int which, top = lua_gettop(L);
  lua_pushglobaltable(L);
  for (which = GLOBALS; which <= OFFERED_GLOBALS; which++) {
    push_table(L, which);
    lua_pushnil(L);
    while (lua_next(L, top + 2)) { /* globals noted name value */
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, top + 1);
    }
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
}

void lp__offered_open(lua_State *L) {
  lua_Integer i;
  int top = lua_gettop(L);
  lua_getglobal(L, "require");
  lua_pushcclosure(L, require_module, 1);
  lua_setglobal(L, "require");
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  for (i = (lua_Integer)lua_rawlen(L, -1); i >= 1; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, search);
  lua_rawseti(L, -2, 1);
  lua_settop(L, top);
}

void lp__offered_begin(lua_State *L) {
  lp__deployed_begin(L);
  push_table(L, OFFERED);
  lua_pop(L, 1);
  lp__own_get(L, &registry_key);
  lua_newtable(L);
  lua_rawseti(L, -2, OFFERED);
  lua_pushboolean(L, 1);
  lua_rawseti(L, -2, ON_WORKER);
  lua_pop(L, 1);
}

static int is_worker(lua_State *L) {
  int yes;
  push_table(L, ON_WORKER);
  yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

/* Whether package.loaded has the module (name on top) from elsewhere. */
static int is_local(lua_State *L) {
  int top = lua_gettop(L), local;
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, top);
  local = lua_rawget(L, -2) != LUA_TNIL && !was_offered(L, top);
  lua_settop(L, top);
  return local;
}

static void unload(lua_State *L, int name) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, name);
  lua_pushnil(L);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

void lp__offered_add(lua_State *L) {
  int name = lua_gettop(L) - 2, local;
  lua_pushvalue(L, name);
  local = is_local(L);
  if (!local || is_worker(L)) {
    if (local)
      unload(L, name);
    push_table(L, OFFERED);
    lua_insert(L, -2); /* ... offered name */
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, name + 1);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, name + 2);
    lua_rawseti(L, -2, 2);
    lua_rawset(L, -3);
  }
  lua_settop(L, name - 1);
}

/* Whether the offers on top are the same source. */
static int is_same(lua_State *L) {
  int i, same = lua_istable(L, -1) && lua_istable(L, -2);
  for (i = 1; same && i <= 2; i++) {
    lua_rawgeti(L, -1, i);
    lua_rawgeti(L, -3, i);
    same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  return same;
}

static int is_settled(lua_State *L, int offered, int loaded) {
  lua_pushnil(L);
  while (lua_next(L, loaded)) { /* name offer */
    int same;
    lua_pushvalue(L, -2);
    lua_rawget(L, offered);
    same = is_same(L);
    lua_pop(L, 2);
    if (!same) {
      lua_pop(L, 1);
      return 0;
    }
  }
  return 1;
}

void lp__offered_settle(lua_State *L) {
  int top = lua_gettop(L);
  push_table(L, OFFERED);
  push_table(L, LOADED);
  if (!is_settled(L, top + 1, top + 2)) {
    lp__own_get(L, &registry_key);
    lua_newtable(L);
    lua_rawseti(L, -2, OFFERED_GLOBALS);
    lua_pop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushnil(L);
    while (lua_next(L, top + 2)) { /* ... modules name offer */
      lua_pop(L, 1);
      lua_pushvalue(L, -1);
      lua_pushnil(L);
      lua_rawset(L, top + 3);
      lua_pushvalue(L, -1);
      lua_pushnil(L);
      lua_rawset(L, top + 2); /* clearing a field during a walk is allowed */
    }
  }
  lua_settop(L, top);
}
