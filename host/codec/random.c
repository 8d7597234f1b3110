/* Seeding math.random.  See random.h.
 *
 * math.randomseed is slow, for a task of a microsecond: so the state is
 * written directly.  It is the userdata that is upvalue 1 of math.random, four
 * words of xoshiro256**; that it really is this is tried out at first use. */
#include "random.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "../own.h"
#include "libraries.h"

enum { WORDS = 4 };

static const char registry_key = 0;

/* Pushes a function of the math library as it was at the start. */
static void push_function(lua_State *L, const char *name) {
  int i = 0;
  while (strcmp(lp__libraries[i], LUA_MATHLIBNAME) != 0)
    i++;
  lp__libraries_push_copy(L, i);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
}

static uint64_t rotate(uint64_t x, int n) {
  return x << n | x >> (64 - n);
}

/* One step of xoshiro256**, as published by Blackman and Vigna. */
static uint64_t step(uint64_t s[WORDS]) {
  uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

/* Whether `state` is what math.random, on top, draws from. */
static int is_generator(lua_State *L, void *state) {
  uint64_t before[WORDS], after[WORDS], drawn;
  int same;
  memcpy(before, state, sizeof before);
  memcpy(after, state, sizeof after);
  lua_pushvalue(L, -1);
  lua_pushinteger(L, 0); /* all bits of one step */
  lua_call(L, 1, 1);
  drawn = (uint64_t)lua_tointeger(L, -1);
  lua_pop(L, 1);
  same = drawn == step(after) && memcmp(state, after, sizeof after) == 0;
  memcpy(state, before, sizeof before);
  return same;
}

/* Pushes the userdata, or false. */
static void push_state(lua_State *L) {
  push_function(L, "random"); /* random */
  if (lua_getupvalue(L, -1, 1) == NULL) {
    lua_pushnil(L);
  }
  lua_insert(L, -2); /* state random */
  if (lua_type(L, -2) != LUA_TUSERDATA ||
      lua_rawlen(L, -2) != WORDS * sizeof(uint64_t) ||
      !is_generator(L, lua_touserdata(L, -2))) {
    lua_pushboolean(L, 0);
    lua_replace(L, -3);
  }
  lua_pop(L, 1);
}

void lp__random_begin(lua_State *L, struct lp__random *random, uint64_t seed) {
  if (lp__own_get(L, &registry_key) == LUA_TNIL) {
    lua_pop(L, 1);
    push_state(L);
    lua_pushvalue(L, -1);
    lp__own_set(L, &registry_key);
  }
  random->state = lua_touserdata(L, -1); /* the registry keeps it */
  lua_pop(L, 1);
  random->start = lp__random_mix(seed);
}

void lp__random_seed_slowly(lua_State *L, const uint64_t words[4]) {
  push_function(L, "randomseed");
  lua_pushinteger(L, (lua_Integer)words[0]);
  lua_pushinteger(L, (lua_Integer)words[1]);
  lua_call(L, 2, 0);
}
