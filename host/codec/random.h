/*
 * Seeding math.random before each task, so that what a task draws depends on
 * the seed and the task's index only: not on the worker, on the order, nor on
 * which other tasks are in the call.
 */
#ifndef LP__RANDOM_H
#define LP__RANDOM_H

#include <lua.h>
#include <stdint.h>
#include <string.h>

struct lp__random {
  uint64_t *state; /* of math.random's generator; NULL: not found */
  uint64_t start;  /* where the sequence of the seed begins */
};

/* Finds the generator and notes the seed.  [-0, +0, m] */
void lp__random_begin(lua_State *L, struct lp__random *random, uint64_t seed);

/* splitmix64's output for a counter. */
static inline uint64_t lp__random_mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

/* The same as below where the generator was not found. */
void lp__random_seed_slowly(lua_State *L, const uint64_t words[4]);

/* Seeds the generator for a task.  Each index has four words of its own in the
 * sequence of splitmix64 that the seed begins.  They are never all zero, which
 * the generator could not stand: different counters give different words.  A
 * few ns.  [-0, +0, m] */
static inline void
lp__random_seed(lua_State *L, const struct lp__random *random, uint64_t index) {
  const uint64_t width = 0x9e3779b97f4a7c15;
  uint64_t counter = random->start + 4 * index * width;
  uint64_t words[4] = {
      lp__random_mix(counter + width), lp__random_mix(counter + 2 * width),
      lp__random_mix(counter + 3 * width), lp__random_mix(counter + 4 * width)};
  if (random->state != NULL) {
    memcpy(random->state, words, sizeof words);
  } else {
    lp__random_seed_slowly(L, words);
  }
}

#endif
