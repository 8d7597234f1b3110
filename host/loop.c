/* The event loop of one host. See loop.h. */
#include "loop.h"

#include "interrupt.h"
#include "memory.h"
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
  LINGER_NS = 50000,
  MS = 1000000, /* nanoseconds */
  DUE = 1,      /* a time that is over */
  LINES_START = 256,
  LINES_MAX = 16 * 1024, /* a longer line is an event of its own */
  UV_FIRST = 6           /* descriptors that libuv's first loop opens */
};

struct lp__loop {
  uv_loop_t uv;
  uv_timer_t limit;    /* ends a wait with a limit */
  uv_async_t wake;     /* ends any wait for lp__loop_wake; libuv, which does
                        * nothing for a loop without handles, always has it */
  uv_poll_t interrupt; /* ends any wait at Ctrl-C; where that is caught */
  uv_poll_t call;      /* of the timer below */
  bool interruptible;
  bool woken, stirred; /* for lp__loop_take_wake; for the wait going on */
  bool waits, called;  /* now; meanwhile it was time to call the owner */
  int near, far;       /* what can still produce events */
  bool watches_more;
  uint64_t owner_at; /* when the owner wants to be called */
  int timer_fd;      /* makes the descriptor readable in time; or -1 */
  uint64_t call_at;  /* what it is set to, in its nanoseconds; 0: to nothing */
  uint64_t deadline; /* or 0 */
  bool admitted;     /* something, since the look began */
  TAILQ_HEAD(, lp__turn) turns;
  struct lp__event *first;
  struct lp__event **last; /* the `next` to fill in */
  uint64_t dropped;
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
  if (event && event->block)
    lp__block_release(event->block);
  else if (event)
    lp__free(event->lines ? event->lines : event->bytes);
  lp__free(event);
}

/* --- lines --------------------------------------------------------------- */

/* Makes room for so many bytes behind what there is. */
static bool make_room(struct lp__event *event, size_t used, size_t size) {
  size_t room = event->room ? event->room : LINES_START;
  if (event->lines && used + size > LINES_MAX)
    return false;
  while (room < used + size)
    room *= 2;
  if (room == event->room)
    return true;
  size_t at = event->lines ? (size_t)(event->bytes - event->lines) : 0;
  char *lines = lp__realloc(event->lines, room);
  if (!lines)
    return false;
  event->lines = lines;
  event->bytes = lines + at;
  event->room = room;
  return true;
}

bool lp__event_add_line(struct lp__event *event, const char *text,
                        size_t size) {
  bool first = !event->lines;
  size_t used =
      first ? 0
            : (size_t)(event->bytes - event->lines) + event->size + event->rest;
  if (!make_room(event, used, size + 1))
    return false;
  if (first) {
    event->size = size;
  } else {
    event->lines[used++] = '\n';
    event->rest += size + 1;
  }
  if (size > 0)
    memcpy(event->lines + used, text, size);
  return true;
}

/* Goes on to the next line. False when there is none. */
static bool next_line(struct lp__event *event) {
  if (event->rest == 0)
    return false;
  event->bytes += event->size + 1;
  event->rest--;
  const char *newline = memchr(event->bytes, '\n', event->rest);
  event->size = newline ? (size_t)(newline - event->bytes) : event->rest;
  event->rest -= event->size;
  return true;
}

/* Ends the wait that goes on; one that has only begun to look, too. */
static void on_wake(uv_async_t *wake) {
  struct lp__loop *loop = (struct lp__loop *)wake->loop; /* it comes first */
  loop->woken = loop->stirred = true;
}

/* libuv ends the process when its first loop finds no room for these. */
static int check_room(void) {
  int fds[UV_FIRST], count = 0, status = 0;
  while (count < UV_FIRST && status == 0)
    if ((fds[count++] = eventfd(0, EFD_CLOEXEC)) < 0)
      status = -errno;
  while (count > 0)
    lp__close_fd(&fds[--count]);
  return status;
}

/* The first loop also opens a pipe for signals, which libuv would keep for
 * ever. There are no signals here. */
static int init_uv(uv_loop_t *uv) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static bool ready;
  pthread_mutex_lock(&mutex);
  int status = ready ? 0 : check_room();
  if (!ready && status == 0)
    uv_replace_allocator(lp__malloc, lp__realloc_anyhow, lp__calloc,
                         lp__free); /* it aborts when it cannot grow a list */
  if (status == 0)
    status = uv_loop_init(uv);
  if (!ready && status == 0) {
    uv_library_shutdown();
    ready = true;
  }
  pthread_mutex_unlock(&mutex);
  return status;
}

/* A program may have closed its standard streams. What is opened next would
 * take their place, and get what it prints: the places are held meanwhile.
 * Returns how many. */
