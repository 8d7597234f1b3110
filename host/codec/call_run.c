/*
 * The worker's side of a call.  See call.h.
 *
 * Everything that may raise runs in one protected function.  Within it tasks
 * run in a second one, one after the other, each between the agent's limits:
 * loading its arguments, the function itself, and dumping its results.  When
 * one fails its record is made outside, and the others go on in a new one.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../base64.h"
#include "../json.h"
#include "../lambdapool.h"
#include "../progress.h"
#include "../state.h"
#include "call.h"
#include "deployed.h"
#include "dump.h"
#include "envelope.h"
#include "load.h"
#include "offered.h"
#include "random.h"
#include "seal.h"
#include "wire.h"

/* After so much output no further task of a call is begun, as after stop_ms. */
enum { STOP_AFTER_BYTES = 512 << 10, DEFAULT_STOP_MS = 1000 };

/* --- the run ------------------------------------------------------------ */

struct run {
  const char *event;
  size_t size;
  const struct lp__call_hooks *hooks;
  int cold;
  struct lp__bytes at; /* what is left of the call */
  uint64_t timeout_ms; /* for a task, from the call */
  uint64_t limit_ms;   /* in force for the current task */
  uint64_t compress_from;
  int json;          /* tables among the results go as JSON */
  uint64_t position; /* the index of the task in front of the first one */
  struct lp__random random;
  struct lp__rope out; /* the response */
  uint64_t tasks;
  uint64_t done;
  uint64_t start;           /* of the call, in ns */
  uint64_t stop;            /* when no further task begins any more */
  uint64_t now;             /* when the current task began or the last ended */
  struct lp__buffer before; /* the response before the current task, */
  unsigned segments_before;
  size_t size_before;
  struct lp__bytes at_before; /* and what was left of the call */
  enum lp__task_end end;      /* how the last task ended, */
  enum lp__task_end returned; /* and how it returned, while it is put */
  int in_limits;              /* between hooks->begin and hooks->end */
  uint64_t began;             /* when hooks->begin was called */
  const char *where;
};

/* Stack indexes in the protected function. */
enum { RUN = 1, BOX, ANCHORS, NOTES, GLOBALS, ORIGINS, FUNCTION, HANDLER };

static int malformed(lua_State *L) {
  return luaL_error(L, "malformed call");
}

static uint64_t get_varint(lua_State *L, struct run *r) {
  uint64_t v = 0;
  r->at.at = lp__get_varint(r->at.at, r->at.end, &v);
  if (r->at.at == NULL)
    malformed(L);
  return v;
}

/* The next `n` bytes. */
static struct lp__bytes get_bytes(lua_State *L, struct run *r, size_t n) {
  struct lp__bytes bytes = {r->at.at, NULL};
  if (n > (size_t)(r->at.end - r->at.at))
    malformed(L);
  bytes.end = r->at.at = bytes.at + n;
  return bytes;
}

static uint32_t get_u32(lua_State *L, struct run *r) {
  return lp__get_u32(get_bytes(L, r, 4).at);
}

static uint64_t get_u64(lua_State *L, struct run *r) {
  return lp__get_u64(get_bytes(L, r, 8).at);
}

/* A size, and so many bytes. */
static struct lp__bytes get_sized(lua_State *L, struct run *r) {
  size_t left = (size_t)(r->at.end - r->at.at);
  struct lp__bytes bytes = {r->at.at + 4, NULL};
  if (left < 4 || lp__get_u32(r->at.at) > left - 4)
    malformed(L);
  bytes.end = r->at.at = bytes.at + lp__get_u32(r->at.at);
  return bytes;
}

/* When the call has run so long that no further task begins. */
static uint64_t get_stop(lua_State *L, struct run *r) {
  const uint64_t ms = 1000000;
  uint64_t stop_ms = get_varint(L, r);
  if (stop_ms == 0)
    stop_ms = DEFAULT_STOP_MS;
  return stop_ms < (UINT64_MAX - r->start) / ms ? r->start + stop_ms * ms
                                                : UINT64_MAX;
}

enum { RECORD_HEAD = 5 }; /* how it ended, and the size of the body */

