/* Workers with a fake agent: every way in which one can end. */
#define _GNU_SOURCE
#include "worker_support.h"

/* --- the end of a worker ------------------------------------------------- */

static void test_crash(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "crash");
  expect_exit(*state, id, -1, SIGSEGV);
}

static void test_killed_while_idle(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "echo x");
  expect(*state, id, LP__EVENT_RESPONSE, "x");
  kill(child(), SIGKILL);
  expect_killed(*state, id);
}

static void test_killed_while_running(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "hang");
  assert_null(lp__loop_next(fixture->loop, 50));
  kill(child(), SIGKILL);
  expect_killed(fixture, id);
}

static void test_kill(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "hang");
  assert_true(lp__worker_kill(fixture->workers, id));
  assert_int_equal(invoke_for(fixture, id, "echo x", 0), -ESRCH);
  assert_true(lp__worker_kill(fixture->workers, id));
  expect_killed(fixture, id);
}

static void test_timeout(void **state) {
  int64_t id = start(*state);
  assert_int_equal(invoke_for(*state, id, "hang", 30), 0);
  expect(*state, id, LP__EVENT_TIMEOUT, "");
  expect_killed(*state, id);
}

static void test_never_connects(void **state) {
  int64_t id = start_as(*state, "never");
  assert_int_equal(invoke_for(*state, id, "echo x", 30), 0);
  expect(*state, id, LP__EVENT_TIMEOUT, "");
  expect_killed(*state, id);
}

/* The limit counts until the answer, not until somebody looks. */
static void test_answer_in_time(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "echo ready");
  expect(fixture, id, LP__EVENT_RESPONSE, "ready");
  assert_null(lp__loop_next(fixture->loop, 200)); /* its /next has come */
  assert_int_equal(invoke_for(fixture, id, "echo x", 500), 0);
  usleep(1000000);
  expect(fixture, id, LP__EVENT_RESPONSE, "x");
  assert_null(lp__loop_next(fixture->loop, 0));
}

/* The time that libuv remembers may be old when a limit is set. */
static void test_limit_counts_from_now(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "echo ready");
  expect(*state, id, LP__EVENT_RESPONSE, "ready");
  usleep(700000);
  assert_int_equal(invoke_for(*state, id, "echo x", 600), 0);
  expect(*state, id, LP__EVENT_RESPONSE, "x");
}

static void test_exits_early(void **state) {
  int64_t id = start_as(*state, "exit");
  invoke(*state, id, "echo x");
  expect_exit(*state, id, 7, 0);
}

static void test_init_error(void **state) {
  int64_t id = start_as(*state, "init");
  invoke(*state, id, "echo x");
  expect(*state, id, LP__EVENT_OUTPUT, "starting");
  const struct lp__event *error =
      expect(*state, id, LP__EVENT_INIT_ERROR, "{\"errorMessage\":\"no\"}");
  assert_string_equal(error->type, "Runtime.InitError");
  assert_int_equal(invoke_for(*state, id, "echo x", 0), -ESRCH);
  expect_exit(*state, id, 3, 0);
}

static void test_half_a_response(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "half");
  expect_exit(*state, id, 0, 0);
}

static void test_response_then_end(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "last words");
  expect(*state, id, LP__EVENT_OUTPUT, "before the last");
  expect(*state, id, LP__EVENT_RESPONSE, "words");
  expect_exit(*state, id, 5, 0);
}

static void test_garbage(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "garbage");
  expect_reason(*state, id, "it sent what is not a request");
}

static void test_garbage_at_once(void **state) {
  int64_t id = start_as(*state, "garbage");
  expect_reason(*state, id, "it sent what is not a request");
}

static void test_endless_header(void **state) {
  int64_t id = start_as(*state, "long");
  expect_reason(*state, id, "it sent what is not a request");
}

static void test_closes_and_lives(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "close");
  expect_reason(*state, id, "its connection ended and it did not");
}

/* It ends by itself, but not because of that its connection ended. */
static void test_closes_and_ends_later(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "close 750");
  const struct lp__event *event = expect(*state, id, LP__EVENT_EXIT, NULL);
  assert_int_equal(event->code, 0);
  assert_string_equal(event->reason, "its connection ended and it did not");
}

static void test_init_error_and_lives(void **state) {
  int64_t id = start_as(*state, "stuck");
  expect(*state, id, LP__EVENT_INIT_ERROR, "{\"errorMessage\":\"no\"}");
  expect_reason(*state, id, "it could not start and did not end");
}

static void test_missing_agent(void **state) {
  if (is_valgrind())
    return;
  assert_int_equal(start_agent(*state, "/missing/agent", ""), -ENOENT);
  assert_int_equal(start_agent(*state, "/etc/passwd", ""), -EACCES);
  assert_int_equal(start_agent(*state, "/", ""), -EACCES);
}

