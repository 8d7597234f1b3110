/*
 * The coroutine library, with resume, wrap and close that tell the limits
 * which coroutine runs (see limits.h). For Lua code nothing else differs.
 */
#ifndef LP__COROUTINE_H
#define LP__COROUTINE_H

#include <lua.h>

/* Opens the library in a fresh state whose allocator is lp__limits_alloc.
 * Called before the other libraries are opened: luaL_openlibs keeps a library
 * that is already loaded.  [-0, +0, m] */
void lp__coroutine_open(lua_State *L);

#endif
