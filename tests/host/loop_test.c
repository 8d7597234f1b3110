/* The queue and the waiting of the event loop. */
#define _GNU_SOURCE
#include "host/interrupt.h"
#include "host/loop.h"
#include "host/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

/* Each look at the clock finds it so much later, as on a machine that stands
 * still now and then. libuv looks here, too: the program's function comes
 * before that of the C library. */
static long leap_ns;

int clock_gettime(clockid_t clock, struct timespec *now) {
  static long leapt_ns;
  long status = syscall(SYS_clock_gettime, clock, now);
  leapt_ns += leap_ns;
  now->tv_nsec += leapt_ns % 1000000000;
  now->tv_sec += leapt_ns / 1000000000 + now->tv_nsec / 1000000000;
  now->tv_nsec %= 1000000000;
  return (int)status;
}

static int open_loop(void **state) {
  return lp__loop_open((struct lp__loop **)state);
}

static int close_loop(void **state) {
  lp__loop_close(*state);
  return 0;
}

static void push(struct lp__loop *loop, int64_t id) {
  struct lp__event *event = lp__event_new(LP__EVENT_OUTPUT, id);
  event->bytes = lp__malloc(10);
  lp__loop_push(loop, event);
}

static void test_order(void **state) {
  struct lp__loop *loop = *state;
  for (int round = 0; round < 3; round++) {
    push(loop, 1);
    push(loop, 2);
    assert_int_equal(lp__loop_next(loop, 0)->id, 1);
    assert_int_equal(lp__loop_next(loop, -1)->id, 1);
    lp__loop_drop(loop);
    push(loop, 3);
    assert_int_equal(lp__loop_next(loop, 1000)->id, 2);
    lp__loop_drop(loop);
    assert_int_equal(lp__loop_next(loop, 1000)->id, 3);
    lp__loop_drop(loop);
    assert_null(lp__loop_next(loop, 0));
  }
}

static void test_left_events_are_freed(void **state) {
  push(*state, 1);
  push(*state, 2);
}

static struct lp__event *push_line(struct lp__loop *loop, const char *line) {
  struct lp__event *event = lp__event_new(LP__EVENT_OUTPUT, 5);
  assert_true(lp__event_add_line(event, line, strlen(line)));
  lp__loop_push(loop, event);
  return event;
}

static void expect_line(struct lp__loop *loop, const char *line) {
  const struct lp__event *event = lp__loop_next(loop, 0);
  assert_non_null(event);
  assert_int_equal(event->id, 5);
  assert_int_equal(event->size, strlen(line));
  assert_memory_equal(event->bytes, line, strlen(line));
  lp__loop_drop(loop);
}

/* Several in one event come one by one, whatever is added meanwhile. */
static void test_lines(void **state) {
  static const char *const lines[] = {"", "one", "", "", "two", ""};
  struct lp__loop *loop = *state;
  struct lp__event *event = push_line(loop, "first");
  for (int i = 0; i < 6; i++)
    assert_true(lp__event_add_line(event, lines[i], strlen(lines[i])));
  expect_line(loop, "first");
  assert_true(lp__event_add_line(event, "last", 4));
  for (int i = 0; i < 6; i++)
    expect_line(loop, lines[i]);
  expect_line(loop, "last");
  assert_null(lp__loop_next(loop, 0));
  push_line(loop, "");
  push_line(loop, "left");
  expect_line(loop, "");
}

static void test_an_event_takes_so_many_lines(void **state) {
  static char line[70000];
  struct lp__loop *loop = *state;
  memset(line, 'x', sizeof line - 1);
  struct lp__event *event = push_line(loop, line);
  assert_false(lp__event_add_line(event, "more", 4));
  event = push_line(loop, "short");
  assert_false(lp__event_add_line(event, line, sizeof line - 1));
  int count = 1;
  while (lp__event_add_line(event, line, 9))
    count++;
  assert_in_range(count, 1000, 2000);
  expect_line(loop, line);
  expect_line(loop, "short");
  while (--count > 0)
    expect_line(loop, "xxxxxxxxx");
  assert_null(lp__loop_next(loop, 0));
}

static void test_nothing_alive(void **state) {
  assert_null(lp__loop_next(*state, -1));
}

static void test_waits(void **state) {
  uint64_t start = uv_hrtime();
  assert_null(lp__loop_next(*state, 30));
  assert_true(uv_hrtime() - start >= 29000000);
}

/* With something alive but silent, 0 must come back. */
static void test_zero_does_not_wait(void **state) {
  lp__loop_count(*state, 1);
  for (int i = 0; i < 100; i++)
    assert_null(lp__loop_next(*state, 0));
  lp__loop_count(*state, -1);
}

static void on_time(uv_timer_t *timer) {
  push(timer->data, 7);
  uv_close((uv_handle_t *)timer, NULL);
}

static void test_wakes_for_an_event(void **state) {
  struct lp__loop *loop = *state;
  uv_timer_t timer = {.data = loop};
  uv_timer_init(lp__loop_uv(loop), &timer);
  uv_timer_start(&timer, on_time, 5, 0);
  lp__loop_count(loop, 1);
  assert_int_equal(lp__loop_next(loop, -1)->id, 7);
  lp__loop_count(loop, -1);
  lp__loop_drop(loop);
  assert_null(lp__loop_next(loop, 0));
}

static void test_descriptor(void **state) {
  struct pollfd poll_fd = {lp__loop_fd(*state), POLLIN, 0};
  assert_null(lp__loop_next(*state, 0));
  assert_int_equal(poll(&poll_fd, 1, 0), 0);
}

/* What a descriptor's reader would see. */
static bool readable(int fd) {
  struct pollfd poll_fd = {fd, POLLIN, 0};
  return poll(&poll_fd, 1, 0) == 1;
}

