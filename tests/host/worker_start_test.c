/* Workers that are started apart, on a thread of the set's own. */
#define _GNU_SOURCE
#include "tests/host/worker_support.h"

#include <poll.h>
#include <sched.h>

enum { MANY = 20 };

static int64_t start_apart(struct fixture *fixture, const char *path,
                           int nice) {
  struct lp__worker_config config;
  lp__worker_config_init(&config);
  config.received = received();
  config.agent = path;
  config.apart = true;
  config.nice = nice;
  return lp__worker_start(fixture->workers, &config);
}

static int64_t start_fake(struct fixture *fixture) {
  int64_t id = start_apart(fixture, fake_agent(), 0);
  assert_true(id > 0);
  return id;
}

/* Threads of this process. */
static int count_threads(void) {
  DIR *folder = opendir("/proc/self/task");
  int count = -2; /* . and .. */
  while (readdir(folder))
    count++;
  closedir(folder);
  return count;
}

static void test_takes_its_invocation_at_once(void **state) {
  int64_t ids[MANY];
  for (int i = 0; i < MANY; i++) {
    ids[i] = start_fake(*state);
    invoke(*state, ids[i], "echo hello");
  }
  for (int i = 0; i < MANY; i++)
    assert_string_equal(next(*state)->bytes, "hello");
  for (int i = 0; i < MANY; i++) {
    invoke(*state, ids[i], "echo again");
    expect(*state, ids[i], LP__EVENT_RESPONSE, "again");
  }
}

static void test_has_begun_nothing_yet(void **state) {
  struct fixture *fixture = *state;
  uint32_t begun = 7, finished = 7;
  uint64_t now, peak;
  int64_t id = start_fake(fixture);
  invoke(fixture, id, "echo x");
  assert_true(lp__worker_progress(fixture->workers, id, &begun, &finished));
  assert_int_equal(begun, 0);
  assert_int_equal(finished, 0);
  assert_false(lp__worker_cut(fixture->workers, id, 0, &begun));
  assert_false(lp__worker_stop(fixture->workers, id));
  assert_false(lp__worker_memory(fixture->workers, id, &now, &peak));
  assert_int_equal(invoke_for(fixture, id, "echo y", 0), -EBUSY);
  expect(fixture, id, LP__EVENT_RESPONSE, "x");
}

/* Whatever it was told may be gone by the time it starts. */
static void test_copies_its_configuration(void **state) {
  struct fixture *fixture = *state;
  char path[4096], handler[] = "some.handler", variable[] = "SOME=thing";
  char *env[] = {variable, NULL};
  struct lp__worker_config config;
  lp__worker_config_init(&config);
  config.received = received();
  config.agent = strcpy(path, fake_agent());
  config.handler = handler;
  config.env = env;
  config.apart = true;
  int64_t id = lp__worker_start(fixture->workers, &config);
  memset(path, 'x', sizeof path - 1);
  memset(handler, 'x', sizeof handler - 1);
  memset(variable, 'x', sizeof variable - 1);
  env[0] = NULL;
  invoke(fixture, id, "env");
  const char *bytes = expect(fixture, id, LP__EVENT_RESPONSE, NULL)->bytes;
  assert_non_null(strstr(bytes, "SOME=thing\n"));
  assert_non_null(strstr(bytes, "_HANDLER=some.handler\n"));
}

static void expect_not_started(struct fixture *fixture, int64_t id, int error) {
  const struct lp__event *event =
      expect(fixture, id, LP__EVENT_NOT_STARTED, NULL);
  assert_int_equal(event->code, error);
  assert_int_equal(event->progress.begun, 0);
  assert_int_equal(invoke_for(fixture, id, "echo x", 0), -ESRCH);
}

static void test_a_missing_agent_is_an_event(void **state) {
  if (is_valgrind())
    return;
  struct fixture *fixture = *state;
  int64_t first = start_apart(fixture, "/no/such/agent", 0);
  int64_t second = start_apart(fixture, "/", 0);
  assert_true(first > 0 && second > first);
  invoke(fixture, first, "echo x");
  expect_not_started(fixture, first, ENOENT);
  expect_not_started(fixture, second, EACCES);
  assert_null(lp__loop_next(fixture->loop, -1));
}

static void test_no_descriptors_are_an_event(void **state) {
  if (is_valgrind())
    return;
  struct fixture *fixture = *state;
  struct rlimit none = fixture->limit;
  int64_t id = start_fake(fixture); /* the thread's are there */
  invoke(fixture, id, "echo x");
  expect(fixture, id, LP__EVENT_RESPONSE, "x");
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  int64_t other = start_fake(fixture);
  expect_not_started(fixture, other, EMFILE);
  setrlimit(RLIMIT_NOFILE, &fixture->limit);
  invoke(fixture, id, "echo y");
  expect(fixture, id, LP__EVENT_RESPONSE, "y");
}

/* Killed before it can have started, or just then. */
static void test_may_be_killed_at_once(void **state) {
  struct fixture *fixture = *state;
  int64_t ids[MANY];
  for (int i = 0; i < MANY; i++) {
    ids[i] = start_fake(fixture);
    invoke(fixture, ids[i], "hang");
    assert_true(lp__worker_kill(fixture->workers, ids[i]));
  }
  for (int i = 0; i < MANY; i++) {
    const struct lp__event *event = next(fixture);
    assert_int_equal(event->kind, LP__EVENT_EXIT);
    assert_in_range(event->id, ids[0], ids[MANY - 1]);
    assert_string_equal(event->reason, "it was killed by the host");
  }
  assert_null(lp__loop_next(fixture->loop, -1));
}

