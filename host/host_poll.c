/* What goes on: lp_poll, lp_wait, lp_next, lp_fd, lp_wake. */
#include <lauxlib.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "lib_loop.h"

/* A clock in nanoseconds, which is that of the loop. */
static uint64_t now(void) {
  return uv_hrtime();
}

/* `us` from `start` on. */
static uint64_t later(uint64_t start, int64_t us) {
  if (us <= 0)
    return start;
  return us < INT64_MAX / 1000 ? start + (uint64_t)us * 1000 : UINT64_MAX;
}

/* --- the loop ------------------------------------------------------------ */

/* Raises the message on top.  [-0, +0, e] */
static int complain(lua_State *L, lp_host *host) {
  const char *message = luaL_tolstring(L, -1, NULL);
  int code = strcmp(message, strerror(ENOMEM)) == 0 ? LP_ENOMEM : LP_ESYSTEM;
  return lp__raise(L, host, code, "cannot open an event loop: %s", message);
}

/* hold() -> handle | nil, message */
static int open_loop(lua_State *L) {
  lp_host *host = lua_touserdata(L, 1);
  struct lp__handle *handle;
  lp__push_embedded(L, host, LP__EMBED_HOLD);
  lua_call(L, 0, 2);
  handle = lua_touserdata(L, -2);
  if (handle == NULL)
    return complain(L, host);
  atomic_store(&host->loop, handle->loop);
  return 0;
}

/* lp_wake finds the loop, or is found. */
int lp__open_loop(lp_host *host) {
  int status;
  if (host->loop != NULL)
    return LP_OK;
  status = lp__protected(host, open_loop, host);
  if (status == LP_OK && host->woken)
    lp__loop_wake(host->loop);
  return status;
}

/* --- running out of memory ----------------------------------------------- */

static int reset(lua_State *L) {
  lp_host *host = lua_touserdata(L, 1);
  lp__push_embedded(L, host, LP__EMBED_RESET);
  lua_call(L, 0, 0);
  return 0;
}

int lp__recover(lp_host *host) {
  int status = LP_OK;
  if (host->must_reset)
    status = lp__protected(host, reset, host);
  if (status == LP_OK)
    host->must_reset = false;
  return status;
}

void lp__give_up(lp_host *host, const char *why) {
  host->must_reset = true;
  host->damaged = false;
  lp__tasks_end_all(&host->tasks, LP_LOST, why);
}

int lp__protected_change(lp_host *host, lua_CFunction f, void *argument) {
  int status = lp__protected(host, f, argument);
  if (status == LP_ENOMEM)
    lp__give_up(host, "the host ran out of memory while it was open");
  else if (host->damaged)
    lp__give_up(host, "lambdapool has failed inside; lp_error has said why");
  return status;
}

/* --- one piece of work --------------------------------------------------- */

struct piece {
  lp_host *host;
  lua_Number seconds;
  bool active;
};

static int run_step(lua_State *L) {
  struct piece *piece = lua_touserdata(L, 1);
  lp__push_embedded(L, piece->host, LP__EMBED_STEP);
  lua_call(L, 0, 1);
  piece->active = lua_toboolean(L, -1);
  return 0;
}

/* Runs the callback of the next task that has one. */
static bool deliver(lp_host *host) {
  struct lp__callback callback;
  struct lp__ended ended;
  lp__on_end on_end;
  if (!lp__tasks_take(&host->tasks, true, &ended, &on_end))
    return false;
  lp__callback_begin(host, &callback, NULL);
  on_end(host, &ended.result, ended.result.data);
  lp__callback_end(host, &callback);
  lp__values_release(host, &ended);
  return true;
}

/* Scripts may have something on the loop, too. Before there was one, or a task,
 * there is nothing to be done. */
static int prepare(lp_host *host) {
  if (host->loop != NULL || !lp__is_embedded(host))
    return LP_OK;
  return lp__open_loop(host);
}

/* Frames in which nothing has happened do not wake up the Lua state, which has
 * left the processor's caches since the last one. */
