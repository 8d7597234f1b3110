/* A thread that starts processes. See starter.h. */
#include "starter.h"

#include "memory.h"
#include "own_thread.h"

struct list {
  struct lp__job *first, **last; /* the `next` to fill in */
};

struct lp__starter {
  pthread_t thread;
  uv_async_t told;       /* something has been done */
  pthread_mutex_t runs;  /* locked while a job is being run */
  pthread_mutex_t mutex; /* for all that follows */
  pthread_cond_t wanted;
  struct list waiting, done;
  bool ends;
};

static void clear(struct list *list) {
  list->first = NULL;
  list->last = &list->first;
}

static void add(struct list *list, struct lp__job *job) {
  job->next = NULL;
  *list->last = job;
  list->last = &job->next;
}

/* NULL when there is none. */
static struct lp__job *take(struct list *list) {
  struct lp__job *job = list->first;
  if (job)
    list->first = job->next;
  if (!list->first)
    list->last = &list->first;
  return job;
}

/* --- the thread ---------------------------------------------------------- */

/* The next job; NULL at the end. */
static struct lp__job *wait_for_job(struct lp__starter *starter) {
  struct lp__job *job = NULL;
  pthread_mutex_lock(&starter->mutex);
  while (!starter->ends && !(job = take(&starter->waiting)))
    pthread_cond_wait(&starter->wanted, &starter->mutex);
  pthread_mutex_unlock(&starter->mutex);
  return job;
}

static void *work(void *context) {
  struct lp__starter *starter = context;
  struct lp__job *job;
  while ((job = wait_for_job(starter))) {
    pthread_mutex_lock(&starter->runs);
    job->run(job);
    pthread_mutex_unlock(&starter->runs);
    pthread_mutex_lock(&starter->mutex);
    add(&starter->done, job);
    pthread_mutex_unlock(&starter->mutex);
    uv_async_send(&starter->told);
  }
  return NULL;
}

/* --- the owner ----------------------------------------------------------- */

static struct lp__job *take_locked(struct lp__starter *starter,
                                   struct list *list) {
  pthread_mutex_lock(&starter->mutex);
  struct lp__job *job = take(list);
  pthread_mutex_unlock(&starter->mutex);
  return job;
}

static void finish(struct lp__starter *starter) {
  struct lp__job *job;
  while ((job = take_locked(starter, &starter->done)))
    job->done(job);
}

static void on_told(uv_async_t *told) {
  finish(told->data);
}

static void on_closed(uv_handle_t *handle) {
  struct lp__starter *starter = handle->data;
  pthread_cond_destroy(&starter->wanted);
  pthread_mutex_destroy(&starter->mutex);
  pthread_mutex_destroy(&starter->runs);
  lp__free(starter);
}

int lp__starter_open(struct lp__starter **out, struct lp__loop *loop) {
  struct lp__starter *starter = lp__calloc(1, sizeof *starter);
  if (!starter)
    return UV_ENOMEM;
  int status = uv_async_init(lp__loop_uv(loop), &starter->told, on_told);
  if (status < 0) {
    lp__free(starter);
    return status;
  }
  starter->told.data = starter;
  pthread_mutex_init(&starter->mutex, NULL);
  pthread_mutex_init(&starter->runs, NULL);
  pthread_cond_init(&starter->wanted, NULL);
  clear(&starter->waiting);
  clear(&starter->done);
  status = lp__own_thread_start(&starter->thread, work, starter);
  if (status < 0)
    uv_close((uv_handle_t *)&starter->told, on_closed);
  else
    *out = starter;
  return status;
}

void lp__starter_add(struct lp__starter *starter, struct lp__job *job) {
  pthread_mutex_lock(&starter->mutex);
  add(&starter->waiting, job);
  pthread_cond_signal(&starter->wanted);
  pthread_mutex_unlock(&starter->mutex);
}

void lp__starter_hold(struct lp__starter *starter) {
  pthread_mutex_lock(&starter->runs);
}

void lp__starter_let_go(struct lp__starter *starter) {
  pthread_mutex_unlock(&starter->runs);
}

void lp__starter_close(struct lp__starter *starter,
                       void (*drop)(struct lp__job *job)) {
  struct lp__job *job;
  if (!starter)
    return;
  pthread_mutex_lock(&starter->mutex);
  starter->ends = true;
  pthread_cond_signal(&starter->wanted);
  pthread_mutex_unlock(&starter->mutex);
  pthread_join(starter->thread, NULL);
  finish(starter);
  while ((job = take(&starter->waiting)))
    drop(job);
  uv_close((uv_handle_t *)&starter->told, on_closed);
}
