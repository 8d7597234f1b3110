/* What the tests of sandboxes share: for each a folder to run from, and nothing
 * left behind. A test fails if it leaves a descriptor or a child. Where the
 * machine allows no isolation, that it is refused is tested in its place. */
#ifndef LP_SANDBOX_SUPPORT_H
#define LP_SANDBOX_SUPPORT_H

#include "host/sandbox.h"
#include "worker_support.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

/* A folder to run from, and one of layers. */
struct place {
  char top[32], task[64], layers[64];
  int descriptors;
  bool can_isolate;
};

/* How a child ended, and what it printed. */
struct outcome {
  int code, signal;
  bool closed; /* nobody has its output open any more */
  char output[16384];
};

static char *const environment[] = {(char *)"PATH=/usr/bin:/bin", NULL};

/* --- starting and ending ------------------------------------------------- */

static inline void write_file(const char *folder, const char *name,
                              const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  unlink(path);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
  chmod(path, 0755);
}

static inline struct lp__sandbox sandbox(const struct place *place,
                                         bool isolated) {
  return (struct lp__sandbox){place->task, place->layers, 1, isolated};
}

static inline int start_path(const struct place *place, bool isolated,
                             struct lp__process *process, const char *path) {
  struct lp__sandbox config = sandbox(place, isolated);
  return lp__sandbox_start(process, &config, path, environment);
}

static inline void start_script(const struct place *place, bool isolated,
                                struct lp__process *process,
                                const char *script) {
  char text[4096];
  snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
  write_file(place->task, "bootstrap", text);
  assert_int_equal(start_path(place, isolated, process, "./bootstrap"), 0);
}

static inline void wait_readable(int fd) {
  struct pollfd poll_fd = {fd, POLLIN, 0};
  assert_int_equal(poll(&poll_fd, 1, 60000), 1);
}

/* Reads what is there, and more for as long as it takes to fill `until`. */
static inline void read_output(const struct lp__process *process,
                               struct outcome *outcome, const char *until) {
  size_t size = strlen(outcome->output);
  ssize_t more;
  while (size + 1 < sizeof outcome->output) {
    if (until && strstr(outcome->output, until))
      return;
    if (until)
      wait_readable(process->output);
    more = read(process->output, outcome->output + size,
                sizeof outcome->output - 1 - size);
    outcome->closed = more == 0;
    if (more <= 0)
      return;
    size += (size_t)more;
    outcome->output[size] = '\0';
  }
}

/* Waits for the end, as a worker does; valgrind has no pidfds. */
static inline void finish(struct lp__process *process,
                          struct outcome *outcome) {
  struct pollfd fds[] = {{process->pidfd, POLLIN, 0},
                         {process->output, POLLIN, 0}};
  while (!lp__process_has_ended(process)) {
    int count = poll(fds, outcome->closed ? 1 : 2, fds[0].fd < 0 ? 10 : 60000);
    assert_true(count > 0 || fds[0].fd < 0);
    read_output(process, outcome, NULL);
  }
  lp__process_kill(process);
  read_output(process, outcome, NULL);
  lp__process_wait(process, &outcome->code, &outcome->signal);
  lp__process_close(process);
}

static inline const struct outcome *
run_script(const struct place *place, bool isolated, const char *script) {
  static struct outcome outcome;
  struct lp__process process;
  memset(&outcome, 0, sizeof outcome);
  start_script(place, isolated, &process, script);
  finish(&process, &outcome);
  return &outcome;
}

/* Isolated, or where that is impossible: that this is said, and NULL. */
static inline const struct outcome *run_isolated(const struct place *place,
                                                 const char *script) {
  struct lp__process process;
  if (place->can_isolate)
    return run_script(place, true, script);
  assert_true(start_path(place, true, &process, "/bin/true") < 0);
  assert_int_equal(process.pid, -1);
  return NULL;
}

static inline void expect_output(const struct outcome *outcome,
                                 const char *output) {
  if (outcome)
    assert_string_equal(outcome->output, output);
}

/* For both kinds of children, or the one that there is. */
#define each_kind(at)                                                          \
  for (int isolated = 0, last = ((const struct place *)(at))->can_isolate;     \
       isolated <= last; isolated++)

static inline int open_place(void **state) {
  struct place *place = calloc(1, sizeof *place);
  *state = place;
  place->descriptors = count_descriptors();
  place->can_isolate = lp__sandbox_probe();
  strcpy(place->top, "/tmp/lp-sandbox-XXXXXX");
  if (!mkdtemp(place->top))
    return -1;
  snprintf(place->task, sizeof place->task, "%s/task", place->top);
  snprintf(place->layers, sizeof place->layers, "%s/layers", place->top);
  if (mkdir(place->task, 0755) < 0 || mkdir(place->layers, 0755) < 0)
    return -1;
  write_file(place->layers, "layer", "of a layer\n");
  return chmod(place->top, 0755);
}

static inline int close_place(void **state) {
  struct place *place = *state;
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", place->top);
  int removed = system(command);
  int left = count_descriptors() - place->descriptors;
  bool childless = waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
  free(place);
  if (left != 0)
    print_error("%d descriptors are left\n", left);
  if (!childless)
    print_error("a child is left\n");
  return removed == 0 && left == 0 && childless ? 0 : -1;
}

/* Runs `body` in a process of its own, of which it may change whatever it
 * likes. */
static inline void run_apart(void (*body)(const struct place *),
                             const struct place *place) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    body(place);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}

/* An assertion for there. */
#define check(condition)                                                       \
  ((condition) ? (void)0                                                       \
               : (print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition),  \
                  _exit(1)))

#define PLACE_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, open_place, close_place)

#endif
