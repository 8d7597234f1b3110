/*
 * Bytes to Lua values.
 *
 * Loading runs nothing that came with the bytes.  Chunks are compiled as text
 * and functions lifted out of what this process's own compiler made; modules
 * are taken from package.loaded; a value with a `__lambdapool` hook is rebuilt
 * only by a function of the receiver's own that such a hook returned here
 * before.  A trusted load, which a worker does with what it is about to run
 * anyway, also requires modules and calls any rebuild function.
 *
 * Metatables are set when everything is complete: no finalizer of a failed
 * load ever runs.
 */
#ifndef LP__LOAD_H
#define LP__LOAD_H

#include <lua.h>

#include "prototype.h"

struct lp__load_options {
  int trusted;
  int environment;  /* stack index of the table for globals; 0: a new one with
                       the standard globals */
  int origins;      /* stack index: list of tables, offset -> own object, for
                       what the sender calls ORIGIN; 0: none */
  int note;         /* stack index of a table to fill: object -> dump << 32 |
                       key of ORIGIN; 0: none */
  lua_Integer dump; /* the number of this dump in `note` and `origins` */
};

/* Loads a body: pushes its values and returns how many.  Raises "cannot load:
 * ..." for anything malformed; memory and time are bounded by the size of the
 * bytes.  [-0, +n, e] */
int lp__load_body(lua_State *L, struct lp__bytes body,
                  const struct lp__load_options *options);

/* Loads a body of one simple value: most arguments and results are that.
 * Pushes it and returns 1; or pushes nothing and returns 0.  [-0, +0|+1, m] */
int lp__load_simple(lua_State *L, struct lp__bytes body);

/* Loads a whole dump, header included.  [-0, +n, e] */
int lp__load_values(lua_State *L, struct lp__bytes dump,
                    const struct lp__load_options *options);

#endif
