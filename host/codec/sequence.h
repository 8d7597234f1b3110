/*
 * Whether a table has other keys than 1 to n.
 */
#ifndef LP__SEQUENCE_H
#define LP__SEQUENCE_H

#include <lua.h>
#include <stddef.h>

/* Finds out, once per state, whether the quick way works here; see
 * sequence.c.  [-0, +0, m] */
void lp__sequence_open(lua_State *L);

/* What it found.  [-0, +0, -] */
int lp__sequence_is_quick(lua_State *L);

/* Whether the table at `index`, whose elements 1 to n were just read and of
 * which `present` are not nil, has no other keys.  [-0, +0, -] */
int lp__is_sequence(lua_State *L, int quick, int index, size_t n,
                    size_t present);

#endif