static bool rests(lp_host *host) {
  return host->tasks.for_callbacks.first == 0 && host->loop != NULL &&
         !host->must_reset && lp__loop_rests(host->loop);
}

/* A piece of work. *active says whether there was any. */
static int work(lp_host *host, bool *active) {
  struct piece piece = {host, 0, false};
  int status;
  *active = deliver(host);
  if (*active || host->loop == NULL)
    return LP_OK;
  status = lp__recover(host);
  if (status == LP_OK)
    status = lp__protected_change(host, run_step, &piece);
  *active = piece.active || status != LP_OK;
  return status;
}

/* --- lp_poll ------------------------------------------------------------- */

/* How long to collect garbage before doing anything else: a frame should not
 * use up its budget for what the next ones can do as well. */
enum { TIDYING_NS = 100000 };

static uint64_t earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* Does a piece of work, and learns how long the longer ones take. */
static int work_measured(lp_host *host, bool *active) {
  uint64_t start = now(), took;
  int status = work(host, active);
  took = now() - start;
  if (took > host->piece_ns)
    host->piece_ns = took;
  else
    host->piece_ns -= host->piece_ns / 16;
  return status;
}

/* When no piece should begin any more, so that the last one ends in time; at
 * most a quarter of the budget is given up for that. */
static uint64_t last_start(const lp_host *host, uint64_t start,
                           uint64_t limit) {
  uint64_t part = limit > start ? (limit - start) / 4 : 0;
  return limit - (host->piece_ns < part ? host->piece_ns : part);
}

/* Pieces of work until there are none, until it is time, or until one goes
 * wrong: the user is told of every error, and what is left is for later. */
static int work_until(lp_host *host, uint64_t start, uint64_t limit) {
  bool active;
  int status;
  do
    status = work_measured(host, &active);
  while (active && status == LP_OK && now() < last_start(host, start, limit));
  if (active && host->loop != NULL)
    lp__loop_call_at(host->loop, 0);
  return status;
}

/* The same, with a loop that keeps to it. */
static int work_by(lp_host *host, uint64_t start, uint64_t limit) {
  if (host->loop != NULL)
    lp__loop_set_deadline(host->loop, last_start(host, start, limit));
  int status = work_until(host, start, limit);
  if (host->loop != NULL)
    lp__loop_set_deadline(host->loop, 0);
  return status;
}

static uint64_t count_ended(const lp_host *host) {
  return host->tasks.done + host->tasks.failed + host->tasks.cancelled;
}

int lp_poll(lp_host *host, int64_t budget_us) {
  struct lp__call call;
  uint64_t before, start, limit;
  int status = lp__enter(host, &call, LP__OUTSIDE_OF_CALLBACKS);
  if (status != LP_OK)
    return status;
  lp__values_release(host, &host->lent);
  before = count_ended(host);
  start = now();
  limit = later(start, budget_us);
  lp__collect_owed(host->L, &host->collector, LP__COLLECT_MOST);
  status = prepare(host);
  if (status == LP_OK && !rests(host))
    status = work_by(host, start, limit);
  if (status != LP_OK)
    return lp__leave(host, &call, status);
  lp__collect(host->L, &host->collector, earlier(limit, now() + TIDYING_NS));
  status = (int)(count_ended(host) - before);
  return lp__leave(host, &call, status);
}

/* --- lp_wait ------------------------------------------------------------- */

/* Whether the wait for a task, or with 0 for all, is over. */
static bool is_over(lp_host *host, lp_id id) {
  const struct lp__task *task;
  if (id == 0)
    return host->tasks.open == 0 && host->tasks.for_callbacks.first == 0;
  task = lp__tasks_find(&host->tasks, id);
  return task == NULL ||
         (task->state == LP__TASK_HAS_ENDED && task->on_end == NULL);
}

static int run_rest(lua_State *L) {
  struct piece *piece = lua_touserdata(L, 1);
  lp__push_embedded(L, piece->host, LP__EMBED_REST);
  lua_pushnumber(L, piece->seconds);
  lua_call(L, 1, 0);
  return 0;
}

