/*
 * The standard library of a state that is not ours.  See standard.h.
 *
 * A C function has one address in all states of a process.  So a fresh state
 * is opened for a moment, and what its globals and libraries are tells what is
 * standard in the other one:
 *
 * - A C function under a standard name is that standard value: print, also
 *   when the program has put a print of its own there, which no worker has.
 * - Anything else under a standard name is the user's and travels as such.
 * - The functions of the fresh state are known by their names wherever they
 *   are: `local p = print` is print, whatever print is now.
 */
#include "standard.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "libraries.h"
#include "reference.h"

/* What is being made. The tables are stack indexes. */
struct adoption {
  lua_State *fresh;
  int globals;   /* name -> value: the snapshot for reference.h */
  int functions; /* name -> C function: the same */
  int libraries; /* name -> table of the library: for libraries.h */
  int pure;      /* what lp__standard_adopt pushes */
  int known;     /* C function -> true: the standard ones */
};

/* Whether the C function on top has no upvalues, and so can be made anew. */
static int is_light(lua_State *fresh) {
  if (lua_getupvalue(fresh, -1, 1) == NULL)
    return 1;
  lua_pop(fresh, 1);
  return 0;
}

/* Whether the value on top stands for the function on top of the fresh state:
 * it is that, or a C function which is no standard one.  [-0, +0, -] */
static int stands_for(lua_State *L, const struct adoption *a) {
  int is_other;
  if (!lua_iscfunction(L, -1))
    return 0;
  if (lua_tocfunction(L, -1) == lua_tocfunction(a->fresh, -1))
    return 1;
  lua_pushcfunction(L, lua_tocfunction(L, -1));
  is_other = lua_rawget(L, a->known) == LUA_TNIL;
  lua_pop(L, 1);
  return is_other;
}

/* Replaces the value on top, what the other state has where the fresh one has
 * the function on its top, by the standard one; nil when that cannot be had. */
static void choose_function(lua_State *L, const struct adoption *a) {
  if (stands_for(L, a))
    return;
  lua_pop(L, 1);
  if (is_light(a->fresh))
    lua_pushcfunction(L, lua_tocfunction(a->fresh, -1));
  else
    lua_pushnil(L);
}

/* Pushes what is to be in a table of ours where the fresh state has the
 * function on its top. The value of the other state is on top. */
static void push_pure_function(lua_State *L, lua_State *fresh) {
  if (is_light(fresh))
    lua_pushcfunction(L, lua_tocfunction(fresh, -1));
  else
    lua_pushvalue(L, -1);
}

/* Notes the functions of the table on top of the fresh state.  [-0, +0, m] */
static void note_functions(lua_State *L, const struct adoption *a,
                           const char *prefix) {
  lua_pushnil(a->fresh);
  while (lua_next(a->fresh, -2)) { /* table name value */
    if (lua_iscfunction(a->fresh, -1)) {
      lua_pushfstring(L, "%s%s", prefix, lua_tostring(a->fresh, -2));
      lua_pushcfunction(L, lua_tocfunction(a->fresh, -1));
      lua_pushvalue(L, -1);
      lua_pushboolean(L, 1);
      lua_rawset(L, a->known);
      lua_rawset(L, a->functions);
    }
    lua_pop(a->fresh, 1);
  }
}

static void note_all_functions(lua_State *L, const struct adoption *a) {
  char prefix[16];
  int i;
  lua_pushglobaltable(a->fresh);
  note_functions(L, a, "");
  for (i = 0; lp__libraries[i]; i++) {
    strcpy(prefix, lp__libraries[i]);
    strcat(prefix, ".");
    lua_getfield(a->fresh, -1, lp__libraries[i]);
    note_functions(L, a, prefix);
    lua_pop(a->fresh, 1);
  }
  lua_pop(a->fresh, 1);
}

/* Adds the field `name`, whose value in the fresh state is on its top and in
 * the other one on top, to the tables at `snapshot` and `pure`.  [-1, +0, m] */