/* Begins the record of a task that ended so; returns where its body begins. */
static size_t begin_record(lua_State *L, struct lp__rope *out,
                           enum lp__task_end end) {
  unsigned char *at = lp__buffer_reserve(L, &out->buffer, RECORD_HEAD);
  memset(at, 0, RECORD_HEAD);
  at[0] = (unsigned char)end;
  out->buffer.size += RECORD_HEAD;
  return out->buffer.size;
}

static void end_record(struct lp__rope *out, size_t position) {
  size_t size = lp__rope_size(out) - lp__rope_offset(out, position);
  lp__put_u32(out->buffer.bytes + position - 4, (uint32_t)size);
}

/* --- one task ----------------------------------------------------------- */

/* dump_results(run, box, anchors, notes, results...): adds their record;
 * returns the box, which may be a new one. */
static int dump_results(lua_State *L) {
  struct run *r = lua_touserdata(L, 1);
  struct lp__dumper d;
  int n = lua_gettop(L) - 4;
  size_t position;
  lp__dump_begin(L, &d);
  d.out = r->out;
  d.out.buffer.box = 2;
  d.out.anchors = 3;
  d.origins = 4;
  d.numbered = LP__BY_RESULT;
  position = begin_record(L, &d.out, r->returned);
  lp__dump_body(L, &d, 5, n);
  end_record(&d.out, position);
  r->out = d.out;
  lua_settop(L, 2);
  return 1;
}

/* Replaces tables among the results above index `base` by their JSON, where it
 * can say them, and puts below them which these are. Those with a metatable may
 * have their own way to travel. */
static enum lp__task_end make_json(lua_State *L, int base) {
  enum { MOST = 62 };
  int i, n = lua_gettop(L) - base;
  lua_Integer which = 0;
  luaL_checkstack(L, 10, "too many results");
  for (i = 0; i < n && i < MOST; i++) {
    int status;
    if (!lua_istable(L, base + 1 + i) || lua_getmetatable(L, base + 1 + i)) {
      lua_settop(L, base + n);
      continue;
    }
    lua_pushcfunction(L, lp__json_text);
    lua_pushvalue(L, base + 1 + i);
    status = lua_pcall(L, 1, 1, 0);
    if (status == LUA_ERRMEM)
      lua_error(L);
    if (status == LUA_OK) {
      lua_replace(L, base + 1 + i);
      which |= (lua_Integer)1 << i;
    }
    lua_settop(L, base + n);
  }
  if (which == 0)
    return LP__TASK_OK;
  lua_pushinteger(L, which);
  lua_insert(L, base + 1);
  return LP__TASK_OK_JSON;
}

/* Adds the record of the results above index `base`, without a session when
 * they are simple. */
static void put_results(lua_State *L, struct run *r, int base) {
  r->returned = r->json ? make_json(L, base) : LP__TASK_OK;
  int n = lua_gettop(L) - base;
  struct lp__buffer *b = &r->out.buffer;
  unsigned char *at = lp__buffer_reserve(L, b, RECORD_HEAD + LP__SIMPLE_MAX);
  size_t size = lp__dump_simple(L, base + 1, n, at + RECORD_HEAD);
  if (size) {
    at[0] = (unsigned char)r->returned;
    lp__put_u32(at + 1, (uint32_t)size);
    b->size += RECORD_HEAD + size;
    return;
  }
  luaL_checkstack(L, 10, "too many results");
  lua_pushlightuserdata(L, r);
  lua_pushvalue(L, BOX);
  lua_pushvalue(L, ANCHORS);
  lua_pushvalue(L, NOTES);
  lua_rotate(L, base + 1, 4);
  lp__dump_call(L, dump_results, n + 4, 1);
  lua_replace(L, BOX);
}

static uint64_t read_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Notes what to go back to when the next task fails. */
static void note_before(struct run *r) {
  r->before = r->out.buffer;
  r->segments_before = r->out.segment_count;
  r->size_before = lp__rope_size(&r->out);
  r->at_before = r->at;
}

/* Tells the host that the next task begins; 0 when it has taken it back. */
static int may_begin(const struct run *r) {
  struct lp__progress *progress = r->hooks->progress;
  return progress == NULL ||
         lp__progress_begin(progress, (uint32_t)r->done + 1, r->now);
}

