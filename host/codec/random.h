/*
 * Seeding math.random before each task, so that what a task draws depends on
 * the seed and the task's index only: not on the worker, on the order, nor on
 * which other tasks are in the call.
 */
#ifndef LP__RANDOM_H
#define LP__RANDOM_H

#include <lua.h>
#include <stdint.h>

/* Returns the state of math.random's generator, which lives as long as L; or
 * NULL when it is not where Lua 5.4 has it.  [-0, +0, m] */
void *lp__random_state(lua_State *L);

/* Seeds the generator; `state` is from lp__random_state.  A few ns; with NULL
 * it calls math.randomseed instead.  [-0, +0, m] */
void lp__random_seed(lua_State *L, void *state, uint64_t seed, uint64_t index);

#endif