static void add_field(lua_State *L, const struct adoption *a, int snapshot,
                      int pure, const char *name) {
  if (lua_isfunction(a->fresh, -1)) {
    choose_function(L, a);
    push_pure_function(L, a->fresh);
  } else {
    if (lua_type(L, -1) != lua_type(a->fresh, -1)) {
      lua_pop(L, 1);
      lua_pushnil(L);
    }
    lua_pushvalue(L, -1);
  } /* value pure */
  lua_pushstring(L, name);
  lua_insert(L, -2);
  lua_rawset(L, pure);
  lua_pushstring(L, name);
  lua_insert(L, -2);
  lua_rawset(L, snapshot);
}

/* Adds what the table on top of the fresh state has, but for tables in it; the
 * one of the other state, or something that is no table, is on top. */
static void add_fields(lua_State *L, const struct adoption *a, int snapshot,
                       int pure) {
  int table = lua_gettop(L);
  lua_pushnil(a->fresh);
  while (lua_next(a->fresh, -2)) { /* table name value */
    const char *name = lua_tostring(a->fresh, -2);
    if (!lua_istable(a->fresh, -1)) {
      lua_pushstring(L, name);
      if (lua_istable(L, table)) {
        lua_rawget(L, table);
      } else {
        lua_pop(L, 1);
        lua_pushnil(L);
      }
      add_field(L, a, snapshot, pure, name);
    }
    lua_pop(a->fresh, 1);
  }
}

/* Pushes the library's table: the module, or else the global.  [-0, +1, m] */
static void push_library(lua_State *L, const char *name) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushstring(L, name);
  if (lua_rawget(L, -2) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_pushglobaltable(L);
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    lua_remove(L, -2);
  }
  lua_remove(L, -2);
}

static void add_library(lua_State *L, const struct adoption *a,
                        const char *name) {
  int top = lua_gettop(L);
  push_library(L, name);
  lua_newtable(L);
  lua_newtable(L); /* library snapshot pure */
  lua_getglobal(a->fresh, name);
  lua_pushvalue(L, top + 1);
  add_fields(L, a, top + 2, top + 3);
  lua_pop(a->fresh, 1);
  lua_settop(L, top + 3);
  lua_setfield(L, a->pure, name);
  lua_setfield(L, a->libraries, name);
  if (lua_istable(L, -1))
    lua_setfield(L, a->globals, name);
  lua_settop(L, top);
}

static void add_globals(lua_State *L, const struct adoption *a) {
  lua_pushglobaltable(a->fresh);
  lua_pushglobaltable(L);
  add_fields(L, a, a->globals, a->pure);
  lua_setfield(L, a->globals, "_G");
  lua_pop(a->fresh, 1);
}

/* adopt(fresh) -> the table that is pushed. Raises without memory, the fresh
 * state never does. */
static int adopt(lua_State *L) {
  struct adoption a = {lua_touserdata(L, 1), 2, 3, 4, 5, 6};
  int i;
  while (lua_gettop(L) < a.known)
    lua_newtable(L);
  note_all_functions(L, &a);
  add_globals(L, &a);
  for (i = 0; lp__libraries[i]; i++)
    add_library(L, &a, lp__libraries[i]);
  lua_pushvalue(L, a.pure);
  lua_setfield(L, a.pure, "_G");
  lua_pushvalue(L, a.libraries);
  lp__libraries_adopt(L);
  lua_pushvalue(L, a.globals);
  lua_pushvalue(L, a.functions);
  lp__reference_adopt(L);
  lua_settop(L, a.pure);
  return 1;
}

static int open_libraries(lua_State *fresh) {
  luaL_openlibs(fresh);
  return 0;
}

/* A fresh state with libraries, or NULL without memory. */
static lua_State *open_fresh(void) {
  lua_State *fresh = luaL_newstate();
  if (fresh == NULL)
    return NULL;
  lua_pushcfunction(fresh, open_libraries);
  if (lua_pcall(fresh, 0, 0, 0) == LUA_OK)
    return fresh;
  lua_close(fresh);
  return NULL;
}

void lp__standard_adopt(lua_State *L) {
  lua_State *fresh;
  int status;
  lua_pushcfunction(L, adopt);
  fresh = open_fresh();
  if (fresh == NULL)
    luaL_error(L, "not enough memory");
  lua_pushlightuserdata(L, fresh);
  status = lua_pcall(L, 1, 1, 0);
  lua_close(fresh);
  if (status != LUA_OK)
    lua_error(L);
}