/* Tells the host that the last task has ended, and its record. */
static void tell_end(const struct run *r) {
  struct lp__progress *progress = r->hooks->progress;
  const struct lp__rope *out = &r->out;
  uint32_t task = (uint32_t)r->done;
  unsigned char *room;
  size_t size;
  if (progress == NULL)
    return;
  size = lp__rope_size(out) - r->size_before;
  room = lp__progress_room(progress, task, size);
  if (room != NULL) {
    if (out->segment_count == r->segments_before) {
      memcpy(room, out->buffer.bytes + r->before.size, size);
    } else {
      lp__rope_copy(out, r->before.size, r->segments_before, room);
    }
    lp__progress_kept(progress, task, size);
  }
  lp__progress_end(progress, task);
}

static int is_enough(const struct run *r) {
  return r->done == r->tasks || r->end == LP__TASK_TIMEOUT ||
         r->end == LP__TASK_OUT_OF_MEMORY ||
         lp__rope_size(&r->out) > STOP_AFTER_BYTES || r->now > r->stop;
}

/* Notes what to go back to when the task fails, seeds math.random for its
 * index, and begins its limits.  Tasks that begin within one tick of the clock
 * have the same ones: then the limits just go on, which is what makes thousands
 * of tiny tasks cheap. */
static void begin_task(lua_State *L, struct run *r, uint64_t index) {
  note_before(r);
  lp__random_seed(L, &r->random, index);
  if (r->in_limits)
    return;
  r->in_limits = 1;
  r->began = r->now;
  r->limit_ms = r->hooks->begin(r->hooks->context, L, r->timeout_ms, r->now);
}

/* Ends the limits, with how pcall or the task did. */
static void end_limits(lua_State *L, struct run *r, int status) {
  if (r->in_limits)
    r->end = r->hooks->end(r->hooks->context, L, status, &r->where);
  r->in_limits = 0;
}

static int has_failed_to_allocate(const struct run *r) {
  const _Atomic uint64_t *no_memory = r->hooks->no_memory;
  return no_memory != NULL &&
         atomic_load_explicit(no_memory, memory_order_relaxed) != 0;
}

/* A task is over: its limits are, too, unless the next one begins in the same
 * tick, and nothing was noted that the next one must not be blamed for.  Raises
 * when it swallowed the error that they made.  Returns whether it was the last
 * one. */
static int end_task(lua_State *L, struct run *r) {
  int enough;
  r->done++;
  r->now = read_ns(CLOCK_MONOTONIC_COARSE);
  enough = is_enough(r);
  if (r->now != r->began || enough || has_failed_to_allocate(r)) {
    end_limits(L, r, LUA_OK);
    if (r->end != LP__TASK_OK) {
      r->done--;
      lua_pushnil(L);
      lua_error(L);
    }
  }
  tell_end(r);
  return enough;
}

/* Loads the arguments in r->at, calls the function, dumps the results. */
static void run_task(lua_State *L, struct run *r) {
  struct lp__load_options options = {1, GLOBALS, ORIGINS, NOTES, 0};
  struct lp__bytes body = get_sized(L, r);
  int base = lua_gettop(L), n = 1;
  lua_pushvalue(L, FUNCTION);
  if (!lp__load_simple(L, body)) {
    options.dump = (lua_Integer)r->done + 2;
    n = lp__load_body(L, body, &options);
  }
  lua_call(L, n, LUA_MULTRET);
  put_results(L, r, base);
  lua_settop(L, base);
}

/* run_tasks(run, box, anchors, notes, globals, function): runs tasks until it
 * is enough, or the host has taken back the rest.  The response's box is put
 * where it outlives this function. */
static int run_tasks(lua_State *L) {
  struct run *r = lua_touserdata(L, RUN);
  do {
    if (!may_begin(r)) {
      end_limits(L, r, LUA_OK);
      break;
    }
    begin_task(L, r, r->position + r->done + 1);
    run_task(L, r);
    if (r->out.buffer.bytes != r->before.bytes) {
      lua_pushvalue(L, BOX);
      lua_rawseti(L, ANCHORS, 0);
    }
  } while (!end_task(L, r));
  return 0;
}