/* Every number of free descriptors from none to enough. */
static void test_too_few_descriptors(void **state) {
  struct fixture *fixture = *state;
  struct rlimit low = fixture->limit;
  int started = 0;
  if (is_valgrind())
    return;
  for (int free_ones = 0; free_ones < 12; free_ones++) {
    low.rlim_cur = (rlim_t)(count_descriptors() + free_ones);
    setrlimit(RLIMIT_NOFILE, &low);
    int64_t id = start_agent(fixture, fake_agent(), "");
    if (id > 0) {
      invoke(fixture, id, "echo x");
      const struct lp__event *event = next(fixture);
      started += event->kind == LP__EVENT_RESPONSE;
      if (event->kind == LP__EVENT_RESPONSE)
        lp__worker_kill(fixture->workers, id);
      if (event->kind != LP__EVENT_EXIT)
        expect_killed(fixture, id);
    } else {
      assert_int_equal(id, -EMFILE);
    }
    setrlimit(RLIMIT_NOFILE, &fixture->limit);
  }
  assert_in_range(started, 1, 11);
}

/* --- those it leaves behind ---------------------------------------------- */

/* Somebody else reaped the worker: the exit event comes all the same. */
static void test_reaped_elsewhere(void **state) {
  int64_t id = start_as(*state, "never");
  pid_t pid = child();
  kill(pid, SIGKILL);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  expect_exit(*state, id, -1, -1);
}

static void test_grandchild_ends_with_worker(void **state) {
  int64_t id = start(*state);
  invoke(*state, id, "fork");
  pid_t grandchild = atoi(expect(*state, id, LP__EVENT_RESPONSE, NULL)->bytes);
  assert_true(grandchild > 1);
  assert_int_equal(kill(grandchild, 0), 0);
  kill(child(), SIGKILL);
  expect_killed(*state, id);
  assert_true(is_gone(grandchild));
}

static void test_close_ends_everything(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start(fixture);
  invoke(fixture, id, "fork");
  pid_t grandchild = atoi(expect(fixture, id, LP__EVENT_RESPONSE, NULL)->bytes);
  start_as(fixture, "never");
  invoke(fixture, id, "hang");
  lp__workers_close(fixture->workers);
  fixture->workers = NULL;
  assert_true(is_gone(grandchild));
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* A host of its own: starts two workers, one idle and one running, tells their
 * pids and a grandchild's, and waits to be killed. */
static void be_host(int pipe_fd) {
  struct fixture *fixture;
  int pids[3];
  if (open_workers((void **)&fixture) < 0)
    _exit(1);
  int64_t first = start(fixture);
  pids[0] = child();
  invoke(fixture, first, "fork");
  pids[1] = atoi(expect(fixture, first, LP__EVENT_RESPONSE, NULL)->bytes);
  int64_t second = start(fixture);
  invoke(fixture, second, "env");
  expect(fixture, second, LP__EVENT_RESPONSE, NULL);
  invoke(fixture, second, "fork");
  pids[2] = atoi(expect(fixture, second, LP__EVENT_RESPONSE, NULL)->bytes);
  invoke(fixture, second, "hang");
  if (write(pipe_fd, pids, sizeof pids) != sizeof pids)
    _exit(1);
  lp__loop_next(fixture->loop, -1);
  _exit(1);
}

static void test_killed_host(void **state) {
  (void)state;
  int ends[2], pids[3];
  assert_int_equal(pipe(ends), 0);
  pid_t host = fork();
  if (host == 0)
    be_host(ends[1]);
  close(ends[1]);
  assert_int_equal(read(ends[0], pids, sizeof pids), sizeof pids);
  kill(host, SIGKILL);
  waitpid(host, NULL, 0);
  for (int i = 0; i < 3; i++)
    assert_true(is_gone(pids[i]));
  close(ends[0]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_crash),
      TEST(test_killed_while_idle),
      TEST(test_killed_while_running),
      TEST(test_kill),
      TEST(test_timeout),
      TEST(test_never_connects),
      TEST(test_answer_in_time),
      TEST(test_limit_counts_from_now),
      TEST(test_exits_early),
      TEST(test_init_error),
      TEST(test_half_a_response),
      TEST(test_response_then_end),
      TEST(test_garbage),
      TEST(test_garbage_at_once),
      TEST(test_endless_header),
      TEST(test_closes_and_lives),
      TEST(test_closes_and_ends_later),
      TEST(test_init_error_and_lives),
      TEST(test_missing_agent),
      TEST(test_too_few_descriptors),
      TEST(test_reaped_elsewhere),
      TEST(test_grandchild_ends_with_worker),
      TEST(test_close_ends_everything),
      TEST(test_killed_host),
  };
  return run_worker_tests(tests);
}
