/* Workers with a fake agent: what the page says of a call, and what the host
 * does with it. Nothing here depends on how fast the machine is, except that a
 * task which sleeps for a fifth of the limit does not take five times as long.
 */
#define _GNU_SOURCE
#include "worker_support.h"

/* The exit of a worker whose call had no outcome. */
static struct lp__progress_report expect_unfinished(struct fixture *fixture,
                                                    int64_t id) {
  const struct lp__event *event = expect(fixture, id, LP__EVENT_EXIT, NULL);
  assert_true(event->unfinished);
  assert_int_equal(event->size, strspn(event->bytes, "k"));
  return event->progress;
}

static void expect_nothing_begun(struct fixture *fixture, int64_t id) {
  struct lp__progress_report report = expect_unfinished(fixture, id);
  assert_int_equal(report.begun, 0);
  assert_int_equal(report.finished, 0);
  assert_int_equal(report.kept_tasks, 0);
}

/* Waits until a task after `k` has begun. */
static void await_task(struct fixture *fixture, int64_t id, uint32_t k) {
  uint32_t begun, finished;
  do {
    assert_null(lp__loop_next(fixture->loop, 1));
    assert_true(lp__worker_progress(fixture->workers, id, &begun, &finished));
    assert_true(finished <= begun);
  } while (begun <= k);
}

/* --- what is left of a call ---------------------------------------------- */

static void test_died_within_a_task(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "page 5 4 3 20 1048576 crash");
  struct lp__progress_report report = expect_unfinished(*state, id);
  assert_int_equal(report.begun, 5);
  assert_int_equal(report.finished, 4);
  assert_int_equal(report.kept_tasks, 3);
  assert_int_equal(report.no_memory, 1048576);
}

static void test_page_that_cannot_be(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "page 2 4000000000 4000000000 4000000000 0 crash");
  const struct lp__event *event = expect(*state, id, LP__EVENT_EXIT, NULL);
  assert_int_equal(event->progress.begun, 2);
  assert_int_equal(event->progress.finished, 2);
  assert_int_equal(event->progress.kept_tasks, 2);
  assert_int_equal(event->size, LP__PROGRESS_BYTES);
}

static void test_too_slow(void **state) {
  int64_t id = start(*state);
  assert_int_equal(invoke_for(*state, id, "page 2 1 1 3 0 hang", 100), 0);
  expect(*state, id, LP__EVENT_TIMEOUT, "");
  struct lp__progress_report report = expect_unfinished(*state, id);
  assert_int_equal(report.begun, 2);
  assert_int_equal(report.kept_tasks, 1);
}

static void test_killed(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "page 2 1 1 3 0 hang");
  await_task(fixture, id, 1);
  lp__worker_kill(fixture->workers, id);
  assert_int_equal(expect_unfinished(fixture, id).begun, 2);
}

static void test_garbage_leaves_the_page(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "page 2 1 1 3 0 garbage");
  assert_int_equal(expect_unfinished(*state, id).finished, 1);
}

static void test_died_before_it_asked(void **state) {
  int64_t id = start_as(*state, "exit");
  invoke(*state, id, "echo x");
  expect_nothing_begun(*state, id);
}

/* The page says what the last call did, but this one never came. */
static void test_died_idle(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "tasks 3 0");
  expect(fixture, id, LP__EVENT_RESPONSE, "3");
  assert_null(lp__loop_next(fixture->loop, 50)); /* its /next has come */
  kill(child(), SIGKILL);
  usleep(50000);
  invoke_for(fixture, id, "echo x", 0);
  const struct lp__event *event = expect(fixture, id, LP__EVENT_EXIT, NULL);
  assert_int_equal(event->progress.begun, 0);
}

static void test_idle_worker_has_no_progress(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "tasks 3 0");
  expect(*state, id, LP__EVENT_RESPONSE, "3");
  kill(child(), SIGKILL);
  assert_false(expect(*state, id, LP__EVENT_EXIT, NULL)->unfinished);
}

static void test_nobody_keeps_the_page(void **state) {
  int64_t id = start_as(*state, "no page");
  invoke(*state, id, "crash");
  struct lp__progress_report report = expect_unfinished(*state, id);
  assert_int_equal(report.begun, 1);
  assert_int_equal(report.finished, 0);
}

/* --- the limit in time --------------------------------------------------- */

/* Together the tasks take longer than the limit, each of them less. */
static void test_limit_of_each_task(void **state) {
  int64_t id = start(*state);
  assert_int_equal(invoke_for(*state, id, "tasks 12 200", 1000), 0);
  expect(*state, id, LP__EVENT_RESPONSE, "12");
}

