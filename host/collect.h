/* Garbage of a state whose owner draws frames. Lua collects when something is
 * allocated, as much as it finds right: a result of 64 KB may bring about a
 * whole cycle, at the worst time. Here it is collected in steps of some
 * microseconds, in what is left of the budget of a call; when nothing is left
 * for long, some are taken all the same, in proportion to what was allocated.
 *
 * For states of Lua 5.4 that are the library's own. One thread at a time. */
#ifndef LP_COLLECT_H
#define LP_COLLECT_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lp__collector {
  bool active;  /* a cycle has begun */
  bool late;    /* it must go on, whatever the budget */
  size_t live;  /* bytes that the last cycle left, about */
  size_t last;  /* bytes in use when the last call ended, while active */
  size_t fresh; /* bytes allocated in this cycle, which it leaves alone */
  size_t owed;  /* of these, what no step has paid for, while late */
  size_t steps; /* of this cycle so far, */
  size_t usual; /* and of the last one */
};

/* Takes over the collector of a new state: from now on Lua does nothing by
 * itself. */
void lp__collect_open(lua_State *L, struct lp__collector *collector);

/* Whether Lua collects by itself: while a script runs, which may take long and
 * allocate any amount. */
void lp__collect_freely(lua_State *L, struct lp__collector *collector,
                        bool freely);

/* Collects, when there is reason to, until `deadline` (ns of CLOCK_MONOTONIC).
 * Allocates nothing, and returns at once when there is nothing to do.
 * Finalizers may run: the state must be one that Lua code may run in. */
void lp__collect(lua_State *L, struct lp__collector *collector,
                 uint64_t deadline);

/* The same for what must be collected now, whether there is time or not, as
 * much has been allocated since: mostly nothing, and at most so many steps
 * unless memory grows and grows. To be called before anything else, so that it
 * is a part of the budget. */
void lp__collect_owed(lua_State *L, struct lp__collector *collector, int most);

/* Steps for a frame, some hundred microseconds; and for something short. */
enum { LP__COLLECT_MOST = 4, LP__COLLECT_LEAST = 1 };

#endif
