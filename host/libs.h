/* The Lua C modules that only the host has: `require "lambdapool.workers"` and
 * so on. What they offer stands above each of them. */
#ifndef LP_LIBS_H
#define LP_LIBS_H

#include <lua.h>

int luaopen_lambdapool_workers(lua_State *L); /* lib_workers.c */
int luaopen_lambdapool_system(lua_State *L);  /* lib_system.c */
int luaopen_lambdapool_parts(lua_State *L);   /* lib_parts.c */
int luaopen_lambdapool_json(lua_State *L);    /* lib_json.c, json.native */
/* lib_command.c, command.native */
int luaopen_lambdapool_command(lua_State *L);

/* Makes what unloads cloud.so and terminal.so (lib_parts.c) when the state is
 * closed. To be called before the first object is made that they may leave
 * callbacks in: the loop.  [-0, +0, m] */
void lp__parts_open(lua_State *L);

#endif
