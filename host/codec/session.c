/*
 * Sessions of dumping: their memory, which is kept from one to the next, and
 * the collector, which stands still meanwhile.  See dump.h.
 */
#include <lauxlib.h>
#include <stddef.h>
#include <string.h>

#include "../own.h"
#include "dump.h"
#include "sequence.h"

enum { KEEP_MEMORY = 4 << 20 /* larger buffers are given back */ };

/* What is kept from one session to the next: the memory. */
struct kept {
  struct lp__buffer out, binary, frames;
  struct lp__map seen;
  int rest_until; /* KiB in use: the collector rests until then */
};

enum { OUT_BOX = 1, BINARY_BOX, FRAMES_BOX, SEEN_BOX }; /* user values */

static const char kept_key = 0;

static struct kept *push_kept(lua_State *L) {
  struct kept *kept;
  if (lp__own_get(L, &kept_key) == LUA_TUSERDATA)
    return lua_touserdata(L, -1);
  lua_pop(L, 1);
  kept = lua_newuserdatauv(L, sizeof *kept, SEEN_BOX);
  memset(kept, 0, sizeof *kept);
  lua_pushvalue(L, -1);
  lp__own_set(L, &kept_key);
  return kept;
}

/* Takes the kept memory and pushes it: a session that fails does not give it
 * back, and one that a hook begins meanwhile finds nothing. */
static void take_memory(lua_State *L, struct lp__dumper *d) {
  struct kept *kept = push_kept(L);
  int top = lua_gettop(L), i;
  for (i = OUT_BOX; i <= SEEN_BOX; i++)
    lua_getiuservalue(L, top, i);
  lua_remove(L, top);
  d->out.buffer = kept->out;
  d->binary = kept->binary;
  d->frames = kept->frames;
  d->seen = kept->seen;
  memset(kept, 0, offsetof(struct kept, rest_until));
  d->out.buffer.box = top;
  d->binary.box = top + 1;
  d->frames.box = top + 2;
  d->seen_box = top + 3;
  d->out.buffer.size = 0;
}

void lp__dump_begin(lua_State *L, struct lp__dumper *d) {
  luaL_checkstack(L, 20, NULL);
  lp__reference_begin(L, &d->references);
  d->quick = lp__sequence_is_quick(L);
  d->stack_room = 0;
  take_memory(L, d);
  lua_newtable(L);
  d->out.anchors = lua_gettop(L);
  lua_newtable(L);
  d->alive = d->out.anchors + 1;
  d->out.segment_count = 0;
  d->start = 0;
  d->record = d->origins = 0;
  d->by_code = 0;
  d->refreshed = 0;
  d->numbered = LP__BY_TYPE;
}

void lp__dump_end(lua_State *L, struct lp__dumper *d) {
  struct kept *kept = push_kept(L);
  int i;
  if (d->out.buffer.capacity <= KEEP_MEMORY &&
      d->frames.capacity <= KEEP_MEMORY &&
      d->seen.capacity * sizeof *d->seen.entries <= 2 * KEEP_MEMORY) {
    kept->out = d->out.buffer;
    kept->binary = d->binary;
    kept->frames = d->frames;
    kept->seen = d->seen;
    for (i = OUT_BOX; i <= SEEN_BOX; i++) {
      lua_pushvalue(L, d->out.buffer.box - OUT_BOX + i);
      lua_setiuservalue(L, -2, i);
    }
  }
  lua_pop(L, 1);
}

/* Lets the collector go on.  LUA_GCRESTART makes it begin a cycle at once,
 * however short ago the last one ended, so that dumping often would mean
 * collecting all the time.  So it is given credit (a negative step) until
 * memory has doubled since the last cycle, as its own pause would do; from
 * then on it is stepped until it reports the end of a cycle. */
static void restart_collector(lua_State *L) {
  enum { STEP = 64 }; /* KiB */
  struct kept *kept;
  int used = lua_gc(L, LUA_GCCOUNT);
  lua_gc(L, LUA_GCRESTART);
  lp__own_get(L, &kept_key);
  kept = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (kept == NULL)
    return; /* there was no memory to begin a session */
  if (used < kept->rest_until) {
    lua_gc(L, LUA_GCSTEP, used - kept->rest_until);
  } else if (lua_gc(L, LUA_GCSTEP, STEP)) {
    kept->rest_until = 2 * lua_gc(L, LUA_GCCOUNT);
  }
}

void lp__dump_call(lua_State *L, lua_CFunction function, int n, int results) {
  int running = lua_gc(L, LUA_GCISRUNNING), status;
  lua_pushcfunction(L, function);
  lua_insert(L, -1 - n);
  if (running)
    lua_gc(L, LUA_GCSTOP);
  status = lua_pcall(L, n, results, 0);
  if (running)
    restart_collector(L);
  if (status != LUA_OK)
    lua_error(L);
}
