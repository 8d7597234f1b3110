/* One event.  See task.h. */
#include "task.h"

#include <time.h>

#include "allocation.h"
#include "handler.h"
#include "host/codec/call.h"
#include "host/lambdapool.h"

/* Kept back from the time that the platform gives, to post the answer. A
 * quarter of it when it is short. */
#define MARGIN_MS 50

static int64_t now_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* When an event must end that has this deadline (Unix time; 0: none). */
static int64_t until(int64_t deadline_ms) {
  int64_t left;
  if (deadline_ms <= 0)
    return 0;
  left = deadline_ms - now_ms(CLOCK_REALTIME);
  left -= left / 4 < MARGIN_MS ? left / 4 : MARGIN_MS;
  return now_ms(CLOCK_MONOTONIC_COARSE) + left;
}

/* How long a task may run that starts at `now_ns`: `timeout_ms` (0: not
 * limited), but not beyond the deadline of the event. In ms, at least 1; 0:
 * not limited. */
static uint64_t time_left(const struct lp__task *task, uint64_t timeout_ms,
                          uint64_t now_ns) {
  int64_t left;
  if (task->until_ms == 0)
    return timeout_ms;
  left = task->until_ms - (int64_t)(now_ns / 1000000);
  if (left < 1)
    left = 1;
  return timeout_ms > 0 && timeout_ms < (uint64_t)left ? timeout_ms
                                                       : (uint64_t)left;
}

/* The limits, as the codec asks for them around each function it calls. */

static uint64_t begin(void *context, lua_State *L, uint64_t timeout_ms,
                      uint64_t now_ns) {
  struct lp__task *task = context;
  timeout_ms = time_left(task, timeout_ms, now_ns);
  lp__limits_begin(task->limits, L, timeout_ms, now_ns);
  return timeout_ms;
}

void lp__task_begin(const struct lp__task *task, lua_State *L) {
  struct timespec now;
  uint64_t now_ns;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
  lp__limits_begin(task->limits, L, time_left(task, 0, now_ns), now_ns);
}

static enum lp__task_end end(void *context, lua_State *L, int status,
                             const char **where) {
  struct lp__task *task = context;
  enum lp__limits_end end = lp__limits_end(task->limits, L, status);
  *where = lp__limits_where(task->limits);
  switch (end) {
  case LP__LIMITS_OK:
    return LP__TASK_OK;
  case LP__LIMITS_TIMEOUT:
    return LP__TASK_TIMEOUT;
  case LP__LIMITS_OUT_OF_MEMORY:
    return LP__TASK_OUT_OF_MEMORY;
  default:
    return LP__TASK_ERROR;
  }
}

static uint64_t peak_memory(void *context) {
  struct lp__task *task = context;
  return lp__limits_peak(task->limits);
}

/* refuse(answer, failure, message): makes the failure of the message. */
static int refuse(lua_State *L) {
  struct lp__answer *answer = lua_touserdata(L, 1);
  const struct lp__failure *failure = lua_touserdata(L, 2);
  lua_pushnil(L);   /* answer failure message nil */
  lua_insert(L, 3); /* answer failure nil message */
  lp__answer_failure(L, answer, failure);
  return 1;
}

static void run_call(lua_State *L, const struct lp__event *event,
                     struct lp__task *task, int cold,
                     struct lp__progress *progress, struct lp__answer *answer) {
  struct lp__call_hooks hooks = {task,        begin,    end,
                                 peak_memory, progress, lp__allocation_note()};
  const struct lp__failure *failure = &lp__invalid_call;
  if (lp__call_run(L, event->body, event->size, &hooks, cold) == LP_OK) {
    lp__answer_result(L, answer, "application/octet-stream");
    return;
  }
  if (lp__call_version(event->body, event->size) != LP__CALL_VERSION)
    failure = &lp__call_mismatch;
  lua_pushcfunction(L, refuse); /* message refuse */
  lua_pushlightuserdata(L, answer);
  lua_pushlightuserdata(L, (void *)failure);
  lua_rotate(L, -4, 3); /* refuse answer failure message */
  if (lua_pcall(L, 3, 1, 0) != LUA_OK)
    lp__answer_no_memory(answer);
}

void lp__task_run(lua_State *L, const struct lp__event *event, int cold,
                  struct lp__progress *progress, struct lp__answer *answer) {
  struct lp__task task = {lp__limits_of(L), until(event->deadline_ms)};
  lp__limits_reset_peak(task.limits);
  if (lp__call_is_envelope(event->body, event->size))
    run_call(L, event, &task, cold, progress, answer);
  else
    lp__handler_run(L, event, &task, answer);
}
