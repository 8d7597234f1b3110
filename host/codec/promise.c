/*
 * Promises.  See promise.h.
 *
 * Each has a record in one list, and the places it belongs to are a chain of
 * records in another; both are plain Lua lists with a fixed number of slots
 * for a record.
 */
#include "promise.h"

#include <lauxlib.h>

#include "deployed.h"
#include "frame.h"
#include "rebuilder.h"
#include "reference.h"

enum { KIND = 1, FIRST, SECOND, RESULT, NOTES, PROMISE_FIELDS = NOTES };
enum { PLACE = 1, CONTAINER, OPERAND, NEXT, NOTE_FIELDS = NEXT };

static int malformed(lua_State *L, const char *what) {
  return luaL_error(L, "cannot load: malformed bytes (%s)", what);
}

void lp__check_key(lua_State *L, int index) {
  if (lua_isnil(L, index) ||
      (lua_type(L, index) == LUA_TNUMBER && !lua_rawequal(L, index, index))) {
    malformed(L, "bad key");
  }
}

void lp__promise_begin(lua_State *L, struct lp__promises *p, int trusted) {
  int i;
  for (i = 0; i < 3; i++)
    lua_newtable(L);
  p->list = lua_gettop(L) - 2;
  p->notes = p->list + 1;
  p->metatables = p->list + 2;
  p->count = p->note_count = p->metatable_count = 0;
  p->trusted = trusted;
}

void lp__promise_metatable(lua_State *L, struct lp__promises *p, int table) {
  lua_pushvalue(L, table);
  lua_rawseti(L, p->metatables, ++p->metatable_count);
  lua_rawseti(L, p->metatables, ++p->metatable_count);
}

static lua_Integer promise_field(lua_Integer id, int field) {
  return PROMISE_FIELDS * (id - 1) + field;
}

static lua_Integer note_field(lua_Integer note, int field) {
  return NOTE_FIELDS * (note - 1) + field;
}

/* Pushes the stand-in for a new promise made of `kind` and the two values on
 * top.  [-2, +1, m] */
void lp__promise_make(lua_State *L, struct lp__promises *p,
                      enum lp__promise_kind kind) {
  lua_Integer id = ++p->count;
  lua_pushinteger(L, kind);
  lua_rawseti(L, p->list, promise_field(id, KIND));
  lua_rawseti(L, p->list, promise_field(id, SECOND));
  lua_rawseti(L, p->list, promise_field(id, FIRST));
  lua_pushboolean(L, 0);
  lua_rawseti(L, p->list, promise_field(id, RESULT));
  lua_pushinteger(L, 0);
  lua_rawseti(L, p->list, promise_field(id, NOTES));
  lua_pushlightuserdata(L, (void *)(uintptr_t)id);
}

/* Notes that promise `id` belongs to `place` of the container at `container`,
 * with the operand (key, number) on top.  The notes of a promise are a chain.
 * [-1, +0, m] */
void lp__promise_note(lua_State *L, struct lp__promises *p, lua_Integer id,
                      enum lp__place place, int container) {
  lua_Integer note = ++p->note_count;
  lua_pushinteger(L, place);
  lua_rawseti(L, p->notes, note_field(note, PLACE));
  lua_pushvalue(L, container);
  lua_rawseti(L, p->notes, note_field(note, CONTAINER));
  lua_rawseti(L, p->notes, note_field(note, OPERAND));
  lua_rawgeti(L, p->list, promise_field(id, NOTES));
  lua_rawseti(L, p->notes, note_field(note, NEXT));
  lua_pushinteger(L, note);
  lua_rawseti(L, p->list, promise_field(id, NOTES));
}

/* Pushes package.loaded[name] for the name on top; nil if it is not loaded.
 * [-1, +1, -] */
