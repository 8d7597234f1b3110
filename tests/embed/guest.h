/*
 * What the programs in this folder share. Each of them is a program of
 * somebody else's: it sees <lambdapool.h> and what `make install` installs,
 * and is built with nothing but pkg-config. They print TAP.
 *
 * Every test runs in a process of its own, forked before anything of the
 * library has run there, so each has the first lp_open of a process, and may
 * crash, hang, or change what belongs to the whole process. Standard output
 * and error of the test are a file that must be empty in the end, and the
 * process must leave no process behind. `PROGRAM NAME` runs one test without
 * all that, for debuggers.
 */
#ifndef GUEST_H
#define GUEST_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <lambdapool.h>

struct guest_test {
  const char *name;
  void (*run)(void);
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { SECONDS = 60, REPORT = 200 /* descriptor of what has failed */ };

/* Prints what was wrong and ends the test. */
__attribute__((noreturn, format(printf, 3, 4))) static inline void
guest_fail(const char *file, int line, const char *format, ...) {
  char text[2000];
  va_list list;
  int n = snprintf(text, sizeof text, "#   %s:%d: ", file, line);
  va_start(list, format);
  n += vsnprintf(text + n, sizeof text - (size_t)n, format, list);
  va_end(list);
  if (n > (int)sizeof text - 2)
    n = sizeof text - 2;
  text[n++] = '\n';
  if (write(REPORT, text, (size_t)n) != n)
    abort();
  _exit(1);
}

#define FAIL(...) guest_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(truth)                                                           \
  do {                                                                         \
    if (!(truth))                                                              \
      FAIL("not so: %s", #truth);                                              \
  } while (0)

#define EQUAL(found, wanted)                                                   \
  do {                                                                         \
    long long found_ = (long long)(found), wanted_ = (long long)(wanted);      \
    if (found_ != wanted_)                                                     \
      FAIL("%s is %lld, not %lld", #found, found_, wanted_);                   \
  } while (0)

#define SAME(found, wanted)                                                    \
  do {                                                                         \
    const char *found_ = (found), *wanted_ = (wanted);                         \
    if (found_ == NULL || strcmp(found_, wanted_))                             \
      FAIL("%s is '%s', not '%s'", #found, found_ ? found_ : "NULL", wanted_); \
  } while (0)

#define HAS(text, part)                                                        \
  do {                                                                         \
    const char *text_ = (text), *part_ = (part);                               \
    if (text_ == NULL || !strstr(text_, part_))                                \
      FAIL("%s is '%s', without '%s'", #text, text_ ? text_ : "NULL", part_);  \
  } while (0)

/* A call that must go well. */
#define OK(host, call)                                                         \
  do {                                                                         \
    int code_ = (call);                                                        \
    if (code_ < 0)                                                             \
      FAIL("%s: %s: %s", #call, lp_strerror(code_), lp_error(host));           \
  } while (0)

static inline void guest_sleep_ms(int ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

static inline double guest_seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* --- hosts and tasks ------------------------------------------------------ */

/* The defaults, with few workers: the tests shall run beside others. */
static inline struct lp_config guest_config(void) {
  struct lp_config config;
  lp_config_init(&config, sizeof config);
  config.workers = 2;
  return config;
}

static inline lp_host *guest_open_with(struct lp_config *config) {
  lp_host *host = NULL;
  OK(host, lp_open(config, &host));
  CHECK(host != NULL);
  return host;
}

static inline lp_host *guest_open(void) {
  struct lp_config config = guest_config();
  return guest_open_with(&config);
}

static inline struct lp_task guest_task(const char *source) {
  struct lp_task task;
  lp_task_init(&task, sizeof task);
  task.source = source;
  return task;
}

static inline lp_id guest_submit_with(lp_host *host, struct lp_task *task) {
  lp_id id = 0;
  OK(host, lp_submit(host, task, &id));
  CHECK(id != 0);
  return id;
}

static inline lp_id guest_submit(lp_host *host, const char *source) {
  struct lp_task task = guest_task(source);
  return guest_submit_with(host, &task);
}

/* The one task that was submitted, ended. */
static inline const struct lp_result *guest_result(lp_host *host, lp_id id) {
  const struct lp_result *result = NULL;
  OK(host, lp_wait(host, id, -1));
  EQUAL(lp_next(host, &result), 1);
  CHECK(result->task == id);
  return result;
}

static inline const struct lp_result *guest_end_of(lp_host *host,
                                                   const char *source) {
  return guest_result(host, guest_submit(host, source));
}

static inline const char *guest_kind(enum lp_kind kind) {
  static const char *const names[] = {
      "done",      "error", "timeout",   "out of memory", "crashed",
      "throttled", "lost",  "too large", "cancelled"};
  return (unsigned)kind < COUNT(names) ? names[kind] : "no kind";
}

#define KIND(result, wanted)                                                   \
  do {                                                                         \
    const struct lp_result *result_ = (result);                                \
    if (result_->kind != (wanted))                                             \
      FAIL("%s is %s, not %s: %s", #result, guest_kind(result_->kind),         \
           guest_kind(wanted), result_->message);                              \
  } while (0)

/* The one result that was returned is this integer. */
#define RETURNS(result, wanted)                                                \
  do {                                                                         \
    const struct lp_result *returned_ = (result);                              \
    KIND(returned_, LP_DONE);                                                  \
    EQUAL(returned_->count, 1);                                                \
    EQUAL(returned_->values[0].type, LP_INTEGER);                              \
    EQUAL(returned_->values[0].integer, wanted);                               \
  } while (0)

/* Runs a source in the host; for scripts that go well. */
static inline const struct lp_result *guest_run(lp_host *host,
                                                const char *source) {
  const struct lp_result *result = NULL;
  struct lp_task task = guest_task(source);
  OK(host, lp_run(host, &task, &result));
  return result;
}

/* --- running tests -------------------------------------------------------- */

/* Waits for children that end by themselves; false when some stay. */
static inline int guest_no_children(int seconds) {
  double end = guest_seconds() + seconds;
  for (;;) {
    pid_t pid = waitpid(-1, NULL, WNOHANG);
    if (pid < 0 && errno == ECHILD)
      return 1;
    if (guest_seconds() > end)
      return 0;
    guest_sleep_ms(2);
  }
}

static inline int guest_end(pid_t pid) {
  double end = guest_seconds() + SECONDS;
  int status, hung = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (!hung && guest_seconds() > end) {
      dprintf(REPORT, "#   does not end\n");
      hung = 1;
      kill(pid, SIGKILL);
    }
    guest_sleep_ms(2);
  }
  if (WIFSIGNALED(status) && !hung)
    dprintf(REPORT, "#   killed by signal %d\n", WTERMSIG(status));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Reports what the test has printed; it should have printed nothing. */
static inline int guest_printed(int output) {
  char text[4000];
  ssize_t n = pread(output, text, sizeof text, 0);
  if (n > 0)
    dprintf(REPORT, "#   printed: %.*s\n", (int)n, text);
  return n > 0;
}

static inline int guest_run_test(const struct guest_test *test) {
  char name[] = "/tmp/guest.XXXXXX";
  int output = mkostemp(name, O_CLOEXEC | O_APPEND), bad;
  pid_t pid;
  unlink(name);
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    dup2(output, 1);
    dup2(output, 2);
    close(output);
    test->run();
    exit(0);
  }
  bad = guest_end(pid);
  if (!guest_no_children(5)) {
    dprintf(REPORT, "#   leaves processes behind\n");
    bad = 1;
  }
  bad |= guest_printed(output);
  close(output);
  return bad;
}

static inline int guest_main(const struct guest_test *tests, size_t count,
                             const char *only) {
  size_t i;
  int failed = 0;
  if (dup3(1, REPORT, O_CLOEXEC) < 0)
    return 1;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (i = 0; only && i < count; i++)
    if (!strcmp(only, tests[i].name))
      return tests[i].run(), 0;
  printf("1..%zu\n", count);
  for (i = 0; i < count; i++) {
    int bad = guest_run_test(&tests[i]);
    printf("%sok %zu - %s\n", bad ? "not " : "", i + 1, tests[i].name);
    fflush(stdout);
    failed |= bad;
  }
  return failed;
}

#endif