/* A task that began late has the whole limit, and not more than that. */
static void test_limit_of_the_last_task(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  assert_int_equal(invoke_for(fixture, id, "tasks 2 700", 1000), 0);
  expect(fixture, id, LP__EVENT_RESPONSE, "2");
  assert_int_equal(invoke_for(fixture, id, "first 300 60000", 600), 0);
  uint64_t begin = uv_hrtime();
  expect(fixture, id, LP__EVENT_TIMEOUT, "");
  assert_true(uv_hrtime() - begin >= 850 * UINT64_C(1000000));
  struct lp__progress_report report = expect_unfinished(fixture, id);
  assert_int_equal(report.begun, 2);
  assert_int_equal(report.finished, 1);
}

/* A page that says a task will begin does not buy time for ever. */
static void test_task_of_the_future(void **state) {
  int64_t id = start(*state);
  assert_int_equal(invoke_for(*state, id, "future", 100), 0);
  expect(*state, id, LP__EVENT_TIMEOUT, "");
  expect_unfinished(*state, id);
}

/* --- taking back --------------------------------------------------------- */

static void test_cut(void **state) {
  struct fixture *fixture = *state;
  uint32_t begun;
  int64_t id = start(fixture);
  invoke(fixture, id, "tasks 100 100");
  await_task(fixture, id, 0);
  assert_true(lp__worker_cut(fixture->workers, id, 2, &begun));
  assert_true(begun <= 2);
  /* What was taken back may be with others now. */
  assert_true(lp__worker_cut(fixture->workers, id, 90, &begun));
  expect(fixture, id, LP__EVENT_RESPONSE, "2");
  invoke(fixture, id, "tasks 5 0");
  expect(fixture, id, LP__EVENT_RESPONSE, "5");
}

static void test_cut_everything(void **state) {
  struct fixture *fixture = *state;
  uint32_t begun = 1;
  int64_t id = start(fixture);
  invoke(fixture, id, "tasks 0 0");
  expect(fixture, id, LP__EVENT_RESPONSE, "0");
  invoke(fixture, id, "tasks 5 10");
  assert_true(lp__worker_cut(fixture->workers, id, 0, &begun));
  const char *count = expect(fixture, id, LP__EVENT_RESPONSE, NULL)->bytes;
  assert_true((uint32_t)atoi(count) <= begun);
}

static void test_cannot_be_cut(void **state) {
  struct fixture *fixture = *state;
  uint32_t begun, finished;
  assert_false(lp__worker_cut(fixture->workers, 77, 1, &begun));
  assert_false(lp__worker_progress(fixture->workers, 77, &begun, &finished));
  int64_t id = start(fixture);
  assert_false(lp__worker_cut(fixture->workers, id, 1, &begun)); /* idle */
  invoke(fixture, id, "tasks 2 0");
  expect(fixture, id, LP__EVENT_RESPONSE, "2");
  assert_false(lp__worker_cut(fixture->workers, id, 1, &begun));
  invoke(fixture, id, "hang");
  lp__worker_kill(fixture->workers, id);
  assert_false(lp__worker_cut(fixture->workers, id, 1, &begun)); /* ending */
  expect_unfinished(fixture, id);
  id = start_as(fixture, "no page");
  invoke(fixture, id, "echo x");
  assert_false(lp__worker_cut(fixture->workers, id, 0, &begun));
  expect(fixture, id, LP__EVENT_RESPONSE, "x");
}

/* A second invocation that is refused leaves the first one's page alone. */
static void test_busy_worker_keeps_its_page(void **state) {
  struct fixture *fixture = *state;
  uint32_t begun, finished;
  int64_t id = start(fixture);
  invoke(fixture, id, "page 2 1 1 3 0 hang");
  await_task(fixture, id, 1);
  assert_int_equal(invoke_for(fixture, id, "echo x", 0), -EBUSY);
  assert_true(lp__worker_progress(fixture->workers, id, &begun, &finished));
  assert_int_equal(begun, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_died_within_a_task),
      TEST(test_page_that_cannot_be),
      TEST(test_too_slow),
      TEST(test_killed),
      TEST(test_garbage_leaves_the_page),
      TEST(test_died_before_it_asked),
      TEST(test_died_idle),
      TEST(test_idle_worker_has_no_progress),
      TEST(test_nobody_keeps_the_page),
      TEST(test_limit_of_each_task),
      TEST(test_limit_of_the_last_task),
      TEST(test_task_of_the_future),
      TEST(test_cut),
      TEST(test_cut_everything),
      TEST(test_cannot_be_cut),
      TEST(test_busy_worker_keeps_its_page),
  };
  return run_worker_tests(tests);
}
