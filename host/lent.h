/* Bytes that Lua code passes on without having them: a part of a block, such as
 * an answer or one result in it. Lua's collector does not know how much it
 * stands for, so whoever is done with it releases it. */
#ifndef LP_LENT_H
#define LP_LENT_H

#include "block.h"

#include <lua.h>
#include <stdbool.h>

struct lp__lent {
  struct lp__block *block; /* held; NULL once it was released */
  char *bytes;
  size_t size;
  bool is_whole; /* an answer whose checksum has been found to be right */
};

/* Pushes an object for `size` bytes inside of `block`, which it holds. #object
 * is their number, 0 when they were released.  [-0, +1, m] */
void lp__lent_push(lua_State *L, struct lp__block *block, char *bytes,
                   size_t size);

/* What the value at `index` lends; NULL when it is no such object.  [-0, +0, -]
 */
struct lp__lent *lp__lent_test(lua_State *L, int index);

/* Gives the block back. */
void lp__lent_release(struct lp__lent *lent);

#endif
