/*
 * Whether a table has other keys than 1 to n.
 */
#ifndef LP__SEQUENCE_H
#define LP__SEQUENCE_H

#include <lua.h>
#include <stddef.h>

/* Whether the table at `index`, whose elements 1 to n were just read and are
 * not nil, has no other keys.  [-0, +0, -] */
int lp__is_sequence(lua_State *L, int index, size_t n);

#endif
