/* handle:poll of the Lua module "lambdapool.workers": what has happened. See
 * lib_workers.c. */
#include "lent.h"
#include "lib_loop.h"
#include "own.h"

#include <lauxlib.h>

#include <math.h>
#include <string.h>

/* Milliseconds to wait, rounded up; negative is without limit. */
static int64_t check_timeout(lua_State *L) {
  if (lua_isnoneornil(L, 2))
    return -1;
  lua_Number seconds = luaL_checknumber(L, 2);
  luaL_argcheck(L, seconds >= 0, 2, "seconds must not be negative");
  return seconds < 1e9 ? (int64_t)ceil(seconds * 1000) : -1;
}

static void push_positive(lua_State *L, int number, int least) {
  if (number >= least)
    lua_pushinteger(L, number);
  else
    lua_pushnil(L);
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L,
                  value < LUA_MAXINTEGER ? (lua_Integer)value : LUA_MAXINTEGER);
  lua_setfield(L, -2, name);
}

/* Pushes what became of an unfinished invocation.  [-0, +1, m] */
static void push_progress(lua_State *L, const struct lp__event *event) {
  const struct lp__progress_report *progress = &event->progress;
  lua_createtable(L, 0, 5); /* t */
  set_integer(L, "begun", progress->begun);
  set_integer(L, "finished", progress->finished);
  set_integer(L, "kept_tasks", progress->kept_tasks);
  if (progress->no_memory > 0)
    set_integer(L, "no_memory", progress->no_memory);
  lua_pushlstring(L, event->bytes ? event->bytes : "", event->size);
  lua_setfield(L, -2, "kept"); /* t */
}

/* Pushes what an exit event carries.  [-0, +n, m] */
static int push_exit(lua_State *L, const struct lp__event *event) {
  push_positive(L, event->code, 0);
  push_positive(L, event->signal, 1);
  lua_pushstring(L, event->reason);
  if (!event->unfinished)
    return 3;
  push_progress(L, event);
  return 4;
}

/* Pushes an answer that stays where it is.  [-0, +1, m] */
static void push_lent(lua_State *L, const struct lp__event *event) {
  lp__lent_push(L, event->block, event->bytes, event->size);
  lp__lent_test(L, -1)->is_whole = event->is_whole;
}

/* Pushes how a response or an error ended an invocation, and true when the next
 * one has been asked for.  [-0, +n, m] */
static int push_outcome(lua_State *L, const struct lp__event *event) {
  int top = lua_gettop(L);
  bool streamed = event->kind == LP__EVENT_STREAM_END;
  if (streamed && event->size == 0)
    lua_pushnil(L);
  else if (event->kind == LP__EVENT_RESPONSE && event->block)
    push_lent(L, event);
  else
    lua_pushlstring(L, event->bytes ? event->bytes : "", event->size);
  if (event->kind != LP__EVENT_RESPONSE)
    lua_pushstring(L, streamed && !event->type[0] ? NULL : event->type);
  if (event->ready)
    lua_pushboolean(L, 1);
  return lua_gettop(L) - top;
}

/* Pushes what an event carries after its name and id.  [-0, +n, m] */
static int push_payload(lua_State *L, const struct lp__event *event) {
  switch (event->kind) {
  case LP__EVENT_TIMEOUT:
  case LP__EVENT_READY:
  case LP__EVENT_TRANSFER:
    return 0;
  case LP__EVENT_REQUEST:
  case LP__EVENT_DRAINED:
    lp__lib_push_request(L, event->object);
    return 1;
  case LP__EVENT_EXIT:
    return push_exit(L, event);
  case LP__EVENT_NOT_STARTED:
    lua_pushstring(L, strerror(event->code));
    return 1;
  case LP__EVENT_OUTPUT:
  case LP__EVENT_STREAM:
  case LP__EVENT_CHUNK:
    lua_pushlstring(L, event->bytes ? event->bytes : "", event->size);
    return 1;
  default:
    return push_outcome(L, event);
  }
}

/* The request of an invocation that has ended need not be kept any more. */
static void release_request(lua_State *L, const struct lp__event *event) {
  switch (event->kind) {
  case LP__EVENT_RESPONSE:
  case LP__EVENT_ERROR:
  case LP__EVENT_INIT_ERROR:
  case LP__EVENT_STREAM_END:
  case LP__EVENT_TIMEOUT:
  case LP__EVENT_EXIT:
  case LP__EVENT_NOT_STARTED:
    lua_pushnil(L);
    lua_pushnil(L);
    lp__lib_keep_request(L, (lua_Integer)event->id);
    break;
  default:
    break;
  }
}

int lp__lib_poll(lua_State *L) {
  static const char *const names[] = {[LP__EVENT_RESPONSE] = "response",
                                      [LP__EVENT_ERROR] = "error",
                                      [LP__EVENT_INIT_ERROR] = "init_error",
                                      [LP__EVENT_TIMEOUT] = "timeout",
                                      [LP__EVENT_OUTPUT] = "output",
                                      [LP__EVENT_EXIT] = "exit",
                                      [LP__EVENT_NOT_STARTED] = "not_started",
                                      [LP__EVENT_READY] = "ready",
                                      [LP__EVENT_STREAM] = "stream",
                                      [LP__EVENT_CHUNK] = "chunk",
                                      [LP__EVENT_STREAM_END] = "stream_end",
                                      [LP__EVENT_REQUEST] = "request",
                                      [LP__EVENT_DRAINED] = "drained",
                                      [LP__EVENT_TRANSFER] = "transfer"};
  struct lp__handle *handle = lp__own_check(L, 1, LP__LOOP);
  int64_t timeout_ms = check_timeout(L);
  if (!handle->workers)
    return 0;
  lp__check_process(L, handle);
  /* The event stays in the queue until nothing can raise any more. */
  const struct lp__event *event = lp__loop_next(handle->loop, timeout_ms);
  if (!event)
    return 0;
  lua_pushstring(L, names[event->kind]);
  lua_pushinteger(L, (lua_Integer)event->id);
  int count = push_payload(L, event);
  release_request(L, event);
  lp__loop_drop(handle->loop);
  return 2 + count;
}
