/* Local workers. See worker.h. */
#define _GNU_SOURCE
#include "family.h"
#include "memory.h"
#include "worker_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- handles ------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle) {
  struct lp__worker *worker = handle->data;
  if (--worker->handles == 0)
    lp__free(worker);
}

void lp__worker_close_handle(void *handle) {
  uv_handle_t *h = handle;
  if (h->data && !uv_is_closing(h))
    uv_close(h, on_closed);
}

int lp__worker_watch(struct lp__worker *worker, uv_poll_t *poll, int fd,
                     uv_poll_cb callback) {
  int status = uv_poll_init(lp__loop_uv(worker->workers->loop), poll, fd);
  if (status < 0)
    return status;
  poll->data = worker;
  worker->handles++;
  lp__loop_watches_more(worker->workers->loop);
  return uv_poll_start(poll, UV_READABLE, callback);
}

void lp__worker_release(struct lp__worker *worker) {
  lp__worker_hang_up(worker);
  lp__loop_forget(worker->workers->loop, &worker->read_output);
  lp__worker_close_handle(&worker->output);
  lp__worker_close_handle(&worker->end);
  lp__worker_close_handle(&worker->timer);
  lp__worker_close_handle(&worker->reaper);
  lp__process_close(&worker->process);
  lp__progress_close(worker->progress);
  worker->progress = NULL;
  lp__lines_free(&worker->lines);
  lp__event_free(worker->exit);
  worker->exit = NULL;
  if (worker->handles == 0)
    lp__free(worker);
}

/* --- the set ------------------------------------------------------------- */

/* Position of the first worker whose id is not below `id`. */
static size_t position(const struct lp__workers *workers, int64_t id) {
  size_t low = 0, high = workers->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (workers->items[middle]->id < id)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static struct lp__worker *find(const struct lp__workers *workers, int64_t id) {
  size_t at = position(workers, id);
  bool found = at < workers->count && workers->items[at]->id == id;
  return found ? workers->items[at] : NULL;
}

void lp__worker_forget(struct lp__worker *worker) {
  struct lp__workers *workers = worker->workers;
  size_t at = position(workers, worker->id);
  workers->count--;
  memmove(workers->items + at, workers->items + at + 1,
          (workers->count - at) * sizeof *workers->items);
  lp__loop_count(workers->loop, -1);
}

int lp__worker_add(struct lp__worker *worker) {
  struct lp__workers *workers = worker->workers;
  if (workers->count == workers->room) {
    size_t room = workers->room ? workers->room * 2 : 16;
    void *items = lp__realloc(workers->items, room * sizeof *workers->items);
    if (!items)
      return -ENOMEM;
    workers->items = items;
    workers->room = room;
  }
  workers->items[workers->count++] = worker;
  lp__loop_count(workers->loop, 1);
  return 0;
}

/* --- using --------------------------------------------------------------- */

int lp__workers_open(struct lp__workers **out, struct lp__loop *loop) {
  struct lp__workers *workers = lp__calloc(1, sizeof *workers);
  if (!workers)
    return -ENOMEM;
  workers->loop = loop;
  *out = workers;
  return 0;
}

void lp__workers_close(struct lp__workers *workers) {
  if (!workers)
    return;
  lp__worker_stop_starting(workers);
  for (size_t i = 0; i < workers->count; i++)
    lp__process_kill(&workers->items[i]->process);
  while (workers->count > 0)
    lp__worker_abandon(workers->items[workers->count - 1]);
  lp__receiver_close(workers->receiver);
  lp__free(workers->items);
  lp__free(workers);
}

int lp__worker_invoke(struct lp__workers *workers, int64_t id,
                      const struct lp__invocation *invocation,
                      uint64_t kill_ms) {
  struct lp__worker *worker = find(workers, id);
  if (!worker || worker->ending)
    return -ESRCH;
  lp__worker_look(worker); /* it may have gone unnoticed while it was idle */
  if (worker->ending)
    return -ESRCH;
  if (worker->api.pending)
    return -EBUSY;
  struct lp__invocation named = *invocation;
  if (!named.request_id[0])
    snprintf(named.request_id, sizeof named.request_id,
             "00000000-0000-4000-8000-%012" PRIx64, ++workers->invocations);
  if (worker->lambda && !named.headers)
    named.headers = "\r\n";
  if (worker->progress)
    lp__progress_reset(worker->progress);
  worker->limit = UINT32_MAX;
  if (lp__api_invoke(&worker->api, &named) < 0)
    return -ESRCH;
  lp__worker_limit_time(worker, kill_ms);
  lp__worker_hand_over(worker);
  return 0;
}

bool lp__worker_progress(struct lp__workers *workers, int64_t id,
                         uint32_t *begun, uint32_t *finished) {
  const struct lp__worker *worker = find(workers, id);
  *begun = *finished = 0;
  if (!worker || !worker->progress)
    return worker && worker->starting;
  uint32_t ended = atomic_load(&worker->progress->finished);
  *begun = atomic_load(&worker->progress->begun);
  *finished = ended < *begun ? ended : *begun;
  return true;
}

/* The page may say anything by now: what was taken back is remembered here. */
bool lp__worker_cut(struct lp__workers *workers, int64_t id, uint32_t n,
                    uint32_t *begun) {
  struct lp__worker *worker = find(workers, id);
  if (!worker || worker->ending || !worker->api.pending || !worker->progress ||
      !atomic_load(&worker->progress->mapped))
    return false;
  if (n < worker->limit)
    worker->limit = n;
  *begun = lp__progress_cut(worker->progress, worker->limit);
  return true;
}

bool lp__worker_stop(struct lp__workers *workers, int64_t id) {
  struct lp__worker *worker = find(workers, id);
  if (!worker || worker->ending || !worker->api.pending || worker->isolated ||
      worker->starting)
    return false;
  lp__process_stop(&worker->process);
  return true;
}

bool lp__worker_kill(struct lp__workers *workers, int64_t id) {
  struct lp__worker *worker = find(workers, id);
  if (worker)
    lp__worker_end(worker, "it was killed by the host");
  return worker != NULL;
}

bool lp__worker_pause(struct lp__workers *workers, int64_t id, bool paused) {
  struct lp__worker *worker = find(workers, id);
  if (worker)
    lp__worker_set_paused(worker, paused);
  return worker != NULL;
}

bool lp__worker_memory(const struct lp__workers *workers, int64_t id,
                       uint64_t *now, uint64_t *peak) {
  const struct lp__worker *worker = find(workers, id);
  return worker && !worker->starting &&
         lp__family_memory(worker->process.pid, !worker->isolated, now, peak);
}
