/*
 * What is Lua's own in a Lua state that is somebody else's: anything may have
 * been done to its globals before we came, so a snapshot says nothing.
 */
#ifndef LP__STANDARD_H
#define LP__STANDARD_H

#include <lua.h>

/* Finds out, and tells libraries.h and reference.h of it. Pushes a table like
 * that of the globals of a fresh state, with the standard libraries, of which
 * nobody else has any table.  [-0, +1, e] */
void lp__standard_adopt(lua_State *L);

#endif
