/*
 * Values that travel by name.  See reference.h.
 *
 * The registry keeps a table of tables (the home) and a pointer map from
 * objects to entries of its list; an entry of a module is checked against
 * package.loaded whenever it is used, so a stale one does no harm.
 */
#include "reference.h"

#include <lauxlib.h>
#include <string.h>

#include "../own.h"
#include "libraries.h"

/* The home's fields: snapshot of the globals; standard name -> value; standard
 * names by number; module name -> value when last looked at; module name ->
 * whether it can travel by name; standard name -> C function, in a state that
 * is not ours. */
enum { GLOBALS = 1, VALUES, STANDARD_NAMES, SEEN, TRAVELS, FUNCTIONS, ORDER };

/* User values of the userdata with the struct.  MODULES_NAMES has, two by two,
 * the name and field (false for none) of what is in the map of modules. */
enum { HOME = 1, STANDARD_BOX, MODULES_BOX, MODULES_NAMES };

static const char registry_key = 0;

/* Notes the object at the top under the name below it and the field below
 * that (false for none): in the map, whose box is at refs->box, and in the
 * list of names at refs->names.  [-3, +0, m] */
static void note(lua_State *L, const struct lp__references *refs,
                 struct lp__map *map) {
  struct lp__map_entry *entry;
  lua_Integer n = (lua_Integer)lua_rawlen(L, refs->names);
  int found;
  lp__map_reserve(L, map, refs->box);
  entry = lp__map_at(map, lua_topointer(L, -1), &found);
  if (found) {
    lua_pop(L, 3);
    return;
  }
  entry->value = (uint32_t)n;
  lua_pop(L, 1); /* field name */
  lua_rawseti(L, refs->names, n + 1);
  lua_rawseti(L, refs->names, n + 2);
}

static int has_identity(lua_State *L, int index) {
  int type = lua_type(L, index);
  return type == LUA_TFUNCTION || type == LUA_TTABLE || type == LUA_TUSERDATA;
}

/* Adds the value on top as the standard value `prefix``name`.  [-1, +0, m] */
static void add_standard(lua_State *L, struct lp__references *refs,
                         const char *prefix, const char *name) {
  lua_pushfstring(L, "%s%s", prefix, name); /* value name */
  lua_rawgeti(L, refs->home, VALUES);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -4);
  lua_rawset(L, -3); /* value name values */
  lua_pop(L, 1);
  lua_pushboolean(L, 0);
  lua_insert(L, -3);
  lua_insert(L, -2); /* false name value */
  note(L, refs, &refs->standard);
}

/* Adds the functions, tables and files in the table on top. */
static void add_library(lua_State *L, struct lp__references *refs,
                        const char *prefix) {
  lua_pushnil(L);
  while (lua_next(L, -2)) { /* library key value */
    if (lua_type(L, -2) == LUA_TSTRING && has_identity(L, -1) &&
        strcmp(lua_tostring(L, -2), "_G") != 0) {
      add_standard(L, refs, prefix, lua_tostring(L, -2));
    } else {
      lua_pop(L, 1);
    }
  }
}

/* Names the functions of the table on top as they are called there. A function
 * with upvalues is known by its address in C, too. */
static void add_functions(lua_State *L, const struct lp__references *refs,
                          struct lp__map *map) {
  lua_pushnil(L);
  while (lua_next(L, -2)) { /* functions name function */
    lua_pushboolean(L, 0);
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -3); /* ... false name function */
    note(L, refs, map);
    lua_pop(L, 1);
  }
}

static void copy_globals(lua_State *L, struct lp__references *refs) {
  lua_newtable(L);
  lua_pushglobaltable(L); /* copy globals */
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -5);
    refs->global_count++;
  }
  lua_pop(L, 1);
  lua_rawseti(L, refs->home, GLOBALS);
}

static void add_standards(lua_State *L, struct lp__references *refs) {
  int i;
  lua_rawgeti(L, refs->home, GLOBALS);
  add_library(L, refs, "");
  lua_pop(L, 1);
  for (i = 0; lp__libraries[i]; i++) {
    char prefix[16];
    strcpy(prefix, lp__libraries[i]);
    strcat(prefix, ".");
    lp__libraries_push_copy(L, i);
    add_library(L, refs, prefix);
    lua_pop(L, 1);
  }
  lua_rawgeti(L, refs->home, FUNCTIONS);
  add_functions(L, refs, &refs->standard);
  lua_pop(L, 1);
}