static int hold_streams(int held[3]) {
  int count = 0, fd;
  while ((fd = eventfd(0, EFD_CLOEXEC)) >= 0 && fd < 3)
    held[count++] = fd;
  lp__close_fd(&fd);
  return count;
}

static int init_above_streams(uv_loop_t *uv) {
  int held[3];
  int count = hold_streams(held);
  int status = init_uv(uv);
  while (count > 0)
    lp__close_fd(&held[--count]);
  return status;
}

int lp__loop_init_apart(uv_loop_t *uv) {
  struct lp__memory *of_host = lp__memory_enter(NULL);
  int status = init_above_streams(uv);
  lp__memory_enter(of_host);
  return status;
}

int lp__loop_open(struct lp__loop **out) {
  struct lp__loop *loop = lp__calloc(1, sizeof *loop);
  if (!loop)
    return UV_ENOMEM;
  int status = init_above_streams(&loop->uv);
  if (status < 0) {
    lp__free(loop);
    return status;
  }
  uv_timer_init(&loop->uv, &loop->limit);
  uv_async_init(&loop->uv, &loop->wake, on_wake); /* libuv has its descriptor */
  loop->timer_fd = -1;
  loop->last = &loop->first;
  TAILQ_INIT(&loop->turns);
  *out = loop;
  return 0;
}

