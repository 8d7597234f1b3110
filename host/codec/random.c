/* Seeding math.random.  See random.h.
 *
 * math.randomseed is slow, for a task of a microsecond: so the state is
 * written directly.  It is the userdata that is upvalue 1 of math.random, four
 * words of xoshiro256**; that it really is this is tried out at first use. */
#include "random.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

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

void *lp__random_state(lua_State *L) {
  void *state;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) == LUA_TNIL) {
    lua_pop(L, 1);
    push_state(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  }
  state = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return state;
}

/* splitmix64's output for a counter. */
static uint64_t mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

/* Each index has four words of its own in the sequence of splitmix64 that the
 * seed begins.  They are never all zero, which the generator could not stand:
 * different counters give different words. */
void lp__random_seed(lua_State *L, void *state, uint64_t seed, uint64_t index) {
  const uint64_t step_width = 0x9e3779b97f4a7c15;
  uint64_t counter = mix(seed + step_width) + WORDS * index * step_width;
  uint64_t words[WORDS];
  int i;
  for (i = 0; i < WORDS; i++)
    words[i] = mix(counter += step_width);
  if (state != NULL) {
    memcpy(state, words, sizeof words);
    return;
  }
  push_function(L, "randomseed");
  lua_pushinteger(L, (lua_Integer)words[0]);
  lua_pushinteger(L, (lua_Integer)words[1]);
  lua_call(L, 2, 0);
}
