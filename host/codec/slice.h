/*
 * Slices: a function's own lines out of a large chunk.
 *
 * Sending a file of 10,000 lines for a function of three is wasteful, so a
 * slice is made: a chunk that declares the upvalues' names as locals and
 * returns the function's text.  It stands for the original only if it
 * compiles to the same code, so finding it may be simple, never wrong.
 */
#ifndef LP__SLICE_H
#define LP__SLICE_H

#include <lua.h>

#include "prototype.h"

/* Tries to make a slice of the chunk's text at index `text` for the function
 * `proto`.  Behind proto->line - 1 newlines it compiles to a chunk whose first
 * function is `proto`.  Pushes it and returns 1, or returns 0.
 * [-0, +0|+1, m] */
int lp__slice(lua_State *L, int text, const struct lp__proto *proto);

#endif
