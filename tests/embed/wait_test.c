/*
 * Waiting: lp_wait in all its kinds, the descriptor in loops of the program's
 * own, and wakes from everywhere.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>

static lp_host *host;

static void kinds_of_waiting(void) {
  const struct lp_result *result;
  lp_id first, second;
  host = guest_open();
  first = guest_submit(host, "return 1");
  second = guest_submit(host, "while true do end");
  EQUAL(lp_wait(host, second, 0), LP_ETIMEDOUT);
  EQUAL(lp_wait(host, first, -1), LP_OK);
  EQUAL(lp_wait(host, first, 0), LP_OK);
  EQUAL(lp_wait(host, second, 5000), LP_ETIMEDOUT);
  EQUAL(lp_wait(host, 0, 5000), LP_ETIMEDOUT);
  CHECK(lp_error(host)[0] != 0);
  EQUAL(lp_next(host, &result), 1);
  EQUAL(lp_next(host, &result), 0);
  EQUAL(lp_wait(host, first, -1), LP_ESTALE);
  OK(host, lp_cancel(host, second));
  EQUAL(lp_wait(host, 0, -1), LP_OK);
  EQUAL(lp_wait(host, second, -1), LP_OK);
  EQUAL(lp_wait(host, second, INT64_MIN), LP_OK);
  EQUAL(lp_wait(host, second, INT64_MAX), LP_OK);
  EQUAL(lp_next(host, &result), 1);
  KIND(result, LP_CANCELLED);
  lp_close(host);
}

static void longest_times(void) {
  host = guest_open();
  EQUAL(lp_wait(host, guest_submit(host, "return 1"), INT64_MAX), LP_OK);
  EQUAL(lp_wait(host, guest_submit(host, "return 1"), INT64_MIN), LP_OK);
  EQUAL(lp_wait(host, guest_submit(host, "return 1"), INT64_MAX / 1000), LP_OK);
  CHECK(lp_poll(host, INT64_MAX) >= 0);
  CHECK(lp_poll(host, -1) >= 0 || lp_error(host)[0]);
  lp_close(host);
}

/* Results come in the order of their ends, each one once. */
static void order_of_ends(void) {
  enum { TASKS = 300 };
  char seen[TASKS] = {0};
  struct lp_task task = guest_task("return ...");
  const struct lp_result *result;
  struct lp_value n;
  int i, count = 0, told = 0;
  host = guest_open();
  task.args = &n;
  task.count = 1;
  for (i = 0; i < TASKS; i++) {
    n = lp_integer(i);
    task.data = &seen[i];
    guest_submit_with(host, &task);
  }
  while (count < TASKS) {
    int some = lp_poll(host, 500);
    OK(host, some);
    told += some;
    while (lp_next(host, &result) == 1) {
      CHECK(result->data == &seen[result->values[0].integer]);
      EQUAL(++seen[result->values[0].integer], 1);
      count++;
    }
  }
  EQUAL(told, TASKS);
  lp_close(host);
}

static int readable(int fd, int ms) {
  struct pollfd entry = {fd, POLLIN, 0};
  return poll(&entry, 1, ms) == 1 && entry.revents & POLLIN;
}

/* Nothing but the descriptor tells when to poll: no result may be missed. */
static void only_the_descriptor(void) {
  const struct lp_result *result;
  int fd, count = 0, i;
  host = guest_open();
  fd = lp_fd(host);
  CHECK(fd >= 0);
  for (i = 0; i < 200; i++)
    guest_submit(host, "return ('x'):rep(20000)");
  while (count < 200) {
    if (!readable(fd, 20000))
      FAIL("%d of 200 results came", count);
    EQUAL(lp_fd(host), fd);
    OK(host, lp_poll(host, count % 3 * 50));
    while (lp_next(host, &result) == 1)
      count++;
  }
  lp_close(host);
}

/* The same with timers of Lua: timeouts of tasks and of scripts. */
static void timers_make_it_readable(void) {
  struct lp_task task = guest_task("while true do end");
  const struct lp_result *result;
  int fd;
  task.timeout_ms = 30;
  host = guest_open();
  guest_submit_with(host, &task);
  fd = lp_fd(host);
  while (lp_next(host, &result) == 0) {
    CHECK(readable(fd, 20000));
    OK(host, lp_poll(host, 100));
  }
  KIND(result, LP_TIMEOUT);
  lp_close(host);
}

/* An idle host is not readable, or its program would turn in circles. */
static void idle_is_not_readable(void) {
  int fd, i;
  host = guest_open();
  fd = lp_fd(host);
  for (i = 0; i < 5; i++) {
    KIND(guest_end_of(host, "return ('x'):rep(100000)"), LP_DONE);
    for (int k = 0; k < 500 && readable(fd, 1); k++)
      OK(host, lp_poll(host, 1000));
    CHECK(!readable(fd, 0));
  }
  guest_submit(host, "while true do end");
  for (i = 0; i < 500 && (readable(fd, 1) || i < 20); i++)
    OK(host, lp_poll(host, 1000));
  CHECK(!readable(fd, 0));
  lp_close(host);
}

/* In an epoll set of the program, edge-triggered too, and with select. */
static void in_any_loop(void) {
  struct epoll_event event = {EPOLLIN, {0}};
  int set = epoll_create1(EPOLL_CLOEXEC), i, fd;
  const struct lp_result *result;
  host = guest_open();
  fd = lp_fd(host);
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
  for (i = 0; i < 20; i++) {
    guest_submit(host, "return 1");
    while (lp_next(host, &result) == 0) {
      fd_set reads;
      struct timeval time = {20, 0};
      EQUAL(epoll_wait(set, &event, 1, 20000), 1);
      FD_ZERO(&reads);
      FD_SET(fd, &reads);
      EQUAL(select(fd + 1, &reads, NULL, NULL, &time), 1);
      OK(host, lp_poll(host, 0));
    }
  }
  lp_close(host);
  close(set);
}