/* Pushes the userdata and, on top, its home.  [-0, +2, m] */
static struct lp__references *push_new(lua_State *L) {
  struct lp__references *refs =
      lua_newuserdatauv(L, sizeof *refs, MODULES_NAMES);
  int top = lua_gettop(L), i;
  memset(refs, 0, sizeof *refs);
  lua_createtable(L, ORDER, 0); /* refs home */
  for (i = GLOBALS; i <= FUNCTIONS; i++) {
    lua_newtable(L);
    lua_rawseti(L, top + 1, i);
  }
  refs->home = top + 1;
  return refs;
}

void lp__reference_open(lua_State *L) {
  copy_globals(L, push_new(L));
  lua_setiuservalue(L, -2, HOME);
  lp__own_set(L, &registry_key);
}

void lp__reference_adopt(lua_State *L) {
  int top = lua_gettop(L);
  push_new(L);
  lua_pushvalue(L, top - 1);
  lua_rawseti(L, -2, GLOBALS);
  lua_pushvalue(L, top);
  lua_rawseti(L, -2, FUNCTIONS);
  lua_setiuservalue(L, -2, HOME);
  lp__own_set(L, &registry_key);
  lua_settop(L, top - 2);
}

/* Gives the standard objects their names, from the snapshots, at first use: a
 * cold start has no time for it.  The userdata is on top. */
static void name_standards(lua_State *L, struct lp__references *kept) {
  struct lp__references refs = *kept;
  int top = lua_gettop(L);
  luaL_checkstack(L, 20, NULL);
  lua_getiuservalue(L, top, HOME);
  lua_pushnil(L);
  lua_newtable(L); /* refs home box names */
  refs.home = top + 1;
  refs.box = top + 2;
  refs.names = top + 3;
  add_standards(L, &refs);
  lua_rawseti(L, refs.home, STANDARD_NAMES);
  lua_setiuservalue(L, top, STANDARD_BOX);
  lua_pop(L, 1);
  kept->standard = refs.standard;
}

/* Pushes the userdata.  [-0, +1, m] */
static struct lp__references *push_references(lua_State *L) {
  struct lp__references *refs;
  lp__own_get(L, &registry_key);
  refs = lua_touserdata(L, -1);
  if (refs->standard.count == 0)
    name_standards(L, refs);
  return refs;
}

/* Pushes one of the home's tables.  [-0, +1, -] */
static void push_table(lua_State *L, int field) {
  push_references(L);
  lua_getiuservalue(L, -1, HOME);
  lua_rawgeti(L, -1, field);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* Whether the table on top looks like a class: it has a function or a
 * metamethod.  Tables of plain data travel by value, so that changes made to
 * them here are not lost. */
static int is_class(lua_State *L) {
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    int yes =
        lua_isfunction(L, -1) || (lua_type(L, -2) == LUA_TSTRING &&
                                  strncmp(lua_tostring(L, -2), "__", 2) == 0);
    lua_pop(L, 1);
    if (yes) {
      lua_pop(L, 1);
      return 1;
    }
  }
  return 0;
}

/* Adds the fields of the module (value on top, name below). */
static void add_fields(lua_State *L, struct lp__references *refs) {
  lua_pushnil(L);
  while (lua_next(L, -2)) { /* name module key value */
    if (lua_type(L, -2) == LUA_TSTRING &&
        (lua_isfunction(L, -1) || (lua_istable(L, -1) && is_class(L)))) {
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -5);
      lua_pushvalue(L, -3); /* ... field name value */
      note(L, refs, &refs->modules);
    }
    lua_pop(L, 1);
  }
}

static int is_globals(lua_State *L, int index) {
  int yes;
  lua_pushglobaltable(L);
  yes = lua_rawequal(L, -1, index);
  lua_pop(L, 1);
  return yes;
}

/* Whether the module on top (its name below) can travel by name: found out
 * once per name. */
static int travels(lua_State *L, struct lp__references *refs) {
  int top = lua_gettop(L), yes;
  if (lua_type(L, top - 1) != LUA_TSTRING ||
      !(lua_istable(L, top) || lua_isfunction(L, top)) || is_globals(L, top))
    return 0;
  lua_rawgeti(L, refs->home, TRAVELS);
  lua_pushvalue(L, top - 1);
  if (lua_rawget(L, top + 1) == LUA_TNIL) {
    int known = lp__reference_module_known(L, top - 1);
    lua_pushvalue(L, top - 1);
    lua_pushboolean(L, known);
    lua_rawset(L, top + 1);
    lua_settop(L, top + 1);
    lua_pushboolean(L, known);
  }
  yes = lua_toboolean(L, -1);
  lua_settop(L, top);
  return yes;
}

