/*
 * What a function names: the globals it reads and writes, the modules it
 * requires.  Read from its instructions, so strings, fields and names under
 * a local `_ENV` are never mistaken for globals.
 */
#ifndef LP__NAMES_H
#define LP__NAMES_H

#include <lua.h>

#include "prototype.h"

/* How a name was found.  The upvalue is one of the outermost function's. */
enum lp__name_kind {
  LP__NAME_FIELD,          /* field `name` of the upvalue */
  LP__NAME_REQUIRE_FIELD,  /* field "require" of the upvalue called with it */
  LP__NAME_REQUIRE_UPVALUE /* the upvalue itself called with it */
};

/* Pushes an array { upvalue, kind, name, upvalue, kind, name, ... } of what
 * `proto` and the functions in it name; upvalues count from 1, each triple
 * occurs once.  Pushes false when there is nothing.  [-0, +1, m] */
void lp__names_push(lua_State *L, const struct lp__proto *proto);

#endif
