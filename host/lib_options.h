/* Options: the fields of a table that a Lua function was given. What is wrong
 * with one raises an error about it. */
#ifndef LP_LIB_OPTIONS_H
#define LP_LIB_OPTIONS_H

#include <lua.h>

#include <stdbool.h>

/* Raises about option `name` in the table at `arg`. */
int lp__option_error(lua_State *L, int arg, const char *name, const char *what);

/* Raises when the value at `arg` is not a table or has a key that is not in
 * `names`, which NULL ends. */
void lp__check_options(lua_State *L, int arg, const char *const *names);

/* A string without zeros, or NULL when absent. It stays on the stack, or nil
 * does.  [-0, +1, e] */
const char *lp__string_option(lua_State *L, int arg, const char *name);

/* An integer from `least` to `most`, or `standard` when absent. */
lua_Integer lp__integer_option(lua_State *L, int arg, const char *name,
                               lua_Integer least, lua_Integer most,
                               lua_Integer standard);

/* A boolean; false when absent. */
bool lp__boolean_option(lua_State *L, int arg, const char *name);

#endif
