/*
 * Functions out of chunk texts, compiled once.
 */
#ifndef LP__LIFT_H
#define LP__LIFT_H

#include <lua.h>

#include "prototype.h"

/* The text of a chunk and the path to one of its functions, as received. */
struct lp__origin_text {
  struct lp__bytes name; /* chunk name */
  lua_Integer newlines;  /* in front of the text */
  struct lp__bytes text;
  struct lp__path path;
};

/* Pushes a new closure of the function, its upvalues all nil and its own, and
 * returns how many; the enclosing chunk is not run.  Raises when the text does
 * not compile or has no such function.  The compiled form is cached, and the
 * text remembered for dumping the function again.  [-0, +1, e] */
int lp__lift(lua_State *L, const struct lp__origin_text *origin);

#endif
