/*
 * The tables of the standard library, and putting them back.
 */
#ifndef LP__LIBRARIES_H
#define LP__LIBRARIES_H

#include <lua.h>

/* Copies the standard libraries; a nil-ended list of their names is below.
 * Call once on a fresh state.  [-0, +0, m] */
void lp__libraries_open(lua_State *L);

/* Undoes what was done to them since.  Costs little when nothing was.
 * [-0, +0, m] */
void lp__libraries_reset(lua_State *L);

extern const char *const lp__libraries[];

#endif
