#include "collect.h"

#include <time.h>

/* The work of a step, as a power of two of bytes, and how much work Lua takes
 * for a byte: together some 10 to 30 us. Lua's own steps are larger. */
enum { STEP_LOG = 9, STEP_MULTIPLIER = 100, USUAL_STEP_LOG = 13 };

/* A cycle begins when so many bytes more are in use than were left after the
 * last one, or a half more; from the second amount on it must go on, whatever
 * the budget, so that it ends before as many more have been allocated; and with
 * the third amount it is no use to spread that over many calls. */
enum { EARLY = 4 << 20, LATE = 16 << 20, TOO_LATE = 64 << 20 };

/* A cycle takes no fewer steps than that, to reckon with. */
enum { FEW_STEPS = 16 };

static size_t bytes_in_use(lua_State *L) {
  return (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 +
         (size_t)lua_gc(L, LUA_GCCOUNTB);
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void lp__collect_open(lua_State *L, struct lp__collector *collector) {
  *collector =
      (struct lp__collector){.live = bytes_in_use(L), .usual = FEW_STEPS};
  lua_gc(L, LUA_GCINC, 0, STEP_MULTIPLIER, STEP_LOG);
  lua_gc(L, LUA_GCSTOP);
}

static size_t larger(size_t a, size_t b) {
  return a > b ? a : b;
}

/* Scripts that are short leave their garbage to us; there may be many, and
 * nothing but scripts. As Lua does, at twice of what is alive. */
static void collect_much(lua_State *L, struct lp__collector *collector) {
  size_t most = collector->live + larger(collector->live, LATE);
  if (bytes_in_use(L) <= most)
    return;
  lua_gc(L, LUA_GCCOLLECT);
  collector->live = bytes_in_use(L);
}

void lp__collect_freely(lua_State *L, struct lp__collector *collector,
                        bool freely) {
  if (freely) {
    lua_gc(L, LUA_GCINC, 0, STEP_MULTIPLIER, USUAL_STEP_LOG);
    lua_gc(L, LUA_GCRESTART);
    lua_gc(L, LUA_GCSTEP, -(EARLY / 1024)); /* not at once */
    return;
  }
  /* A script may have chosen a mode of its own. */
  lua_gc(L, LUA_GCINC, 0, STEP_MULTIPLIER, STEP_LOG);
  lua_gc(L, LUA_GCSTOP);
  collector->active = false;
  collect_much(L, collector);
}

/* How much more may be in use than the last cycle left. */
static bool exceeds(const struct lp__collector *collector, size_t used,
                    size_t most) {
  return used > collector->live + most;
}

/* Whether a cycle is under way, or it is time for one. */
static bool is_active(struct lp__collector *collector, size_t used) {
  if (!collector->active &&
      exceeds(collector, used, larger(EARLY, collector->live / 2))) {
    collector->active = true;
    collector->late = false;
    collector->last = used;
    collector->fresh = collector->owed = collector->steps = 0;
  }
  return collector->active;
}

/* Takes in what was allocated since the last call. */
static void note(struct lp__collector *collector, size_t used) {
  size_t more = used > collector->last ? used - collector->last : 0;
  collector->fresh += more;
  collector->last = used;
  if (exceeds(collector, used, larger(LATE, collector->live)))
    collector->late = true;
  if (collector->late)
    collector->owed += more;
}

/* What a step pays for: the part of LATE that it is of a cycle; less and less
 * when there is more to do than the last time. */
static size_t worth(const struct lp__collector *collector) {
  size_t all = larger(collector->usual, 2 * collector->steps);
  return larger(LATE, collector->live) / all;
}

/* One step. Ends the cycle when it was the last. */
static void step(lua_State *L, struct lp__collector *collector) {
  size_t used, paid = worth(collector);
  collector->owed -= paid < collector->owed ? paid : collector->owed;
  collector->steps++;
  if (!lua_gc(L, LUA_GCSTEP, 0))
    return;
  used = bytes_in_use(L);
  collector->active = false;
  collector->usual = larger(FEW_STEPS, collector->steps);
  collector->live = used > collector->fresh ? used - collector->fresh : 0;
}

/* Takes in what was allocated since the last call. False when there is nothing
 * to collect. */
static bool look(lua_State *L, struct lp__collector *collector) {
  size_t used = bytes_in_use(L);
  if (!is_active(collector, used))
    return false;
  note(collector, used);
  return true;
}

void lp__collect(lua_State *L, struct lp__collector *collector,
                 uint64_t deadline) {
  if (!look(L, collector))
    return;
  while (collector->active && now_ns() < deadline)
    step(L, collector);
  collector->last = bytes_in_use(L);
}

void lp__collect_owed(lua_State *L, struct lp__collector *collector, int most) {
  int steps = 0;
  if (!look(L, collector))
    return;
  while (collector->active && collector->owed > worth(collector) &&
         (steps < most || exceeds(collector, collector->last, TOO_LATE))) {
    step(L, collector);
    steps++;
    collector->last = bytes_in_use(L);
  }
  collector->last = bytes_in_use(L);
}
