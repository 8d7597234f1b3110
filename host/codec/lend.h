/*
 * Results that are lent: the strings of a record stay where they have arrived,
 * in a block, and the user is shown them there.
 */
#ifndef LP__LEND_H
#define LP__LEND_H

#include <lua.h>

#include "../lent.h"
#include "prototype.h"

/* Loads a body that lies in what `lent` lends, if all its values are simple:
 * nil, booleans, numbers, strings.  Pushes them and returns how many; strings
 * of some size come as objects like `lent`, parts of the same block, with a
 * zero behind each.  The zeros overwrite what stands between the values, so a
 * body is loaded once.  Returns -1, and has pushed and changed nothing, when it
 * is any other body, or none.  [-0, +n, m] */
int lp__lend_body(lua_State *L, struct lp__bytes body,
                  const struct lp__lent *lent);

#endif
