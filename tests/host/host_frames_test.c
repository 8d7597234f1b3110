/* Programs that draw frames: what one call of lp_poll does, counted, not
 * timed. With a budget of 0 it does one piece. */
#include "host_support.h"

#include <stdbool.h>
#include <unistd.h>

enum { MB = 1 << 20, PIECE_TASKS = 32, LENT_TASKS = 4 };

static lp_host *host;
static long allocations;

static void *allocate(void *data, void *block, size_t old_size,
                      size_t new_size) {
  (void)data, (void)old_size;
  allocations++;
  if (new_size > 0)
    return realloc(block, new_size);
  free(block);
  return NULL;
}

static int open_one(void **state) {
  struct lp_config config = test_config();
  (void)state;
  config.allocate = allocate;
  host = open_host(&config);
  return 0;
}

static int close_one(void **state) {
  (void)state;
  return lp_close(host);
}

static int called;

static void count(lp_host *h, const struct lp_result *result, void *data) {
  (void)h, (void)data;
  assert_int_equal(result->kind, LP_DONE);
  called++;
}

static void start(const char *source, int tasks, bool with_callback) {
  struct lp_task task = source_task(source);
  if (with_callback)
    task.on_end = count;
  for (int i = 0; i < tasks; i++)
    submit(host, &task);
}

static void test_results(void **state) {
  enum { TASKS = 3000 };
  const struct lp_result *result;
  (void)state;
  start("return 1", TASKS, false);
  for (int ended = 0, last; ended < TASKS; ended += last) {
    last = lp_poll(host, 0);
    assert_true(last >= 0 && last <= PIECE_TASKS);
  }
  while (lp_next(host, &result) == 1)
    assert_int_equal(result->kind, LP_DONE);
}

/* At most so many results of `source` come at a time. */
static void expect_few(const char *source, int most, size_t least_size) {
  enum { TASKS = 100 };
  const struct lp_result *result;
  start(source, TASKS, false);
  for (int ended = 0, last; ended < TASKS; ended += last) {
    last = lp_poll(host, 0);
    assert_in_range(last, 0, most);
  }
  while (lp_next(host, &result) == 1)
    assert_true(result->values->size >= least_size);
}

static void test_large_results(void **state) {
  (void)state;
  expect_few("return ('x'):rep(65536)", LENT_TASKS, 65536);
}

/* With one that has to be copied no other one is read. */
static void test_large_copies(void **state) {
  (void)state;
  expect_few("return { ('x'):rep(65536), [0] = 0 / 0 }", 1, 65536);
}

static void test_callbacks(void **state) {
  enum { TASKS = 1000 };
  (void)state;
  called = 0;
  start("return 1", TASKS, true);
  while (called < TASKS) {
    int before = called;
    must(host, lp_poll(host, 0));
    assert_true(called <= before + 1);
  }
}

/* There is never time to collect garbage, and it is collected. */
static void test_memory(void **state) {
  enum { ROUNDS = 60, TASKS = 50 };
  struct lp_stats stats;
  (void)state;
  for (int i = 0; i < ROUNDS; i++) {
    called = 0;
    start("return ('x'):rep(65536)", TASKS, true);
    while (called < TASKS)
      must(host, lp_poll(host, 0));
    must(host, lp_get_stats(host, &stats, sizeof stats));
    assert_true(stats.memory < 120 * MB);
  }
}

static void test_nothing_is_allocated_while_tasks_run(void **state) {
  (void)state;
  called = 0;
  start("os.execute('sleep 3')", 2, true);
  for (int i = 0; i < 500; i++, usleep(1000))
    must(host, lp_poll(host, 1000));
  long before = allocations;
  for (int i = 0; i < 1000; i++)
    must(host, lp_poll(host, 1000));
  assert_int_equal(called, 0);
  assert_int_equal(allocations, before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_one, close_one)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_results),      TEST(test_large_results),
      TEST(test_large_copies), TEST(test_callbacks),
      TEST(test_memory),       TEST(test_nothing_is_allocated_while_tasks_run),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
