/* Tasks from their submission to their end: lp_submit, lp_poll, lp_wait,
 * lp_next, lp_cancel, lp_state, lp_get_stats, lp_fd, lp_wake. */
#include "host_support.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

static lp_host *host;

static int open_one(void **state) {
  struct lp_config config = test_config();
  (void)state;
  host = open_host(&config);
  return 0;
}

static int close_one(void **state) {
  (void)state;
  return lp_close(host);
}

static lp_id start(const char *source) {
  struct lp_task task = source_task(source);
  return submit(host, &task);
}

/* --- ends ---------------------------------------------------------------- */

static void test_kinds(void **state) {
  const struct lp_result *result;
  struct lp_task task = source_task("while true do end");
  (void)state;
  assert_int_equal(work(host, "return 1")->kind, LP_DONE);
  result = work(host, "local function f() error('boo') end f()");
  assert_int_equal(result->kind, LP_ERROR);
  assert_string_equal(result->message, "task:1: boo");
  assert_non_null(strstr(result->traceback, "task:1:"));
  assert_int_equal(result->count, 0);
  assert_int_equal(result->attempts, 1);
  result = work(host, "os.execute('kill -9 $PPID') while true do end");
  assert_int_equal(result->kind, LP_CRASHED);
  assert_non_null(strstr(result->message, "SIGKILL"));
  task.timeout_ms = 50;
  result = result_of(host, submit(host, &task));
  assert_int_equal(result->kind, LP_TIMEOUT);
  assert_string_equal(result->traceback, "");
}

static void test_retries(void **state) {
  struct lp_task task = source_task("os.execute('kill -9 $PPID') return 1");
  const struct lp_result *result;
  struct lp_stats stats;
  (void)state;
  task.retries = 2;
  result = result_of(host, submit(host, &task));
  assert_int_equal(result->kind, LP_CRASHED);
  assert_int_equal(result->attempts, 3);
  must(host, lp_get_stats(host, &stats, sizeof stats));
  assert_int_equal(stats.attempts, 3);
  assert_int_equal(stats.retried, 2);
}

static void test_too_large(void **state) {
  size_t size = 7 << 20;
  char *bytes = calloc(1, size);
  struct lp_value value = lp_string(bytes, size);
  struct lp_task task = source_task("return #...");
  const struct lp_result *result;
  (void)state;
  for (size_t i = 0; i < size; i++)
    bytes[i] = (char)(i * 2654435761u >> 13);
  task.args = &value;
  task.count = 1;
  result = result_of(host, submit(host, &task));
  assert_int_equal(result->kind, LP_TOO_LARGE);
  assert_int_equal(result->attempts, 0);
  free(bytes);
}

/* --- callbacks and queues ------------------------------------------------ */

static int calls;

static void count(lp_host *h, const struct lp_result *result, void *data) {
  assert_ptr_equal(h, host);
  assert_ptr_equal(result->data, data);
  assert_int_equal(lp_state(h, result->task), LP_ESTALE);
  assert_int_equal(lp_poll(h, 0), LP_EBUSY);
  calls++;
}

static void submit_more(lp_host *h, const struct lp_result *result,
                        void *data) {
  struct lp_task task = source_task("return 2");
  assert_int_equal(result->values->integer, 1);
  must(h, lp_submit(h, &task, data));
}

static void test_callbacks(void **state) {
  const struct lp_result *result;
  struct lp_task task = source_task("return 1");
  lp_id more = 0;
  (void)state;
  calls = 0;
  task.on_end = count;
  task.data = &task;
  for (int i = 0; i < 50; i++)
    submit(host, &task);
  must(host, lp_wait(host, 0, LONG_US));
  assert_int_equal(calls, 50);
  assert_int_equal(lp_next(host, &result), 0);
  assert_null(result);
  task.on_end = submit_more;
  task.data = &more;
  must(host, lp_wait(host, submit(host, &task), LONG_US));
  assert_int_equal(result_of(host, more)->values->integer, 2);
}

/* They come in the order of their ends, and one poll tells how many. */
static void test_queue(void **state) {
  enum { TASKS = 300 };
  static char seen[TASKS];
  const struct lp_result *result;
  int ended = 0, taken = 0;
  (void)state;
  memset(seen, 0, sizeof seen);
  for (int i = 0; i < TASKS; i++) {
    struct lp_task task = source_task("return ...");
    struct lp_value value = lp_integer(i);
    task.args = &value;
    task.count = 1;
    task.data = &seen[i];
    submit(host, &task);
  }
  while (ended < TASKS) {
    int status = lp_poll(host, 500);
    must(host, status);
    ended += status;
  }
  for (; lp_next(host, &result) == 1; taken++) {
    assert_ptr_equal(result->data, &seen[result->values->integer]);
    assert_int_equal(*(char *)result->data, 0);
    *(char *)result->data = 1;
  }
  assert_int_equal(taken, TASKS);
  assert_int_equal(lp_next(host, NULL), LP_EINVAL);
}

