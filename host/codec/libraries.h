/*
 * The tables of the standard library, and putting them back.
 */
#ifndef LP__LIBRARIES_H
#define LP__LIBRARIES_H

#include <lua.h>

/* Their names, ended by NULL. */
extern const char *const lp__libraries[];

/* Copies them.  Call once on a fresh state.  [-0, +0, m] */
void lp__libraries_open(lua_State *L);

/* The same in a state that is not ours: the copies are in the table on top, by
 * name.  [-1, +0, m] */
void lp__libraries_adopt(lua_State *L);

/* Pushes the copy of number `i` of the names.  [-0, +1, -] */
void lp__libraries_push_copy(lua_State *L, int i);

/* Undoes what was done to them since; in a state of ours only.  Costs little
 * when nothing was.
 * [-0, +0, m] */
void lp__libraries_reset(lua_State *L);

#endif
