/* The Lua part of lambdapool: where its modules come from, compiled in or, for
 * work on them, in a folder. */
#ifndef LP__OWN_MODULES_H
#define LP__OWN_MODULES_H

#include <lua.h>
#include <stdbool.h>

#define LP__OWN_NAME "lambdapool"

/* Whether it is the name of a module of ours: "lambdapool" or below that. */
bool lp__own_is_name(const char *name);

/* Loads the module called `name` from below `folder`, or the copy that is
 * compiled in when that is NULL or has no such file. Pushes its function and
 * returns LUA_OK; or pushes a message. Without such a module there is no
 * function, but the text that a searcher gives, with LUA_OK.  [-0, +1, m] */
int lp__own_load(lua_State *L, const char *name, const char *folder);

/* Puts a searcher for them right behind the one of package.preload: a file of
 * the same name beside a user's script does not shadow lambdapool. Their
 * globals, libraries included, are a copy of those that there are now: whatever
 * a script makes of them, lambdapool goes on. A module that somebody takes out
 * of package.loaded is the same one when it is required again, unless *fresh,
 * borrowed for as long as the state lives, is true then.  [-0, +0, e] */
void lp__own_install(lua_State *L, const char *folder, const bool *fresh);

#endif