static void test_results_stay(void **state) {
  const struct lp_result *result;
  lp_id id = start("return ('x'):rep(100000)");
  (void)state;
  result = result_of(host, id);
  for (int i = 0; i < 20; i++)
    start("return ('y'):rep(100000)");
  assert_int_equal(strspn(result->values->bytes, "x"), 100000);
  assert_int_equal(lp_state(host, id), LP_ESTALE);
  assert_int_equal(lp_cancel(host, id), LP_ESTALE);
  assert_int_equal(lp_wait(host, id, 0), LP_ESTALE);
}

/* --- cancelling, looking, waiting ---------------------------------------- */

static void test_cancel(void **state) {
  const struct lp_result *result;
  lp_id running = start("while true do end"), waiting = 0;
  (void)state;
  while (lp_state(host, running) != 1)
    must(host, lp_poll(host, 1000));
  for (int i = 0; i < 3; i++)
    waiting = start("while true do end");
  assert_int_equal(lp_state(host, waiting), 0);
  must(host, lp_cancel(host, waiting));
  assert_int_equal(lp_state(host, waiting), 2);
  must(host, lp_cancel(host, waiting));
  result = result_of(host, waiting);
  assert_int_equal(result->kind, LP_CANCELLED);
  assert_int_equal(result->attempts, 0);
  must(host, lp_cancel(host, running));
  result = result_of(host, running);
  assert_int_equal(result->kind, LP_CANCELLED);
  assert_int_equal(result->attempts, 1);
}

static void test_wait(void **state) {
  lp_id endless = start("while true do end"), quick = start("return 1");
  (void)state;
  assert_int_equal(lp_wait(host, endless, 0), LP_ETIMEDOUT);
  assert_int_equal(lp_wait(host, endless, 2000), LP_ETIMEDOUT);
  must(host, lp_wait(host, quick, LONG_US));
  must(host, lp_wait(host, quick, 0));
  assert_int_equal(lp_wait(host, 0, 2000), LP_ETIMEDOUT);
  must(host, lp_cancel(host, endless));
  must(host, lp_wait(host, 0, LONG_US));
  assert_int_equal(lp_wait(host, 12345, 0), LP_ESTALE);
}

static void test_stats(void **state) {
  struct lp_stats stats;
  lp_id endless;
  (void)state;
  must(host, lp_get_stats(host, &stats, sizeof stats));
  assert_int_equal(stats.tasks + stats.workers + stats.attempts, 0);
  work(host, "return 1");
  work(host, "error()");
  endless = start("while true do end");
  while (lp_state(host, endless) != 1)
    must(host, lp_poll(host, 1000));
  for (int i = 0; i < 4; i++)
    start("while true do end");
  must(host, lp_get_stats(host, &stats, sizeof stats));
  assert_int_equal(stats.size, sizeof stats);
  assert_int_equal(stats.tasks, 7);
  assert_int_equal(stats.done, 1);
  assert_int_equal(stats.failed, 1);
  assert_int_equal(stats.running + stats.queued, 5);
  assert_true(stats.running >= 1 && stats.workers >= 1);
  assert_true(stats.bytes_sent > 0 && stats.bytes_received > 0);
  assert_true(stats.memory > 10000);
  stats.tasks = 77; /* of an older header, that knew no more than its size */
  must(host, lp_get_stats(host, &stats, sizeof stats.size));
  assert_int_equal(stats.tasks, 77);
  assert_int_equal(lp_get_stats(host, &stats, 1), LP_EINVAL);
  assert_int_equal(lp_get_stats(host, NULL, sizeof stats), LP_EINVAL);
}

/* --- event loops --------------------------------------------------------- */

static int readable(int fd, int ms) {
  struct pollfd watched = {fd, POLLIN, 0};
  return poll(&watched, 1, ms);
}

static void test_descriptor(void **state) {
  const struct lp_result *result;
  int fd = lp_fd(host);
  (void)state;
  assert_true(fd > 2);
  assert_int_equal(readable(fd, 0), 0);
  for (int i = 0; i < 20; i++) {
    start("return 1");
    while (lp_next(host, &result) == 0) {
      assert_int_equal(readable(fd, 60000), 1);
      must(host, lp_poll(host, 0));
    }
  }
  assert_int_equal(lp_fd(host), fd);
}