/* What a user sees of an error value. */
static void push_message(lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TSTRING || lua_type(L, index) == LUA_TNUMBER ||
      luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
    luaL_tolstring(L, index, NULL);
  } else {
    lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, index));
  }
}

/* Message handler: { message, traceback, value }. */
static int handle_error(lua_State *L) {
  lua_settop(L, 1);
  lua_createtable(L, 3, 0);
  push_message(L, 1);
  lua_rawseti(L, 2, 1);
  luaL_traceback(L, L, NULL, 1);
  lua_rawseti(L, 2, 2);
  lua_pushvalue(L, 1);
  lua_rawseti(L, 2, 3);
  lua_settop(L, 2);
  return 1;
}

/* dump_value(run, notes, value): pushes the body of (message, traceback,
 * value) as a string. */
static int dump_error(lua_State *L) {
  struct lp__dumper d;
  int n = lua_gettop(L) - 1;
  lp__dump_begin(L, &d);
  d.origins = 1;
  lp__dump_body(L, &d, 2, n);
  lp__rope_push(L, &d.out, 0);
  lp__dump_end(L, &d);
  return 1;
}

static int dump_error_protected(lua_State *L) {
  lp__dump_call(L, dump_error, lua_gettop(L), 1);
  return 1;
}

/* Adds the record of a task that failed: message and traceback at `first`,
 * and the error value, which is left out when it cannot travel. */
static void put_failure(lua_State *L, struct run *r, enum lp__task_end end,
                        int first) {
  int n;
  lua_settop(L, first + 2);
  for (n = 3; n >= 2; n--) {
    int i;
    lua_pushcfunction(L, dump_error_protected);
    lua_pushvalue(L, NOTES);
    for (i = 0; i < n; i++)
      lua_pushvalue(L, first + i);
    if (lua_pcall(L, n + 1, 1, 0) == LUA_OK)
      break;
    lua_settop(L, first + 2);
  }
  if (n < 2)
    luaL_error(L, "not enough memory to report an error");
  begin_record(L, &r->out, end);
  lp__put_u32(r->out.buffer.bytes + r->out.buffer.size - 4,
              (uint32_t)lua_rawlen(L, -1));
  lp__rope_add_string(L, &r->out, -1);
  lua_settop(L, first - 1);
}

/* Pushes message, traceback and value of what pcall gave, on top. */
static void push_failure(lua_State *L, const struct run *r,
                         enum lp__task_end end, const char *where) {
  int error = lua_gettop(L), i;
  const char *colon = where != NULL && where[0] != '\0' ? ": " : "";
  for (i = 1; i <= 3; i++) {
    if (lua_istable(L, error)) {
      lua_rawgeti(L, error, i);
    } else if (i == 1) {
      push_message(L, error);
    } else {
      lua_pushnil(L);
    }
  }
  if (where == NULL) {
    lua_remove(L, error); /* the message stays what it is */
    return;
  }
  if (end == LP__TASK_TIMEOUT) {
    lua_pushfstring(L, "%s%stask timed out after %I ms", where, colon,
                    (LUAI_UACINT)r->limit_ms);
    lua_replace(L, error + 1);
  } else if (end == LP__TASK_OUT_OF_MEMORY) {
    lua_pushfstring(L, "%s%snot enough memory", where, colon);
    lua_replace(L, error + 1);
  }
  lua_remove(L, error);
}

/* The record of the task that made pcall fail, the error on top; the response
 * is what it was before the task. */
static void record_failure(lua_State *L, struct run *r) {
  int top = lua_gettop(L) - 1;
  r->out.buffer = r->before;
  r->out.segment_count = r->segments_before;
  r->at = r->at_before;
  get_sized(L, r);
  push_failure(L, r, r->end, r->where);
  put_failure(L, r, r->end, top + 1);
  r->done++;
  r->now = read_ns(CLOCK_MONOTONIC_COARSE);
  tell_end(r);
}

