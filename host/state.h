/*
 * A Lua state as every lambdapool program has it: the host and the agent.
 */
#ifndef LP__STATE_H
#define LP__STATE_H

#include <lua.h>

/* Opens the standard libraries, makes lua-cjson available to require, puts in
 * place the load, loadfile, dofile and module searcher that remember source
 * texts, and takes the snapshot of the standard globals.  Call it once,
 * protected, on a fresh state.  [-0, +0, e] */
int lp__state_open(lua_State *L);

/* The same in two steps: first the libraries, whose functions may be replaced
 * then, and that counts as standard; then all the rest.  [-0, +0, e] */
void lp__state_open_libraries(lua_State *L);
void lp__state_open_rest(lua_State *L);

/* Puts the globals, and the standard library's tables, back to what they were
 * in the fresh state, plus what modules defined while they were loaded.
 * [-0, +0, e] */
void lp__state_reset(lua_State *L);

int luaopen_lambdapool_codec(lua_State *L); /* lib_codec.c */

#endif