/* Keeps what the session found for the next one. */
static void keep(lua_State *L, const struct lp__references *refs) {
  struct lp__references *kept = push_references(L);
  *kept = *refs;
  lua_pushvalue(L, refs->box);
  lua_setiuservalue(L, -2, MODULES_BOX);
  lua_pushvalue(L, refs->names);
  lua_setiuservalue(L, -2, MODULES_NAMES);
  lua_pop(L, 1);
}

/* Keeps where the pairs of the table at the index are, in the order of
 * lua_next, for is_fresh. SEEN keeps all of it alive.  [-0, +0, m] */
static void keep_order(lua_State *L, const struct lp__references *refs,
                       int table, size_t count) {
  const void **order = lua_newuserdatauv(L, 2 * count * sizeof *order, 0);
  lua_pushnil(L);
  while (lua_next(L, table)) { /* name module */
    *order++ = lua_topointer(L, -2);
    *order++ = lua_topointer(L, -1);
    lua_pop(L, 1);
  }
  lua_rawseti(L, refs->home, ORDER);
}

/* The map and the names are made anew: another session may use the old. */
void lp__reference_refresh(lua_State *L, struct lp__references *refs) {
  int top = lua_gettop(L);
  size_t count = 0;
  luaL_checkstack(L, 20, NULL);
  memset(&refs->modules, 0, sizeof refs->modules);
  lua_newtable(L);
  lua_replace(L, refs->names);
  lua_newtable(L); /* seen */
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushnil(L);
  while (lua_next(L, top + 2)) { /* seen loaded name value */
    lua_pushvalue(L, top + 3);
    lua_pushvalue(L, top + 4);
    lua_rawset(L, top + 1);
    if (travels(L, refs)) {
      lua_pushboolean(L, 0);
      lua_pushvalue(L, top + 3);
      lua_pushvalue(L, top + 4);
      note(L, refs, &refs->modules);
      if (lua_istable(L, top + 4))
        add_fields(L, refs);
    }
    lua_settop(L, top + 3);
    count++;
  }
  keep_order(L, refs, top + 2, count);
  lua_pop(L, 1);
  lua_rawseti(L, refs->home, SEEN);
  keep(L, refs);
}

/* Whether package.loaded is what it was at the last refresh. This is asked for
 * most values that travel, so it only looks where the modules are. */
static int is_fresh(lua_State *L, const struct lp__references *refs) {
  int top = lua_gettop(L), fresh = 1;
  size_t count, i = 0;
  const void **order;
  lua_rawgeti(L, refs->home, ORDER);
  order = lua_touserdata(L, -1);
  count = order ? lua_rawlen(L, -1) / sizeof *order : 0;
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushnil(L);
  while (fresh && lua_next(L, top + 2)) { /* order loaded name value */
    fresh = i < count && order[i] == lua_topointer(L, -2) &&
            order[i + 1] == lua_topointer(L, -1);
    i += 2;
    lua_pop(L, 1);
  }
  lua_settop(L, top);
  return fresh && i == count;
}

void lp__reference_begin(lua_State *L, struct lp__references *refs) {
  int top = lua_gettop(L);
  *refs = *push_references(L);
  lua_getiuservalue(L, top + 1, HOME);
  lua_getiuservalue(L, top + 1, MODULES_BOX);
  lua_getiuservalue(L, top + 1, MODULES_NAMES);
  lua_remove(L, top + 1);
  refs->home = top + 1;
  refs->box = top + 2;
  refs->names = top + 3;
  lua_pushglobaltable(L);
  refs->globals = lua_topointer(L, -1);
  lua_pop(L, 1);
  refs->is_compared = 0;
}

/* Values that hold nothing of a module, as most do, need not look at all of
 * package.loaded. */
static void compare(lua_State *L, struct lp__references *refs) {
  refs->is_compared = 1;
  luaL_checkstack(L, 20, NULL);
  if (!is_fresh(L, refs))
    lp__reference_refresh(L, refs);
}

/* Whether package.loaded[name] (or its field) is the object at `index`; name
 * and field are on top. */
