/*
 * The code object of a call: the dump of its function and what both sides
 * know of it.  A Lua table, so that the collector sees what it refers to.
 */
#ifndef LP__CALL_CODE_H
#define LP__CALL_CODE_H

#include <lua.h>

/* Its fields.  ORIGINS: key -> object; OBJECTS: object -> dump and key, the
 * other way; PLAIN: the body, when BYTES have it compressed, or false. */
enum {
  LP__CODE_BYTES = 1,
  LP__CODE_HASH,
  LP__CODE_NAME,
  LP__CODE_ORIGINS,
  LP__CODE_OBJECTS,
  LP__CODE_PLAIN
};

/* Raises when the argument is no code object.  [-0, +0, v] */
void lp__check_code(lua_State *L, int index);

#endif