/* Waits for a piece of work, or until the limit. */
static int rest_until(lp_host *host, uint64_t limit) {
  uint64_t start = now(), left;
  lp__collect(host->L, &host->collector, start + TIDYING_NS);
  start = now();
  left = limit > start ? limit - start : 0;
  struct piece piece = {host, (lua_Number)left / 1e9, false};
  return lp__protected_change(host, run_rest, &piece);
}

static int fail(lp_host *host, int code) {
  return lp__fail(host, code, lp_strerror(code));
}

static int wait_until(lp_host *host, lp_id id, uint64_t limit) {
  bool active;
  while (!is_over(host, id)) {
    int status = work(host, &active);
    if (status != LP_OK)
      return status;
    lp__collect_owed(host->L, &host->collector, LP__COLLECT_MOST);
    if (is_over(host, id))
      break;
    if (atomic_exchange(&host->woken, false))
      return fail(host, LP_EWOKEN);
    if (now() >= limit)
      return fail(host, LP_ETIMEDOUT);
    if (!active)
      status = rest_until(host, limit);
    if (status != LP_OK)
      return status;
  }
  return LP_OK;
}

int lp_wait(lp_host *host, lp_id id, int64_t timeout_us) {
  struct lp__call call;
  uint64_t limit = timeout_us < 0 ? UINT64_MAX : later(now(), timeout_us);
  int status = lp__enter(host, &call, LP__OUTSIDE_OF_CALLBACKS);
  if (status != LP_OK)
    return status;
  lp__values_release(host, &host->lent);
  if (id != 0 && lp__tasks_find(&host->tasks, id) == NULL)
    return lp__leave(host, &call, fail(host, LP_ESTALE));
  status = prepare(host);
  if (status == LP_OK)
    status = wait_until(host, id, limit);
  return lp__leave(host, &call, status);
}

/* --- lp_next ------------------------------------------------------------- */

int lp_next(lp_host *host, const struct lp_result **result) {
  struct lp__call call;
  lp__on_end on_end;
  int status = lp__enter(host, &call, LP__ANYWHERE);
  if (status != LP_OK)
    return status;
  if (result == NULL)
    return lp__leave(
        host, &call,
        lp__fail(host, LP_EINVAL, "lp_next: there is no room for a result"));
  *result = NULL;
  lp__values_release(host, &host->lent);
  if (lp__tasks_take(&host->tasks, false, &host->lent, &on_end)) {
    *result = &host->lent.result;
    status = 1;
  }
  return lp__leave(host, &call, status);
}

/* --- event loops --------------------------------------------------------- */

struct descriptor {
  lp_host *host;
  int fd;
};

/* descriptor() -> fd | nil, message */
static int find_descriptor(lua_State *L) {
  struct descriptor *descriptor = lua_touserdata(L, 1);
  lp__push_embedded(L, descriptor->host, LP__EMBED_DESCRIPTOR);
  lua_call(L, 0, 2);
  if (lua_isnil(L, -2))
    return complain(L, descriptor->host);
  descriptor->fd = (int)lua_tointeger(L, -2);
  return 0;
}

int lp_fd(lp_host *host) {
  struct descriptor descriptor = {host, -1};
  struct lp__call call;
  int status = lp__enter(host, &call, LP__ANYWHERE);
  if (status != LP_OK)
    return status;
  status = lp__open_loop(host);
  if (status == LP_OK)
    status = lp__protected(host, find_descriptor, &descriptor);
  return lp__leave(host, &call, status != LP_OK ? status : descriptor.fd);
}

/* In a child that was forked it would wake the parent. */
void lp_wake(lp_host *host) {
  struct lp__loop *loop;
  if (host == NULL || host->process != getpid())
    return;
  atomic_store(&host->woken, true);
  loop = atomic_load(&host->loop);
  if (loop != NULL)
    lp__loop_wake(loop);
}