void lp__loop_close(struct lp__loop *loop) {
  if (!loop)
    return;
  uv_close((uv_handle_t *)&loop->limit, NULL);
  uv_close((uv_handle_t *)&loop->wake, NULL);
  if (loop->interruptible) {
    uv_close((uv_handle_t *)&loop->interrupt, NULL);
    lp__interrupt_watch(false);
  }
  if (loop->timer_fd >= 0) {
    uv_close((uv_handle_t *)&loop->call, NULL);
    close(loop->timer_fd);
  }
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
static void on_limit(uv_timer_t *timer) {
  uv_stop(timer->loop);
}

/* The descriptor stays readable until the interrupt is taken, which is not for
 * us to do. */
static void on_interrupt(uv_poll_t *poll, int status, int events) {
  (void)poll;
  (void)status;
  (void)events;
}

/* Makes the waits of this loop end at Ctrl-C, once somebody catches it. */
static void watch_interrupts(struct lp__loop *loop) {
  int fd = lp__interrupt_fd();
  if (fd < 0 || loop->interruptible ||
      uv_poll_init(&loop->uv, &loop->interrupt, fd) < 0)
    return;
  loop->interruptible = true;
  lp__interrupt_watch(true);
  uv_poll_start(&loop->interrupt, UV_READABLE, on_interrupt);
}

/* Whether there is a reason not to wait. */
static bool is_due(const struct lp__loop *loop) {
  return loop->first || loop->stirred || lp__interrupt_pending();
}

static bool has_time(const struct lp__loop *loop) {
  return loop->deadline == 0 || uv_hrtime() < loop->deadline;
}

static void run_turns(struct lp__loop *loop);

static void run(struct lp__loop *loop, uv_run_mode mode) {
  loop->admitted = loop->watches_more = false;
  run_turns(loop);
  uv_run(&loop->uv, loop->first ? UV_RUN_NOWAIT : mode);
}

static void look(struct lp__loop *loop) {
  do
    run(loop, UV_RUN_NOWAIT);
  while (!loop->first && loop->watches_more && has_time(loop));
}

static void wait_until(struct lp__loop *loop, uint64_t end) {
  while (!is_due(loop) && uv_now(&loop->uv) < end) {
    uv_timer_start(&loop->limit, on_limit, end - uv_now(&loop->uv), 0);
    run(loop, UV_RUN_ONCE);
  }
  uv_timer_stop(&loop->limit);
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

static void set_call(struct lp__loop *loop, uint64_t ns);

/* The descriptor for others is not to end this wait, and is as it was after it.
 */
static void wait(struct lp__loop *loop, int64_t timeout_ms) {
  loop->waits = true;
  if (loop->near > 0)
    linger(loop);
  if (!loop->first && timeout_ms > 0) {
    uv_update_time(&loop->uv);
    wait_until(loop, uv_now(&loop->uv) + (uint64_t)timeout_ms);
  } else if (timeout_ms < 0) {
    while (!is_due(loop) && is_alive(loop))
      run(loop, UV_RUN_ONCE);
  }
  if (loop->called)
    set_call(loop, DUE);
  loop->waits = loop->called = false;
}

const struct lp__event *lp__loop_next(struct lp__loop *loop,
                                      int64_t timeout_ms) {
  watch_interrupts(loop);
  loop->stirred = false;
  if (loop->first)
    return loop->first;
  if (timeout_ms == 0)
    look(loop);
  else
    wait(loop, timeout_ms);
  return loop->first;
}

void lp__loop_drop(struct lp__loop *loop) {
  struct lp__event *event = loop->first;
  if (next_line(event))
    return;
  loop->first = event->next;
  if (!loop->first)
    loop->last = &loop->first;
  loop->dropped++;
  lp__event_free(event);
}

uint64_t lp__loop_dropped(const struct lp__loop *loop) {
  return loop->dropped;
}

/* --- short turns --------------------------------------------------------- */

void lp__loop_set_deadline(struct lp__loop *loop, uint64_t ns) {
  loop->deadline = ns;
}

size_t lp__loop_piece(const struct lp__loop *loop) {
  return loop->deadline > 0 ? LP__LOOP_PIECE : SIZE_MAX;
}

bool lp__loop_admits(struct lp__loop *loop, struct lp__turn *turn) {
  if (!loop->admitted || has_time(loop)) {
    loop->admitted = true;
    return true;
  }
  if (!turn->waits)
    TAILQ_INSERT_TAIL(&loop->turns, turn, place);
  turn->waits = true;
  return false;
}

void lp__loop_forget(struct lp__loop *loop, struct lp__turn *turn) {
  if (turn->waits)
    TAILQ_REMOVE(&loop->turns, turn, place);
  turn->waits = false;
}

/* libuv would begin with the same descriptor every time. */
static void run_turns(struct lp__loop *loop) {
  struct lp__turn *turn;
  while ((turn = TAILQ_FIRST(&loop->turns)) &&
         (!loop->admitted || has_time(loop))) {
    lp__loop_forget(loop, turn);
    turn->run(turn->context);
  }
}

/* --- other loops --------------------------------------------------------- */

/* 0: never. A time that is over makes the descriptor readable at once. */
static void set_call(struct lp__loop *loop, uint64_t ns) {
  struct itimerspec time = {.it_value = {.tv_sec = (time_t)(ns / 1000000000),
                                         .tv_nsec = (long)(ns % 1000000000)}};
  if (ns == loop->call_at)
    return;
  timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &time, NULL);
  loop->call_at = ns;
}

/* The owner is called, and says when it wants to be called again. */
static void on_call(uv_poll_t *call, int status, int events) {
  struct lp__loop *loop = (struct lp__loop *)call->loop;
  (void)status, (void)events;
  if (!loop->waits)
    return;
  set_call(loop, 0);
  loop->called = true;
}

static int open_timer(struct lp__loop *loop) {
  int fd = lp__process_move_up(
      timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  int status = fd < 0 ? -errno : uv_poll_init(&loop->uv, &loop->call, fd);
  if (status < 0) {
    if (fd >= 0)
      close(fd);
    return status;
  }
  uv_poll_start(&loop->call, UV_READABLE, on_call);
  loop->timer_fd = fd;
  return 0;
}

/* Once: the kernel hears of the timer by a look. */
int lp__loop_fd(struct lp__loop *loop) {
  if (loop->timer_fd < 0) {
    int status = open_timer(loop);
    if (status < 0)
      return status;
    look(loop);
    lp__loop_call_at(loop, UINT64_MAX);
  }
  return uv_backend_fd(&loop->uv);
}

/* When libuv has something to do that no descriptor tells. Its clock counts
 * milliseconds, and may be one behind. */
static uint64_t next_round(const struct lp__loop *loop) {
  int ms = uv_backend_timeout(&loop->uv);
  if (ms == 0 || loop->first || loop->watches_more ||
      !TAILQ_EMPTY(&loop->turns))
    return 0;
  return ms < 0 ? UINT64_MAX
                : (uv_now(&loop->uv) + (uint64_t)ms + 1) * (uint64_t)MS;
}

void lp__loop_call_at(struct lp__loop *loop, uint64_t ns) {
  loop->owner_at = ns;
  if (loop->timer_fd < 0)
    return;
  uint64_t own = next_round(loop);
  if (own < ns)
    ns = own;
  set_call(loop, ns == UINT64_MAX ? 0 : ns == 0 ? DUE : ns);
}

bool lp__loop_rests(const struct lp__loop *loop) {
  struct pollfd watched = {.fd = uv_backend_fd(&loop->uv), .events = POLLIN};
  uint64_t own = next_round(loop),
           next = own < loop->owner_at ? own : loop->owner_at;
  return next > uv_hrtime() && !lp__interrupt_pending() &&
         poll(&watched, 1, 0) == 0;
}

/* libuv's part in this may be called from a signal handler. */
void lp__loop_wake(struct lp__loop *loop) {
  int before = errno;
  uv_async_send(&loop->wake);
  errno = before;
}

bool lp__loop_take_wake(struct lp__loop *loop) {
  bool woken = loop->woken;
  loop->woken = false;
  return woken;
}
