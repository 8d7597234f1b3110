/* Bytes that Lua code passes on without having them. See lent.h. */
#include "lent.h"

#include "own.h"

/* What the metatable is known by, and by what it knows itself: objects are
 * looked at several times for each result, where names would take longer. */
static const char key = 0;

struct lp__lent *lp__lent_test(lua_State *L, int index) {
  struct lp__lent *lent = lua_touserdata(L, index);
  if (lent == NULL || !lua_getmetatable(L, index))
    return NULL;
  if (lua_rawgetp(L, -1, &key) == LUA_TNIL)
    lent = NULL;
  lua_pop(L, 2);
  return lent;
}

void lp__lent_release(struct lp__lent *lent) {
  lp__block_release(lent->block);
  lent->block = NULL;
  lent->bytes = NULL;
  lent->size = 0;
}

static int collect(lua_State *L) {
  lp__lent_release(lua_touserdata(L, 1));
  return 0;
}

static int length(lua_State *L) {
  const struct lp__lent *lent = lua_touserdata(L, 1);
  lua_pushinteger(L, (lua_Integer)lent->size);
  return 1;
}

/* It is kept when it is complete: objects that were made after memory ran out
 * here must have their __gc, too. */
static void push_metatable(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"__gc", collect}, {"__len", length}, {NULL, NULL}};
  if (lp__own_get(L, &key) != LUA_TNIL)
    return;
  lua_pop(L, 1);
  luaL_newlib(L, methods);
  lua_pushliteral(L, "lambdapool.Lent");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 1);
  lua_rawsetp(L, -2, &key);
  lua_pushvalue(L, -1);
  lp__own_set(L, &key);
}

void lp__lent_push(lua_State *L, struct lp__block *block, char *bytes,
                   size_t size) {
  struct lp__lent *lent = lua_newuserdatauv(L, sizeof *lent, 0);
  *lent = (struct lp__lent){NULL, NULL, 0, false};
  push_metatable(L);
  lua_setmetatable(L, -2);
  lent->block = lp__block_hold(block);
  lent->bytes = bytes;
  lent->size = size;
}
