/*
 * Modules whose source came with a payload: what `require` finds first.
 */
#ifndef LP__OFFERED_H
#define LP__OFFERED_H

#include <lua.h>

/* Puts the searcher for them in front of package.searchers, and replaces the
 * global `require` by one that notes what globals a module defines while it is
 * loaded.  [-0, +0, m] */
void lp__offered_open(lua_State *L);

/* Sets the globals that the modules which are loaded defined then: a worker
 * resets its globals before each call, but loads a module once.
 * [-0, +0, m] */
void lp__offered_set_globals(lua_State *L);

/* A call begins, on a worker: what was offered by others is not seen by it,
 * and from here on what is offered wins over what is loaded.  [-0, +0, m] */
void lp__offered_begin(lua_State *L);

/* Offers the module whose name, and below it chunk name and text (or the
 * loader function and false), are on top: name, chunk name, text.  On a host,
 * a module of that name that is loaded already stays.  [-3, +0, m] */
void lp__offered_add(lua_State *L);

/* All modules of the payload are known: unless every module that an earlier
 * payload brought and that is loaded now is offered again with the same
 * source, those are all unloaded, since they may hold each other.
 * [-0, +0, m] */
void lp__offered_settle(lua_State *L);

#endif