/* Runs as many tasks as are enough for one response. */
static void do_tasks(lua_State *L, struct run *r) {
  int i, status;
  do {
    lua_pushcfunction(L, run_tasks);
    for (i = RUN; i <= FUNCTION; i++)
      lua_pushvalue(L, i);
    status = lua_pcall(L, FUNCTION, 0, HANDLER);
    lua_rawgeti(L, ANCHORS, 0);
    lua_replace(L, BOX);
    if (status == LUA_OK)
      return;
    end_limits(L, r, status);
    record_failure(L, r);
    lua_pushvalue(L, BOX); /* the record may have made it grow */
    lua_rawseti(L, ANCHORS, 0);
  } while (!is_enough(r));
}

/* --- the whole call ----------------------------------------------------- */

/* load_code(run, notes, globals, bytes): pushes the function. */
static int load_code(lua_State *L) {
  const struct lp__bytes *bytes = lua_touserdata(L, 1);
  struct lp__load_options options = {1, 3, 0, 2, 1};
  if (lp__load_values(L, *bytes, &options) != 1)
    malformed(L);
  return 1;
}

/* Loads the function, within the limits too: it may require modules.  Leaves
 * it, or the failure of pcall, on top. */
static int prepare(lua_State *L, struct run *r, struct lp__bytes code) {
  int status;
  lua_pushcfunction(L, load_code);
  lua_pushlightuserdata(L, &code);
  lua_pushvalue(L, NOTES);
  lua_pushvalue(L, GLOBALS);
  begin_task(L, r, 0);
  status = lua_pcall(L, 3, 1, HANDLER);
  end_limits(L, r, status);
  r->now = read_ns(CLOCK_MONOTONIC_COARSE);
  return r->end == LP__TASK_OK;
}

/* The arguments may refer to what the function's dump has: the reverse of the
 * notes that loading it made. */
static void set_origins(lua_State *L) {
  lua_newtable(L);
  lua_pushnil(L);
  while (lua_next(L, NOTES)) { /* objects object origin */
    lua_Integer key = lua_tointeger(L, -1) & 0xffffffff;
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, key);
  }
  lua_rawseti(L, ORIGINS, 1);
}

/* Every task fails as loading the function did, or as many as are enough. */
static void fail_tasks(lua_State *L, struct run *r) {
  int top = lua_gettop(L);
  while (r->done < r->tasks && lp__rope_size(&r->out) <= STOP_AFTER_BYTES &&
         may_begin(r)) {
    note_before(r);
    lua_pushvalue(L, top);
    push_failure(L, r, r->end, r->where);
    put_failure(L, r, r->end, top + 1);
    r->done++;
    tell_end(r);
  }
}

/* The last result does not fit: an error takes its place. */
static void put_too_large(lua_State *L, struct run *r) {
  int top = lua_gettop(L);
  r->out.buffer.size = r->before.size;
  r->out.segment_count = r->segments_before;
  lua_pushfstring(L,
                  "the results are too large: with them the response would "
                  "be over %d bytes",
                  (int)LP__MAX_RESPONSE);
  lua_pushnil(L);
  lua_pushnil(L);
  put_failure(L, r, LP__TASK_TOO_LARGE, top + 1);
}

/* The head of the response, filled in at the end. */
enum { HEAD_SIZE = LP__HEADER_SIZE + 16 + 1 + 8 + 8 + 4 };

static void begin_response(lua_State *L, struct run *r) {
  struct lp__buffer *b = &r->out.buffer;
  memset(lp__buffer_reserve(L, b, HEAD_SIZE), 0, HEAD_SIZE);
  b->size = HEAD_SIZE;
}

static void fill_head(struct run *r, struct lp__bytes code) {
  unsigned char *at = r->out.buffer.bytes + LP__HEADER_SIZE;
  XXH128_canonical_t hash;
  XXH128_canonicalFromHash(&hash,
                           XXH3_128bits(code.at, (size_t)(code.end - code.at)));
  memcpy(at, hash.digest, sizeof hash.digest);
  at += sizeof hash.digest;
  *at++ = (unsigned char)r->cold;
  lp__put_u64(at, (read_ns(CLOCK_MONOTONIC) - r->start) / 1000);
  lp__put_u64(at + 8, r->hooks->peak_memory(r->hooks->context));
  lp__put_u32(at + 16, (uint32_t)r->done);
}

