/* Ctrl-C, the first and the second, to whatever thread it comes. */
#include "host/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static volatile int calls;
static pthread_t called_in;

static void notify(void *data) {
  called_in = pthread_self();
  *(volatile int *)data += 1;
}

static int catch (void **state) {
  (void)state;
  calls = 0;
  return lp__interrupt_catch(notify, (void *)&calls);
}

static int release(void **state) {
  (void)state;
  lp__interrupt_release((void *)&calls);
  return 0;
}

static int is_default(int number) {
  struct sigaction action;
  sigaction(number, NULL, &action);
  return action.sa_handler == SIG_DFL;
}

static int is_readable(void) {
  struct pollfd poller = {lp__interrupt_fd(), POLLIN, 0};
  return poll(&poller, 1, 0) == 1;
}

/* It came, once, to this thread; the next one kills. */
static void assert_caught(int number) {
  assert_int_equal(calls, 1);
  assert_true(pthread_equal(called_in, pthread_self()));
  assert_int_equal(lp__interrupt_signal(), number);
  assert_true(is_default(number));
  assert_true(lp__interrupt_pending() && is_readable());
  assert_true(lp__interrupt_take());
  assert_false(lp__interrupt_pending() || is_readable());
  assert_false(lp__interrupt_take());
}

static void test_first(void **state) {
  (void)state;
  raise(SIGINT);
  assert_caught(SIGINT);
}

static void test_termination(void **state) {
  (void)state;
  lp__interrupt_catch_termination();
  raise(SIGTERM);
  assert_caught(SIGTERM);
}

static void *send(void *number) {
  pthread_kill(pthread_self(), *(int *)number);
  return NULL;
}

static void test_other_thread(void **state) {
  int numbers[] = {SIGINT, SIGTERM};
  (void)state;
  for (int i = 0; i < 2; i++) {
    pthread_t thread;
    catch (state);
    lp__interrupt_catch_termination();
    assert_int_equal(pthread_create(&thread, NULL, send, &numbers[i]), 0);
    pthread_join(thread, NULL);
    assert_caught(numbers[i]);
  }
}

static void test_again(void **state) {
  (void)state;
  raise(SIGINT);
  catch (state);
  assert_false(lp__interrupt_pending() || is_readable());
  raise(SIGINT);
  assert_caught(SIGINT);
}

static void test_release(void **state) {
  int somebody_else = 0;
  (void)state;
  lp__interrupt_release(&somebody_else);
  assert_false(is_default(SIGINT));
  raise(SIGINT);
  release(state);
  assert_false(lp__interrupt_pending() || is_readable());
  assert_true(is_default(SIGINT));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_first, catch, release),
      cmocka_unit_test_setup_teardown(test_termination, catch, release),
      cmocka_unit_test_setup_teardown(test_other_thread, catch, release),
      cmocka_unit_test_setup_teardown(test_again, catch, release),
      cmocka_unit_test_setup_teardown(test_release, catch, release),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
