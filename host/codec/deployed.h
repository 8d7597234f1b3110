/*
 * Modules that a worker has of its own, in what was deployed with it: which of
 * them a call used, and what their text is.  The caller compares that with what
 * it has itself, so that a stale copy is never run unnoticed.
 *
 * A call uses the modules that it requires, and all that these required while
 * they were loaded, in this call or an earlier one: they may hold each other.
 */
#ifndef LP__DEPLOYED_H
#define LP__DEPLOYED_H

#include <lua.h>

/* Longer names of modules are not told. */
enum { LP__DEPLOYED_NAME_MAX = 250 };

/* A call begins: it has used nothing.  [-0, +0, m] */
void lp__deployed_begin(lua_State *L);

/* `require` is about to load a module; returns what leave needs to know. When
 * loading raises, leave is not called.  [-0, +0, m] */
lua_Integer lp__deployed_enter(lua_State *L);

/* It has loaded the module whose name is at `name`; `offered` when its source
 * came with the call.  [-0, +0, m] */
void lp__deployed_leave(lua_State *L, lua_Integer entered, int name,
                        int offered);

/* The call uses the module whose name is at `name`, which is loaded already.
 * [-0, +0, m] */
void lp__deployed_use(lua_State *L, int name);

/* Pushes the list of what the call has used: a table with the names and the
 * hashes of their texts (16 bytes, XXH3-128) by turns; nil when it used none.
 * [-0, +1, m] */
void lp__deployed_push(lua_State *L);

/* Pushes that hash of the string on top.  [-0, +1, m] */
void lp__deployed_hash(lua_State *L);

#endif
