/* Starting workers, while the caller waits or apart from it. See worker.h. */
#define _GNU_SOURCE
#include "environment.h"
#include "memory.h"
#include "sandbox.h"
#include "worker_private.h"

#include <errno.h>
#include <string.h>

/* A start. What it gets is taken over by the worker afterwards: until then the
 * thread that starts may write it, and nothing else of the worker. */
struct start {
  struct lp__job job;
  struct lp__worker *worker;
  struct lp__worker_config config;
  int status;
  int listener_fd;
  struct lp__process process;
  struct lp__progress *progress;
};

/* --- a process and its port ---------------------------------------------- */

static int start_process(struct start *start, char *const *environment) {
  const struct lp__worker_config *config = &start->config;
  if (config->lambda)
    return lp__sandbox_start(&start->process, config->lambda, config->agent,
                             environment);
  return lp__process_start(&start->process, config->agent, environment,
                           config->nice, &start->progress);
}

/* On whichever thread. */
static void run(struct lp__job *job) {
  struct start *start = (struct start *)job;
  struct lp__environment environment = {NULL, 0};
  unsigned port = 0;
  start->status = lp__worker_open_port(&start->listener_fd, &port);
  if (start->status == 0)
    start->status = lp__environment_make(&environment, &start->config, port);
  if (start->status == 0)
    start->status = start_process(start, environment.items);
  if (start->status < 0)
    lp__close_fd(&start->listener_fd); /* others may want the descriptor */
  lp__environment_free(&environment);
}

/* The worker has what was started. 0 or a negative errno. */
static int take_over(const struct start *start) {
  struct lp__worker *worker = start->worker;
  worker->starting = false;
  worker->listener_fd = start->listener_fd;
  worker->process = start->process;
  worker->progress = start->progress;
  int status = start->status;
  if (status == 0)
    status = lp__worker_watch_end(worker);
  if (status == 0)
    status = lp__worker_watch_talk(worker);
  return status;
}

void lp__worker_abandon(struct lp__worker *worker) {
  int code, signal;
  if (worker->process.pid > 0) {
    lp__process_kill(&worker->process);
    lp__process_wait(&worker->process, &code, &signal);
  }
  lp__worker_forget(worker);
  lp__worker_release(worker);
}

/* --- apart --------------------------------------------------------------- */

/* The last that is heard of a worker without a process. One that was to end
 * anyway has ended. */
static void report_failure(struct lp__worker *worker, int status) {
  struct lp__event *event = worker->exit;
  worker->exit = NULL;
  event->kind = worker->ending ? LP__EVENT_EXIT : LP__EVENT_NOT_STARTED;
  event->code = worker->ending ? -1 : -status;
  event->unfinished = worker->api.pending;
  lp__loop_push(worker->workers->loop, event);
  lp__worker_abandon(worker);
}

static void free_start(struct start *start) {
  start->worker->workers->starting--;
  for (char *const *item = start->config.env; item && *item; item++)
    lp__free(*item);
  lp__free((void *)start->config.env);
  lp__free((char *)start->config.agent);
  lp__free((char *)start->config.handler);
  lp__free(start);
}

static void on_started(struct lp__job *job) {
  struct start *start = (struct start *)job;
  struct lp__worker *worker = start->worker;
  int status = take_over(start);
  free_start(start);
  if (status < 0)
    report_failure(worker, status);
  else if (worker->ending)
    lp__worker_end(worker, NULL);
}

static void drop(struct lp__job *job) {
  struct start *start = (struct start *)job;
  start->worker->starting = false;
  free_start(start);
}

void lp__worker_stop_starting(struct lp__workers *workers) {
  lp__starter_close(workers->starter, drop);
  workers->starter = NULL;
}

/* A copy of a list that NULL ends; an incomplete one when memory is short, and
 * then false. */
static bool copy_list(char *const **out, char *const *list) {
  size_t count = 0;
  while (list && list[count])
    count++;
  char **copy = lp__calloc(count + 1, sizeof *copy);
  *out = copy;
  for (size_t i = 0; copy && i < count; i++)
    if (!(copy[i] = lp__strdup(list[i])))
      return false;
  return copy != NULL;
}

/* NULL when memory is short. */
static struct start *new_start(struct lp__worker *worker,
                               const struct lp__worker_config *config) {
  struct start *start = lp__calloc(1, sizeof *start);
  if (!start)
    return NULL;
  start->job = (struct lp__job){NULL, run, on_started};
  start->worker = worker;
  worker->workers->starting++;
  start->listener_fd = -1;
  start->process = (struct lp__process){-1, -1, -1, -1};
  start->config = *config;
  start->config.agent = lp__strdup(config->agent);
  start->config.handler = lp__strdup(config->handler);
  if (copy_list(&start->config.env, config->env) && start->config.agent &&
      start->config.handler)
    return start;
  free_start(start);
  return NULL;
}

static int start_apart(struct lp__worker *worker,
                       const struct lp__worker_config *config) {
  struct lp__workers *workers = worker->workers;
  int status =
      workers->starter ? 0 : lp__starter_open(&workers->starter, workers->loop);
  if (status < 0)
    return status;
  struct start *start = new_start(worker, config);
  if (!start)
    return -ENOMEM;
  worker->starting = true;
  lp__starter_add(workers->starter, &start->job);
  return 0;
}

static int start_here(struct lp__worker *worker,
                      const struct lp__worker_config *config) {
  struct start start = {.worker = worker,
                        .config = *config,
                        .listener_fd = -1,
                        .process = {-1, -1, -1, -1}};
  run(&start.job);
  return take_over(&start);
}

/* --- workers ------------------------------------------------------------- */

/* Not in its set yet. NULL when memory is short. */
static struct lp__worker *new_worker(struct lp__workers *workers,
                                     const struct lp__worker_config *config) {
  struct lp__worker *worker = lp__calloc(1, sizeof *worker);
  struct lp__event *event = lp__event_new(LP__EVENT_EXIT, workers->last_id + 1);
  if (!worker || !event) {
    lp__free(worker);
    lp__event_free(event);
    return NULL;
  }
  worker->workers = workers;
  worker->id = ++workers->last_id;
  worker->lambda = config->lambda != NULL;
  worker->isolated = worker->lambda && config->lambda->isolated;
  worker->listener_fd = -1;
  worker->process = (struct lp__process){-1, -1, -1, -1};
  worker->exit = event;
  lp__worker_open_timer(worker);
  return worker;
}

int64_t lp__worker_start(struct lp__workers *workers,
                         const struct lp__worker_config *config) {
  struct lp__worker *worker = new_worker(workers, config);
  if (!worker)
    return -ENOMEM;
  int status = lp__worker_add(worker);
  if (status < 0) {
    lp__worker_release(worker);
    return status;
  }
  status = lp__worker_prepare_talk(worker, config->received);
  if (status == 0)
    status = config->apart && !config->lambda ? start_apart(worker, config)
                                              : start_here(worker, config);
  if (status < 0) {
    lp__worker_abandon(worker);
    return status;
  }
  return worker->id;
}