/* A program that does something else for longer than the task may take: it has
 * ended in time all the same. */
static void a_program_that_comes_late(void) {
  struct lp_task task = guest_task("return 5");
  lp_id id;
  host = guest_open();
  KIND(guest_end_of(host, "return 1"), LP_DONE); /* there is a worker */
  task.timeout_ms = 1000;
  id = guest_submit_with(host, &task);
  OK(host, lp_poll(host, 1000));
  guest_sleep_ms(1300);
  RETURNS(guest_result(host, id), 5);
  lp_close(host);
}

static void wakes(void) {
  int fd;
  host = guest_open();
  fd = lp_fd(host);
  EQUAL(lp_poll(host, 1000), 0);
  CHECK(!readable(fd, 0));
  lp_wake(host);
  CHECK(readable(fd, 0));
  EQUAL(lp_wait(host, guest_submit(host, "while true do end"), -1), LP_EWOKEN);
  EQUAL(lp_wait(host, 0, 1000), LP_ETIMEDOUT);
  lp_wake(host);
  lp_wake(host);
  lp_wake(host);
  EQUAL(lp_wait(host, 0, -1), LP_EWOKEN);
  EQUAL(lp_wait(host, 0, 1000), LP_ETIMEDOUT);
  lp_wake(host);
  lp_poll(host, 1000);
  lp_wake(host);
  lp_close(host);
}

static void *wake_soon(void *data) {
  guest_sleep_ms(10);
  lp_wake(data);
  return NULL;
}

static void woken_by_a_thread(void) {
  pthread_t thread;
  int i;
  host = guest_open();
  guest_submit(host, "while true do end");
  for (i = 0; i < 20; i++) {
    pthread_create(&thread, NULL, wake_soon, host);
    EQUAL(lp_wait(host, 0, -1), LP_EWOKEN);
    pthread_join(thread, NULL);
  }
  lp_close(host);
}

static void on_alarm(int number) {
  (void)number;
  lp_wake(host);
}

static void woken_by_a_signal(void) {
  struct itimerval timer = {{0, 2000}, {0, 2000}};
  struct sigaction action;
  int i;
  host = guest_open();
  guest_submit(host, "while true do end");
  memset(&action, 0, sizeof action);
  action.sa_handler = on_alarm;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &timer, NULL);
  for (i = 0; i < 50; i++)
    EQUAL(lp_wait(host, 0, -1), LP_EWOKEN);
  memset(&timer, 0, sizeof timer);
  setitimer(ITIMER_REAL, &timer, NULL);
  lp_close(host);
}

static int storm_is_over;

static void *storm(void *data) {
  while (!__atomic_load_n(&storm_is_over, __ATOMIC_SEQ_CST))
    lp_wake(data);
  return NULL;
}

/* However often it is woken, the work goes on. */
static void a_storm_of_wakes(void) {
  pthread_t threads[3];
  const struct lp_result *result;
  int i, ended = 0;
  host = guest_open();
  for (i = 0; i < 3; i++)
    pthread_create(&threads[i], NULL, storm, host);
  for (i = 0; i < 50; i++)
    guest_submit(host, "return 1");
  while (ended < 50) {
    int code = lp_wait(host, 0, -1);
    CHECK(code == LP_OK || code == LP_EWOKEN);
    while (lp_next(host, &result) == 1)
      ended++;
    OK(host, lp_poll(host, 100));
  }
  __atomic_store_n(&storm_is_over, 1, __ATOMIC_SEQ_CST);
  for (i = 0; i < 3; i++)
    pthread_join(threads[i], NULL);
  lp_close(host);
}

static void two_hosts_wait_in_turn(void) {
  lp_host *other = guest_open();
  const struct lp_result *result;
  int i, count = 0;
  host = guest_open();
  for (i = 0; i < 20; i++)
    guest_submit(i % 2 ? host : other, "return 1");
  for (i = 0; i < 20; i++) {
    lp_host *one = i % 2 ? host : other;
    lp_wait(one, 0, 1000);
    while (lp_next(one, &result) == 1)
      count++;
  }
  OK(host, lp_wait(host, 0, -1));
  OK(other, lp_wait(other, 0, -1));
  while (lp_next(host, &result) == 1 || lp_next(other, &result) == 1)
    count++;
  EQUAL(count, 20);
  lp_close(host);
  lp_close(other);
}

int main(int argc, char **argv) {
  static const struct guest_test tests[] = {
      {"kinds of waiting", kinds_of_waiting},
      {"the longest times", longest_times},
      {"each end comes once", order_of_ends},
      {"the descriptor tells all", only_the_descriptor},
      {"timers make it readable", timers_make_it_readable},
      {"an idle host is not readable", idle_is_not_readable},
      {"in any loop", in_any_loop},
      {"a program that comes late", a_program_that_comes_late},
      {"lp_wake", wakes},
      {"woken by a thread", woken_by_a_thread},
      {"woken by a signal", woken_by_a_signal},
      {"a storm of wakes", a_storm_of_wakes},
      {"two hosts wait in turn", two_hosts_wait_in_turn}};
  return guest_main(tests, COUNT(tests), argc > 1 ? argv[1] : NULL);
}
