/* How workers end: in time, too late, by themselves or by the host. See
 * worker.h. */
#include "worker_private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { REAPER_MS = 10 };

static void set_timer(struct lp__worker *worker, uint64_t ms);

/* --- the host ends it ---------------------------------------------------- */

/* The signal goes first: an agent whose connection ends would exit by itself.
 */
void lp__worker_end(struct lp__worker *worker, const char *reason) {
  if (!worker->exit->reason)
    worker->exit->reason = reason;
  worker->ending = true;
  lp__process_kill(&worker->process);
  lp__worker_hang_up(worker);
}

/* The kernel resets a connection whose other end has not read everything, also
 * when that end was closed before we wrote: the error is pending then. */
void lp__worker_lost(struct lp__worker *worker, const struct lp__link *link,
                     int error) {
  socklen_t size = sizeof error;
  if (error == 0)
    getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  worker->unread = error == ECONNRESET || error == EPIPE || link->writing;
  worker->ending = true;
  lp__worker_hang_up(worker);
  set_timer(worker, LP__GRACE_MS / 2);
}

void lp__worker_start_failed(struct lp__worker *worker) {
  set_timer(worker, LP__GRACE_MS / 2);
}

/* --- time ---------------------------------------------------------------- */

/* The limit counts from the task that began last, so the time that is left may
 * be more than none. A time in the future is none that a task began at. */
static uint64_t time_left(struct lp__worker *worker) {
  uint64_t now = uv_hrtime(), began = 0;
  if (worker->progress)
    began = atomic_load(&worker->progress->began_ns);
  if (began > worker->since_ns && began <= now)
    worker->since_ns = began;
  uint64_t spent_ms = (now - worker->since_ns) / 1000000;
  return spent_ms < worker->kill_ms ? worker->kill_ms - spent_ms : 0;
}

static void end_limit(struct lp__worker *worker) {
  uint64_t left = time_left(worker);
  if (left > 0) {
    set_timer(worker, left);
    return;
  }
  lp__worker_flush_output(worker);
  struct lp__event *event = lp__event_new(LP__EVENT_TIMEOUT, worker->id);
  if (event)
    lp__loop_push(worker->workers->loop, event);
  lp__worker_end(worker, "it took too long");
}

/* Half of the grace is for a process that has closed its connection by ending;
 * one that lives longer is said to have outlived it, however it ends then. */
static void end_grace(struct lp__worker *worker) {
  if (lp__process_has_ended(&worker->process))
    return; /* the next round of the loop takes its status */
  if (worker->exit->reason) {
    lp__worker_end(worker, worker->exit->reason);
    return;
  }
  worker->exit->reason = worker->api.state == LP__INIT_FAILED
                             ? "it could not start and did not end"
                             : "its connection ended and it did not";
  set_timer(worker, LP__GRACE_MS / 2);
}

/* Whether it still has to do with an invocation. That of a function is over
 * only when its runtime asks for the next one. */
static bool is_busy(const struct lp__worker *worker) {
  return worker->api.pending ||
         (worker->lambda && worker->api.state != LP__READY);
}

/* One that never stops sending gets no further grace. */
static bool is_overdue(const struct lp__worker *worker) {
  uint64_t spent_ms = (uv_hrtime() - worker->since_ns) / 1000000;
  return spent_ms >= worker->kill_ms + LP__GRACE_MS;
}

static void on_timer(uv_timer_t *timer) {
  struct lp__worker *worker = timer->data;
  if (worker->ending || worker->api.state == LP__INIT_FAILED) {
    end_grace(worker);
    return;
  }
  /* The answer may have come in time while the host was busy elsewhere. */
  if (is_busy(worker) && !lp__worker_receive(worker) && !is_overdue(worker))
    set_timer(worker, 1); /* it has come, and there is no time to take it in */
  else if (!worker->ending && is_busy(worker))
    end_limit(worker);
}

/* libuv keeps the time of its last round, which may be long ago. */
static void set_timer(struct lp__worker *worker, uint64_t ms) {
  uv_update_time(lp__loop_uv(worker->workers->loop));
  uv_timer_start(&worker->timer, on_timer, ms, 0);
}

void lp__worker_limit_time(struct lp__worker *worker, uint64_t ms) {
  if (ms == 0)
    return;
  worker->kill_ms = ms;
  worker->since_ns = uv_hrtime();
  set_timer(worker, ms);
}

/* --- it has ended -------------------------------------------------------- */

/* What became of the invocation that has no outcome. One that was never sent,
 * or not read, cannot have begun. */
static void report_progress(const struct lp__worker *worker,
                            struct lp__event *event) {
  event->unfinished = worker->api.pending;
  if (!event->unfinished || worker->api.state != LP__RUNNING ||
      !worker->progress)
    return;
  event->progress =
      lp__progress_read(worker->progress, &event->bytes, &event->size);
  if (worker->unread && !atomic_load(&worker->progress->mapped))
    event->progress.begun = 0;
}

/* Reports the end of the process if it has come. Its last words first: what it
 * posted, what it printed. */
static void reap(struct lp__worker *worker) {
  int code, signal;
  if (!lp__process_has_ended(&worker->process))
    return;
  lp__process_kill(&worker->process); /* those it leaves behind */
  if (!lp__worker_receive_last(worker))
    return; /* the next round of the loop goes on */
  lp__process_wait(&worker->process, &code, &signal);
  lp__worker_flush_output(worker);
  struct lp__event *event = worker->exit;
  worker->exit = NULL;
  event->code = code;
  event->signal = signal;
  report_progress(worker, event);
  lp__loop_push(worker->workers->loop, event);
  lp__worker_forget(worker);
  lp__worker_release(worker);
}

static void on_end(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  reap(poll->data);
}

static void on_reaper(uv_timer_t *timer) {
  reap(timer->data);
}

static void open_timer(struct lp__worker *worker, uv_timer_t *timer) {
  uv_timer_init(lp__loop_uv(worker->workers->loop), timer);
  timer->data = worker;
  worker->handles++;
}

void lp__worker_open_timer(struct lp__worker *worker) {
  open_timer(worker, &worker->timer);
}

int lp__worker_watch_end(struct lp__worker *worker) {
  if (worker->process.pidfd >= 0)
    return lp__worker_watch(worker, &worker->end, worker->process.pidfd,
                            on_end);
  open_timer(worker, &worker->reaper);
  return uv_timer_start(&worker->reaper, on_reaper, REAPER_MS, REAPER_MS);
}