/* Adds what the call has used of the worker's own modules. */
static void put_modules(lua_State *L, struct run *r) {
  int list = lua_gettop(L) + 1;
  lua_Integer i, n;
  lp__deployed_push(L);
  n = lua_istable(L, list) ? (lua_Integer)lua_rawlen(L, list) : 0;
  for (i = 1; i < n; i += 2) {
    unsigned char *at = lp__buffer_reserve(L, &r->out.buffer, 20);
    lua_rawgeti(L, list, i);
    lua_rawgeti(L, list, i + 1);
    memcpy(at, lua_tostring(L, -1), 16);
    lp__put_u32(at + 16, (uint32_t)lua_rawlen(L, -2));
    r->out.buffer.size += 20;
    lua_pop(L, 1);
    lp__buffer_add(L, &r->out.buffer, lua_tostring(L, -1), lua_rawlen(L, -1));
    lua_pop(L, 1);
  }
  lua_settop(L, list - 1);
}

/* Pushes the response. */
static void push_response(lua_State *L, struct run *r, struct lp__bytes code) {
  size_t size;
  put_modules(L, r);
  size = lp__rope_size(&r->out);
  fill_head(r, code);
  if (size > LP__MAX_RESPONSE ||
      (r->compress_from && size >= r->compress_from)) {
    lp__rope_push(L, &r->out, LP__HEADER_SIZE);
    lp__seal(L, 0);
  } else {
    lp__seal_end(&r->out);
    lp__rope_push(L, &r->out, 0);
  }
}

/* run(struct run): pushes the response. */
static int run_call(lua_State *L) {
  struct run *r = lua_touserdata(L, RUN);
  struct lp__bytes text, code;
  size_t size;
  unsigned char *bytes;
  r->start = read_ns(CLOCK_MONOTONIC);
  r->now = read_ns(CLOCK_MONOTONIC_COARSE);
  lp__state_reset(L);
  lp__offered_begin(L);
  lp__rope_begin(L, &r->out);
  lua_newtable(L);
  lua_pushglobaltable(L);
  lua_newtable(L);
  lua_pushnil(L); /* the function */
  lua_pushcfunction(L, handle_error);
  text = lp__envelope_text(L, r->event, r->size);
  size = (size_t)(text.end - text.at);
  bytes = lua_newuserdatauv(L, size / 4 * 3 + 1, 0);
  if (lp__base64_decode(bytes, (const char *)text.at, size, &size)) {
    luaL_error(L, "the call is not base64");
  }
  r->at.at = bytes;
  r->at.end = bytes + size;
  r->at = lp__unseal(L, r->at, 0);
  r->timeout_ms = get_varint(L, r);
  r->compress_from = get_varint(L, r);
  r->stop = get_stop(L, r);
  r->json = get_varint(L, r) != 0;
  lp__random_begin(L, &r->random, get_u64(L, r));
  r->position = get_varint(L, r);
  code = get_sized(L, r);
  r->tasks = get_u32(L, r);
  if (r->tasks > (uint64_t)(r->at.end - r->at.at))
    malformed(L);
  begin_response(L, r);
  lua_pushvalue(L, BOX);
  lua_rawseti(L, ANCHORS, 0);
  if (!prepare(L, r, code)) {
    fail_tasks(L, r);
  } else if (r->tasks > 0) {
    lua_replace(L, FUNCTION);
    set_origins(L);
    do_tasks(L, r);
  }
  push_response(L, r, code);
  if (lua_rawlen(L, -1) > LP__MAX_RESPONSE) {
    lua_pop(L, 1);
    put_too_large(L, r);
    push_response(L, r, code);
  }
  return 1;
}

int lp__call_run(lua_State *L, const char *event, size_t size,
                 const struct lp__call_hooks *hooks, int cold) {
  struct run r;
  memset(&r, 0, sizeof r);
  r.event = event;
  r.size = size;
  r.hooks = hooks;
  r.where = "";
  r.cold = cold;
  if (!lua_checkstack(L, 20))
    return LP_ELUA;
  lua_pushcfunction(L, run_call);
  lua_pushlightuserdata(L, &r);
  return lua_pcall(L, 1, 1, 0) == LUA_OK ? LP_OK : LP_ELUA;
}
