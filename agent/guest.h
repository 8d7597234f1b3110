/*
 * `require "lambdapool"` inside a task: what makes sense there.
 */
#ifndef LP__GUEST_H
#define LP__GUEST_H

#include <lua.h>

/* Puts the module into package.preload.  [-0, +0, m] */
void lp__guest_open(lua_State *L);

#endif
