/* Whether a table has other keys than 1 to n.  See sequence.h. */
#include "sequence.h"

int lp__is_sequence(lua_State *L, int index, size_t n) {
  size_t keys = 0;
  lua_pushnil(L);
  while (lua_next(L, index)) { /* n keys are all there are: 1 to n */
    lua_pop(L, 1);
    if (++keys > n) {
      lua_pop(L, 1);
      return 0;
    }
  }
  return 1;
}
