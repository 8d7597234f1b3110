/* The thread in which transfers are under way: libcurl takes as much processor
 * time for one as Lua does, and so they share the work. It runs libcurl on a
 * loop of its own and knows nothing of Lua. Transfers go there and come back
 * through lists under one lock; only then do their fields change hands. It
 * takes no signals. */
#include "transfer_private.h"

#include <signal.h>
#include <stdlib.h>

struct lp__thread {
  struct lp__transfers *transfers;
  struct lp__lane lane;

  uv_async_t wake;  /* on its loop: there is something to do */
  uv_async_t *news; /* on the host's loop: there is something to be told */
  pthread_t id;
  pthread_mutex_t lock; /* for what follows */
  pthread_cond_t removed;
  struct lp__transfer *there, **there_last; /* to be added */
  struct lp__transfer *back, **back_last;   /* the engine is to be told of */
  struct lp__transfer *unwanted;            /* to be removed, or NULL */
  bool over;
};

/* --- in the thread ------------------------------------------------------- */

/* What there is to do, taken off the lists. */
struct errands {
  struct lp__transfer *there, *unwanted;
  bool over;
};

static struct errands take_errands(struct lp__thread *thread) {
  pthread_mutex_lock(&thread->lock);
  struct errands errands = {thread->there, thread->unwanted, thread->over};
  thread->there = NULL;
  thread->there_last = &thread->there;
  pthread_mutex_unlock(&thread->lock);
  return errands;
}

static void add_all(struct lp__transfer *transfer) {
  while (transfer) {
    struct lp__transfer *next = transfer->next_there;
    lp__shard_add(transfer);
    transfer = next;
  }
}

static void remove_unwanted(struct lp__thread *thread,
                            struct lp__transfer *transfer) {
  lp__shard_remove(transfer);
  pthread_mutex_lock(&thread->lock);
  thread->unwanted = NULL;
  pthread_cond_signal(&thread->removed);
  pthread_mutex_unlock(&thread->lock);
}

static void close_all(struct lp__thread *thread) {
  struct lp__transfers *transfers = thread->transfers;
  for (int i = 0; i < transfers->shard_count; i++)
    lp__shard_close(transfers->shards[i]);
  lp__lane_close(&thread->lane);
  uv_close((uv_handle_t *)&thread->wake, NULL);
}

static void on_wake(uv_async_t *wake) {
  struct lp__thread *thread = wake->data;
  struct errands errands = take_errands(thread);
  add_all(errands.there);
  if (errands.unwanted)
    remove_unwanted(thread, errands.unwanted);
  if (errands.over)
    close_all(thread);
}

static void *run(void *data) {
  struct lp__thread *thread = data;
  uv_run(&thread->lane.uv, UV_RUN_DEFAULT);
  return NULL;
}

void lp__thread_tell(struct lp__transfer *transfer, bool finished) {
  struct lp__thread *thread = transfer->transfers->thread;
  pthread_mutex_lock(&thread->lock);
  bool first = !thread->back;
  transfer->finished = finished;
  if (!transfer->comes_back) {
    transfer->comes_back = true;
    transfer->next_back = NULL;
    *thread->back_last = transfer;
    thread->back_last = &transfer->next_back;
  }
  pthread_mutex_unlock(&thread->lock);
  if (first)
    uv_async_send(thread->news);
}

/* --- on the engine's side ------------------------------------------------ */

/* Telling is nothing but queueing events. */
static void on_news(uv_async_t *news) {
  struct lp__thread *thread = news->data;
  pthread_mutex_lock(&thread->lock);
  for (struct lp__transfer *transfer = thread->back; transfer;
       transfer = transfer->next_back) {
    transfer->comes_back = false;
    if (transfer->finished)
      lp__transfer_end(transfer);
    else
      lp__transfer_announce(transfer);
  }
  thread->back = NULL;
  thread->back_last = &thread->back;
  pthread_mutex_unlock(&thread->lock);
}

void lp__thread_add(struct lp__thread *thread, struct lp__transfer *transfer) {
  pthread_mutex_lock(&thread->lock);
  bool first = !thread->there;
  transfer->finished = false;
  transfer->next_there = NULL;
  *thread->there_last = transfer;
  thread->there_last = &transfer->next_there;
  pthread_mutex_unlock(&thread->lock);
  if (first)
    uv_async_send(&thread->wake);
}

/* Under the lock. */
static void forget_back(struct lp__thread *thread,
                        struct lp__transfer *transfer) {
  struct lp__transfer **place = &thread->back;
  if (!transfer->comes_back)
    return;
  while (*place != transfer)
    place = &(*place)->next_back;
  *place = transfer->next_back;
  if (!*place)
    thread->back_last = place;
  transfer->comes_back = false;
}

void lp__thread_remove(struct lp__thread *thread,
                       struct lp__transfer *transfer) {
  pthread_mutex_lock(&thread->lock);
  thread->unwanted = transfer;
  uv_async_send(&thread->wake);
  while (thread->unwanted)
    pthread_cond_wait(&thread->removed, &thread->lock);
  forget_back(thread, transfer);
  pthread_mutex_unlock(&thread->lock);
}

struct lp__lane *lp__thread_lane(struct lp__thread *thread) {
  return &thread->lane;
}

static void on_closed(uv_handle_t *news) {
  free(news);
}

static void free_thread(struct lp__thread *thread) {
  uv_run(&thread->lane.uv, UV_RUN_DEFAULT);
  uv_loop_close(&thread->lane.uv);
  uv_close((uv_handle_t *)thread->news, on_closed);
  pthread_cond_destroy(&thread->removed);
  pthread_mutex_destroy(&thread->lock);
  free(thread);
}

void lp__thread_close(struct lp__thread *thread) {
  if (!thread)
    return;
  pthread_mutex_lock(&thread->lock);
  thread->over = true;
  pthread_mutex_unlock(&thread->lock);
  uv_async_send(&thread->wake);
  pthread_join(thread->id, NULL);
  free_thread(thread);
}

/* Signals are for the threads that wait for them. */
static int start(struct lp__thread *thread) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int status = pthread_create(&thread->id, NULL, run, thread);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return status;
}

/* Frees what there is of a thread that cannot be started. */
static struct lp__thread *give_up(struct lp__thread *thread) {
  free(thread->news);
  free(thread);
  return NULL;
}

static void set_up(struct lp__thread *thread, struct lp__transfers *transfers) {
  thread->transfers = transfers;
  thread->there_last = &thread->there;
  thread->back_last = &thread->back;
  thread->wake.data = thread->news->data = thread;
  pthread_mutex_init(&thread->lock, NULL);
  pthread_cond_init(&thread->removed, NULL);
}

struct lp__thread *lp__thread_open(struct lp__transfers *transfers) {
  struct lp__thread *thread = calloc(1, sizeof *thread);
  if (!thread)
    return NULL;
  thread->news = malloc(sizeof *thread->news);
  if (!thread->news || transfers->port->init_apart(&thread->lane.uv) < 0)
    return give_up(thread);
  set_up(thread, transfers);
  /* These cannot fail: a loop has its descriptor for them from its start. */
  uv_async_init(&thread->lane.uv, &thread->wake, on_wake);
  uv_async_init(transfers->port->uv, thread->news, on_news);
  if (start(thread) == 0)
    return thread;
  uv_close((uv_handle_t *)&thread->wake, NULL);
  free_thread(thread);
  return NULL;
}
