/* What goes on: lp_poll, lp_wait, lp_next, lp_fd, lp_wake. */
#include <lauxlib.h>

#include <time.h>

#include "host.h"

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* --- one piece of work --------------------------------------------------- */

struct step {
  lp_host *host;
  enum lp__embedded which;
  lua_Number seconds;
  bool active;
};

static int run_step(lua_State *L) {
  struct step *step = lua_touserdata(L, 1);
  lp__push_embedded(L, step->host, step->which);
  lua_pushnumber(L, step->seconds);
  lua_call(L, 1, 1);
  step->active = lua_toboolean(L, -1);
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

/* A piece of work. *active says whether there was any. */
static int work(lp_host *host, bool *active) {
  struct step step = {host, LP__EMBED_STEP, 0, false};
  int status;
  *active = deliver(host);
  if (*active)
    return LP_OK;
  status = lp__protected(host, run_step, &step);
  *active = step.active || status != LP_OK;
  return status;
}

static uint64_t ended(const lp_host *host) {
  return host->tasks.done + host->tasks.failed + host->tasks.cancelled;
}

static int poll_until(lp_host *host, int64_t limit) {
  uint64_t before = ended(host);
  int result = LP_OK;
  bool active = true;
  do {
    int status = work(host, &active);
    if (status != LP_OK)
      result = status;
  } while (active && now_us() < limit);
  return result != LP_OK ? result : (int)(ended(host) - before);
}

int lp_poll(lp_host *host, int64_t budget_us) {
  struct lp__call call;
  int status = lp__enter(host, &call, LP__OUTSIDE_OF_CALLBACKS);
  if (status != LP_OK)
    return status;
  lp__values_release(host, &host->lent);
  return lp__leave(host, &call, poll_until(host, now_us() + budget_us));
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

static int pause(lp_host *host, int64_t left) {
  struct step step = {host, LP__EMBED_WAIT, 0.01, false};
  if (left < 10000)
    step.seconds = (lua_Number)left / 1e6;
  return lp__protected(host, run_step, &step);
}

static int wait_for(lp_host *host, lp_id id, int64_t limit) {
  int result = LP_OK;
  while (!is_over(host, id)) {
    bool active;
    int status = work(host, &active);
    if (status != LP_OK)
      return status;
    if (is_over(host, id))
      break;
    if (atomic_exchange(&host->woken, false))
      return lp__fail(host, LP_EWOKEN, lp_strerror(LP_EWOKEN));
    int64_t left = limit - now_us();
    if (left <= 0)
      return lp__fail(host, LP_ETIMEDOUT, lp_strerror(LP_ETIMEDOUT));
    if (!active)
      result = pause(host, left);
    if (result != LP_OK)
      return result;
  }
  return result;
}

int lp_wait(lp_host *host, lp_id id, int64_t timeout_us) {
  struct lp__call call;
  int64_t limit = INT64_MAX, now = now_us();
  int status = lp__enter(host, &call, LP__OUTSIDE_OF_CALLBACKS);
  if (status != LP_OK)
    return status;
  lp__values_release(host, &host->lent);
  if (id != 0 && lp__tasks_find(&host->tasks, id) == NULL)
    return lp__leave(host, &call,
                     lp__fail(host, LP_ESTALE, lp_strerror(LP_ESTALE)));
  if (timeout_us >= 0 && timeout_us < INT64_MAX - now)
    limit = now + timeout_us;
  return lp__leave(host, &call, wait_for(host, id, limit));
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

static int find_descriptor(lua_State *L) {
  struct descriptor *descriptor = lua_touserdata(L, 1);
  lp__push_embedded(L, descriptor->host, LP__EMBED_FD);
  lua_call(L, 0, 1);
  descriptor->fd = (int)lua_tointeger(L, -1);
  return 0;
}

int lp_fd(lp_host *host) {
  struct descriptor descriptor = {host, -1};
  struct lp__call call;
  int status = lp__enter(host, &call, LP__ANYWHERE);
  if (status != LP_OK)
    return status;
  status = lp__protected(host, find_descriptor, &descriptor);
  return lp__leave(host, &call, status != LP_OK ? status : descriptor.fd);
}

void lp_wake(lp_host *host) {
  if (host == NULL)
    return;
  atomic_store(&host->woken, true);
}