static void push_loaded(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_insert(L, -2);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

/* Pushes the module whose name is on top: loaded, or required when trusted.
 * [-1, +1, e] */
static void resolve_module(lua_State *L, const struct lp__promises *p) {
  lua_pushvalue(L, -1);
  push_loaded(L); /* name module */
  if (lua_isnil(L, -1) && p->trusted) {
    lua_pop(L, 1);
    lua_pushliteral(L, "require");
    lp__reference_standard(L);
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
  } else if (!lua_isnil(L, -1)) {
    lp__deployed_use(L, -2);
  } else {
    luaL_error(L,
               "cannot load: module '%s' is not loaded here\n  require it "
               "first; loading runs no code",
               lua_tostring(L, -2));
  }
  lua_remove(L, -2);
}

/* Whether the table on top has a `__lambdapool` hook, or a class in it does. */
static int offers_hooks(lua_State *L) {
  int top = lua_gettop(L);
  lua_pushliteral(L, "__lambdapool");
  if (lua_rawget(L, top) == LUA_TNIL) {
    lua_pushnil(L);
    while (lua_next(L, top)) {
      if (lua_istable(L, -1)) {
        lua_pushliteral(L, "__lambdapool");
        if (lua_rawget(L, -2) != LUA_TNIL)
          break;
        lua_pop(L, 1);
      }
      lua_pop(L, 1);
    }
  }
  if (lua_gettop(L) == top)
    return 0;
  lua_settop(L, top);
  return 1;
}

/* Pushes field `field` (on top) of the module whose name is below it.  A Lua
 * function of a loaded module that has hooks may rebuild values.
 * [-2, +1, e] */
static void resolve_field(lua_State *L, const struct lp__promises *p) {
  int name = lua_gettop(L) - 1;
  lua_pushvalue(L, name);
  resolve_module(L, p); /* name field module */
  if (!lua_istable(L, -1)) {
    luaL_error(L, "cannot load: module '%s' is no table here",
               lua_tostring(L, name));
  }
  lua_pushvalue(L, name + 1);
  if (lua_rawget(L, -2) == LUA_TNIL) { /* name field module value */
    luaL_error(L, "cannot load: module '%s' has no field '%s' here",
               lua_tostring(L, name), lua_tostring(L, name + 1));
  }
  lua_insert(L, name);
  if (lua_isfunction(L, name) && !lua_iscfunction(L, name) && offers_hooks(L)) {
    lp__rebuilder_note(L, name);
  }
  lua_settop(L, name);
}

/* Replaces the list on top, a function and its arguments, by what the
 * function returns.  `n` counts both, nils included.  [-1, +1, e] */
static void rebuild(lua_State *L, const struct lp__promises *p, int n) {
  int list = lua_gettop(L), i;
  luaL_checkstack(L, n + 10, "too many arguments");
  for (i = 1; i <= n; i++)
    lua_rawgeti(L, list, i);
  if (!lua_isfunction(L, list + 1))
    malformed(L, "bad rebuild function");
  if (!p->trusted) {
    if (!lp__rebuilder_is_own(L, list + 1)) {
      lp__push_function_name(L, list + 1);
      luaL_error(L,
                 "cannot load: a value wants to be rebuilt by %s, which no "
                 "__lambdapool hook returned here\n  loading runs no code "
                 "from outside",
                 lua_tostring(L, -1));
    }
    lua_replace(L, list + 1); /* the receiver's own */
  }
  lua_call(L, n - 1, 1);
  lua_replace(L, list);
}

/* Pushes what promise `id` turns out to be, and keeps it. */
static void resolve(lua_State *L, struct lp__promises *p, lua_Integer id,
                    int kind) {
  int top = lua_gettop(L);
  lua_rawgeti(L, p->list, promise_field(id, FIRST));
  lua_rawgeti(L, p->list, promise_field(id, SECOND));
  switch (kind) {
  case LP__PROMISE_MODULE:
    lua_pop(L, 1);
    resolve_module(L, p);
    break;
  case LP__PROMISE_FIELD:
    resolve_field(L, p);
    break;
  default: {
    int n = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    rebuild(L, p, n);
  }
  }
  lua_settop(L, top + 1);
  lua_pushvalue(L, -1);
  lua_rawseti(L, p->list, promise_field(id, RESULT));
}

/* Replaces a promise on top by what it turned out to be. */
static void use_result(lua_State *L, const struct lp__promises *p) {
  lua_Integer id = lp__promise_at(L, p, -1);
  if (id) {
    lua_pop(L, 1);
    lua_rawgeti(L, p->list, promise_field(id, RESULT));
  }
}

/* Sets the pair { key, value } on top in the table below it. */
static void set_pair(lua_State *L, const struct lp__promises *p) {
  lua_rawgeti(L, -1, 1);
  use_result(L, p);
  lp__check_key(L, -1);
  lua_rawgeti(L, -2, 2);
  use_result(L, p); /* table pair key value */
  lua_rawset(L, -4);
}

/* Puts the value on top into its place: container and operand are above. */
static void set_place(lua_State *L, struct lp__promises *p, int place) {
  int value = lua_gettop(L) - 2;
  switch (place) {
  case LP__AT_FIELD: /* value table key */
    lua_pushvalue(L, value);
    lua_rawset(L, value + 1);
    break;
  case LP__AT_PAIR:
    set_pair(L, p);
    break;
  case LP__AT_UPVALUE: /* value function number */
    lua_pushvalue(L, value);
    lua_setupvalue(L, value + 1, (int)lua_tointeger(L, value + 2));
    break;
  default: /* value table false */
    if (!lua_istable(L, value))
      malformed(L, "bad metatable");
    lua_pushvalue(L, value + 1);
    lua_rawseti(L, p->metatables, ++p->metatable_count);
    lua_pushvalue(L, value);
    lua_rawseti(L, p->metatables, ++p->metatable_count);
  }
  lua_settop(L, value);
}

/* Puts the value on top into all places of promise `id`.  [-1, +0, e] */
static void set_places(lua_State *L, struct lp__promises *p, lua_Integer id) {
  lua_Integer note;
  int place;
  lua_rawgeti(L, p->list, promise_field(id, NOTES));
  note = lua_tointeger(L, -1);
  lua_pop(L, 1);
  while (note) {
    lua_rawgeti(L, p->notes, note_field(note, PLACE));
    place = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_rawgeti(L, p->notes, note_field(note, CONTAINER));
    lua_rawgeti(L, p->notes, note_field(note, OPERAND));
    set_place(L, p, place);
    lua_rawgeti(L, p->notes, note_field(note, NEXT));
    note = lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* Sets the metatables noted so far.  Nothing here can fail. */
static void set_metatables(lua_State *L, struct lp__promises *p) {
  lua_Integer i;
  for (i = 1; i < p->metatable_count; i += 2) {
    lua_rawgeti(L, p->metatables, i);
    lua_rawgeti(L, p->metatables, i + 1);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
  }
  p->metatable_count = 0;
}

/* Keeps the promises of some kinds, in the order they were made: what is
 * inside the arguments of a rebuilt value was complete before it. */
static void keep_promises(lua_State *L, struct lp__promises *p, int rebuilds) {
  lua_Integer id;
  for (id = 1; id <= p->count; id++) {
    int kind;
    lua_rawgeti(L, p->list, promise_field(id, KIND));
    kind = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    if ((kind == LP__PROMISE_REBUILD) != rebuilds)
      continue;
    resolve(L, p, id, kind);
    set_places(L, p, id);
    if (rebuilds)
      set_metatables(L, p);
  }
}

void lp__promise_keep(lua_State *L, struct lp__promises *p, int first, int n) {
  int i;
  if (p->count)
    keep_promises(L, p, 0);
  set_metatables(L, p);
  if (p->count)
    keep_promises(L, p, 1);
  for (i = first; i < first + n; i++) {
    if (lp__promise_at(L, p, i) == 0)
      continue;
    lua_pushvalue(L, i);
    use_result(L, p);
    lua_replace(L, i);
  }
}
