/*
 * The functions that load chunks, replaced by ones that remember the text.
 */
#ifndef LP__LIB_LOAD_H
#define LP__LIB_LOAD_H

#include <lua.h>

/* Replaces the globals load, loadfile and dofile and the searcher of Lua
 * files in package.searchers.  [-0, +0, e] */
void lp__load_open(lua_State *L);

#endif