/* Callbacks that wait for the next lp_poll make it readable, too. */
static void test_descriptor_of_callbacks(void **state) {
  struct lp_task task = source_task("while true do end");
  int fd = lp_fd(host);
  lp_id id;
  (void)state;
  calls = 0;
  task.on_end = count;
  id = submit(host, &task);
  must(host, lp_cancel(host, id));
  assert_int_equal(calls, 0);
  assert_int_equal(readable(fd, 60000), 1);
  must(host, lp_wait(host, id, LONG_US));
  assert_int_equal(calls, 1);
}

static void *wake_soon(void *data) {
  usleep(5000);
  lp_wake(data);
  return NULL;
}

static void test_wake(void **state) {
  pthread_t thread;
  (void)state;
  lp_wake(NULL);
  lp_wake(host); /* before there is a loop */
  start("while true do end");
  assert_int_equal(lp_wait(host, 0, -1), LP_EWOKEN);
  assert_int_equal(lp_wait(host, 0, 1000), LP_ETIMEDOUT);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(pthread_create(&thread, NULL, wake_soon, host), 0);
    assert_int_equal(lp_wait(host, 0, -1), LP_EWOKEN);
    pthread_join(thread, NULL);
  }
  while (lp_poll(host, 0) > 0 || readable(lp_fd(host), 0) > 0)
    continue;
  lp_wake(host);
  assert_int_equal(readable(lp_fd(host), 0), 1);
}

/* --- limits -------------------------------------------------------------- */

static void test_no_host(void **state) {
  struct lp_task task = source_task("return 1");
  struct lp_stats stats;
  (void)state;
  assert_int_equal(lp_submit(NULL, &task, NULL), LP_EINVAL);
  assert_int_equal(lp_run(NULL, &task, NULL), LP_EINVAL);
  assert_int_equal(lp_poll(NULL, 0), LP_EINVAL);
  assert_int_equal(lp_wait(NULL, 0, 0), LP_EINVAL);
  assert_int_equal(lp_next(NULL, NULL), LP_EINVAL);
  assert_int_equal(lp_cancel(NULL, 1), LP_EINVAL);
  assert_int_equal(lp_state(NULL, 1), LP_EINVAL);
  assert_int_equal(lp_fd(NULL), LP_EINVAL);
  assert_int_equal(lp_get_stats(NULL, &stats, sizeof stats), LP_EINVAL);
  assert_int_equal(lp_close(NULL), LP_OK);
  assert_non_null(strstr(lp_error(NULL), "no host"));
}

static void test_words(void **state) {
  (void)state;
  for (int code = 10; code > -30; code--)
    assert_true(strlen(lp_strerror(code)) > 5);
  assert_string_equal(lp_strerror(INT32_MIN), "an unknown error");
  assert_string_equal(lp_version(), LP_VERSION);
  assert_int_equal(lp_version_number(), LP_VERSION_NUMBER);
}

/* Nothing of the kind should happen; when it does, tasks end all the same. */
static void test_damage(void **state) {
  const struct lp_result *result;
  lp_id id, other;
  (void)state;
  run(host, "local outcomes = require 'lambdapool.outcome'\n"
            "local settle = outcomes.settle\n"
            "function outcomes.settle()\n"
            "  outcomes.settle = settle error 'damage' end");
  id = start("return 1");
  other = start("while true do end");
  assert_int_equal(lp_wait(host, id, LONG_US), LP_ELUA);
  assert_non_null(strstr(lp_error(host), "damage"));
  result = result_of(host, id);
  assert_int_equal(result->kind, LP_LOST);
  assert_int_equal(result_of(host, other)->kind, LP_LOST);
  assert_int_equal(work(host, "return 1")->kind, LP_DONE);
}

/* The code of equal sources is shared, and others do not mix with it. */
static void test_sources(void **state) {
  (void)state;
  for (int i = 0; i < 600; i++) {
    char source[40], name[20];
    struct lp_task task = source_task(source);
    snprintf(source, sizeof source, "return %d, debug.getinfo(1).source",
             i % 300);
    snprintf(name, sizeof name, "=n%d", i % 2);
    task.name = name;
    const struct lp_result *result = result_of(host, submit(host, &task));
    assert_int_equal(result->values[0].integer, i % 300);
    assert_string_equal(result->values[1].bytes, name);
  }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_one, close_one)
  const struct CMUnitTest tests[] = {
      TEST(test_kinds),
      TEST(test_retries),
      TEST(test_too_large),
      TEST(test_callbacks),
      TEST(test_queue),
      TEST(test_results_stay),
      TEST(test_cancel),
      TEST(test_wait),
      TEST(test_stats),
      TEST(test_descriptor),
      TEST(test_descriptor_of_callbacks),
      TEST(test_wake),
      TEST(test_no_host),
      TEST(test_words),
      TEST(test_damage),
      TEST(test_sources),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