static void count_signal(void *count) {
  ++*(int *)count;
}

static void test_nobody_catches_interrupts(void **state) {
  (void)state;
  assert_false(lp__interrupt_pending());
  assert_false(lp__interrupt_take());
}

static void on_raise(uv_timer_t *timer) {
  raise(SIGINT);
  uv_close((uv_handle_t *)timer, NULL);
}

/* The waits are far longer than the time that a test may take. */
static void test_interrupt_ends_waits(void **state) {
  struct lp__loop *loop = *state;
  int signals = 0;
  assert_int_equal(lp__interrupt_catch(count_signal, &signals), 0);
  lp__loop_count(loop, 1);
  uv_timer_t timers[2];
  for (int i = 0; i < 2; i++) {
    uv_timer_init(lp__loop_uv(loop), &timers[i]);
    uv_timer_start(&timers[i], on_raise, 5, 0);
    assert_null(lp__loop_next(loop, i == 0 ? 1000000 : -1));
    assert_int_equal(signals, i + 1);
    assert_null(lp__loop_next(loop, -1));
    assert_true(lp__interrupt_pending());
    assert_true(lp__interrupt_take());
    assert_false(lp__interrupt_take());
    assert_int_equal(lp__interrupt_catch(count_signal, &signals), 0);
  }
  lp__loop_count(loop, -1);
  lp__interrupt_release(&signals);
}

/* Events that are there go before an interrupt. */
static void test_interrupt_loses_no_event(void **state) {
  struct lp__loop *loop = *state;
  int signals = 0;
  assert_int_equal(lp__interrupt_catch(count_signal, &signals), 0);
  raise(SIGINT);
  push(loop, 3);
  assert_int_equal(lp__loop_next(loop, -1)->id, 3);
  lp__loop_drop(loop);
  assert_null(lp__loop_next(loop, 1000000));
  assert_true(lp__interrupt_take());
  assert_null(lp__loop_next(loop, 10));
  lp__interrupt_release(&signals);
}

/* A signal that comes to another thread than the one that waits. */
static void raise_there(void *unused) {
  (void)unused;
  usleep(5000);
  raise(SIGINT);
}

static void test_interrupt_from_another_thread(void **state) {
  struct lp__loop *loop = *state;
  int signals = 0;
  uv_thread_t thread;
  assert_int_equal(lp__interrupt_catch(count_signal, &signals), 0);
  assert_int_equal(uv_thread_create(&thread, raise_there, NULL), 0);
  assert_null(lp__loop_next(loop, 1000000));
  uv_thread_join(&thread);
  assert_true(lp__interrupt_take());
  lp__interrupt_release(&signals);
}

static void test_interrupt_descriptor(void **state) {
  struct lp__loop *loop = *state;
  int signals = 0;
  assert_int_equal(lp__interrupt_catch(count_signal, &signals), 0);
  assert_null(lp__loop_next(loop, 0));
  assert_false(readable(lp__loop_fd(loop)));
  raise(SIGINT);
  assert_true(readable(lp__loop_fd(loop)));
  assert_true(readable(lp__interrupt_fd()));
  assert_true(lp__interrupt_take());
  assert_false(readable(lp__interrupt_fd()));
  lp__interrupt_release(&signals);
}

static bool is_default(void) {
  struct sigaction action;
  sigaction(SIGINT, NULL, &action);
  return action.sa_handler == SIG_DFL;
}

static void test_interrupt_is_caught_once(void **state) {
  (void)state;
  int signals = 0, other;
  assert_true(is_default());
  assert_int_equal(lp__interrupt_catch(count_signal, &signals), 0);
  lp__interrupt_release(&other);
  assert_false(is_default());
  raise(SIGINT);
  assert_true(is_default());
  lp__interrupt_release(&signals);
  assert_false(lp__interrupt_pending());
  assert_int_equal(lp__interrupt_catch(count_signal, &signals), 0);
  lp__interrupt_release(&signals);
  assert_true(is_default());
}

static void on_nothing(uv_poll_t *poll, int status, int events) {
  (void)poll, (void)status, (void)events;
}

/* The time is over before the waiting has begun; something else is waited for
 * besides. */
static void test_leaping_clock(void **state) {
  int ends[2];
  uv_poll_t poll;
  assert_int_equal(pipe(ends), 0);
  uv_poll_init(lp__loop_uv(*state), &poll, ends[0]);
  uv_poll_start(&poll, UV_READABLE, on_nothing);
  leap_ns = 5 * 1000 * 1000;
  for (int i = 0; i < 10; i++)
    assert_null(lp__loop_next(*state, 1));
  leap_ns = 0;
  uv_close((uv_handle_t *)&poll, NULL);
  assert_null(lp__loop_next(*state, 0));
  close(ends[0]);
  close(ends[1]);
}

static void test_free_nothing(void **state) {
  (void)state;
  lp__loop_close(NULL);
  lp__event_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_order),
      TEST(test_left_events_are_freed),
      TEST(test_lines),
      TEST(test_an_event_takes_so_many_lines),
      TEST(test_nothing_alive),
      TEST(test_waits),
      TEST(test_zero_does_not_wait),
      TEST(test_wakes_for_an_event),
      TEST(test_descriptor),
      TEST(test_nobody_catches_interrupts),
      TEST(test_interrupt_ends_waits),
      TEST(test_interrupt_loses_no_event),
      TEST(test_interrupt_from_another_thread),
      TEST(test_interrupt_descriptor),
      TEST(test_interrupt_is_caught_once),
      TEST(test_leaping_clock),
      cmocka_unit_test(test_free_nothing),
  };
  alarm(60); /* a wait that does not end is a failure */
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
