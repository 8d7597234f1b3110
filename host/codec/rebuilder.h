/*
 * The functions that `__lambdapool` hooks of this state returned: the only ones
 * that loading calls to rebuild a value, unless the bytes are trusted.
 */
#ifndef LP__REBUILDER_H
#define LP__REBUILDER_H

#include <lua.h>

/* Remembers the function at `index` (absolute) as one that a `__lambdapool`
 * hook returned.  [-0, +0, m] */
void lp__rebuilder_note(lua_State *L, int index);

/* Whether `function` (at index) was returned by a `__lambdapool` hook of this
 * state; of functions that are equal code the one that was pushes itself.
 * [-0, +0|+1, m] */
int lp__rebuilder_is_own(lua_State *L, int function);

#endif
