/* What the tests of workers share: a set of workers for each, and nothing left
 * behind. A test fails if it leaves a descriptor or a child. */
#ifndef LP_WORKER_SUPPORT_H
#define LP_WORKER_SUPPORT_H

#include "host/worker.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { KILL_MS = 20000 }; /* also under valgrind never reached by accident */

struct fixture {
  struct lp__loop *loop;
  struct lp__workers *workers;
  int descriptors;
  struct rlimit limit; /* as it was */
};

static inline int count_descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  int count = -1; /* the folder itself */
  struct dirent *entry;
  while ((entry = readdir(folder)))
    count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

static inline int open_workers(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture->descriptors = count_descriptors();
  getrlimit(RLIMIT_NOFILE, &fixture->limit);
  *state = fixture;
  if (lp__loop_open(&fixture->loop) < 0)
    return -1;
  return lp__workers_open(&fixture->workers, fixture->loop);
}

static inline int close_workers(void **state) {
  struct fixture *fixture = *state;
  setrlimit(RLIMIT_NOFILE, &fixture->limit);
  lp__workers_close(fixture->workers);
  lp__loop_close(fixture->loop);
  int left = count_descriptors() - fixture->descriptors;
  bool childless = waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
  free(fixture);
  if (left != 0)
    print_error("%d descriptors are left\n", left);
  if (!childless)
    print_error("a child is left\n");
  return left == 0 && childless ? 0 : -1;
}

static inline const char *fake_agent(void) {
  static char path[4096];
  const char *build = getenv("LAMBDAPOOL_BUILD");
  snprintf(path, sizeof path, "%s/tests/fake_agent", build ? build : "build");
  return path;
}

static inline bool is_right(const char *body, size_t size) {
  return body[size - 1] != '\0';
}

/* `received:` of tests/run: the same tests, and a thread receives. */
static inline lp__check received(void) {
  return getenv("LAMBDAPOOL_TEST_RECEIVED") ? is_right : NULL;
}

static inline int64_t start_agent(struct fixture *fixture, const char *path,
                                  const char *how) {
  char variable[64];
  char *env[] = {variable, NULL};
  struct lp__worker_config config;
  lp__worker_config_init(&config);
  snprintf(variable, sizeof variable, "FAKE_START=%s", how);
  config.agent = path;
  config.env = env;
  config.received = received();
  return lp__worker_start(fixture->workers, &config);
}

static inline int64_t start_as(struct fixture *fixture, const char *how) {
  int64_t id = start_agent(fixture, fake_agent(), how);
  assert_true(id > 0);
  return id;
}

static inline int64_t start(struct fixture *fixture) {
  return start_as(fixture, "");
}

static inline int invoke_for(struct fixture *fixture, int64_t id,
                             const char *event, uint64_t kill_ms) {
  struct lp__invocation invocation = {
      .event = event, .event_size = strlen(event), .deadline_ms = 1};
  return lp__worker_invoke(fixture->workers, id, &invocation, kill_ms);
}

static inline void invoke(struct fixture *fixture, int64_t id,
                          const char *event) {
  assert_int_equal(invoke_for(fixture, id, event, KILL_MS), 0);
}

/* The next event, a copy with the bytes ended by a zero; valid until the next
 * call. */
static inline const struct lp__event *next(struct fixture *fixture) {
  static char bytes[8 * 1024 * 1024];
  static struct lp__event copy;
  const struct lp__event *event = lp__loop_next(fixture->loop, 60000);
  assert_non_null(event);
  copy = *event;
  if (event->size > 0)
    memcpy(bytes, event->bytes, event->size);
  bytes[event->size] = '\0';
  copy.bytes = bytes;
  lp__loop_drop(fixture->loop);
  return &copy;
}

static inline const struct lp__event *expect(struct fixture *fixture,
                                             int64_t id,
                                             enum lp__event_kind kind,
                                             const char *bytes) {
  const struct lp__event *event = next(fixture);
  if (event->kind != kind)
    fail_msg("event %d instead of %d: %s", event->kind, kind, event->bytes);
  assert_int_equal(event->id, id);
  if (bytes)
    assert_string_equal(event->bytes, bytes);
  return event;
}

static inline void expect_exit(struct fixture *fixture, int64_t id, int code,
                               int signal) {
  const struct lp__event *event = expect(fixture, id, LP__EVENT_EXIT, NULL);
  assert_int_equal(event->code, code);
  assert_int_equal(event->signal, signal);
  assert_null(lp__loop_next(fixture->loop, 0));
  assert_int_equal(invoke_for(fixture, id, "echo x", 0), -ESRCH);
  assert_false(lp__worker_kill(fixture->workers, id));
}

static inline void expect_killed(struct fixture *fixture, int64_t id) {
  expect_exit(fixture, id, -1, SIGKILL);
}

/* The host has killed the worker, and says why. */
static inline void expect_reason(struct fixture *fixture, int64_t id,
                                 const char *reason) {
  const struct lp__event *event = expect(fixture, id, LP__EVENT_EXIT, NULL);
  assert_int_equal(event->signal, SIGKILL);
  assert_non_null(event->reason);
  assert_string_equal(event->reason, reason);
}

/* The only child of this process. */
static inline pid_t child(void) {
  char path[64];
  int pid = 0;
  snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  FILE *file = fopen(path, "r");
  assert_int_equal(fscanf(file, "%d", &pid), 1);
  fclose(file);
  return pid;
}

/* True once process `pid` is gone or a zombie that init has yet to reap. */
static inline bool is_gone(pid_t pid) {
  char path[64], state = 'X';
  for (int i = 0; i < 3000; i++) {
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
      return true;
    int fields = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    if (fields != 1 || state == 'Z' || state == 'X')
      return true;
    usleep(1000);
  }
  return false;
}

/* valgrind keeps the failure of an exec and the limit of descriptors from the
 * program, so what depends on them is not asked there. */
static inline bool is_valgrind(void) {
  const char *preloaded = getenv("LD_PRELOAD");
  return preloaded && strstr(preloaded, "valgrind");
}

#define TEST(name)                                                             \
  cmocka_unit_test_setup_teardown(name, open_workers, close_workers)

/* Opening a loop first: what libuv keeps for good is no leak. */
#define run_worker_tests(tests)                                                \
  (prepare_tests(), cmocka_run_group_tests(tests, NULL, NULL))

static inline void prepare_tests(void) {
  struct lp__loop *loop;
  if (lp__loop_open(&loop) == 0)
    lp__loop_close(loop);
  cmocka_set_message_output(CM_OUTPUT_TAP);
}

#endif