static void test_a_killed_one_that_cannot_start_exits(void **state) {
  if (is_valgrind())
    return;
  struct fixture *fixture = *state;
  int64_t id = start_apart(fixture, "/no/such/agent", 0);
  invoke(fixture, id, "hang");
  assert_true(lp__worker_kill(fixture->workers, id));
  const struct lp__event *event = expect(fixture, id, LP__EVENT_EXIT, NULL);
  assert_int_equal(event->code, -1);
  assert_int_equal(event->signal, 0);
  assert_string_equal(event->reason, "it was killed by the host");
  assert_true(event->unfinished);
  assert_int_equal(event->progress.begun, 0);
}

static void test_starting_counts_for_its_time(void **state) {
  struct fixture *fixture = *state;
  int64_t id = start_fake(fixture);
  assert_int_equal(invoke_for(fixture, id, "hang", 1), 0);
  expect(fixture, id, LP__EVENT_TIMEOUT, NULL);
  expect_reason(fixture, id, "it took too long");
}

/* The fixture sees what is left. */
static void test_close_while_they_start(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < MANY; i++)
    invoke(fixture, start_fake(fixture), "hang");
  if (!is_valgrind())
    start_apart(fixture, "/no/such/agent", 0);
}

static void test_the_descriptor_tells_of_starts(void **state) {
  if (is_valgrind())
    return;
  struct fixture *fixture = *state;
  struct pollfd poll_fd = {lp__loop_fd(fixture->loop), POLLIN, 0};
  int64_t id = start_apart(fixture, "/no/such/agent", 0);
  assert_null(lp__loop_next(fixture->loop, 0));
  lp__loop_call_at(fixture->loop, UINT64_MAX);
  assert_int_equal(poll(&poll_fd, 1, 60000), 1);
  expect_not_started(fixture, id, ENOENT);
}

/* What a worker says: how nice it is, whether it leads its session and its
 * group, and its policy. */
struct niceness {
  int value, session, group, policy;
};

static struct niceness start_nice(struct fixture *fixture, int nice) {
  int64_t id = start_apart(fixture, fake_agent(), nice);
  struct niceness says = {0};
  invoke(fixture, id, "nice");
  assert_int_equal(sscanf(expect(fixture, id, LP__EVENT_RESPONSE, NULL)->bytes,
                          "%d %d %d %d", &says.value, &says.session,
                          &says.group, &says.policy),
                   4);
  assert_int_equal(says.group, 1);
  assert_int_equal(says.session, nice == 0);
  return says;
}

static void test_nice(void **state) {
  int own = getpriority(PRIO_PROCESS, 0);
  struct niceness says = start_nice(*state, 0);
  assert_int_equal(says.value, own);
  assert_int_equal(says.policy, sched_getscheduler(0));
  says = start_nice(*state, 10);
  assert_int_equal(says.value, own + 10 < 19 ? own + 10 : 19);
  assert_int_equal(says.policy, SCHED_BATCH);
  says = start_nice(*state, 19);
  assert_int_equal(says.value, 19);
  assert_int_equal(says.policy, SCHED_IDLE);
}

/* One thread starts them, and perhaps one receives. */
static int threads_of_a_set(void) {
  return received() ? 2 : 1;
}

/* They are there from the first start to the end, and get no signals. */
static void test_threads(void **state) {
  struct fixture *fixture = *state;
  int before = count_threads();
  for (int i = 0; i < 3; i++) {
    int64_t id = start_fake(fixture);
    invoke(fixture, id, "echo x");
    expect(fixture, id, LP__EVENT_RESPONSE, "x");
    assert_int_equal(count_threads(), before + threads_of_a_set());
  }
  lp__workers_close(fixture->workers);
  fixture->workers = NULL;
  assert_int_equal(count_threads(), before);
}

/* The line of /proc that says which signals a thread blocks. */
static bool blocks_all(const char *task) {
  char path[512], line[256];
  unsigned long long blocked = 0;
  snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file))
    sscanf(line, "SigBlk: %llx", &blocked);
  if (file)
    fclose(file);
  unsigned long long kill_and_stop =
                         1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1),
                     of_libc = 3ULL << 31;
  return (blocked | kill_and_stop | of_libc) == ~0ULL;
}

/* Threads that no signal comes to. */
static int count_deaf(void) {
  DIR *folder = opendir("/proc/self/task");
  int count = 0;
  struct dirent *entry;
  while ((entry = readdir(folder)))
    count += entry->d_name[0] != '.' && blocks_all(entry->d_name);
  closedir(folder);
  return count;
}

static void test_signals_are_for_others(void **state) {
  if (is_valgrind()) /* which takes them itself */
    return;
  struct fixture *fixture = *state;
  int before = count_deaf();
  int64_t id = start_fake(fixture);
  invoke(fixture, id, "echo x");
  expect(fixture, id, LP__EVENT_RESPONSE, "x");
  assert_int_equal(count_deaf(), before + threads_of_a_set());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_takes_its_invocation_at_once),
      TEST(test_has_begun_nothing_yet),
      TEST(test_copies_its_configuration),
      TEST(test_a_missing_agent_is_an_event),
      TEST(test_no_descriptors_are_an_event),
      TEST(test_may_be_killed_at_once),
      TEST(test_a_killed_one_that_cannot_start_exits),
      TEST(test_starting_counts_for_its_time),
      TEST(test_close_while_they_start),
      TEST(test_the_descriptor_tells_of_starts),
      TEST(test_nice),
      TEST(test_threads),
      TEST(test_signals_are_for_others),
  };
  return run_worker_tests(tests);
}