static int is_current(lua_State *L, int index) {
  int top = lua_gettop(L), same;
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, top - 1);
  lua_rawget(L, -2);
  if (lua_toboolean(L, top) && lua_istable(L, -1)) {
    lua_pushvalue(L, top);
    lua_rawget(L, -2);
  }
  same = lua_rawequal(L, -1, index);
  lua_settop(L, top);
  return same;
}

/* Pushes name and field of an entry.  [-0, +2, -] */
static void push_names(lua_State *L, const struct lp__references *refs,
                       uint32_t entry) {
  lua_rawgeti(L, refs->names, (lua_Integer)entry + 1);
  lua_rawgeti(L, refs->names, (lua_Integer)entry + 2);
}

/* The entry of a standard object, or NULL. */
static const struct lp__map_entry *
find_standard(lua_State *L, const struct lp__references *refs, int index) {
  const struct lp__map_entry *entry =
      lp__map_find(&refs->standard, lua_topointer(L, index));
  lua_CFunction function;
  void *address;
  if (entry != NULL || !lua_iscfunction(L, index))
    return entry;
  function = lua_tocfunction(L, index);
  memcpy(&address, &function, sizeof address); /* as lua_topointer has it */
  return lp__map_find(&refs->standard, address);
}

enum lp__reference lp__reference_of(lua_State *L, struct lp__references *refs,
                                    int index) {
  const void *object = lua_topointer(L, index);
  const struct lp__map_entry *entry = find_standard(L, refs, index);
  if (entry != NULL) {
    lua_rawgeti(L, refs->home, STANDARD_NAMES);
    lua_rawgeti(L, -1, (lua_Integer)entry->value + 1);
    lua_remove(L, -2);
    return LP__REFERENCE_STANDARD;
  }
  if (object == refs->globals)
    return LP__REFERENCE_GLOBALS;
  index = lua_absindex(L, index);
  if (!refs->is_compared)
    compare(L, refs);
  if ((entry = lp__map_find(&refs->modules, object)) != NULL) {
    push_names(L, refs, entry->value);
    if (is_current(L, index)) {
      if (lua_toboolean(L, -1))
        return LP__REFERENCE_FIELD;
      lua_pop(L, 1);
      return LP__REFERENCE_MODULE;
    }
    lua_pop(L, 2);
  }
  return LP__REFERENCE_NONE;
}

void lp__reference_standard(lua_State *L) {
  push_table(L, VALUES);
  lua_insert(L, -2);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

void lp__reference_globals(lua_State *L) {
  push_table(L, GLOBALS);
}

int lp__reference_is_standard_global(lua_State *L, int name, int value) {
  int same;
  name = lua_absindex(L, name);
  value = lua_absindex(L, value);
  push_table(L, GLOBALS);
  lua_pushvalue(L, name);
  lua_rawget(L, -2);
  same = lua_rawequal(L, -1, value);
  lua_pop(L, 2);
  return same;
}

/* Removes or puts back what differs from the snapshot, both at indexes, and
 * returns how many fields did not. */
static size_t remove_changes(lua_State *L, int table, int snapshot) {
  size_t same = 0;
  lua_pushnil(L);
  while (lua_next(L, table)) { /* key value */
    lua_pushvalue(L, -2);
    lua_rawget(L, snapshot); /* key value old */
    if (lua_rawequal(L, -1, -2)) {
      same++;
      lua_pop(L, 2);
    } else {
      lua_pushvalue(L, -3);
      lua_insert(L, -2);
      lua_rawset(L, table); /* an existing field: allowed during a walk */
      lua_pop(L, 1);
    }
  }
  return same;
}

void lp__reference_reset(lua_State *L) {
  int top = lua_gettop(L);
  const struct lp__references *refs;
  lp__own_get(L, &registry_key);
  refs = lua_touserdata(L, -1);
  lua_pushglobaltable(L);
  lua_getiuservalue(L, top + 1, HOME);
  lua_rawgeti(L, -1, GLOBALS);
  lua_remove(L, -2); /* refs globals snapshot */
  lua_pushnil(L);
  lua_setmetatable(L, top + 2);
  if (remove_changes(L, top + 2, top + 3) < refs->global_count) {
    lua_pushnil(L);
    while (lua_next(L, top + 3)) { /* key value */
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, top + 2);
    }
  }
  lua_settop(L, top);
}
