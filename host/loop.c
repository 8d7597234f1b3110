/* The event loop of one host. See loop.h. */
#include "loop.h"

#include "interrupt.h"
#include "memory.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

enum { LINGER_NS = 50000 };

struct lp__loop {
  uv_loop_t uv;
  uv_timer_t wake; /* ends a wait with a limit; never keeps the loop alive */
  uv_poll_t interrupt; /* ends any wait at Ctrl-C; where that is caught */
  bool interruptible;
  int near, far; /* what can still produce events */
  bool watches_more;
  struct lp__event *first;
  struct lp__event **last; /* the `next` to fill in */
};

struct lp__event *lp__event_new(enum lp__event_kind kind, int64_t id) {
  struct lp__event *event = lp__calloc(1, sizeof *event);
  if (event) {
    event->kind = kind;
    event->id = id;
  }
  return event;
}

void lp__event_free(struct lp__event *event) {
  if (event && event->object)
    event->release(event->object);
  if (event)
    lp__free(event->bytes);
  lp__free(event);
}

int lp__loop_open(struct lp__loop **out) {
  struct lp__loop *loop = lp__malloc(sizeof *loop);
  if (!loop)
    return UV_ENOMEM;
  int status = uv_loop_init(&loop->uv);
  if (status < 0) {
    lp__free(loop);
    return status;
  }
  uv_timer_init(&loop->uv, &loop->wake);
  uv_unref((uv_handle_t *)&loop->wake);
  loop->near = loop->far = 0;
  loop->watches_more = false;
  loop->interruptible = false;
  loop->first = NULL;
  loop->last = &loop->first;
  *out = loop;
  return 0;
}

void lp__loop_close(struct lp__loop *loop) {
  if (!loop)
    return;
  uv_close((uv_handle_t *)&loop->wake, NULL);
  if (loop->interruptible)
    uv_close((uv_handle_t *)&loop->interrupt, NULL);
  uv_run(&loop->uv, UV_RUN_DEFAULT);
  uv_loop_close(&loop->uv);
  while (loop->first)
    lp__loop_drop(loop);
  lp__free(loop);
}

uv_loop_t *lp__loop_uv(struct lp__loop *loop) {
  return &loop->uv;
}

void lp__loop_push(struct lp__loop *loop, struct lp__event *event) {
  event->next = NULL;
  *loop->last = event;
  loop->last = &event->next;
}

struct lp__event *lp__loop_last(struct lp__loop *loop) {
  size_t offset = offsetof(struct lp__event, next);
  return loop->first ? (struct lp__event *)((char *)loop->last - offset) : NULL;
}

void lp__loop_count(struct lp__loop *loop, int change) {
  loop->near += change;
}

void lp__loop_count_far(struct lp__loop *loop, int change) {
  loop->far += change;
}

void lp__loop_watches_more(struct lp__loop *loop) {
  loop->watches_more = true;
}

/* libuv runs timers before it waits, too. One that is due by then, because the
 * machine stood still for a moment, would leave a wait without a limit. */
static void on_wake(uv_timer_t *timer) {
  uv_stop(timer->loop);
}

/* The descriptor stays readable until the interrupt is taken, which is not for
 * us to do. */
static void on_interrupt(uv_poll_t *poll, int status, int events) {
  (void)poll;
  (void)status;
  (void)events;
}

/* Makes the waits of this loop end at Ctrl-C, once somebody catches it. The
 * handle never keeps the loop alive. */
static void watch_interrupts(struct lp__loop *loop) {
  int fd = lp__interrupt_fd();
  if (fd < 0 || loop->interruptible ||
      uv_poll_init(&loop->uv, &loop->interrupt, fd) < 0)
    return;
  loop->interruptible = true;
  uv_unref((uv_handle_t *)&loop->interrupt);
  uv_poll_start(&loop->interrupt, UV_READABLE, on_interrupt);
}

/* Whether there is a reason not to wait. */
static bool is_due(const struct lp__loop *loop) {
  return loop->first || lp__interrupt_pending();
}

static void look(struct lp__loop *loop) {
  do {
    loop->watches_more = false;
    uv_run(&loop->uv, UV_RUN_NOWAIT);
  } while (!loop->first && loop->watches_more);
}

static void wait_until(struct lp__loop *loop, uint64_t end) {
  while (!is_due(loop) && uv_now(&loop->uv) < end) {
    uv_timer_start(&loop->wake, on_wake, end - uv_now(&loop->uv), 0);
    /* The timer alone must keep the loop running: with nothing alive a wait
     * with a limit still lasts until the limit. */
    uv_ref((uv_handle_t *)&loop->wake);
    uv_run(&loop->uv, UV_RUN_ONCE);
    uv_unref((uv_handle_t *)&loop->wake);
  }
  uv_timer_stop(&loop->wake);
}

static bool is_alive(const struct lp__loop *loop) {
  return loop->near > 0 || loop->far > 0;
}

/* Looks for a moment before sleeping: being woken takes up to 50 us, longer
 * than a small task on this machine. Whoever else wants the processor gets it.
 */
static void linger(struct lp__loop *loop) {
  uint64_t end = uv_hrtime() + LINGER_NS;
  do {
    look(loop);
    sched_yield();
  } while (!is_due(loop) && uv_hrtime() < end);
}

const struct lp__event *lp__loop_next(struct lp__loop *loop,
                                      int64_t timeout_ms) {
  watch_interrupts(loop);
  if (!loop->first && timeout_ms == 0)
    look(loop);
  else if (!loop->first && loop->near > 0)
    linger(loop);
  if (!loop->first && timeout_ms > 0) {
    uv_update_time(&loop->uv);
    wait_until(loop, uv_now(&loop->uv) + (uint64_t)timeout_ms);
  } else if (timeout_ms < 0) {
    while (!is_due(loop) && is_alive(loop))
      uv_run(&loop->uv, UV_RUN_ONCE);
  }
  return loop->first;
}

void lp__loop_drop(struct lp__loop *loop) {
  struct lp__event *event = loop->first;
  loop->first = event->next;
  if (!loop->first)
    loop->last = &loop->first;
  lp__event_free(event);
}

int lp__loop_fd(const struct lp__loop *loop) {
  return uv_backend_fd(&loop->uv);
}
