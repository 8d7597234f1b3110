/*
 * Values that travel by name: the standard library, modules, and the functions
 * and classes that are fields of modules.
 */
#ifndef LP__REFERENCE_H
#define LP__REFERENCE_H

#include <lua.h>

#include "pointer_map.h"

enum lp__reference {
  LP__REFERENCE_NONE,
  LP__REFERENCE_GLOBALS,  /* the table of globals */
  LP__REFERENCE_STANDARD, /* name: "string.format", "io.stdout", "math" */
  LP__REFERENCE_MODULE,   /* name: what require was called with */
  LP__REFERENCE_FIELD     /* name and field: package.loaded[name][field] */
};

/* Takes the snapshot of the globals and of the standard libraries.  Call once
 * on a fresh state.  [-0, +0, m] */
void lp__reference_open(lua_State *L);

/* The same in a state that is not ours.  On top are the standard globals and
 * the C functions of the standard library, both by name: the former "string"
 * and "print", the latter "string.format", too.  [-2, +0, m] */
void lp__reference_adopt(lua_State *L);

/* Names for the objects of this state, as one session of dumping sees them. */
struct lp__references {
  struct lp__map standard; /* object -> number of its name */
  struct lp__map modules;
  const void *globals; /* address of the table of globals */
  size_t global_count; /* in the snapshot */
  int home;            /* stack index of the tables */
  int box;             /* stack index of the memory of `modules` */
  int names;           /* stack index of the names in `modules` */
  int is_compared;     /* whether `modules` was compared with package.loaded */
};

/* Pushes three values that stay while `refs` is used.  [-0, +3, m] */
void lp__reference_begin(lua_State *L, struct lp__references *refs);

/* What the table, function or userdata at `index` is known as.  Pushes the
 * name, and for a field its name on top.  The first time that it is not a
 * standard one, `refs` is brought up to date with package.loaded.
 * [-0, +0|+1|+2, m] */
enum lp__reference lp__reference_of(lua_State *L, struct lp__references *refs,
                                    int index);

/* Looks again at the fields of all modules: call it when code that was never
 * seen before is dumped.  [-0, +0, m] */
void lp__reference_refresh(lua_State *L, struct lp__references *refs);

/* Pushes the standard value called `name` (on top of the stack, replaced);
 * nil when there is none.  [-1, +1, -] */
void lp__reference_standard(lua_State *L);

/* Pushes the snapshot of the globals: { name = value }.  [-0, +1, -] */
void lp__reference_globals(lua_State *L);

/* Whether the global `name` (at index) still has its standard value `value`
 * (at index).  [-0, +0, -] */
int lp__reference_is_standard_global(lua_State *L, int name, int value);

/* Puts the globals back to the snapshot, their metatable removed.
 * [-0, +0, m] */
void lp__reference_reset(lua_State *L);

/* How the module called `name` (string at index) reaches a worker.  Pushes
 * chunk name and text for LP__SHIP_TEXT, a function for LP__SHIP_LOADER.
 * LP__SHIP_NAME: the worker must have it.  LP__SHIP_CHANGED: it is loaded, and
 * its file, whose chunk name is pushed, has another text now.
 * LP__SHIP_UNKNOWN: there is no such module.  [-0, +0|+1|+2, m] */
enum lp__ship {
  LP__SHIP_UNKNOWN,
  LP__SHIP_CHANGED,
  LP__SHIP_NAME,
  LP__SHIP_TEXT,
  LP__SHIP_LOADER
};
enum lp__ship lp__reference_module(lua_State *L, int name);

/* Whether it reaches a worker in one of these ways.  [-0, +0, m] */
int lp__reference_module_known(lua_State *L, int name);

/* Notes the text (at index) that the module `name` (at index) was loaded from
 * under the chunk name (at index).  [-0, +0, m] */
void lp__reference_note_module(lua_State *L, int name, int chunk_name,
                               int text);

#endif
